"""Pictures of puzzles: one PNG sheet for a person to look at, single images for the report."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..datasets.source import Source
from ..errors import InputError
from ..modalities.tokenizer import Tokenizer
from ..tasks.parts.text_input import TextInput
from ..tasks.task import Batch, Picture, Task
from ..training.data import Examples, Lost, collate, fitted
from ..training.sampler import Request

# Inches at 100 dots each: a sheet is read on a screen.
_DPI, _CELL, _GAP, _MARGIN = 100, 1.7, 0.12, 0.25
_HEADER, _LINE = 0.34, 0.17
# Two columns for whatever is nearly twice as wide as high, or more. Only what is wider than five
# times its height or higher than 1.6 times its width is drawn out of proportion.
_WIDE, _FLATTEST, _TALLEST = 0.55, 0.2, 1.6
_MARKS = {True: ("✓", "#1a7f4b"), False: ("✗", "#b3261e"), None: ("", "#555555")}


def puzzles(
    task: Task,
    source: Source,
    *,
    count: int = 4,
    seed: int = 0,
    predict: bool = False,
    untrained: Callable[[], Task] | None = None,
) -> list[Picture]:
    """The pictures that a task makes of examples spread over a source.

    Args:
        task: on any device; it is left in the mode in which it was.
        count: pictures wanted at most.
        seed: of the task's draws.
        predict: keep what the model says and makes; an untrained one's answers mean nothing.
        untrained: builds the task as it was before training: what it made of the same examples
            then stands beside what it makes now.

    Raises:
        InputError: no example can be read, or the task makes no pictures.
    """
    words, drawn, before = source.tokenizer(), [], None
    # A task draws a few of a batch only.
    for batch in _batches(task, fitted(source, task), max(count, 8), seed):
        found = _drawn(task, batch, words)
        if predict and untrained is not None and any(picture.made for picture in found):
            before = before or untrained()
            found = [_beside(*x) for x in zip(found, _drawn(before, batch, words), strict=False)]
        drawn += found
        if not found or len(drawn) >= count:
            break
    if not drawn:
        raise InputError(f"{type(task).__name__} makes no pictures of its batches")
    return [picture if predict else _asked(picture) for picture in drawn[:count]]


def _drawn(task: Task, batch: Batch, words: str | None) -> list[Picture]:
    for text in task.modules() if words else ():
        if isinstance(text, TextInput):
            text.spell_with(Tokenizer(words or ""))
    device = next((p.device for p in task.parameters()), torch.device("cpu"))
    training = task.training
    task.eval()
    try:
        with torch.no_grad():
            moved = {key: value.to(device) for key, value in batch.items()}
            step = task(task.augment(moved))
            return step.pictures() if step.pictures else []
    finally:
        task.train(training)


def _asked(picture: Picture) -> Picture:
    """A picture without anything that the model said or made."""
    kept = [k for k in range(len(picture.images)) if k not in picture.made]
    images = [picture.images[k] for k in kept]
    return Picture(images, [picture.captions[k] for k in kept], picture.answer, "")


def _beside(now: Picture, before: Picture) -> Picture:
    """A picture in which each image that the model made stands after that of before training."""
    images, captions = [], []
    for k, (image, caption) in enumerate(zip(now.images, now.captions, strict=True)):
        if k in now.made:
            images.append(before.images[k])
            captions.append(f"before training: {caption}")
        images.append(image)
        captions.append(f"after: {caption}" if k in now.made else caption)
    said = f"{now.prediction}; before training {before.prediction}"
    return Picture(images, captions, now.answer, said)


def _batches(task: Task, source: Source, wanted: int, seed: int) -> Iterator[Batch]:
    """Batches of so many examples, or one of fewer, from all over the source.

    Where an example cannot be read, the next ones are tried.
    """
    examples, made, lost = Examples(source, task, seed), [], []
    stride = max(1, len(source) // wanted)
    some = False
    for index in sorted(range(len(source)), key=lambda i: (i % stride, i)):
        item = examples[Request(0, 1, 0, index)]
        (lost if isinstance(item[1], Lost) else made).append(item)
        # Contrastive tasks need others in the batch, but not at any price in time.
        if len(made) == wanted or len(lost) == 4 * wanted:
            yield _collated(made or lost)
            made, lost, some = [], [], True
    if not some:
        yield _collated(made or lost)


def _collated(items: list) -> Batch:
    loaded = collate(items)
    if loaded.mistake is not None:
        raise InputError(loaded.mistake)
    if loaded.batch is None:
        first = loaded.lost[0]
        raise InputError(f"no example could be drawn; the first: {first.name}: {first.reason}")
    return loaded.batch


def correct(picture: Picture) -> bool | None:
    """Whether a prediction like "90° (87 %)" names the answer; None if it is of another form."""
    said, bracket, _ = picture.prediction.partition(" (")
    if not bracket:
        return None
    # Whole words: 0° is not the answer where 90° is.
    return f" {said.strip()} " in f" {picture.answer} "


def to_pixels(image: Tensor) -> np.ndarray:
    """Float [3, H, W] in [0, 1], on any device, to uint8 [H, W, 3]; values outside are clipped."""
    pixels = image.detach().float().clamp(0, 1).mul(255).round().byte()
    return pixels.permute(1, 2, 0).contiguous().cpu().numpy()


def save_image(image: Tensor, path: Path, height: int = 128) -> None:
    """Writes float [3, H, W] as PNG; one much lower than `height` is enlarged without blur."""
    from PIL import Image

    picture = Image.fromarray(to_pixels(image))
    path.parent.mkdir(parents=True, exist_ok=True)
    factor = max(1, height // picture.height)
    size = (picture.width * factor, picture.height * factor)
    picture.resize(size, Image.Resampling.NEAREST).save(path, optimize=True)


def draw_pictures(pictures: Sequence[Picture], path: Path, *, title: str = "") -> Path:
    """Draws one row per picture: its images with captions, the answer and the prediction.

    Args:
        pictures: at least one.
        path: of the PNG to write; its folder is made.
        title: above the sheet.

    Raises:
        InputError: no picture given.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not pictures:
        raise InputError(f"{path}: nothing to draw, this task makes no pictures of its batches")
    columns = max(2, *(sum(map(_columns, p.images)) for p in pictures))
    heights = [_row_height(p) for p in pictures]
    width = 2 * _MARGIN + columns * (_CELL + _GAP) - _GAP
    top = _MARGIN + (0.35 if title else 0.0)
    height = top + sum(heights) + _MARGIN
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    if title:
        figure.text(_MARGIN / width, 1 - _MARGIN / height, title, size=13, weight="bold", va="top")
    for picture, row in zip(pictures, heights, strict=True):
        _draw_row(figure, picture, top, width, height)
        top += row
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")
    return path


def _row_height(picture: Picture) -> float:
    tallest = max((_cell(image)[1] for image in picture.images), default=0.0)
    lines = max((len(_wrapped(c, i)) for c, i in _captioned(picture)), default=0)
    return _header(picture) + tallest + 0.06 + lines * _LINE + 0.2


def _header(picture: Picture) -> float:
    return _HEADER + (_LINE if picture.prediction else 0.0)


def _columns(image: Tensor) -> int:
    return 2 if image.shape[-2] < _WIDE * image.shape[-1] else 1


def _cell(image: Tensor) -> tuple[float, float]:
    """Inches, width and height, at which an image is drawn."""
    width = _columns(image) * (_CELL + _GAP) - _GAP
    return width, width * min(max(image.shape[-2] / image.shape[-1], _FLATTEST), _TALLEST)


def _captioned(picture: Picture) -> list[tuple[str, Tensor]]:
    captions = [*picture.captions, *[""] * len(picture.images)]
    return list(zip(captions, picture.images, strict=False))


def _wrapped(caption: str, image: Tensor) -> list[str]:
    return textwrap.wrap(caption, 24 * _columns(image))


def _draw_row(figure: Any, picture: Picture, top: float, width: float, height: float) -> None:
    y = 1 - (top + 0.06) / height
    figure.text(_MARGIN / width, y, f"Answer: {picture.answer}", size=9, va="top")
    if picture.prediction:
        mark, colour = _MARKS[correct(picture)]
        said = f"Said: {picture.prediction} {mark}"
        figure.text(_MARGIN / width, y - _LINE / height, said, size=9, va="top", color=colour)
    left = _MARGIN
    for caption, image in _captioned(picture):
        wide, tall = _cell(image)
        bottom = height - top - _header(picture) - tall
        axes = figure.add_axes((left / width, bottom / height, wide / width, tall / height))
        axes.imshow(to_pixels(image), interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        figure.text(
            (left + wide / 2) / width,
            (bottom - 0.05) / height,
            "\n".join(_wrapped(caption, image)),
            size=8,
            va="top",
            ha="center",
            color="#555555",
        )
        left += wide + _GAP
