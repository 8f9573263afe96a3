"""What FFmpeg says of a file while it is decoded."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Collects what FFmpeg logs as errors while the block runs, in this whole process."""
    import av.logging

    said: list[str] = []
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    # Else a complaint that an earlier file caused too would go unheard.
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture(local=False) as log:
            yield said
            said += [f"{name}: {' '.join(text.split())}" for _, name, text in log]
    finally:
        av.logging.set_level(before[0])
        av.logging.set_skip_repeated(before[1])
