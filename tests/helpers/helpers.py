"""What several test files share."""

import importlib.util
import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from pretexto.modalities.media import Plan

ROOT = Path(__file__).resolve().parents[2]


def shared_data(name: str = "") -> Path:
    """The folder of real media, or a part of it; skips the test, naming it, where it is absent."""
    root = os.environ.get("PRETEXTO_SHARED_DATA") or ROOT.parent / "shared" / "data"
    path = Path(root) / name
    if not path.exists():
        pytest.skip(f"real media missing: {name or root} (set PRETEXTO_SHARED_DATA)")
    return path


@contextmanager
def benchmark(name: str) -> Iterator[ModuleType]:
    """A script of benchmarks/ as a module."""
    folder = ROOT / "benchmarks"
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(folder))
        del sys.modules[name]


def audio_times(plan: Plan) -> Tensor:
    """Seconds of every sample of a plan's spans, one span after another: float64 [N]."""
    spans = [s.start + torch.arange(s.samples, dtype=torch.float64) / s.rate for s in plan.audio]
    return torch.cat(spans)


def travelled(value: Any) -> Any:
    """A value as it arrives in a loader's worker: sent through a queue between processes."""
    queue = multiprocessing.get_context("spawn").Queue()
    try:
        queue.put(value)
        return queue.get(timeout=60)
    finally:
        queue.close()
        queue.join_thread()
