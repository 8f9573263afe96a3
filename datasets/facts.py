"""What is known of many media at once, as arrays, without a file being opened."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Facts(NamedTuple):
    """Of each of N examples what `Source.info` would say, as far as it decides what can be read.

    Attributes:
        known: whether the rest is known; where it is not, a file would have to be opened.
        video: whether it is a video.
        image: whether it is a picture.
        duration: seconds.
        audio_rate: Hz, 0 without sound.
        audio_channels: 0 without sound.
        audio_start: seconds at which the sound starts.
        audio_duration: seconds of sound.
        motion: whether its motion was measured.
    """

    known: NDArray[np.bool_]
    video: NDArray[np.bool_]
    image: NDArray[np.bool_]
    duration: NDArray[np.float64]
    audio_rate: NDArray[np.int64]
    audio_channels: NDArray[np.int64]
    audio_start: NDArray[np.float64]
    audio_duration: NDArray[np.float64]
    motion: NDArray[np.bool_]

    @property
    def sound(self) -> NDArray[np.float64]:
        """Seconds of sound between the medium's start and its end, [N]."""
        last = np.minimum(self.audio_start + self.audio_duration, self.duration)
        return np.where(self.audio_rate > 0, last - np.maximum(self.audio_start, 0.0), 0.0)

    def between(self, start: NDArray[np.float64], end: NDArray[np.float64]) -> "Facts":
        """Of the segments from `start` to `end` seconds; both NaN: of the whole medium.

        A segment that starts after the medium's end has a duration of 0 or less.
        """
        meant = ~(np.isnan(start) & np.isnan(end))
        start = np.nan_to_num(start, nan=0.0)
        end = np.fmin(end, self.duration)
        first = np.clip(self.audio_start, start, end)
        last = np.clip(self.audio_start + self.audio_duration, start, end)
        changed = {
            "duration": end - start,
            "audio_rate": np.where(last > first, self.audio_rate, 0),
            "audio_channels": np.where(last > first, self.audio_channels, 0),
            "audio_start": first - start,
            "audio_duration": last - first,
        }
        pairs = {name: (value, getattr(self, name)) for name, value in changed.items()}
        return self._replace(**{name: np.where(meant, *pair) for name, pair in pairs.items()})
