"""Packing an index: files transcoded in parallel into shards, resumable, whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...modalities.decode.sandbox import Limits, Reply, run_in_children
from ...modalities.flow.estimate import estimator
from ...modalities.media import MediaError
from ...progress import progress
from ..cache import replace
from ..index.checkpoint import Journal
from ..index.schema import COLUMNS, write_rows
from ..index.source import Index, file_info, inside
from ..index.table import Rows
from ..segment import segment_of
from .flow import described
from .format import INDEX, NAME, File, Manifest, ShardWriter, describe, read_manifest
from .source import EXTRA
from .transcode import PackSettings, pack_job

SHARD_BYTES = 256 * 2**20
_JOURNAL = "pack.journal"
_KEPT = ("height", "width", "channels", "jpegs", "codec", "pairs")
_OVERHEAD = 64  # bytes of a clip beside its media, about


def pack(
    index: str | os.PathLike,
    out: str | os.PathLike,
    settings: PackSettings | None = None,
    *,
    jobs: int = 1,
    limits: Limits | None = None,
    strict: bool = False,
    unique: bool = False,
    shard_bytes: int = SHARD_BYTES,
) -> Manifest:
    """Transcodes the readable files of an index into a folder of packs.

    Interrupted at any moment, the same call goes on after the last finished shard and gives the
    same files as if it had not been interrupted.

    Args:
        index: Parquet file made by `pretexto index`.
        out: folder, made if it is not there.
        settings: what to keep.
        jobs: child processes that transcode.
        limits: of each file.
        strict: leave out files in which the decoder found damage.
        unique: of files with the same content leave out all but the first.
        shard_bytes: at which a shard is closed; it is larger by one clip at most.

    Raises:
        InputError: the index cannot be read or names files outside its folder, `out` holds another
            pack, or flow cannot be computed so.
    """
    if settings and settings.flow:
        estimator(settings.flow)  # what is wrong with it is wrong with no file
    settings, limits, out = settings or PackSettings(), limits or Limits(600.0, 4096), Path(out)
    source = Index(Path(index), strict=strict, unique=unique)
    _check_inside(source, Path(index))
    stamp = {"index": describe(Path(index)).sha256, "strict": strict, "shard_bytes": shard_bytes}
    stamp |= {"unique": True} if unique else {}
    task = {"settings": asdict(settings), "source": stamp}
    if (out / NAME).exists():
        return _as_before(out, task)
    out.mkdir(parents=True, exist_ok=True)
    with Journal(out / _JOURNAL, str(out)) as journal:
        done = [line for _, line in journal.lines()]
        if done and not _same(done[0], task):
            raise InputError(f"{out}: holds the start of another pack; empty it or choose another")
        if not done:
            journal.append(task)
        parts = done[1:]
        _write_shards(source, out, settings, journal, parts, jobs, limits, shard_bytes)
        manifest = _finish(source, Path(index), out, task, parts)
        journal.remove()
    return manifest


def _check_inside(source: Index, index: Path) -> None:
    for (name,) in source.table.rows("path"):
        try:
            inside(name)
        except MediaError as error:
            raise InputError(f"{index}: {error}") from None


def _as_before(out: Path, task: dict) -> Manifest:
    manifest = read_manifest(out / NAME, str(out))
    if not _same({"settings": manifest.settings, "source": manifest.source}, task):
        raise InputError(
            f"{out}: holds a pack of other media or with other settings; choose another folder"
        )
    return manifest


def _same(before: dict, task: dict) -> bool:
    """Whether two packs are one; settings of flow that is not there may be those of any version."""

    def used(settings: dict) -> dict:
        return {k: v for k, v in settings.items() if settings.get("flow") or k[:4] != "flow"}

    mine, other = used(task["settings"]), used(before["settings"])
    return (other, before["source"]) == (mine, task["source"])


def _write_shards(
    source: Index,
    out: Path,
    settings: PackSettings,
    journal: Journal,
    parts: list[dict],
    jobs: int,
    limits: Limits,
    shard_bytes: int,
) -> None:
    """Writes what no finished shard holds yet; each finished one becomes a line of `parts`."""
    first = parts[-1]["next"] if parts else 0
    requests = (_request(source, i, settings) for i in range(first, len(source)))
    answers = run_in_children(_job, requests, jobs=jobs, limits=limits, ordered=True)
    answers = progress(answers, len(source) - first, "packing")
    number = first
    while number < len(source):
        part = _shard(out, len([p for p in parts if p["file"]]), answers, source, shard_bytes)
        number = part["next"]
        parts.append(part)
        journal.append(part)


def _request(source: Index, i: int, settings: PackSettings) -> tuple:
    """The arguments of `_job` for example i."""
    segment = source.segment(i)
    seconds = (segment.start, segment.end) if segment else (None, None)
    return source.file(i), asdict(settings), i, *seconds


def _job(path: str, settings: dict, number: int, start: float | None, end: float | None) -> Reply:
    return pack_job(path, settings, start, end)


def _shard(out: Path, number: int, answers: Iterator, source: Index, shard_bytes: int) -> dict:
    """Writes one shard; returns its journal line."""
    path = out / f"shard-{number:05d}.arrow"
    temporary = path.with_name(f"{path.name}.part")
    clips: list[dict] = []
    bad: list[dict] = []
    at = 0
    with ShardWriter(temporary) as writer:
        for (_, _, at, *_), answer in answers:
            if isinstance(answer, MediaError):
                bad.append(
                    {"path": source.name(at), "stage": answer.stage, "reason": answer.reason}
                )
                continue
            facts, blobs = answer
            clip = _clip(source.name(at), facts, blobs)
            batch, item = writer.write(clip, sum(map(len, blobs)) + _OVERHEAD)
            short = {name: facts[name] for name in _KEPT}
            if source.segment(at) or not source.table.value(at, "duration"):
                short["info"] = facts["info"]
            clips.append({"row": at, "batch": batch, "item": item, **short})
            if writer.bytes >= shard_bytes:
                break
    line: dict[str, Any] = {"next": at + 1, "clips": clips, "bad": bad, "file": None}
    if clips:
        replace(temporary, path)
        line["file"] = asdict(describe(path))
    temporary.unlink(missing_ok=True)
    return line


def _clip(name: str, facts: dict, blobs: list[bytes]) -> dict[str, Any]:
    sound, flow = facts["jpegs"], facts["jpegs"] + 1
    back = flow + len(facts["flow_to"])
    return {
        "path": name,
        "times": facts["times"],
        "frames": blobs[:sound],
        "audio": blobs[sound],
        "channels": facts["channels"],
        "flow": blobs[flow:back],
        "flow_back": blobs[back:],
        "flow_to": facts["flow_to"],
    }


def _finish(source: Index, index: Path, out: Path, task: dict, parts: list[dict]) -> Manifest:
    shards = [part["file"] for part in parts if part["file"]]
    bad = [entry for part in parts for entry in part["bad"]]
    good = sum(len(part["clips"]) for part in parts)
    if not good:
        raise InputError(f"{index}: none of its {len(bad)} files can be packed: {bad[:1]}")
    motion = source.table.facts.get("motion")
    facts = {"ok": good, "rows": good, "classes": list(source.classes), "motion": motion}
    write_rows(out / INDEX, _rows(index, source, task["settings"], parts), facts, EXTRA)
    manifest = Manifest(
        **task,
        index=describe(out / INDEX),
        shards=tuple(_file(file) for file in shards),
        quarantine=tuple(bad),
        flow=_flow(task["settings"], [clip for part in parts for clip in part["clips"]]),
    )
    manifest.write(out)
    with suppress(OSError):
        (out / f"{INDEX}.part").unlink()
    return manifest


def _flow(settings: dict[str, Any], clips: list[dict]) -> dict[str, Any]:
    """How the pack's optical flow was made, between how many pairs, and which clips have none."""
    about = described(settings)
    if about:
        counts = [clip["pairs"] for clip in clips if clip["jpegs"]]
        about |= {"pairs": sum(counts), "clips_without": counts.count(0)}
    return about


def _file(value: dict) -> File:
    """A file's description out of a journal."""
    return File(**value)


def _rows(index: Path, source: Index, settings: dict, parts: list[dict]) -> Iterator[dict]:
    """The index's rows with what became of them in the pack."""
    extra = tuple(n for n in COLUMNS if n in ("sha256", "loudness", "silence", "duplicate_of"))
    table = Rows(index, strict=source.table.strict, unique=source.table.unique, extra=extra)
    shard = 0
    for part in parts:
        for clip in part["clips"]:
            row = _own_facts(table.row(clip["row"]), clip.get("info", {}))
            video = row["kind"] == "video"
            thinned = clip["jpegs"] / row["duration"] if video and settings["fps"] else row["fps"]
            yield {
                **row,
                "status": "ok",
                "height": clip["height"],
                "width": clip["width"],
                "frames": clip["jpegs"],
                "fps": min(thinned, row["fps"]),
                "rotation": 0,
                "codec": clip["codec"] if clip["jpegs"] else "pcm",
                "audio_rate": settings["audio_rate"] if clip["channels"] else 0,
                "audio_channels": clip["channels"],
                "shard": shard,
                "batch": clip["batch"],
                "item": clip["item"],
            }
        shard += part["file"] is not None


def _own_facts(row: dict, info: dict) -> dict:
    """The row with the facts of what was packed, where those of its file are others."""
    segment = segment_of(row["start"], row["end"])
    motion = segment.motion(file_info(row)) if segment and row["motion"] else row["motion"]
    return {**row, **info, "motion": motion}
