"""Published data sets by name, as "ucf101:PATH", "hmdb51-2:PATH", "kinetics:PATH", …."""

import re
from functools import partial
from pathlib import Path

from ...errors import InputError
from ...modalities.decode.sandbox import Limits
from ..source import Source
from .binaries import cifar10, cifar100, stl10
from .diving48 import diving48
from .epic_kitchens import epic_kitchens
from .esc50 import esc50
from .hmdb51 import hmdb51
from .kinetics import kinetics, something_something
from .nsynth import nsynth
from .sounds_of_films import audioset, vggsound
from .speech_commands import speech_commands
from .ucf101 import ucf101
from .urbansound8k import urbansound8k
from .voc import voc

OPENERS = {
    **{"ucf101" + (f"-{k}" if k else ""): partial(ucf101, split=k or 1) for k in range(4)},
    **{"hmdb51" + (f"-{k}" if k else ""): partial(hmdb51, split=k or 1) for k in range(4)},
    "esc50": esc50,
    "esc10": partial(esc50, classes=10),
    "urbansound8k": urbansound8k,
    "speech_commands": speech_commands,
    "nsynth": nsynth,
    "voc": voc,
}
LISTED = {
    "kinetics": (kinetics, "*.csv"),
    "ssv2": (something_something, "*something*.json"),
    "vggsound": (vggsound, "*.csv"),
    "audioset": (audioset, "*segments*.csv"),
    "epic_kitchens": (epic_kitchens, "*.csv"),
    "diving48": (diving48, "*Diving48*t*.json"),
}
_NO_LIST = re.compile("labels|vocab|classes|indices")
BINARIES = {"cifar10": cifar10, "cifar100": cifar100, "stl10": stl10}
NAMES = (*OPENERS, *LISTED, *BINARIES)


def is_published(spec: str) -> bool:
    """Whether a specification starts with a name of one of them."""
    return spec.partition(":")[0] in NAMES and ":" in spec


def open_published(spec: str, isolated: Limits | None = None) -> Source:
    """The data set in its official layout.

    Args:
        spec: NAME:PATH, where the NAME of UCF101 and HMDB51 may end in the number of an official
            split (-1, -2, -3; without: 1). Kinetics, Something-Something v2, VGGSound, AudioSet,
            EPIC-Kitchens and Diving48 take all lists that lie in the folder itself, as train.csv
            and val.csv. The others name all their folds or parts at once.
        isolated: see `Files`.

    Raises:
        InputError: a folder without lists, or what the data set's own function raises.
    """
    name, _, rest = spec.partition(":")
    path = Path(rest).expanduser()
    if name in BINARIES:
        if isolated:
            raise InputError(f"{spec}: isolated does not apply to arrays; leave it out")
        return BINARIES[name](path)
    if name in OPENERS:
        return OPENERS[name](path, isolated=isolated)
    opener, pattern = LISTED[name]
    lists = [file for file in sorted(path.glob(pattern)) if not _NO_LIST.search(file.stem)]
    if not lists:
        raise InputError(f"{path}: no list {pattern} lies there; put the published lists into it")
    return opener(path, lists, isolated=isolated)
