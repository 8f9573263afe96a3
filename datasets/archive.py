"""Media in a zip or tar archive, read in place: nothing is unpacked."""

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..modalities.media import Kind, MediaError
from .annotations import SPLITS
from .class_list import classes_of
from .folder import from_folders
from .lookup import of_kind
from .paths import leaves_folder
from .source import Files
from .suffixes import kind_of

IN_PLACE = (".zip", ".tar")
_LOCAL_HEADER = struct.Struct("<26xHH")  # of a member of a zip; lengths of its name and extra field
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Archive(Files):
    """The media in a .zip or .tar file; classes and splits from its folders, as `Folder` has them.

    A folder that holds all others counts for nothing. Tar files within a tar are read as folders of
    their name, as ILSVRC2012_img_train.tar has one for each class. Hidden members are left out.

    Args:
        path: of the archive.
        kind: "video", "audio" or "image": which members to take, where there are several kinds.

    Raises:
        InputError: no archive, a damaged or encrypted one, members whose names lead out of it, no
            media, or media of several kinds and none chosen.
    """

    def __init__(self, path: str | Path, *, kind: Kind | None = None):
        file = Path(path)
        self._members = {_below(name): place for name, place in _members(file)}
        above = _wrapper([*self._members])
        self._members = {name[len(above) :]: place for name, place in self._members.items()}
        media = {name: kind_of(name) for name in sorted(self._members)}
        taken = of_kind({name: k for name, k in media.items() if k}, kind, file)
        if not taken:
            raise InputError(f"{file}: no media in the archive; give one of videos, sounds, images")
        entries = from_folders(list(taken))
        super().__init__(file, entries, classes_of(entries), title=file.stem, medium=self._medium)

    def _medium(self, name: str) -> io.BytesIO:
        return _Named(f"{self.path}/{name}", self._members[name].read(self.path, name))


class _Named(io.BytesIO):
    """Bytes with a name for messages."""

    def __init__(self, name: str, data: bytes):
        super().__init__(data)
        self.name = name


class _Member(NamedTuple):
    """Where the bytes of a member lie.

    Attributes:
        start: in the archive; of a member of a zip, its header.
        stored: bytes there.
        size: bytes of the member itself.
        check: its CRC-32 in a zip, None in a tar.
        deflated: whether it is compressed.
    """

    start: int
    stored: int
    size: int
    check: int | None = None
    deflated: bool = False

    def read(self, archive: Path, name: str) -> bytes:
        """The member. Raises MediaError if it is not there as it was listed."""
        try:
            # Opened anew: processes and threads that share a file would share its position.
            with archive.open("rb") as file:
                file.seek(self.start)
                if self.check is not None:
                    file.seek(sum(_LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))), 1)
                data = file.read(self.stored)
            if self.deflated:
                data = zlib.decompressobj(-15).decompress(data, self.size + 1)
        except (OSError, struct.error, zlib.error) as error:
            raise MediaError(f"{archive}/{name}", "open", f"cannot be read ({error})") from error
        if len(data) != self.size or self.check not in (None, zlib.crc32(data)):
            raise MediaError(
                f"{archive}/{name}", "open", "damaged: its checksum or size is another"
            )
        return data


def _members(archive: Path) -> Iterator[tuple[str, _Member]]:
    """Names and places of the ordinary members that are not hidden. Raises InputError."""
    listed: Callable[[Path], Iterator[tuple[str, _Member]]]
    listed = _of_zip if archive.suffix.lower() == ".zip" else _of_tar
    try:
        size = archive.stat().st_size
        for name, member in listed(archive):
            if leaves_folder(name):
                raise InputError(f"{archive}: the member {name!r} leads out of it; nothing is read")
            if member.start + member.stored > size:
                raise InputError(f"{archive}: cut short before {name!r} ends; copy it anew")
            if not any(part.startswith((".", "__MACOSX")) for part in _below(name).split("/")):
                yield name, member
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, UnicodeError) as error:
        raise InputError(
            f"{archive}: no {archive.suffix[1:]} archive, or damaged ({error})"
        ) from None
    except OSError as error:
        raise InputError(f"{archive}: cannot be read ({error.strerror or error})") from None


def _of_zip(archive: Path) -> Iterator[tuple[str, _Member]]:
    with zipfile.ZipFile(archive) as opened:
        for found in opened.infolist():
            if found.is_dir():
                continue
            if found.flag_bits & 1:
                raise InputError(f"{archive}: {found.filename!r} is encrypted; unpack it yourself")
            if found.compress_type not in _METHODS:
                remedy = "unpack it, or zip it anew without compression"
                raise InputError(f"{archive}: {found.filename!r} is compressed oddly; {remedy}")
            about = (found.header_offset, found.compress_size, found.file_size, found.CRC)
            yield found.filename, _Member(*about, found.compress_type == zipfile.ZIP_DEFLATED)


def _of_tar(archive: Path) -> Iterator[tuple[str, _Member]]:
    with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as opened:
        for found in _ordinary(opened):
            if not found.name.lower().endswith(".tar"):
                yield found.name, _Member(found.offset_data, found.size, found.size)
                continue
            folder = found.name[: -len(".tar")]
            with tarfile.open(fileobj=opened.extractfile(found), mode="r:") as inner:
                for each in _ordinary(inner):
                    start = found.offset_data + each.offset_data
                    yield f"{folder}/{each.name}", _Member(start, each.size, each.size)


def _ordinary(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Files, no links and no devices; without remembering them, as there may be millions."""
    while (found := opened.next()) is not None:
        opened.members = []  # type: ignore[misc]
        if found.isreg() and not found.issparse():
            yield found


def _below(name: str) -> str:
    return name.removeprefix("./").replace("\\", "/")


def _wrapper(names: list[str]) -> str:
    """The folder that holds all media, "" if there is none; a split is not taken for one."""
    tops = {name.split("/")[0] for name in names if kind_of(name)}
    inside = len(tops) == 1 and all("/" in name for name in names if kind_of(name))
    top = next(iter(tops), "")
    return f"{top}/" if inside and top.lower() not in SPLITS else ""
