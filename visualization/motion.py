"""A picture of where a film moves, and which of its moments a task chooses."""

import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..datasets.suffixes import ARCHIVES
from ..errors import InputError
from ..modalities.decode.analyze import Analysis, analyze
from ..modalities.decode.reader import read
from ..modalities.media import MediaInfo, Plan
from ..modalities.motion import UNITS
from ..modalities.rng import generator
from ..tasks.task import Task

_FILM, _SHOWN, _DRAWS = 10, 12, 400


def draw_motion(path: str | Path, task: Task, out: Path, *, seed: int = 0) -> None:
    """Writes a PNG: a film strip, where the film moves, and the windows that were drawn.

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
    figure = Figure(figsize=(11, 6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    film, curve, windows = figure.subplots(3, 1, height_ratios=[0.7, 1.3, 1.7], sharex=True)
    figure.suptitle(f"{path.name}: {info.duration:.1f} s, {info.fps:.3g} frames per second")
    times, shown = _strip(path, info)
    width = info.duration / _FILM
    for time, frame in zip(times, shown, strict=True):
        left = time - width / 2
        film.imshow(frame, extent=(left + 0.03 * width, left + 0.97 * width, 0, 1), aspect="auto")
    film.set(ylim=(0, 1), yticks=[], ylabel="film")
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


def _strip(path: Path, info: MediaInfo) -> tuple[np.ndarray, np.ndarray]:
    """Middles of equal parts of the film, and the frames there: uint8 [N, H, W, 3]."""
    times = (np.arange(_FILM) + 0.5) * info.duration / _FILM
    plan = Plan(times=tuple(times), short_side=96, past_end="repeat")
    frames = read(path, plan, info=replace(info)).frames
    assert frames is not None
    return times, frames.permute(0, 2, 3, 1).numpy()
