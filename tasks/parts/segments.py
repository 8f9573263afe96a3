"""Two segments of each recording, for tasks on sound alone: chosen, cut, changed and shown."""

from abc import ABC
from collections.abc import Callable

from torch import Generator, Tensor

from ...modalities.media import MediaInfo, Plan, Sample
from ...modalities.rng import uniform
from ..task import Batch, Guard, Picture, Task, Traits
from .audio_input import AudioInput, audible, need_length
from .check import check_positive
from .pictures import ranked_pairs, spectrogram
from .sound_changes import SoundChanges, SoundGuards
from .sound_cues import CODEC, of_both_segments
from .transforms import stacked


class SegmentTask(Task, ABC):
    """A task that shows two segments of each recording, each changed at random.

    Batches have "first" and "second" float [B, 1, S], and "weight" float [B], 0 where one of both
    is silent.

    Args:
        audio: what is pretrained; it hears each segment alone.
        context: seconds of a recording within which both segments lie; a recording that is
            shorter serves as a whole. They may overlap.
        changes: of each segment.
        guards: against shortcuts.
    """

    def __init__(
        self, audio: AudioInput, context: float, changes: SoundChanges, guards: SoundGuards
    ):
        super().__init__(audio=audio)
        check_positive(context=context)
        self.audio, self.context, self.changes, self.sound_guards = audio, context, changes, guards
        self.guards, self.audits = segment_guards(guards), (CODEC,)
        self.traits = Traits(within_process=changes.mix > 0)

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        """Two segments, anywhere within `context` seconds of a recording.

        Raises:
            MediaError: a medium without sound, or with less than one segment of it.
        """
        first, last = audible(info)
        seconds = self.audio.seconds
        need_length(info, last - first, seconds, "lower seconds")
        room = min(max(self.context, seconds), last - first)
        begin = uniform(rng, first, last - room)
        return self.audio.plan(*(uniform(rng, begin, begin + room - seconds) for _ in range(2)))

    def example(self, sample: Sample, rng: Generator) -> Batch:
        """Both segments "audio" float32 [2, 1, S], and what is to change in each, [2, …]."""
        drawn = [self.changes.draw(rng, self.sound_guards) for _ in range(2)]
        return {"audio": self.audio.sounds(sample), **stacked(drawn)}

    def augment(self, batch: Batch) -> Batch:
        first, second = self.changes.apply(batch["audio"], batch, self.audio.rate).unbind(1)
        weight = self.sound_guards.audible(batch["audio"]).all(1).float()
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
