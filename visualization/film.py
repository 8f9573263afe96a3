"""A film written frame by frame, with its sound."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import torch.nn.functional as F
from torch import Tensor


class FilmWriter:
    """An MP4 file of H.264 pictures and AAC sound; used as a context.

    Args:
        path: of the file; its folder is made.
        size: height and width in pixels; an odd one is made even by the last row or column again.
        fps: frames per second.
        rate: Hz of the sound; 0: no sound.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, rate: int = 0):
        import av

        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = av.open(str(path), "w", format="mp4")
        self._beat = 1 / Fraction(fps).limit_denominator(1001)
        self._picture = self._file.add_stream("libx264", rate=1 / self._beat)
        self._picture.pix_fmt = "yuv420p"
        self._picture.height, self._picture.width = (length + length % 2 for length in size)
        self._sound = self._file.add_stream("aac", rate=rate, layout="mono") if rate else None
        self._rate, self._frames, self._samples = rate, 0, 0

    def __enter__(self) -> "FilmWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and self._frames:
            for stream in filter(None, (self._picture, self._sound)):
                self._file.mux(stream.encode(None))
        self._file.close()

    def frames(self, frames: Tensor) -> None:
        """Adds uint8 [T, 3, H, W]."""
        import av

        height, width = frames.shape[-2:]
        whole = F.pad(frames.float(), (0, width % 2, 0, height % 2), mode="replicate").byte()
        for pixels in whole.permute(0, 2, 3, 1).contiguous().numpy():
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = self._frames, self._beat
            self._file.mux(self._picture.encode(frame))
            self._frames += 1

    def sound(self, audio: Tensor | None) -> None:
        """Adds float32 [C, N] in [-1, 1], mixed to one channel."""
        if self._sound is None or audio is None or not audio.shape[1]:
            return
        import av

        mono: Any = audio.mean(0, keepdim=True).contiguous().numpy()
        part = av.AudioFrame.from_ndarray(mono, format="fltp", layout="mono")
        part.sample_rate, part.pts, part.time_base = (
            self._rate,
            self._samples,
            Fraction(1, self._rate),
        )
        self._samples += mono.shape[1]
        self._file.mux(self._sound.encode(part))
