"""Which files of a cache that several processes share are needed still, and by whom."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

_SUFFIX = ".claim"


@contextmanager
def claiming(cache: Path) -> Iterator[Callable[[Collection[str]], None]]:
    """Yields what says which files are needed from now on, by name, in place of those before.

    They are claimed until this ends, or its process does.
    """
    path = cache / f"{uuid4().hex}{_SUFFIX}"
    # The system frees a dead one's lock. A generator may be closed by another thread.
    lock = FileLock(f"{path}.lock", thread_local=False)

    def claim(names: Collection[str]) -> None:
        with alone(cache):
            path.write_text("\n".join(names), encoding="utf-8")

    with lock:
        try:
            yield claim
        finally:
            with alone(cache):
                path.unlink(missing_ok=True)
    Path(lock.lock_file).unlink(missing_ok=True)


def alone(cache: Path) -> FileLock:
    """A lock: while one process decides what to delete, none claims, none finishes a download."""
    return FileLock(str(cache / "room.lock"))


def claimed(cache: Path) -> set[str]:
    """The names of all files that a living process needs. What dead ones claimed is dropped."""
    names: set[str] = set()
    for path in cache.glob(f"*{_SUFFIX}"):
        lock = Path(f"{path}.lock")
        try:
            with FileLock(str(lock), timeout=0):
                path.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)
        except Timeout:
            names.update(path.read_text(encoding="utf-8").split())
    return names
