"""Frames, their true segments, and those that several encoders' features make, side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.masked import IGNORED
from ..evaluation.segmentation import Segmented
from ..modalities.flow.colour import flow_to_rgb

LINES = 6  # examples drawn of each method
_INCHES = 1.5
_NOTHING = (0.85, 0.85, 0.85)  # where a mask says nothing, or no true segment was matched


def draw_segments(found: Mapping[str, Sequence[Segmented]], out: Path) -> None:
    """Writes a PNG: examples downwards; across, the frame, the truth, and what each encoder found.

    Found segments have the colour of the true ones that they are matched with.

    Args:
        found: by the name of the encoder what was made of test examples, the same of all.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = _lines(found)
    across = 2 + len(found)
    size = (across * _INCHES, len(lines) * _INCHES + 0.5)
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(lines), across, squeeze=False)
    told = ""
    for line, same in zip(axes, lines, strict=True):
        first = next(iter(same.values()))
        pictures = [frame_pixels(first.frame), painted(first.truth)]
        pictures += [painted(same[name].found) if name in same else None for name in found]
        for place, picture in zip(line, pictures, strict=True):
            if picture is not None:
                place.imshow(picture, interpolation="nearest")
            place.axis("off")
        if first.method != told:
            told = first.method
            heads = [told.replace("_", "\n"), "true segments"]
            heads += [name.rpartition(".")[2] for name in found]
            for place, head in zip(line, heads, strict=True):
                place.set_title(head, fontsize=8, parse_math=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def _lines(found: Mapping[str, Sequence[Segmented]]) -> list[dict[str, Segmented]]:
    """Of some examples of each method, evenly spread, what each encoder found."""
    by_example: dict[str, dict[str, dict[str, Segmented]]] = {}
    for encoder, examples in found.items():
        for one in examples:
            by_example.setdefault(one.method, {}).setdefault(one.name, {})[encoder] = one
    out = []
    for same in by_example.values():
        names = sorted(same)
        at = np.unique(np.linspace(0, len(names) - 1, LINES).astype(int))
        out += [same[names[k]] for k in at]
    return out


def frame_pixels(frame: Tensor) -> NDArray[np.floating]:
    """A picture float [3, H, W] in [0, 1], or flow [2, H, W] in colours, as [H, W, 3]."""
    if len(frame) == 2:
        frame = flow_to_rgb(frame[None])[0].float() / 255
    return frame.permute(1, 2, 0).numpy()


def painted(segments: NDArray[np.integer]) -> NDArray[np.floating]:
    """Numbers [H, W] as colours [H, W, 3], the first one dark; 255 is light grey."""
    from matplotlib import colormaps

    colours = np.array([(0.15, 0.17, 0.2), *colormaps["tab20"].colors])  # pyright: ignore
    out = colours[np.where(segments == 0, 0, 1 + (segments.astype(int) - 1) % (len(colours) - 1))]
    out[segments == IGNORED] = _NOTHING
    return out
