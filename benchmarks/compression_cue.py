"""Can the order of frames be told from compression alone?

    python benchmarks/compression_cue.py [--data DIR] [--only NAME] [--seeds 4] [--quick]

Films are taken as they are, encoded to H.264 with default keyframes (libx264, CRF 23), and to H.264
with keyframes only. Shuffle and Learn and sequence sorting cut their tuples with their own
samplers: guards off, on as they are by default, and with `soften`, which is off by default, on too.
Every frame of a tuple is described by ten numbers that say how noisy, blurred or blocky it is and
nothing of where things are; a linear classifier on those of the tuple must name the answer, on
sources that it has not learned from. What it can tell from films as they are is not this
compression: motion blur and things that come and go change the same numbers.

Films: "still", textures with sensor noise that do not move; "moving", the same textures along a
closed path, so that nothing but compression changes with time; "jhmdb8", clips of the folder DIR
(default ../shared/data/video/jhmdb8), 96 pixels high. Frames reach the task at the size at which
they were encoded, where the cue is strongest. Results go to
benchmarks/results/compression_cue.json, which keeps the films that were not asked for.
"""

import argparse
import csv
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import default_collate

from pretexto.encoders.image import TinyImage
from pretexto.evaluation.statistics import interval
from pretexto.modalities.media import MediaInfo, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.parts.guards import between
from pretexto.tasks.sequence_sorting import SequenceSorting
from pretexto.tasks.shuffle_learn import ShuffleLearn
from pretexto.tasks.task import Task

HERE = Path(__file__).resolve().parent
SIDE, SIZE, FPS = 96, 84, 25
ENCODINGS = {
    "not encoded": None,
    "default keyframes": {"crf": "23"},
    "keyframes only": {"crf": "23", "g": "1"},
}
FILMS = ("still", "moving", "jhmdb8")
TIMES = {
    "shuffle_learn": {"tau_min": 0.1, "tau_max": 0.8},
    "sequence_sorting": {"tau_min": 0.1, "tau_max": 0.3},
}


@dataclass(frozen=True)
class Film:
    """Frames uint8 [T, 3, H, W] at FPS, and the part, 0 to 2, in which it is tested."""

    frames: Tensor
    fold: int


def encoded(frames: np.ndarray, options: dict[str, str] | None, folder: Path) -> Tensor:
    """uint8 [T, H, W, 3] through libx264 and back, None: as they are: uint8 [T, 3, H, W]."""
    import av

    if options is None:
        return torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()
    path = folder / "film.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(FPS), options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame))))
        out.mux(stream.encode())
    with av.open(str(path)) as film:
        back = np.stack([f.to_ndarray(format="rgb24") for f in film.decode(video=0)])
    assert len(back) == len(frames)
    return torch.from_numpy(back).permute(0, 3, 1, 2).contiguous()


def texture(seed: int, moving: bool, count: int = 75) -> np.ndarray:
    """A coloured texture [T, H, W, 3] that repeats itself at its borders, with sensor noise.

    Moving, it goes once round a circle of 24 pixels' radius, from anywhere and either way.
    """
    rng = np.random.default_rng(seed)
    height, width = SIDE, 4 * SIDE // 3 // 2 * 2
    across, down = np.fft.fftfreq(width), np.fft.fftfreq(height)
    slope = np.maximum(np.hypot(down[:, None], across[None]), 1 / width) ** -rng.uniform(0.8, 1.4)
    waves = np.fft.fft2(rng.normal(size=(3, height, width))) * slope
    layers = np.fft.ifft2(waves).real
    layers = layers[:1] + 0.4 * layers[1:2] * np.array([1, 0, -1])[:, None, None]
    still = 128 + 45 * layers / layers.std()
    start, way = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1])
    turn = start + way * 2 * np.pi * np.arange(count) / count
    path = np.rint(24 * np.stack([np.sin(turn), np.cos(turn)], 1)).astype(int) * moving
    shown = np.stack([np.roll(still.astype(np.float32), tuple(at), (1, 2)) for at in path])
    shown += 2 * rng.standard_normal(shown.shape, dtype=np.float32)
    return np.rint(shown.clip(0, 255)).astype(np.uint8).transpose(0, 2, 3, 1)


def textures(moving: bool, count: int) -> Iterable[tuple[np.ndarray, int]]:
    """Textures and their folds."""
    return ((texture(seed, moving), seed % 3) for seed in range(count))


def clips(root: Path, count: int) -> Iterable[tuple[np.ndarray, int]]:
    """Clips of J-HMDB, 96 pixels high, and the fold of their source film."""
    import av

    rows = list(csv.DictReader((root / "groups.csv").open()))
    for row in rows[:: max(1, len(rows) // count)]:
        width = 4 * SIDE // 3 // 2 * 2
        with av.open(str(root / row["path"])) as film:
            frames = [
                f.to_ndarray(format="rgb24", width=width, height=SIDE, interpolation="AREA")
                for f in film.decode(video=0)
            ]
        yield np.stack(frames), int(row["fold3"]) % 3


def make_task(name: str, **guards) -> Task:
    """The task on single frames at the size at which films are encoded."""
    made = {"shuffle_learn": ShuffleLearn, "sequence_sorting": SequenceSorting}[name]
    return made(TinyImage(width=8), size=SIZE, flip=True, **TIMES[name], **guards)


def settings(name: str) -> dict[str, dict[str, object]]:
    """By name, which guards are on."""
    # Crops of their own would hide what compression tells; no guard hides less of it.
    names = [guard.name for guard in make_task(name).guards if guard.name != "shared_crop"]
    return {"off": dict.fromkeys(names, False), "on": {}, "on, soften": {"soften": True}}


def cut_tuples(task: Task, films: list[Film], seed: int, per_film: int) -> Iterable[dict]:
    """Of each batch the "numbers" of the frames that the network would see, "target", "fold".

    Tuples that ask nothing are left out; "offered" counts them too.
    """
    for start in range(0, len(films), 16):
        made = [
            {**_example(task, film, generator(seed, k, start + i)), "fold": film.fold}
            for i, film in enumerate(films[start : start + 16])
            for k in range(per_film)
        ]
        asked = [example for example in made if example["weight"] > 0]
        if asked:
            batch = default_collate(asked)
            shown = task.augment(batch)["inputs"].squeeze(3)
            numbers = described(shown.flatten(0, 1)).unflatten(0, shown.shape[:2])
            kept = {"target": batch["target"], "fold": batch["fold"], "numbers": numbers}
            yield {**kept, "offered": len(made)}
        else:
            yield {"offered": len(made)}


def _example(task: Task, film: Film, rng: torch.Generator) -> dict[str, Tensor]:
    count, _, height, width = film.frames.shape
    info = MediaInfo(
        "film", "video", duration=count / FPS, fps=FPS, frames=count, height=height, width=width
    )
    times = torch.tensor(task.plan(info, rng).times, dtype=torch.float64)
    at = (times * FPS).floor().long().clamp(0, count - 1)
    return task.example(Sample(frames=film.frames[at], times=at.double() / FPS), rng)


def described(frames: Tensor) -> Tensor:
    """Ten numbers of each frame of float [N, 3, H, W] in [0, 1]: noise, blur, blocks; no place."""
    grey = frames.mean(1, keepdim=True)
    tint = frames[:, :1] - frames[:, 2:]
    bands = [_band(grey, k) for k in (1, 2, 4)] + [_band(tint, 1)]
    energy = [band.square().mean((1, 2, 3)).clamp_min(1e-9).log() for band in bands]
    fine = bands[0].abs().mean((1, 2, 3))
    peaked = fine / bands[0].square().mean((1, 2, 3)).sqrt().clamp_min(1e-6)
    flat = (bands[0].abs() < 0.5 / 255).float().mean((1, 2, 3))
    blocks = [_blocks(grey, period, axis) for period in (8, 16) for axis in (-1, -2)]
    return torch.stack([*energy, peaked, flat, *blocks], 1)


def _band(x: Tensor, k: int) -> Tensor:
    """What of [N, 1, H, W] is finer than 2k pixels, but coarser than k."""
    low = F.avg_pool2d(x, k) if k > 1 else x
    return low - F.interpolate(F.avg_pool2d(low, 2), size=low.shape[-2:], mode="bilinear")


def _blocks(x: Tensor, period: int, axis: int) -> Tensor:
    """How much steeper every so-many-th step is than the mean one, at the phase where most."""
    step = x.diff(dim=axis).abs().mean((1, -2 if axis == -1 else -1))
    usable = step[:, : step.shape[1] // period * period].unflatten(1, (-1, period))
    return usable.mean(1).amax(1) / step.mean(1).clamp_min(1e-6)


def features(numbers: Tensor) -> np.ndarray:
    """Of [B, N, 10] what a linear classifier needs to tell orders: values, distances, turns."""
    pairs = [
        (numbers[:, i] - numbers[:, j]).abs() for i, j in combinations(range(numbers.shape[1]), 2)
    ]
    return torch.cat([numbers.flatten(1), *pairs, between(numbers)], 1).numpy()


def score(x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> float:
    """Mean per-class accuracy of a linear classifier on each third, learned from the others."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    said = np.empty_like(y)
    for k in range(3):
        probe = LogisticRegression(C=0.03, class_weight="balanced", max_iter=300)
        model = make_pipeline(StandardScaler(), probe).fit(x[fold != k], y[fold != k])
        said[fold == k] = model.predict(x[fold == k])
    return float(balanced_accuracy_score(y, said))


def measure(task: Task, films: list[Film], seeds: int, per_film: int) -> dict[str, object]:
    """Scores by seed, their mean and interval, and how many of the tuples ask something."""
    values, shuffled, asked, offered = [], 0.0, 0, 0
    for seed in range(seeds):
        batches = list(cut_tuples(task, films, seed, per_film))
        offered += sum(batch["offered"] for batch in batches)
        whole = [batch for batch in batches if "numbers" in batch]
        if not whole:
            continue
        numbers, y, fold = (
            torch.cat([batch[key] for batch in whole]) for key in ("numbers", "target", "fold")
        )
        asked += len(y)
        # Fewer than a hundred would say nothing, and lack classes.
        if len(y) < 100:
            continue
        x, y, fold = features(numbers), y.numpy(), fold.numpy()
        values.append(score(x, y, fold))
        if not seed:
            shuffled = score(x, np.random.default_rng(0).permutation(y), fold)
    found: dict[str, object] = {"asked": round(asked / offered, 3), "tuples": asked}
    if not values:
        return found
    mean, half = interval(values)
    return found | {
        "mean": round(mean, 4),
        "half": round(half, 4),
        "values": [round(v, 4) for v in values],
        "labels shuffled": round(shuffled, 4),
    }


def added(found: dict[str, dict], encoding: str) -> dict[str, float] | None:
    """What an encoding tells more than films as they are: mean and interval of differences."""
    own, other = (found[name].get("values", []) for name in (encoding, "not encoded"))
    if not own or len(own) != len(other):
        return None
    mean, half = interval([a - b for a, b in zip(own, other, strict=True)])
    return {"mean": round(mean, 4), "half": round(half, 4)}


def study(films: Callable[[], Iterable], seeds: int, per_film: int) -> dict[str, dict]:
    """By task, guards and encoding."""
    found: dict[str, dict] = {name: {g: {} for g in settings(name)} for name in TIMES}
    held = list(films())
    for encoding, options in ENCODINGS.items():
        with tempfile.TemporaryDirectory() as place:
            read = [Film(encoded(f, options, Path(place)), k) for f, k in held]
        for name in TIMES:
            for guards, switched in settings(name).items():
                task = make_task(name, **switched)
                result = measure(task, read, seeds, per_film)
                found[name][guards][encoding] = result
                print(f"  {encoding}, {name}, guards {guards}: {result}", flush=True)
    for name in TIMES:
        for guards in settings(name):
            cell = found[name][guards]
            for encoding in ("default keyframes", "keyframes only"):
                cell[encoding]["more than not encoded"] = added(cell, encoding)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Can order be told from compression?")
    parser.add_argument(
        "--data", type=Path, default=HERE.parent.parent / "shared/data/video/jhmdb8"
    )
    parser.add_argument("--only", choices=FILMS, help="these films alone")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="few films: does it run?")
    args = parser.parse_args()
    torch.set_num_threads(1)
    count, films = (12, 24) if args.quick else (36, 10_000)
    sources = {
        "still": lambda: textures(False, count),
        "moving": lambda: textures(True, count),
        "jhmdb8": lambda: clips(args.data, films),
    }
    out = HERE / "results" / "compression_cue.json"
    if args.quick:
        out = Path(tempfile.gettempdir()) / out.name
    for name in FILMS:
        if args.only in (None, name):
            print(name, flush=True)
            found = study(
                sources[name], args.seeds, 1 if name == "jhmdb8" and not args.quick else 6
            )
            known = json.loads(out.read_text()) if out.exists() else {}
            ordered = {k: v for k, v in {**known, name: found}.items() if k in FILMS}
            machine = {"seeds": args.seeds, "height": SIDE, "size": SIZE, "fps": FPS}
            versions = {k: version(k) for k in ("torch", "av", "scikit-learn")}
            chance = {"shuffle_learn": 0.5, "sequence_sorting": round(1 / 12, 4)}
            about = {"chance": chance, **machine, **versions, "python": platform.python_version()}
            out.write_text(json.dumps({"about": about, **ordered}, indent=1) + "\n")


if __name__ == "__main__":
    main()
