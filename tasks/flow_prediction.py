"""How will this picture move? Direction and speed at each place, from a single frame."""

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..encoders.places import grid_places
from ..errors import InputError
from ..modalities.media import Sample
from .parts.check import check_least
from .parts.classify import classify
from .parts.clip_input import ClipInput
from .parts.flow_classes import FlowClasses
from .parts.flow_guards import TargetGuards
from .parts.flow_input import crop_flow
from .parts.flow_pictures import flow_caption, flow_picture
from .parts.hypercolumn import Hypercolumn
from .parts.motion_cues import target_guards
from .parts.motion_task import MotionTargetTask
from .parts.pictures import strip
from .parts.transforms import Colour, Crop
from .task import Batch, Picture, Step, Traits


class FlowPrediction(MotionTargetTask):
    """Dense optical-flow prediction from a static image (Walker, Gupta & Hebert 2015, ICCV,
    arXiv:1505.00295).

    A single frame is shown, and for each cell of a grid the task is to say how it is going to move,
    as one of a few classes: still, or one of `directions` at one of `speeds`. Classification lets
    a network say that a man may go left or right, where a regression would say that he stands. The
    paper's classes are 40 clusters of vectors, at 20 × 20 cells of pictures of 200 pixels; these
    are the same for all data, and a mirrored picture asks for mirrored motion.

    Speeds are told apart in units of the flow's own spread over the frame, so that slow and fast
    films ask alike. Frames in which nothing moves have no weight.

    Args:
        video: what is pretrained; of several frames the one in the middle is asked about, and an
            image encoder sees it alone.
        flow_interval: seconds from the frame to the one to which flow leads.
        flow_method: how flow is computed, as "dis" or "farneback"; null: as a pack has it, else
            "dis".
        grid: cells per side.
        directions: classes of direction, the first to the right.
        speeds: classes of speed of what moves.
        still_weight: of cells that stand still, beside 1 of those that move; there are many.
        levels: of the encoder that each cell is told from, the deepest among them; none: four, from
            shallow to deep. The paper tells all cells from one layer that sees all of the picture.
        hidden: width of the hidden layer behind them.
        crop: of the frame.
        colour: of the frame.
        guards: against shortcuts.
    """

    def __init__(
        self,
        video: ClipInput,
        *,
        flow_interval: float = 0.1,
        flow_method: str | None = None,
        grid: int = 8,
        directions: int = 8,
        speeds: int = 2,
        still_weight: float = 0.1,
        levels: tuple[str, ...] = (),
        hidden: int = 128,
        crop: Crop = Crop(scale=(0.35, 1.0)),
        colour: Colour = Colour(0.4, 0.4, 0.4, 0.1),
        guards: TargetGuards = TargetGuards(),
    ):
        super().__init__(
            video,
            flow_interval=flow_interval,
            flow_method=flow_method,
            crop=crop,
            colour=colour,
            guards=guards,
        )
        check_least(0, still_weight=still_weight)
        check_least(1, hidden=hidden)
        if not 1 <= grid <= video.size:
            raise InputError(f"grid is a number of cells from 1 to size {video.size}, got {grid}")
        self.grid, self.still_weight = grid, still_weight
        self.classes = FlowClasses(directions, speeds)
        self.guards = target_guards(guards)
        self.traits = Traits(overfits_to=None)  # cells at the edge of what moves are of both
        outputs = len(self.classes.names)
        self.columns = Hypercolumn(video, levels, hidden=hidden, outputs=outputs)

    def example(self, sample: Sample, rng: Generator) -> Batch:
        return {**self.shown(sample, rng), **self.crop.draw(rng), **self.colour.draw(rng)}

    def augment(self, batch: Batch) -> Batch:
        """Each cell of all frames is a question: target and weight [B · grid²]."""
        flow = self.flow_guards.stabilised(batch["flow"].float())
        weight = self.flow_guards.weight(flow)
        seen = crop_flow(flow[:, :, None], batch, self.video.size)[:, :, 0]
        target = self.classes.of(F.adaptive_avg_pool2d(seen, self.grid))
        cells = torch.where(target == 0, self.still_weight, 1.0) * weight[:, None, None]
        x = self.video.crop(self.crop, batch["clip"], batch)
        return {
            "inputs": self.colour.apply(x, batch),
            "flow": seen,
            "target": target.flatten(),
            "weight": cells.flatten(),
        }

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        places = grid_places(self.grid, len(batch["inputs"]), batch["inputs"].device)
        logits = self.columns(self.video, batch["inputs"], places)
        rows, names = logits.flatten(0, 1), self.classes.names
        step = classify(rows, batch, names, _no_strip, balanced=True)
        square = logits.detach().transpose(1, 2).unflatten(2, (self.grid, self.grid))
        return replace(step, pictures=_pictures(batch, self.classes, square))


def _no_strip(i: int) -> tuple[list[Tensor], list[str]]:
    """Single cells are not shown."""
    return [], []


def _pictures(batch: Batch, classes: FlowClasses, logits: Tensor) -> Callable[[], list[Picture]]:
    """Up to four frames, how they move, and what [B, K, grid, grid] say."""
    said = classes.vectors(logits)

    def picture(i: int) -> Picture:
        clip = batch["inputs"][i]
        frame = strip(clip[:, clip.shape[1] // 2, None])
        large = F.interpolate(said[i : i + 1], frame.shape[1:], mode="nearest")[0]
        cells = slice(i * logits[0, 0].numel(), (i + 1) * logits[0, 0].numel())
        asked = batch["weight"][cells] > 0
        right = logits[i].argmax(0).flatten() == batch["target"][cells]
        share = (right & asked).sum() / asked.sum().clamp_min(1)
        words = f"{100 * float(share):.0f} % of cells rightly"
        flow = batch["flow"][i]
        images = [frame, flow_picture(flow), flow_picture(large)]
        captions = ["the frame", flow_caption(flow), "what is expected"]
        return Picture(images, captions, "the motion beside the frame", words, made=(2,))

    return lambda: [picture(i) for i in range(min(len(said), 4))]
