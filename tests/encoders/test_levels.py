"""What every encoder says of itself before a forward is what its forwards do."""

import math

import pytest
import torch
from encoder_kit import CASES, axes, case_name, fresh, inputs, patch
from torch import nn

from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.encoder import Encoder
from pretexto.encoders.image import TimmImage, TinyImage
from pretexto.encoders.video_transformer import VideoTransformer
from pretexto.errors import InputError

# Sizes that fit a network's strides, that do not, and that are longer than wide.
SIZES = {
    "image": ((64, 64), (50, 70), (33, 129)),
    "video": ((8, 32, 32), (5, 50, 70), (9, 33, 65)),
    "audio": ((8000,), (16123,), (6000,)),
    "text": ((12,), (7,), (1,)),
}
TOKENS = [c for c in CASES if patch(c)]


@pytest.fixture(params=CASES, ids=case_name)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return fresh(request.param).eval()


def sizes(encoder: Encoder) -> tuple[tuple[int, ...], ...]:
    """Those that it takes: timm's ViTs take whole patches alone."""
    pick = SIZES[axes(encoder)]
    if axes(encoder) == "image" and encoder.patch:
        return tuple(
            tuple(-(-n // p) * p for n, p in zip(s, encoder.patch, strict=True)) for s in pick
        )
    return pick


@torch.no_grad()
def test_levels_are_those_of_the_maps_at_any_size(encoder: Encoder):
    known = dict(encoder.levels)
    for size in sizes(encoder):
        x = inputs(encoder, 1, size=size)
        maps = encoder.maps(x)
        assert list(maps) == list(known)
        steps = encoder.spectrogram(x).shape[2:] if encoder.modality == "audio" else size
        for name, level in known.items():
            channels, *found = maps[name].shape[1:]
            assert channels == level.channels, name
            for n, step, stride in zip(steps, found, level.stride, strict=True):
                assert n // stride <= step <= math.ceil(n / stride), (name, size, found)


@pytest.mark.parametrize(
    "name", ["test_byobnet", "test_nfnet", "test_mambaout", "test_vit3", "test_convnext2",
             "swin_tiny_patch4_window7_224", "mobilenetv3_small_050", "efficientnet_b0"]
)  # fmt: skip
@torch.no_grad()
def test_levels_of_timms_families(name: str):
    encoder = TimmImage(name=name).eval()
    size = 160 if encoder.patch else 96
    maps = encoder.maps(torch.rand(1, 3, size, size))
    assert {k: (m.shape[1], size // m.shape[2]) for k, m in maps.items()} == {
        k: (level.channels, level.stride[0]) for k, level in encoder.levels.items()
    }
    assert encoder(torch.rand(1, 3, size, size)).shape == (1, encoder.dim)
    if name == "efficientnet_b0":
        assert (encoder.dim, encoder.levels["level4"].channels) == (1280, 1280)
    if name == "test_mambaout":
        assert (encoder.dim, encoder.levels["level4"].channels) == (256, 64)


def gradients(encoder: Encoder, made: torch.Tensor) -> set[str]:
    encoder.zero_grad()
    (made * torch.linspace(-1, 1, made.numel()).view_as(made)).sum().backward()
    return {name for name, p in encoder.named_parameters() if p.grad is not None}


def shaken(encoder: Encoder) -> Encoder:
    """Without timm's zero gains, which stop gradients."""
    for parameter in encoder.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, 1.0, 0.1)
    return encoder.train()


def test_forward_and_the_deepest_map_use_the_parameters_that_they_say(encoder: Encoder):
    shaken(encoder)
    x = inputs(encoder, 3)
    everything = {name for name, _ in encoder.named_parameters()}
    *_, deepest = encoder.maps(x).values()
    assert gradients(encoder, encoder(x)) == everything
    assert gradients(encoder, deepest) == set(encoder.map_parameters())
    assert encoder.map_parameters(), "a task on maps trains something"


@pytest.mark.parametrize(
    ("name", "beyond"),
    [
        ("test_convnext", set()),
        ("test_convnext3", set()),
        ("test_efficientnet", set()),
        ("efficientnet_b0", set()),
        ("mobilenetv3_small_050", set()),
        ("test_vit2", set()),
        ("test_vit4", set()),
        ("swin_tiny_patch4_window7_224", set()),
        ("test_vit3", {"attn_pool"}),
        ("test_mambaout", {"head"}),
        ("vgg11", {"pre_logits"}),
    ],
)
def test_maps_of_timms_families_leave_out_attention_pooling_and_hidden_layers_alone(name, beyond):
    encoder = shaken(TimmImage(name=name))
    size = 160 if encoder.patch else 64
    *_, deepest = encoder.maps(torch.rand(2, 3, size, size)).values()
    reached = gradients(encoder, deepest)
    assert reached == set(encoder.map_parameters())
    left = {name for name, _ in encoder.named_parameters()} - reached
    assert {name.split(".")[1] for name in left} == beyond


@torch.no_grad()
@pytest.mark.parametrize("case", TOKENS, ids=case_name)
def test_all_tokens_are_the_deepest_map_and_its_grid_follows_from_the_patch(case):
    encoder = fresh(case).eval()
    x = inputs(encoder, size=sizes(encoder)[1])
    tokens = encoder.tokens(x)
    *_, deepest = encoder.maps(x).values()
    torch.testing.assert_close(tokens, deepest.flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-5)
    size = encoder.spectrogram(x).shape[2:] if encoder.modality == "audio" else x.shape[2:]
    size = size[-len(encoder.patch) :]  # behind the fields of a stack
    grid = [math.ceil(n / p) for n, p in zip(size, encoder.patch, strict=True)]
    assert list(deepest.shape[2:]) == grid
    every = torch.arange(math.prod(grid)).expand(2, -1)
    torch.testing.assert_close(encoder.tokens(x, every), tokens, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("case", TOKENS, ids=case_name)
def test_what_is_dropped_is_not_seen_and_the_rest_keeps_its_positions(case):
    encoder = fresh(case).eval()
    x = inputs(encoder, size=sizes(encoder)[0])
    count = encoder.tokens(x).shape[1]
    rng = torch.Generator().manual_seed(0)
    keep = torch.stack([torch.randperm(count, generator=rng)[: count // 2] for _ in range(2)])
    some = encoder.tokens(x, keep)
    assert some.shape == (2, count // 2, encoder.levels[list(encoder.levels)[-1]].channels)
    # The order in which they are named is the order in which they come back, and nothing else.
    torch.testing.assert_close(encoder.tokens(x, keep.flip(1)), some.flip(1), atol=1e-4, rtol=1e-4)
    assert (encoder.tokens(x, (keep + 1) % count) - some).abs().max() > 1e-3
    assert (encoder.tokens(x).gather(1, keep[..., None].expand_as(some)) - some).abs().max() > 1e-3


@torch.no_grad()
def test_pixels_under_a_dropped_token_change_nothing():
    encoder = fresh(next(c for c in TOKENS if c[0] is VideoTransformer)).eval()
    x = inputs(encoder, 1, size=(4, 16, 16))  # a grid of 2 × 2 × 2
    keep = torch.tensor([[0, 3, 5]])
    changed = x.clone()
    changed[:, :, :2, :8, 8:] = 0  # token 1
    assert torch.equal(encoder.tokens(changed, keep), encoder.tokens(x, keep))
    changed[:, :, 2:, :8, 8:] = 0  # token 5
    assert not torch.equal(encoder.tokens(changed, keep), encoder.tokens(x, keep))


@torch.no_grad()
def test_a_subset_is_computed_as_blocks_alone_compute_it():
    encoder = fresh(next(c for c in TOKENS if c[0] is VideoTransformer)).eval()
    x, keep = inputs(encoder, 2, size=(4, 16, 16)), torch.tensor([[6, 1], [2, 7]])
    net = encoder.net
    patches = encoder.maps(x)["patches"].flatten(2).transpose(1, 2)
    by_hand = torch.stack([patches[0, [6, 1]], patches[1, [2, 7]]])
    for block in net.blocks:
        by_hand = block(by_hand)
    torch.testing.assert_close(encoder.tokens(x, keep), net.norm(by_hand), atol=1e-5, rtol=1e-5)


def test_wrong_indexes_and_encoders_without_tokens_are_refused():
    encoder = fresh(next(c for c in TOKENS if c[0] is VideoTransformer))
    x = inputs(encoder)
    for keep in (torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64), torch.zeros(1, 3).long()):
        with pytest.raises(InputError, match=r"int64 \[2, K\]"):
            encoder.tokens(x, keep)
    for plain in (TinyImage(width=2), TimmImage(name="test_resnet"), TinyAudio(width=2)):
        assert plain.patch == ()
        with pytest.raises(InputError, match=f"{type(plain).__name__} has no tokens.*vit_small"):
            plain.tokens(inputs(plain))


@torch.no_grad()
def test_a_sounds_spectrogram_can_be_made_first_and_changed(encoder: Encoder):
    if encoder.modality != "audio":
        pytest.skip("hears nothing")
    x = inputs(encoder)
    spectrogram = encoder.spectrogram(x)
    assert spectrogram.shape[:2] == (2, 1)
    assert spectrogram.shape[3] in (25, 50), "100 frames a second, 200 for SpectrogramCNN"
    assert torch.equal(encoder(spectrogram), encoder(x))
    for name, features in encoder.maps(x).items():
        assert torch.equal(encoder.maps(spectrogram)[name], features)
    if encoder.patch:
        assert torch.equal(encoder.tokens(spectrogram), encoder.tokens(x))
    masked = spectrogram.clone()
    masked[..., : masked.shape[3] // 2] = 0
    assert (encoder(masked) - encoder(x)).abs().max() > 0
    with pytest.raises(InputError, match=r"\[B, 1, N\]"):
        encoder(spectrogram.expand(-1, 2, -1, -1))
