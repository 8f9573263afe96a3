"""When to look: ordered moments in a segment with much motion, and the orders to show them in."""

from itertools import accumulate, permutations

import torch
from torch import Generator, Tensor

from ...modalities.media import MediaError, MediaInfo
from ...modalities.rng import uniform, weighted
from .spatial_input import END

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
    info: MediaInfo, rng: Generator, taus: tuple[float, float], span: float, *, by_motion: bool
) -> tuple[float, float, float, float, float]:
    """Five times a < b < c < d < e in seconds (Misra et al. 2016, arXiv:1603.08561, section 3.1).

    a, b, d and e are ordered times; c lies in the middle half of (b, d), and a frame or more away
    from both where they are two frames apart: a middle that repeats an endpoint would tell the
    answer.

    Args:
        taus: least seconds between a and b, and d and e; most seconds between b and d.
        span: seconds that are looked at from each time on.
        by_motion: prefer segments with much motion, where it is known.

    Raises:
        MediaError: a medium shorter than three times the least seconds plus `span`.
    """
    how = {"span": span, "by_motion": by_motion, "remedy": "lower tau_min"}
    a, b, d, e = ordered_times(info, rng, count=4, gaps=taus, **how)
    gap = d - b
    aside = max(gap / 4, min(1 / info.fps, gap / 2)) if info.fps else gap / 4
    return a, b, uniform(rng, b + aside, d - aside), d, e


def ordered_times(
    info: MediaInfo,
    rng: Generator,
    *,
    count: int,
    gaps: tuple[float, float],
    span: float,
    by_motion: bool,
    remedy: str,
) -> tuple[float, ...]:
    """`count` rising times in seconds.

    Neighbours are apart by a number of seconds from `gaps`, each drawn on its own; in a medium too
    short for that by less, but never by less than the least gap.

    Args:
        gaps: least and most seconds between the starts of neighbours.
        span: seconds that are looked at from each time on.
        by_motion: choose the segment in proportion to the mean motion in it, where it is known;
            otherwise uniformly.
        remedy: what the user should change for a short medium.

    Raises:
        MediaError: a medium shorter than all least gaps and `span` together.
    """
    least, most = gaps
    need = (count - 1) * least
    room = info.duration - span - END
    if room < need:
        reason = (
            f"{info.duration:.2f} s are too short for {count} moments {least:g} s apart, which "
            f"need {need + span:.2f} s: {remedy}, or leave the file out"
        )
        raise MediaError(info.path, "plan", reason)
    extra = [uniform(rng, 0, most - least) for _ in range(count - 1)]
    shrink = min((room - need) / max(sum(extra), 1e-9), 1.0)
    total = need + shrink * sum(extra)
    start = segment_start(info, total + span, rng, by_motion=by_motion)
    return tuple(accumulate((least + shrink * x for x in extra), initial=start))


def segment_start(info: MediaInfo, length: float, rng: Generator, *, by_motion: bool) -> float:
    """Where a segment of `length` seconds starts, the likelier the more moves in it.

    Raises:
        MediaError: a medium that is shorter.
    """
    slack = info.duration - length - END
    if slack < -1e-9:
        reason = (
            f"{info.duration:.2f} s are too short for a segment of {length:.2f} s: lower frames "
            "or frame_interval, or leave the file out"
        )
        raise MediaError(info.path, "plan", reason)
    slack = max(slack, 0.0)
    if not by_motion or not info.motion:
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
