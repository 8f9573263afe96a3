"""Published data sets from their makers' sites, checked and in the layout that they are read in."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from ...errors import InputError
from ...progress import progress
from ..cache import sha256, write_json
from .archive import unpack
from .by_name import open_published

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
    found = sha256(path, f"checking {path.name}")
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
    write_json(record, {**known, archive.name: entry})
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


CHUNK = 2**20
ATTEMPTS = 5  # at a file whose connection breaks, as long as each brings something
_HERE = ("127.0.0.1", "localhost", "::1")


class _SameSafety(urllib.request.HTTPRedirectHandler):
    """Follows no redirect from https to anything else."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        _check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url: str, path: Path, *, timeout: float = 60.0) -> None:
    """Writes what the address holds to `path`, which appears once it is whole.

    Until then PATH.part grows, and a later call goes on from there; it starts anew if the server
    says that the file has changed, or cannot say so.

    Args:
        url: https; http only from this machine.
        timeout: seconds without an answer.

    Raises:
        InputError: an address that is not https, cannot be reached, or ends too early.
    """
    _check_address(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    part, tag = (path.with_name(path.name + end) for end in (".part", ".tag"))
    reason = ""
    for _ in range(ATTEMPTS):
        before = _size(part)
        try:
            if _fetch_rest(url, part, tag, timeout):
                os.replace(part, path)
                tag.unlink(missing_ok=True)
                return
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            raise InputError(f"{url}: the server says {error.code} {error.reason}") from error
        except (OSError, HTTPException) as error:
            reason = str(getattr(error, "reason", error))
        if _size(part) <= before:
            break
    have = f" after {_size(part) / 2**20:.1f} MiB; the same command goes on from there"
    raise InputError(f"{url}: {reason}{have if _size(part) else ''}")


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _HERE):
        raise InputError(f"{url}: only https is followed, as anybody could change what http brings")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch_rest(url: str, part: Path, tag: Path, timeout: float) -> bool:
    """Appends what is missing; whether the file is whole afterwards."""
    start = _size(part) if tag.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "pretexto"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", tag.read_text())
    opener = urllib.request.build_opener(_SameSafety())
    try:
        answer = opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        # Asked for bytes after the last one: all are there, or none of them can be trusted.
        if error.code != 416 or not start:
            raise
        if error.headers.get("Content-Range", "") == f"bytes */{start}":
            return True
        part.unlink()
        return False
    with answer:
        return _write(answer, part, tag, start)


def _write(answer: HTTPResponse, part: Path, tag: Path, start: int) -> bool:
    if answer.status != 206:
        start = 0
    elif not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise InputError(f"{answer.url}: the server sent another part than it was asked for")
    if not start:
        known = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        # Weak tags may not be used to join parts (RFC 9110, section 13.1.5).
        if known and not known.startswith("W/"):
            tag.write_text(known)
        else:
            tag.unlink(missing_ok=True)
    length = answer.headers.get("Content-Length")
    total = start + int(length) if length else None
    with part.open("ab" if start else "wb") as file:
        expected = ((total or 0) - start) // CHUNK + 1
        name = part.name.removesuffix(".part")
        for chunk in progress(_chunks(answer), expected, f"downloading {name}, MiB"):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return total is None or _size(part) == total


def _chunks(answer: HTTPResponse) -> Iterator[bytes]:
    while chunk := answer.read(CHUNK):
        yield chunk
