"""Packets that can be left out: their frame is shown, but no other frame is predicted from it.

Told from the stream's own syntax: coded slices with nal_ref_idc 0 in H.264 (ITU-T H.264, 7.4.1)
and B-VOPs in MPEG-4 (ISO/IEC 14496-2, 6.3.5). Other codecs' frames are all taken to be needed.
"""

from collections.abc import Callable, Iterator

_SLICE, _SEI, _DELIMITER, _FILLER = 1, 6, 9, 12  # H.264's NAL unit types
_VOP = b"\0\0\1\xb6"
_B_VOP = 2


def spare_test(codec: str, extradata: bytes | None) -> Callable[[bytes], bool] | None:
    """A function that tells of a packet's bytes whether they can be left out; None: never."""
    if codec == "mpeg4":
        return _is_b_vop
    if codec != "h264":
        return None
    sized = extradata is not None and len(extradata) > 6 and extradata[0] == 1
    width = (extradata[4] & 3) + 1 if sized and extradata else 0
    return lambda data: _is_unreferenced(_sized(data, width) if width else _delimited(data))


def _is_b_vop(data: bytes) -> bool:
    # "Packed" streams carry two pictures in a packet and an empty one for each in another.
    at = data.find(_VOP)
    alone = data.find(_VOP, at + 4) < 0
    starts = data.count(b"\0\0\1", 0, max(at, 0))
    return at >= 0 and alone and not starts and len(data) > at + 4 and data[at + 4] >> 6 == _B_VOP


def _is_unreferenced(headers: Iterator[int]) -> bool:
    found = False
    for header in headers:
        kind, referenced = header & 31, header >> 5 & 3
        if kind == _SLICE and not referenced:
            found = True
        elif kind not in (_SEI, _DELIMITER, _FILLER):
            return False
    return found


def _sized(data: bytes, width: int) -> Iterator[int]:
    """First bytes of the NAL units, each of which follows its size in `width` bytes."""
    at = 0
    while at + width < len(data):
        size = int.from_bytes(data[at : at + width], "big")
        yield data[at + width] if size else _FILLER
        at += width + size


def _delimited(data: bytes) -> Iterator[int]:
    """First bytes of the NAL units, each of which follows a start code."""
    at = data.find(b"\0\0\1")
    while 0 <= at < len(data) - 3:
        yield data[at + 3]
        at = data.find(b"\0\0\1", at + 3)
