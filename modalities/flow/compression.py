"""A field of flow as few bytes, with an error that is known."""

import struct

import numpy as np
import torch
from torch import Tensor

FINEST = 64  # steps per pixel at most: of less nothing is known anyway
_HEAD = struct.Struct("<f")


def compress(field: Tensor, bits: int = 16) -> bytes:
    """Rounds to steps of 1/64 pixel, or of as much as the longest component needs.

    The error of a component is at most half a step: 1/128 pixel or, if that is more, the field's
    largest component / 254 with 8 bits, / 65534 with 16.

    Args:
        field: float32 [2, H, W] in pixels, finite.
        bits: 8 or 16 of each rounded value.

    Returns:
        nothing for a field of zeros alone.
    """
    import pyarrow as pa

    values = field.numpy()
    longest = float(np.abs(values).max(initial=0.0))
    if longest == 0:
        return b""
    # As a float32, which is what is kept of it.
    step = np.float32(max(longest / (2 ** (bits - 1) - 1), 1 / FINEST))
    rounded = np.rint(values.transpose(1, 0, 2) / step).astype(f"<i{bits // 8}", order="C")
    # Differences from row to row: smaller numbers, which wrap around and back.
    rounded[1:] -= rounded[:-1].copy()
    return _HEAD.pack(step) + pa.compress(rounded, codec="zstd", asbytes=True)


def expand(data: bytes | memoryview, height: int, width: int, bits: int = 16) -> Tensor:
    """The field float32 [2, H, W] out of what `compress` gave.

    Raises:
        ValueError: damaged, or of another size.
    """
    import pyarrow as pa

    if not len(data):
        return torch.zeros(2, height, width)
    if len(data) < _HEAD.size:
        raise ValueError("a field of flow is cut short")
    (step,) = _HEAD.unpack(data[: _HEAD.size])
    kind = np.dtype(f"<i{bits // 8}")
    size = 2 * height * width * kind.itemsize
    try:
        raw = pa.decompress(data[_HEAD.size :], size, "zstd", asbytes=True)
    except OSError as error:
        raise ValueError(f"a field of flow is damaged ({error})") from error
    if len(raw) != size:
        raise ValueError(f"a field of flow is not of {width}x{height} pixels")
    rows = np.frombuffer(raw, kind).reshape(height, 2, width)
    rounded = np.cumsum(rows, 0, dtype=kind).transpose(1, 0, 2)
    return torch.from_numpy(rounded.astype(np.float32)).mul_(step)
