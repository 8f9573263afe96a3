"""Frozen encoders of sound on ESC-10's five folds, beside their controls.

    python benchmarks/esc10.py --encoder cola=runs/cola --encoder l3=runs/audio_visual
    python benchmarks/esc10.py --encoder cola=runs/cola-0 --encoder cola=runs/cola-1 --steps 2000

Every encoder is judged by the same linear probe and the same neighbours on `--clips` segments of
each sound, as long as those that it was trained on; class probabilities are averaged. Beside it
stand the same network untrained, the same network trained on the labels of each fold's training
part for `--steps` steps, and the log-mel floor; the floor also over each sound as a whole. A name
given several times has several seeds. Finished controls are kept in `--work` and not trained again.
The table goes to benchmarks/results/esc10.json (esc10_controls.json without any --encoder). Rows
of one "stamp" can be compared; "seen" counts the test sounds that pretraining has seen, without
their labels.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from parts.results import RESULTS, about_run, shared_data, write_result

from pretexto.comparison.grid import seeded
from pretexto.datasets.open import open_source
from pretexto.datasets.source import Source, Subset
from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.encoder import Encoder
from pretexto.encoders.store import load_encoder, read_card
from pretexto.errors import InputError
from pretexto.evaluation.baselines import FLOOR, LogMelFloor, random_init
from pretexto.evaluation.evaluate import evaluate
from pretexto.evaluation.results import count_classes
from pretexto.evaluation.splits import Fold, splits
from pretexto.evaluation.stamp import MEAN, Row
from pretexto.evaluation.statistics import interval, wilson
from pretexto.modalities.input_spec import InputSpec
from pretexto.tasks.parts.audio_input import AudioInput
from pretexto.tasks.supervised import Supervised
from pretexto.training.args import TrainerArgs
from pretexto.training.optim import OptimizerArgs
from pretexto.training.pretrain import pretrain

METHODS = ("linear", "knn")
Found = dict[str, list[Row]]  # rows of single folds, by name


@dataclass(frozen=True)
class Setting:
    """What all measurements share.

    Attributes:
        source: sounds with named folds.
        clips: segments per sound.
        seeds: of each control.
        steps, batch_size: of the supervised control.
        work: folder of features and of trained controls.
    """

    source: Source
    clips: int
    seeds: int
    steps: int
    batch_size: int
    work: Path


def measure(setting: Setting, runs: list[tuple[str, Path]]) -> Found:
    """Rows of every named run and of the controls that belong to their networks."""
    found: Found = {}
    networks: dict[str, tuple[Encoder, InputSpec]] = {}
    for name, run in runs:
        card = read_card(run, "audio")
        encoder, view = load_encoder(run, "audio"), InputSpec(**card["spec"])
        networks[repr((type(encoder), encoder.arguments, view))] = encoder, view
        rows = judged(setting, encoder, view, card=card, run=run, seed=card.get("seed", 0))
        found.setdefault(name, []).extend(rows)
    if not networks:
        networks["default"] = TinyAudio(), InputSpec("audio", seconds=1.0, rate=16000)
    for encoder, view in networks.values():
        found |= _controls(setting, encoder, view, suffix=len(networks) > 1)
    for rate, seconds in {(view.rate, view.seconds) for _, view in networks.values()}:
        name = f"{FLOOR}, {seconds:g} s at {rate} Hz"
        view = InputSpec("audio", seconds=seconds, rate=rate)
        found[name] = judged(setting, LogMelFloor(rate=rate), view, card={"task": FLOOR})
    whole = InputSpec("audio", seconds=5.0, rate=16000)
    alone = replace(setting, clips=1)
    found[f"{FLOOR}, whole"] = judged(alone, LogMelFloor(), whole, card={"task": FLOOR})
    return found


def _controls(setting: Setting, encoder: Encoder, view: InputSpec, *, suffix: bool) -> Found:
    kind = f" {type(encoder).__name__}" if suffix else ""
    found: Found = {f"random-init{kind}": [], f"supervised{kind}": []}
    for seed in range(setting.seeds):
        untrained = random_init(encoder, seed=seed)
        found[f"random-init{kind}"] += judged(setting, untrained, view, seed=seed)
        found[f"supervised{kind}"] += _supervised(setting, encoder, view, seed)
    return found


def judged(setting: Setting, encoder: Encoder, view: InputSpec, **about) -> list[Row]:
    """Rows of every fold."""
    rows = evaluate(
        METHODS,
        encoder,
        setting.source,
        view,
        clips=setting.clips,
        cache=setting.work / "features",
        **about,
    )
    return [row for row in rows if not row.stamp.split.startswith(MEAN)]


def _supervised(setting: Setting, encoder: Encoder, view: InputSpec, seed: int) -> list[Row]:
    """The same network trained on the labels of each fold's training part, then frozen."""
    rows = []
    source, kind = setting.source, type(encoder).__name__
    trainer = TrainerArgs(steps=setting.steps, batch_size=setting.batch_size, workers=0)
    for cut in splits(source):
        build = partial(_task, encoder, count_classes(source), view)
        digest = hashlib.sha256(repr((encoder.arguments, view, trainer)).encode()).hexdigest()[:8]
        folder = setting.work / "supervised" / f"{kind}-{digest}" / cut.name / f"seed-{seed}"
        pretrain(
            seeded(build, seed),
            Subset(source, cut.train),
            folder,
            trainer=trainer,
            optimizer=OptimizerArgs(name="adamw", lr=0.002),
            seed=seed,
        )
        alone = replace(setting, source=Fold(source, cut))
        card = {"task": "supervised"}
        made = judged(alone, load_encoder(folder), view, card=card, run=folder, seed=seed)
        rows += [replace(row, stamp=replace(row.stamp, split=cut.name)) for row in made]
    return rows


def _task(encoder: Encoder, classes: int, view: InputSpec) -> Supervised:
    fresh = type(encoder)(**encoder.arguments)
    return Supervised(AudioInput(fresh, seconds=view.seconds), classes)


def table(found: Found) -> Iterator[dict]:
    """One line per name and number: the mean over folds of each seed, and the mean over seeds."""
    for name, rows in found.items():
        kinds = dict.fromkeys((row.stamp.method, row.stamp.metric) for row in rows)
        for method, metric in kinds:
            same = [r for r in rows if (r.stamp.method, r.stamp.metric) == (method, metric)]
            yield {"name": name, "method": method, "metric": metric, **_summary(same)}


def _summary(rows: list[Row]) -> dict:
    folds: dict[int, dict[str, Row]] = {}
    for row in rows:
        folds.setdefault(row.seed, {})[row.stamp.split] = row
    means = [sum(r.value for r in f.values()) / len(f) for f in folds.values()]
    first = next(iter(folds.values()))
    mean, half = interval(means)
    if len(means) > 1:
        low, high = mean - half, mean + half
    else:
        low, high = wilson(mean, sum(r.n_test for r in first.values()))
    return {
        "mean": round(mean, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "over": f"{len(means)} seeds" if len(means) > 1 else "test sounds of one seed",
        "seeds": {
            seed: {name: round(row.value, 4) for name, row in f.items()}
            for seed, f in folds.items()
        },
        "seen": sum(r.seen_in_pretraining or 0 for r in first.values()),
        "stamp": _column(rows[0]),
    }


def _column(row: Row) -> str:
    """What must agree for two numbers to be compared, the fold apart."""
    shared = {k: v for k, v in asdict(row.stamp).items() if k not in ("split", "split_hash")}
    return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:8]


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (equals and name and path):
        raise argparse.ArgumentTypeError(f"{text!r}: give NAME=RUN")
    return name, Path(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default=f"esc10:{shared_data() / 'audio' / 'esc10'}")
    parser.add_argument("--encoder", type=_named, action="append", default=[], metavar="NAME=RUN")
    parser.add_argument("--clips", type=int, default=10, help="segments per sound")
    parser.add_argument("--seeds", type=int, default=3, help="of the controls")
    parser.add_argument("--steps", type=int, default=600, help="of the supervised control")
    parser.add_argument("--batch-size", type=int, default=32, help="likewise")
    parser.add_argument("--work", type=Path, default=Path("runs") / "esc10")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    try:
        source = open_source(args.data)
        setting = Setting(source, args.clips, args.seeds, args.steps, args.batch_size, args.work)
        lines = list(table(measure(setting, args.encoder)))
    except InputError as error:
        sys.exit(f"esc10: {error}")
    report = {
        **about_run(),
        "data": {"name": source.title, "fingerprint": source.fingerprint(), "sounds": len(source)},
        "clips": args.clips,
        "supervised": {"steps": args.steps, "batch_size": args.batch_size},
        "table": lines,
    }
    for line in lines:
        if line["metric"] == "top1":
            words = "{name:36} {method:7} {mean:.3f} ({low:.3f} to {high:.3f}) {over}, {stamp}"
            print(words.format(**line))
    name = "esc10.json" if args.encoder else "esc10_controls.json"
    write_result(args.out or RESULTS / name, report)


if __name__ == "__main__":
    main()
