"""Optical flow by OpenCV's methods, which learn nothing: on the CPU, in one thread."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import InputError
from ..decode.pixels import opencv

_SMALLEST = 32  # pixels: on smaller pictures the fast presets of DIS end the process
_Grey = NDArray[np.uint8]
_Calc = Callable[[_Grey, _Grey], Any]  # → float32 [H, W, 2]


def classical(name: str, preset: str) -> Callable[[Tensor, Tensor], Tensor]:
    """A function of uint8 [P, 3, H, W] twice that gives float32 [P, 2, H, W] where those lie.

    Args:
        name: "dis" (Kroeger et al., ECCV 2016), "farneback" (Farnebäck, SCIA 2003) or "tvl1"
            (Zach, Pock & Bischof, DAGM 2007).
        preset: of DIS: "ultrafast", "fast" or "medium".

    Raises:
        InputError: OpenCV was built without the method.
    """
    cv2 = opencv()
    if name == "tvl1" and not hasattr(cv2, "optflow"):
        raise InputError(
            "flow method 'tvl1' needs OpenCV with its contributed modules: pip install "
            "opencv-contrib-python-headless in the place of opencv-python-headless"
        )
    make = {"dis": lambda: _dis(preset), "farneback": _farneback, "tvl1": _tvl1}[name]

    def flow(first: Tensor, second: Tensor) -> Tensor:
        calc = make()  # keeps buffers from pair to pair, which threads cannot share
        pairs = zip(first.cpu(), second.cpu(), strict=True)
        return torch.stack([_one(calc, a, b) for a, b in pairs]).to(first.device)

    return flow


def _dis(preset: str) -> _Calc:
    cv2 = opencv()
    method = cv2.DISOpticalFlow.create(getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{preset.upper()}"))
    return lambda a, b: method.calc(a, b, None)  # pyright: ignore[reportArgumentType, reportCallIssue]


def _farneback() -> _Calc:
    cv2: Any = opencv()
    method = cv2.FarnebackOpticalFlow.create(
        numLevels=5, pyrScale=0.5, winSize=15, numIters=5, polyN=7, polySigma=1.5
    )
    return lambda a, b: method.calc(a, b, None)


def _tvl1() -> _Calc:
    cv2: Any = opencv()
    method = cv2.optflow.DualTVL1OpticalFlow_create()
    return lambda a, b: method.calc(a, b, None)


def _one(calc: _Calc, first: Tensor, second: Tensor) -> Tensor:
    cv2 = opencv()
    height, width = first.shape[-2:]
    edge = (0, max(_SMALLEST - height, 0), 0, max(_SMALLEST - width, 0))
    pair = [cv2.copyMakeBorder(_grey(x), *edge, cv2.BORDER_REPLICATE) for x in (first, second)]
    flow = calc(*pair)[:height, :width]
    return torch.from_numpy(np.ascontiguousarray(flow.transpose(2, 0, 1)))


def _grey(picture: Tensor) -> Any:
    cv2 = opencv()
    return cv2.cvtColor(picture.permute(1, 2, 0).contiguous().numpy(), cv2.COLOR_RGB2GRAY)
