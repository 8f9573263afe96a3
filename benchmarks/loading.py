"""Clips per second that reach a training loop, by reader, codec and plan.

    python benchmarks/loading.py [--data DIR] [--seconds 20] [--films 12]

Every reader gets the same files and the same times, in an order drawn once, and returns uint8
tensors, at the media's own size and at a short side of 128. decord, PyAV and torchcodec are called
directly, as their documentation shows; pretexto through `Source.read`: as it is when every file
has been read before ("raw"; it knows their times, and some are still open), with none left open
("raw, opened anew"), and with nothing known of the file ("raw, first time"). Readers take turns in
short rounds, so that other work on the machine slows all of them alike; clips are counted per
second of processor time ("core") and of wall time with two processes ("two"). "raw_over" is the
median over rounds of raw's speed over each other reader's in the same round.
The media are clips of the folder DIR (default ../shared/data/video/jhmdb8), as they are and
joined and encoded anew by PyAV. Results go to benchmarks/results/loading.json.
"""

import argparse
import json
import multiprocessing
import os
import platform
import random
import re
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from parts.films import write_film
from parts.results import RESULTS, about_run, shared_data, write_result

os.environ.setdefault("OMP_NUM_THREADS", "1")
SIDE = 128
CLIPS = 6  # clips in a round of one reader
PLANS = {
    "8 frames, stride 2, own size": (8, 2, None),
    "16 frames, stride 4, own size": (16, 4, None),
    "8 frames, stride 2": (8, 2, SIDE),
    "16 frames, stride 4": (16, 4, SIDE),
}
RAW = "pretexto, raw"
ANEW, FIRST = f"{RAW}, opened anew", f"{RAW}, first time"
CODECS = {
    "MPEG-4": ("mpeg4", ".avi", {"qscale": "4", "flags": "+qscale"}),
    "H.264, default keyframes": ("libx264", ".mp4", {"crf": "23"}),
    "H.264, keyframe every 12": ("libx264", ".mp4", {"crf": "23", "g": "12"}),
    "VP9": (
        "libvpx-vp9",
        ".webm",
        {"crf": "35", "b": "0", "deadline": "realtime", "cpu-used": "8"},
    ),
}


@dataclass(frozen=True)
class Request:
    """A file, its number in the sources, frame numbers, their times in seconds, the size wanted."""

    path: str
    number: int
    frames: tuple[int, ...]
    times: tuple[float, ...]
    side: int | None


def make_media(source: Path, out: Path, count: int) -> None:
    """Joins clips of one class into films of about 150 frames, once per codec."""
    import av

    for k in range(count):
        frames = []
        for path in sorted(source.rglob("*.avi"))[k * 17 :: 3]:
            with av.open(str(path)) as film:
                frames += [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]
            if len(frames) >= 150:
                break
        for name, (codec, suffix, options) in CODECS.items():
            path = out / name / f"{k}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_film(path, frames, codec, options)


def requests(source, count: int, stride: int, side: int | None) -> list[Request]:
    """Evenly spread clips of every film that is long enough, in an order drawn once."""
    out = []
    for i in range(len(source)):
        info = source.info(i)
        last = info.frames - 1 - (count - 1) * stride
        for first in sorted({0, last // 3, 2 * last // 3, last}) if last >= 0 else ():
            frames = tuple(first + k * stride for k in range(count))
            times = tuple((f + 0.5) / info.fps for f in frames)
            out.append(Request(str(source.root / source.name(i)), i, frames, times, side))
    random.Random(0).shuffle(out)
    return out


def by_decord(request: Request):
    import torch
    from decord import VideoReader, cpu

    height, width = sides(request) if request.side else (-1, -1)
    reader = VideoReader(request.path, ctx=cpu(0), width=width, height=height, num_threads=1)
    frames = reader.get_batch(list(request.frames)).asnumpy()
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def by_pyav(request: Request):
    import av
    import numpy as np
    import torch

    with av.open(request.path) as film:
        stream = film.streams.video[0]
        stream.codec_context.thread_count = 1
        film.seek(int(request.times[0] / stream.time_base), stream=stream)
        wanted, taken = list(request.times), []
        for frame in film.decode(stream):
            while wanted and frame.time + 1 / 30 > wanted[0]:
                if request.side:
                    frame = frame.reformat(*sides(request)[::-1])
                taken.append(frame.to_ndarray(format="rgb24"))
                wanted.pop(0)
            if not wanted:
                break
        return torch.from_numpy(np.stack(taken)).permute(0, 3, 1, 2)


def by_torchcodec(request: Request):
    from torch.nn.functional import interpolate
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(request.path, num_ffmpeg_threads=1)
    frames = decoder.get_frames_played_at(list(request.times)).data
    if not request.side:
        return frames
    return interpolate(frames, sides(request), mode="bilinear", antialias=True)


_sides: dict[str, tuple[int, int]] = {}


def sides(request: Request) -> tuple[int, int]:
    """Height and width with a shorter side of 128 pixels."""
    return _sides[request.path]


def readers(index, packs, side: int | None) -> dict:
    """Every reader as a function of a request; frames [T, …] come back."""
    from pretexto.modalities.decode import packet_index
    from pretexto.modalities.decode.origin import origin_of
    from pretexto.modalities.decode.reader import close_files
    from pretexto.modalities.media import Plan

    def plan(request: Request) -> Plan:
        return Plan(request.times, short_side=request.side, past_end="repeat")

    def anew(request: Request):
        close_files()
        return index.read(request.number, plan(request)).frames

    def first(request: Request):
        packet_index.forget(packet_index.identity(origin_of(request.path), None, None))
        return anew(request)

    def bare(request: Request):
        """The packs' JPEGs of the request, decoded by simplejpeg into memory that is there."""
        clip = packs._clip(packs._facts(request.number))
        for k, frame in zip(kept[request], places[len(request.times), sides(request)], strict=True):
            simplejpeg.decode_jpeg(clip.frames[k], "RGB", buffer=frame)
        return places[len(request.times), sides(request)]

    import numpy as np
    import simplejpeg

    kept, places = Kept(packs), Places(np)
    raw = {
        "decord": by_decord,
        "PyAV": by_pyav,
        "torchcodec": by_torchcodec,
        RAW: lambda r: index.read(r.number, plan(r)).frames,
        ANEW: anew,
        FIRST: first,
    }
    if not side:  # packs hold frames of one size only
        return raw
    return raw | {
        "pretexto, packs": lambda r: packs.read(r.number, plan(r)).frames,
        "simplejpeg alone": bare,
    }


class Kept(dict):
    """Numbers of the packed frames that a request shows."""

    def __init__(self, packs):
        super().__init__()
        self.packs = packs

    def __missing__(self, request: Request):
        import numpy as np

        times = self.packs._clip(self.packs._facts(request.number)).times
        found = np.searchsorted(times, np.array(request.times) + 1e-6, "right") - 1
        self[request] = found.clip(0).tolist()
        return self[request]


class Places(dict):
    """Memory for frames, uint8 [T, H, W, 3]."""

    def __init__(self, np):
        super().__init__()
        self.np = np

    def __missing__(self, key):
        count, (height, width) = key
        self[key] = self.np.zeros((count, height, width, 3), "uint8")
        return self[key]


def measure(folder: Path, seconds: float) -> dict:
    """Clips per second of processor time by reader, median over rounds, for both plans."""
    index, packs = open_both(folder)
    out = {}
    for name, plan in PLANS.items():
        every = requests(index, *plan)
        if not every:  # the films are too short for it
            continue
        found = one_core(readers(index, packs, plan[2]), every, seconds)
        if plan == (8, 2, SIDE):
            found["two"] = two_processes(folder, list(found["core"]), plan, seconds / 4)
        found["clips"] = len(every)
        out[name] = found
    return out


def open_both(folder: Path):
    """The folder's index and packs; remembers the films' sizes."""
    from pretexto.datasets.index.source import Index
    from pretexto.datasets.packs.source import Packs

    index, packs = Index(folder / "index.parquet"), Packs(folder / "packs")
    for i in range(len(packs)):
        info = packs.info(i)
        _sides[str(index.root / index.name(i))] = (info.height, info.width)
    return index, packs


def one_core(every: dict, asked: list[Request], seconds: float) -> dict:
    import torch

    torch.set_num_threads(1)
    for request in asked:
        every[RAW](request)
    rates: dict[str, list[float]] = {}
    refused: dict[str, str] = {}
    end, at = time.monotonic() + seconds, 0
    while time.monotonic() < end or at < 6 * CLIPS:
        part = [asked[(at + k) % len(asked)] for k in range(CLIPS)]
        at += CLIPS
        for name, reader in every.items():
            if name in refused:
                continue
            try:
                rates.setdefault(name, []).append(rate(reader, part))
            except Exception as error:
                refused[name] = f"{type(error).__name__}: {error}"[:200]
                rates.pop(name, None)
    # The first round opens files and fills caches.
    core = {n: round(statistics.median(r[1:] or r), 1) for n, r in rates.items()}
    over = {n: round(ratio(rates[RAW], r), 2) for n, r in rates.items() if n != RAW}
    return {"core": core, "raw_over": over, "rounds": len(rates[RAW]) - 1, "refused": refused}


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Median over the rounds, the first one left out."""
    return statistics.median(a / b for a, b in zip(ours[1:], theirs[1:], strict=True))


def rate(reader, part: list[Request]) -> float:
    start = time.process_time()
    for request in part:
        shown = reader(request)
        assert shown.shape[0] == len(request.times)
    return len(part) / max(time.process_time() - start, 1e-9)


def two_processes(folder: Path, names: list[str], plan: tuple, seconds: float) -> dict:
    """Clips per second of wall time that two processes read together."""
    context = multiprocessing.get_context("spawn")
    out = {}
    with context.Pool(2) as pool:
        for name in names:
            if name in (ANEW, FIRST):
                continue
            work = [(folder, name, plan, seconds)] * 2
            out[name] = round(sum(pool.starmap(worker, work, chunksize=1)), 1)
    return out


def worker(folder: Path, name: str, plan: tuple, seconds: float) -> float:
    import torch

    torch.set_num_threads(1)
    index, packs = open_both(folder)
    asked, reader = requests(index, *plan), readers(index, packs, plan[2])[name]
    for request in asked[:4]:
        reader(request)
    start, done = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        reader(asked[done % len(asked)])
        done += 1
    return done / (time.monotonic() - start)


def machine() -> str:
    """The machine in words."""
    path = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", path.read_text() if path.exists() else "")
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def versions() -> dict[str, str]:
    names = "torch av decord torchcodec opencv-python-headless simplejpeg pyarrow".split()
    installed = {found.name: found.version for found in distributions()}
    known = {name: installed.get(name, "not installed") for name in names}
    return {"python": platform.python_version(), **known}


def prepare(folder: Path) -> None:
    """Indexes and packs a folder of films."""
    from pretexto.datasets.index.build import scan
    from pretexto.datasets.packs.write import pack

    scan(folder, folder / "index.parquet", jobs=2)
    pack(folder / "index.parquet", folder / "packs", jobs=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=shared_data() / "video" / "jhmdb8")
    parser.add_argument("--seconds", type=float, default=20, help="per codec and plan")
    parser.add_argument("--films", type=int, default=12, help="films per codec")
    parser.add_argument("--out", type=Path, default=RESULTS / "loading.json")
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"{args.data}: no such folder; --data names a folder of AVI clips")
    with tempfile.TemporaryDirectory() as name:
        make_media(args.data, Path(name), args.films)
        results = {}
        for folder in [args.data, *(Path(name) / codec for codec in CODECS)]:
            work = Path(name) / folder.name
            work.mkdir(exist_ok=True)
            if folder == args.data:
                for path in sorted(folder.rglob("*.avi"))[:: 338 // 60]:
                    (work / path.name).symlink_to(path)
            prepare(work)
            label = "MPEG-4, the clips as they are" if folder == args.data else folder.name
            results[label] = measure(work, args.seconds)
            print(json.dumps({label: results[label]}, indent=1), flush=True)
    report = {
        **about_run(),
        "machine": machine(),
        "load": os.getloadavg()[0],
        "versions": versions(),
        "unit": "clips per second; core: of processor time, two: of wall time, two processes",
        "short_side": f"{SIDE}, where not the media's own size",
        "results": results,
    }
    write_result(args.out, report)


if __name__ == "__main__":
    main()
