"""Work for the tests of worker processes; it imports nothing that takes time to load."""

import os
from pathlib import Path


def job(folder: Path, number: int) -> None:
    """Writes a file with the process's number; fails on 1, dies on 2."""
    if number == 1:
        raise ValueError("one\nis refused")
    if number == 2:
        os._exit(9)
    (folder / str(number)).write_text(str(os.getpid()))
