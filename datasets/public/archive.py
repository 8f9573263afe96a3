"""Zip and rar archives that nobody trusts: nothing leaves the folder, and no links come out."""

import os
import shutil
import stat
import subprocess
import tempfile
import zipfile
import zlib
from pathlib import Path

from ...errors import InputError
from ...progress import progress
from ..cache import locked
from ..paths import leaves_folder

_RAR = b"Rar!\x1a\x07"
_TEMPORARY = ".unpacking-"


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks into the folder, all or nothing of each thing at the archive's top.

    Args:
        archive: zip, or rar where `bsdtar` or `unrar` is on the PATH; told by content, not name.
        folder: made if need be.

    Raises:
        InputError: no such archive, a damaged one, a member that leads out of the folder or is a
            link, no tool for rar, no room, or something of that name that is there already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    refusal = f"{folder}: another process is unpacking there; wait for it or end it"
    with locked(folder / "unpacking", refusal):
        _unpack(archive, folder)


def _unpack(archive: Path, folder: Path) -> None:
    for old in folder.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(old)
    place = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder))
    try:
        if _starts_as_rar(archive):
            _unrar(archive, place)
        elif zipfile.is_zipfile(archive):
            _unzip(archive, place)
        else:
            raise InputError(
                f"{archive}: neither zip nor rar; the server may have sent a page instead: "
                "delete it, look at the data set's page, and put the archive here by hand"
            )
        _check_tree(archive, place)
        _move(place, folder)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _starts_as_rar(archive: Path) -> bool:
    with archive.open("rb") as file:
        return file.read(len(_RAR)) == _RAR


def check_name(archive: Path, name: str) -> None:
    """Raises InputError for a member's name that could leave the folder on any system."""
    if leaves_folder(name) or not name.isprintable():
        raise InputError(f"{archive}: the member {name!r} leads out of the folder; not unpacked")


def _refuse_link(archive: Path, name: str) -> InputError:
    return InputError(f"{archive}: the member {name!r} is a link or no ordinary file; not unpacked")


def _check_room(archive: Path, needed: int, place: Path) -> None:
    free = shutil.disk_usage(place).free
    if needed > free:
        raise InputError(
            f"{archive}: needs {needed / 2**30:.1f} GiB unpacked, but {place.parent} has "
            f"{free / 2**30:.1f} GiB left; choose another --out"
        )


def _unzip(archive: Path, place: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            for member in members:
                check_name(archive, member.filename)
                kind = stat.S_IFMT(member.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _refuse_link(archive, member.filename)
            _check_room(archive, sum(member.file_size for member in members), place)
            for member in progress(members, len(members), f"unpacking {archive.name}"):
                opened.extract(member, place)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise InputError(f"{archive}: damaged or not readable: {error}") from error


def _unrar(archive: Path, place: Path) -> None:
    for tool, members, extract in (
        (
            "bsdtar",
            _listed_by_bsdtar,
            ["-x", "--no-same-owner", "-f", "{archive}", "-C", "{place}"],
        ),
        ("unrar", _listed_by_unrar, ["x", "-o-", "-p-", "-idq", "--", "{archive}", "{place}/"]),
    ):
        program = shutil.which(tool)
        if program is None:
            continue
        for name, ordinary in members(program, archive):
            check_name(archive, name)
            if not ordinary:
                raise _refuse_link(archive, name)
        _run([program, *(w.format(archive=archive, place=place) for w in extract)], archive)
        return
    raise InputError(
        f"{archive}: rar archives need bsdtar or unrar on the PATH; install one of them "
        "(Debian and Ubuntu: apt install libarchive-tools) and run the same command again"
    )


def _listed_by_bsdtar(program: str, archive: Path) -> list[tuple[str, bool]]:
    """Names, and whether each is a file or folder."""
    names = _run([program, "-t", "-f", str(archive)], archive)
    modes = _run([program, "-t", "-v", "-f", str(archive)], archive)
    return [
        (name, mode[:1] in ("-", "d") and " link to " not in mode)
        for name, mode in zip(names, modes, strict=True)
    ]


def _listed_by_unrar(program: str, archive: Path) -> list[tuple[str, bool]]:
    members: list[tuple[str, bool]] = []
    for line in _run([program, "lt", "-p-", "--", str(archive)], archive):
        key, _, value = line.strip().partition(": ")
        if key == "Name":
            members.append((value, False))
        elif key == "Type" and members:
            members[-1] = (members[-1][0], value in ("File", "Directory"))
    return members


def _run(command: list[str], archive: Path) -> list[str]:
    """Lines that a tool writes; InputError with its last words if it fails."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, capture_output=True, env=environment, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        words = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        said = words[-1] if words else f"exit code {done.returncode}"
        raise InputError(f"{archive}: {Path(command[0]).name} cannot read it: {said}")
    return done.stdout.decode(errors="replace").splitlines()


def _check_tree(archive: Path, place: Path) -> None:
    """Raises InputError if anything but ordinary files and folders has come out."""
    for root, folders, files in os.walk(place):
        for name in (*folders, *files):
            found = os.lstat(os.path.join(root, name))
            ordinary = stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)
            if not ordinary or (stat.S_ISREG(found.st_mode) and found.st_nlink > 1):
                raise _refuse_link(archive, os.path.relpath(os.path.join(root, name), place))


def _move(place: Path, folder: Path) -> None:
    found = sorted(place.iterdir())
    for item in found:
        if (folder / item.name).exists():
            raise InputError(f"{folder / item.name} is there already; remove it to unpack it anew")
    for item in found:
        os.replace(item, folder / item.name)
