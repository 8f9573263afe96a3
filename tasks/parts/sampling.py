"""What the tasks on sound alone share: two stretches of each recording, and what marks them."""

from collections.abc import Callable
from itertools import accumulate, permutations

import torch
from torch import Generator, Tensor

from ...encoders.encoder import Encoder
from ...errors import InputError
from ...modalities.input_spec import InputSpec
from ...modalities.media import AudioSpan, MediaError, MediaInfo, Plan, Sample
from ...modalities.rng import integer, uniform, weighted
from ..task import Audit, Batch, Guard, Picture
from .audio_input import (
    SILENT,
    audible,
    bandwidth,
    change_sound,
    loudness,
    need_length,
    of_view,
    room_tone,
    silence,
    silent,
    sound_view,
    stacked,
)
from .pictures import spectrogram

_TRIES = 8


def stretch_view(encoder: Encoder, seconds: float, reach: float) -> InputSpec:
    """What an audio encoder hears of a recording, of which `reach` seconds are read.

    Raises:
        InputError: another modality, or lengths that are none.
    """
    if not reach > 0:
        raise InputError(f"reach is the length of what is read of a recording, got {reach:g}")
    return sound_view(encoder, seconds)


def plan_stretches(view: InputSpec, reach: float, info: MediaInfo, rng: Generator) -> Plan:
    """One span of up to `reach` seconds, from which `draw_stretches` cuts."""
    first, last = audible(info)
    need_length(info, last - first, view.seconds, "lower seconds")
    length = min(max(reach, view.seconds), last - first)
    start = uniform(rng, first, last - length)
    return Plan(audio=(AudioSpan(start, length, view.rate),), past_end="repeat")


def draw_stretches(
    sample: Sample,
    view: InputSpec,
    draw: Callable[[Generator], Batch],
    rng: Generator,
    *,
    skip_silence: bool,
) -> Batch:
    """Two stretches of one sound, mixed down to one channel, and what is to change in each.

    Args:
        draw: what changes one view, as `sound_changes` gives it.
        skip_silence: draw anew, up to eight times, where a stretch is silent.

    Returns:
        "audio" float32 [2, 1, N], and what was drawn, [2, …] each.
    """
    assert sample.audio is not None
    mono, samples = sample.audio.mean(0, keepdim=True), round(view.seconds * view.rate)
    cuts = [_stretch(mono, samples, rng, skip_silence) for _ in range(2)]
    return {"audio": torch.stack(cuts), **stacked([draw(rng), draw(rng)])}


def _stretch(mono: Tensor, samples: int, rng: Generator, skip_silence: bool) -> Tensor:
    room = max(mono.shape[1] - samples, 0)
    cut = mono[:, :0]
    for _ in range(_TRIES):
        start = integer(rng, room + 1)
        cut = mono[:, start : start + samples]
        if not skip_silence or float(cut.square().mean()) > SILENT**2:
            break
    # A span that was rounded may lack its last sample.
    return torch.nn.functional.pad(cut, (0, samples - cut.shape[1]))


def change_stretches(batch: Batch, rate: int) -> Batch:
    """Both stretches of a batch of `draw_stretches`, changed.

    Returns:
        "first" and "second" float [B, 1, N], and "silent" bool [B, 2]: which had no sound before
        they were changed.
    """
    sound = batch["audio"]
    first, second = (change_sound(sound[:, k], of_view(batch, k), rate) for k in (0, 1))
    return {"first": first, "second": second, "silent": silent(sound)}


def stretch_guards(*, level: bool, equalise: bool, skip_silence: bool) -> tuple[Guard, ...]:
    """The switches that hide what all of a recording has in common."""
    tone = "room tone: microphone, room and codec colour all of a recording alike"
    return (
        Guard("level", "loudness of the recording", level, pair_loudness),
        Guard("equalise", tone, equalise, pair_room_tone),
        Guard("skip_silence", "silence at the ends", skip_silence, pair_silence),
    )


def pair_loudness(batch: Batch) -> Tensor:
    """Of both views side by side: [B, 2]."""
    return torch.cat([loudness(batch["first"]), loudness(batch["second"])], 1)


def pair_silence(batch: Batch) -> Tensor:
    """Of both views side by side: [B, 2]."""
    return torch.cat([silence(batch["first"]), silence(batch["second"])], 1)


def pair_room_tone(batch: Batch) -> Tensor:
    """Of both views side by side: [B, 16]."""
    return torch.cat([room_tone(batch["first"]), room_tone(batch["second"])], 1)


def pair_bandwidth(batch: Batch) -> Tensor:
    """Of both views side by side: [B, 2]."""
    return torch.cat([bandwidth(batch["first"]), bandwidth(batch["second"])], 1)


# No task on sound alone can hide where a codec cuts, short of cutting all files there.
CODEC = Audit(
    "codec",
    "the band that a file fills, which goes with its codec and its data set",
    "take an encoder of a lower rate, at which all files fill the band, or one data set at a time",
    pair_bandwidth,
)


def pair_pictures(batch: Batch, likeness: Tensor, rate: int) -> list[Picture]:
    """The two views of up to four recordings, and how well [B, B] each finds its partner."""
    return [
        Picture(
            images=[spectrogram(batch[side][i], rate) for side in ("first", "second")],
            captions=["a stretch (time to the right, pitch upwards)", "another of the same"],
            answer="these two belong together",
            prediction=f"partner ranks {1 + int((likeness[i] > likeness[i, i]).sum())} "
            f"of {len(likeness)}",
        )
        for i in range(min(len(likeness), 4))
    ]


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
