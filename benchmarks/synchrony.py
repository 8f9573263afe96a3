"""Do picture and sound of talkers who were never seen agree in time?

    python benchmarks/synchrony.py [--data PATH] [--steps 300] [--seeds 3] [--picture FILE.png]

Faces are cut out by one window for all clips (the corpus is framed alike), as work on lips does
(Chung & Zisserman 2016). Trains `synchrony` on the clips of one talker and of two thirds of the
others, asks on the rest, and turns round so that every other talker is held out once. A question
is one clip with the sound of its own moment or of another moment of the same clip; half of the
answers are "in step". The interval is over held-out talkers (Student's t on each one's mean over
seeds and draws). Beside it stand the same networks before training. The picture shows where
held-out talkers' sound is. A pack of the clips (`pretexto pack --short-side 128`) saves most of
the time. Results go to benchmarks/results/synchrony.json.
"""

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from parts.results import RESULTS, about_run, shared_data, write_result
from torch.utils.data import default_collate

from pretexto.datasets.open import open_source
from pretexto.datasets.source import Source, Subset
from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.video import TinyVideo
from pretexto.errors import InputError
from pretexto.evaluation.statistics import interval
from pretexto.modalities.image import resize
from pretexto.modalities.media import Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.parts.audio_input import AudioInput
from pretexto.tasks.parts.clip_input import ClipInput
from pretexto.tasks.parts.transforms import Crop
from pretexto.tasks.synchrony import Synchrony
from pretexto.training.args import TrainerArgs
from pretexto.training.optim import OptimizerArgs
from pretexto.training.pretrain import pretrain
from pretexto.visualization.sound_plots import draw_sounds

# Clips of GRID by talker, told apart by eye; the folder "grid" is of the first.
TALKERS = (
    ("bbaf2n",), ("id2_vcd_swwp2s", "pwij3p"), ("brbk7n",), ("lbax4n",), ("lbbc2a",), ("lrwp9a",),
    ("lwbsza",), ("sbia1a",), ("sbwe5n",), ("swiz3n",),
)  # fmt: skip
FOLDS = 3
WINDOW = (slice(0.42, 0.92), slice(0.30, 0.70))  # rows and columns with the mouth, as shares


class Faces(Subset):
    """Clips of a source, cut down to WINDOW."""

    def read(self, i: int, plan: Plan) -> Sample:
        sample = super().read(i, replace(plan, short_side=128))
        assert sample.frames is not None
        sides = sample.frames.shape[-2:]
        rows, columns = (
            slice(int(w.start * n), int(w.stop * n)) for w, n in zip(WINDOW, sides, strict=True)
        )
        cut = sample.frames[..., rows, columns]
        return replace(sample, frames=resize(cut, plan.short_side) if plan.short_side else cut)


def task(args: argparse.Namespace) -> Synchrony:
    return Synchrony(
        ClipInput(TinyVideo(), size=args.size, frames=16, frame_interval=0.08),
        AudioInput(TinyAudio(), seconds=1.28),
        shift_min=0.4,
        shift_max=1.6,
        crop=Crop(scale=(0.7, 1.0)),
    )


def talker_of(path: str) -> int | None:
    """Place in TALKERS, None for what is no talker."""
    name = Path(path).stem
    if Path(path).parent.name == "grid":
        return 0
    return next((k for k, names in enumerate(TALKERS) if name in names), None)


@torch.no_grad()
def judged(model: Synchrony, source: Source, draws: int) -> float:
    """Share of right answers over `draws` pairs in step and as many out of step per clip."""
    model.eval()
    right = []
    for i in range(len(source)):
        examples = []
        for k in range(draws):
            rng = generator(7, i, k)
            sample = source.read(i, model.plan(source.info(i), rng))
            examples.append({**model.example(sample, rng), "index": torch.tensor(i)})
        right.append(float(model(model.augment(default_collate(examples))).metrics["accuracy"]))
    return sum(right) / len(right)


def measure(args: argparse.Namespace, source: Source) -> dict[str, dict[int, list[float]]]:
    """Accuracies by talker, one per seed, of trained and of untrained networks."""
    by_talker = [talker_of(source.info(i).path) for i in range(len(source))]
    found: dict[str, dict[int, list[float]]] = {"trained": {}, "untrained": {}}
    for seed in range(args.seeds):
        for fold in range(FOLDS):
            asked = range(1 + fold, len(TALKERS), FOLDS)
            known = [i for i, t in enumerate(by_talker) if t is not None and t not in asked]
            torch.manual_seed(seed)
            model = task(args)
            untrained = {t: _one(model, source, by_talker, t, args) for t in asked}
            _train(args, model, Faces(source, known), seed)
            trained = {t: _one(model, source, by_talker, t, args) for t in asked}
            if args.picture and not seed and not fold:
                held_out = [i for i, t in enumerate(by_talker) if t in asked]
                draw_sounds(model, Faces(source, held_out), args.picture)
            for name, scores in (("trained", trained), ("untrained", untrained)):
                for t, score in scores.items():
                    found[name].setdefault(t, []).append(score)
            print(f"seed {seed}, fold {fold}: " + _line(trained), flush=True)
    return found


def _one(
    model: Synchrony, source: Source, by_talker: list, talker: int, args: argparse.Namespace
) -> float:
    members = [i for i, t in enumerate(by_talker) if t == talker]
    if not members:
        raise InputError(f"no clip of {TALKERS[talker]}; give the folder that holds them")
    return judged(model, Faces(source, members), args.draws)


def _train(args: argparse.Namespace, model: Synchrony, source: Source, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pretrain(
            model,
            source,
            Path(folder),
            trainer=TrainerArgs(steps=args.steps, batch_size=16, workers=0),
            optimizer=OptimizerArgs(name="adamw", lr=0.001),
            seed=seed,
        )


def _line(scores: dict[int, float]) -> str:
    return ", ".join(f"{TALKERS[t][0]} {100 * s:.1f} %" for t, s in scores.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default=str(shared_data() / "av"), help="folder or pack")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=64, help="questions per clip")
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--picture", type=Path, help="PNG to draw")
    parser.add_argument("--out", type=Path, default=RESULTS / "synchrony.json")
    args = parser.parse_args()
    try:
        source = open_source(args.data)
        found = measure(args, source)
    except InputError as error:
        sys.exit(f"synchrony: {error}")
    report = {
        **about_run(),
        "data": {"name": source.title, "fingerprint": source.fingerprint()},
        "settings": {k: v for k, v in vars(args).items() if k not in ("data", "out", "picture")},
        "chance": 0.5,
    }
    for name, talkers in found.items():
        means = {t: sum(s) / len(s) for t, s in talkers.items()}
        mean, half = interval(list(means.values()))
        report[name] = {
            "mean": round(mean, 4),
            "half": round(half, 4),
            "talkers": {TALKERS[t][0]: [round(x, 4) for x in s] for t, s in talkers.items()},
        }
        print(f"{name}: {100 * mean:.1f} ± {100 * half:.1f} % over {len(means)} talkers")
    write_result(args.out, report)


if __name__ == "__main__":
    main()
