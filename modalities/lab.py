"""CIE L*a*b* of sRGB pictures (D65): lightness, and two axes of colour."""

import torch
from torch import Tensor

# Linear sRGB to XYZ over the white point of D65 (IEC 61966-2-1), and the constants of CIE 15.
_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)
_LAB = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))
_STEP = 6 / 29


def rgb_to_lab(x: Tensor) -> Tensor:
    """float [B, 3, …] in [0, 1] to L in 0 … 100 and a, b in about -110 … 110."""
    linear = torch.where(x > 0.04045, ((x.clamp_min(0) + 0.055) / 1.055) ** 2.4, x / 12.92)
    t = _mixed(_matrix(_XYZ, x) / _row(_WHITE, x)[:, None], linear)
    f = torch.where(t > _STEP**3, t.clamp_min(1e-12) ** (1 / 3), t / (3 * _STEP**2) + 4 / 29)
    return _mixed(_matrix(_LAB, x), f) - _along(_row((16.0, 0.0, 0.0), x), x)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """The inverse, clipped to [0, 1] where a colour has no place in sRGB."""
    linear = lab_to_linear(lab).clamp(0, 1)
    bright = 1.055 * linear.clamp_min(0.003) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, bright, 12.92 * linear)


def lab_to_linear(lab: Tensor) -> Tensor:
    """Linear sRGB of L*a*b* [B, 3, …], outside [0, 1] where a colour has no place in sRGB."""
    inverse = torch.linalg.inv(_matrix(_LAB, lab).double()).to(lab)
    f = _mixed(inverse, lab + _along(_row((16.0, 0.0, 0.0), lab), lab))
    t = torch.where(f > _STEP, f**3, 3 * _STEP**2 * (f - 4 / 29))
    back = torch.linalg.inv(_matrix(_XYZ, lab).double()).to(lab) * _row(_WHITE, lab)
    return _mixed(back, t)


def lightness(x: Tensor) -> Tensor:
    """L of float [B, 3, …] in [0, 1], as 0 … 1 in all three channels."""
    return (rgb_to_lab(x)[:, :1] / 100).clamp(0, 1).expand_as(x)


def _matrix(rows: tuple[tuple[float, ...], ...], like: Tensor) -> Tensor:
    return torch.tensor(rows, dtype=like.dtype, device=like.device)


def _row(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)


def _mixed(matrix: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("dc,bc...->bd...", matrix, x)


def _along(values: Tensor, like: Tensor) -> Tensor:
    """Values [3] along the second axis of [B, 3, …]."""
    return values.view(1, 3, *[1] * (like.ndim - 2))
