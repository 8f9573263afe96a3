"""Which files pretraining has seen, so that a row can say how many test files were among them."""

import json
from pathlib import Path

from ..errors import InputError


def pretraining_names(run: Path | None) -> frozenset[str] | None:
    """Names in RUN/data.jsonl, one JSON object per line; None if there is no such file.

    Examples with a "left_out" reason were not trained on and are not among them.

    Raises:
        InputError: the file is there and says something else.
    """
    file = run and Path(run) / "data.jsonl"
    if not file or not file.is_file():
        return None
    names = set()
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                if "left_out" not in entry:
                    names.add(entry["name"])
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise InputError(f"{file}, line {number}: no example's name in it") from error
    return frozenset(names)
