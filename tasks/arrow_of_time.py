"""Does this clip run forwards or backwards?"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec
from ..modalities.media import MediaError, MediaInfo, Plan, Sample
from ..modalities.rng import coin
from ..modalities.transforms.colour import apply_colour, draw_colour
from ..modalities.transforms.image import draw_crop, draw_flip
from .parts.classify import accuracy, weighted_mean
from .parts.clip_input import (
    canvas,
    check_crop,
    check_least,
    clip_times,
    clip_view,
    cut,
    embed_frames,
    square,
)
from .parts.guards import (
    apart,
    brightness,
    coarse,
    fine_detail,
    levelled,
    outermost,
    trend,
    without_bars,
)
from .parts.heads import classifier
from .parts.pictures import best, film_strip
from .parts.sampling import moving_start
from .task import Batch, Guard, Picture, Step, Task

NAMES = ("backwards", "forwards")


class ArrowOfTime(Task):
    """The arrow of time (Wei et al. 2018, CVPR, "Learning and Using the Arrow of Time").

    Every clip is shown forwards and backwards, two examples of one batch that differ in nothing
    but their direction; without `pairs` a coin chooses one. Smoke, falling and people's acts tell
    which; so do things that no viewer looks at, and the paper finds that networks take those
    first: black bars round the picture that are not quite black, and camera work. Here bars are
    cut away, frames get the same mean colour, detail finer than two pixels, where the quality of
    compression shows, is averaged away, and clips without visible motion have no weight. The
    direction in which cameras pan and zoom is not hidden; the paper stabilises against it.

    The paper looks at optical flow in ten or more stretches; this one at the pixels of one clip
    from a stretch with much motion, chosen as Shuffle and Learn does (arXiv:1603.08561). An image
    encoder's vectors of all frames are shown to the head side by side.

    Args:
        encoder: image or video encoder that is pretrained.
        size: pixels, side of the square input.
        frames: frames per clip, at least 2; None: 8.
        step: seconds between the frames.
        similar: least root mean square difference, of pixels in [0, 1], between the first frame
            and that which differs most from it.
        scale: least and greatest share of the area that the random crop keeps.
        flip: mirror left and right half of the time.
        colour: strength of the colour change that all frames share, 0 for none.
        hidden: width of a hidden layer in the head, 0 for a linear one.
        pairs: both directions of each medium, in place of one of them.
        motion: choose the stretch by the motion in it, where that is known; otherwise uniformly.
        bars: cut away bars that stay dark along the borders.
        level: give all frames of a clip the same mean colour.
        soften: replace every two by two pixels by their mean.
        moving: leave clips without visible motion out of the loss.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 112,
        frames: int | None = None,
        step: float = 0.08,
        similar: float = 0.01,
        scale: tuple[float, float] = (0.6, 1.0),
        flip: bool = True,
        colour: float = 0.2,
        hidden: int = 0,
        pairs: bool = True,
        motion: bool = True,
        bars: bool = True,
        level: bool = True,
        soften: bool = True,
        moving: bool = True,
    ):
        super().__init__()
        check_crop(scale)
        check_least(0, similar=similar, colour=colour)
        self.view = clip_view(encoder, size, 8 if frames is None else frames, step)
        if self.view.frames < 2 or step <= 0:
            raise InputError("a direction takes frames=2 or more and a step above 0 s")
        self.similar, self.scale, self.flip, self.colour = similar, scale, flip, colour
        self.pairs, self.motion, self.bars = pairs, motion, bars
        self.level, self.soften, self.moving = level, soften, moving
        self.encoder = encoder
        seen = self.view.frames if encoder.modality == "image" else 1
        self.head = classifier(seen * encoder.dim, 2, hidden)
        self.guards = (
            Guard("bars", "noise in the black bars round the picture", bars, border),
            Guard("level", "fading, or exposure that drifts with time", level, exposure),
            Guard("soften", "quality of compression that changes with time", soften, noise),
            Guard("moving", "noise alone, where nothing moves", moving, asked),
        )

    @property
    def encoders(self) -> dict[str, Encoder]:
        return {self.view.modality: self.encoder}

    @property
    def views(self) -> dict[str, InputSpec]:
        return {self.view.modality: self.view}

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        if not info.has_video:
            raise MediaError(info.path, "plan", "no video: this task asks for a direction in time")
        span = self.view.span
        if info.duration < span + 1e-3:
            reason = (
                f"{info.duration:.2f} s are too short for {self.view.frames} frames, which take "
                f"{span:.2f} s: lower frames or step, or leave the file out"
            )
            raise MediaError(info.path, "plan", reason)
        start = moving_start(info, info.duration - span - 1e-3, span, rng, use_motion=self.motion)
        times = clip_times(self.view, start)
        return Plan(times=times, short_side=canvas(self.view.size), past_end="repeat")

    def example(self, sample: Sample, rng: Generator) -> Batch:
        assert sample.times is not None
        lit = without_bars(sample) if self.bars else sample
        clip = square(lit, canvas(self.view.size), rng)
        still = float(apart(clip.transpose(0, 1))[0].max()) <= self.similar
        shown, s = [0, 1] if self.pairs else [int(coin(rng))], self.colour
        return {
            "clip": clip,
            "times": sample.times.float(),
            "target": torch.tensor(shown),
            "weight": torch.full((len(shown),), float(not (self.moving and still))),
            "box": draw_crop(rng, scale=self.scale),
            "flip": draw_flip(rng, 0.5 if self.flip else 0.0),
            "colour": draw_colour(rng, brightness=s, contrast=s, saturation=s, hue=s / 4),
        }

    def augment(self, batch: Batch) -> Batch:
        """Turns the clips of all media as their answers say: inputs [B · K, 3, T, H, W]."""
        x = apply_colour(cut(batch["clip"], batch, self.view.size), batch["colour"])
        if self.soften:
            x = coarse(x)
        if self.level:
            x = levelled(x.transpose(1, 2).unsqueeze(3)).squeeze(3).transpose(1, 2)
        return {
            "inputs": _directed(x, batch["target"], 2),
            "times": _directed(batch["times"], batch["target"], 1),
            "target": batch["target"].flatten(),
            "weight": batch["weight"].flatten(),
        }

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        target, weight = batch["target"], batch["weight"]
        logits = self.head(embed_frames(self.encoder, batch["inputs"]))
        loss = weighted_mean(F.cross_entropy(logits, target, reduction="none"), weight)
        metrics = {"accuracy": accuracy(logits, target, weight), "rejected": 1 - weight.mean()}
        return Step(loss, metrics, lambda: _pictures(batch, logits))


def _directed(x: Tensor, forwards: Tensor, time: int) -> Tensor:
    """[B, …] in the K directions that `forwards` [B, K] says for each, 1 as it is: [B · K, …]."""
    both = torch.stack([x.flip(time), x], 1)
    rows = torch.arange(len(x), device=x.device)[:, None]
    return both[rows, forwards].flatten(0, 1)


def border(batch: Batch) -> Tensor:
    """Whether the outermost pixels of each side grow brighter or darker: [B, 12]."""
    return trend(outermost(_frames(batch)))


def exposure(batch: Batch) -> Tensor:
    """Whether each channel's mean grows or falls: [B, 3]."""
    return trend(brightness(_frames(batch)))


def noise(batch: Batch) -> Tensor:
    """Whether fine noise grows or falls: [B, 1]."""
    return trend(fine_detail(_frames(batch)))


def asked(batch: Batch) -> Tensor:
    """As `noise`, 0 where nothing is asked: [B, 1]."""
    return noise(batch) * batch["weight"][:, None]


def _frames(batch: Batch) -> Tensor:
    """Each frame as a moment of its own: [B, T, 3, 1, H, W]."""
    return batch["inputs"].transpose(1, 2).unsqueeze(3)


def _pictures(batch: Batch, logits: Tensor) -> list[Picture]:
    made = []
    for i, clip in enumerate(batch["inputs"][:4]):
        images, captions = film_strip(clip, batch["times"][i])
        answer, said = NAMES[int(batch["target"][i])], best(logits[i], NAMES)
        made.append(Picture(images, captions, f"shown {answer}", said))
    return made
