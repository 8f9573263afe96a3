"""Flow in files: Middlebury's .flo, KITTI's 16-bit PNG, and .npz."""

import os
import struct
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import InputError
from ..decode.demuxer import MAX_PIXELS
from ..decode.failures import failing
from ..decode.pixels import opencv

_FLO = b"PIEH"  # the float 202021.25, which tells the order of bytes
_UNKNOWN = 1e9  # what .flo files hold where nothing is known, and more
_KITTI_SCALE, _KITTI_ZERO = 64.0, 2.0**15
_PNG = b"\x89PNG\r\n\x1a\n"
Field = NDArray[np.float32]


def read_flow(path: str | os.PathLike) -> tuple[Tensor, Tensor]:
    """A field of flow out of a file, of the kind that its name's ending tells.

    Args:
        path: of a .flo (Baker et al. 2011), a .png (KITTI 2012 and 2015: 16 bits, 1/64 pixel) or a
            .npz with "flow" [2, H, W], and perhaps "valid" [H, W].

    Returns:
        float32 [2, H, W], (x, y) in pixels, and bool [H, W], where it is known; 0 where it is not.

    Raises:
        MediaError: no such file, or a damaged one.
        InputError: another kind of file.
    """
    path = os.fspath(path)
    read = _by_suffix(path, {".flo": _read_flo, ".png": _read_png, ".npz": _read_npz})
    with failing(path, "open"):
        data = Path(path).read_bytes()
    with failing(path, "decode"):
        flow, valid = read(data)
    flow[:, ~valid] = 0
    return torch.from_numpy(flow), torch.from_numpy(valid)


def write_flow(path: str | os.PathLike, flow: Tensor, valid: Tensor | None = None) -> None:
    """Writes a field of flow as the kind of file that the name's ending tells, whole or not at all.

    .flo and .npz keep it exactly; .png rounds to 1/64 pixel and holds less than 512 pixels.

    Args:
        path: ends in .flo, .png or .npz.
        flow: float [2, H, W], (x, y) in pixels.
        valid: bool [H, W], where it is known; None: everywhere.

    Raises:
        InputError: another kind of file, or vectors that are too long for it.
    """
    path = os.fspath(path)
    encode = _by_suffix(path, {".flo": _flo, ".png": _png, ".npz": _npz})
    field = flow.detach().cpu().float().numpy()
    known = np.isfinite(field).all(0)
    known &= valid.cpu().bool().numpy() if valid is not None else True
    try:
        data = encode(np.where(known, field, 0).astype(np.float32), known)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    part = f"{path}.{os.getpid()}.part"
    Path(part).write_bytes(data)
    os.replace(part, path)


def _by_suffix(path: str, kinds: dict[str, Any]) -> Any:
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in kinds:
        raise InputError(f"{path}: flow is in files called {', '.join(kinds)}")
    return kinds[suffix]


def _check_size(height: int, width: int) -> None:
    if not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
        raise ValueError(f"flow of {width}x{height} pixels")


def _read_flo(data: bytes) -> tuple[Field, NDArray[np.bool_]]:
    if data[:4] != _FLO or len(data) < 12:
        raise ValueError("no .flo file: it does not begin with PIEH and a size")
    width, height = struct.unpack("<ii", data[4:12])
    _check_size(height, width)
    if len(data) != 12 + 8 * height * width:
        raise ValueError(f"{len(data)} bytes for {width}x{height} pixels: cut short or overlong")
    flow = np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2).transpose(2, 0, 1)
    with np.errstate(invalid="ignore"):
        known = np.all(np.abs(flow) < _UNKNOWN, axis=0)
    return flow.astype(np.float32), np.asarray(known)


def _flo(flow: Field, valid: NDArray[np.bool_]) -> bytes:
    height, width = valid.shape
    values = np.where(valid, flow, 2 * _UNKNOWN).transpose(1, 2, 0).astype("<f4")
    return _FLO + struct.pack("<ii", width, height) + values.tobytes()


def _read_png(data: bytes) -> tuple[Field, NDArray[np.bool_]]:
    if not data.startswith(_PNG) or len(data) < 33:
        raise ValueError("no PNG")
    width, height, bits, colours = struct.unpack(">IIBB", data[16:26])
    _check_size(height, width)
    if (bits, colours) != (16, 2):
        raise ValueError("no flow as in KITTI's files, which have three channels of 16 bits")
    cv2 = opencv()
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("a PNG that is damaged or cut short")
    valid, y, x = pixels.transpose(2, 0, 1)  # OpenCV gives blue first
    flow = (np.stack([x, y]).astype(np.float32) - _KITTI_ZERO) / _KITTI_SCALE
    return flow.astype(np.float32), valid > 0


def _png(flow: Field, valid: NDArray[np.bool_]) -> bytes:
    values = np.round(flow * _KITTI_SCALE + _KITTI_ZERO)
    if (values < 0).any() or (values > 65535).any():
        longest = float(np.abs(flow).max())
        raise ValueError(f"{longest:.0f} pixels are more than a PNG holds; take .flo")
    x, y = values.astype(np.uint16) * valid
    pixels = np.stack([valid.astype(np.uint16), y, x], -1)
    return opencv().imencode(".png", pixels)[1].tobytes()


def _read_npz(data: bytes) -> tuple[Field, NDArray[np.bool_]]:
    with zipfile.ZipFile(BytesIO(data)) as packed:
        if sum(entry.file_size for entry in packed.infolist()) > 20 * MAX_PIXELS:
            raise ValueError("more than a field of flow")
    with np.load(BytesIO(data), allow_pickle=False) as arrays:
        if "flow" not in arrays:
            raise ValueError(f"no array called flow; it has {', '.join(arrays) or 'none'}")
        flow = arrays["flow"]
        valid = arrays["valid"] if "valid" in arrays else np.ones(flow.shape[1:], np.bool_)
    if flow.ndim != 3 or len(flow) != 2 or flow.dtype.kind not in "fiu":
        raise ValueError(f"flow is {flow.dtype} {list(flow.shape)}, not float [2, H, W]")
    _check_size(*flow.shape[1:])
    if valid.shape != flow.shape[1:]:
        raise ValueError(f"valid is {list(valid.shape)}, not [H, W] of flow {list(flow.shape)}")
    return flow.astype(np.float32), valid.astype(np.bool_) & np.isfinite(flow).all(0)


def _npz(flow: Field, valid: NDArray[np.bool_]) -> bytes:
    out = BytesIO()
    np.savez_compressed(out, flow=flow, valid=valid)
    return out.getvalue()
