"""Attentive probe: begins as a mean, learns where to look, and learns nothing else."""

from dataclasses import replace

import evaluation_fakes as fakes
import pytest
import torch

from pretexto.errors import InputError
from pretexto.evaluation import attentive as module
from pretexto.evaluation.attentive import AttentiveProbe, attentive
from pretexto.evaluation.evaluate import evaluate
from pretexto.evaluation.features import extract
from pretexto.evaluation.linear import linear
from pretexto.evaluation.splits import Split

ONES = torch.ones(400, dtype=torch.long)
SPLIT = Split("s", tuple(range(200)), tuple(range(200, 300)), tuple(range(300, 400)))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Fewer steps than in earnest, and one rate less: enough for these small problems."""
    monkeypatch.setattr(module, "STEPS", 150)
    monkeypatch.setattr(module, "RATES", (3e-3, 1e-2))


def marked(count: int = 400, places: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens [N, P, 4] and labels: the sign of one channel at the place that another marks.

    The signs at all places add up to zero, so that no mean over places tells the label.
    """
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 2
    tokens = 0.1 * torch.randn(count, places, 4, generator=rng)
    for i in range(count):
        signs = torch.tensor([1.0, -1.0]).repeat(places // 2)
        signs = signs[torch.randperm(places, generator=rng)]
        own = (signs == (1 if y[i] else -1)).nonzero()[:, 0]
        where = own[torch.randint(len(own), (), generator=rng)]
        tokens[i, :, 0] += signs
        tokens[i, where, 1] += 2
    return tokens, y


def top1(outcomes):
    return next(o for o in outcomes if o.metric == "top1")


def test_it_begins_as_a_classifier_of_the_mean():
    torch.manual_seed(0)
    tokens = torch.randn(5, 7, 12)
    probe = AttentiveProbe(torch.randn(12), torch.rand(12) + 0.5, 3)
    mean = tokens.mean(1, keepdim=True)
    torch.testing.assert_close(probe(tokens), probe(mean), atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        probe.query.normal_()
    assert (probe(tokens) - probe(mean)).abs().max() > 1e-2, "attention is uniform for ever"


def test_attention_is_the_softmax_of_the_query_on_the_keys():
    torch.manual_seed(0)
    # Eleven channels have one head; the layer's projections are set to the identity.
    tokens, probe = torch.randn(4, 6, 11), AttentiveProbe(torch.zeros(11), torch.ones(11), 2)
    with torch.no_grad():
        probe.query.normal_()
        probe.attention.in_proj_weight.copy_(torch.eye(11).repeat(3, 1))
        probe.attention.out_proj.weight.copy_(torch.eye(11))
    weights = (tokens @ probe.query[0, 0] / 11**0.5).softmax(1)
    expected = (weights[..., None] * tokens).sum(1)
    torch.testing.assert_close(probe.pool(tokens), expected, atol=1e-6, rtol=1e-5)


def test_what_only_attention_finds_is_found_and_no_mean_has_it():
    tokens, y = marked()
    found = top1(attentive(tokens.bfloat16(), y, SPLIT, 2, counts=ONES, seed=0))
    blind = top1(linear(tokens.mean(1), y, SPLIT, 2))
    # Measured over five seeds: always 1 against 0.44 to 0.58.
    assert found.value > 0.9
    assert blind.value < 0.65
    assert found.validation > 0.9
    assert found.lr in (3e-3, 1e-2)
    assert (found.n_train, found.n_val, found.n_test) == (200, 100, 100)


def test_labels_that_say_nothing_stay_at_chance():
    tokens, y = marked()
    y = y[torch.randperm(400, generator=torch.Generator().manual_seed(1))]
    found = top1(attentive(tokens, y, SPLIT, 2, counts=ONES, seed=0))
    # 100 independent guesses: the 99.9 % interval of the binomial distribution is 34 to 66.
    assert 0.34 <= found.value <= 0.66


def test_nothing_learnt_depends_on_the_test_part_and_like_seeds_give_like_numbers():
    tokens, y = marked()
    state = torch.get_rng_state()
    first = attentive(tokens, y, SPLIT, 2, counts=ONES, seed=3)
    again = attentive(tokens, y, SPLIT, 2, counts=ONES, seed=3)
    assert [o.value for o in first] == [o.value for o in again]
    assert torch.equal(torch.get_rng_state(), state)
    turned = y.clone()
    turned[300:] = 1 - turned[300:]
    other = attentive(tokens, turned, SPLIT, 2, counts=ONES, seed=3)
    assert top1(other).lr == top1(first).lr
    assert top1(other).value == pytest.approx(1 - top1(first).value)


def test_clips_of_an_example_are_averaged_and_it_weighs_the_same():
    tokens, y = marked(200)
    split = Split("s", tuple(range(100)), (), tuple(range(100, 200)))
    counts = torch.arange(200) % 3 + 1
    many = tokens.repeat_interleave(counts, 0)
    found = top1(attentive(many, y, split, 2, counts=counts, seed=0))
    assert found.n_test == 100
    assert found.value > 0.9
    assert found.validation is None
    with pytest.raises(InputError, match="fewer than two classes"):
        attentive(tokens, torch.zeros_like(y), split, 2, counts=ONES[:200], seed=0)


def test_tokens_are_the_deepest_map_at_each_place_and_frame():
    source = fakes.Clock([0, 1], duration=2.301, width=16)
    found = extract(fakes.ClipColour(), source, fakes.VIDEO, clips=2, tokens=True)
    assert found.tokens is not None
    # 2 media of 2 clips, 4 frames of 8 x 8 places, 3 colours.
    assert found.tokens.shape == (4, 4 * 8 * 8, 3)
    mean = found.tokens.float().mean(1)
    torch.testing.assert_close(3 * mean, found.vectors["embedding"], atol=0.3, rtol=1e-2)
    spec = replace(fakes.VIDEO, modality="image", frames=3)
    source = fakes.Clock([0, 1], duration=2.401, width=16)
    single = extract(fakes.MeanColour(), source, spec, tokens=True)
    assert single.tokens is not None
    # An image encoder sees frame after frame: each has 4 x 4 places.
    assert single.tokens.shape == (2, 3 * 16, 3)
    red = single.tokens.float()[0, :, 0].view(3, 16)
    assert (red[1] - red[0]).tolist() == pytest.approx([0.5] * 16, abs=0.1), "0.1 s, halved"


def test_rows_come_from_one_pass_over_the_media():
    labels = [i % 3 for i in range(36)]
    colours = (200 * torch.eye(3)[torch.tensor(labels)]).to(torch.uint8)
    names = ["train"] * 24 + ["test"] * 12
    source = fakes.Coloured(colours, labels, kind="image", names=names)
    rows = evaluate(["linear", "attentive"], fakes.MeanColour(), source, fakes.IMAGE)
    assert len(source.plans) == 36
    row = next(r for r in rows if (r.stamp.method, r.stamp.metric) == ("attentive", "top1"))
    assert (row.value, row.level, row.precision) == (1.0, "embedding", "32")
    assert row.lr is not None
    assert row.confusion == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
    assert "one learnt query" in row.stamp.recipe


def test_tokens_that_fill_the_memory_are_refused_in_words(monkeypatch):
    monkeypatch.setattr("pretexto.evaluation.features.MOST_TOKENS", 2**10)
    source = fakes.Clock([0, 1], duration=2.301)
    with pytest.raises(InputError, match="take fewer clips or a smaller size"):
        extract(fakes.ClipColour(), source, fakes.VIDEO, tokens=True)
