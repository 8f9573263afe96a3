"""OpenCV, imported when first used, without its thread pool."""

from types import ModuleType


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
