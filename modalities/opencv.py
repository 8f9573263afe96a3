"""OpenCV, imported when first used, without its thread pool."""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray


def opencv() -> ModuleType:
    """The cv2 module, working in the calling thread alone.

    Loader processes are forked, and a forked copy of OpenCV's pool waits for threads that did not
    come along: even setting its size there hangs for ever. So the pool must never come into being;
    the loader's processes are what keeps the cores busy.
    """
    import cv2

    if cv2.getNumThreads() > 1:
        cv2.setNumThreads(0)
    return cv2


def resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture [H, W, 3] at another height and width, antialiased where it shrinks."""
    if picture.shape[:2] == size:
        return picture
    cv2 = opencv()
    shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    scaled: Any = cv2.resize(picture, size[::-1], interpolation=interpolation)
    return scaled
