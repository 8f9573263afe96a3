"""Scanning a folder into an index: every file decoded once, under limits, in parallel."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...modalities.decode.sandbox import Limits, Reply, crew
from ...modalities.media import MediaError
from ...modalities.motion import motion_kind
from ...progress import progress
from ..folder import find_media
from ..public.by_name import is_published, open_published
from .checkpoint import Journal
from .labels import Place, find_places, order, places_of
from .report import Report
from .schema import COLUMNS, INFO, write_rows
from .table import Rows


@dataclass(frozen=True, slots=True)
class Listing:
    """Label, group and split of each file to be indexed, and what is left out.

    Attributes:
        root: folder to which the files' names are relative.
        places: by name, in the order of the rows.
        classes: the labels in order; None: those of the readable files.
        others: files that are no media, by suffix.
        absent: files that only the table has.
        misnamed: files whose names are no text, which no index can hold.
    """

    root: Path
    places: dict[str, Place]
    classes: tuple[str, ...] | None = None
    others: Counter[str] = field(default_factory=Counter)
    absent: list[str] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)


_LIMITED = ("time", "memory")
_CHUNK = 1 << 20


def scan(
    root: str | os.PathLike,
    out: str | os.PathLike,
    *,
    jobs: int = 1,
    limits: Limits | None = None,
    table: str | os.PathLike | None = None,
) -> Report:
    """Writes an index of all media of a folder or set, with a quarantine of what cannot be read.

    Files whose size and time of change are those of the last scan, or whose content is, keep
    their rows. Interrupted at any moment, the same call goes on and gives the same index.

    Args:
        root: folder of media, or a published data set as "ucf101-1:PATH", whose files are then
            listed in its order, with its classes, groups and splits.
        out: Parquet file to write.
        jobs: child processes that decode.
        limits: of each file.
        table: CSV file with labels, groups and splits by path; by default the folder's
            `groups.csv` if it has one.

    Raises:
        InputError: no media, or the folder or the table cannot be read.
    """
    out, limits = Path(out), limits or Limits()
    if out.suffix != ".parquet":
        raise InputError(f"{out}: name the index with the suffix .parquet")
    listing = list_media(root, table)
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.with_name(f"{out.name}.journal")
    if out.exists() and not path.exists():
        _seed(path, out)
    with Journal(path, str(out)) as journal:
        how = {"limits": asdict(limits), "motion": motion_kind()}
        known = _known(journal, how)
        known = _update(journal, known, list(listing.places), listing.root, jobs, limits)
        root = listing.root.resolve()
        facts = {**how, "root": str(root)}
        facts["relative_root"] = os.path.relpath(root, out.resolve().parent)
        report = _finish(journal, known, listing, out, facts)
        journal.remove()
    report.others, report.unmatched = listing.others, listing.absent
    report.misnamed = listing.misnamed
    return report


def scan_job(path: str, old_hash: str | None) -> Reply:
    """One file's row, made in a child process: its hash, and a full decode if that is new."""
    from ...modalities.decode.analyze import analyze

    digest = content_hash(path)
    if digest == old_hash:
        return {"same": True}, []
    row: dict[str, Any] = {"sha256": digest, "status": "ok", "reason": None}
    try:
        found = analyze(path)
    except MediaError as error:
        row.update(status="unreadable", reason=f"{error.stage}: {error.reason}")
        return row, []
    row.update({name: getattr(found.info, name) for name in INFO})
    row.update(loudness=found.loudness, silence=found.silence)
    row["corrupt"] = found.corrupt + len(found.errors)
    if row["corrupt"]:
        first = found.errors[0] if found.errors else "flagged by the decoder"
        row["reason"] = f"{found.corrupt} corrupt frames, {len(found.errors)} complaints: {first}"
    if found.ends_early:
        row.update(status="damaged", reason=found.ends_early)
    return row, []


def content_hash(path: str | os.PathLike) -> str:
    """SHA-256 of a file. Raises MediaError."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(_CHUNK):
                digest.update(block)
    except OSError as error:
        raise MediaError(str(path), "open", error.strerror or str(error)) from error
    return digest.hexdigest()


def _seed(path: Path, out: Path) -> None:
    """Starts a journal with what the last scan found, so that only changes are scanned."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    columns = [name for name in COLUMNS if name not in ("label", "group", "split", "duplicate_of")]
    table = Rows(out)
    with Journal(part, str(out)) as journal:
        journal.append({name: table.facts.get(name) for name in ("limits", "motion")})
        for values in table.everything(*columns):
            journal.append(dict(zip(columns, values, strict=True)))
    os.replace(part, path)


def _known(journal: Journal, how: dict) -> dict[str, tuple[int, int, int]]:
    """Path → place in the journal, size and time of change, of rows that are still good.

    What broke other limits is tried again, and so is what has its motion measured otherwise.
    """
    known: dict[str, tuple[int, int, int]] = {}
    then: dict = {}
    for place, row in journal.lines():
        if "limits" in row:
            then = row
        elif row["status"] in _LIMITED and then["limits"] != how["limits"]:
            continue
        elif not row.get("motion") or then.get("motion") == how["motion"]:
            known[row["path"]] = (place, row["size"], row["modified"])
    journal.append(how)
    return known


def _update(journal: Journal, known: dict, names: list[str], root: Path, jobs: int, limits: Limits):
    """Scans what is new or changed; returns `known` with it."""
    stamps = {name: _stamp(root / name) for name in names}
    todo = [name for name in names if name not in known or known[name][1:] != stamps[name]]
    requests = ((str(root / name), _old_hash(journal, known, name), name) for name in todo)
    answers = crew(_with_name, requests, jobs=jobs, limits=limits)
    for (_, _, name), answer in progress(answers, len(todo), "indexing"):
        row = _row(name, stamps[name], answer, journal, known)
        known[name] = (journal.append(row), *stamps[name])
    return known


def _with_name(path: str, old_hash: str | None, name: str) -> Reply:
    return scan_job(path, old_hash)


def _old_hash(journal: Journal, known: dict, name: str) -> str | None:
    return journal.at(known[name][0]).get("sha256") if name in known else None


def _row(name: str, stamp, answer: Reply | MediaError, journal: Journal, known: dict) -> dict:
    base = {"path": name, "size": stamp[0], "modified": stamp[1]}
    if isinstance(answer, MediaError):
        status = answer.stage if answer.stage in ("time", "memory", "crash") else "unreadable"
        return {"status": status, "reason": answer.reason, **base}
    facts, _ = answer
    if facts.get("same"):
        return {**journal.at(known[name][0]), **base}
    return {**facts, **base}


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _finish(
    journal: Journal,
    known: dict,
    listing: Listing,
    out: Path,
    facts: dict[str, Any],
) -> Report:
    """Orders the rows, marks duplicates, writes the index."""
    report = Report(str(out), facts["motion"])
    good, bad, first = [], [], {}
    for name, place in listing.places.items():
        row = journal.at(known[name][0])
        (good if row["status"] == "ok" else bad).append(name)
        report.add(row, place, first.setdefault(row.get("sha256") or name, name))

    def rows() -> Iterator[dict[str, Any]]:
        for name in (*good, *bad):
            row = journal.at(known[name][0])
            original = first[row.get("sha256") or name]
            yield {
                **row,
                **listing.places[name],
                "duplicate_of": original if original != name else None,
            }

    classes = order(report.labels) if listing.classes is None else list(listing.classes)
    counts = {"ok": len(good), "rows": len(listing.places), "classes": classes}
    write_rows(out, rows(), {**facts, **counts})
    return report


def list_media(spec: str | os.PathLike, table: str | os.PathLike | None = None) -> Listing:
    """The files of a folder, or of a published data set as "ucf101-1:PATH".

    Args:
        spec: which.
        table: CSV file with the folder's labels, groups and splits; see `find_places`.

    Raises:
        InputError: no media, a folder or lists that cannot be read, or a table beside a
            published set.
    """
    if is_published(str(spec)):
        if table:
            raise InputError(f"{spec}: --table applies to folders only; leave it out")
        source = open_published(str(spec))
        places = places_of(source)
        misnamed = [name for name in places if not _is_text(name)]
        kept = {name: place for name, place in places.items() if _is_text(name)}
        return Listing(source.path, kept, source.classes, misnamed=misnamed)
    root = Path(spec)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give one, or a published set as ucf101-1:PATH")
    media, others = find_media(root)
    names = [name for name in media if _is_text(name)]
    if not names:
        raise InputError(f"{root}: no media files in it (others: {dict(others) or 'none'})")
    places, absent = find_places(root, names, Path(table) if table else None)
    misnamed = [name for name in media if not _is_text(name)]
    return Listing(root, places, None, others, absent, misnamed)


def _is_text(name: str) -> bool:
    """Whether a file's name is UTF-8, as Arrow's strings are."""
    return name.isascii() or not any("\ud800" <= c <= "\udfff" for c in name)
