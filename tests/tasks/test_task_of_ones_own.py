"""A task is one file, anywhere: every command takes it by its path in a config."""

import ast
import json
from pathlib import Path

import pytest
import quarter_task
import yaml
from PIL import Image

from pretexto import cli

VIDEO = {
    "encoder": {"class_path": "pretexto.encoders.video.TinyVideo", "init_args": {"width": 4}},
    "size": 24,
    "frames": 3,
}
TASK = {"class_path": "quarter_task.Quarter", "init_args": {"video": VIDEO}}
BRIEF = {"steps": 2, "batch_size": 4, "workers": 0}
DATA = {
    "class_path": "pretexto.datasets.synthetic.source.Synthetic",
    "init_args": {"train_scenes": 5, "test_scenes": 1},
}


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    path = folder / "quarter.yaml"
    path.write_text(yaml.safe_dump({"task": TASK, "trainer": BRIEF, "data": DATA}))
    tree = {"tasks": {"quarter": TASK}, "trainer": BRIEF, "data": DATA, "seeds": 1, "clips": 1}
    view = {"modality": "video", "size": 24, "frames": 3, "frame_interval": 0.1}
    tree |= {"view": view, "protocols": ["knn"]}
    (folder / "comparison.yaml").write_text(yaml.safe_dump(tree))
    return path


def test_it_has_at_most_forty_lines_of_logic():
    tree = ast.parse(Path(quarter_task.__file__).read_text())
    (task,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert task.end_lineno - task.lineno + 1 <= 40


def run(*words) -> int:
    return cli.main([str(word) for word in words])


def test_it_is_pretrained_and_shown(config, tmp_path):
    assert run("pretrain", "--config", config, "--out", tmp_path / "run") == 0
    assert (tmp_path / "run" / "encoder.safetensors").is_file()
    picture = tmp_path / "puzzle.png"
    assert run("show", "--encoder", tmp_path / "run", "--count", 2, "--out", picture) == 0
    with Image.open(picture) as image:
        assert min(image.size) > 100


def test_it_is_audited(config, tmp_path, capsys, few_trees):
    out = tmp_path / "audit.jsonl"
    words = ["audit", "--config", config, "--examples", 60, "--out", out, "--strict"]
    # What tells the answer here no network sees.
    assert run(*words) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["name"] for row in rows} >= {"single frame", "borders", "timestamps", "codec"}
    (times,) = [row for row in rows if row["name"] == "timestamps"]
    # From when in the film it is tells the quarter: the one thing that this task gives away.
    assert times["verdict"] == "tells the answer"
    assert times["low"] > times["chance"] == 0.25
    assert "timestamps" in capsys.readouterr().out


def test_it_is_compared(config, tmp_path):
    comparison = config.parent / "comparison.yaml"
    assert run("compare", "--config", comparison, "--jobs", 1, "--out", tmp_path / "out") == 0
    rows = (tmp_path / "out" / "results.jsonl").read_text()
    assert '"quarter"' in rows
    assert (tmp_path / "out" / "report.html").is_file()
