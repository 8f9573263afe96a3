"""plan.json: what a comparison's folder holds or will hold, and how that grows."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..datasets.cache import write_json
from ..datasets.source import Source
from ..errors import InputError
from ..evaluation.finetune import Tuning
from ..evaluation.splits import Split
from ..modalities.input_spec import InputSpec
from ..training.args import TrainerArgs
from ..training.defaults import Setting, completed
from ..training.optim import OptimizerArgs
from .grid import RANDOM, Entry, Run, runs_of
from .rows import read_json, settled
from .trial import Trial

Plan = dict[str, Any]
# What was done before there was a choice: plans of that time do not say it.
_BEFORE = {"crops": 1, "probe_at": []}
_BUDGET = {"trainer": Setting(TrainerArgs), "optimizer": Setting(OptimizerArgs)}
_SETTINGS = {**_BUDGET, "view": Setting(InputSpec), "tuning": Setting(Tuning)}
# What may be added to a comparison; all else must be the same, or its numbers could not stand in
# one table.
_GROWS = ("protocols", "levels", "entries", "tuning", "seeds")


def describe(
    trial: Trial,
    source: Source,
    splits: Mapping[str, Split],
    entries: Mapping[str, Entry],
    seeds: int,
) -> Plan:
    """The plan as plain values: whatever the numbers depend on, and names for the report."""
    tuned = {"tuning": asdict(trial.tuning)} if "finetune" in trial.protocols else {}
    return {
        "data": {
            "name": source.title or type(source).__name__,
            "fingerprint": source.fingerprint(),
            "examples": len(source),
            "classes": list(source.classes),
        },
        "splits": {name: _sizes(split, source) for name, split in splits.items()},
        "seeds": seeds,
        "protocols": list(trial.protocols),
        "view": trial.view.plain(),
        "clips": trial.clips,
        "crops": trial.crops,
        "levels": trial.levels,
        "probe_at": list(trial.probe_at),
        **tuned,
        "trainer": _budget(trial.trainer),
        "optimizer": asdict(trial.optimizer),
        "entries": {
            name: {"seeds": entry.seeds(seeds), **entry.describe()}
            for name, entry in entries.items()
        },
    }


def _sizes(split: Split, source: Source) -> dict[str, Any]:
    sizes = {part: len(getattr(split, part)) for part in ("train", "val", "test")}
    return {**sizes, "hash": split.fingerprint(source)}


def _budget(trainer: TrainerArgs) -> dict[str, Any]:
    """Without what changes the time a run takes but not its result."""
    machine = {"workers", "checkpoint_every", "log_every"}
    return {key: value for key, value in asdict(trainer).items() if key not in machine}


def grow(out: Path, wanted: Plan) -> Plan:
    """Writes OUT/plan.json: what it says already and what is wanted besides.

    Returns:
        The plan as it stands now: of all calls together.

    Raises:
        InputError: the folder holds a comparison that this one cannot be added to; the
            differences are named.
    """
    path = out / "plan.json"
    wanted = json.loads(json.dumps(wanted))  # as it will be read again: tuples become lists
    if not path.exists():
        if out.is_dir() and (out / "runs").exists():
            raise InputError(f"{out}: holds runs but no plan.json; give another --out")
        write_json(path, wanted)
        return wanted
    wanted = _BEFORE | wanted
    there = _completed(read_plan(out), wanted)
    different = [*differences(_fixed(there), _fixed(wanted)), *_changed(there, wanted)]
    if different:
        shown = "; ".join(different[:3]) + (" …" if len(different) > 3 else "")
        raise InputError(
            f"{out}: holds a comparison with another plan: {shown}; give another --out"
        )
    both = _together(there, wanted)
    if both != there:
        write_json(path, both)
    return both


def read_plan(out: Path) -> Plan:
    """OUT/plan.json. Raises InputError if there is none."""
    path = out / "plan.json"
    if not path.exists():
        raise InputError(f"{out}: holds no comparison (no plan.json); run `pretexto compare` first")
    plan = _BEFORE | read_json(path)
    for entry in plan["entries"].values():
        entry.setdefault("seeds", plan["seeds"])
    return plan


def endings(out: Path) -> dict[str, str]:
    """What the names of the controls that are there end in, by the kind of their encoder."""
    if not (out / "plan.json").exists():
        return {}
    entries = read_plan(out)["entries"].items()
    return {
        entry["recipe"]["encoder"]: name.removeprefix(RANDOM)
        for name, entry in entries
        if entry["kind"] == "random" and "encoder" in entry["recipe"]
    }


def planned(plan: Plan) -> list[Run]:
    """Every run of the plan."""
    return runs_of({name: e["seeds"] for name, e in plan["entries"].items()}, plan["splits"])


def complete(run: Run, out: Path, plan: Plan) -> bool:
    """Whether a run has all rows that the plan wants of it; a failed run is tried again."""
    have = settled(run.folder(out), plan["levels"])
    floor = plan["entries"][run.entry]["kind"] == "floor"
    return bool(have) if floor else all(method in have for method in plan["protocols"])


def _completed(there: Plan, wanted: Plan) -> Plan:
    """The plan that is there, with settings that came later at their defaults."""
    entries = {
        name: completed(entry, wanted["entries"].get(name), _BUDGET)
        for name, entry in there["entries"].items()
    }
    return completed(there, wanted, _SETTINGS) | {"entries": entries}


def _fixed(plan: Plan) -> Plan:
    return {key: value for key, value in plan.items() if key not in _GROWS}


def _changed(there: Plan, wanted: Plan) -> Iterator[str]:
    """Differences within what both have of the things that may be added."""
    if "tuning" in there and "tuning" in wanted:
        yield from differences(there["tuning"], wanted["tuning"], "tuning")
    for name in there["entries"].keys() & wanted["entries"].keys():
        old, new = ({**p["entries"][name], "seeds": 0} for p in (there, wanted))
        # Further runs of an entry are further seeds of it.
        runs = new.get("runs", [])[: len(old.get("runs", []))]
        new = new | ({"runs": runs, "recipe": old["recipe"]} if runs else {})
        yield from differences(old, new, f"entries.{name}")


def _together(there: Plan, wanted: Plan) -> Plan:
    entries = dict(there["entries"])
    for name, new in wanted["entries"].items():
        old = entries.get(name, new)
        entries[name] = max(old, new, key=lambda entry: entry["seeds"])
    return {
        **there,
        **wanted,
        "protocols": list(dict.fromkeys([*there["protocols"], *wanted["protocols"]])),
        "levels": there["levels"] or wanted["levels"],
        "seeds": max(there["seeds"], wanted["seeds"]),
        "entries": entries,
    }


def differences(there: Any, here: Any, where: str = "") -> Iterator[str]:
    """In words, every value that differs between two trees of plain values."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in dict.fromkeys([*there, *here]):
            dotted = f"{where}.{key}" if where else str(key)
            if key not in here:
                yield f"{dotted} is there but not in this plan"
            elif key not in there:
                yield f"{dotted} is new in this plan"
            else:
                yield from differences(there[key], here[key], dotted)
    elif there != here:
        yield f"{where} was {_short(there)}, is now {_short(here)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"
