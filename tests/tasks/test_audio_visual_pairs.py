"""Other ways to pair pictures and sounds: each once, moments of one video, and without silence."""

import math

import media_factory as make
import numpy as np
import pytest
import torch
from spelled_media import clip_spells, coded, drawn, medium, sound_spells, spelled, task_of
from task_kit import collate
from torch import Tensor

from pretexto.encoders.image import TinyImage
from pretexto.encoders.video import TinyVideo
from pretexto.errors import InputError
from pretexto.modalities.decode.reader import probe, read
from pretexto.modalities.media import MediaError, Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.audio_visual import CONTEXT
from pretexto.tasks.parts.pairing import exchanged


def balanced(data: dict[str, Tensor], size: int) -> bool:
    """Every picture and every sound weighs as much in either kind of pairs."""
    weight, target = data["weight"], data["target"]
    for side in ("picture", "partner"):
        sums = [
            torch.zeros(size).index_add(0, data[side][target == a], weight[target == a])
            for a in (0, 1)
        ]
        if not torch.allclose(*sums):
            return False
    return True


def test_exchanged_pairs_are_half_own_half_exchanged_and_stand_once():
    task = task_of(negatives="exchanged")
    chosen = []
    for seed in range(6):
        data = task.augment(drawn(task, 9 if seed == 5 else 8, seed))
        assert torch.equal(data["target"], spelled(data))
        for side in ("picture", "partner"):
            assert len(set(data[side].tolist())) == len(data[side])
        right = data["weight"][data["target"] == 1].sum()
        assert right == data["weight"][data["target"] == 0].sum() == 4
        chosen.append(tuple(data["target"][:8].tolist()))
    assert len(set(chosen)) > 3, "which are exchanged is drawn"
    for i in range(8):
        assert {answers[i] for answers in chosen} == {0, 1}


def test_exchanged_pairs_of_a_video_that_stands_twice_in_the_batch_are_not_asked():
    names = torch.tensor([0, 1, 1, 2])
    met = 0
    for seed in range(12):
        order = torch.rand(4, generator=generator(seed, 0, 0))
        data = exchanged(names, torch.ones(4, dtype=torch.bool), order)
        lesser = order.argsort()[:2]
        assert sorted(lesser.tolist()) == (data["target"] == 0).nonzero()[:, 0].tolist()
        assert (names[data["picture"]] == names[data["partner"]])[data["target"] == 1].all()
        twice = sorted(lesser.tolist()) == [1, 2]
        assert data["weight"][lesser].tolist() == ([0, 0] if twice else [1, 1])
        assert data["weight"].sum() == (2 if twice else 4)
        met += twice
    assert met, "the two never met"


@pytest.mark.parametrize("encoder", [TinyImage, TinyVideo])
def test_negatives_of_the_same_video_are_other_moments_of_it(encoder):
    task = task_of(encoder, negatives="same_video")
    for seed in range(3):
        data = task.augment(drawn(task, seed=seed))
        video, shown = clip_spells(data["inputs"])
        told, middle = sound_spells(data["audio"], 16000)
        assert torch.equal(video, torch.arange(8).repeat_interleave(2))
        assert torch.equal(told, video)
        # Colours spell seconds to about 0.05: half a second either way, or a second and more.
        apart = (shown.mean(1)[data["picture"]] - middle[data["partner"]]).abs()
        assert torch.equal(data["target"], (apart <= 0.5 + 0.06).long())
        assert torch.equal(video[data["picture"]], told[data["partner"]])
        assert balanced(data, 16)


def test_moments_start_one_to_ten_lengths_apart_and_stay_inside():
    task = task_of(negatives="same_video")
    info = medium(duration=20.0, audio_start=0.3, audio_duration=19.0)
    apart = []
    for i in range(400):
        plan = task.plan(info, generator(0, 0, i))
        assert plan.audio
        early, late = plan.audio
        apart.append(late.start - early.start)
        assert early.start >= 0.3
        assert late.start + late.duration <= 19.3 + 1e-9
        # Nothing between the two is read.
        assert early.duration == late.duration == 1
        for span, times in ((early, plan.times[:8]), (late, plan.times[8:])):
            assert all(span.start <= t <= span.start + 1 + 1e-9 for t in times)
    assert 1 <= min(apart) < 1.1
    assert CONTEXT - 0.2 < max(apart) <= CONTEXT
    with pytest.raises(MediaError, match="overlap for 1.50 s, less than 2 s: lower seconds"):
        task.plan(medium(duration=1.5), generator(0, 0, 0))


@pytest.mark.parametrize(
    "options",
    [{}, {"negatives_per_clip": 3}, {"negatives": "exchanged"}, {"negatives": "same_video"}],
)
def test_silent_sounds_are_asked_of_nobody(options):
    """Videos 2 and 5 have a silent track; the others keep as many pairs of either kind."""

    def muted(i: int, plan: Plan) -> Sample:
        sample = coded(i, plan)
        assert sample.audio is not None
        loud = 0.0 if i in (2, 5) else 1.0
        return Sample(sample.frames, sample.times, sample.audio * loud, sample.audio_rate)

    task = task_of(**options)
    data = task.augment(drawn(task, make=muted))
    silent = data["audio"].abs().amax((1, 2)) == 0
    asked = data["weight"] > 0
    assert not silent[data["partner"]][asked].any()
    assert not silent[data["picture"]][asked].any()
    right = data["weight"][data["target"] == 1].sum()
    assert right == pytest.approx(float(data["weight"][data["target"] == 0].sum()))
    assert right == {"exchanged": 3, "same_video": 12}.get(options.get("negatives"), 6)
    kept = task_of(**options, silence=False)
    assert (kept.augment(drawn(kept, make=muted))["weight"] > 0).all()


def test_a_crop_of_the_papers_is_a_square_of_its_size():
    """224 of 256 pixels: the box is 7/8 of both sides, wherever it lies."""
    task = task_of(scale=(0.765625, 0.765625), ratio=(1.0, 1.0))
    boxes = drawn(task)["box"]
    torch.testing.assert_close(boxes[:, 2:], torch.full((8, 2), 0.875))
    assert boxes[:, :2].max() <= 0.125 + 1e-6
    assert boxes[:, :2].std() > 0.01


def test_options_that_exclude_each_other_are_refused():
    for other in ("exchanged", "same_video"):
        with pytest.raises(InputError, match="each picture has one wrong sound"):
            task_of(negatives_per_clip=2, negatives=other)


@pytest.mark.parametrize("fps", [24, 25, 29.97, 30, 60])
def test_frame_and_sound_of_a_real_file_are_of_the_same_second(tmp_path, fps):
    """A file whose grey tells the time and whose tone rises with it, read as a run reads it."""
    step = 1001 / 30000 if fps == 29.97 else 1 / fps
    times = [k * step for k in range(int(4 / step))]
    pictures = [np.full((48, 48, 3), round(20 + 50 * t), np.uint8) for t in times]
    at = np.arange(4 * 48000) / 48000
    tone = 0.5 * np.sin(2 * math.pi * (600 * at + 200 * at * at))
    path = make.write(tmp_path / "a.mp4", pictures, times, sound=tone[None].astype(np.float32))
    task, info = task_of(TinyImage), probe(path)
    apart = []
    for k in range(12):
        rng = generator(0, 0, k)
        example = task.example(read(path, task.plan(info, rng)), rng)
        data = task.augment(collate([{**example, "index": torch.tensor(0)}]))
        shown = (data["inputs"].mean() * 255 - 20) / 50
        hertz = torch.fft.rfftfreq(16000, 1 / 16000)
        power = torch.fft.rfft(data["audio"][0, 0]).abs().square()
        middle = ((power @ hertz) / power.sum() - 600) / 400
        apart.append(float(shown - middle))
    # A frame began up to 1 / fps before its time; grey and tone spell seconds to about 0.03.
    assert -0.5 - 1 / fps - 0.03 < min(apart) < -0.2
    assert 0.2 < max(apart) < 0.5 + 0.03
