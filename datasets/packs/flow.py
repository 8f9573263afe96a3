"""Optical flow in packs: made once, between true frames of the film, and given for their times."""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import InputError
from ...modalities.flow.compression import FINEST, compress, expand
from ...modalities.flow.estimate import estimator
from ...modalities.flow.method import check_method
from ...modalities.flow.warping import compose
from ...modalities.media import MediaError, PastEnd
from .format import Clip, Manifest

_TOGETHER = 16  # pairs that are computed at a time
_TOLERANCE = 0.02  # share of the interval by which an asked one may differ
Pixels = NDArray[np.uint8]


def described(settings: dict[str, Any]) -> dict[str, Any]:
    """What a manifest says of how its flow was made, of the fields of `PackSettings`."""
    if not settings["flow"]:
        return {}
    method = check_method(settings["flow"])
    return {
        "method": method.name,
        "preset": method.preset,
        "interval": settings["flow_interval"],
        "unit": "seconds",
        "bits": settings["flow_bits"],
        "scale": FINEST,
        "backward": settings["flow_backward"],
    }


class FlowWriter:
    """Flow from each packed frame of a film to the one that is shown an interval later.

    Frames come in the film's order: `first` for the packed ones, `second` for all. What waits for
    its second frame is held, which is as many frames as an interval has.

    Args:
        method: see `check_method`.
        bits: see `compress`.
        backward: also compute it from there to here.

    Attributes:
        there: compressed fields, one for each `first`, once `finish` was called.
        back: the other way, or none.
        to: seconds at which the second frame of each begins.
    """

    def __init__(self, method: str, bits: int, backward: bool):
        self._estimate, self._bits, self._backward = estimator(method), bits, backward
        self._waiting: deque[tuple[int, Pixels]] = deque()
        self._pairs: list[tuple[Pixels, Pixels]] = []
        self.there: list[bytes] = []
        self.back: list[bytes] = []
        self.to: list[float] = []

    def first(self, partner: int, pixels: Pixels) -> None:
        """A frame [H, W, 3] and the number of the one to which the flow is wanted, itself too."""
        self._waiting.append((partner, pixels))

    def second(self, number: int, time: float, pixels: Pixels) -> None:
        """The frame of this number, which begins at this time."""
        while self._waiting and self._waiting[0][0] == number:
            self._pairs.append((self._waiting.popleft()[1], pixels))
            self.to.append(time)
            if len(self._pairs) >= _TOGETHER:
                self.finish()

    def finish(self) -> None:
        """Computes what has not been."""
        moving = [(a, b) for a, b in self._pairs if a is not b]
        there = self._flow(moving)
        back = self._flow([(b, a) for a, b in moving]) if self._backward else []
        for a, b in self._pairs:
            self.there.append(b"" if a is b else there.pop(0))
            if self._backward:
                self.back.append(b"" if a is b else back.pop(0))
        self._pairs = []

    def _flow(self, pairs: list[tuple[Pixels, Pixels]]) -> list[bytes]:
        if not pairs:
            return []
        batches = (torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True))
        first, second = (x.permute(0, 3, 1, 2) for x in batches)
        return [compress(field, self._bits) for field in self._estimate(first, second)]


@dataclass(frozen=True, slots=True)
class StoredFlow:
    """What kind of flow a pack holds, and of what size a clip's is.

    Attributes:
        about: the manifest's `flow`.
        height, width: pixels.
        duration: seconds of the clip.
        path: for messages.
    """

    about: dict[str, Any]
    height: int
    width: int
    duration: float
    path: str

    @classmethod
    def of(
        cls, manifest: Manifest, size: tuple[int, int], duration: float, path: str
    ) -> "StoredFlow":
        older = {"interval": 1, "scale": FINEST, "bits": 16, "fps": manifest.settings.get("fps")}
        return cls({**older, **manifest.flow}, *size, duration, path)

    def check(self, method: str | None) -> None:
        """Raises InputError if the pack holds no flow, or that of another method."""
        if "method" not in self.about:
            raise InputError(f"{self.path}: the pack holds no flow; pack with --flow dis")
        name, preset = self.about["method"].replace("dense inverse search", "dis"), self.about
        if method and check_method(method)[:2] != (name, preset["preset"]):
            raise InputError(
                f"{self.path}: flow by {method} is asked of a pack that holds it by {name}, "
                f"{preset['preset']}; pack with --flow {method}, or ask for no method"
            )

    def field(
        self, clip: Clip, asked: tuple[float, float], frames: list[int], past_end: PastEnd
    ) -> Tensor:
        """Flow float32 [2, H, W] in pixels between the times of a pair, of these packed frames.

        It is that from the frame shown at the first time to the one shown an interval after this
        frame's start. Several intervals are composed.

        Raises:
            InputError: the pack does not hold it.
            MediaError: a field is damaged.
        """
        if past_end == "wrap":
            asked = asked[0] % self.duration, asked[1] % self.duration
        if asked[0] == asked[1] or min(asked) >= self.duration:
            return torch.zeros(2, self.height, self.width)
        if self.about.get("unit") != "seconds":
            return self._by_frames(clip, asked, frames)
        back = asked[1] < asked[0]
        if back and not self.about["backward"]:
            raise InputError(f"{self.path}: the pack holds no flow back; pack with --flow-backward")
        fields = clip.flow_back if back else clip.flow
        chain = self._chain(clip, frames[back], self._steps(abs(asked[1] - asked[0])))
        flow = None
        for k in reversed(chain) if back else chain:
            step = self._read(fields[k])
            flow = step if flow is None else compose(flow[None], step[None])[0]
        assert flow is not None
        return flow

    def _steps(self, wanted: float) -> int:
        interval = self.about["interval"]
        steps = round(wanted / interval)
        if not steps or abs(wanted - steps * interval) > _TOLERANCE * interval:
            raise InputError(
                f"{self.path}: flow over {wanted:.4g} s is asked of a pack that holds it over "
                f"{interval:g} s and composes multiples of that; pack with --interval {wanted:.4g}"
            )
        return steps

    def _chain(self, clip: Clip, first: int, steps: int) -> list[int]:
        """Numbers of the frames at which the fields begin that lead so far."""
        chain = [first]
        for _ in range(steps - 1):
            time = clip.flow_to[chain[-1]]
            k = int(clip.times.searchsorted(time + 1e-6, "right")) - 1
            if abs(clip.times[k] - time) > 2e-6:
                raise InputError(
                    f"{self.path}: flow over {steps} intervals is asked of a pack that leaves out "
                    "the frames in between; pack with --fps all, or with that interval"
                )
            chain.append(k)
        return chain

    def _by_frames(self, clip: Clip, asked: tuple[float, float], frames: list[int]) -> Tensor:
        """Out of an older pack, whose flow leads from a packed frame to a later packed one."""
        first, second = frames
        interval, thinned = self.about["interval"], self.about["fps"]
        if first == second and not thinned:
            return torch.zeros(2, self.height, self.width)
        shown = float(clip.times[second] - clip.times[first])
        wanted = asked[1] - asked[0]
        if thinned and abs(shown - wanted) > 0.25 * abs(shown):
            raise InputError(
                f"{self.path}: flow over {wanted:.3f} s is asked where the pack's frames are "
                f"{shown:.3f} s apart; pack anew with --flow dis --interval {abs(wanted):.3g}"
            )
        if second == first + interval and first < len(clip.flow):
            return self._read_older(clip.flow[first])
        if first == second + interval and second < len(clip.flow_back):
            return self._read_older(clip.flow_back[second])
        raise InputError(
            f"{self.path}: flow is asked over {second - first} frames of a pack that holds it over "
            f"{interval}, and back only if packed so; pack anew with --flow dis --interval SECONDS"
        )

    def _read_older(self, data: memoryview) -> Tensor:
        import pyarrow as pa

        raw = pa.decompress(data, 4 * self.height * self.width, "zstd", asbytes=True)
        field = torch.frombuffer(bytearray(raw), dtype=torch.int16).float()
        return field.reshape(2, self.height, self.width) / self.about["scale"]

    def _read(self, data: memoryview) -> Tensor:
        try:
            return expand(data, self.height, self.width, self.about["bits"])
        except ValueError as error:
            reason = f"{error}; see `pretexto pack --verify`"
            raise MediaError(self.path, "decode", reason) from error
