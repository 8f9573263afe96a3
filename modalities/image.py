"""Pictures from files, upright and RGB, and the resizing of pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .decode.demuxer import MAX_PIXELS, Medium
from .decode.failures import failing
from .decode.origin import Origin
from .decode.pixels import display_size, orientation, to_rgb, turned
from .media import MediaError, MediaInfo

if TYPE_CHECKING:
    from PIL.Image import Image

_ORIENTATION = 0x0112  # Exif tag
_JPEG = b"\xff\xd8\xff"
_MAGIC = (_JPEG, b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"MM\x00*", b"GIF8")
_HEIF = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_MOVING = ("GIF", "PNG", "WEBP", "AVIF")
_COMPLAINTS = ("Corrupt JPEG data", "Premature end")


class Picture:
    """A still picture that is open.

    Args:
        origin: where its bytes are.
        file: them, open.
        image: as Pillow sees it; None: it is FFmpeg's affair.

    Attributes:
        name: for messages.
    """

    def __init__(self, origin: Origin, file: BinaryIO, image: "Image | None"):
        self.name = origin.name
        self._origin, self._file, self._image = origin, file, image

    def info(self) -> MediaInfo:
        """Size and codec, from the header alone where Pillow knows it. Raises MediaError."""
        if self._image is None:
            picture, codec, turns = _by_ffmpeg(self._origin)
            height, width = picture.shape[:2]
            rotation = 90 * turns
        else:
            with failing(self.name, "probe"):
                exif = self._image.getexif().get(_ORIENTATION, 1)
                width, height = self._image.size
                if exif >= 5:
                    width, height = height, width
                rotation = {3: 180, 4: 180, 5: 270, 6: 270, 7: 90, 8: 90}.get(exif, 0)
                codec = (self._image.format or "").lower()
        size = {"height": height, "width": width, "rotation": rotation}
        return MediaInfo(self.name, "image", frames=1, codec=codec, **size)

    def read(self) -> Tensor:
        """The picture as uint8 [3, H, W] RGB, Exif orientation applied.

        16-bit values keep their upper byte, floats 0 … 1 become 0 … 255, transparent parts keep
        their stored colour.

        Raises:
            MediaError: not a readable picture, one that ends early, or values of unknown range.
        """
        if self._image is None:
            pixels, _, _ = _by_ffmpeg(self._origin)
        else:
            from PIL import ImageOps

            with failing(self.name, "decode"):
                pixels = _rgb(ImageOps.exif_transpose(self._image))
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def damage(self) -> str | None:
        """What libjpeg complains of in a JPEG that it decodes all the same, None if of nothing.

        Pillow passes such pictures off as whole.
        """
        from simplejpeg import decode_jpeg

        self._file.seek(0)
        data = self._file.read()
        if not data.startswith(_JPEG):
            return None
        try:
            decode_jpeg(data, "GRAY", fastdct=True, strict=True)
        except ValueError as error:
            # Other messages tell of variants that simplejpeg does not know, and others do.
            return str(error) if str(error).startswith(_COMPLAINTS) else None
        return None


@contextmanager
def still_picture(origin: Origin) -> Iterator[Picture | None]:
    """The still picture that a medium is, open; None of films, sounds and what moves.

    Raises:
        MediaError: the medium cannot be opened, or it moves and FFmpeg cannot read it.
    """
    with failing(origin.name, "open"):
        file = origin.open()
    with file:
        with failing(origin.name, "open"):
            head = file.read(16)
            file.seek(0)
        heif = head[4:8] == b"ftyp" and head[8:12] in _HEIF
        webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
        if not (heif or webp or head.startswith(_MAGIC)):
            yield None
            return
        image = _opened(origin, file, heif)
        # Pages of a TIFF and the further views of a camera's JPEG are no film.
        moves = image and image.format in _MOVING and getattr(image, "is_animated", False)
        if not moves:
            yield Picture(origin, file, image)
        elif webp:
            reason = "a WebP picture that moves, which FFmpeg cannot read; convert it to PNG or MP4"
            raise MediaError(origin.name, "decode", reason)
        else:
            yield None


def _opened(origin: Origin, file: BinaryIO, heif: bool) -> "Image | None":
    from PIL import Image, UnidentifiedImageError

    try:
        with failing(origin.name, "open"):
            image = Image.open(file)
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"a picture of {image.width}x{image.height} pixels")
            return image
    except MediaError as error:
        if heif and isinstance(error.__cause__, UnidentifiedImageError):
            return None
        raise


def _by_ffmpeg(origin: Origin) -> tuple[np.ndarray, str, int]:
    """Pixels uint8 [H, W, 3] upright, codec and quarter turns of a picture of the HEIF family."""
    from av.stream import Disposition

    with Medium(origin) as medium, failing(origin.name, "decode"):
        video = medium.video
        if video is None:
            raise ValueError("holds no picture that can be decoded")
        if video.disposition & Disposition.dependent:
            raise ValueError("a picture put together from tiles; convert it to JPEG or PNG")
        frames = (frame for packet in medium.packets() for frame in medium.decode(packet))
        frame = next(frames, None)
        if frame is None:
            raise ValueError("; ".join(medium.errors) or "nothing can be decoded")
        upright = np.empty((*display_size(frame, 1.0), 3), np.uint8)
        to_rgb(frame, upright)
        turns, mirror = orientation(frame)
        pixels = np.ascontiguousarray(turned(upright, turns, mirror))
        return pixels, video.codec_context.name, turns


def _rgb(picture: "Image") -> np.ndarray:
    if picture.mode.startswith("I;16"):
        return _grey((np.asarray(picture).astype(np.int64) >> 8).clip(0, 255))
    if picture.mode == "I":
        raise ValueError(
            "integers of 32 bits, which mean no known brightness; save it with 8 or 16 bits"
        )
    if picture.mode == "F":
        values = np.asarray(picture)
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"numbers from {low:g} to {high:g}, of which only 0 … 1 mean a brightness; "
                "scale them to that, or save it with 8 or 16 bits"
            )
        return _grey((values * 255).round())
    return np.array(picture.convert("RGB"))


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values.astype(np.uint8)[:, :, None], 3, 2)


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
