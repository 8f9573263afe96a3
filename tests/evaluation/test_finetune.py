"""Fine-tuning: learns what labels tell, averages clips, and leaves everything else alone."""

import math

import evaluation_fakes as fakes
import pytest
import torch
from helpers import audio_times
from task_kit import build_encoder
from torch import nn

from pretexto.datasets.source import Subset
from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.video import TinyVideo
from pretexto.errors import InputError
from pretexto.evaluation.clip_dataset import ClipSet
from pretexto.evaluation.evaluate import evaluate
from pretexto.evaluation.finetune import Tuning, _Tuner, finetune
from pretexto.evaluation.learning_rate import adamw
from pretexto.evaluation.splits import Split
from pretexto.evaluation.training_clips import TrainingClips, augment, collate, training_loader
from pretexto.modalities.input_spec import InputSpec, as_float
from pretexto.modalities.media import Plan, Sample

VIEW = InputSpec("video", size=16, frames=4, frame_interval=0.2)
QUICK = Tuning(epochs=25, batch_size=8, lr=5e-3)


class Ramps(fakes.Listed):
    """Grey clips that brighten (label 1) or darken (label 0); or their labels say nothing."""

    def __init__(self, count: int = 64, *, honest: bool = True):
        rng = torch.Generator().manual_seed(0)
        self.up = torch.arange(count) % 2 == 1
        labels = self.up.int() if honest else torch.randint(2, (count,), generator=rng)
        super().__init__(labels.tolist(), classes=("down", "up"))
        self.base = 60 + 80 * torch.rand(count, generator=rng)

    def info(self, i):
        return fakes.MediaInfo(self.name(i), "video", duration=2.0, fps=10, frames=20)

    def read(self, i, plan: Plan) -> Sample:
        times = torch.tensor(plan.times, dtype=torch.float64)
        slope = 40.0 if self.up[i] else -40.0
        level = (self.base[i] + slope * (times - 1)).clamp(0, 255)
        side = plan.short_side or 16
        frames = level.view(-1, 1, 1, 1).expand(-1, 3, side, side + 4).to(torch.uint8)
        return Sample(frames=frames.clone(), times=times)


def cut(count: int = 64) -> Split:
    return Split("test", tuple(range(20)), tuple(range(20, 24)), tuple(range(24, count)))


def encoder() -> TinyVideo:
    torch.manual_seed(0)
    return build_encoder(TinyVideo)


def top1(source, seed: int = 0, **how) -> float:
    tuned = finetune(encoder(), source, VIEW, cut(), 2, tuning=QUICK, seed=seed, clips=2, **how)
    return next(o.value for o in tuned if o.metric == "top1")


def prepared(clips: TrainingClips, *drawn: tuple[int, int]) -> torch.Tensor:
    """The encoder inputs of these (epoch, example) as one batch."""
    batch, failed = collate([clips[one] for one in drawn])
    assert batch is not None
    assert failed == []
    return augment(batch, clips.spec.size)


def test_the_direction_of_time_is_learned_and_not_from_labels_that_say_nothing():
    # Measured over five seeds: always 1.
    assert top1(Ramps()) == 1.0
    # Measured over five seeds on these 40 test clips: 0.5 to 0.625; chance is 0.5.
    assert top1(Ramps(honest=False)) < 0.8


class Pitches(fakes.Listed):
    """Two seconds of a high (label 1) or low (label 0) tone, loud or not."""

    def info(self, i):
        return fakes.MediaInfo(self.name(i), "audio", duration=2.0, audio_rate=8000,
                               audio_channels=1, audio_duration=2.0)  # fmt: skip

    def read(self, i, plan: Plan) -> Sample:
        t = audio_times(plan)
        hertz = 350 + 250 * self.label(i) + 10 * (i % 7)
        tone = (0.1 + 0.02 * (i % 5)) * torch.sin(2 * torch.pi * hertz * t)
        return Sample(audio=tone.float()[None], audio_rate=plan.audio[0].rate)


def test_sound_is_fine_tuned_on_random_stretches():
    source, view = Pitches([0, 1] * 20), InputSpec("audio", seconds=0.5, rate=16000)
    torch.manual_seed(0)
    split = Split("test", tuple(range(20)), (), tuple(range(20, 40)))
    tuning = Tuning(epochs=8, batch_size=8, lr=5e-3)
    found = finetune(build_encoder(TinyAudio), source, view, split, 2, tuning=tuning, clips=3)
    top = next(o for o in found if o.metric == "top1")
    # Measured over five seeds: always 1.
    assert top.value == 1.0
    assert "random clips, gain 0.5 … 1.5, scores averaged" in top.recipe
    assert "mirrored" not in top.recipe
    clips = TrainingClips(source, view, 0, (1.0, 1.0), False)
    drawn = prepared(clips, *((epoch, 1) for epoch in range(12)))
    loudness = drawn.square().mean((1, 2)).sqrt() * 2**0.5 / 0.12
    assert drawn.shape == (12, 1, 8000)
    assert 0.5 <= loudness.min() < 0.8
    assert 1.2 < loudness.max() <= 1.5


def test_like_seeds_give_like_numbers_whatever_loads_and_nothing_else_changes():
    model, source = encoder(), Ramps()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    tuning = Tuning(epochs=2, batch_size=8, lr=(1e-3, 3e-3))
    found = [
        finetune(model, source, VIEW, cut(), 2, tuning=tuning, seed=1, clips=2, workers=w)
        for w in (0, 0, 1)
    ]
    assert torch.equal(torch.rand(3), want)
    assert model.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    for other in found[1:]:
        assert torch.equal(found[0][0].confusion, other[0].confusion)
        assert [o.value for o in other] == [o.value for o in found[0]]


def test_a_medium_scores_the_mean_of_its_clips_and_crops():
    source = Ramps(5)
    model = nn.Sequential(encoder(), nn.Linear(32, 2)).eval()
    clips = ClipSet(source, VIEW, 3, 3)
    tuner = _Tuner(encoder(), source, VIEW, 2, QUICK, 0, 3, 3, 0, torch.device("cpu"))
    scores = tuner.scores(model, range(5)).exp()
    with torch.inference_mode():
        for i in range(5):
            number, stack = clips[i]
            assert number == i
            assert len(stack) == 9
            each = torch.stack([model(as_float(x[None]))[0].softmax(0) for x in stack])
            torch.testing.assert_close(scores[i], each.mean(0), rtol=1e-4, atol=1e-5)


def test_what_is_drawn_depends_on_seed_epoch_and_example_alone():
    source = Ramps(6)
    one, two = (TrainingClips(source, VIEW, seed, (0.5, 1.0), True) for seed in (0, 1))
    again = TrainingClips(Subset(source, range(6)), VIEW, 0, (0.5, 1.0), True)
    first = prepared(one, (0, 3))
    assert first.shape == (1, 3, 4, 16, 16)
    assert first.dtype == torch.float32
    assert torch.equal(first, prepared(again, (0, 3)))
    assert not torch.equal(first, prepared(one, (1, 3)))
    assert not torch.equal(first, prepared(two, (0, 3)))
    with pytest.raises(InputError, match="a seed is 0 or more, not -1"):
        TrainingClips(source, VIEW, -1, (0.5, 1.0), True)[0, 3]


def test_frames_travel_as_bytes_and_a_batch_of_unlike_proportions_means_the_same_parts():
    wide, tall = (fakes.Clock([0, 1], width=w, height=h) for w, h in [(24, 18), (18, 32)])

    class Mixed(fakes.Clock):
        def read(self, i, plan):
            return (wide, tall)[i].read(i, plan)

    clips = TrainingClips(Mixed([0, 1]), VIEW, 0, (0.3, 1.0), True)
    assert clips[0, 0]["input"].dtype == torch.uint8
    drawn = [(epoch, i) for epoch in range(8) for i in (0, 1)]
    together = prepared(clips, *drawn)
    alone = torch.cat([prepared(clips, one) for one in drawn])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("source", "view"),
    [(Ramps(2), VIEW), (Pitches([0, 1]), InputSpec("audio", seconds=0.5, rate=16000))],
    ids=["pictures", "sound"],
)
def test_training_clips_start_all_over_the_medium(monkeypatch, source, view):
    read, starts = source.read, []

    def watched(i, plan):
        starts.append(plan.audio[0].start if plan.audio else plan.times[0])
        return read(i, plan)

    monkeypatch.setattr(source, "read", watched)
    clips = TrainingClips(source, view, 0, (0.5, 1.0), True)
    for epoch in range(200):
        clips[epoch, 1]
    room = 2.0 - view.span
    assert len(set(starts)) == 200
    assert min(starts) >= 0
    assert max(starts) <= room
    # Of 200 even draws a tenth of the room has none by a chance of 0.9^200, 7e-10.
    counts = torch.histc(torch.tensor(starts), bins=10, min=0, max=room)
    assert counts.min() > 0


def test_every_epoch_shows_each_example_once_in_an_order_of_its_own():
    clips = TrainingClips(Ramps(6), VIEW, 0, (1.0, 1.0), False)
    batches = list(training_loader(clips, 3, 3, 0).batch_sampler)
    assert [len(b) for b in batches] == [3] * 6
    epochs = [batches[k] + batches[k + 1] for k in (0, 2, 4)]
    assert [sorted(i for _, i in e) for e in epochs] == [list(range(6))] * 3
    assert len({tuple(i for _, i in e) for e in epochs}) > 1
    # A rest of one is left out; fewer examples than a batch are one batch.
    assert len(training_loader(clips, 1, 5, 0)) == 1
    assert len(next(iter(training_loader(clips, 1, 50, 0))).batch["label"]) == 6


def test_rows_carry_the_whole_recipe():
    source = Ramps(24)
    source.parts = ["train"] * 16 + ["test"] * 8
    tuning = Tuning(epochs=1, batch_size=8, lr=0.002, flip=False)
    rows = evaluate("finetune", encoder(), source, VIEW, clips=2, tuning=tuning, seed=3)
    top = next(r for r in rows if r.stamp.metric == "top1")
    assert (top.n_train + top.n_val, top.n_test, top.level) == (16, 8, "embedding")
    assert sum(map(sum, top.confusion)) == 8
    for words in ("lr 0.002", "1 epochs", "batch 8", "not mirrored", "0.35 … 1"):
        assert words in top.stamp.recipe


def test_fine_tuning_tests_ten_clips_and_probes_look_at_three_unless_told(monkeypatch):
    source = Ramps(24)
    source.parts = ["train"] * 16 + ["test"] * 8
    read, tested = source.read, []
    monkeypatch.setattr(
        source, "read", lambda i, plan: tested.append(len(plan.times)) or read(i, plan)
    )
    how = {"tuning": Tuning(epochs=1, batch_size=8, lr=1e-3)}
    for clips, probed, looked in [(None, 3, 10), (2, 2, 2)]:
        tested.clear()
        rows = evaluate(["knn", "finetune"], encoder(), source, VIEW, clips=clips, **how)
        stamped = {(r.stamp.method, r.stamp.clips, r.stamp.crops) for r in rows}
        assert stamped == {("knn", probed, 1), ("finetune", looked, 1)}
        # 24 media once for features, 16 in the epoch, 8 in the test; 4 frames per clip.
        assert tested == [4 * probed] * 24 + [4] * 16 + [4 * looked] * 8


def test_the_rate_is_the_best_on_validation_and_every_rate_sees_the_same_batches(monkeypatch):
    source, seen = Ramps(40), []
    split = Split("s", tuple(range(16)), tuple(range(16, 24)), tuple(range(24, 40)))
    # A rate that moves nothing, one that learns, one that destroys: on validation and on test.
    rates = (1e-9, 5e-3, 1e3)
    tuning = Tuning(epochs=12, batch_size=8, lr=rates)
    step = _Tuner._step
    monkeypatch.setattr(
        _Tuner,
        "_step",
        lambda self, m, o, x, y: seen.append(x.sum().item()) or step(self, m, o, x, y),
    )
    found = finetune(encoder(), source, VIEW, split, 2, tuning=tuning, clips=2)
    assert {o.lr for o in found} == {5e-3}
    assert found[0].validation == 1.0
    assert "lr picked on val from 1e-09, 0.005, 1000" in found[0].recipe
    # 16 examples are two batches: 24 steps of three networks, then three a pass of one network.
    tried, final = seen[:72], seen[72:]
    assert tried[::3] == tried[1::3] == tried[2::3]
    assert len(set(tried)) > 20
    assert len(final) == 36
    one = Tuning(epochs=12, batch_size=8, lr=5e-3)
    alone = finetune(encoder(), source, VIEW, split, 2, tuning=one, clips=2)
    assert [o.value for o in alone] == [o.value for o in found]
    assert (alone[0].validation, alone[0].lr) == (None, 5e-3)


def test_the_test_part_has_no_say_in_the_rate(monkeypatch):
    source = Ramps(24)
    split = Split("s", tuple(range(8)), tuple(range(8, 16)), tuple(range(16, 24)))
    scored = []
    scores = _Tuner.scores
    monkeypatch.setattr(
        _Tuner, "scores", lambda self, m, e: scored.append(tuple(e)) or scores(self, m, e)
    )
    tuning = Tuning(epochs=1, batch_size=8, lr=(1e-3, 1e-2))
    finetune(encoder(), source, VIEW, split, 2, tuning=tuning, clips=1)
    assert scored == [split.val, split.val, split.test]


def test_without_validation_examples_the_middle_rate_is_taken():
    split = Split("s", tuple(range(16)), (), tuple(range(16, 24)))
    tuning = Tuning(epochs=1, batch_size=8, lr=(1e-4, 1e-3, 1e-2))
    found = finetune(encoder(), Ramps(24), VIEW, split, 2, tuning=tuning, clips=1)
    assert {(o.lr, o.validation) for o in found} == {(1e-3, None)}


def test_weights_move_in_one_kernel_and_biases_are_not_decayed():
    optimizer, schedule = adamw(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), 0.1, 0.5, 100)
    assert optimizer.defaults["fused"]
    decays = {p.ndim: g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert decays == {2: 0.5, 1: 0.0}
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert max(rates) == pytest.approx(0.1)
    assert rates.index(max(rates)) == 9
    assert rates[-1] < 1e-4


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch_size": 1}, {"lr": 0.0}, {"lr": ()}, {"lr": (0.1, math.nan)}]
)
def test_impossible_recipes_are_refused(wrong):
    with pytest.raises(InputError):
        Tuning(**wrong)
