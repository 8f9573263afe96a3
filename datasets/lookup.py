"""Finding media below a folder: all that are there, or those that a list names."""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import InputError, some
from ..modalities.media import Kind
from .annotations import Table
from .paths import leaves_folder, nfc
from .source import Entry
from .suffixes import kind_of

_log = logging.getLogger(__name__)


def find_media(root: Path) -> tuple[dict[str, Kind], Counter[str]]:
    """Media below a folder, and what else is there.

    Returns:
        kinds by relative path with "/", in order of path, and a count of the other files by
        suffix. Hidden files and folders are left out; links are followed, each folder once.

    Raises:
        InputError: a folder cannot be listed.
    """
    media: dict[str, Kind] = {}
    others: Counter[str] = Counter()
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_stop):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(folder).relative_to(root)
        for file in sorted(name for name in files if not name.startswith(".")):
            kind = kind_of(file)
            if kind:
                media[(inside / file).as_posix()] = kind
            else:
                others[os.path.splitext(file)[1].lower()] += 1
    return dict(sorted(media.items())), others


def _stop(error: OSError):
    raise InputError(f"{error.filename}: cannot be listed ({error.strerror})")


def of_kind(media: Mapping[str, str], kind: Kind | None, root: Path) -> list[str]:
    """The media of one kind. Raises InputError if there are none, or several and none chosen."""
    counts = Counter(media.values())
    check_kinds(counts, kind, root)
    if len(counts) > 1:
        _log.info("%s: of %s, only %s files are taken", root, _held(counts), kind)
    return [name for name, found in media.items() if kind in (None, found)]


def check_kinds(counts: Counter[str], kind: Kind | None, where: Path) -> None:
    """Raises InputError if there are no media of a kind, or of several kinds and none chosen."""
    held = _held(counts)
    if kind is None and len(counts) > 1:
        raise InputError(f"{where}: media of several kinds ({held}); choose one with --kind")
    if kind is not None and kind not in counts:
        raise InputError(f"{where}: no {kind} files; it holds {held or 'nothing'}")


def _held(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def located(
    table: Table, root: Path, remedy: str = "remove the rows", absent: list[str] | None = None
) -> list[Entry]:
    """The rows with their files as they are called in the folder.

    Args:
        table: the list.
        root: the folder.
        remedy: for files that are not there.
        absent: takes their names; None: they are a mistake.

    Raises:
        InputError: paths that lead out of the folder, files that are not there or no media.
    """
    disk, entries, lost, strange = Names(root), [], [], []
    for entry in table.entries:
        name = relative_name(entry.path, root, table.file)
        found = disk.find(name)
        if found is None:
            lost.append(name)
        elif kind_of(found) is None:
            strange.append(name)
        else:
            entries.append(replace(entry, path=found))
    if absent is not None:
        absent += lost
    elif lost:
        count = f"{len(lost)} files are not in {root}"
        raise InputError(f"{table.file}: {count}: {some(lost)}; {remedy}")
    if strange:
        raise InputError(f"{table.file}: {len(strange)} files are no media: {some(strange)}")
    return entries


def relative_name(path: str, root: Path, file: Path) -> str:
    """A list's path below the folder. Raises InputError if it leads out of it."""
    if Path(path).is_absolute():
        for folder in (root, root.resolve()):
            if Path(path).is_relative_to(folder):
                path = Path(path).relative_to(folder).as_posix()
    if leaves_folder(path):
        raise InputError(
            f"{file}: {path} leads out of the folder {root}; paths in the list start there"
        )
    return Path(path).as_posix()


class Names:
    """The files below a folder, looked up by their names in any Unicode normal form."""

    def __init__(self, root: Path):
        self.root = root
        self._folders: dict[str, dict[str, str]] = {}
        self._stems: dict[str, dict[str, list[str]]] = {}

    def find(self, name: str) -> str | None:
        """The file as the disk has it; a name without suffix finds the one medium of that stem."""
        folder, _, last = name.rpartition("/")
        here = self._listed(folder)
        found = here.get(last) or here.get(nfc(last))
        if found is None and kind_of(last) is None:
            alike = self._stems[folder].get(nfc(last), [])
            found = alike[0] if len(alike) == 1 else None
        return f"{folder}/{found}" if found and folder else found

    def _listed(self, folder: str) -> dict[str, str]:
        if folder not in self._folders:
            try:
                files = [entry.name for entry in os.scandir(self.root / folder) if entry.is_file()]
            except OSError:
                files = []
            self._folders[folder] = {nfc(name): name for name in files} | {n: n for n in files}
            stems = self._stems[folder] = defaultdict(list)
            for name in filter(kind_of, files):
                stems[nfc(os.path.splitext(name)[0])].append(name)
        return self._folders[folder]
