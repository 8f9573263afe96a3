"""The list of files that a run could not read: named once each, counted, limited."""

import json
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from .data import Lost


class Unreadable:
    """Distinct unreadable examples, kept in a file beside the run.

    Args:
        path: the JSON-lines file, read if it is there: a run that goes on has seen some already.
        examples: how many the source has.
        share: how much of them may be lost before the run stops; one always may.
        spare_unsuitable: examples that the task cannot use do not count towards the limit.
        write: whether this process writes the file.
    """

    def __init__(
        self,
        path: Path,
        examples: int,
        share: float,
        *,
        spare_unsuitable: bool = False,
        write: bool = True,
    ):
        self.path, self.examples, self.share = path, examples, share
        self.spare_unsuitable, self.write = spare_unsuitable, write
        lines = path.read_text().splitlines() if path.exists() else []
        # A kill may have cut the last line short; the file will then be met and named again.
        known = [json.loads(line) for line in lines if line.endswith("}")]
        self.known = {entry["name"]: Lost(-1, **entry) for entry in known}
        if write and len(known) < len(lines):
            path.write_text("".join(_line(lost) for lost in self.known.values()))

    def __len__(self) -> int:
        return len(self.known)

    def add(self, found: Iterable[Lost]) -> None:
        """Notes what is new. Raises InputError when it has become too much."""
        new = {lost.name: lost for lost in found if lost.name not in self.known}
        if not new:
            return
        self.known.update(new)
        if self.write:
            with self.path.open("a") as file:
                file.write("".join(_line(lost) for lost in new.values()))
        self._check()

    def _check(self) -> None:
        counted = [
            lost
            for lost in self.known.values()
            if not (self.spare_unsuitable and lost.stage == "plan")
        ]
        if len(counted) > max(1, self.share * self.examples):
            first = "; ".join(f"{x.name}: {x.stage}: {x.reason}" for x in counted[:3])
            raise InputError(
                f"{len(counted)} of {self.examples} files could not be read, more than "
                f"trainer.max_unreadable allows ({self.share:.3g}): {first}; all are listed in "
                f"{self.path}; remove or repair them, or allow more"
            )


def _line(lost: Lost) -> str:
    entry = {"name": lost.name, "stage": lost.stage, "reason": lost.reason}
    return json.dumps(entry, ensure_ascii=False) + "\n"
