"""NSynth in its official layout (Engel et al. 2017, arXiv:1704.01279)."""

from pathlib import Path

from ...errors import InputError
from ...modalities.decode.sandbox import Limits
from ..delimited import read_json
from ..source import Entry, Files
from .official import complete

PARTS = {"nsynth-train": "train", "nsynth-valid": "val", "nsynth-test": "test"}


def nsynth(path: str | Path, *, isolated: Limits | None = None) -> Files:
    """Notes of four seconds; the label is the family of the instrument, the group the instrument.

    Args:
        path: the folder that holds `nsynth-train`, `nsynth-valid` and `nsynth-test`, or some of
            them, each with `examples.json` and `audio/NOTE.wav`.
        isolated: see `Files`.

    Raises:
        InputError: no part of it is there, or listed notes are not.
    """
    root, entries = Path(path), []
    parts = [name for name in PARTS if (root / name).is_dir()]
    if not parts:
        raise InputError(f"{root}: NSynth is not there; expected the folder nsynth-train")
    for name in parts:
        file = root / name / "examples.json"
        for note, about in read_json(file, dict, "NSynth").items():
            if not isinstance(about, dict) or "instrument_family_str" not in about:
                raise InputError(f"{file}: {note} has no instrument_family_str")
            family, group = about["instrument_family_str"], about.get("instrument_str", "")
            entries.append(Entry(f"{name}/audio/{note}.wav", family, group, PARTS[name]))
    return complete(root, entries, "NSynth", isolated=isolated)
