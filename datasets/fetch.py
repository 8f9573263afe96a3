"""Published data sets from their makers' sites, checked and in the layout that they are read in."""

import json
import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ..errors import InputError
from .download import download, sha256
from .published import open_published
from .unpack import unpack

ARCHIVES = "archives"
RECORD = "checksums.json"


@dataclass(frozen=True, slots=True)
class Archive:
    """One file of a data set.

    Attributes:
        url: where its makers offer it.
        holds: the folder that comes out of it; with `parts`, that its parts are unpacked into.
        parts: whether it holds an archive for each class.
        sha256: "" where nobody has published one.
        source: who has published it.
    """

    url: str
    holds: str
    parts: bool = False
    sha256: str = ""
    source: str = ""

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Published:
    """A data set that can be downloaded.

    Attributes:
        name: as --data names it.
        page: where its makers describe it, and say on what terms it may be used.
        archives: all that makes it up.
    """

    name: str
    page: str
    archives: tuple[Archive, ...]


_UCF = "https://www.crcv.ucf.edu/data/UCF101/"
_HMDB = "https://serre-lab.clps.brown.edu/wp-content/uploads/2013/10/"

CATALOGUE = {
    "ucf101": Published(
        "ucf101",
        "https://www.crcv.ucf.edu/research/data-sets/ucf101/",
        (
            Archive(
                f"{_UCF}UCF101TrainTestSplits-RecognitionTask.zip",
                "ucfTrainTestlist",
                sha256="5c0d1a53b8ed364a2ac830a73f405e51bece7d98ce1254fd19ed4a36b224bd27",
                source="TensorFlow Datasets",
            ),
            Archive(f"{_UCF}UCF101.rar", "UCF-101"),
        ),
    ),
    "hmdb51": Published(
        "hmdb51",
        "https://serre.lab.brown.edu/hmdb51.html",
        (
            Archive(f"{_HMDB}test_train_splits.rar", "testTrainMulti_7030_splits"),
            Archive(f"{_HMDB}hmdb51_org.rar", "hmdb51_org", parts=True),
        ),
    ),
}


def fetch(published: Published, out: Path) -> list[str]:
    """Downloads, checks and unpacks a data set; goes on where an earlier call was interrupted.

    Archives are kept in OUT/archives. One that has been put there by hand is taken as it is. A
    checksum that nobody has published is written to OUT/archives/checksums.json at the first
    download, and holds from then on.

    Returns:
        What was done, in lines for people.

    Raises:
        InputError: what `download` and `unpack` raise, a checksum that differs, or a data set
            that is not complete afterwards.
    """
    said = [line for archive in published.archives for line in _bring(published, archive, out)]
    source = open_published(f"{published.name}:{out}")
    said.append(f"{len(source)} videos of split 1 are there: --data {published.name}:{out}")
    return [*said, f"terms of use: {published.page}"]


def _bring(published: Published, archive: Archive, out: Path) -> list[str]:
    if (out / archive.holds).is_dir():
        return [f"{archive.holds}: is there already"]
    path = out / ARCHIVES / archive.name
    if not path.exists():
        try:
            download(archive.url, path)
        except InputError as error:
            hint = f"or get it by hand from {published.page} and put it into {path.parent}"
            raise InputError(f"{error}; {hint}") from error
    said = _verify(archive, path)
    if archive.parts:
        _unpack_parts(path, out, archive.holds)
    else:
        unpack(path, out)
    if not (out / archive.holds).is_dir():
        raise InputError(f"{path}: holds no folder {archive.holds}, so it is another archive")
    return [said]


def _verify(archive: Archive, path: Path) -> str:
    """What was compared with what; the file is moved aside if it differs."""
    found = sha256(path)
    record = path.with_name(RECORD)
    known = json.loads(record.read_text()) if record.exists() else {}
    expected, source = archive.sha256, archive.source
    if not expected and archive.name in known:
        entry = known[archive.name]
        expected, source = entry["sha256"], f"{RECORD}, of {entry['first_seen']}"
    if expected and found != expected:
        wrong = path.with_name(path.name + ".wrong")
        os.replace(path, wrong)
        raise InputError(
            f"{path}: its sha256 is {found}, but {source} says {expected}; it is now "
            f"{wrong.name}, and the same command downloads it anew"
        )
    if expected:
        return f"{archive.name}: sha256 as in {source}"
    size = path.stat().st_size
    entry = {"sha256": found, "bytes": size, "url": archive.url, "first_seen": str(date.today())}
    temporary = record.with_name(f".{RECORD}.{os.getpid()}")
    temporary.write_text(json.dumps({**known, archive.name: entry}, indent=1) + "\n")
    os.replace(temporary, record)
    return (
        f"{archive.name}: no published checksum is known, so it could not be compared; "
        f"sha256 {found} is recorded for next time"
    )


def _unpack_parts(path: Path, out: Path, name: str) -> None:
    """An archive of archives, one per class, into OUT/NAME."""
    place = out / f".{name}"
    if not place.is_dir():
        unpack(path, place)
    for part in sorted(p for p in place.rglob("*") if p.suffix in (".rar", ".zip")):
        # A part that an earlier call had unpacked, but not yet deleted.
        if not (place / part.stem).is_dir():
            unpack(part, place)
        part.unlink()
    os.replace(place, out / name)
