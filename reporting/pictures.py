"""What a report shows as pictures: puzzles, sounds in pictures, nearest neighbours."""

import json
from base64 import b64encode
from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from ..comparison.grid import Run
from ..comparison.results import Line, Results
from ..visualization.examples import read_evidence


def first_run(results: Results, line: Line) -> Run:
    return Run(line.name, next(iter(results.plan["splits"])), 0)


def puzzles(results: Results) -> list[dict[str, Any]]:
    shown = []
    for line in results.lines:
        folder = first_run(results, line).folder(results.out)
        found = read_evidence(folder, "puzzles")
        if found is None or line.kind == "random":
            continue
        examples = [_example(folder / "evidence", e) for e in found["examples"]]
        shown.append(
            {"name": line.name, "hue": line.hue, "kind": line.kind, "note": found["note"]}
            | {"examples": examples, "compact": all(e["total"] <= 2.5 for e in examples)}
        )
    return shown


def sounds(results: Results) -> list[dict[str, Any]]:
    """Maps and matches of the tasks that pair pictures with sounds."""
    shown = []
    for line in results.tasks:
        folder = first_run(results, line).folder(results.out)
        found = read_evidence(folder, "sounds")
        if found is None:
            continue
        shown.append(
            {"name": line.name, "hue": line.hue, "kind": line.kind}
            | {"note": found["note"], "of": found["of"]}
            | {"maps": [_example(folder / "evidence", one) for one in found["maps"]]}
            | {"matches": [_matches(folder / "evidence", one) for one in found["matches"]]}
        )
    return shown


def attention(results: Results) -> list[dict[str, Any]]:
    """How far the encoders of text look, of each entry that was trained."""
    shown = []
    for line in results.lines:
        folder = first_run(results, line).folder(results.out)
        found = read_evidence(folder, "attention")
        if found is None or not found["words"]:
            continue
        picture = data_uri(folder / "evidence" / "attention.png")
        shown.append(
            {"name": line.name, "hue": line.hue, "kind": line.kind, "src": picture}
            | {"words": found["words"]}
        )
    return shown


def _matches(folder: Path, row: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**cell, "src": data_uri(folder / cell["file"])} for cell in row["cells"]]


def _example(folder: Path, example: dict[str, Any]) -> dict[str, Any]:
    """Its images with their captions and shapes, so that all get one height."""
    captions = [*example["captions"], *[""] * len(example["images"])]
    images = [
        {"src": data_uri(folder / image["file"]), "aspect": image["aspect"], "caption": caption}
        for image, caption in zip(example["images"], captions, strict=False)
    ]
    return {**example, "images": images, "total": round(sum(i["aspect"] for i in images), 3)}


def sheets(results: Results) -> list[dict[str, Any]]:
    """Neighbours of the best task and of its untrained control, by number in the source."""
    if not results.main:
        return []
    known = [t for t in results.tasks if results.main[0].estimate(t.name) is not None]
    if not known:
        return []
    best = max(known, key=lambda t: results.main[0].estimate(t.name).mean)  # type: ignore[union-attr]
    by_name = {line.name: line for line in results.lines}
    found = [(x, first_run(results, x)) for x in (best, by_name[best.reference])]
    rows = [(x, read_evidence(run.folder(results.out), "neighbours")) for x, run in found]
    return [{"name": x.name, "hue": x.hue, "kind": x.kind, "rows": r} for x, r in rows if r]


def neighbours(results: Results) -> list[dict[str, Any]]:
    folder = results.out / "thumbnails"
    if not (folder / "thumbnails.json").exists():
        return []
    listed = json.loads((folder / "thumbnails.json").read_text())
    return [
        {
            **sheet,
            "rows": [
                [_thumbnail(folder, listed, i, row["query"]) for i in (row["query"], *row["hits"])]
                for row in sheet["rows"]
                if all(str(i) in listed for i in (row["query"], *row["hits"]))
            ],
        }
        for sheet in sheets(results)
    ]


def _thumbnail(folder: Path, listed: dict[str, Any], i: int, query: int) -> dict[str, Any]:
    entry = listed[str(i)]
    path = folder / f"{i}.jpg"
    return {
        "src": data_uri(path) if path.exists() else "",
        "label": entry["label"],
        "name": entry["name"],
        "match": i != query and entry["label"] == listed[str(query)]["label"],
    }


def indices(sheets: Iterable[list[dict[str, Any]]]) -> set[int]:
    return {i for rows in sheets for row in rows for i in (row["query"], *row["hits"])}


def data_uri(path: Path) -> str:
    """A picture's file as a data URI, so that the page needs no other file."""
    return _data_uri(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1024)
def _data_uri(path: Path, modified: int) -> str:
    # A report is written after every trial, and most of its pictures are those of before.
    from PIL import Image

    if path.suffix != ".png":
        return f"data:image/jpeg;base64,{b64encode(path.read_bytes()).decode()}"
    # A third of a PNG's weight, which for pictures would be most of the page's.
    packed = BytesIO()
    with Image.open(path) as image:
        image.save(packed, "WEBP", quality=88)
    return f"data:image/webp;base64,{b64encode(packed.getvalue()).decode()}"
