"""The layout is a promise: who may import whom, what may load when, how large a file may grow."""

import ast
import json
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pretexto

ROOT = Path(pretexto.__file__).parent
_LEFT = {"evaluation", "training", "modalities", "encoders", "datasets", "tasks"}
ROOMS = {
    "modalities": {"modalities"},
    "encoders": {"encoders"},
    "datasets": {"datasets", "modalities"},
    "tasks": {"tasks", "modalities", "encoders"},
    "training": {"training", "modalities", "encoders", "datasets", "tasks"},
    "evaluation": {"evaluation", "modalities", "encoders", "datasets"},
    "comparison": {"comparison", *_LEFT},
    "visualization": {"visualization", "comparison", *_LEFT},
    "reporting": {"reporting", "visualization", "comparison", *_LEFT},
}
SHARED = {"errors", "progress", "lazy", "__version__"}
LIBRARY = [p for room in ROOMS for p in sorted((ROOT / room).rglob("*.py"))]
SOURCES = [*LIBRARY, *sorted(ROOT.glob("*.py")), *sorted((ROOT / "commands").glob("*.py"))]


def imported_modules(path: Path) -> list[str]:
    """Absolute dotted names of everything a file imports, at any depth of its code."""
    package = ["pretexto", *path.relative_to(ROOT).parts[:-1]]
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names += [module] if node.module else [f"{module}.{a.name}" for a in node.names]
    return names


def test_no_files_import_each_other_in_a_circle_inside_functions_neither():
    modules = {module_of(path): path for path in SOURCES}
    uses = {
        module: {name for name in imported_modules(path) if name in modules} - {module}
        for module, path in modules.items()
    }
    TopologicalSorter(uses).prepare()  # raises CycleError, which names the files


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(["pretexto", *(part for part in parts if part != "__init__")])


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_from_the_rooms_to_its_left(path):
    room = path.relative_to(ROOT).parts[0]
    for name in imported_modules(path):
        parts = name.split(".")
        if parts[0] == "pretexto" and len(parts) > 1 and parts[1] not in SHARED:
            assert parts[1] in ROOMS[room], f"{room} must not import {name}"


@pytest.mark.parametrize(
    "path", [p for p in LIBRARY if p.parent.name == "tasks"], ids=lambda p: p.stem
)
def test_tasks_know_neither_lightning_nor_each_other(path):
    tasks = {p.stem for p in (ROOT / "tasks").glob("*.py") if "(Task)" in p.read_text()}
    for name in imported_modules(path):
        assert not name.startswith(("lightning", "pytorch_lightning"))
        assert not (name.startswith("pretexto.tasks.") and name.split(".")[2] in tasks), name


def test_lightning_appears_in_training_only():
    for path in SOURCES:
        if any(
            n.split(".")[0] in ("lightning", "pytorch_lightning") for n in imported_modules(path)
        ):
            assert path.parent.name == "training", path


def modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / "tests",
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_pretexto_loads_neither_torch_nor_media_libraries():
    assert not {"torch", "av", "cv2", "decord", "numpy"} & modules_after("import pretexto")


def test_training_and_evaluation_load_no_media_library_until_a_file_is_opened():
    code = """
import pretexto.modalities.decode.reader, pretexto.datasets.folder
import pretexto.datasets.synthetic.source
import pretexto.tasks.rotation, pretexto.tasks.shuffle_learn, pretexto.tasks.audio_visual
import pretexto.encoders.image, pretexto.encoders.video, pretexto.encoders.audio
import pretexto.training.pretrain, pretexto.evaluation.evaluate
"""
    assert not {"av", "cv2", "decord", "simplejpeg", "torchcodec"} & modules_after(code)


def test_files_stay_small():
    lengths = {p: len(p.read_text().splitlines()) for p in SOURCES}
    assert max(lengths.values()) <= 400, max(lengths, key=lambda p: lengths[p])


def test_functions_stay_short():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                start = (
                    node.body[1].lineno
                    if ast.get_docstring(node) and node.body[1:]
                    else node.lineno
                )
                assert node.end_lineno - start <= 60, f"{path}: {node.name}"


def test_nothing_unsafe_is_loaded():
    for path in [*SOURCES, *(ROOT / "tests").rglob("*.py")]:
        assert not re.search(r"^\s*(import|from) pickle\b", path.read_text(), re.M), path
    for path in SOURCES:
        text = path.read_text()
        assert not re.search(r"\byaml\.(?!safe_)\w*load\w*\(", text), path
        for line in text.splitlines():
            assert "torch.load(" not in line or "weights_only=True" in line, path
