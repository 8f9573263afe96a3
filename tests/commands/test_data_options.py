"""Options that say which media are read: the same for every command that reads some."""

import numpy as np
import pytest
import yaml
from dataset_kit import without_children
from PIL import Image

from pretexto import cli
from pretexto.build import load_tree
from pretexto.commands.compare import make_source
from pretexto.datasets import open as opening
from pretexto.datasets.index.build import scan
from pretexto.encoders import store
from pretexto.errors import InputError

RECIPES = {"compare": "four_tasks"}
COMMANDS = ("pretrain", "compare", "audit", "show")


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Four pictures of two classes, one of them a copy."""
    root = tmp_path_factory.mktemp("media")
    for k, seed in enumerate((0, 1, 2, 1)):
        pixels = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), np.uint8)
        (root / f"class{k % 2}").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(root / f"class{k % 2}" / f"{k}.png")
    with pytest.MonkeyPatch.context() as patch:
        without_children(patch)
        scan(root, root / "index.parquet")
    return root / "index.parquet"


@pytest.fixture
def opened(monkeypatch):
    """What sources are opened with; nothing else is done."""
    asked = []

    def noted(spec, split=None, **options):
        asked.append({"spec": spec, "split": split, **options})
        raise InputError("that is enough")

    monkeypatch.setattr(opening, "open_source", noted)
    return asked


def run(command, tmp_path, *words) -> int:
    out = tmp_path / ("out.png" if command == "show" else "out")
    return cli.main([command, *map(str, words), "--out", str(out)])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_leaves_copies_out_by_option_or_config(command, index, tmp_path, opened):
    recipe = RECIPES.get(command, "rotation")
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({**load_tree(recipe, []), "unique": True}))
    given = ["--data", index, "--kind", "image"]
    assert run(command, tmp_path, "--config", recipe, *given) == 2
    assert run(command, tmp_path, "--config", recipe, *given, "--unique") == 2
    assert run(command, tmp_path, "--config", config, *given) == 2
    assert [asked["unique"] for asked in opened] == [False, True, True]
    assert {(asked["spec"], asked["kind"]) for asked in opened} == {(str(index), "image")}


def test_evaluation_too(index, tmp_path, opened, monkeypatch):
    spec = {"modality": "image", "size": 8, "frames": 1}
    monkeypatch.setattr(store, "read_card", lambda *_: {"spec": spec})
    words = ["evaluate", "knn", "--encoder", tmp_path / "run", "--data", index, "--unique"]
    assert cli.main([*map(str, words)]) == 2
    assert opened[0]["unique"] is True


def test_every_process_of_a_comparison_reads_the_same_examples(index):
    tree = {"data": str(index), "kind": None}
    counts = [len(make_source({**tree, "unique": chosen}, "c")) for chosen in (None, False, True)]
    assert counts == [4, 4, 3]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_knows_no_copies(command, index, tmp_path, capsys):
    words = ["--config", RECIPES.get(command, "rotation"), "--data", index.parent, "--unique"]
    assert run(command, tmp_path, *words) == 2
    assert "unique does not apply to a folder; index it first" in capsys.readouterr().err


def test_motion_of_one_file_takes_no_options_on_data(index, tmp_path, capsys):
    assert run("show", tmp_path, "--motion", "film.mp4", "--unique") == 2
    assert "leave out --unique" in capsys.readouterr().err
