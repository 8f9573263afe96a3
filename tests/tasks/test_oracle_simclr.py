"""SimCLR on frames whose colour spells the medium, the time and the place."""

from dataclasses import replace

import pytest
import torch
from task_kit import build_encoder, collate, make_task
from torch import Tensor

from pretexto.encoders.image import TinyImage
from pretexto.encoders.video import TinyVideo
from pretexto.modalities.media import MediaError, MediaInfo, Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.parts.losses import nt_xent
from pretexto.tasks.parts.transforms import Blur
from pretexto.tasks.simclr import SimCLR, ViewGuards

SECONDS = 5.0


def medium(i: int) -> MediaInfo:
    return MediaInfo(f"{i}.mp4", "video", duration=SECONDS, fps=25, frames=125, height=48, width=64)


def coded(i: int, plan: Plan) -> Sample:
    """Red is the medium, green the time, blue the column."""
    times = torch.tensor(plan.times, dtype=torch.float64)
    frames = torch.zeros(len(times), 3, 48, 64)
    frames[:, 0] = 25 * i + 20
    frames[:, 1] = (times / SECONDS * 250).float()[:, None, None]
    frames[:, 2] = torch.arange(64) * 255 / 63
    return Sample(frames.to(torch.uint8), times)


def drawn(task: SimCLR, count: int = 8) -> dict[str, Tensor]:
    made = []
    for i in range(count):
        rng = generator(0, 0, i)
        made.append(task.example(coded(i, task.plan(medium(i), rng)), rng))
    return collate(made)


def plain(**options) -> SimCLR:
    """Views that keep colours, so that they can be read."""
    options = {"size": 32, "colour": False, "blur": 0.0} | options
    encoder = options.pop("encoder", TinyVideo)
    guards = ViewGuards(colour=options.pop("colour"))
    blur = Blur(p=options.pop("blur"))
    return make_task(SimCLR, build_encoder(encoder), guards=guards, blur=blur, **options)


def medium_of(view: Tensor) -> Tensor:
    return ((view[:, 0].mean((1, 2, 3)) * 255 - 20) / 25).round().long()


def seconds_of(view: Tensor) -> Tensor:
    return view[:, 1].mean((2, 3)) * 255 / 250 * SECONDS


def spelled(data: dict[str, Tensor]) -> Tensor:
    """Which second view shows the medium of each first view."""
    first, second = medium_of(data["first"]), medium_of(data["second"])
    return (first[:, None] == second).float().argmax(1)


@pytest.mark.parametrize("encoder", [TinyImage, TinyVideo])
def test_the_two_views_of_a_row_show_the_same_medium(encoder):
    task = plain(encoder=encoder)
    data = task.augment(drawn(task))
    assert torch.equal(medium_of(data["first"]), torch.arange(8))
    assert torch.equal(spelled(data), torch.arange(8))


def test_the_loss_asks_for_that_medium():
    """Vectors that spell the medium solve the task; with scrambled partners they fail."""
    task = plain()
    data = task.augment(drawn(task))
    vectors = [torch.nn.functional.one_hot(medium_of(data[k]), 8).float() for k in data]
    loss, found = nt_xent(*vectors, 0.1)
    assert float(found) == 1
    order = torch.arange(8).roll(3)
    worse, lost = nt_xent(vectors[0], vectors[1][order], 0.1)
    assert float(lost) == 0
    assert worse > loss + 5
    scrambled = {**data, "second": data["second"][order]}
    assert not torch.equal(spelled(scrambled), torch.arange(8))


def test_forward_pairs_first_with_second():
    """The task's own loss is least for its own pairing, whatever the encoder."""
    task = plain(frames=2).eval()
    with torch.no_grad():
        data = task.augment(drawn(task))
        twins = {"first": data["first"], "second": data["first"]}
        apart = {"first": data["first"], "second": data["first"].roll(1, 0)}
        assert float(task(twins).metrics["accuracy"]) == 1
        assert task(twins).loss < task(apart).loss


def test_views_are_cut_from_the_whole_picture_and_not_enlarged():
    """Blue tells the column: views lie anywhere in a wide picture, as wide as they are high."""
    task = plain(encoder=TinyImage, scale=(0.1, 0.4), flip=False)
    data = task.augment(drawn(task, 60))
    blue = torch.cat([data["first"], data["second"]])[:, 2, 0].mean(1) * 63  # columns of 64
    assert blue.min() < 4
    assert blue.max() > 59
    # An area of 0.1 to 0.4 of 48 x 64 pixels at a ratio of 3/4 to 4/3.
    wide = (blue[:, -1] - blue[:, 0]) * 32 / 31
    assert wide.min() > (0.1 * 48 * 64 * 0.75) ** 0.5 - 3
    assert wide.max() < (0.4 * 48 * 64 / 0.75) ** 0.5 + 3
    assert (wide / wide.mean()).std() > 0.1
    # A tenth of the area at 32 pixels wants 101 pixels where the medium has them.
    assert task.plan(medium(0), generator(0, 0, 0)).short_side == 48
    large = replace(medium(0), height=480, width=640)
    assert task.plan(large, generator(0, 0, 0)).short_side == 101


def test_clips_start_together_or_each_at_its_own_time():
    for together in (True, False):
        task = plain(frames=4, frame_interval=0.2, same_start=together)
        batch = drawn(task)
        first, second = (seconds_of(x) for x in task.augment(batch).values())
        # Colours are whole numbers: 1/250 of five seconds.
        for times in (first, second):
            steps = times.diff(dim=1)
            torch.testing.assert_close(steps, torch.full_like(steps, 0.2), atol=0.025, rtol=0)
        apart = (first - second).abs().max()
        assert (apart < 1e-4) if together else (apart > 0.5)


def test_all_frames_of_a_view_change_alike():
    task = make_task(SimCLR, build_encoder(TinyVideo), size=40, frames=5)
    batch = drawn(task)
    batch["views"] = batch["views"][:, :, :, :1].expand(-1, -1, -1, 5, -1, -1)
    for view in task.augment(batch).values():
        torch.testing.assert_close(view, view[:, :, :1].expand_as(view), atol=1e-6, rtol=0)


def test_colour_guard_hides_the_histogram():
    """Which of two media a view shows is read off its histogram; less well with the guard."""

    def nearest(task: SimCLR) -> float:
        sides = task.guards[0].probe(task.augment(drawn(task))).unbind(1)
        return float((torch.cdist(*sides).argmin(1) == torch.arange(8)).float().mean())

    assert nearest(plain(encoder=TinyImage, same_start=True)) > 0.8
    guarded = plain(encoder=TinyImage, colour=True)
    assert nearest(guarded) < 0.6


def test_sound_alone_is_refused():
    sound = MediaInfo("x.wav", "audio", duration=3, audio_rate=8000, audio_duration=3)
    with pytest.raises(MediaError, match="no picture"):
        plain().plan(sound, generator(0, 0, 0))
