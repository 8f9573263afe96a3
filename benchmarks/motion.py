"""Optical flow: each method's error against true flow, what flow costs in packs, and what it saves.

    python benchmarks/motion.py --data ../shared/data --out /tmp/motion

`--data` holds flow/ (Middlebury's RubberWhale) and video/jhmdb8/. Times are of the processor, in
one thread; compare them within one run. TV-L1 is measured where OpenCV has it, RAFT where `--raft`
names weights (raft_small:FILE.safetensors).
"""

import argparse
import os
import shutil
import time
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from parts.films import write_film
from PIL import Image

from pretexto.datasets.index.build import scan
from pretexto.datasets.index.source import Index
from pretexto.datasets.packs.source import Packs
from pretexto.datasets.packs.transcode import PackSettings, pack_job
from pretexto.datasets.packs.write import pack
from pretexto.datasets.source import Source
from pretexto.encoders.image import TinyImage
from pretexto.errors import InputError
from pretexto.modalities.flow import optical_flow, read_flow, warp
from pretexto.modalities.media import Plan
from pretexto.tasks.flow_prediction import FlowPrediction
from pretexto.tasks.parts.clip_input import ClipInput
from pretexto.training.args import TrainerArgs
from pretexto.training.data import Examples
from pretexto.training.pretrain import pretrain

INTERVAL, SIDE = 0.08, 128
JOINED = 5  # clips of J-HMDB in one long film
SIZE, BATCH = 64, 32  # of what is trained
STEPS = {"files": 8, "packs": 50}  # that are timed: some seconds each


def accuracy(root: Path, methods: list[str]) -> None:
    """Mean end-point error, grey error after warping and milliseconds of each method."""
    pictures = [np.array(Image.open(root / f"rubberwhale{k}.png").convert("RGB")) for k in (1, 2)]
    first, second = (torch.from_numpy(x).permute(2, 0, 1)[None] for x in pictures)
    truth, valid = read_flow(root / "flow_gt.flo")

    def grey_error(x):
        return float((x - first.float()).abs().mean(1)[0][valid].mean())

    print(
        f"\n| method | end-point error, px | grey error {grey_error(second.float()):.2f} → | ms |"
    )
    print("|---|---|---|---|")
    print(f"| true flow | 0 | {grey_error(warp(second, truth[None])):.2f} | |")
    for method in methods:
        with suppress(InputError):
            optical_flow(first[..., :64, :64], second[..., :64, :64], method)  # loads libraries
        start = time.process_time()
        try:
            flow = optical_flow(first, second, method)
        except InputError as error:
            print(f"| {method} | {error} | | |")
            continue
        took = 1000 * (time.process_time() - start)
        error = float((flow[0] - truth).norm(dim=0)[valid].mean())
        print(f"| {method} | {error:.3f} | {grey_error(warp(second, flow)):.2f} | {took:.0f} |")


def clips(root: Path, out: Path, count: int) -> Path:
    """The index of some of the clips."""
    chosen = sorted((root / "video/jhmdb8").glob("*/*.avi"))
    shutil.rmtree(out, ignore_errors=True)
    (out / "media").mkdir(parents=True)
    for path in chosen[:: max(len(chosen) // count, 1)][:count]:
        (out / "media" / path.name).symlink_to(path.resolve())
    scan(out / "media", out / "index.parquet")
    return out / "index.parquet"


def packing(index: Path, method: str) -> None:
    """Packing with flow against the method alone, on the same pairs; sizes and errors."""
    files = Index(index)
    alone, pairs = 0.0, 0
    for i in range(len(files)):
        starts = sorted(set(files.read(i, Plan(_times(files, i))).times.tolist()))
        later = tuple(t + INTERVAL for t in starts)
        plan = Plan((*starts, *later), short_side=SIDE, past_end="repeat")
        first, second = files.read(i, plan).frames.contiguous().split(len(starts))
        moves = (first != second).flatten(1).any(1)
        begun = time.process_time()
        optical_flow(first[moves], second[moves], method)
        alone += time.process_time() - begun
        pairs += int(moves.sum())
    print(
        f"\n{len(files)} clips, {pairs} pairs, {method} alone: {1000 * alone / pairs:.2f} ms a pair"
    )
    print("| pack | clips/s | share of the speed of the method alone | kB a clip |")
    print("|---|---|---|---|")
    for name, settings in _kinds(method).items():
        begun = time.process_time()
        size = 0
        for i in range(len(files)):
            _, blobs = pack_job(files.file(i), asdict(settings))
            size += sum(map(len, blobs))
        took = time.process_time() - begun
        share = f"{alone / took:.2f}" if settings.flow else ""
        print(f"| {name} | {len(files) / took:.1f} | {share} | {size / len(files) / 1000:.0f} |")


def _times(files: Index, i: int) -> tuple[float, ...]:
    """Times in every frame of a clip, of which some may show the same."""
    return tuple(np.arange(0, files.info(i).duration - 1e-3, 1 / 60).tolist())


def _kinds(method: str) -> dict[str, PackSettings]:
    both = {"flow": method, "flow_interval": INTERVAL}
    return {
        "no flow": PackSettings(SIDE),
        "16 bits": PackSettings(SIDE, **both),
        "8 bits": PackSettings(SIDE, **both, flow_bits=8),
    }


def enlarged(root: Path, out: Path, count: int) -> Path:
    """The index of films of 720 lines and up to 150 frames: clips joined, resized and encoded."""
    import av

    shutil.rmtree(out, ignore_errors=True)
    (out / "media").mkdir(parents=True)
    chosen = sorted((root / "video/jhmdb8").glob("*/*.avi"))
    for k in range(count):
        frames = []
        for path in chosen[k * len(chosen) // count :][:JOINED]:
            with av.open(str(path)) as film:
                for frame in film.decode(video=0):
                    frames.append(frame.to_ndarray(width=960, height=720, format="rgb24"))
        write_film(out / "media" / f"{k}.mp4", frames[:150], "libx264", {"crf": "23"})
    scan(out / "media", out / "index.parquet")
    return out / "index.parquet"


def loading(name: str, index: Path, packs: Path) -> None:
    """Examples of a task that one process reads and prepares in a second: from files and packs."""
    task, rates = _task(), []
    for source in (Index(index), Packs(packs)):
        examples = Examples(source, task, seed=0)
        asked = [(epoch, i) for epoch in range(5) for i in range(len(source))]
        begun = 0.0
        for epoch, i in asked:
            if epoch == 1 and i == 0:  # from now on it is known when each frame is shown
                begun = time.process_time()
            examples.example(epoch, i)
        rates.append(4 * len(source) / (time.process_time() - begun))
    print(f"| {name} | {rates[0]:.0f} | {rates[1]:.0f} | {rates[1] / rates[0]:.1f} |")


def _task() -> FlowPrediction:
    return FlowPrediction(ClipInput(TinyImage(), size=SIZE), flow_interval=INTERVAL)


def training(name: str, index: Path, packs: Path, out: Path) -> None:
    """Examples that a task learns from in a second, without workers: from files and packs."""
    sources = {"files": Index(index), "packs": Packs(packs)}
    rates = {kind: [] for kind in sources}
    for _ in range(3):
        for kind, source in sources.items():
            few, many = (_trained(source, steps, out) for steps in (2, 2 + STEPS[kind]))
            rates[kind].append(BATCH * STEPS[kind] / (many - few))
    files, packed = map(np.median, rates.values())
    ratios = [b / a for a, b in zip(rates["files"], rates["packs"], strict=True)]
    print(
        f"| {name} | {files:.0f} | {packed:.0f} | {packed / files:.1f} "
        f"({min(ratios):.1f} to {max(ratios):.1f}) |"
    )


def _trained(source: Source, steps: int, out: Path) -> float:
    """Seconds of the processor for so many steps."""
    shutil.rmtree(out, ignore_errors=True)
    begun = time.process_time()
    args = TrainerArgs(steps=steps, batch_size=BATCH, workers=0)
    with open(os.devnull, "w") as silent, redirect_stdout(silent), redirect_stderr(silent):
        pretrain(_task(), source, out, trainer=args)
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--raft", action="append", default=[])
    args = parser.parse_args()
    torch.set_num_threads(1)
    # Nothing is kept of the flow that is computed: training draws other times in each epoch.
    os.environ["PRETEXTO_FLOW_CACHE"] = "0"
    classical = ["dis", "dis-fast", "dis-ultrafast", "farneback", "tvl1"]
    accuracy(args.data / "flow", [*classical, *args.raft])
    index = clips(args.data, args.out, args.clips)
    packing(index, "dis")
    large = enlarged(args.data, args.out / "large", BATCH)
    kinds = {"as they are": index, "H.264 of 720 lines": large}
    for name, each in kinds.items():
        settings = PackSettings(_task().video.resize_side, flow="dis", flow_interval=INTERVAL)
        pack(each, args.out / f"{name} packed", settings)
    print("\n| read | examples/s from files | from packs | times |\n|---|---|---|---|")
    for name, each in kinds.items():
        loading(name, each, args.out / f"{name} packed")
    print("\n| learned from | examples/s from files | from packs | times |\n|---|---|---|---|")
    for name, each in kinds.items():
        training(name, each, args.out / f"{name} packed", args.out / "run")


if __name__ == "__main__":
    main()
