"""Media in, tensors out; knows no labels, tasks or models."""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .decode.reader import probe as probe
    from .decode.reader import read as read
    from .input_spec import InputSpec as InputSpec
    from .media import AudioSpan as AudioSpan
    from .media import MediaError as MediaError
    from .media import MediaInfo as MediaInfo
    from .media import Plan as Plan
    from .media import Sample as Sample
    from .rng import generator as generator

__all__ = [
    "AudioSpan",
    "InputSpec",
    "MediaError",
    "MediaInfo",
    "Plan",
    "Sample",
    "generator",
    "probe",
    "read",
]

__getattr__ = lazy(
    __name__,
    {
        "AudioSpan": "media",
        "InputSpec": "input_spec",
        "MediaError": "media",
        "MediaInfo": "media",
        "Plan": "media",
        "Sample": "media",
        "generator": "rng",
        "probe": "decode.reader",
        "read": "decode.reader",
    },
)
