"""The supervised control on sound: random segments of the file, at a random gain, by label."""

import pytest
import torch
from helpers import audio_times
from task_kit import batch, build_encoder, info, make_task

from pretexto.encoders.audio import TinyAudio
from pretexto.errors import InputError
from pretexto.modalities.media import MediaError, MediaInfo, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.supervised import Supervised

RATE = 16000


def task(**options):
    return make_task(Supervised, build_encoder(TinyAudio), **({"classes": 4} | options))


def clock(plan) -> Sample:
    """Sound that tells the time: second t sounds as t / 100, in two channels that differ."""
    t = audio_times(plan)
    return Sample(
        audio=torch.stack([t / 50, torch.zeros_like(t)]).float(), audio_rate=plan.audio[0].rate
    )


def drawn(seed: int, **options):
    """Start of the segment, and the example of a medium that tells the time."""
    rng, made = generator(seed, 0, 0), task(**options)
    plan = made.plan(info(0), rng)
    assert plan.times == ()
    return plan.audio[0].start, made.example(clock(plan), rng)


def test_a_segment_from_anywhere_in_the_file_mixed_down_to_one_channel():
    starts = []
    for seed in range(40):
        start, example = drawn(seed, seconds=1.5)
        starts.append(start)
        assert example["audio"].shape == (1, 24000)
        assert float(example["audio"][0, 0]) == pytest.approx(start / 100, abs=1e-6)
    # Eight seconds less a segment of one and a half leave 6.5 for its start.
    assert 0 <= min(starts) < 0.7
    assert 5.8 < max(starts) <= 6.5


def test_sound_that_starts_late_or_is_short():
    made = task()
    late = info(0, audio_start=3.0, audio_duration=3.0)
    starts = [made.plan(late, generator(seed, 0, 0)).audio[0].start for seed in range(40)]
    assert 3.0 <= min(starts) < 3.5
    assert 4.5 < max(starts) <= 5.0
    short = MediaInfo("a.wav", "audio", duration=0.4, audio_rate=8000, audio_duration=0.4)
    plan = made.plan(short, generator(0, 0, 0))
    assert (plan.audio[0].start, plan.audio[0].samples, plan.past_end) == (0.0, RATE, "repeat")
    with pytest.raises(MediaError, match="no sound track"):
        made.plan(MediaInfo("b.mp4", "video", duration=3.0), generator(0, 0, 0))


def test_the_gain_changes_and_nothing_else():
    made = task(gain=0.5)
    gains = torch.stack([drawn(seed)[1]["gain"] for seed in range(60)])
    assert 0.5 <= gains.min() < 0.6
    assert 1.4 < gains.max() <= 1.5
    data = batch(made, 4)
    again = made.augment(data)
    factor = again["inputs"].norm(dim=(1, 2)) / data["audio"].norm(dim=(1, 2))
    torch.testing.assert_close(factor, data["gain"])
    assert torch.equal(again["target"], data["label"])
    plain = task(gain=0.0)
    data = batch(plain, 4)
    assert torch.equal(plain.augment(data)["inputs"], data["audio"])
    with pytest.raises(InputError, match="gain is a share"):
        task(gain=1.0)


def test_its_picture_is_the_spectrogram_that_was_encoded():
    made = task()
    step = made(made.augment(batch(made, 4)))
    picture = step.pictures()[0]
    assert picture.images[0].shape == (3, 64, 100)
    assert picture.answer == "class 0"
