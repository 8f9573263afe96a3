"""Pictures of puzzles: what is drawn is what the task showed."""

import media_factory as make
import numpy as np
import pytest
import torch
from comparison_fakes import Films, turned
from matplotlib.figure import Figure
from PIL import Image
from task_kit import make_task

from pretexto.cli import main
from pretexto.datasets.source import Subset
from pretexto.encoders.image import TinyImage
from pretexto.errors import InputError
from pretexto.evaluation.features import Features
from pretexto.evaluation.splits import Split
from pretexto.modalities.input_spec import InputSpec
from pretexto.modalities.media import MediaError
from pretexto.tasks.parts.pictures import strip_over_sound
from pretexto.tasks.shuffle_learn import ShuffleLearn
from pretexto.tasks.task import Picture, Step, Task
from pretexto.visualization import motion as motion_picture
from pretexto.visualization.examples import nearest, save_thumbnails
from pretexto.visualization.puzzles import correct, draw_pictures, puzzles, save_image, to_pixels

RED, GREEN = torch.zeros(3, 8, 8), torch.zeros(3, 8, 8)
RED[0], GREEN[1] = 1.0, 1.0


class Shown(Task):
    """Wraps the fake task and draws each frame with what it is."""

    def __init__(self):
        super().__init__()
        self.inner = turned()
        self.modes = []

    @property
    def encoders(self):
        return self.inner.encoders

    @property
    def specs(self):
        return self.inner.specs

    def plan(self, info, rng):
        return self.inner.plan(info, rng)

    def example(self, sample, rng):
        return self.inner.example(sample, rng)

    def augment(self, batch):
        return self.inner.augment(batch)

    def forward(self, batch, phase=None):
        self.modes.append(self.training)
        frames, index = batch["frame"], batch["index"].tolist()
        pictures = [
            Picture([f], ["c"], str(i), f"{i} (50 %)") for f, i in zip(frames, index, strict=True)
        ]
        return Step(torch.zeros(()), {}, lambda: pictures)


class FirstTwo(Shown):
    """Draws two of every batch."""

    def forward(self, batch, phase=None):
        step = super().forward(batch, phase)
        return Step(step.loss, {}, lambda: step.pictures()[:2])


def test_pixels_are_rounded_and_held_in_range():
    image = torch.tensor([-1.0, 0.5, 2.0]).view(3, 1, 1)
    assert to_pixels(image).tolist() == [[[0, 128, 255]]]


def test_small_images_are_enlarged_without_blur(tmp_path):
    image = torch.stack([RED[0], GREEN[1] * 0, RED[0] * 0])
    image[:, :, 4:] = GREEN[:, :, 4:]
    save_image(image, tmp_path / "deep" / "x.png", 64)
    pixels = np.asarray(Image.open(tmp_path / "deep" / "x.png"))
    assert pixels.shape == (64, 64, 3)
    assert (pixels[:, :32] == [255, 0, 0]).all()
    assert (pixels[:, 32:] == [0, 255, 0]).all()


def test_a_sheet_shows_each_image_in_its_row_and_place(tmp_path):
    rows = [
        Picture([RED, GREEN], ["left", "right"], "a", "a (90 %)"),
        Picture([GREEN], ["alone"], "b", "a (60 %)"),
    ]
    path = draw_pictures(rows, tmp_path / "folder" / "sheet.png", title="what it sees")
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    reds, greens = centres(pixels, [255, 0, 0]), centres(pixels, [0, 255, 0])
    assert len(reds) == 1
    assert len(greens) == 2
    (ry, rx), (upper, lower) = reds[0], sorted(greens)
    assert upper[0] == pytest.approx(ry, abs=2)
    assert upper[1] > rx
    assert lower[0] > upper[0]
    assert lower[1] == pytest.approx(rx, abs=2)


def centres(pixels, colour):
    """Centres (y, x) of connected areas of exactly one colour."""
    from scipy.ndimage import center_of_mass, label

    mask = (pixels == colour).all(-1)
    areas, count = label(mask)
    sizes = [(areas == k + 1).sum() for k in range(count)]
    return [center_of_mass(mask, areas, k + 1) for k in range(count) if sizes[k] > 1000]


def test_answer_and_prediction_of_any_length_stand_apart_on_the_sheet(tmp_path, monkeypatch):
    kept: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: kept.append(self))
    rows = [
        Picture([RED, GREEN], ["a stretch (time to the right)"] * 2, "the sound of another video",
                "the sound of this very video (54 %)"),
        Picture([RED.repeat(1, 1, 4)], ["seen"], "in step", "out of step (51 %)"),
    ]  # fmt: skip
    draw_pictures(rows, tmp_path / "x.png")
    (figure,) = kept
    written = [text.get_text() for text in figure.texts]
    assert "Answer: the sound of another video" in written
    assert "Said: out of step (51 %) ✗" in written
    boxes = [text.get_window_extent() for text in figure.texts]
    boxes += [axes.get_window_extent() for axes in figure.axes]
    for k, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert 0 <= box.y0 < box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[:k])


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 32), (20, 32), (12, 8), (16, 32)])
def test_pixels_stay_square(tmp_path, height, width):
    image = torch.zeros(3, height, width)
    image[0] = 1.0
    path = draw_pictures([Picture([image], ["c"], "a", "")], tmp_path / "x.png")
    red = (np.asarray(Image.open(path).convert("RGB")) == [255, 0, 0]).all(-1)
    rows, columns = red.any(1).sum(), red.any(0).sum()
    assert rows / columns == pytest.approx(height / width, rel=0.04)
    assert columns > 160


def test_a_film_stands_above_its_sound_on_one_time_axis():
    clip = (torch.arange(8) / 10).view(1, 8, 1, 1).expand(3, 8, 16, 16)
    t = torch.arange(16000 * 8 // 10) / 16000
    sound = 0.3 * torch.sin(2 * torch.pi * 500 * t)[None] * (t > 0.6)
    sheet = strip_over_sound(clip, 0.1, sound, 16000)
    assert sheet.shape == (3, 33, 64)
    # The frame in the middle of each quarter, and the tone from three quarters on.
    for k, shade in enumerate((0.1, 0.3, 0.5, 0.7)):
        assert torch.equal(sheet[:, :16, 16 * k : 16 * k + 16], torch.full((3, 16, 16), shade))
    below = sheet[0, 17:].amax(0)
    assert below[:45].max() < 0.1
    assert below[50:].min() > 0.5
    late = strip_over_sound(clip[:, :4], 0.1, sound, 16000)
    assert late[:, :16, 32:].min() == 1, "the clip has ended"


def test_nothing_to_draw_is_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to draw"):
        draw_pictures([], tmp_path / "x.png")
    with pytest.raises(InputError, match="FakeTask makes no pictures"):
        puzzles(turned(), Films())


@pytest.mark.parametrize(
    ("answer", "prediction", "verdict"),
    [
        ("turned by 90° counter-clockwise", "90° (87 %)", True),
        ("turned by 90° counter-clockwise", "0° (87 %)", False),
        ("in order", "shuffled (51 %)", False),
        ("in order", "in order (51 %)", True),
        ("these two belong together", "partner ranks 3 of 8", None),
        ("a", "", None),
    ],
)
def test_a_prediction_is_judged_only_where_it_can_be(answer, prediction, verdict):
    assert correct(Picture([], [], answer, prediction)) is verdict


def test_puzzles_come_from_all_over_the_source_and_leave_the_task_as_it_was(untouched_rng):
    task = Shown()
    task.train()
    found = puzzles(task, Films(count=80), count=4, predict=True)
    assert [p.answer for p in found] == ["0", "10", "20", "30"]
    assert found[0].prediction == "0 (50 %)"
    assert task.training
    assert task.modes == [False]
    assert puzzles(task, Films(count=80), count=2)[0].prediction == ""


def test_as_many_puzzles_as_are_wanted_though_a_task_draws_few_of_a_batch():
    task = FirstTwo()
    drawn = puzzles(task, Films(count=30), count=5)
    assert len({picture.answer for picture in drawn}) == 5
    assert len(puzzles(task, Films(count=17), count=5)) == 4, "they make two batches of eight"


def test_puzzles_pass_over_what_cannot_be_read():
    found = puzzles(Shown(), Films(count=80, broken=(0, 10)), count=80, predict=True)
    assert {p.answer for p in found}.isdisjoint({"0", "10"})
    assert len(found) == 78
    with pytest.raises(InputError, match=r"no example could be drawn.*the stream ends early"):
        puzzles(Shown(), Films(count=4, broken=range(4)))


def test_neighbours_are_the_nearest_of_the_training_part():
    angles = torch.tensor([0.0, 0.1, 0.2, 0.3, 1.5, 0.12, 0.01])
    x = torch.stack([angles.cos(), angles.sin()], 1)
    # Example 3 could not be read: positions and numbers differ.
    numbers = torch.tensor([0, 1, 2, 4, 5, 6, 7])
    labels = torch.tensor([0, 0, 1, 1, 1, 0, 1])
    features = Features({"embedding": x}, torch.ones_like(labels), labels, numbers)
    split = Split("test", train=(0, 1, 2, 3, 4), val=(5,), test=(6, 7))
    first, second = nearest(features, split)
    assert first == {"query": 6, "hits": [1, 2, 0, 4, 5]}
    assert second == {"query": 7, "hits": [0, 1, 2, 4, 5]}


class Tall(Films):
    """Portrait frames: red above, green below."""

    def read(self, i, plan):
        if i in self.broken:
            raise MediaError(self.name(i), "decode", "torn")
        sample = super().read(i, plan)
        side = plan.short_side
        frames = torch.zeros(len(plan.times), 3, 2 * side, side, dtype=torch.uint8)
        frames[:, 0, :side], frames[:, 1, side:] = 255, 255
        return type(sample)(frames=frames, times=sample.times)


def test_thumbnails_are_central_squares_and_name_what_failed(tmp_path):
    source = Subset(Tall(broken=(4,)), range(24))
    save_thumbnails(source, InputSpec("image", size=8, frames=1), [2, 4], tmp_path)
    picture = np.asarray(Image.open(tmp_path / "2.jpg"))
    assert picture.shape == (144, 144, 3)
    assert picture[:60].mean((0, 1)) == pytest.approx([255, 0, 0], abs=12)
    assert picture[84:].mean((0, 1)) == pytest.approx([0, 255, 0], abs=12)
    text = (tmp_path / "thumbnails.json").read_text()
    assert "decode: torn" in text
    assert not (tmp_path / "4.jpg").exists()


def film(path, moving=20, seconds=4.0):
    """At ten frames per second, still in its first half, at `moving` % per second in the other."""
    times = np.arange(round(10 * seconds)) / 10
    return make.write(path, make.drifting(moving * (times - seconds / 2).clip(0)), times.tolist())


def test_the_motion_picture_shows_the_windows_of_the_moving_part(tmp_path, monkeypatch):
    drawn = []
    real = motion_picture._draw
    monkeypatch.setattr(motion_picture, "_draw", lambda *a: [drawn.append(a), real(*a)])
    task = make_task(ShuffleLearn, TinyImage(width=2), size=16, tau_min=0.2, tau_max=0.4)
    motion_picture.draw_motion(film(tmp_path / "x.mp4"), task, tmp_path / "new" / "x.png")
    assert Image.open(tmp_path / "new" / "x.png").size == (1100, 700)
    _, found, chosen, name, _ = drawn[0]
    assert name == "ShuffleLearn"
    assert found.info.motion[3] > 10 * found.info.motion[0]
    late = np.mean([times.mean() > 1.9 for times in chosen])
    assert late > 0.9
    picture = tmp_path / "still.png"
    Image.fromarray(make.card(1)).save(picture)
    with pytest.raises(InputError, match="this is none"):
        motion_picture.draw_motion(picture, task, tmp_path / "x.png")


def test_the_motion_curve_shows_what_moves_within_a_second(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    drawn = {}
    monkeypatch.setattr(
        Axes,
        "stairs",
        lambda self, values, edges, label="", **_: drawn.update(
            {label: (np.array(values), np.array(edges), self)}
        ),
    )
    monkeypatch.setattr(Axes, "legend", lambda *_, **__: None)
    task = make_task(ShuffleLearn, TinyImage(width=2), size=16, tau_min=0.02, tau_max=0.05)
    motion_picture.draw_motion(film(tmp_path / "x.mp4", seconds=1.0), task, tmp_path / "x.png")
    (whole,), _, axes = drawn["by the second"]
    speeds, times, _ = drawn["by the frame"]
    assert times == pytest.approx(np.arange(10) / 10)
    assert speeds[:5].max() < 2
    # The tolerance of `test_motion.py`.
    assert speeds[5:] == pytest.approx([20] * 4, rel=0.15)
    assert whole == pytest.approx(speeds.mean(), rel=1e-3)
    assert axes.get_ylabel().split() == "motion by flow: % of the longer side per second".split()


def test_what_a_motion_picture_cannot_be_made_of_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "x.zip").write_bytes(b"PK")
    out = ["--out", str(tmp_path / "x.png")]
    movie = ["show", "--motion", str(film(tmp_path / "x.mp4")), *out]
    for words, said in (
        ([*movie, "--data", str(tmp_path)], "leave out --data"),
        (["show", "--motion", str(tmp_path / "x.zip"), *out], "an archive; unpack it"),
        (["show", "--motion", str(tmp_path / "no.mp4"), *out], "No such file"),
    ):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert not (tmp_path / "x.png").exists()
