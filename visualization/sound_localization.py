"""Where in the picture a sound is, and which pictures a sound finds, as a trained pair task has it.

Both ask the task itself how well picture and sound agree, and nothing of how it answers, so they
serve any encoders and any head: products of map and vector, as in Objects that Sound (Arandjelović
& Zisserman 2018, arXiv:1712.06651, section 4), mean something only where both lie in one space and
are compared by a product, which the fusion of two vectors by layers is not.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..datasets.source import Source
from ..errors import InputError
from ..evaluation.clip_dataset import crop_squares
from ..modalities.input_spec import as_float
from ..modalities.media import MediaError, Plan
from ..modalities.rng import generator
from ..modalities.transforms.image import apply_blur
from ..tasks.parts.pairing import PairingTask
from ..tasks.task import Task


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


GRID = 8
_SOFT = 1.0  # deviation of a cover, in cells
_BLUR = 0.2  # deviation of the blur, in sides of the picture
_CHUNK = 16  # clips encoded at once


@torch.no_grad()
def sound_map(task: PairingTask, scene: Scene, others: Tensor, *, grid: int = GRID) -> Tensor:
    """How much of the agreement between a picture and its sound hangs on each place.

    By occlusion (Zeiler & Fergus 2014, arXiv:1311.2901, section 4.2): each place in turn is wiped
    out, blurred beyond recognition through a window with soft edges. Grey covers, which that paper
    took, are things themselves to a network that follows movement. The value is the fall of the
    agreement with the scene's own sound, less that with the others: a place that matters whatever
    is heard counts for nothing. Of a clip, the moments that a strip shows are wiped out one after
    another.

    Args:
        task: in evaluation mode.
        others: float [S, 1, N], sounds of other scenes.
        grid: places per side.

    Returns:
        float [4, grid, grid] (fewer where the clip has fewer frames), positive where the sound is.
    """
    device = next(iter(_weights(task))).device
    side = scene.clip.shape[-1]
    covers = _covers(side, grid).to(device)
    sounds = task.encode_audio(torch.cat([scene.sound[None], others]).to(device))
    rows = []
    for clip, part in _parts(task, scene.clip.to(device)):
        whole = _margin(task, clip[None], sounds)
        blurred = apply_blur(clip[None], clip.new_tensor([_BLUR * side]), side // 2)[0]
        falls = [
            whole - _margin(task, _covered(clip, blurred, some, part), sounds)
            for some in covers.split(_CHUNK)
        ]
        rows.append(torch.cat(falls).view(grid, grid))
    return torch.stack(rows).cpu()


@torch.no_grad()
def ranks(task: PairingTask, scenes: list[Scene]) -> Tensor:
    """How well sound i agrees with the picture of scene j: float [N, N]."""
    device = next(iter(_weights(task))).device
    sounds = torch.cat([task.encode_audio(s.sound[None].to(device)) for s in scenes])
    clips = torch.cat([_encoded(task, s.clip.to(device)) for s in scenes])
    return torch.stack([task.score(clips, s.expand(len(clips), -1)) for s in sounds]).cpu()


def _weights(task: PairingTask):
    assert isinstance(task, torch.nn.Module)
    return task.parameters()


def _encoded(task: PairingTask, clip: Tensor) -> Tensor:
    """Features of a clip; of single frames the one in the middle counts."""
    if task.video.frames == 1:
        clip = clip[:, clip.shape[1] // 2][:, None]
    return task.encode_video(clip[None])


def _parts(task: PairingTask, clip: Tensor):
    """Clips [3, T, S, S] with the frames of each that are to be covered."""
    if task.video.frames == 1:
        yield from ((clip[:, k : k + 1], slice(0, 1)) for k in range(clip.shape[1]))
        return
    around = clip.shape[1] // STRIP // 4
    for k in shown(clip.shape[1]):
        yield clip, slice(max(k - around, 0), k + around + 1)


def _covers(side: int, grid: int) -> Tensor:
    """Windows with soft edges about each of grid × grid places: [grid², side, side]."""
    at = (torch.arange(side) + 0.5) / side * grid
    centres = torch.arange(grid) + 0.5
    line = torch.exp(-((at - centres[:, None]) ** 2) / (2 * _SOFT**2))
    return (line[:, None, :, None] * line[None, :, None, :]).flatten(0, 1)


def _covered(clip: Tensor, blurred: Tensor, covers: Tensor, part: slice) -> Tensor:
    """The clip once under each cover [M, S, S]: [M, 3, T, S, S]."""
    out = clip.expand(len(covers), -1, -1, -1, -1).clone()
    out[:, :, part] += covers[:, None, None] * (blurred - clip)[:, part]
    return out


def _margin(task: PairingTask, clips: Tensor, sounds: Tensor) -> Tensor:
    """By how much clips [B, …] agree better with the first sound than with the others: [B]."""
    vectors = task.encode_video(clips)
    scores = torch.stack([task.score(vectors, s.expand(len(vectors), -1)) for s in sounds])
    return scores[0] - scores[1:].mean(0) if len(scores) > 1 else scores[0]


STRIP = 4  # frames of a film strip


def shown(frames: int) -> list[int]:
    """Which of so many frames stand in a strip: the middles of up to four equal parts."""
    parts = torch.arange(frames).tensor_split(min(STRIP, frames))
    return [int(part[len(part) // 2]) for part in parts]


def pair_task(task: Task) -> PairingTask:
    """The task as one that pairs pictures and sounds.

    Raises:
        InputError: it is none.
    """
    if isinstance(task, PairingTask):
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
    sample = source.read(i, plan)
    assert sample.frames is not None
    assert sample.audio is not None
    (frames,) = crop_squares(sample.frames, pair.video.size, 1)
    return Scene(
        name=source.name(i),
        clip=as_float(frames.transpose(0, 1)),
        times=torch.tensor(plan.times, dtype=torch.float64),
        sound=sample.audio.mean(0, keepdim=True),
        start=plan.audio[0].start,
        rate=plan.audio[0].rate,
    )


def _plan(pair: PairingTask, plan: Plan) -> Plan:
    span = replace(plan.audio[0], duration=pair.audio.seconds)
    times = plan.times[: pair.video.frames]
    if len(times) == 1:
        times = tuple(span.start + span.duration * (k + 0.5) / STRIP for k in range(STRIP))
    return replace(plan, times=times, audio=(span,), short_side=pair.video.size)
