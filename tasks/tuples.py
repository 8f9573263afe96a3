"""Times of ordered moments in a stretch with much motion, and the orders they may be shown in."""

from itertools import accumulate, permutations

import torch
from torch import Generator, Tensor

from ..modalities.draw import uniform, weighted
from ..modalities.media import MediaError, MediaInfo

CELLS = 64


def orders(moments: int, *, mirrored: bool) -> tuple[tuple[int, ...], ...]:
    """The orders of 0 … moments-1, each a class of its own.

    Args:
        mirrored: an order and its reverse are one class, so that n! / 2 are left; the one that
            starts with the smaller number stands for both.
    """
    every = permutations(range(moments))
    return tuple(p for p in every if not mirrored or p[0] < p[-1])


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

    a, b, d and e are ordered times; c lies in the middle half of (b, d), and a frame or more away
    from both where they are two frames apart: a middle that repeats an endpoint would tell the
    answer.

    Args:
        near: least seconds between a and b, and d and e.
        far: most seconds between b and d.
        span: seconds that are looked at from each time on.

    Raises:
        MediaError: a medium shorter than three times `near` plus `span`.
    """
    a, b, d, e = ordered_times(
        info, rng, count=4, near=near, far=far, span=span, use_motion=use_motion, option="tau_min"
    )
    gap = d - b
    aside = max(gap / 4, min(1 / info.fps, gap / 2)) if info.fps else gap / 4
    return a, b, uniform(rng, b + aside, d - aside), d, e


def ordered_times(
    info: MediaInfo,
    rng: Generator,
    *,
    count: int,
    near: float,
    far: float,
    span: float,
    use_motion: bool,
    option: str,
    varied: bool = True,
) -> tuple[float, ...]:
    """`count` rising times in seconds, in a stretch with much motion.

    Neighbours are [near, far] apart, less far in a medium too short for that. The stretch is
    chosen in proportion to the mean motion in it, uniformly where the motion is unmeasured or
    zero.

    Args:
        near: least seconds between neighbours.
        far: most seconds between neighbours.
        span: seconds that are looked at from each time on.
        option: what the user should lower for a short medium.
        varied: draw each distance; otherwise all are `far`.

    Raises:
        MediaError: a medium shorter than all least distances and `span` together.
    """
    gaps = count - 1
    room = info.duration - span - 1e-3
    if room < gaps * near:
        reason = (
            f"{info.duration:.2f} s are too short for frames {near:g} s apart, which need "
            f"{gaps * near + span:.2f} s: lower {option} or leave the file out"
        )
        raise MediaError(info.path, "plan", reason)
    most = far - near
    extra = [uniform(rng, 0, most) if varied else most for _ in range(gaps)]
    shrink = min((room - gaps * near) / max(sum(extra), 1e-9), 1.0)
    total = gaps * near + shrink * sum(extra)
    start = moving_start(info, room - total, total + span, rng, use_motion=use_motion)
    return tuple(accumulate((near + shrink * x for x in extra), initial=start))


def moving_start(
    info: MediaInfo, slack: float, length: float, rng: Generator, *, use_motion: bool
) -> float:
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
