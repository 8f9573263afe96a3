"""What users call a way to compute optical flow: one short word in plans, configs and options."""

import difflib
from pathlib import Path
from typing import NamedTuple

from ...errors import InputError

DEFAULT = "dis"
# Word → what manifests and tables say of it: the method and its preset.
METHODS = {
    "dis": ("dis", "medium"),
    "dis-fast": ("dis", "fast"),
    "dis-ultrafast": ("dis", "ultrafast"),
    "farneback": ("farneback", "default"),
    "tvl1": ("tvl1", "default"),
    "raft_small": ("raft", "small"),
    "raft_large": ("raft", "large"),
}
DOWNLOAD = "download"


class Method(NamedTuple):
    """A way to compute flow.

    Attributes:
        name: "dis", "farneback", "tvl1" or "raft".
        preset: which of its settings.
        weights: of RAFT: the path of a .safetensors file, or "download"; "" of the others.
    """

    name: str
    preset: str
    weights: str = ""


def check_method(word: str) -> Method:
    """What a user's word for a method means; looks at no file but a RAFT's weights' name.

    Args:
        word: one of `METHODS`; a RAFT's is followed by its weights: "raft_small:FILE.safetensors",
            or "raft_small:download" for those that torchvision downloads.

    Raises:
        InputError: an unknown word, or a RAFT without weights.
    """
    head, _, weights = word.partition(":")
    if head not in METHODS:
        close = difflib.get_close_matches(head, METHODS, 1)
        hint = f"did you mean {close[0]}?" if close else f"take one of {', '.join(METHODS)}"
        raise InputError(f"flow method {word!r} is unknown: {hint}")
    name, preset = METHODS[head]
    if name != "raft" and weights:
        raise InputError(f"flow method {word!r}: {head} takes no weights; leave out :{weights}")
    if name == "raft" and not _are_weights(weights):
        raise InputError(
            f"flow method {word!r} needs weights: {head}:FILE.safetensors, or {head}:{DOWNLOAD} "
            "for torchvision's"
        )
    return Method(name, preset, weights)


def _are_weights(weights: str) -> bool:
    if weights == DOWNLOAD:
        return True
    return weights.endswith(".safetensors") and Path(weights).is_file()
