"""What the transformer of text sees: the past, no padding, and as much memory as it should."""

import math

import pytest
import torch
from torch import Tensor, nn

from pretexto.encoders.text import Memory, TextTransformer
from pretexto.encoders.text_blocks import relative_shift
from pretexto.errors import InputError

SIZES = {"vocabulary": 40, "context": 64, "width": 16, "depth": 3, "heads": 2}


def encoder(**options) -> TextTransformer:
    torch.manual_seed(0)
    made = TextTransformer(**{**SIZES, **options})
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made.eval()


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(40, shape, generator=torch.Generator().manual_seed(seed))


KINDS = [
    {"positions": "learned", "norm": "pre"},
    {"positions": "learned", "norm": "post", "segments": 2},
    {"positions": "relative", "norm": "pre"},
    {"positions": "relative", "norm": "post", "clamp": 5},
]


@torch.no_grad()
@pytest.mark.parametrize("options", KINDS)
def test_a_causal_encoder_sees_no_future_and_the_other_does(options):
    x = tokens(2, 20)
    other = x.clone()
    other[:, 12] = (other[:, 12] + 1) % 40
    for causal in (True, False):
        made = encoder(**options, causal=causal)
        one, two = made.states(x)[-1], made.states(other)[-1]
        assert torch.equal(one[:, :12], two[:, :12]) is causal
        assert (one[:, 12:] - two[:, 12:]).abs().amax((0, 2)).min() > 1e-4


@torch.no_grad()
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("options", KINDS)
def test_padding_changes_nothing(options, causal):
    made, x = encoder(**options, causal=causal), tokens(2, 12)
    padded = nn.functional.pad(x, (0, 7), value=-1)
    torch.testing.assert_close(made(padded), made(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        made.states(padded)[-1][:, :12], made.states(x)[-1], atol=1e-5, rtol=0
    )
    assert made(torch.full((1, 5), -1)).isfinite().all(), "a row without any text"


@torch.no_grad()
def test_the_cache_gives_what_the_whole_pass_gives():
    made, x = encoder(positions="learned", causal=True), tokens(2, 20)
    whole, cache, found = made.states(x)[-1], made.new_cache(), []
    for part in x.split([7, 1, 1, 5, 6], 1):
        found.append(made.states(part, cache=cache)[-1])
    torch.testing.assert_close(torch.cat(found, 1), whole, atol=1e-5, rtol=0)
    with pytest.raises(InputError, match="behind 20 others"):
        made.states(tokens(2, 45), cache=cache)
    with pytest.raises(InputError, match="learned positions"):
        encoder(causal=True).new_cache()


def test_the_shift_is_an_index_of_distances():
    t, s = 5, 8
    for width in (s + 1, s + t - 1):
        x = torch.randn(2, 3, t, width)
        shifted = relative_shift(x, s)
        for i in range(t):
            for j in range(s):
                column = (s - 1) - (s - t + i - j)  # of this distance
                if column < width:
                    assert torch.equal(shifted[..., i, j], x[..., i, column]), (i, j)


@torch.no_grad()
@pytest.mark.parametrize("causal", [True, False])
def test_relative_attention_is_that_of_the_formula(causal):
    """Score by score: (q + u)ᵀ k + (q + v)ᵀ W R of the distance, as in the paper's section 3.3."""
    made, x = encoder(positions="relative", causal=causal, clamp=4), tokens(1, 9)
    block, d = made.blocks[0], 8
    e = block.norm1(made.embeddings(x) * 4.0)
    q, k, v = block.attention.qkv(e)[0].unflatten(-1, (3, 2, d)).unbind(1)
    out = torch.zeros(9, 2, d)
    for head in range(2):
        u, w = made.relative.content[head], made.relative.position[head]
        for i in range(9):
            scores = []
            for j in range(9):
                far = max(-4, min(4, i - j))
                waves = far / 10000 ** (torch.arange(0, 16, 2) / 16)
                r = block.attention.distance(torch.cat([waves.sin(), waves.cos()]))[head * d :][:d]
                score = (q[i, head] + u) @ k[j, head] + (q[i, head] + w) @ r
                scores.append(score / math.sqrt(d) if i >= j or not causal else score - math.inf)
            out[i, head] = torch.stack(scores).softmax(0) @ v[:, head]
    seen = made._seen(x, 0, None, 0)
    table = made.relative.table(9, 9, 16, causal=causal, like=e)
    found = block.attention(e, seen, relative=made.relative, table=table)
    torch.testing.assert_close(found[0], block.attention.out(out.flatten(1)), atol=1e-5, rtol=1e-4)


def segmented(made: TextTransformer, x: Tensor, parts: list[int], length: int, same: int = 0):
    memory, found = None, []
    for part in x.split(parts, 1):
        states = made.states(part, memory=memory, same_length=same)
        memory = made.remember(memory, states, length)
        found.append(states[-1])
    return torch.cat(found, 1)


@torch.no_grad()
@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("parts", [[8, 8, 8], [3, 9, 1, 11]])
def test_segments_with_enough_memory_are_the_whole_pass(norm, parts):
    made, x = encoder(norm=norm, causal=True), tokens(2, 24)
    found = segmented(made, x, parts, 24)
    torch.testing.assert_close(found, made.states(x)[-1], atol=1e-5, rtol=0)


def test_the_reach_is_memory_times_depth():
    """As far as the last token of the eighth segment of eight tokens sees, with memory eight."""
    made = encoder(causal=True)
    x = tokens(1, 64)
    for position, reached in ((56 - 3 * 8, True), (56 - 3 * 8 - 1, False)):
        other = x.clone()
        other[0, position] = (other[0, position] + 1) % 40
        with torch.no_grad():
            a, b = (segmented(made, y, [8] * 8, 8)[0, -1] for y in (x, other))
        assert (not torch.equal(a, b)) is reached, position


def test_no_gradient_reaches_the_segment_before():
    made = encoder(causal=True)
    rows = made.embeddings(torch.arange(40)).detach()
    made.embeddings.weight.data = rows
    first, second = torch.arange(8)[None], torch.arange(20, 28)[None]
    states = made.states(first)
    memory = made.remember(None, states, 8)
    made.zero_grad()
    made.states(second, memory=memory)[-1].square().sum().backward()
    grad = made.embeddings.weight.grad.abs().sum(1)
    assert (grad[20:28] > 0).all()
    assert not grad[:20].any()


@torch.no_grad()
def test_invalid_memory_is_not_seen():
    made, x = encoder(causal=True), tokens(2, 8)
    memory = made.remember(None, made.states(tokens(2, 8, seed=1)), 8)
    mixed = Memory(memory.states, valid=torch.tensor([True, False]))
    found, alone = made.states(x, memory=mixed)[-1], made.states(x)[-1]
    torch.testing.assert_close(found[0], made.states(x, memory=memory)[-1][0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1], alone[1], atol=1e-5, rtol=0)
    assert (found[0] - alone[0]).abs().max() > 1e-3


@torch.no_grad()
def test_same_length_lets_each_token_see_as_many():
    """By hand: of a mask over memory of 4 and a segment of 3, each row has 4 keys, its own last."""
    made = encoder(causal=True)
    memory = made.remember(None, made.states(tokens(1, 4)), 4)
    mask = made._seen(tokens(1, 3), 4, memory, 4).mask
    assert mask.int().tolist() == [
        [0, 1, 1, 1, 1, 0, 0],
        [0, 0, 1, 1, 1, 1, 0],
        [0, 0, 0, 1, 1, 1, 1],
    ]
    assert made._seen(tokens(1, 3), 4, memory, 0).mask.sum(1).tolist() == [5, 6, 7]


def test_a_contradiction_about_causality_is_refused():
    made = TextTransformer(**SIZES, causal=False)
    with pytest.raises(InputError, match="causal: true"):
        made.set_causal(True)
    left_open = TextTransformer(**SIZES)
    left_open.set_causal(True)
    assert left_open.arguments["causal"] is True, "a run's card rebuilds it so"


def test_what_is_added_to_the_shortcut_starts_smaller():
    made = TextTransformer(width=256, depth=8, heads=4)
    block = made.blocks[0]
    assert block.up.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.down.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert block.attention.out.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)


@pytest.mark.parametrize(
    "options", [{"width": 15}, {"heads": 3}, {"depth": 1}, {"vocabulary": 0}, {"activation": "elu"}]
)
def test_impossible_sizes_are_refused(options):
    with pytest.raises(InputError, match="transformer|activation"):
        TextTransformer(**{**SIZES, **options})
