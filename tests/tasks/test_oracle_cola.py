"""COLA on sounds whose pitch spells the recording."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers import audio_times
from task_kit import build_encoder, collate, make_task
from torch import Tensor

from pretexto.encoders.audio import TinyAudio
from pretexto.errors import InputError
from pretexto.modalities.media import MediaError, MediaInfo, Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.cola import COLA
from pretexto.tasks.parts.losses import match

SECONDS, RATE = 6.0, 16000


def medium(**changes) -> MediaInfo:
    fields = {
        "path": "x.ogg", "kind": "audio", "duration": SECONDS, "audio_rate": 44100,
        "audio_channels": 1, "audio_duration": SECONDS,
    }  # fmt: skip
    return MediaInfo(**(fields | changes))


def coded(i: int, plan: Plan) -> Sample:
    """600 Hz apart for each recording, and 20 Hz up each second."""
    t = audio_times(plan)
    tone = 0.5 * torch.sin(2 * math.pi * (600 * (i + 1) * t + 10 * t * t))
    return Sample(audio=tone.float()[None], audio_rate=RATE)


def drawn(task: COLA, count: int = 8, seed: int = 0) -> dict[str, Tensor]:
    made = []
    for i in range(count):
        rng = generator(seed, 0, i)
        made.append(task.example(coded(i, task.plan(medium(), rng)), rng))
    return collate(made)


def task_of(**options) -> COLA:
    return make_task(COLA, build_encoder(TinyAudio), **({"outputs": 32, "seconds": 0.96} | options))


def spelled(audio: Tensor) -> tuple[Tensor, Tensor]:
    """Recording and middle second that each sound [B, 1, N] spells."""
    power = torch.fft.rfft(audio[:, 0].double()).abs().square()
    hertz = torch.fft.rfftfreq(audio.shape[-1], 1 / RATE, dtype=torch.float64)
    tone = (power @ hertz) / power.sum(1)
    recording = (tone / 600).floor() - 1
    return recording.long(), (tone - 600 * (recording + 1)) / 20


def test_both_segments_of_a_row_are_of_the_same_recording_at_other_times():
    task = task_of()
    data = task.augment(drawn(task))
    (first, early), (second, late) = (spelled(data[k]) for k in ("first", "second"))
    assert data["first"].shape == (8, 1, round(0.96 * RATE))
    assert torch.equal(first, torch.arange(8))
    assert torch.equal(second, torch.arange(8))
    assert (early - late).abs().max() > 2


def test_the_loss_asks_for_that_recording():
    """Vectors that spell the recording solve the task; with scrambled partners they fail."""
    task = task_of()
    data = task.augment(drawn(task))
    first, second = (9.0 * F.one_hot(spelled(data[k])[0], 8) for k in ("first", "second"))
    loss, found = match(first, second)
    worse, lost = match(first, second.roll(3, 0))
    assert float(found) == 1
    assert float(lost) == 0
    assert worse > loss + 5


def test_loss_is_the_papers_equation_of_a_bilinear_similarity():
    """-log exp(s(x, x⁺)) / Σ exp(s(x, x′)), one anchor at a time, with W written out."""
    task = task_of().eval()
    data = task.augment(drawn(task, 6))
    with torch.no_grad():
        weight = task.similarity.weight.double()
        g = [task.projector(task.audio.encoder(data[k])).double() for k in ("first", "second")]
        assert max(x.abs().max() for x in g) <= 1
        losses = []
        for i in range(6):
            scores = torch.stack([g[1][j] @ weight @ g[0][i] for j in range(6)])
            losses.append(scores.logsumexp(0) - scores[i])
        want = torch.stack(losses).mean()
        got = task(data)
    assert float(got.loss) == pytest.approx(float(want), abs=1e-5)
    # The anchors choose among the others' second segments, not the other way round.
    swapped = {**data, "first": data["second"], "second": data["first"]}
    with torch.no_grad():
        assert abs(float(task(swapped).loss - got.loss)) > 1e-4


def test_match_is_cross_entropy_of_products():
    rng = torch.Generator().manual_seed(0)
    queries, keys = torch.randn(2, 7, 5, generator=rng, dtype=torch.float64)
    loss, found = match(queries, keys)
    scores = torch.einsum("id,jd->ij", queries, keys)
    want = F.cross_entropy(scores, torch.arange(7))
    torch.testing.assert_close(loss, want, atol=1e-12, rtol=0)
    assert float(found) == pytest.approx(2 / 7)
    same = torch.ones(7, 3)
    assert float(match(same, same)[0]) == pytest.approx(math.log(7))


def test_projector_is_a_linear_layer_then_norm_then_tanh():
    task = task_of()
    x = torch.randn(4, task.audio.dim, generator=torch.Generator().manual_seed(0))
    linear = task.projector[0]
    y = x @ linear.weight.T + linear.bias
    y = (y - y.mean(1, keepdim=True)) / (y.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(task.projector(x), y.tanh(), atol=1e-5, rtol=0)


def test_the_papers_setting_changes_nothing_in_the_sound():
    task = task_of(loudness=False)
    batch = drawn(task)
    data = task.augment(batch)
    assert torch.equal(data["first"], batch["audio"][:, 0])
    assert torch.equal(data["second"], batch["audio"][:, 1])


def test_guards_follow_their_switches():
    batch = drawn(task_of(loudness=True, equalise=True))
    loud = torch.linspace(0.02, 1, 8)[:, None, None, None]
    for on in (True, False):
        task = task_of(loudness=on, equalise=on)
        mine = {**batch, "audio": batch["audio"] * loud}
        if not on:
            mine = {"audio": mine["audio"]}
        cue = task.guards[0].probe(task.augment(mine))
        apart = (cue[:, 0] - cue[:, 1]).abs()[:, 0]
        # Up to 24 dB, or 2.8 in nats, between two segments of the same sound.
        assert (apart.max() > 1) if on else (apart.max() < 0.01)
        assert [g.enabled for g in task.guards] == [on, on, True]


def test_silent_recordings_give_no_nan():
    task = task_of(equalise=True)
    batch = drawn(task)
    batch["audio"] = torch.zeros_like(batch["audio"])
    step = task(task.augment(batch))
    step.loss.backward()
    assert float(step.loss.detach()) == 0
    assert all(p.grad.isfinite().all() for p in task.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"audio_rate": 0, "audio_channels": 0, "audio_duration": 0.0}, "no sound track"),
        ({"duration": 0.5, "audio_duration": 0.5}, "lasts 0.50 s, less than 0.96 s: lower sec"),
    ],
)
def test_media_that_cannot_serve_are_refused_by_name(changes, reason):
    with pytest.raises(MediaError, match=reason) as error:
        task_of().plan(medium(**changes), generator(0, 0, 0))
    assert error.value.stage == "plan"
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("x.ogg: plan: ")


def test_impossible_options_are_refused():
    with pytest.raises(InputError, match="outputs"):
        task_of(outputs=0)
