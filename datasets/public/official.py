"""What published sets in their official layout share: their folders, splits and listed files."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError, some
from ...modalities.decode.sandbox import Limits
from ..class_list import in_order
from ..paths import leaves_folder
from ..source import Entry, Files


def only_below(root: Path, names: Sequence[str], what: str) -> Path:
    """The first of these folders in the root. Raises InputError, naming them, if there is none."""
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise InputError(f"{root}: {what} are not there; expected the folder {names[0]}")


def check_split(split: int, what: str) -> None:
    """Raises InputError for a split other than 1, 2 and 3."""
    if split not in (1, 2, 3):
        raise InputError(f"{what} has the splits 1, 2 and 3, not {split}")


def complete(
    root: Path,
    entries: Sequence[Entry],
    what: str,
    *,
    title: str | None = None,
    isolated: Limits | None = None,
) -> Files:
    """The source of all files that a set lists; its classes are those that occur.

    Args:
        title: what tables call it; None: `what`.
        isolated: see `Files`.

    Raises:
        InputError: a listed file that is missing, or that lies outside the folder.
    """
    check_present(root, entries, what)
    classes = in_order({entry.label for entry in entries})
    return Files(root, entries, classes, title=title or what, isolated=isolated)


def check_present(root: Path, entries: Sequence[Entry], what: str) -> None:
    """Raises InputError if listed files are missing, or if a list leads out of the folder."""
    for entry in entries:
        if leaves_folder(entry.path):
            raise InputError(f"{root}: a list of {what} leads out of the folder: {entry.path}")
    missing = [entry.path for entry in entries if not (root / entry.path).is_file()]
    if missing:
        raise InputError(
            f"{root}: {len(missing)} of the {len(entries)} files that {what} lists are not there: "
            f"{some(missing)}; unpack the whole archive"
        )
