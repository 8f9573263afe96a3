"""What tests of data sets share: empty files, the facts of a source, scans in this process."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pretexto.datasets.index import build as indexing
from pretexto.datasets.packs import write as packing
from pretexto.datasets.source import Source
from pretexto.modalities.media import MediaError


def touch(root: Path, *names: str) -> None:
    """Empty files, in folders that are made for them."""
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def facts(source: Source) -> list[tuple[str, str, str, str | None]]:
    """Name, class, group and split of every medium."""
    return [
        (source.name(i), source.classes[source.label(i)], source.group(i), source.split(i))
        for i in range(len(source))
    ]


def in_this_process(job: Callable, requests: Any, **options: Any) -> Iterator[tuple]:
    """What `run_in_children` does, without children."""
    for request in requests:
        try:
            yield request, job(*request)
        except MediaError as error:
            yield request, error


def without_children(patch: pytest.MonkeyPatch) -> None:
    """Scans and packs go on in this process."""
    patch.setattr(indexing, "run_in_children", in_this_process)
    patch.setattr(packing, "run_in_children", in_this_process)


def watched(patch: pytest.MonkeyPatch) -> list[str]:
    """Scans go on in this process; the names of the files that they look at."""
    asked: list[str] = []

    def run_in_children(job: Callable, requests: Any, **options: Any) -> Iterator[tuple]:
        def noted(*request: Any) -> Any:
            asked.append(request[2])
            return job(*request)

        return in_this_process(noted, requests)

    patch.setattr(indexing, "run_in_children", run_in_children)
    return asked
