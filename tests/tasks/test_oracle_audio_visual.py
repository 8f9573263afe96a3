"""Audio-visual correspondence on colours and tones that spell the video and the time."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from spelled_media import SECONDS, clip_spells, drawn, medium, sound_spells, spelled, task_of

from pretexto.encoders.image import TinyImage
from pretexto.encoders.video import TinyVideo
from pretexto.errors import InputError
from pretexto.modalities.rng import generator
from pretexto.tasks.parts.sound_cues import loudness


@pytest.mark.parametrize("encoder", [TinyImage, TinyVideo])
def test_the_answer_is_what_pictures_and_sounds_spell(encoder):
    task = task_of(encoder)
    data = task.augment(drawn(task))
    assert torch.equal(data["target"], spelled(data))
    assert torch.equal(data["target"].bincount(), torch.tensor([8, 8]))
    for side in ("picture", "partner"):
        for answer in (0, 1):
            assert torch.equal(data[side][data["target"] == answer].sort().values, torch.arange(8))


@pytest.mark.parametrize(("asked", "given"), [(3, 3), (99, 7)])
def test_several_negatives_weigh_as_much_as_the_one_positive(asked, given):
    task = task_of(negatives_per_clip=asked)
    data = task.augment(drawn(task))
    assert torch.equal(data["target"], spelled(data))
    negative = data["target"] == 0
    assert len(set(zip(data["picture"].tolist(), data["partner"].tolist(), strict=True))) == len(
        negative
    )
    for side in ("picture", "partner"):
        assert torch.equal(data[side][negative].bincount(), torch.full((8,), given))
    assert data["weight"][negative].sum() == pytest.approx(8)
    assert data["weight"][~negative].sum() == 8
    # An answer that is always the same is right half of the time, however many negatives.
    step = task(data)
    assert float(step.metrics["rejected"]) == 0
    with pytest.raises(InputError, match="negatives_per_clip"):
        task_of(negatives_per_clip=0)


def test_scrambled_answers_and_swapped_sounds_are_noticed():
    task = task_of()
    data = task.augment(drawn(task))
    assert not torch.equal(data["target"].roll(3), spelled(data))
    two = task.augment(drawn(task, 2))
    swapped = {**two, "audio": two["audio"].flip(0)}
    assert torch.equal(spelled(swapped), 1 - two["target"])


def test_picture_and_sound_of_a_pair_are_of_the_same_second():
    task = task_of(TinyVideo, frames=4, frame_interval=0.1)
    for seed in range(5):
        data = task.augment(drawn(task, seed=seed))
        shown, middle = clip_spells(data["inputs"])[1], sound_spells(data["audio"], 16000)[1]
        # Half a second either way; tones and colours spell seconds to about 0.05.
        assert (shown - middle[:, None]).abs().max() <= 0.5 + 0.06


@pytest.mark.parametrize("fps", [24, 25, 29.97, 30, 60])
def test_frames_lie_inside_the_second_of_sound_at_any_rate(fps):
    task = task_of(TinyVideo, frames=3, frame_interval=0.1)
    info = medium(fps=fps, frames=round(SECONDS * fps), audio_start=0.3, audio_duration=9.0)
    places = []
    for i in range(500):
        plan = task.plan(info, generator(0, 0, i))
        assert plan.audio
        assert plan.audio[0].duration == 1.0
        assert plan.audio[0].start >= 0.3
        assert plan.audio[0].start + 1.0 <= 9.3 + 1e-9
        for t in plan.times:
            assert plan.audio[0].start <= t <= plan.audio[0].start + 1.0
        places.append(plan.times[0] - plan.audio[0].start)
    assert min(places) < 0.05
    assert max(places) > 0.75 - 0.05


def test_loudness_changes_by_a_tenth_at_most():
    for gain in (0.1, 0.0):
        task = task_of(gain=gain)
        batch = drawn(task)
        ratio = task.augment(batch)["audio"].std((1, 2)) / batch["audio"].std((1, 2, 3))
        assert ratio.min() >= 1 - gain - 1e-4
        assert ratio.max() <= 1 + gain + 1e-4
        assert (ratio.std() > 0.02) == (gain > 0)
    with pytest.raises(InputError, match="gain is a share"):
        task_of(gain=1.0)


def test_loudness_alone_tells_nothing_even_when_videos_differ_in_it():
    task = task_of(gain=0.0)
    batch = drawn(task)
    batch["audio"] = batch["audio"] * torch.linspace(0.1, 1, 8)[:, None, None, None]
    data = task.augment(batch)
    cue = loudness(data["audio"])[data["partner"]].numpy()
    probe = LogisticRegression().fit(cue, data["target"].numpy())
    assert probe.score(cue, data["target"].numpy()) == 0.5


def test_pairs_that_cannot_be_asked_do_not_count():
    task = task_of(frames=2)
    alone = task.augment(drawn(task, 1))
    assert alone["weight"].tolist() == [1, 0]
    step = task(alone)
    step.loss.backward()
    assert step.loss.isfinite()
    batch = drawn(task, 4)
    batch["index"] = torch.tensor([0, 1, 1, 2])
    assert task.augment(batch)["weight"].tolist() == [1, 1, 1, 1, 1, 0, 1, 1]


def test_impossible_options_are_refused():
    with pytest.raises(InputError, match="does not fit"):
        task_of(frames=12, frame_interval=0.1)
