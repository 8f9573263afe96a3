"""What is declared is used, and what is imported is declared."""

import ast
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
MODULES = packages_distributions()
TEXT = "\n".join(path.read_text() for path in LIBRARY)
USED = imported(LIBRARY) - _HERE
EXTRAS = [group for group in PROJECT["optional-dependencies"] if group != "dev"]


def distributions(module: str) -> set[str]:
    return {name_of(name) for name in MODULES.get(module, [module])}


def test_what_the_library_imports_is_declared():
    known = declared(*EXTRAS)
    missing = {m for m in USED if not distributions(m) & known}
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
        assert _THROUGH_OTHERS[name] in TEXT
        return
    modules = {m for m, found in MODULES.items() if name in map(name_of, found)}
    modules |= {name.replace("-", "_")}
    quoted = re.search(rf"[\"']({'|'.join(map(re.escape, sorted(modules)))})[\"'.]", TEXT)
    assert modules & USED or quoted


def test_what_is_declared_is_pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {name_of(line) for line in lines if line and not line.startswith("#")}
    assert declared("dev", "s3") <= pinned
