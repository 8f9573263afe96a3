"""Speech Commands v2 in its official layout and parts (Warden 2018, arXiv:1804.03209)."""

import logging
from pathlib import Path

from ...errors import InputError
from ...modalities.decode.sandbox import Limits
from ..delimited import lines_of
from ..lookup import find_media
from ..source import Entry, Files
from .official import check_present

LISTS = {"val": "validation_list.txt", "test": "testing_list.txt"}
NOISE = "_background_noise_"
_log = logging.getLogger(__name__)


def speech_commands(path: str | Path, *, isolated: Limits | None = None) -> Files:
    """Spoken words of about one second at 16 kHz, as "train", "val" and "test".

    What neither list names is for training. Groups are the speakers, by the number that begins a
    file's name; the lists never part them. The long recordings in `_background_noise_` are no
    words; they are left out, and a line in the log says so.

    Args:
        path: the folder that holds `WORD/SPEAKER_nohash_N.wav` and the two lists.
        isolated: see `Files`.

    Raises:
        InputError: a list that is missing or names sounds that are not there, or no words.
    """
    root = Path(path)
    parts = {name: part for part, file in LISTS.items() for name in lines_of(root / file)}
    check_present(root, [Entry(name) for name in parts], "Speech Commands")
    sounds = [name for name in find_media(root)[0] if name.count("/") == 1]
    words = [name for name in sounds if not name.startswith(f"{NOISE}/")]
    if not words:
        raise InputError(f"{root}: holds no words; expected the folders WORD/SPEAKER_nohash_N.wav")
    if len(words) < len(sounds):
        _log.info("%s: %d files of %s are left out", root, len(sounds) - len(words), NOISE)
    entries = []
    for name in words:
        word, file = name.split("/")
        speaker = file.partition("_nohash_")[0]
        entries.append(Entry(name, word, speaker, parts.get(name, "train")))
    classes = sorted({entry.label for entry in entries})
    return Files(root, entries, classes, title="Speech Commands v2", isolated=isolated)
