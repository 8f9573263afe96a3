"""What a report shows besides numbers: puzzles as pictures, and nearest neighbours."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..datasets.cache import write_json
from ..datasets.source import Source, Subset
from ..encoders.encoder import Encoder
from ..errors import InputError
from ..evaluation.features import Features, extract
from ..evaluation.knn import neighbours
from ..evaluation.splits import Fold, Split
from ..modalities.input_spec import InputSpec
from ..modalities.media import MediaError, Plan
from ..modalities.tokenizer import Tokenizer
from ..tasks.parts.pictures import spectrogram
from ..tasks.parts.text_pictures import text_picture
from ..tasks.task import Task
from .attention import draw_reach, in_words, reach
from .puzzles import correct, puzzles, save_image
from .sound_plots import save_sounds

QUERIES, HITS = 6, 5


def save_evidence(
    folder: Path,
    encoder: Encoder,
    task: Task | None,
    source: Source,
    split: Split,
    view: InputSpec,
    evaluation: Mapping[str, Any],
    untrained: Callable[[], Task] | None = None,
) -> None:
    """Writes RUN/evidence: pictures of test examples with predictions, neighbours, and what a
    task on picture and sound made of both.

    Args:
        task: the trained one; None where none was trained.
        evaluation: how features are extracted, with the cache they lie in.
        untrained: builds the task as it was before training.
    """
    if task is not None:
        test = Subset(source, split.test)
        _save_puzzles(task, test, folder / "evidence", untrained)
        save_sounds(task, test, folder / "evidence")
        _save_reach(task, test, folder / "evidence")
    arguments = {k: evaluation[k] for k in ("clips", "crops", "workers", "levels", "cache")}
    features = extract(encoder, Fold(source, split), view, **arguments)
    write_json(folder / "evidence" / "neighbours.json", nearest(features, split))


def _save_puzzles(
    task: Task, source: Source, folder: Path, untrained: Callable[[], Task] | None
) -> None:
    try:
        pictures = puzzles(task, source, predict=True, untrained=untrained)
    except InputError as error:
        write_json(folder / "puzzles.json", {"note": str(error), "examples": []})
        return
    examples = []
    for k, picture in enumerate(pictures):
        images = []
        for j, image in enumerate(picture.images):
            name = f"puzzle-{k}-{j}.png"
            save_image(image, folder / name)
            aspect = round(image.shape[-1] / image.shape[-2], 3)
            images.append({"file": name, "aspect": aspect})
        examples.append(
            {
                "images": images,
                "captions": picture.captions,
                "answer": _named(picture.answer, source),
                "prediction": _named(picture.prediction, source),
                "correct": correct(picture),
            }
        )
    write_json(folder / "puzzles.json", {"note": "", "examples": examples})


def _save_reach(task: Task, source: Source, folder: Path) -> None:
    """How far a task on text looks, attention.png and .json; nothing of others."""
    if "text" not in {spec.modality for spec in task.specs.values()}:
        return
    try:
        found = reach(task, source)
    except InputError as error:
        write_json(folder / "attention.json", {"note": str(error), "words": ""})
        return
    draw_reach(found, folder / "attention.png")
    write_json(folder / "attention.json", {"note": "", "words": in_words(found)})


def _named(text: str, source: Source) -> str:
    """ "class 3 (80 %)", all that a task can know of a label, with the class's name."""
    number = re.match(r"class (\d+)\b", text)
    if number is None or int(number[1]) >= len(source.classes):
        return text
    return source.classes[int(number[1])] + text[number.end() :]


def nearest(features: Features, split: Split) -> list[dict[str, Any]]:
    """For test examples of different classes the nearest training examples by cosine.

    Returns:
        {"query": number in the source, "hits": [numbers, nearest first]} for up to six queries.
    """
    x = list(features.values.values())[-1]
    part = split.positions(features.indices.tolist())
    queries = _queries(features.labels, part.test)
    bank = torch.tensor(part.train + part.val)
    if not queries or not len(bank):
        return []
    _, rows = neighbours(x[torch.tensor(queries)], x[bank], min(HITS, len(bank)))
    number = features.indices
    return [
        {"query": int(number[q]), "hits": number[bank[hits]].tolist()}
        for q, hits in zip(queries, rows, strict=True)
    ]


def _queries(labels: Tensor, test: Iterable[int]) -> list[int]:
    """The first test example of each class, spread over the classes where there are many."""
    first: dict[int, int] = {}
    for position in test:
        first.setdefault(int(labels[position]), position)
    known = [first[label] for label in sorted(first)]
    stride = max(1, len(known) // QUERIES)
    return known[::stride][:QUERIES]


def save_thumbnails(source: Source, view: InputSpec, wanted: Iterable[int], folder: Path) -> None:
    """Writes one JPEG per example and thumbnails.json with names, labels and what failed."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = {}
    for i in sorted(set(wanted)):
        label = source.label(i)
        listed[str(i)] = {
            "name": source.name(i),
            "label": source.classes[label] if 0 <= label < len(source.classes) else str(label),
            "error": "",
        }
        try:
            if not (folder / f"{i}.jpg").exists():
                _thumbnail(source, view, i).save(folder / f"{i}.jpg", quality=82)
        except MediaError as error:
            listed[str(i)]["error"] = f"{error.stage}: {error.reason}"
    write_json(folder / "thumbnails.json", listed)


def _thumbnail(source: Source, view: InputSpec, i: int, side: int = 144):
    """The middle of an example as a PIL image: a frame, or a spectrogram for sound."""
    from PIL import Image

    from .puzzles import to_pixels

    start = view.starts(source.info(i), 1)[0]
    if view.modality == "audio":
        sample = source.read(i, view.plan(start))
        assert sample.audio is not None
        sound = spectrogram(sample.audio.mean(0, keepdim=True), sample.audio_rate)
        return Image.fromarray(to_pixels(sound))
    if view.modality == "text":
        return Image.fromarray(to_pixels(_text(source, i, replace(view, length=200).plan(start))))
    middle = InputSpec("image", size=side, frames=1)
    sample = source.read(i, middle.plan(start + view.span / 2, short_side=side))
    assert sample.frames is not None
    picture = Image.fromarray(sample.frames[0].permute(1, 2, 0).contiguous().numpy())
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def _text(source: Source, i: int, plan: Plan) -> Tensor:
    """The beginning of a text, as a square picture of it."""
    tokens, known = source.read(i, plan).tokens, source.tokenizer()
    assert tokens is not None
    assert known is not None
    spelling = Tokenizer(known).spelling
    words = [spelling(t) for t in tokens.tolist() if t >= 0]
    return text_picture(words, [0] * len(words), columns=20, lines=10)


def read_evidence(folder: Path, name: str) -> Any:
    """RUN/evidence/`name`.json, or None where the run left none."""
    path = folder / "evidence" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None
