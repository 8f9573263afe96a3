"""AudioInput: segments of sound for an audio encoder, planned, cut and encoded."""

from typing import final

from torch import Generator, Tensor

from ...encoders.encoder import Encoder
from ...errors import InputError
from ...modalities.input_spec import InputSpec
from ...modalities.media import AudioSpan, MediaError, MediaInfo, Plan, Sample
from ...modalities.rng import uniform
from .input import Input, check_modality, last_map_channels


@final
class AudioInput(Input):
    """What an audio encoder hears: segments of one length, mixed down to one channel.

    Segments travel as float32 [N, 1, S], N of each medium.

    Args:
        encoder: audio encoder that is pretrained.
        seconds: length of a segment.

    Raises:
        InputError: an encoder of another modality, or a segment without length.
    """

    def __init__(self, encoder: Encoder, *, seconds: float = 1.0):
        super().__init__()
        check_modality(encoder, "audio")
        if not seconds > 0:
            raise InputError(f"seconds is the length of a segment of sound, got {seconds:g}")
        self.encoder = encoder
        self.spec = InputSpec("audio", seconds=seconds, rate=encoder.rate)

    @property
    def seconds(self) -> float:
        """Length of a segment."""
        return self.spec.seconds

    @property
    def rate(self) -> int:
        """Hz."""
        return self.spec.rate

    @property
    def samples(self) -> int:
        """Samples of a segment."""
        return round(self.seconds * self.rate)

    def random_start(self, info: MediaInfo, rng: Generator) -> float:
        """Seconds at which a segment may start, inside the sound where that is long enough.

        Raises:
            MediaError: a medium without sound.
        """
        first, last = audible(info)
        return uniform(rng, first, max(last - self.seconds, first))

    def plan(self, *starts: float) -> Plan:
        """Segments that start at these seconds; short media are followed by silence."""
        return Plan(audio=self.spans(*starts), past_end="repeat")

    def spans(self, *starts: float) -> tuple[AudioSpan, ...]:
        """The same as spans of a plan that reads pictures as well."""
        return tuple(AudioSpan(start, self.seconds, self.rate) for start in starts)

    def sounds(self, sample: Sample) -> Tensor:
        """All segments of a sample, in the plan's order: float32 [N, 1, S]."""
        assert sample.audio is not None
        return sample.audio.mean(0).unflatten(0, (-1, 1, self.samples))

    def encode(self, x: Tensor) -> Tensor:
        """Vectors [B, D] of float [B, 1, S], or [B, N, D] of [B, N, 1, S]."""
        if x.ndim == 4:
            return self.encode(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.encoder(x)

    def encode_map(self, x: Tensor) -> Tensor:
        """The deepest map of float [B, 1, S]: [B, C, rows, frames]."""
        *_, last = self.encoder.maps(x).values()
        return last

    @property
    def map_dim(self) -> int:
        """Channels C of what `encode_map` gives."""
        return last_map_channels(self.encoder)


def audible(info: MediaInfo) -> tuple[float, float]:
    """Seconds at which the sound starts and ends on the medium's clock, inside its duration.

    Raises:
        MediaError: a medium without sound.
    """
    if not info.has_audio:
        reason = "no sound track: leave the file out or choose a task that needs no sound"
        raise MediaError(info.path, "plan", reason)
    last = min(info.audio_start + info.audio_duration, info.duration)
    return max(info.audio_start, 0.0), last


def audible_with_picture(info: MediaInfo) -> tuple[float, float]:
    """Seconds between which there are both sound and moving picture.

    Raises:
        MediaError: a medium without sound or video.
    """
    if not info.has_video:
        raise MediaError(info.path, "plan", "no video: this task pairs picture and sound")
    return audible(info)


def need_length(info: MediaInfo, there: float, seconds: float, remedy: str) -> None:
    """Raises MediaError where less than `seconds` of sound are there; the remedy is in words."""
    if there < seconds:
        what = "picture and sound overlap for" if info.has_video else "the sound lasts"
        reason = f"{what} {max(there, 0):.2f} s, less than {seconds:g} s: {remedy}"
        raise MediaError(info.path, "plan", f"{reason} or leave the file out")
