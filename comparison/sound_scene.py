"""A picture and the sound that goes with it, read from a source as a pair task reads them."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..datasets.source import Source
from ..errors import InputError
from ..evaluation.loading import crop_squares
from ..modalities.draw import generator
from ..modalities.media import MediaError, Plan
from ..modalities.view import as_float
from ..tasks.pairs import Pairing
from ..tasks.task import Task

STRIP = 4  # frames of a film strip


@dataclass(frozen=True, slots=True)
class Scene:
    """A moment of a medium.

    Attributes:
        name: of the medium in its source.
        clip: float [3, T, S, S] in [0, 1], the centre of the frames.
        times: seconds of the frames, [T].
        sound: float [1, N] in [-1, 1].
        start: seconds at which the sound starts.
        rate: Hz of the sound.
    """

    name: str
    clip: Tensor
    times: Tensor
    sound: Tensor
    start: float
    rate: int

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.sound.shape[-1] / self.rate


def shown(frames: int) -> list[int]:
    """Which of so many frames stand in a strip: the middles of up to four equal parts."""
    parts = torch.arange(frames).tensor_split(min(STRIP, frames))
    return [int(part[len(part) // 2]) for part in parts]


def pair_task(task: Task) -> Pairing:
    """The task as one that pairs pictures and sounds.

    Raises:
        InputError: it is none.
    """
    if isinstance(task, Pairing):
        return task
    raise InputError(
        f"{type(task).__name__} pairs no pictures with sounds; name a run of audio_visual, "
        "synchrony or cross_modal"
    )


def read_scenes(task: Task, source: Source, count: int, seed: int = 0) -> list[Scene]:
    """Up to `count` scenes from all over a source; media that cannot serve are passed over.

    Raises:
        InputError: none of the media that were tried can serve, with the first one's reason.
    """
    stride = max(1, len(source) // count)
    found: list[Scene] = []
    first: MediaError | None = None
    lost = 0
    for i in sorted(range(len(source)), key=lambda i: (i % stride, i)):
        try:
            found.append(read_scene(task, source, i, seed))
        except MediaError as error:
            first, lost = first or error, lost + 1
        if len(found) == count or lost > 4 * count:
            break
    if not found:
        raise InputError(str(first) if first else "the source is empty")
    return found


def read_scene(task: Task, source: Source, i: int, seed: int = 0) -> Scene:
    """What the task would look at in example i, without random crop and colour.

    A task that looks at single frames is given four, spread over the sound. Where it reads two
    moments, this is the first.

    Raises:
        MediaError: the medium cannot serve the task.
    """
    pair = pair_task(task)
    plan = _plan(pair, task.plan(source.info(i), generator(seed, 0, i)))
    assert plan.audio is not None
    sample = source.read(i, plan)
    assert sample.frames is not None
    assert sample.audio is not None
    (frames,) = crop_squares(sample.frames, pair.view.size, 1)
    return Scene(
        name=source.name(i),
        clip=as_float(frames.transpose(0, 1)),
        times=torch.tensor(plan.times, dtype=torch.float64),
        sound=sample.audio.mean(0, keepdim=True),
        start=plan.audio.start,
        rate=plan.audio.rate,
    )


def _plan(pair: Pairing, plan: Plan) -> Plan:
    assert plan.audio is not None
    span = replace(plan.audio, duration=pair.sound.seconds)
    times = plan.times[: pair.view.frames]
    if len(times) == 1:
        times = tuple(span.start + span.duration * (k + 0.5) / STRIP for k in range(STRIP))
    return replace(plan, times=times, audio=span, short_side=pair.view.size)
