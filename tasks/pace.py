"""How fast is this clip played? Tell the pace from the movement alone."""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec
from ..modalities.media import MediaError, MediaInfo, Plan, Sample
from ..modalities.rng import integer
from ..modalities.transforms.colour import apply_colour, draw_colour
from .parts.classify import accuracy, weighted_mean
from .parts.clip_input import (
    canvas,
    check_crop,
    check_least,
    clip_view,
    cut,
    draw_view,
    embed_frames,
    square,
)
from .parts.guards import apart, fine_detail
from .parts.heads import classifier
from .parts.pictures import best, film_strip
from .parts.sampling import moving_start
from .task import Batch, Guard, Picture, Step, Task


class Pace(Task):
    """Pace prediction (Wang et al. 2020, arXiv:2008.05861, ECCV, section 3.2), without contrast.

    A clip takes its frames at one, two, three or four times the base step, and the task is to say
    which. With `pairs` every medium gives one clip of each pace from the same start, so that
    nothing but the pace tells them apart; with paces (1, 2) that is SpeedNet's question, and its
    batches (Benaim et al. 2020, arXiv:2004.06130, section 3).

    Whether anything moves is judged on frames that do not depend on the pace: the first, and that
    at which the fastest clip ends. Media too short for the fastest pace are refused, since holding
    their last frame would give it away. An image encoder's vectors of all frames are shown to the
    head side by side.

    Args:
        encoder: image or video encoder that is pretrained.
        size: pixels, side of the square input.
        frames: frames per clip, at least 2; None: 8.
        step: seconds between the frames at pace 1.
        paces: multiples of the step, rising whole numbers.
        pairs: a clip of every pace from each medium, in place of one of a random pace.
        similar: least root mean square difference, of pixels in [0, 1], of the judged frames.
        scale: least and greatest share of the area that the random crop keeps.
        flip: mirror left and right half of the time.
        colour: strength of the colour change, 0 for none.
        hidden: width of a hidden layer in the head, 0 for the paper's linear one.
        motion: choose the stretch by the motion in it, where that is known; otherwise uniformly.
        recolour: change the colour of every frame on its own, as the paper does; otherwise that
            of the clip.
        same_start: choose the start as if the pace were the fastest one; otherwise a slow clip
            may start later in the medium than a fast one.
        whole_frames: lengthen the base step to a whole number of the medium's frames; otherwise
            slow clips repeat frames, or skip some of them.
        moving: leave clips without visible motion out of the loss.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 112,
        frames: int | None = None,
        step: float = 0.04,
        paces: tuple[int, ...] = (1, 2, 3, 4),
        pairs: bool = False,
        similar: float = 0.01,
        scale: tuple[float, float] = (0.6, 1.0),
        flip: bool = True,
        colour: float = 0.2,
        hidden: int = 0,
        motion: bool = True,
        recolour: bool = True,
        same_start: bool = True,
        whole_frames: bool = True,
        moving: bool = True,
    ):
        super().__init__()
        paces = tuple(paces)
        if len(paces) < 2 or paces[0] < 1 or sorted(set(paces)) != list(paces):
            raise InputError(f"paces are two or more rising whole numbers from 1, not {paces}")
        check_crop(scale)
        check_least(0, similar=similar, colour=colour)
        self.view = clip_view(encoder, size, 8 if frames is None else frames, step)
        if self.view.frames < 2 or step <= 0:
            raise InputError("a pace takes frames=2 or more and a step above 0 s")
        self.paces, self.pairs, self.similar = paces, pairs, similar
        self.scale, self.flip, self.colour, self.motion = scale, flip, colour, motion
        self.recolour, self.same_start = recolour, same_start
        self.whole_frames, self.moving = whole_frames, moving
        self.encoder = encoder
        seen = self.view.frames if encoder.modality == "image" else 1
        self.head = classifier(seen * encoder.dim, len(paces), hidden)
        self.guards = (
            Guard("recolour", "brightness that drifts or flickers with time", recolour, flicker),
            Guard("same_start", "a place in the medium that fast clips cannot start at",
                  same_start, start),
            Guard("whole_frames", "frames shown twice, or unevenly apart", whole_frames, repeats),
            Guard("moving", "compression that pulses, where nothing moves", moving, pulse),
        )  # fmt: skip

    @property
    def encoders(self) -> dict[str, Encoder]:
        return {self.view.modality: self.encoder}

    @property
    def views(self) -> dict[str, InputSpec]:
        return {self.view.modality: self.view}

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        if not info.has_video:
            raise MediaError(info.path, "plan", "no video: this task asks for the pace of frames")
        step = self._base(info)
        reach = step * self.paces[-1] * (self.view.frames - 1)
        if info.duration < reach + 1e-3:
            reason = (
                f"{info.duration:.2f} s are too short for {self.view.frames} frames at pace "
                f"{self.paces[-1]}, which take {reach:.2f} s: lower frames, step or paces, or "
                f"leave the file out"
            )
            raise MediaError(info.path, "plan", reason)
        chosen = integer(rng, len(self.paces))
        own = (
            reach if self.pairs or self.same_start else reach * self.paces[chosen] / self.paces[-1]
        )
        begin = moving_start(info, info.duration - own - 1e-3, own, rng, use_motion=self.motion)
        shown = self.paces if self.pairs else self.paces[chosen : chosen + 1]
        times = [begin + step * p * k for p in shown for k in range(self.view.frames)]
        # `example` learns the pace from how often the judged frame is asked for.
        times += [begin + reach] * (1 if self.pairs else 1 + chosen)
        return Plan(times=tuple(times), short_side=canvas(self.view.size), past_end="repeat")

    def _base(self, info: MediaInfo) -> float:
        """Seconds between the frames at pace 1 in this medium."""
        if not self.whole_frames or not info.fps:
            return self.view.step
        return max(math.ceil(self.view.step * info.fps - 1e-6), 1) / info.fps

    def example(self, sample: Sample, rng: Generator) -> Batch:
        assert sample.times is not None
        count, t = len(self.paces) if self.pairs else 1, self.view.frames
        target = range(count) if self.pairs else [len(sample.times) - t - 1]
        frames = square(sample, canvas(self.view.size), rng).transpose(0, 1)
        clips = frames[: count * t].unflatten(0, (count, t)).transpose(1, 2)
        still = float(apart(frames[[0, count * t]])[0, 1]) <= self.similar
        return {
            "clips": clips,
            "times": sample.times[: count * t].float().view(count, t),
            "target": torch.tensor(list(target)),
            "weight": torch.full((count,), float(not (self.moving and still))),
            "colour": self._colours(count, rng),
            **draw_view(rng, self.scale, self.flip),
        }

    def _colours(self, count: int, rng: Generator) -> Tensor:
        """Colour maps [count, T, 2, 3, 3]."""
        s, t = self.colour, self.view.frames
        maps = [
            draw_colour(rng, brightness=s, contrast=s, saturation=s, hue=s / 4)
            for _ in range(count * t if self.recolour else 1)
        ]
        return torch.stack(maps).expand(count * t, -1, -1, -1).unflatten(0, (count, t)).clone()

    def augment(self, batch: Batch) -> Batch:
        """Joins the clips of all media: inputs [B · K, 3, T, H, W]."""
        clips = batch["clips"]
        k = clips.shape[1]
        drawn = {name: batch[name].repeat_interleave(k, 0) for name in ("box", "flip")}
        x = cut(clips.flatten(0, 1), drawn, self.view.size).transpose(1, 2)
        x = apply_colour(x.flatten(0, 1), batch["colour"].flatten(0, 2)).unflatten(0, x.shape[:2])
        kept = {name: batch[name].flatten(0, 1) for name in ("target", "weight", "times")}
        return {"inputs": x.transpose(1, 2), **kept}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        target, weight = batch["target"], batch["weight"]
        logits = self.head(embed_frames(self.encoder, batch["inputs"]))
        loss = weighted_mean(F.cross_entropy(logits, target, reduction="none"), weight)
        metrics = {"accuracy": accuracy(logits, target, weight), "rejected": 1 - weight.mean()}
        return Step(loss, metrics, lambda: _pictures(batch, logits, self.paces))


def flicker(batch: Batch) -> Tensor:
    """Log of how much each channel's mean changes from frame to frame, and from end to end."""
    mean = batch["inputs"].mean((3, 4))
    near = mean.diff(dim=2).abs().mean(2)
    far = (mean[..., -1] - mean[..., 0]).abs()
    return torch.cat([near, far], 1).clamp_min(1e-4).log()


def start(batch: Batch) -> Tensor:
    """Seconds into the medium at which the clip starts, and their square: [B, 2]."""
    seconds = batch["times"][:, :1]
    return torch.cat([seconds, seconds.square()], 1)


def repeats(batch: Batch) -> Tensor:
    """Share of frames that repeat the one before, and how uneven the changes are: [B, 2]."""
    change = batch["inputs"].diff(dim=2).abs().mean((1, 3, 4))
    usual = change.mean(1, keepdim=True)
    same = (change < 0.05 * usual + 1e-6).float().mean(1)
    return torch.stack([same, change.std(1, unbiased=False) / (usual[:, 0] + 1e-6)], 1)


def pulse(batch: Batch) -> Tensor:
    """How much fine noise changes from frame to frame, 0 where nothing is asked: [B, 2]."""
    level = fine_detail(batch["inputs"].transpose(1, 2).unsqueeze(3))[..., 0]
    steps = level.diff(dim=1).abs()
    return torch.stack([steps.mean(1), steps.amax(1)], 1) * batch["weight"][:, None]


def _pictures(batch: Batch, logits: Tensor, paces: tuple[int, ...]) -> list[Picture]:
    names, made = tuple(f"{p}×" for p in paces), []
    for i, clip in enumerate(batch["inputs"][:4]):
        images, captions = film_strip(clip, batch["times"][i])
        answer = f"pace {names[int(batch['target'][i])]}"
        made.append(Picture(images, captions, answer, best(logits[i], names)))
    return made
