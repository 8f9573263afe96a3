"""Grey pictures and films in the colours that a trained run gives them."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..datasets.source import Source
from ..modalities.flow.estimate import optical_flow
from ..modalities.flow.warping import consistent, warp
from ..modalities.image import resize
from ..modalities.input_spec import as_float
from ..modalities.lab import lab_to_rgb, lightness, rgb_to_lab
from ..modalities.media import AudioSpan, MediaInfo, Plan
from ..tasks.parts.painting import ColorizationTask
from .fidelity import fidelity, means
from .film import FilmWriter
from .lpips import Lpips
from .puzzles import save_image

_TOGETHER = 8  # frames of a film that are in memory at once
_COLOURFUL = 1.0  # mean distance from grey, in units of Lab, from which a picture has colours
_SAME_LIGHT = 0.05  # of lightness 0 … 1: what differs by more is not the same thing a frame later


def colorize(
    task: ColorizationTask,
    source: Source,
    i: int,
    out: Path,
    *,
    steady: float = 0.8,
    lpips: Lpips | None = None,
) -> dict[str, Any]:
    """Colours one picture or film; its lightness stays as it is.

    The network sees the whole picture at the size that it learned at, whatever its shape, and the
    colours are enlarged to the picture's own size (Zhang et al. 2016). Those of a film are steadied
    over time, see `Steadied`; it is written at its mean frame rate, its sound in one channel.

    Args:
        task: trained.
        source: of the media.
        i: number of the medium.
        out: where it is written, without a suffix.
        steady: share of the frame before in a film's colours, 0 … 1.
        lpips: a measure more.

    Returns:
        The file's name and, where the medium has colours, how near they are; for a film also
        `flicker`, beside that of every frame alone and of the medium's own colours: the mean change
        of colour, in units of Lab, from one frame to the next of what moves.
    """
    info = source.info(i)
    if info.kind == "image":
        frames = source.read(i, Plan(times=(0.0,))).frames
        assert frames is not None
        path, real = out.with_name(f"{out.name}.png"), as_float(frames)
        made = in_colours(real, task.colours(_seen(task, frames)))
        save_image(made[0], path, height=1)
        near = fidelity(made[0], real[0], lpips=lpips) if _colourful(real) else {}
        return {"file": path.name, **near}
    path = out.with_name(f"{out.name}.mp4")
    size = info.height, info.width
    with FilmWriter(path, size, info.fps, info.audio_rate) as film:
        near = partial(fidelity, lpips=lpips)
        return {"file": path.name, **_colorize_film(task, source, i, info, film, steady, near)}


def in_colours(pictures: Tensor, ab: Tensor) -> Tensor:
    """The lightness of float [B, 3, H, W] in colours a, b [B, 2, h, w]: RGB [B, 3, H, W]."""
    light = rgb_to_lab(pictures)[:, :1]
    full = F.interpolate(ab, pictures.shape[-2:], mode="bicubic", align_corners=False)
    return lab_to_rgb(torch.cat([light, full], 1))


class Steadied:
    """Colours of a film's frames, one after another, steadied over time.

    Where two successive frames show the same thing, which optical flow and lightness tell, the
    later one's colours are mixed with those that the earlier one got, moved along. Flicker is the
    mean change of colour there, in units of Lab (after Lai et al. 2018, arXiv:1808.00449, ECCV).

    Args:
        share: of the frame before in the colours, 0 … 1.

    Attributes:
        flicker: of each step from frame to frame: of every frame alone, steadied, and true.
    """

    def __init__(self, share: float):
        self.share, self.flicker = share, list[tuple[float, ...]]()
        self._frame: Tensor | None = None
        self._colours: tuple[Tensor, ...] = ()

    def add(self, frame: Tensor, told: Tensor, true: Tensor) -> Tensor:
        """The next frame's colours.

        Args:
            frame: uint8 [1, 3, H, W].
            told, true: a, b as the network tells them and as they are, [1, 2, H, W].
        """
        now = told
        if self._frame is not None:
            back, same = _moved(self._frame, frame)
            before = [warp(ab, back) for ab in self._colours]
            now = torch.where(same[:, None], torch.lerp(told, before[1], self.share), told)
            pairs = zip((told, now, true), before, strict=True)
            self.flicker.append(tuple(_mean_change(a, b, same) for a, b in pairs))
        self._frame, self._colours = frame, (told, now, true)
        return now


def _moved(earlier: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
    """Flow from the later frame to the earlier one, and where both show the same thing."""
    back, forth = optical_flow(later, earlier), optical_flow(earlier, later)
    light = lightness(as_float(later))[:, 0]
    before = warp(lightness(as_float(earlier))[:, :1], back)[:, 0]
    return back, consistent(back, forth) & ((light - before).abs() < _SAME_LIGHT)


def _mean_change(now: Tensor, before: Tensor, where: Tensor) -> float:
    return float((now - before).norm(dim=1)[where].mean()) if bool(where.any()) else 0.0


def _colorize_film(
    task: ColorizationTask,
    source: Source,
    i: int,
    info: MediaInfo,
    film: FilmWriter,
    share: float,
    near: Callable[[Tensor, Tensor], dict[str, float]],
) -> dict[str, Any]:
    rows, steadied = [], Steadied(share)
    for frames, seen in _chunks(task, source, i, info, film):
        small, real = resize(frames, (task.video.size, task.video.size)), as_float(frames)
        told, true = task.colours(seen), rgb_to_lab(as_float(small))[:, 1:]
        ab = [steadied.add(*(x[k : k + 1] for x in (small, told, true))) for k in range(len(told))]
        whole = in_colours(real, torch.cat(ab))
        film.frames(whole.mul(255).round().byte())
        if _colourful(real):
            rows += [near(x, y) for x, y in zip(whole, real, strict=True)]
    changes = torch.tensor(steadied.flicker or [(0.0, 0.0, 0.0)]).mean(0).tolist()
    flicker = dict(zip(("flicker_alone", "flicker", "flicker_true"), changes, strict=True))
    return {**means(rows), **flicker} if rows else {k: flicker[k] for k in list(flicker)[:2]}


def _chunks(
    task: ColorizationTask, source: Source, i: int, info: MediaInfo, film: FilmWriter
) -> Iterator[tuple[Tensor, Tensor]]:
    """A film's frames uint8 [T, 3, H, W], a few at a time, and what the network sees of each.

    Its sound goes to the new film as it comes.
    """
    count = max(round(info.duration * info.fps), 1)
    interval, middle = task.video.spec.frame_interval, task.video.frames // 2
    for first in range(0, count, _TOGETHER):
        times = [k / info.fps for k in range(first, min(first + _TOGETHER, count))]
        around = [t + interval * (k - middle) for t in times for k in range(task.video.frames)]
        heard = ()
        if info.has_audio:
            heard = (AudioSpan(times[0], len(times) / info.fps, info.audio_rate),)
        plan = Plan(times=(*times, *around), audio=heard, past_end="repeat")
        sample = source.read(i, plan)
        assert sample.frames is not None
        film.sound(sample.audio)
        yield sample.frames[: len(times)], _seen(task, sample.frames[len(times) :])


def _seen(task: ColorizationTask, frames: Tensor) -> Tensor:
    """Lightness [N, 3, T, S, S] of frames uint8 [N · T, 3, H, W], or of N pictures."""
    side, length = task.video.size, task.video.frames
    small = as_float(resize(frames, (side, side)))
    if len(small) % length:
        small = small.repeat_interleave(length, 0)
    return lightness(small.unflatten(0, (-1, length)).transpose(1, 2))


def _colourful(pictures: Tensor) -> bool:
    """Whether float [T, 3, H, W] show any colours."""
    return float(rgb_to_lab(pictures)[:, 1:].norm(dim=1).mean()) > _COLOURFUL
