"""Folders of extracted flow: both layouts, units, what is composed, and what is wrong with them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from pretexto.datasets.flow_images import FlowImages
from pretexto.datasets.index.build import list_media
from pretexto.datasets.open import open_source
from pretexto.encoders.flow import TinyFlow
from pretexto.errors import InputError
from pretexto.evaluation.evaluate import evaluate
from pretexto.modalities.input_spec import InputSpec
from pretexto.modalities.media import MediaError, Plan
from pretexto.modalities.rng import generator
from pretexto.tasks.parts.flow_input import FlowInput
from pretexto.tasks.rotation import Rotation

FPS = 25
SPEC = InputSpec("flow", 32, 2, frame_interval=1 / FPS)


def uniform(x: float, y: float, count: int = 6) -> Tensor:
    return torch.tensor([x, y]).view(1, 2, 1, 1).expand(count, 2, 32, 48)


def write(root: Path, video: str, fields: Tensor, apart: bool = False, bound: float = 20) -> Path:
    """Images of flow [N, 2, H, W] as extractors write them; returns the folder of the x ones."""
    tops = [root / "u" / video, root / "v" / video] if apart else [root / video] * 2
    names = ("frame%06d.jpg",) * 2 if apart else ("flow_x_%05d.jpg", "flow_y_%05d.jpg")
    for axis, (folder, name) in enumerate(zip(tops, names, strict=True)):
        folder.mkdir(parents=True, exist_ok=True)
        for k, field in enumerate(fields[:, axis], 1):
            value = ((field + bound) * 255 / (2 * bound)).round().clamp(0, 255)
            cv2.imwrite(
                str(folder / (name % k)), value.byte().numpy(), [cv2.IMWRITE_JPEG_QUALITY, 98]
            )
    return tops[0]


def frames(folder: Path, count: int, size: tuple[int, int] = (32, 48)) -> None:
    for k in range(1, count + 1):
        cv2.imwrite(str(folder / f"img_{k:05d}.jpg"), np.full((*size, 3), 20 * k, np.uint8))


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("bound", [20, 8])
def test_fields_are_pixels_from_each_frame_to_the_next(tmp_path, apart, bound):
    slope = torch.linspace(-7, 7, 48).expand(6, 1, 32, 48)
    fields = torch.cat([slope, slope.flip(3) / 2], 1) + torch.arange(6).view(6, 1, 1, 1) / 6
    write(tmp_path, "a", fields, apart, bound)
    source = open_source(f"flow_images:{tmp_path},fps={FPS},bound={bound}")
    info = source.info(0)
    assert (info.frames, info.duration, info.height, info.width) == (7, 7 / FPS, 32, 48)
    plan = Plan(flow=((0.0, 0.04), (0.2, 0.24)))
    found = source.read(0, plan).flow
    assert found is not None
    assert (found - fields[[0, 5]]).abs().max() < 2.5 * bound / 255  # rounding, and that of JPEG


def test_an_input_of_flow_takes_them_at_its_own_size(tmp_path):
    write(tmp_path, "a", uniform(6, -3))
    source = FlowImages(tmp_path, FPS)
    flow = source.read(0, InputSpec("flow", 16, 3, frame_interval=1 / FPS).plan(0.0)).flow
    assert flow is not None
    assert flow.shape == (3, 2, 16, 24)
    assert flow[:, 0].sub(3).abs().max() < 0.1
    assert flow[:, 1].add(1.5).abs().max() < 0.1


def test_several_frames_are_composed_up_to_the_last(tmp_path):
    write(tmp_path, "a", uniform(2, 1))
    source = FlowImages(tmp_path, FPS)
    pairs = ((0.0, 0.12), (0.2, 0.32), (0.24, 0.36), (0.04, 0.04))
    flow = source.read(0, Plan(flow=pairs, past_end="repeat")).flow
    assert flow is not None
    for field, times in zip(flow, (3, 1, 0, 0), strict=True):
        assert (field - times * torch.tensor([2.0, 1.0]).view(2, 1, 1)).abs().max() < 0.35
    with pytest.raises(MediaError, match=r"asked at 0.320 s of 0.280 s"):
        source.read(0, Plan(flow=((0.2, 0.32),)))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(flow=((0.0, 0.06),)), r"flow over 0.06 s .* over 0.04 s"),
        (Plan(flow=((0.04, 0.0),)), "flow back in time"),
        (Plan(flow=((0.0, 0.04),), flow_method="dis"), "by a method that nobody has named"),
        (Plan((0.0,)), "holds flow alone; put img_00001.jpg"),
    ],
)
def test_what_they_do_not_hold_is_refused(tmp_path, plan, message):
    write(tmp_path, "a", uniform(2, 1))
    with pytest.raises(InputError, match=message):
        FlowImages(tmp_path, FPS).read(0, plan)


def test_a_named_method_is_taken_at_its_word(tmp_path):
    write(tmp_path, "a", uniform(2, 1))
    source = open_source(f"flow_images:{tmp_path},fps={FPS},method=tvl1")
    assert source.read(0, Plan(flow=((0.0, 0.04),), flow_method="tvl1")).flow is not None
    with pytest.raises(InputError, match="flow by dis is asked of images of flow by tvl1"):
        source.read(0, Plan(flow=((0.0, 0.04),), flow_method="dis"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:150])


def smaller(path: Path) -> None:
    cv2.imwrite(str(path), np.full((16, 48), 128, np.uint8))


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda f: [p.unlink() for p in f.glob("flow_y_*")], "images of flow in x, but none in y"),
        (lambda f: (f / "flow_y_00006.jpg").unlink(), "6 images in one direction, 5 in the other"),
        (lambda f: (f / "flow_x_00003.jpg").unlink(), "flow_x_00003.jpg is missing"),
        (lambda f: smaller(f / "flow_y_00001.jpg"), "x and y have unlike sizes: 48x32 and 48x16"),
        (lambda f: cut(f / "flow_y_00001.jpg"), r"flow_y_00001.jpg: decode: damaged or no JPEG"),
        (lambda f: frames(f, 4), "4 pictures img_… stand beside 6 fields"),
    ],
)
def test_a_bad_folder_is_named_in_one_line(tmp_path, break_it, message):
    break_it(write(tmp_path, "a", uniform(2, 1)))
    source = FlowImages(tmp_path, FPS)
    with pytest.raises(MediaError, match=message) as caught:
        source.read(0, SPEC.plan(0.0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("", r"no frame rate; add it: flow_images:.*,fps=25"),
        (",fps=fast", "fps is a number, got 'fast'"),
        (",fps=0", "fps and bound are above 0"),
        (",fps=25,bond=3", "no option 'bond': did you mean bound"),
        (",fps=25,method=diss", "did you mean dis"),
    ],
)
def test_what_is_said_of_them_is_checked(tmp_path, ending, message):
    write(tmp_path, "a", uniform(2, 1))
    with pytest.raises(InputError, match=message):
        open_source(f"flow_images:{tmp_path}{ending}")


def test_no_flow_and_no_index(tmp_path):
    frames(tmp_path, 2)
    with pytest.raises(InputError, match=r"no images of flow in it; they are called flow_x_"):
        FlowImages(tmp_path, FPS)
    with pytest.raises(InputError, match="need no index"):
        list_media(f"flow_images:{tmp_path},fps=25")


def test_frames_beside_the_flow_are_read_with_it(tmp_path):
    frames(write(tmp_path, "a", uniform(2, -4)), 7, (64, 96))
    sample = FlowImages(tmp_path, FPS).read(0, Plan((0.04, 0.24), flow=((0.0, 0.04),)))
    assert sample.frames is not None
    assert sample.flow is not None
    assert sample.frames.shape == (2, 3, 64, 96)
    assert [int(frame.float().mean().round()) for frame in sample.frames] == [40, 140]
    assert sample.flow[0].mean((1, 2)).sub(torch.tensor([4.0, -8.0])).abs().max() < 0.4


def test_classes_groups_and_splits_come_from_folders_or_from_a_list_of_the_videos(tmp_path):
    for video in ("run/a", "run/b", "jump/c"):
        write(tmp_path, video, uniform(1, 1, 2))
    source = FlowImages(tmp_path, FPS)
    assert source.classes == ("jump", "run")
    assert [source.label(i) for i in range(3)] == [0, 1, 1]
    lines = "path,label,group,split\nrun/a.avi,fast,g1,train\nc.avi,slow,g2,test\n"
    (tmp_path / "groups.csv").write_text(lines)
    source = FlowImages(tmp_path, FPS)
    assert [source.name(i) for i in range(2)] == ["run/a", "jump/c"]
    assert source.classes == ("fast", "slow")
    assert [source.split(i) for i in range(2)] == ["train", "test"]
    (tmp_path / "groups.csv").write_text("path,label\nlost.avi,fast\n")
    with pytest.raises(InputError, match="1 videos have no images of flow"):
        FlowImages(tmp_path, FPS)


def test_evaluation_and_tasks_on_flow_run_on_them(tmp_path):
    for k in range(6):
        for name, x in (("left", -5), ("right", 5)):
            write(tmp_path, f"{name}/{k}", uniform(x, k / 2, 4))
    cut(tmp_path / "left" / "5" / "flow_x_00001.jpg")
    source = open_source(f"flow_images:{tmp_path},fps={FPS}")
    rows = evaluate("linear", TinyFlow(width=4), source, SPEC, clips=1)
    mean = next(
        row for row in rows if row.stamp.split.startswith("mean") and row.stamp.metric == "top1"
    )
    assert mean.value > 0.9
    assert mean.unreadable == 1
    inputs = FlowInput(TinyFlow(width=4), size=28, fields=2, frame_interval=1 / FPS)
    task, rng = Rotation(inputs), generator(0, 0, 0)
    example = task.example(source.read(6, task.plan(source.info(6), rng)), rng)
    assert example["frames"].shape == (2, 2, 32, 32)
    assert example["frames"][0].float().mean() > 4
