"""COLA on sounds whose pitch spells the recording."""

import math

import pytest
import torch
import torch.nn.functional as F
from spelled_media import drawn, sound_spells
from task_kit import build_encoder, make_task

from pretexto.encoders.audio import TinyAudio
from pretexto.errors import InputError
from pretexto.tasks.cola import COLA
from pretexto.tasks.parts.losses import match

RATE = 16000


def task_of(**options) -> COLA:
    return make_task(COLA, build_encoder(TinyAudio), **({"outputs": 32, "seconds": 0.96} | options))


def test_both_segments_of_a_row_are_of_the_same_recording_at_other_times():
    task = task_of()
    data = task.augment(drawn(task))
    (first, early), (second, late) = (sound_spells(data[k]) for k in ("first", "second"))
    assert data["first"].shape == (8, 1, round(0.96 * RATE))
    assert torch.equal(first, torch.arange(8))
    assert torch.equal(second, torch.arange(8))
    assert (early - late).abs().max() > 2


def test_the_loss_asks_for_that_recording():
    """Vectors that spell the recording solve the task; with scrambled partners they fail."""
    task = task_of()
    data = task.augment(drawn(task))
    first, second = (9.0 * F.one_hot(sound_spells(data[k])[0], 8) for k in ("first", "second"))
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
        # At first all scores are nearly alike, whichever way they are taken.
        weight = task.similarity.weight.mul_(20).double()
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
        assert abs(float(task(swapped).loss - got.loss)) > 1e-3


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


def test_impossible_options_are_refused():
    with pytest.raises(InputError, match="outputs"):
        task_of(outputs=0)
