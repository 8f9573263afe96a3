"""`pretrain --probe` keeps the test part out of pretraining, or says that it did not."""

import json

import numpy as np
import pytest
from PIL import Image

from pretexto import cli
from pretexto.datasets.example_list import read_listing

TINY = ["--trainer.steps", "1", "--trainer.batch_size", "4", "--trainer.workers", "0"]
TINY += ["--trainer.accelerator", "cpu", "--task.video.size", "16"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two classes of pictures, as one folder each and as train and test folders of those."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for part in ("plain", "split/train", "split/test"):
        for name in ("dark", "light"):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(6):
                pixels = rng.integers(0, 100, (24, 24, 3)) + 100 * (name == "light")
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{part[-2:]}{i}.png")
    return root


def run(data, out, *more):
    words = ["pretrain", "--config", "rotation", "--encoder", "tiny", "--data", data, "--out", out]
    return cli.main([str(word) for word in [*words, *TINY, *more]])


def seen(out):
    """What the rows of the trained encoder say of pretraining."""
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    return {row["seen_in_pretraining"] for row in rows if row["task"] != "random-init"}


def test_the_test_part_is_held_out_and_the_rows_say_so(images, tmp_path, capsys):
    assert run(images / "split", tmp_path, "--probe", "knn") == 0
    assert "held out of pretraining: 12 test examples" in capsys.readouterr().out
    names = [name for (name,) in read_listing(tmp_path, "name")]
    assert len(names) == 12
    assert not any("test" in name for name in names)
    assert seen(tmp_path) == {0}
    # The run goes on as it was begun, and its own config repeats it, with or without a probe.
    assert run(images / "split", tmp_path) == 0
    config = ["pretrain", "--config", str(tmp_path / "config.yaml"), "--out", str(tmp_path)]
    assert cli.main(config) == 0
    assert "is finished" in capsys.readouterr().out


def test_a_run_that_has_seen_the_test_part_may_be_probed_and_says_so(images, tmp_path, capsys):
    assert run(images / "split", tmp_path) == 0
    assert run(images / "split", tmp_path, "--probe", "knn") == 0
    assert "held out" not in capsys.readouterr().out
    assert seen(tmp_path) == {12}


def test_it_can_be_turned_off(images, tmp_path):
    assert run(images / "split", tmp_path, "--probe", "knn", "--holdout", "false") == 0
    assert seen(tmp_path) == {12}


def test_where_every_example_is_tested_nothing_is_held_out_and_that_is_said(
    images, tmp_path, capsys
):
    assert run(images / "plain", tmp_path, "--probe", "knn") == 0
    assert "nothing is held out: the data name no test split" in capsys.readouterr().out
    # Of each fold some, and of all together all.
    assert 0 < min(seen(tmp_path)) < max(seen(tmp_path)) == 12
