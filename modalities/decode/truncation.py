"""Whether a file ends before its container says so: a copy or a download that broke off.

Only sizes that a container must get right count, those of its outermost parts. Numbers of frames
and durations are written before the frames are, and healthy files overstate them.
"""

from typing import BinaryIO

from .origin import Origin

_UNKNOWN = (0, 0xFFFFFFFF)  # sizes that a recorder leaves in RIFF until it is done
_BOXES = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx")
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_PAGE = 65_307  # bytes in the longest page of Ogg


def missing_bytes(origin: Origin) -> int:
    """Bytes that RIFF, MP4, Matroska or Ogg promises past the file's end, 0 where it says nothing.

    Raises:
        OSError: the file cannot be read.
    """
    size = origin.size
    with origin.open() as file:
        head = file.read(12)
        if head.startswith((b"RIFF", b"RF64")):
            end = _riff_end(file, size)
        elif head[4:8] in _BOXES:
            end = _boxes_end(file, size)
        elif head.startswith(_EBML.to_bytes(4, "big")):
            end = _segment_end(file)
        elif head.startswith(b"OggS"):
            end = _page_end(file, size)
        else:
            return 0
    return max(end - size, 0)


def _riff_end(file: BinaryIO, size: int) -> int:
    """A long AVI file is a row of RIFF chunks."""
    at = 0
    while at + 8 <= size:
        name, length = _at(file, at, 4), int.from_bytes(_at(file, at + 4, 4), "little")
        if name != b"RIFF" or length in _UNKNOWN:
            break
        at += 8 + length
        at += length & 1 and at < size  # the filling byte of the last one is often left out
    return at


def _boxes_end(file: BinaryIO, size: int) -> int:
    at = 0
    while at + 8 <= size:
        length, header = int.from_bytes(_at(file, at, 4), "big"), 8
        if length == 1:
            length, header = int.from_bytes(_at(file, at + 8, 8), "big"), 16
        if length < header:  # 0: to the file's end; else it is no box
            break
        at += length
    return at


def _segment_end(file: BinaryIO) -> int:
    _, length, at = _element(file, 0)
    name, segment, start = _element(file, at + (length or 0))
    return start + segment if name == _SEGMENT and segment is not None else 0


def _element(file: BinaryIO, at: int) -> tuple[int, int | None, int]:
    """Name and size (None: unknown) of an EBML element, and where its content begins."""
    head = _at(file, at, 12)
    width = 9 - head[0].bit_length() if head and head[0] else 1
    name = int.from_bytes(head[:width], "big")
    first = head[width] if len(head) > width else 0
    digits = 9 - first.bit_length()
    value = int.from_bytes(head[width : width + digits], "big") & ((1 << 7 * digits) - 1)
    unknown = not first or value == (1 << 7 * digits) - 1
    return name, None if unknown else value, at + width + digits


def _page_end(file: BinaryIO, size: int) -> int:
    start = max(size - _PAGE, 0)
    tail = _at(file, start, _PAGE)
    page = tail.rfind(b"OggS\0")
    if page < 0 or len(tail) < page + 27:
        return 0
    count = tail[page + 26]
    return start + page + 27 + count + sum(tail[page + 27 : page + 27 + count])


def _at(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)
