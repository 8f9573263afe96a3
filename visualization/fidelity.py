"""How near a made picture comes to the true one: the measures of inpainting and colourisation."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from .lpips import SMALLEST, Lpips

_WINDOW = 11  # pixels of the side that a value of SSIM looks at
_STEPS = 10  # shares of the hole are told in tenths


def fidelity(
    made: Tensor, real: Tensor, hole: Tensor | None = None, lpips: Lpips | None = None
) -> dict[str, float]:
    """L1, PSNR, SSIM and LPIPS of whole pictures, and the first two of the hole alone.

    PSNR is at most 100 dB, that of equal pictures. SSIM (Wang et al. 2004) is left out of pictures
    of fewer than 11 pixels, LPIPS of those of fewer than 31.

    Args:
        made, real: float [3, H, W] in [0, 1].
        hole: bool [H, W], where something was painted; None: everywhere.
        lpips: with the weights that it needs; None: it is not told.
    """
    found = {"l1": _l1(made, real), "psnr": _psnr(made, real)}
    if min(real.shape[-2:]) >= _WINDOW:
        from torchmetrics.functional.image import structural_similarity_index_measure as ssim

        found["ssim"] = float(ssim(made[None], real[None], data_range=1.0))  # type: ignore[arg-type]
    if lpips and min(real.shape[-2:]) >= SMALLEST:
        found["lpips"] = lpips(made, real)
    if hole is not None:
        inside = made[:, hole], real[:, hole]
        found |= {"l1_hole": _l1(*inside), "psnr_hole": _psnr(*inside)}
    return found


def _l1(made: Tensor, real: Tensor) -> float:
    return float((made - real).abs().mean())


def _psnr(made: Tensor, real: Tensor) -> float:
    error = float((made - real).square().mean())
    return -10 * math.log10(max(error, 1e-10))


def by_share(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Rows with a "hole" share in 0 … 1, by the tenth in which it lies, as "10-20 %"."""
    found: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(min(int(row["hole"] * _STEPS), _STEPS - 1), []).append(row)
    width = 100 // _STEPS
    return {f"{k * width}-{(k + 1) * width} %": found[k] for k in sorted(found)}


def means(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of every number, over the rows that have it; what is right or wrong is 1 or 0."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row.items():
            if isinstance(value, int | float):
                found.setdefault(key, []).append(float(value))
    return {key: sum(values) / len(values) for key, values in found.items()}
