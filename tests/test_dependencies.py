"""What is declared is used, and what is imported is declared."""

import ast
import functools
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import pretexto

ROOT = Path(pretexto.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Used without an import: loggers are Lightning's, s3fs is found by fsspec for s3:// addresses.
_THROUGH_OTHERS = {"tensorboard": "TensorBoard", "mlflow": "MLFlowLogger", "s3fs": "fsspec"}
_HERE = {"pretexto", "_typeshed", *sys.stdlib_module_names}


def name_of(requirement: str) -> str:
    """A distribution's name, as package indexes normalise it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~!;\s]", requirement)[0]).lower()


def declared(*groups: str) -> set[str]:
    extras = PROJECT["optional-dependencies"]
    lists = [PROJECT["dependencies"], *(extras[group] for group in groups)]
    return {name_of(requirement) for listed in lists for requirement in listed}


def imported(files: list[Path]) -> set[str]:
    """Top-level modules that files import, at any depth of their code, or name to a loader."""
    found = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.split(".")[0])
    return found


ROOMS = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"]
LIBRARY = [*ROOT.glob("*.py"), *(path for room in ROOMS for path in room.rglob("*.py"))]
EXTRAS = [group for group in PROJECT["optional-dependencies"] if group != "dev"]


@functools.cache
def used() -> set[str]:
    """What the library imports of others."""
    return imported(LIBRARY) - _HERE


@functools.cache
def text() -> str:
    """All of the library's code."""
    return "\n".join(path.read_text() for path in LIBRARY)


# It reads the metadata of all that is installed.
modules_to_distributions = functools.cache(packages_distributions)


def distributions(module: str) -> set[str]:
    return {name_of(name) for name in modules_to_distributions().get(module, [module])}


def test_what_the_library_imports_is_declared():
    known = declared(*EXTRAS)
    missing = {m for m in used() if not distributions(m) & known}
    assert not missing


def test_what_tests_and_benchmarks_import_is_declared():
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    own = {name for path in files for name in (path.stem, path.parent.name)}
    known = declared(*PROJECT["optional-dependencies"])
    missing = {m for m in imported(files) - _HERE - own if not distributions(m) & known}
    assert not missing


@pytest.mark.parametrize("name", sorted(declared(*EXTRAS)))
def test_what_is_declared_is_used(name):
    if name in _THROUGH_OTHERS:
        assert _THROUGH_OTHERS[name] in text()
        return
    modules = {m for m, found in modules_to_distributions().items() if name in map(name_of, found)}
    modules |= {name.replace("-", "_")}
    quoted = re.search(rf"[\"']({'|'.join(map(re.escape, sorted(modules)))})[\"'.]", text())
    assert modules & used() or quoted


def test_what_is_declared_is_pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {name_of(line) for line in lines if line and not line.startswith("#")}
    assert declared("dev", "s3") <= pinned
