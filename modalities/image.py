"""Pictures from files, upright and RGB, and the resizing of pictures."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .decode.demuxer import MAX_PIXELS, failing
from .media import MediaInfo

if TYPE_CHECKING:
    from PIL.Image import Image

_ORIENTATION = 0x0112  # Exif tag
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"MM\x00*")
_COMPLAINTS = ("Corrupt JPEG data", "Premature end")


def is_picture(path: str) -> bool:
    """Whether a file holds a still picture, by its first bytes. Raises MediaError."""
    with failing(path, "open"), open(path, "rb") as file:
        head = file.read(16)
    if head.startswith(b"GIF8"):
        with failing(path, "open"), _open(path) as picture:
            return getattr(picture, "n_frames", 1) == 1
    webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    return webp or head.startswith(_MAGIC) or head[4:12] in (b"ftypavif", b"ftypavis")


def picture_info(path: str) -> MediaInfo:
    """Size and codec of a picture, from its header alone. Raises MediaError."""
    with failing(path, "probe"), _open(path) as picture:
        orientation = picture.getexif().get(_ORIENTATION, 1)
        width, height = picture.size
        if orientation >= 5:
            width, height = height, width
        rotation = {3: 180, 4: 180, 5: 270, 6: 270, 7: 90, 8: 90}.get(orientation, 0)
        codec = (picture.format or "").lower()
        return MediaInfo(
            path, "image", frames=1, height=height, width=width, rotation=rotation, codec=codec
        )


def read_picture(path: str) -> Tensor:
    """The picture as uint8 [3, H, W] RGB, Exif orientation applied.

    16-bit values keep their upper byte, transparent parts keep their stored colour.

    Raises:
        MediaError: not a readable picture, or one that ends early.
    """
    from PIL import ImageOps

    with failing(path, "decode"), _open(path) as picture:
        pixels = _rgb(ImageOps.exif_transpose(picture))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def damage(path: str) -> str | None:
    """What libjpeg complains of in a JPEG that it decodes all the same, None if of nothing.

    Pillow passes such pictures off as whole. Raises OSError if the file is gone.
    """
    from simplejpeg import decode_jpeg

    with open(path, "rb") as file:
        data = file.read()
    if not data.startswith(_MAGIC[0]):
        return None
    try:
        decode_jpeg(data, "GRAY", fastdct=True, strict=True)
    except ValueError as error:
        # Other messages tell of variants that simplejpeg does not know, and others do.
        return str(error) if str(error).startswith(_COMPLAINTS) else None
    return None


def _open(path: str) -> "Image":
    from PIL import Image

    picture = Image.open(path)
    if picture.width * picture.height > MAX_PIXELS:
        picture.close()
        raise ValueError(f"a picture of {picture.width}x{picture.height} pixels")
    return picture


def _rgb(picture: "Image") -> np.ndarray:
    if picture.mode.startswith("I;16") or picture.mode == "I":
        grey = (np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, 2)
    return np.array(picture.convert("RGB"))


def resize(frames: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Frames [..., C, H, W], uint8 or float, at another size, antialiased.

    Args:
        frames: pictures.
        size: (height, width) in pixels, or the length of the shorter side, the shape kept.
    """
    from .decode.frames import short_size

    height, width = frames.shape[-2:]
    target = short_size(height, width, size) if isinstance(size, int) else size
    if (height, width) == target:
        return frames
    flat = frames.reshape(-1, *frames.shape[-3:])
    out = functional.interpolate(flat, target, mode="bilinear", antialias=True)
    return out.reshape(*frames.shape[:-2], *target)
