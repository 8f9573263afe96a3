"""Each change that a task on sound offers reaches the sound, or the pictures, and no other does."""

import inspect
import math

import pytest
import torch
from spelled_media import drawn
from task_kit import build_encoder, make_task
from torch import Tensor

from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.video import TinyVideo
from pretexto.errors import InputError
from pretexto.modalities.media import Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.modalities.transforms import audio
from pretexto.tasks.audio_simclr import AudioSimCLR
from pretexto.tasks.audio_visual import AudioVisual
from pretexto.tasks.cola import COLA
from pretexto.tasks.cross_modal import CrossModal
from pretexto.tasks.parts.sound_changes import DRAWN, SoundChanges, SoundGuards
from pretexto.tasks.parts.transforms import stacked
from pretexto.tasks.synchrony import Synchrony
from pretexto.tasks.task import Batch, Task

RATE = 16000
OFF = {"mix": 0.0, "shift": 0.0, "masks": 0, "noise": 0.0, "loudness": False, "equalise": False}


def masked(x: Tensor, of: Batch) -> Tensor:
    return audio.apply_masks(audio.apply_filter(x, RATE, bands=of["bands"]), of["masks"])


# The options, and what becomes of [B, 1, N] with what they draw, said without `SoundChanges`.
CHANGES = {
    "mix": ({"mix": 0.5}, lambda x, of: audio.apply_mixup(x, of["mix"])),
    "shift": ({"shift": 0.3}, lambda x, of: audio.apply_shift(x, of["shift"])),
    "masks": ({"masks": 2, "mask": 0.3}, masked),
    "noise": ({"noise": 1.0}, lambda x, of: audio.apply_noise(x, of["noise"])),
    "loudness": ({"loudness": True}, lambda x, of: audio.apply_level(x, of["loudness"])),
    "equalise": ({"equalise": True}, lambda x, of: audio.apply_filter(x, RATE, gains=of["gains"])),
}
each_change = pytest.mark.parametrize("name", CHANGES)


def hiss(i: int, plan: Plan) -> Sample:
    """Noise, and one still picture, darker on the left, wherever it is read."""
    assert plan.audio
    samples = sum(span.samples for span in plan.audio)
    sound = 0.1 * torch.randn(1, samples, generator=generator(i, 0, 0))
    shade = (
        torch.linspace(60, 180, 40).expand(3, 40, 40) * torch.tensor([1.0, 0.8, 0.5])[:, None, None]
    )
    frames = shade.byte().expand(max(len(plan.times), 1), -1, -1, -1)
    times = torch.tensor(plan.times, dtype=torch.float64)
    seen = {"frames": frames, "times": times} if plan.times else {}
    return Sample(**seen, audio=sound.clamp(-1, 1), audio_rate=plan.audio[0].rate)


@each_change
def test_each_change_of_sound_is_applied(name):
    options, expected = CHANGES[name]
    x = 0.1 * torch.randn(4, 1, RATE, generator=generator(0, 0, 0))
    switches = {key: options.get(key, False) for key in ("loudness", "equalise")}
    changes = SoundChanges(**{key: v for key, v in options.items() if key not in switches})
    of = stacked([changes.draw(generator(0, 0, i), SoundGuards(**switches)) for i in range(4)])
    assert changes.draw(generator(0, 0, 0), SoundGuards(**switches)).keys() <= set(DRAWN)
    changed = changes.apply(x, of, RATE)
    assert torch.equal(changed, expected(x, of).clamp(-1, 1))
    assert ((changed - x).abs().amax((1, 2)) > 1e-3).all()


@each_change
@pytest.mark.parametrize("cls", [AudioSimCLR, COLA])
def test_a_task_on_sound_alone_takes_each_of_them(cls, name):
    options, expected = CHANGES[name]
    task = make_task(cls, build_encoder(TinyAudio), **(OFF | options))
    batch = drawn(task, 4, make=hiss)
    data = task.augment(batch)
    for k, side in enumerate(("first", "second")):
        raw, of = batch["audio"][:, k], {key: v[:, k] for key, v in batch.items() if v.ndim > 1}
        assert torch.equal(data[side], expected(raw, of).clamp(-1, 1))
        assert not torch.equal(data[side], raw)
    plain = make_task(cls, build_encoder(TinyAudio), **OFF)
    raw = drawn(plain, 4, make=hiss)
    assert torch.equal(plain.augment(raw)["first"], raw["audio"][:, 0])


def test_masks_silence_a_segment_of_the_sound_beside_a_clip():
    quiet = {"loudness": False, "equalise": False}
    task = pair_task(CrossModal, masks=1, mask=0.4, **quiet)
    batch = drawn(task, make=hiss)
    data = task.augment(batch)
    of = {key: batch[key][:, 0] for key in ("masks", "bands")}
    assert torch.equal(data["audio"], masked(batch["audio"], of).clamp(-1, 1))
    share = (data["audio"] == 0).float().mean((1, 2))
    torch.testing.assert_close(share, of["masks"][:, 0, 1], atol=1e-3, rtol=0)
    assert share.max() > 0.2
    plain = pair_task(CrossModal, masks=0, **quiet)
    unchanged = drawn(plain, make=hiss)
    assert torch.equal(plain.augment(unchanged)["audio"], unchanged["audio"])


PAIRS = [
    (AudioVisual, {}),
    (AudioVisual, {"negatives": "same_video"}),
    (Synchrony, {}),
    (CrossModal, {}),
    (CrossModal, {"within_video": 1.0}),
]
each_pair = pytest.mark.parametrize(
    ("cls", "options"), PAIRS, ids=lambda v: v.__name__ if isinstance(v, type) else "".join(v)
)


def pair_task(cls: type[Task], **options) -> Task:
    plain = {"size": 32, "frames": 4, "colour": 0}
    encoders = build_encoder(TinyVideo), build_encoder(TinyAudio)
    return make_task(cls, *encoders, **(plain | options))


def pictures(cls, options) -> tuple[Tensor, ...]:
    """Clips [B, M, 3, T, S, S] of eight still films, M of each, second views behind the first."""
    task = pair_task(cls, **options)
    data = task.augment(drawn(task, make=hiss))
    views = [data[key] for key in ("inputs", "inputs_again") if key in data]
    return torch.stack(views, 1) if len(views) > 1 else views[0].unflatten(0, (8, -1))


@each_pair
def test_colour_changes_each_film_and_all_its_frames_alike(cls, options):
    plain = pictures(cls, options)
    usual = inspect.signature(cls).parameters["colour"].default
    changed = pictures(cls, {**options, "colour": usual})
    # The same crop and mirroring: the numbers are drawn whether they change anything or not.
    moved = (changed - plain).abs().amax((2, 3, 4, 5))
    # Over 12 seeds the film that changes least changes by 0.004 to 0.13.
    assert (moved > 0.001).all()
    still = changed - changed[:, :, :, :1]
    assert still.abs().max() < 1e-5, "all frames are changed alike"
    moments = changed[:, 1:] - changed[:, :1]
    if "within_video" in options:
        assert moments.abs().amax((2, 3, 4, 5)).min() > 1e-3, "views are changed each in its way"
    else:
        assert moments.numel() == 0 or moments.abs().max() < 1e-5, "both moments are changed alike"


@each_pair
def test_films_are_mirrored_half_of_the_time_and_only_if_asked(cls, options):
    brighter_right = {}
    for flip in (True, False):
        x = pictures(cls, {**options, "flip": flip, "scale": (0.9, 1.0)})
        left, right = x[..., :16].mean((2, 3, 4, 5)), x[..., 16:].mean((2, 3, 4, 5))
        brighter_right[flip] = (right > left + 0.02).float().mean()
        assert ((right - left).abs() > 0.02).all()
    assert brighter_right[False] == 1
    # Over 12 seeds 0.125 to 0.75 of eight films.
    assert 0 < brighter_right[True] < 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("mix", 2), ("mix", -0.1), ("shift", 1.5), ("mask", 2), ("mask", -0.5), ("masks", -1),
        ("noise", math.nan), ("context", 0), ("context", -1), ("seconds", 0), ("outputs", 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("cls", [AudioSimCLR, COLA])
def test_options_outside_their_range_are_refused(cls, option, value):
    with pytest.raises(InputError, match=option):
        make_task(cls, build_encoder(TinyAudio), **{option: value})


@pytest.mark.parametrize(
    ("cls", "option", "value"),
    [
        (AudioVisual, "hidden", 0), (AudioVisual, "hidden", -1), (Synchrony, "hidden", 0),
        (Synchrony, "moments", 99), (Synchrony, "moments", 0), (CrossModal, "outputs", 0),
        (CrossModal, "masks", -1), (CrossModal, "mask", 2), (CrossModal, "mask", -0.5),
    ],
)  # fmt: skip
def test_so_are_those_of_the_tasks_on_picture_and_sound(cls, option, value):
    with pytest.raises(InputError, match=option):
        pair_task(cls, **{option: value})
