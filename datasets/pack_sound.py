"""A span of sound out of a clip's samples, by the same rules as reading it from a file."""

import math
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..modalities.media import AudioSpan, MediaError, PastEnd

FULL_SCALE = 32767
_FILTER = 8  # zero crossings of the resampling filter on each side, with room to spare


def cut(
    audio: NDArray[np.int16],
    rate: int,
    duration: float,
    span: AudioSpan,
    past_end: PastEnd,
    path: str,
) -> Tensor:
    """float32 [C, span.samples] in [-1, 1] at the span's rate.

    Args:
        audio: int16 [N, C], from the clock's zero on.
        rate: Hz of it.
        duration: seconds of the medium.
        span: what is wanted.
        past_end: see `Plan`.
        path: for messages.

    Raises:
        MediaError: the span leaves the medium and `past_end` is "error".
    """
    start = round(Fraction(span.start) * rate)
    inside = start >= 0 and span.start + span.duration <= duration + 1 / span.rate
    if not inside and past_end == "error":
        end = span.start + span.duration
        reason = f"sound asked from {span.start:.3f} to {end:.3f} s of {duration:.3f} s"
        raise MediaError(path, "plan", f"{reason}; past_end says what to do there")
    lead, low, high = _needed(span, start, rate)
    if past_end == "wrap" and not inside:
        taken = audio[np.arange(low, high) % max(len(audio), 1)]
    else:
        taken = np.zeros((high - low, audio.shape[1]), np.int16)
        first, last = max(low, 0), min(high, len(audio))
        if first < last:
            taken[first - low : last - low] = audio[first:last]
    sound = torch.from_numpy(np.ascontiguousarray(taken.T)).float().div_(FULL_SCALE)
    if rate != span.rate:
        from ..modalities.audio import resample

        sound = resample(sound, rate, span.rate)
    lead = lead * span.rate // rate
    return sound[:, lead : lead + span.samples].clamp(-1, 1).contiguous()


def _needed(span: AudioSpan, start: int, rate: int) -> tuple[int, int, int]:
    """Samples before the span for the filter, first and last + 1 to take.

    The lead is a whole number of samples at both rates, so that resampling keeps positions.
    """
    if rate == span.rate:
        return 0, start, start + span.samples
    unit = rate // math.gcd(rate, span.rate)
    width = math.ceil(_FILTER * rate / min(rate, span.rate)) + 1
    lead = math.ceil(width / unit) * unit
    return lead, start - lead, start + math.ceil(span.samples * rate / span.rate) + width
