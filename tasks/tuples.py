"""Times of the five frames of Shuffle and Learn."""

import torch
from torch import Generator, Tensor

from ..modalities.draw import uniform, weighted
from ..modalities.media import MediaError, MediaInfo

CELLS = 64


def tuple_times(
    info: MediaInfo,
    rng: Generator,
    *,
    near: float,
    far: float,
    span: float,
    use_motion: bool,
) -> tuple[float, float, float, float, float]:
    """Five times a < b < c < d < e in seconds, in a stretch with much motion.

    b - a, d - b and e - d are each drawn from [near, far], less in a medium too short for that;
    c lies in the middle half of (b, d), and a frame or more away from both where they are two
    frames apart: a middle that repeats an endpoint would tell the answer. The stretch is chosen
    in proportion to the mean motion in it, uniformly where the motion is unmeasured or zero.

    Args:
        near: least seconds between a and b, and d and e.
        far: most seconds between b and d.
        span: seconds that are looked at from each time on.

    Raises:
        MediaError: a medium shorter than three times `near` plus `span`.
    """
    room = info.duration - span - 1e-3
    if room < 3 * near:
        reason = (
            f"{info.duration:.2f} s are too short for frames {near:g} s apart, which need "
            f"{3 * near + span:.2f} s: lower tau_min or leave the file out"
        )
        raise MediaError(info.path, "plan", reason)
    extra = [uniform(rng, 0, far - near) for _ in range(3)]
    shrink = min((room - 3 * near) / max(sum(extra), 1e-9), 1.0)
    lead, gap, tail = (near + shrink * x for x in extra)
    total = lead + gap + tail
    a = _start(info, room - total, total + span, rng, use_motion)
    b, d = a + lead, a + lead + gap
    aside = max(gap / 4, min(1 / info.fps, gap / 2)) if info.fps else gap / 4
    return a, b, uniform(rng, b + aside, d - aside), d, d + tail


def _start(info: MediaInfo, slack: float, length: float, rng: Generator, use_motion: bool) -> float:
    """A start in [0, slack] for `length` seconds, the likelier the more moves in them."""
    slack = max(slack, 0.0)
    if not use_motion or not info.motion:
        return uniform(rng, 0, slack)
    edges = torch.linspace(0, slack, CELLS + 1, dtype=torch.float64)
    centres = (edges[1:] + edges[:-1]) / 2
    amount = _moved(info.motion, centres + length) - _moved(info.motion, centres)
    cell = weighted(rng, amount.clamp_min(0))
    return uniform(rng, float(edges[cell]), float(edges[cell + 1]))


def _moved(motion: tuple[float, ...], until: Tensor) -> Tensor:
    """Integral of per-second motion from 0 to each of `until`; the last value is held beyond."""
    values = torch.tensor(motion, dtype=torch.float64).nan_to_num()
    sums = torch.cat([values.new_zeros(1), values.cumsum(0)])
    second = until.floor().long().clamp(0, len(values) - 1)
    return sums[second] + values[second] * (until - second)
