"""Late fusion: the mean of two streams' probabilities, on the examples that both can read."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pretexto import cli
from pretexto.datasets.flow_images import FlowImages
from pretexto.encoders.flow import TinyFlow
from pretexto.encoders.image import TinyImage
from pretexto.encoders.store import save_encoder
from pretexto.errors import InputError
from pretexto.evaluation.features import Features
from pretexto.evaluation.fusion import Stream, evaluate_fusion, fused, in_common
from pretexto.evaluation.results import read_rows
from pretexto.modalities.input_spec import InputSpec

PICTURE = InputSpec("image", 32, 1)
FLOW = InputSpec("flow", 32, 1, frame_interval=0.04)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Four classes: frames are bright or dark, and flow leads to the left or to the right."""
    root = tmp_path_factory.mktemp("films")
    for k in range(24):
        bright, right = k % 2, k // 2 % 2
        folder = (
            root / f"{'dark bright'.split()[bright]}_{'left right'.split()[right]}" / f"v{k:02}"
        )
        folder.mkdir(parents=True)
        levels = {"flow_x": 188 if right else 68, "flow_y": 128, "img": 180 if bright else 60}
        for name, level in levels.items():
            for n in (1, 2):
                cv2.imwrite(str(folder / f"{name}_{n:05}.jpg"), np.full((32, 32), level, np.uint8))
    return root


def streams() -> list[Stream]:
    torch.manual_seed(0)
    return [Stream(TinyImage(width=4), PICTURE), Stream(TinyFlow(width=4), FLOW)]


def test_fused_scores_are_the_mean_of_the_probabilities():
    one, two = torch.randn(5, 3), torch.randn(5, 3)
    by_hand = (one.softmax(1) + two.softmax(1)) / 2
    assert torch.allclose(fused([one.log_softmax(1), two.log_softmax(1)]).exp(), by_hand)
    never = torch.tensor([[0.0, -math.inf]])  # a class without training examples
    assert fused([never, never])[0, 1] == -math.inf


def test_streams_that_complete_each_other_are_better_together(films):
    rows = evaluate_fusion(streams(), FlowImages(films, 25), clips=1)
    mean = [r for r in rows if r.stamp.split.startswith("mean") and r.stamp.metric == "top1"]
    assert [row.level for row in mean] == ["image", "flow", "image + flow"]
    assert len({row.stamp_hash for row in mean}) == 1
    assert {row.n_test for row in mean} == {24}
    picture, flow, both = (row.value for row in mean)
    assert max(picture, flow) <= 0.6
    assert both > 0.9
    assert all(row.interval[1] - row.interval[0] > 0.05 for row in mean)
    folds = [r for r in rows if r not in mean and r.stamp.metric == "top1"]
    assert all(sum(n for _, n in (r.by_group or {}).values()) == r.n_test for r in folds)


def test_what_one_stream_cannot_read_is_left_out_of_all_and_counted(films, tmp_path):
    root = shutil.copytree(films, tmp_path / "films")
    first, second = sorted(root.glob("*/*"))[:2]
    (first / "flow_x_00001.jpg").write_bytes(b"no picture")
    for file in second.glob("img_*"):
        file.write_bytes(b"no picture")
    rows = evaluate_fusion(streams(), FlowImages(root, 25), clips=1)
    mean = [r for r in rows if r.stamp.split.startswith("mean") and r.stamp.metric == "top1"]
    assert {row.n_test for row in mean} == {22}
    assert {row.unreadable for row in mean} == {2}
    assert all(first.name in " ".join(row.unreadable_names) for row in mean)


def test_nothing_in_common_is_one_line():
    one = Features({"embedding": torch.zeros(1, 2)}, torch.ones(1).long(), torch.zeros(1).long(),
                   torch.tensor([0]), (("b", "open: gone"),))  # fmt: skip
    other = replace(one, indices=torch.tensor([1]), unreadable=(("a", "open: gone"),))
    with pytest.raises(InputError, match="no example can be read by all encoders; 2 fail"):
        in_common([one, other])


def runs(folder: Path) -> tuple[Path, Path]:
    out = []
    for stream, name in zip(streams(), ("rgb", "motion"), strict=True):
        (folder / name).mkdir()
        save_encoder(folder / name, stream.encoder, stream.spec, {"task": f"x.{name}", "steps": 1})
        out.append(folder / name)
    return out[0], out[1]


def test_evaluate_writes_both_and_their_fusion_beside_the_untrained(films, tmp_path, capsys):
    rgb, motion = runs(tmp_path)
    call = ["evaluate", "linear", "--encoder", str(rgb), "--fuse", str(motion), "--clips", "1"]
    data = ["--data", f"flow_images:{films},fps=25", "--workers", "0"]
    assert cli.main([*call, *data]) == 0
    rows = [r for r in read_rows(rgb / "results.jsonl") if r.stamp.split.startswith("mean")]
    assert [(r.task, r.level) for r in rows if r.stamp.metric == "top1"] == [
        ("x.rgb", "image"),
        ("x.motion", "flow"),
        ("rgb + motion", "image + flow"),
        ("random-init", "image"),
        ("random-init", "flow"),
        ("random-init", "image + flow"),
    ]
    assert "rgb + motion" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["knn"], "--fuse joins linear probes: name linear alone"),
        (["linear", "--size", "24"], "as in pretraining: leave --size out"),
        (["linear", "--levels"], "leave --levels out"),
        (["linear", "--length", "8"], "leave --length out"),
    ],
)
def test_what_fusion_does_not_do_is_refused(tmp_path, capsys, options, message):
    rgb, motion = runs(tmp_path)
    given = [
        "evaluate",
        *options,
        "--encoder",
        str(rgb),
        "--fuse",
        str(motion),
        "--data",
        "nothing",
    ]
    assert cli.main(given) == 2
    assert message in capsys.readouterr().err
