"""Which runs a comparison consists of, and whether a folder already holds another one."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from .store import write_json

Description = dict[str, Any]
# What was done before there was a choice: plans of that time do not say it.
_BEFORE = {"crops": 1}


@dataclass(frozen=True, slots=True)
class Run:
    """One entry, pretrained with one seed on the training part of one split."""

    entry: str
    split: str
    seed: int

    def folder(self, out: Path) -> Path:
        """Where its files lie."""
        return out / "runs" / self.entry / f"fold-{self.split}" / f"seed-{self.seed}"

    def words(self, *, folds: bool) -> str:
        """As progress lines name it."""
        fold = f" · fold {self.split}" if folds else ""
        return f"{self.entry}{fold} · seed {self.seed}"


def runs_of(entries: Iterable[str], splits: Iterable[str], seeds: int) -> list[Run]:
    """All runs, every entry once before any gets its second seed.

    So a comparison that is interrupted early already compares everything.
    """
    names, splits = list(entries), list(splits)
    return [Run(e, s, seed) for seed in range(seeds) for s in splits for e in names]


def claim(out: Path, description: Description) -> None:
    """Writes OUT/plan.json, or checks that the one there says the same.

    Raises:
        InputError: the folder holds a comparison with another plan; the differences are named.
    """
    path = out / "plan.json"
    wanted = json.loads(json.dumps(description))
    if not path.exists():
        if out.is_dir() and (out / "runs").exists():
            raise InputError(f"{out}: holds runs but no plan.json; give another --out")
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, wanted)
        return
    before = {key: value for key, value in _BEFORE.items() if key in wanted}
    there = before | json.loads(path.read_text())
    different = list(differences(there, wanted))
    if different:
        shown = "; ".join(different[:3]) + (" …" if len(different) > 3 else "")
        raise InputError(
            f"{out}: holds a comparison with another plan: {shown}; give another --out"
        )


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
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
