"""The patch transformer on sound: its positions, its patches and its attention."""

import math

import pytest
import torch
import torch.nn.functional as F

from pretexto.encoders import transformer
from pretexto.encoders.audio_transformer import AudioTransformer
from pretexto.encoders.transformer import sine_positions
from pretexto.errors import InputError

RATE = 16000


def noise(samples: int = RATE, batch: int = 2) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.rand(batch, 1, samples, generator=rng) * 0.2 - 0.1


def encoder(**options) -> AudioTransformer:
    torch.manual_seed(0)
    return AudioTransformer(**({"width": 24, "depth": 2} | options)).eval()


@torch.no_grad()
@pytest.mark.parametrize(("seconds", "columns"), [(0.05, 1), (0.16, 1), (0.17, 2), (1.0, 7)])
def test_sound_of_any_length_is_cut_into_patches(seconds, columns):
    maps = encoder().maps(noise(round(seconds * RATE)))
    assert list(maps) == ["patches", "block1", "block2"]
    assert {m.shape for m in maps.values()} == {(2, 24, 4, columns)}


@torch.no_grad()
def test_patches_are_products_with_squares_of_the_spectrogram():
    net, x = encoder(), noise()
    mel = F.pad(net.spectrogram(x), (0, 12))
    conv = net.net.patch_embed["proj"]
    want = conv.weight.flatten(1) @ mel[0, 0, 16:32, 48:64].flatten() + conv.bias
    want = want + sine_positions((4, 7), 24)[:, 1, 3]
    torch.testing.assert_close(net.maps(x)["patches"][0, :, 1, 3], want, atol=1e-4, rtol=0)


def test_positions_are_sines_of_row_and_column_and_all_differ():
    made = sine_positions((4, 100), 24)
    assert made.shape == (24, 4, 100)
    for k in range(6):
        wave = 10000 ** (-k / 6)
        assert float(made[k, 3, 7]) == pytest.approx(math.sin(3 * wave), abs=1e-5)
        assert float(made[6 + k, 3, 7]) == pytest.approx(math.cos(3 * wave), abs=1e-5)
        assert float(made[12 + k, 3, 7]) == pytest.approx(math.sin(7 * wave), abs=1e-5)
        assert float(made[18 + k, 3, 7]) == pytest.approx(math.cos(7 * wave), abs=1e-5)
    flat = made.flatten(1).T
    apart = torch.cdist(flat, flat) + 9 * torch.eye(400)
    assert apart.min() > 0.1


@torch.no_grad()
def test_positions_are_made_once_per_grid(monkeypatch: pytest.MonkeyPatch):
    made = []
    real = transformer.sine_positions
    monkeypatch.setattr(transformer, "sine_positions", lambda *a: made.append(a[0]) or real(*a))
    net = encoder()
    vectors = [net(noise(samples)) for samples in (RATE, RATE, 2 * RATE, 2 * RATE, RATE)]
    assert made == [(4, 7), (4, 13), (4, 7)]
    assert torch.equal(vectors[0], vectors[-1])
    assert "net.positions.table" not in net.state_dict()


@torch.no_grad()
def test_positions_follow_the_device_of_the_tokens():
    positions = transformer.Positions(24)
    assert positions(torch.zeros(2, 24, 4, 7)).device.type == "cpu"
    assert positions(torch.zeros(2, 24, 4, 7, device="meta")).device.type == "meta"
    assert positions(torch.zeros(2, 24, 4, 7, dtype=torch.bfloat16)).dtype == torch.bfloat16


@torch.no_grad()
def test_the_order_of_sounds_matters():
    net = encoder()
    for norm in (m for m in net.modules() if isinstance(m, torch.nn.LayerNorm)):
        norm.weight.fill_(1.0)
    x = noise(round(0.64 * RATE))
    back = x.unflatten(2, (4, -1)).flip(2).flatten(2)
    assert (net(x) - net(back)).abs().max() > 1e-3


@pytest.mark.parametrize("options", [{"width": 30}, {"width": 28}, {"depth": 1}, {"patch": 0}])
def test_sizes_that_do_not_divide_are_refused(options):
    with pytest.raises(InputError, match="no such transformer"):
        encoder(**options)
    with pytest.raises(InputError, match="mels 60 must be a multiple"):
        encoder(mels=60)
