"""Names of files in lists: which of them may be opened, and when two are the same."""

import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath


def leaves_folder(name: str) -> bool:
    """Whether a name from a list, on any system, is no path that stays below its folder."""
    parts = (*PurePosixPath(name).parts, *PureWindowsPath(name).parts)
    absolute = PurePosixPath(name).is_absolute() or bool(PureWindowsPath(name).drive)
    return not name or absolute or ".." in parts or "\0" in name


def relative(root: Path, file: Path) -> str:
    """The path of a file below the root, with forward slashes."""
    return file.relative_to(root).as_posix()


def nfc(name: str) -> str:
    """The name as sources give it: systems differ in how they store accents (NFC or NFD)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)
