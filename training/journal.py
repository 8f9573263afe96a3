"""metrics.csv and TensorBoard: the numbers of a run, without doubles after a resume."""

import csv
from pathlib import Path
from typing import Any

from .run import write_text

Row = dict[str, Any]


class Journal:
    """Rows on disk.

    Args:
        folder: of the run.
        start: steps already done; rows beyond it, from before a kill, are taken out.
    """

    def __init__(self, folder: Path, start: int):
        self.path = folder / "metrics.csv"
        self._cut(start)
        self._board = _tensorboard(folder / "tensorboard", start)

    def write(self, row: Row) -> None:
        """Adds one row; its columns must be those of the first."""
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row) if new else self._columns())
            if new:
                writer.writeheader()
            writer.writerow(row)
        if self._board is not None:
            for name, value in row.items():
                if name != "step":
                    self._board.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Lets TensorBoard write what it still holds."""
        if self._board is not None:
            self._board.close()

    def _columns(self) -> list[str]:
        with self.path.open(newline="") as file:
            return next(csv.reader(file))

    def _cut(self, start: int) -> None:
        if not self.path.exists():
            return
        header, *lines = self.path.read_text().splitlines(keepends=True) or [""]
        kept = [x for x in lines if x.endswith("\n") and int(x.split(",")[0]) <= start]
        if header.endswith("\n") and start:
            write_text(self.path, header + "".join(kept))
        else:
            self.path.unlink()


def _tensorboard(folder: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=start + 1 if start else None)
