"""Does this clip run forwards or backwards?"""

import torch
from torch import Generator, Tensor

from ..modalities.media import MediaInfo, Plan, Sample
from ..modalities.rng import coin
from .parts.classify import classify
from .parts.clip_input import ClipInput, need_video
from .parts.guards import MomentGuards, frames_as_moments
from .parts.heads import classifier
from .parts.pictures import frames_row
from .parts.sampling import segment_start
from .parts.transforms import Colour, Crop
from .task import Batch, Step, Task

NAMES = ("shown backwards", "shown forwards")


class ArrowOfTime(Task):
    """The arrow of time (Wei et al. 2018, CVPR, "Learning and Using the Arrow of Time").

    Every clip is shown forwards and backwards, two examples of one batch that differ in nothing
    but their direction; without `pairs` a coin chooses one. Smoke, falling and people's acts tell
    which; so do things that no viewer looks at, and the paper finds that networks take those
    first: black bars round the picture that are not quite black, and camera work. Here bars are
    cut away, frames are matched in all that light changes, and clips without visible motion have
    no weight. The direction in which cameras pan and zoom is not hidden; the paper stabilises
    against it.

    The paper looks at optical flow in ten or more segments; this one at the pixels of one clip
    from a segment with much motion, chosen as Shuffle and Learn does (arXiv:1603.08561). An image
    encoder's vectors of all frames are shown to the head side by side.

    Args:
        video: what is pretrained, on clips of at least 2 frames.
        pairs: both directions of each medium, in place of one of them.
        by_motion: choose the segment by the motion in it, where that is known; else uniformly.
        crop: one for all frames.
        colour: one change for all frames.
        hidden: width of a hidden layer in the head, 0 for a linear one.
        guards: against shortcuts.
    """

    def __init__(
        self,
        video: ClipInput,
        *,
        pairs: bool = True,
        by_motion: bool = True,
        crop: Crop = Crop(),
        colour: Colour = Colour(0.2, 0.2, 0.2, 0.05),
        hidden: int = 0,
        guards: MomentGuards = MomentGuards(),
    ):
        super().__init__(video=video)
        video.need_frames(2)
        self.video, self.pairs, self.by_motion = video, pairs, by_motion
        self.crop, self.colour, self.moment_guards = crop, colour, guards
        self.guards = guards.records(frames_as_moments)
        self.head = classifier(video.frames_dim, 2, hidden)

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        need_video(info, "a direction in time")
        return self.video.plan(segment_start(info, self.video.span, rng, by_motion=self.by_motion))

    def example(self, sample: Sample, rng: Generator) -> Batch:
        (clip,) = self.video.clips(self.moment_guards.cut(sample), rng)
        assert sample.times is not None
        directions = [0, 1] if self.pairs else [int(coin(rng))]
        ends = clip[:, [0, -1]].transpose(0, 1).unsqueeze(2)
        return {
            "clip": clip,
            "times": sample.times.float(),
            "target": torch.tensor(directions),
            "weight": self.moment_guards.weight(ends).expand(len(directions)).clone(),
            **self.crop.draw(rng),
            **self.colour.draw(rng),
            **self.moment_guards.draw(rng, self.video.frames),
        }

    def augment(self, batch: Batch) -> Batch:
        """Turns the clips of all media as their answers say: inputs [B · K, 3, T, H, W]."""
        frames = frames_as_moments({"inputs": batch["clip"]})
        frames = self.moment_guards.crop(self.crop, frames, batch, self.video.size)
        x = self.colour.apply(frames.squeeze(3).transpose(1, 2), batch)
        return {
            "inputs": directed(x, batch["target"], 2),
            "times": directed(batch["times"], batch["target"], 1),
            "target": batch["target"].flatten(),
            "weight": batch["weight"].flatten(),
        }

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        logits = self.head(self.video.encode_frames(batch["inputs"]))
        return classify(logits, batch, NAMES, frames_row(batch))


def directed(x: Tensor, forwards: Tensor, time: int) -> Tensor:
    """[B, …] in the K directions that `forwards` [B, K] says for each, 1 as it is: [B · K, …]."""
    both = torch.stack([x.flip(time), x], 1)
    rows = torch.arange(len(x), device=x.device)[:, None]
    return both[rows, forwards].flatten(0, 1)
