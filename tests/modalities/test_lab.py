"""L*a*b* against scikit-image, and what encoders that know lightness alone are shown."""

import numpy as np
import pytest
import torch
from skimage.color import lab2rgb, rgb2lab

from pretexto.modalities.input_spec import InputSpec, encoder_input
from pretexto.modalities.lab import lab_to_linear, lab_to_rgb, lightness, rgb_to_lab
from pretexto.modalities.media import Sample

CORNERS = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)


def colours(dtype=torch.float64) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.cat([CORNERS, torch.rand(5000, 3, generator=rng)]).to(dtype)


def test_lab_is_scikit_images():
    x = colours()
    # scikit-image rounds the constants of CIE 15; 3e-4 of 100 is what that makes.
    np.testing.assert_allclose(rgb_to_lab(x).numpy(), rgb2lab(x[:, None].numpy())[:, 0], atol=3e-4)
    lab = rgb_to_lab(x)
    np.testing.assert_allclose(
        lab_to_rgb(lab).numpy(), lab2rgb(lab[:, None].numpy())[:, 0], atol=1e-4
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-5), (torch.float64, 1e-12)])
def test_there_and_back_is_where_it_was(dtype, tolerance):
    x = colours(dtype)
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(x)), x, atol=tolerance, rtol=0)


def test_grey_has_no_colour_and_its_lightness_is_that_of_cie():
    grey = torch.linspace(0, 1, 11, dtype=torch.float64)[:, None].expand(-1, 3)
    lab = rgb_to_lab(grey)
    assert float(lab[:, 1:].abs().max()) < 0.02
    assert lab[0, 0] == pytest.approx(0, abs=1e-9)
    assert lab[-1, 0] == pytest.approx(100, abs=1e-4)
    # 18 % grey, the middle of a photographer's scale, has a lightness of 49.5.
    linear = torch.full((1, 3), 0.18, dtype=torch.float64)
    srgb = 1.055 * linear ** (1 / 2.4) - 0.055
    assert float(rgb_to_lab(srgb)[0, 0]) == pytest.approx(49.496, abs=1e-3)


def test_axes_are_kept_and_impossible_colours_are_clipped():
    x = torch.rand(2, 3, 4, 5, 6, dtype=torch.float64)
    flat = rgb_to_lab(x.movedim(1, -1).reshape(-1, 3))
    torch.testing.assert_close(rgb_to_lab(x).movedim(1, -1).reshape(-1, 3), flat)
    wild = torch.tensor([[50.0, 110.0, -110.0]])
    assert float(lab_to_linear(wild).min()) < 0
    assert 0 <= float(lab_to_rgb(wild).min()) <= float(lab_to_rgb(wild).max()) <= 1


def test_an_encoder_that_knows_lightness_alone_is_shown_that():
    frames = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    sample = Sample(frames, torch.zeros(1, dtype=torch.float64))
    plain = InputSpec("image", size=8, frames=1)
    assert torch.equal(encoder_input(plain, sample), frames[0])
    shown = encoder_input(InputSpec("image", size=8, frames=1, colour="lightness"), sample)
    assert shown.dtype == torch.uint8
    expected = rgb2lab(frames[0].permute(1, 2, 0).numpy())[..., 0] * 255 / 100
    for channel in shown:
        np.testing.assert_allclose(channel.numpy(), expected, atol=0.51)
    torch.testing.assert_close(lightness(frames / 255)[0], shown / 255, atol=0.003, rtol=0)
