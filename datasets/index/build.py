"""Scanning a folder into an index: every file decoded once, under limits, in parallel."""

import base64
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...modalities.decode.sandbox import Limits, Reply, run_in_children
from ...modalities.media import MediaError
from ...modalities.motion import motion_kind
from ...progress import progress
from ..annotations import read_table
from ..cache import sha256
from ..flow_images import PREFIX as FLOW_IMAGES
from ..folder import from_folders, from_table, table_file
from ..listed import is_list, open_list
from ..lookup import find_media
from ..public.by_name import is_published, open_published
from ..source import Entry, Files
from .checkpoint import Journal
from .labels import entries_of, place_of, unfit
from .report import SEGMENT, Report
from .schema import COLUMNS, INFO, PLACE, write_rows
from .table import Rows


@dataclass(frozen=True, slots=True)
class Listing:
    """What is to be indexed, and what is left out.

    Attributes:
        root: folder to which the files' names are relative.
        entries: files and segments, in the order of the rows.
        classes: the labels in order, where a list names them; None: those that occur.
        others: files that are no media, by suffix.
        absent: files that only the table has.
        misnamed: files whose names are no text, which no index can hold.
    """

    root: Path
    entries: list[Entry]
    classes: tuple[str, ...] | None = None
    others: Counter[str] = field(default_factory=Counter)
    absent: list[str] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[str]:
        """Each file once."""
        return [*dict.fromkeys(entry.path for entry in self.entries)]


_LIMITED = ("time", "memory")


def scan(
    root: str | os.PathLike,
    out: str | os.PathLike,
    *,
    jobs: int = 1,
    limits: Limits | None = None,
    table: str | Path | None = None,
    fold: str | None = None,
) -> Report:
    """Writes an index of a folder, list or set, with a quarantine of what cannot be read.

    Files whose size and time of change are those of the last scan, or whose content is, keep
    their rows. Interrupted at any moment, the same call goes on and gives the same index.

    Args:
        root: folder of media; or a list of media, or a published data set as "ucf101-1:PATH",
            whose files are then listed in its order, with its classes, groups and splits.
        out: Parquet file to write.
        jobs: child processes that decode.
        limits: of each file.
        table: list of the folder's media that belong, with labels, groups and splits; by default
            its `groups.csv` if it has one.
        fold: the column of the table that names the splits.

    Raises:
        InputError: no media, or the folder or the table cannot be read.
    """
    out, limits = Path(out), limits or Limits()
    if out.suffix != ".parquet":
        raise InputError(f"{out}: name the index with the suffix .parquet")
    listing = list_media(root, table, fold)
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.with_name(f"{out.name}.journal")
    if out.exists() and not path.exists():
        _seed(path, out)
    with Journal(path, str(out)) as journal:
        how = {"limits": asdict(limits), "motion": motion_kind()}
        known = _known(journal, how)
        known = _update(journal, known, listing.files, listing.root, jobs, limits)
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
    row["unmeasured"] = found.unmeasured or None
    row["corrupt"] = found.corrupt + len(found.errors)
    if row["corrupt"]:
        first = found.errors[0] if found.errors else "flagged by the decoder"
        row["reason"] = f"{found.corrupt} corrupt frames, {len(found.errors)} complaints: {first}"
    if found.ends_early:
        row.update(status="damaged", reason=found.ends_early)
    return row, [found.timeline] if found.timeline else []


def content_hash(path: str) -> str:
    """SHA-256 of a file. Raises MediaError."""
    try:
        return sha256(path)
    except OSError as error:
        raise MediaError(path, "open", error.strerror or str(error)) from error


def _seed(path: Path, out: Path) -> None:
    """Starts a journal with what the last scan found, so that only changes are scanned."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    columns = [name for name in COLUMNS if name not in (*PLACE, "duplicate_of", "root")]
    table = Rows(out)
    with Journal(part, str(out)) as journal:
        journal.append({name: table.facts.get(name) for name in ("limits", "motion")})
        seen = set()
        for values in table.everything(*columns):
            row = dict(zip(columns, values, strict=True))
            # A segment that its file does not have says nothing of the file.
            if row["path"] not in seen and row["status"] not in ("", None, SEGMENT):
                seen.add(row["path"])
                journal.append(_as_json(row))
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
        elif row["status"] in _LIMITED and then.get("limits") != how["limits"]:
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
    answers = run_in_children(_with_name, requests, jobs=jobs, limits=limits)
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
    facts, blobs = answer
    if facts.get("same"):
        return {**journal.at(known[name][0]), **base}
    row = {**facts, **base}
    return _as_json({**row, "timeline": blobs[0]} if blobs else row)


def _as_json(row: dict) -> dict:
    """A row as the journal holds it, which knows no bytes."""
    line = row.get("timeline")
    return {**row, "timeline": base64.b64encode(line).decode()} if line else row


def _as_row(line: dict) -> dict:
    """A row of the journal as the index holds it."""
    coded = line.get("timeline")
    return {**line, "timeline": base64.b64decode(coded)} if coded else line


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
    """Marks duplicates, writes the index."""
    report = Report(str(out), facts["motion"])
    first: dict[str, str] = {}
    for name in listing.files:
        row = journal.at(known[name][0])
        report.add(row, first.setdefault(row.get("sha256") or name, name))
    report.count_labels(listing.entries)

    def rows() -> Iterator[dict[str, Any]]:
        for entry in listing.entries:
            row = _as_row(journal.at(known[entry.path][0]))
            original = first[row.get("sha256") or entry.path]
            yield {
                **row,
                **_segment_fault(row, entry, report),
                **place_of(entry),
                "duplicate_of": original if original != entry.path else None,
                "root": facts["root"],
            }

    classes = {} if listing.classes is None else {"classes": list(listing.classes)}
    write_rows(out, rows(), {**facts, **classes})
    return report


def _segment_fault(row: dict[str, Any], entry: Entry, report: Report) -> dict[str, str]:
    """Puts a segment that its file does not have into the quarantine; {} for all others."""
    if row["status"] != "ok" or not entry.segment:
        return {}
    if not (fault := entry.segment.fault(row["kind"], row["duration"])):
        return {}
    report.bad.append((entry.path + entry.segment.fragment, SEGMENT, fault))
    return {"status": SEGMENT, "reason": fault}


def list_media(
    spec: str | os.PathLike, table: str | Path | None = None, fold: str | None = None
) -> Listing:
    """The files of a folder, of a list, or of a published data set as "ucf101-1:PATH".

    Args:
        spec: which.
        table: list of the folder's media with labels, groups and splits; see `Folder`.
        fold: the column that names the splits.

    Raises:
        InputError: no media, a folder or lists that cannot be read, or a table beside something
            that is no folder.
    """
    if str(spec).startswith(FLOW_IMAGES):
        raise InputError(f"{spec}: images of flow need no index; give them as --data itself")
    root = Path(spec)
    if is_published(str(spec)) or not root.is_dir():
        if table or fold:
            option = "--table" if table else "--fold"
            raise InputError(f"{spec}: {option} applies to folders only; leave it out")
        return _of_source(_open_listed(str(spec)))
    media, others = find_media(root)
    misnamed = unfit(media)
    media = {name: kind for name, kind in media.items() if name not in misnamed}
    if not media:
        raise InputError(f"{root}: no media files in it (others: {dict(others) or 'none'})")
    chosen = table_file(root, table)
    if chosen is None:
        if fold:
            raise InputError(f"{root}: --fold {fold} needs a table with that column")
        return Listing(root, from_folders([*media]), None, others, [], misnamed)
    absent: list[str] = []
    entries, classes = from_table(media, read_table(chosen, fold), root, absent)
    return Listing(root, entries, classes, others, absent, misnamed)


def _open_listed(spec: str) -> Files:
    if is_published(spec):
        source = open_published(spec)
        if not isinstance(source, Files):
            raise InputError(f"{spec}: arrays need no index; give it as --data itself")
        return source
    if is_list(spec):
        return open_list(spec)
    there = Path(spec).is_file()
    what = (
        "no folder of media (an archive is given as --data itself)" if there else "no such folder"
    )
    raise InputError(f"{spec}: {what}; give a folder, a list, or a published set as ucf101-1:PATH")


def _of_source(source: Files) -> Listing:
    entries = entries_of(source)
    misnamed = unfit(entry.path for entry in entries)
    kept = [entry for entry in entries if entry.path not in misnamed]
    return Listing(source.path, kept, source.classes, misnamed=misnamed)
