"""What the tasks on sound alone share: two stretches of each recording, and what marks them."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.draw import integer, uniform
from ..modalities.media import AudioSpan, MediaInfo, Plan, Sample
from ..modalities.view import View
from .show import spectrogram
from .sounds import (
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
from .task import Audit, Batch, Guard, Picture

_TRIES = 8


def stretch_view(encoder: Encoder, seconds: float, reach: float) -> View:
    """What an audio encoder hears of a recording, of which `reach` seconds are read.

    Raises:
        InputError: another modality, or lengths that are none.
    """
    if not reach > 0:
        raise InputError(f"reach is the length of what is read of a recording, got {reach:g}")
    return sound_view(encoder, seconds)


def plan_stretches(view: View, reach: float, info: MediaInfo, rng: Generator) -> Plan:
    """One span of up to `reach` seconds, from which `draw_stretches` cuts."""
    first, last = audible(info)
    need_length(info, last - first, view.seconds, "lower seconds")
    length = min(max(reach, view.seconds), last - first)
    start = uniform(rng, first, last - length)
    return Plan(audio=AudioSpan(start, length, view.rate), past_end="repeat")


def draw_stretches(
    sample: Sample,
    view: View,
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
