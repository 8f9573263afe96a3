"""Pictures of flow, and of what a network makes of each pixel."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...modalities.flow.colour import flow_to_rgb
from ..task import Picture
from .pictures import strip

_DOT = 2  # pixels about a chosen place that are marked
_RED = (1.0, 0.1, 0.1)


def flow_picture(flow: Tensor) -> Tensor:
    """Flow [2, H, W] in colours: direction is hue, length saturation; float [3, H, W] in [0, 1]."""
    return flow_to_rgb(flow.detach().float().cpu()[None])[0].float() / 255


def flow_caption(flow: Tensor) -> str:
    """What to write below a picture of flow [2, H, W]."""
    return f"its optical flow: hue is direction, up to {float(flow.norm(dim=0).max()):.1f} pixels"


def busiest(flow: Tensor) -> tuple[int, int]:
    """Row and column about which flow [2, H, W] is longest, not at the border."""
    length = flow.norm(dim=0)[None, None].float()
    near = 2 * (min(flow.shape[1:]) // 16) + 1
    around = F.avg_pool2d(length, near, 1, near // 2)  # beyond the border nothing moves
    return divmod(int(around.flatten().argmax()), flow.shape[2])


def principal_colours(embeddings: Tensor) -> Tensor:
    """Embeddings [D, H, W] by their three principal components, as colours: [3, H, W] in [0, 1]."""
    rows = embeddings.flatten(1).T
    rows = rows - rows.mean(0)
    _, _, axes = torch.linalg.svd(rows, full_matrices=False)
    axes = F.pad(axes[:3], (0, 0, 0, max(3 - len(axes), 0)))
    # The sign of a component is arbitrary: its largest entry is made positive.
    sign = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    colours = rows @ (axes * sign).T
    low, high = colours.quantile(0.02, 0), colours.quantile(0.98, 0)
    scaled = ((colours - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)
    return scaled.T.unflatten(1, embeddings.shape[1:])


def likeness_map(embeddings: Tensor, row: int, column: int) -> Tensor:
    """Cosines of embeddings [D, H, W] with a chosen one, which is marked: [3, H, W], white is 1."""
    unit = F.normalize(embeddings, dim=0)
    cosine = (unit * unit[:, row, column, None, None]).sum(0)
    return marked(((cosine + 1) / 2).expand(3, -1, -1), row, column)


def marked(picture: Tensor, row: int, column: int) -> Tensor:
    """A picture [3, H, W] with a dot."""
    out = picture.clone()
    rows = slice(max(row - _DOT, 0), row + _DOT + 1)
    out[:, rows, max(column - _DOT, 0) : column + _DOT + 1] = out.new_tensor(_RED)[:, None, None]
    return out


def embedding_pictures(
    clips: Tensor,
    flows: Tensor,
    embed: Callable[[Tensor], Tensor],
    agreement: Callable[[int], str],
) -> Callable[[], list[Picture]]:
    """Up to four frames, their flow, their embeddings, and what is like one place that moves.

    Args:
        clips: float [B, 3, T, H, W].
        flows: float [B, 2, H, W], of the frame in the middle.
        embed: [B, D, H, W] of such clips.
        agreement: of frame i, in words.
    """
    seen = ["embeddings: colours alike are alike", "light: like the place with the dot"]

    def picture(i: int, embedded: Tensor) -> Picture:
        row, column = busiest(flows[i])
        frame = strip(clips[i][:, clips.shape[2] // 2, None])
        images = [marked(frame, row, column), flow_picture(flows[i])]
        images += [principal_colours(embedded), likeness_map(embedded, row, column)]
        captions = ["the frame", flow_caption(flows[i]), *seen]
        return Picture(images, captions, "what moves together is alike", agreement(i), made=(2, 3))

    def pictures() -> list[Picture]:
        embedded = embed(clips[:4]).detach().float().cpu()
        return [picture(i, one) for i, one in enumerate(embedded)]

    return pictures
