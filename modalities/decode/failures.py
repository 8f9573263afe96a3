"""What goes wrong while media are read, as the one exception that users see."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..media import MediaError


class Missed(Exception):  # noqa: N818  (caught by the reader, never seen by a user)
    """What the decoder gave is not what the packets' times promised."""


@contextmanager
def failing(name: str, stage: str) -> Iterator[None]:
    """Whatever goes wrong inside is a MediaError of this stage: libraries throw all sorts."""
    try:
        yield
    except (MediaError, Missed):
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise MediaError(name, stage, " ".join(reason.split())[:200]) from error
