"""Numbers that others have published on the same data, each with the page that it was read in."""

import csv
from pathlib import Path

_FILE = Path(__file__).parent / "published.csv"


def published(data: str) -> list[dict[str, str]]:
    """What is known of a data set, by `what`, `how`, `accuracy` in percent and `source`.

    None of it was measured by the protocol of a comparison: it stands beside it, for orientation.

    Args:
        data: the set's title, with or without the split's.
    """
    with _FILE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if f"{data} ".startswith(f"{row['data']} ")]
