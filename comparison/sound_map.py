"""Where in the picture a sound is, and which pictures a sound finds, as a trained pair task has it.

Both ask the task itself how well picture and sound agree, and nothing of how it answers, so they
serve any encoders and any head: products of map and vector, as in Objects that Sound (Arandjelović
& Zisserman 2018, arXiv:1712.06651, section 4), mean something only where both lie in one space and
are compared by a product, which the fusion of two vectors by layers is not.
"""

import torch
from torch import Tensor

from ..modalities.augment import apply_blur
from ..tasks.pairs import Pairing
from .sound_scene import STRIP, Scene, shown

GRID = 8
_SOFT = 1.0  # deviation of a cover, in cells
_BLUR = 0.2  # deviation of the blur, in sides of the picture
_CHUNK = 16  # clips encoded at once


@torch.no_grad()
def sound_map(task: Pairing, scene: Scene, others: Tensor, *, grid: int = GRID) -> Tensor:
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
    heard = task.hear(torch.cat([scene.sound[None], others]).to(device))
    rows = []
    for clip, part in _parts(task, scene.clip.to(device)):
        whole = _margin(task, clip[None], heard)
        blurred = apply_blur(clip[None], clip.new_tensor([_BLUR * side]), side // 2)[0]
        falls = [
            whole - _margin(task, _covered(clip, blurred, some, part), heard)
            for some in covers.split(_CHUNK)
        ]
        rows.append(torch.cat(falls).view(grid, grid))
    return torch.stack(rows).cpu()


@torch.no_grad()
def ranks(task: Pairing, scenes: list[Scene]) -> Tensor:
    """How well sound i agrees with the picture of scene j: float [N, N]."""
    device = next(iter(_weights(task))).device
    heard = torch.cat([task.hear(s.sound[None].to(device)) for s in scenes])
    seen = torch.cat([_seen(task, s.clip.to(device)) for s in scenes])
    return torch.stack([task.agree(seen, h.expand(len(seen), -1)) for h in heard]).cpu()


def _weights(task: Pairing):
    assert isinstance(task, torch.nn.Module)
    return task.parameters()


def _seen(task: Pairing, clip: Tensor) -> Tensor:
    """Features of a clip; of single frames the one in the middle counts."""
    if task.view.frames == 1:
        clip = clip[:, clip.shape[1] // 2][:, None]
    return task.see(clip[None])


def _parts(task: Pairing, clip: Tensor):
    """Clips [3, T, S, S] with the frames of each that are to be covered."""
    if task.view.frames == 1:
        yield from ((clip[:, k : k + 1], slice(0, 1)) for k in range(clip.shape[1]))
        return
    reach = clip.shape[1] // STRIP // 4
    for k in shown(clip.shape[1]):
        yield clip, slice(max(k - reach, 0), k + reach + 1)


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


def _margin(task: Pairing, clips: Tensor, heard: Tensor) -> Tensor:
    """By how much clips [B, …] agree better with the first sound than with the others: [B]."""
    seen = task.see(clips)
    scores = torch.stack([task.agree(seen, h.expand(len(seen), -1)) for h in heard])
    return scores[0] - scores[1:].mean(0) if len(scores) > 1 else scores[0]
