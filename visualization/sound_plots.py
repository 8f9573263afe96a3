"""Sheets of what a pair task made of sound: where it is in the picture, and what it finds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..datasets.cache import write_json
from ..datasets.source import Source
from ..encoders.spectrogram import LogMel
from ..errors import InputError
from ..tasks.parts.pairing import PairingTask
from ..tasks.parts.pictures import spectrogram
from ..tasks.task import Task
from .puzzles import save_image, to_pixels
from .sound_localization import Scene, pair_task, ranks, read_scenes, shown, sound_map

SCENES, HITS = 16, 5
_HOT = ((0.2, 0.0, 0.3), (0.9, 0.2, 0.1), (1.0, 0.95, 0.3))
_GREEN = "#1a7f4b"


def draw_sounds(task: Task, source: Source, out: Path, *, count: int = 4, seed: int = 0) -> None:
    """Writes a PNG: for each of `count` scenes a film strip with the map of its sound laid over it,
    above the sound's spectrogram on the same time axis.

    Raises:
        InputError: the task pairs no pictures with sounds, or no medium can serve it.
    """
    pair, scenes = pair_task(task), read_scenes(task, source, max(SCENES, count), seed)
    task.eval()
    agreement = ranks(pair, scenes)
    figure, panels = _sheet(min(count, len(scenes)), height=2.9)
    figure.suptitle(
        "Where a sound is: warm where wiping out the picture makes its own sound fit worse, "
        f"compared with {len(scenes) - 1} other sounds",
        size=11,
    )
    for k, (top, below) in enumerate(panels):
        heat = sound_map(pair, scenes[k], other_sounds(scenes, k))
        place = 1 + int((agreement[:, k] > agreement[k, k]).sum())
        title = f"{scenes[k].name}: of {len(scenes)} sounds its own fits {_ordinal(place)} best"
        _draw_strip(top, scenes[k], heat)
        top.set_title(title.replace(" 1st best", " best"), size=9, loc="left")
        _draw_spectrogram(below, scenes[k])
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def draw_matches(task: Task, source: Source, out: Path, *, count: int = 6, seed: int = 0) -> None:
    """Writes a PNG: for each of `count` sounds the frames of the clips that it agrees with best.

    Raises:
        InputError: as `draw_sounds`.
    """
    pair, scenes = pair_task(task), read_scenes(task, source, 4 * SCENES, seed)
    task.eval()
    agreement = ranks(pair, scenes)
    order = agreement.argsort(1, descending=True)
    place = (order == torch.arange(len(scenes))[:, None]).float().argmax(1)
    chosen = [round(k * (len(scenes) - 1) / max(count - 1, 1)) for k in range(count)]
    figure, rows = _rows(list(dict.fromkeys(chosen)))
    shares = [f"{float((place < n).float().mean()):.0%}" for n in (1, HITS)]
    chance = [f"{n / len(scenes):.0%}" for n in (1, HITS)]
    figure.suptitle(
        f"From a sound to the clips that fit it best, of {len(scenes)}. The sound's own clip, in "
        f"green, comes first for {shares[0]} of all sounds (chance {chance[0]}), among the first "
        f"{HITS} for {shares[1]} ({chance[1]}).",
        size=10,
        wrap=True,
    )
    for i, axes in rows:
        _draw_spectrogram(axes[0], scenes[i], ticks=False)
        axes[0].set_title("heard", size=8)
        _draw_frame(axes[1], scenes[i], f"its clip, ranked {_ordinal(int(place[i]) + 1)}", False)
        for hit, axis in enumerate(axes[2:]):
            found = int(order[i, hit])
            _draw_frame(axis, scenes[found], _ordinal(hit + 1), found == i)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def overlay(frame: Tensor, heat: Tensor) -> Tensor:
    """A frame [3, H, W] in grey with a map [h, w] in 0 … 1 over it in warm colours."""
    large = F.interpolate(heat[None, None], frame.shape[-2:], mode="bicubic")[0].clamp(0, 1)
    grey = 0.15 + 0.7 * frame.mean(0, keepdim=True).expand(3, -1, -1)
    stops = torch.tensor(_HOT).T[..., None, None]
    at = 2 * large
    low, high = (1 - at).clamp_min(0), (at - 1).clamp_min(0)
    colour = low * stops[:, 0] + (1 - low - high) * stops[:, 1] + high * stops[:, 2]
    weight = 0.75 * large.sqrt()
    return (1 - weight) * grey + weight * colour


def strip(scene: Scene, heat: Tensor | None = None) -> tuple[list[Tensor], list[float]]:
    """Up to four frames [3, S, S] of a scene, with its map if given, and their seconds."""
    chosen = shown(scene.clip.shape[1])
    frames = [scene.clip[:, k] for k in chosen]
    if heat is not None:
        share = heat.clamp_min(0) / heat.amax().clamp_min(1e-9)
        frames = [overlay(frame, part) for frame, part in zip(frames, share, strict=True)]
    return frames, [float(scene.times[k]) for k in chosen]


def other_sounds(scenes: Sequence[Scene], k: int) -> Tensor:
    """The sounds [S, 1, N] of all scenes but one. Raises InputError where there is only one."""
    rest = [scene.sound for i, scene in enumerate(scenes) if i != k]
    if not rest:
        raise InputError("a map needs the sounds of other files to compare; give a folder of them")
    return torch.stack(rest)


def _ordinal(n: int) -> str:
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _sheet(count: int, height: float) -> tuple[Any, list[tuple[Any, Any]]]:
    """Panels of a strip above a spectrogram, two beside each other."""
    columns = min(count, 2)
    rows = -(-count // columns)
    figure = _figure(6.2 * columns, 0.5 + height * rows)
    grid = figure.add_gridspec(rows, columns)
    panels = []
    for k in range(count):
        inner = grid[k // columns, k % columns].subgridspec(2, 1, height_ratios=[1.5, 1], hspace=0)
        top = figure.add_subplot(inner[0])
        panels.append((top, figure.add_subplot(inner[1], sharex=top)))
    return figure, panels


def _rows(chosen: list[int]) -> tuple[Any, list[tuple[int, Any]]]:
    figure = _figure(1.35 * (2 + HITS), 0.7 + 1.55 * len(chosen))
    axes = figure.subplots(len(chosen), 2 + HITS, squeeze=False)
    return figure, list(zip(chosen, axes, strict=True))


def _draw_strip(axes: Any, scene: Scene, heat: Tensor) -> None:
    frames, times = strip(scene, heat)
    slot = scene.seconds / len(frames)
    for k, (frame, time) in enumerate(zip(frames, times, strict=True)):
        left = scene.start + k * slot
        extent = (left + 0.02 * slot, left + 0.98 * slot, 0, 1)
        axes.imshow(to_pixels(frame), extent=extent, aspect="auto", interpolation="bilinear")
        axes.annotate(f"{time:.2f} s", (left + slot / 2, 0), xytext=(0, -3), size=7,
                      textcoords="offset points", ha="center", va="top")  # fmt: skip
    axes.set(ylim=(0, 1), yticks=[])
    axes.tick_params(labelbottom=False, bottom=False)
    for side in axes.spines.values():
        side.set_visible(False)


def _draw_spectrogram(axes: Any, scene: Scene, *, ticks: bool = True) -> None:
    mel = LogMel(rate=scene.rate)(scene.sound[None])[0, 0].numpy()
    end = scene.start + scene.seconds
    low = float(np.quantile(mel, 0.05))
    axes.imshow(mel, origin="lower", aspect="auto", cmap="magma", vmin=low,
                extent=(scene.start, end, 0, len(mel)))  # fmt: skip
    axes.set(xlim=(scene.start, end), yticks=[])
    if not ticks:
        axes.set(xticks=[])
        return
    marks = [200, 1000, 4000]
    top, bottom = (2595 * np.log10(1 + f / 700) for f in (scene.rate / 2, 50))
    places = [(2595 * np.log10(1 + f / 700) - bottom) / (top - bottom) * len(mel) for f in marks]
    axes.set_yticks(places, [f"{f / 1000:g} kHz" for f in marks], size=7)
    axes.set_xlabel("seconds", size=8)
    axes.tick_params(axis="x", labelsize=7)


def _draw_frame(axes: Any, scene: Scene, title: str, own: bool) -> None:
    axes.imshow(to_pixels(scene.clip[:, scene.clip.shape[1] // 2]), interpolation="bilinear")
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, size=8, color=_GREEN if own else "black")
    axes.set_xlabel(scene.name[-22:], size=6)
    for side in axes.spines.values():
        side.set(visible=own, color=_GREEN, linewidth=3)


MAPS, QUERIES = 4, 4


def save_sounds(task: Task, source: Source, folder: Path) -> None:
    """Writes FOLDER/sounds.json and its images, for a task that pairs pictures with sounds.

    Where no medium can serve, or only one, it says why.
    """
    if not isinstance(task, PairingTask):
        return
    try:
        scenes = read_scenes(task, source, SCENES)
        task.eval()
        agreement = ranks(task, scenes)
        maps = [_map(task, scenes, k, agreement, folder) for k in range(min(MAPS, len(scenes)))]
    except InputError as error:
        found = {"note": str(error), "of": 0, "maps": [], "matches": []}
    else:
        order = agreement.argsort(1, descending=True)
        matches = [_matches(scenes, i, order, folder) for i in range(min(QUERIES, len(scenes)))]
        found = {"note": "", "of": len(scenes), "maps": maps, "matches": matches}
    write_json(folder / "sounds.json", found)


def _map(
    task: PairingTask, scenes: list[Scene], k: int, agreement: torch.Tensor, folder: Path
) -> dict[str, Any]:
    heat = sound_map(task, scenes[k], other_sounds(scenes, k))
    frames, times = strip(scenes[k], heat)
    sound = spectrogram(scenes[k].sound, scenes[k].rate)
    return {
        "name": scenes[k].name,
        "rank": 1 + int((agreement[:, k] > agreement[k, k]).sum()),
        "images": [_saved(x, folder / f"sound-{k}-{j}.png") for j, x in enumerate(frames)]
        + [_saved(sound, folder / f"sound-{k}-heard.png")],
        "captions": [f"{t:.2f} s" for t in times] + ["heard (pitch upwards)"],
    }


def _matches(scenes: list[Scene], i: int, order: torch.Tensor, folder: Path) -> dict[str, Any]:
    hits = order[i, :HITS].tolist()
    sound = spectrogram(scenes[i].sound, scenes[i].rate)
    cells = [{**_saved(sound, folder / f"query-{i}.png"), "caption": "heard", "own": False}]
    for place, hit in enumerate(hits):
        middle = scenes[hit].clip[:, scenes[hit].clip.shape[1] // 2]
        image = _saved(middle, folder / f"clip-{hit}.png")
        cells.append({**image, "caption": scenes[hit].name, "own": hit == i, "rank": place + 1})
    return {"name": scenes[i].name, "cells": cells}


def _saved(image: torch.Tensor, path: Path) -> dict[str, Any]:
    save_image(image, path)
    return {"file": path.name, "aspect": round(image.shape[-1] / image.shape[-2], 3)}
