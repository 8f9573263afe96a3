"""Optical flow out of a pack: that between the very frames that are asked for, or none."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...modalities.media import MediaError
from .format import Clip, Manifest


@dataclass(frozen=True, slots=True)
class StoredFlow:
    """What kind of flow a pack holds, and of what size a clip's is.

    Attributes:
        interval: frames from the first to the second of a pair.
        scale: by which pixels are multiplied in the pack.
        thinned: the pack leaves out frames of its media.
        height, width: pixels.
        path: for messages.
    """

    interval: int
    scale: float
    thinned: bool
    height: int
    width: int
    path: str

    @classmethod
    def of(cls, manifest: Manifest, height: int, width: int, path: str) -> "StoredFlow":
        flow = {"interval": 1, "scale": 64, **manifest.flow}
        thinned = bool(manifest.settings.get("fps"))
        return cls(flow["interval"], flow["scale"], thinned, height, width, path)

    def field(self, clip: Clip, asked: tuple[float, float], frames: list[int]) -> Tensor:
        """Flow float32 [2, H, W] in pixels between the times of a pair, of these frames.

        Zero only where nothing can have moved: for equal times, and for times that show one frame
        in a pack that has every frame.

        Raises:
            MediaError: the pack does not hold it.
        """
        first, second = frames
        if asked[0] == asked[1] or (first == second and not self.thinned):
            return torch.zeros(2, self.height, self.width)
        if self.thinned:
            self._check_apart(clip, asked, frames)
        if second == first + self.interval and first < len(clip.flow):
            return self._read(clip.flow[first])
        if first == second + self.interval and second < len(clip.flow_back):
            return self._read(clip.flow_back[second])
        interval = "the next" if self.interval == 1 else f"the {self.interval}th after it"
        raise MediaError(
            self.path,
            "plan",
            f"packs hold flow from a frame to {interval} one only, and back only if packed so; "
            "pack with --flow",
        )

    def _check_apart(self, clip: Clip, asked: tuple[float, float], frames: list[int]) -> None:
        shown = float(clip.times[frames[1]] - clip.times[frames[0]])
        wanted = asked[1] - asked[0]
        if abs(shown - wanted) > 0.25 * abs(shown):
            reason = (
                f"flow over {wanted:.3f} s is asked where the pack's frames are {shown:.3f} s "
                "apart; pack with --fps all"
            )
            raise MediaError(self.path, "plan", reason)

    def _read(self, data: memoryview) -> Tensor:
        import pyarrow as pa

        raw = pa.decompress(data, 4 * self.height * self.width, "zstd", asbytes=True)
        field = torch.frombuffer(bytearray(raw), dtype=torch.int16).float()
        return field.reshape(2, self.height, self.width) / self.scale
