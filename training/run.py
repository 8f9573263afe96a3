"""The run folder: what it holds, whose it is, and whether it is finished.

config.yaml        what was asked for; replaying it gives the same weights
run.json           the same in full, versions, commit, seed, times, what is odd about the media,
                   whether it is finished
data.jsonl         every example: name, group, label, and why it was left out, if it was
metrics.csv        one row per `log_every` steps;  tensorboard/  the same, where installed
unreadable.jsonl   files that could not be read
checkpoints/       last.ckpt and the one before
encoder.safetensors, encoder.json
"""

import json
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import torch
import yaml

from ..datasets.source import Source
from ..errors import InputError
from ..tasks.task import Task
from .data import Lost
from .record import commit, differences, versions

Record = dict[str, Any]


class RunFolder:
    """One run's folder.

    Args:
        path: it need not exist yet.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def claim(self) -> None:
        """Makes the folder and tries to write there.

        Raises:
            InputError: it cannot be written.
        """
        probe = self.path / f".write-{os.getpid()}"
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot write there ({error.strerror}); give another --out"
            ) from error

    def state(self) -> Record | None:
        """The content of run.json, None where no run has begun.

        Raises:
            InputError: the file is damaged.
        """
        path = self.path / "run.json"
        if not path.exists():
            return None
        try:
            return json.loads(path.read_text())
        except ValueError as error:
            raise InputError(f"{path}: damaged; give another --out") from error

    def compare(self, record: Record, source: Source) -> None:
        """Raises InputError if the run there was made of another config or other data."""
        state = self.state()
        assert state is not None
        found = differences(state["record"], record)
        if not found:
            found = _data_differences(self.data(), source)
        if found:
            more = f"; {len(found) - 5} more" if len(found) > 5 else ""
            raise InputError(
                f"{self.path} holds another run: {'; '.join(found[:5])}{more}; "
                "give another --out, or the same command as then"
            )

    def begin(
        self,
        record: Record,
        config: Record | None,
        source: Source,
        dropped: list[Lost],
        found: Record,
    ) -> None:
        """Writes down what the run is made of; run.json last: it says that the rest is there.

        Args:
            record: what the run follows from.
            config: as the user gave it.
            source: the media.
            dropped: examples that are left out.
            found: what a look at the media found: `notes` in words, and counts of odd `sound`.
        """
        why = {lost.index: lost.reason for lost in dropped}
        lines = [
            {
                "name": source.name(i),
                "group": source.group(i),
                "label": source.label(i),
                **({"left_out": why[i]} if i in why else {}),
            }
            for i in range(len(source))
        ]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_text(self.path / "data.jsonl", text)
        write_text(self.path / "config.yaml", yaml.safe_dump(config or record, sort_keys=False))
        state = {
            "finished": False,
            "seed": record["seed"],
            "commit": commit(),
            "versions": versions(),
            "begun": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "data": {
                "examples": len(source),
                "fingerprint": source.fingerprint(),
                **found,
            },
            "record": record,
        }
        self.write_state(state)

    def write_state(self, state: Record) -> None:
        """Replaces run.json."""
        write_text(self.path / "run.json", json.dumps(state, indent=1, ensure_ascii=False))

    def data(self) -> list[Record]:
        """The lines of data.jsonl."""
        return [json.loads(line) for line in (self.path / "data.jsonl").read_text().splitlines()]

    def used(self) -> list[int]:
        """Numbers of the examples that the run trains on."""
        return [i for i, entry in enumerate(self.data()) if "left_out" not in entry]

    def newest_checkpoint(self) -> Path | None:
        """The last whole checkpoint."""
        for name in ("last.ckpt", "previous.ckpt"):
            path = self.checkpoints / name
            if path.is_dir() or (path.exists() and zipfile.is_zipfile(path)):
                return path
        return None


def load_task(task: Task, folder: str | Path) -> None:
    """Gives a task the weights that it had at the run's last checkpoint, heads included.

    Raises:
        InputError: no checkpoint there, or of another task.
    """
    path = RunFolder(folder).newest_checkpoint()
    if path is None:
        raise InputError(f"{folder}: holds no checkpoint; give the folder of a pretraining run")
    weights = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    try:
        task.load_state_dict({k.removeprefix("task."): v for k, v in weights.items()})
    except RuntimeError as error:
        raise InputError(
            f"{path}: does not fit {type(task).__name__}; use the run's own config.yaml"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)


def _data_differences(there: list[Record], source: Source) -> list[str]:
    old = {entry["name"]: entry for entry in there}
    names = [source.name(i) for i in range(len(source))]
    new = dict(zip(names, range(len(names)), strict=True))
    found = _count([n for n in new if n not in old], "more") + _count(
        [n for n in old if n not in new], "missing"
    )
    if found:
        return found
    if names != [entry["name"] for entry in there]:
        return ["the same files in another order"]
    for key, value in (("label", source.label), ("group", source.group)):
        for entry, i in zip(there, range(len(names)), strict=True):
            if entry[key] != value(i):
                return [f"{key} of {names[i]}: {entry[key]} in the run, {value(i)} now"]
    return []


def _count(names: list[str], word: str) -> list[str]:
    if not names:
        return []
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return [f"{len(names)} file{'s' if len(names) > 1 else ''} {word}: {shown}"]
