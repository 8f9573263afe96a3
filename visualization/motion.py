"""A picture of where a film moves, and which of its moments a task chooses."""

import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..datasets.suffixes import ARCHIVES
from ..errors import InputError
from ..modalities.decode.analyze import Analysis, analyze
from ..modalities.decode.reader import read
from ..modalities.flow.colour import flow_to_rgb
from ..modalities.media import MediaInfo, Plan
from ..modalities.motion import UNITS
from ..modalities.rng import generator
from ..tasks.task import Task

_FILM, _SHOWN, _DRAWS = 10, 12, 400
_INTERVAL = 0.1  # seconds from a frame to the one to which its flow leads, as tasks have it
_NAME = 70  # letters of a file's name that there is room for
_SIDE = 96  # pixels, of the frames in which flow is computed, and of the key to its colours


def draw_motion(path: str | Path, task: Task, out: Path, *, seed: int = 0) -> None:
    """Writes a PNG: frames above their optical flow, how much moves, and the windows drawn.

    Flow is by DIS, from each frame shown to the one 0.1 s later: hue is direction, as the wheel at
    the right has it, and saturation is length, by one measure for the whole film.

    The steps are what an index keeps, one value per second, and what the task chooses by; the fine
    line is the same motion from frame to frame (see `modalities.motion.Motion`). The bars count
    the times of the frames that the task asked for in 400 draws; the lines are the windows, first
    to last frame, of twelve of them.

    Args:
        path: of the film.
        task: chooses the windows.
        out: PNG file; its folder is made if it is not there.
        seed: of the draws.

    Raises:
        InputError: the file has no picture that moves, or the task looks at no frames.
        MediaError: it cannot be read, or the task cannot use it.
    """
    if Path(path).suffix.lower() in ARCHIVES:
        raise InputError(f"{path}: an archive; unpack it and name one of its videos")
    found = analyze(path)
    if not found.info.has_video:
        raise InputError(f"{path}: motion is measured in videos, and this is none")
    if found.motion is None:
        raise InputError(f"{path}: {found.unmeasured}")
    plans = [task.plan(found.info, generator(seed, 0, k)) for k in range(_DRAWS)]
    if not plans[0].times:
        raise InputError(f"{type(task).__name__} looks at no frames, so it chooses no windows")
    _draw(Path(path), found, [np.array(p.times) for p in plans], type(task).__name__, out)


def _draw(path: Path, found: Analysis, chosen: list[np.ndarray], task: str, out: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    info = found.info
    figure = Figure(figsize=(11, 7), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    ratios = [0.7, 0.7, 1.3, 1.7]
    film, flow, curve, windows = figure.subplots(4, 1, height_ratios=ratios, sharex=True)
    name = path.name if len(path.name) <= _NAME else f"{path.name[: _NAME - 12]}…{path.name[-11:]}"
    figure.suptitle(f"{name}: {info.duration:.1f} s, {info.fps:.3g} frames per second")
    _draw_film(film, flow, *_film(path, info))
    _draw_motion(curve, found)
    counts, edges = np.histogram(np.concatenate(chosen), 60, (0, info.duration))
    windows.stairs(counts / counts.max(), edges, fill=True, color="#e4e4e4")
    for row, moments in enumerate(chosen[:_SHOWN]):
        height = (row + 0.5) / _SHOWN
        windows.plot([moments.min(), moments.max()], [height] * 2, color="#b3541e", lw=1)
        windows.plot(moments, [height] * len(moments), "|", color="#b3541e", ms=7)
    windows.set(yticks=[], ylabel=f"{task}:\nframes drawn", xlabel="seconds")
    windows.set(xlim=(0, info.duration), ylim=(0, 1.05))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def _draw_motion(axes, found: Analysis) -> None:
    """The index's value of each second, and the speed from each frame to the next."""
    assert found.motion is not None
    seconds = np.append(np.arange(len(found.info.motion)), found.info.duration)
    axes.stairs(found.info.motion, seconds, fill=True, color="#c9dcf5", label="by the second")
    times, moved = found.motion.steps()
    later = np.append(np.diff(times) > 0, True)  # the last of frames that start together
    times, moved = times[later], moved[later]
    axes.stairs(np.diff(moved) / np.diff(times), times, color="#1a5fb4", label="by the frame")
    axes.legend(loc="upper right", fontsize=8, frameon=False)
    unit = textwrap.fill(f"motion by {found.motion.kind}: {UNITS[found.motion.kind]}", 18)
    axes.set(ylabel=unit, ylim=(0, None))


def _film(path: Path, info: MediaInfo) -> tuple[np.ndarray, Tensor, Tensor]:
    """Middles of equal parts of the film, frames uint8 [N, 3, H, W] and flow [N, 2, H, W] there."""
    times = (np.arange(_FILM) + 0.5) * info.duration / _FILM
    pairs = tuple((time, time + _INTERVAL) for time in times)
    plan = Plan(times=tuple(times), flow=pairs, short_side=_SIDE, past_end="repeat")
    sample = read(path, plan, info=replace(info))
    assert sample.frames is not None
    assert sample.flow is not None
    return times, sample.frames, sample.flow


def _draw_film(film, below, times: np.ndarray, frames: Tensor, flow: Tensor) -> None:
    """Each frame above its flow, and beside them what the colours mean."""
    longest = float(flow.norm(dim=1).max())
    width = 2 * times[0]
    for axes, pictures in ((film, frames), (below, flow_to_rgb(flow, longest))):
        for time, picture in zip(times, pictures, strict=True):
            extent = (time - 0.47 * width, time + 0.47 * width, 0, 1)
            axes.imshow(picture.permute(1, 2, 0).numpy(), extent=extent, aspect="auto")
        axes.set(ylim=(0, 1), yticks=[])
    film.set(ylabel="film")
    below.set(ylabel=f"flow in\n{_INTERVAL:g} s")
    wheel = below.inset_axes((1.005, 0.1, 0.06, 0.8))
    wheel.imshow(_wheel())
    wheel.set_axis_off()
    wheel.set_title(f"up to {100 * longest / max(flow.shape[2:]):.1f} %\nof the side", fontsize=7)


def _wheel() -> np.ndarray:
    """Which colour flow has that goes from the middle to a place: uint8 [S, S, 3]."""
    line = torch.linspace(-1, 1, _SIDE)
    towards = torch.stack(torch.meshgrid(line, line, indexing="xy"))
    disc = towards.norm(dim=0) <= 1
    return flow_to_rgb((towards * disc)[None], 1.0)[0].permute(1, 2, 0).numpy()
