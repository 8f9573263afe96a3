"""What a report shows of a task on picture and sound: maps of sounds, and the clips they find."""

from pathlib import Path
from typing import Any

import torch

from ..datasets.source import Source
from ..errors import InputError
from ..tasks.pairs import Pairing
from ..tasks.show import spectrogram
from ..tasks.task import Task
from .pictures import save_image
from .sound_map import ranks, sound_map
from .sound_picture import HITS, SCENES, other_sounds, strip
from .sound_scene import Scene, read_scenes
from .store import write_json

MAPS, QUERIES = 4, 4


def save_sounds(task: Task, source: Source, folder: Path) -> None:
    """Writes FOLDER/sounds.json and its images, for a task that pairs pictures with sounds.

    Where no medium can serve, or only one, it says why.
    """
    if not isinstance(task, Pairing):
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
    task: Pairing, scenes: list[Scene], k: int, agreement: torch.Tensor, folder: Path
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
