"""SimCLR on sounds whose pitch spells the recording and the time."""

import pytest
import torch
import torch.nn.functional as F
from spelled_media import coded, drawn, recording, sound_spells
from task_kit import build_encoder, make_task

from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.image import TinyImage
from pretexto.errors import InputError
from pretexto.modalities.media import Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.audio_simclr import AudioSimCLR
from pretexto.tasks.parts.audio_input import AudioInput
from pretexto.tasks.parts.losses import nt_xent
from pretexto.tasks.parts.sound_changes import DRAWN

RATE = 16000
NOTHING = {
    "mix": 0.0, "masks": 0, "noise": 0.0, "loudness": False, "equalise": False,
}  # fmt: skip


def plain(**options) -> AudioSimCLR:
    """Segments that stay as they are, so that they can be read."""
    return make_task(AudioSimCLR, build_encoder(TinyAudio), **(NOTHING | options))


def test_both_segments_of_a_row_are_of_the_same_recording():
    task = plain()
    data = task.augment(drawn(task))
    for side in ("first", "second"):
        assert data[side].shape == (8, 1, RATE)
        assert torch.equal(sound_spells(data[side])[0], torch.arange(8))


def test_the_loss_asks_for_that_recording():
    """Vectors that spell the recording solve the task; with scrambled partners they fail."""
    task = plain()
    data = task.augment(drawn(task))
    vectors = [F.one_hot(sound_spells(data[k])[0], 8).float() for k in ("first", "second")]
    loss, found = nt_xent(*vectors, 0.1)
    assert float(found) == 1
    worse, lost = nt_xent(vectors[0], vectors[1].roll(3, 0), 0.1)
    assert float(lost) == 0
    assert worse > loss + 5


def test_forward_pairs_first_with_second():
    task = plain().eval()
    with torch.no_grad():
        data = task.augment(drawn(task))
        twins = {**data, "second": data["first"]}
        apart = {**data, "second": data["first"].roll(1, 0)}
        assert float(task(twins).metrics["accuracy"]) == 1
        assert task(twins).loss < task(apart).loss


def test_forward_is_cross_entropy_over_all_other_segments():
    task = make_task(AudioSimCLR, build_encoder(TinyAudio), temperature=0.3).eval()
    with torch.no_grad():
        data = task.augment(drawn(task, 5))
        z = task.projector(task.audio.encoder(torch.cat([data["first"], data["second"]])))
        z = F.normalize(z.double(), dim=1)
        logits = (z @ z.T / 0.3).masked_fill(torch.eye(10, dtype=torch.bool), -torch.inf)
        want = F.cross_entropy(logits, torch.arange(10).roll(5))
        assert float(task(data).loss) == pytest.approx(float(want), abs=1e-5)


def test_segments_lie_anywhere_within_the_context():
    task = plain(context=2.5)
    spans = [task.plan(recording(), generator(seed, 0, 0)).audio for seed in range(400)]
    starts = torch.tensor([[span.start for span in pair] for pair in spans])
    # Within 2.5 s, segments of 1 s start 1.5 s apart at most.
    apart = (starts[:, 0] - starts[:, 1]).abs()
    assert 1.35 < apart.max() <= 1.5 + 1e-6
    assert 0 <= starts.min() < 0.2
    assert 5 - 1.2 < starts.max() <= 5 - 1 + 1e-6
    # Pitch spells seconds to about 0.05: both segments are those that were planned.
    data = task.augment(drawn(task))
    plans = [task.plan(recording(), generator(0, 0, i)) for i in range(8)]
    for k, side in enumerate(("first", "second")):
        middles = torch.tensor([plan.audio[k].start + 0.5 for plan in plans])
        torch.testing.assert_close(sound_spells(data[side])[1].float(), middles, atol=0.1, rtol=0)


def test_a_short_recording_serves_as_a_whole():
    task = plain(context=4.0)
    short = recording(duration=1.3, audio_duration=1.3)
    starts = [s.start for k in range(40) for s in task.plan(short, generator(k, 0, 0)).audio]
    assert 0 <= min(starts) < 0.03
    assert 0.27 < max(starts) <= 0.3 + 1e-9
    late = recording(kind="video", duration=3.0, audio_start=0.5, audio_duration=9.0)
    for seed in range(20):
        plan = task.plan(late, generator(seed, 0, 0))
        assert len(plan.audio) == 2
        for span in plan.audio:
            # Nothing is read but the two segments.
            assert span.duration == 1
            assert span.start >= 0.5
            assert span.start + 1 <= 3.0 + 1e-9
        assert plan.times == ()


def test_views_are_changed_each_in_its_own_way():
    task = make_task(AudioSimCLR, build_encoder(TinyAudio), shift=0.2)
    batch = drawn(task)
    batch["audio"] = batch["audio"][:, :1].expand(-1, 2, -1, -1)
    data = task.augment(batch)
    for sound in (data["first"], data["second"]):
        assert sound.abs().max() <= 1
        assert sound.isfinite().all()
    for name in DRAWN:
        assert not torch.equal(batch[name][:, 0], batch[name][:, 1]), name
    assert ((data["first"] - data["second"]).abs().amax((1, 2)) > 0.01).all()


def half_silent(i: int, plan: Plan) -> Sample:
    """Odd recordings are silent in their second segment."""
    sample = coded(i, plan)
    assert sample.audio is not None
    audio = sample.audio.clone()
    audio[:, RATE:] *= i % 2 == 0
    return Sample(audio=audio, audio_rate=RATE)


def test_silent_pairs_neither_search_nor_are_found():
    """The loss, its gradient and the score are those of the batch without them."""
    for on in (True, False):
        task = plain(silence=on, temperature=0.3).eval()
        data = task.augment(drawn(task, make=half_silent))
        assert data["weight"].tolist() == ([1, 0] * 4 if on else [1] * 8)
        rest = {name: value[::2] for name, value in data.items()}
        both = [task(batch) for batch in (data, rest)]
        grads = [torch.autograd.grad(step.loss, list(task.parameters())) for step in both]
        gap = max(float((a - b).abs().max()) for a, b in zip(*grads, strict=True))
        assert (abs(float((both[0].loss - both[1].loss).detach())) < 1e-5) == on
        assert (gap < 1e-5) == on
        assert float(both[0].metrics["rejected"]) == (0.5 if on else 0)
        if on:
            assert both[0].metrics["accuracy"] == both[1].metrics["accuracy"]


@pytest.mark.parametrize(
    "options", [{"temperature": 0.0}, {"layers": 4}, {"mix": 1.5}, {"noise": -1}, {"seconds": 0}]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options)).replace("layers", "head")):
        plain(**options)


def test_an_encoder_of_another_modality_is_refused():
    with pytest.raises(InputError, match="one of image"):
        AudioInput(build_encoder(TinyImage))
