"""How fast is this clip played? Tell the pace from the movement alone."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from ..errors import InputError
from ..modalities.media import MediaInfo, Plan, Sample
from ..modalities.rng import integer
from .parts.check import check_least
from .parts.classify import classify
from .parts.clip_input import ClipInput, need_video
from .parts.guards import fine_detail, frames_as_moments, static
from .parts.heads import classifier
from .parts.pictures import frames_row
from .parts.sampling import segment_start
from .parts.transforms import Colour, Crop, stacked
from .task import Batch, Guard, Step, Task


@dataclass(frozen=True)
class PaceGuards:
    """Counter-measures against telling the pace without seeing the movement.

    Args:
        recolour: change the colour of every frame on its own, as the paper does; otherwise that
            of the clip, and flicker or drift of light tells how far apart its frames are.
        whole_frames: lengthen the base interval to a whole number of the medium's frames;
            otherwise slow clips repeat frames, or skip some of them.
        static: leave clips without visible motion out of the loss.
        min_change: least share of the judged frames' detail that light, focus and noise must leave
            unexplained.
    """

    recolour: bool = True
    whole_frames: bool = True
    static: bool = True
    min_change: float = 0.1

    def __post_init__(self):
        check_least(0, min_change=self.min_change)


class Pace(Task):
    """Pace prediction (Wang et al. 2020, arXiv:2008.05861, ECCV, section 3.2), without contrast.

    A clip takes its frames at one, two, three or four times the base interval, and the task is to
    say which. With `pairs` every medium gives one clip of each pace from the same start, so that
    nothing but the pace tells them apart; with paces (1, 2) that is SpeedNet's question, and its
    batches (Benaim et al. 2020, arXiv:2004.06130, section 3).

    All clips start as if their pace were the fastest one. Whether anything moves is judged on
    frames that do not depend on the pace: the first, and that at which the fastest clip ends.
    Media too short for the fastest pace are refused, since holding their last frame would give it
    away. An image encoder's vectors of all frames are shown to the head side by side.

    Args:
        video: what is pretrained, on clips of at least 2 frames; its frame_interval is that of
            pace 1.
        paces: multiples of the interval, rising whole numbers.
        pairs: a clip of every pace from each medium, in place of one of a random pace.
        by_motion: choose the segment by the motion in it, where that is known; else uniformly.
        crop: one for all frames and clips of a medium.
        colour: the change of each frame.
        hidden: width of a hidden layer in the head, 0 for the paper's linear one.
        guards: against shortcuts.
    """

    def __init__(
        self,
        video: ClipInput,
        *,
        paces: tuple[int, ...] = (1, 2, 3, 4),
        pairs: bool = False,
        by_motion: bool = True,
        crop: Crop = Crop(),
        colour: Colour = Colour(0.2, 0.2, 0.2, 0.05),
        hidden: int = 0,
        guards: PaceGuards = PaceGuards(),
    ):
        super().__init__(video=video)
        video.need_frames(2)
        paces = tuple(paces)
        if len(paces) < 2 or paces[0] < 1 or sorted(set(paces)) != list(paces):
            raise InputError(f"paces are two or more rising whole numbers from 1, not {paces}")
        self.video, self.paces, self.pairs, self.by_motion = video, paces, pairs, by_motion
        self.crop, self.colour, self.pace_guards = crop, colour, guards
        self.head = classifier(video.frames_dim, len(paces), hidden)
        self.guards = (
            Guard("recolour", "light that drifts or flickers with time", guards.recolour, flicker),
            Guard("whole_frames", "frames shown twice or unevenly", guards.whole_frames, repeats),
            Guard("static", "noise and compression, where nothing moves", guards.static, noise),
        )

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        need_video(info, "the pace of frames")
        interval, frames = self._interval(info), self.video.frames
        reach = interval * self.paces[-1] * (frames - 1)
        chosen = list(range(len(self.paces))) if self.pairs else [integer(rng, len(self.paces))]
        begin = segment_start(info, reach, rng, by_motion=self.by_motion)
        clips = [begin + interval * self.paces[p] * k for p in chosen for k in range(frames)]
        # The last frame is no clip's, but judged beside the first.
        return replace(self.video.plan(), times=(*clips, begin + reach), note=chosen)

    def _interval(self, info: MediaInfo) -> float:
        """Seconds between the frames at pace 1 in this medium."""
        interval = self.video.spec.frame_interval
        if not self.pace_guards.whole_frames or not info.fps:
            return interval
        return max(math.ceil(interval * info.fps - 1e-6), 1) / info.fps

    def example(self, sample: Sample, rng: Generator) -> Batch:
        assert sample.times is not None
        chosen = sample.note
        frames = self.video.squares(sample, rng)
        ends = frames[[0, -1]].unsqueeze(2)
        still = self.pace_guards.static and static(ends, self.pace_guards.min_change)
        clips = self.video.split(frames[:-1])
        return {
            "clips": clips,
            "times": sample.times[:-1].float().view(len(chosen), -1),
            "target": torch.tensor(chosen),
            "weight": torch.full((len(chosen),), float(not still)),
            "colour": self._colours(len(chosen), rng),
            **self.crop.draw(rng),
        }

    def _colours(self, clips: int, rng: Generator) -> Tensor:
        """Colour maps [clips, T, 2, 3, 3]."""
        shape = (clips, self.video.frames)
        count = clips * self.video.frames if self.pace_guards.recolour else 1
        maps = stacked([self.colour.draw(rng) for _ in range(count)])["colour"]
        return maps.expand(math.prod(shape), -1, -1, -1).unflatten(0, shape).clone()

    def augment(self, batch: Batch) -> Batch:
        """Joins the clips of all media: inputs [B · K, 3, T, H, W]."""
        clips = self.crop.apply(batch["clips"], batch, self.video.size).flatten(0, 1)
        frames = clips.transpose(1, 2).flatten(0, 1).unsqueeze(2)
        frames = self.colour.apply(frames, {"colour": batch["colour"].flatten(0, 2)})
        kept = {name: batch[name].flatten(0, 1) for name in ("target", "weight", "times")}
        return {"inputs": self.video.split(frames.squeeze(2)), **kept}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        logits = self.head(self.video.encode_frames(batch["inputs"]))
        names = tuple(f"pace {p}×" for p in self.paces)
        return classify(logits, batch, names, frames_row(batch))


def flicker(batch: Batch) -> Tensor:
    """Log of how much each channel's mean changes from frame to frame, and from end to end."""
    mean = batch["inputs"].mean((3, 4))
    near = mean.diff(dim=2).abs().mean(2)
    far = (mean[..., -1] - mean[..., 0]).abs()
    return torch.cat([near, far], 1).clamp_min(1e-4).log()


def repeats(batch: Batch) -> Tensor:
    """Share of frames that repeat the one before, and how uneven the changes are: [B, 2]."""
    change = batch["inputs"].diff(dim=2).abs().mean((1, 3, 4))
    usual = change.mean(1, keepdim=True)
    same = (change < 0.05 * usual + 1e-6).float().mean(1)
    return torch.stack([same, change.std(1, unbiased=False) / (usual[:, 0] + 1e-6)], 1)


def noise(batch: Batch) -> Tensor:
    """How much fine noise changes from frame to frame: [B, 2]."""
    level = fine_detail(frames_as_moments(batch))[..., 0]
    steps = level.diff(dim=1).abs()
    return torch.stack([steps.mean(1), steps.amax(1)], 1)
