"""A file over https that goes on where it was interrupted, and what its bytes add up to."""

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import InputError
from ..progress import progress

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


def sha256(path: Path) -> str:
    """Of the whole file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        chunks = iter(lambda: file.read(CHUNK), b"")
        for chunk in progress(chunks, path.stat().st_size // CHUNK + 1, f"checking {path.name}"):
            digest.update(chunk)
    return digest.hexdigest()


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
