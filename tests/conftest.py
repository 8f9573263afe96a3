"""What holds for every test: one thread each, and the global random state left alone."""

import gc
import random
import shutil
import signal
from contextlib import contextmanager

import numpy as np
import pytest
import torch

torch.set_num_threads(1)
# A shell has commands in the background ignore what some tests send: interrupts and hang-ups.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# What modules and tests are made of is no garbage: looking for some takes a quarter of collecting.
gc.disable()


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


def global_random_state() -> tuple[bytes, bytes, int]:
    """The state of torch's, numpy's and Python's global generators."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return (
        torch.get_rng_state().numpy().tobytes(),
        repr((kind, keys.tobytes(), rest)).encode(),
        hash(random.getstate()),
    )


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_flow_of_earlier_runs(monkeypatch):
    """Flow is computed, and nothing is kept in the user's cache."""
    monkeypatch.setenv("PRETEXTO_FLOW_CACHE", "0")


@pytest.fixture
def few_trees(monkeypatch):
    """An audit's forest has a fifth of its trees, which find what tells all or nothing as well."""
    monkeypatch.setattr("pretexto.comparison.audit.TREES", 20)


@pytest.fixture
def untouched_rng():
    """A context that fails the test if the global random state changes inside it."""

    @contextmanager
    def watch():
        before = global_random_state()
        yield
        assert global_random_state() == before, "the global random state was used"

    return watch


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, or a skipped test that says what is missing."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("playwright is missing: pip install playwright")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    program = program or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine: apt install chromium")
    with sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()
