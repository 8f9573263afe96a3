"""Two segments of each recording, for tasks on sound alone: chosen, cut, changed and shown."""

from collections.abc import Callable

from torch import Generator, Tensor

from ...modalities.media import MediaInfo, Plan, Sample
from ...modalities.rng import uniform
from ..task import Batch, Guard, Picture
from .audio_input import AudioInput, audible, need_length
from .pictures import ranked_pairs, spectrogram
from .sound_changes import SoundChanges, SoundGuards
from .sound_cues import of_both_segments
from .transforms import stacked


def plan_segments(audio: AudioInput, context: float, info: MediaInfo, rng: Generator) -> Plan:
    """Two segments, anywhere within `context` seconds of a recording; they may overlap.

    A recording that is shorter than `context` serves as a whole.

    Raises:
        MediaError: a medium without sound, or with less than one segment of it.
    """
    first, last = audible(info)
    need_length(info, last - first, audio.seconds, "lower seconds")
    room = min(max(context, audio.seconds), last - first)
    begin = uniform(rng, first, last - room)
    return audio.plan(*(uniform(rng, begin, begin + room - audio.seconds) for _ in range(2)))


def segment_pair(
    audio: AudioInput, sample: Sample, changes: SoundChanges, guards: SoundGuards, rng: Generator
) -> Batch:
    """Both segments "audio" float32 [2, 1, S], and what is to change in each, [2, …]."""
    drawn = [changes.draw(rng, guards) for _ in range(2)]
    return {"audio": audio.sounds(sample), **stacked(drawn)}


def changed_pair(
    audio: AudioInput, batch: Batch, changes: SoundChanges, guards: SoundGuards
) -> Batch:
    """A batch of pairs as an encoder sees them.

    Returns:
        "first" and "second" float [B, 1, S], and "weight" float [B], 0 where one is silent.
    """
    first, second = changes.apply(batch["audio"], batch, audio.rate).unbind(1)
    weight = guards.audible(batch["audio"]).all(1).float()
    return {"first": first, "second": second, "weight": weight}


def segment_guards(guards: SoundGuards) -> tuple[Guard, ...]:
    """The guards of tasks that have to find the other segment of the same recording."""
    return guards.records(
        of_both_segments,
        loudness="loudness of the recording",
        equalise="room tone: microphone, room and codec colour all of a recording alike",
        silence="silence at the ends, or throughout",
    )


def segment_pictures(
    batch: Batch, likeness: Tensor, audio: AudioInput
) -> Callable[[], list[Picture]]:
    """Shows both segments of up to four recordings, and how well [B, B] each finds the other."""
    return ranked_pairs(
        batch["first"],
        batch["second"],
        likeness,
        lambda sound: spectrogram(sound, audio.rate),
        ("a segment (time to the right, pitch upwards)", "another of the same recording"),
    )
