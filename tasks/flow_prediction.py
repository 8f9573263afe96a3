"""How will this picture move? Direction and speed at each place, from a single frame."""

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..errors import InputError
from ..modalities.media import MediaInfo, Plan, Sample
from .parts.check import check_least, check_positive
from .parts.classify import classify
from .parts.clip_input import ClipInput, need_video
from .parts.flow_classes import FlowClasses
from .parts.flow_guards import TargetGuards, grid_places
from .parts.flow_input import crop_flow, same_square
from .parts.flow_pictures import flow_picture
from .parts.hypercolumn import Hypercolumn
from .parts.motion_cues import target_guards
from .parts.pictures import strip
from .parts.transforms import Colour, Crop
from .task import Batch, Picture, Step, Task, Traits


class FlowPrediction(Task):
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
        super().__init__(video=video)
        check_positive(flow_interval=flow_interval)
        check_least(0, still_weight=still_weight)
        check_least(1, hidden=hidden)
        if not 1 <= grid <= video.size:
            raise InputError(f"grid is a number of cells from 1 to size {video.size}, got {grid}")
        self.video, self.interval, self.method = video, flow_interval, flow_method
        self.grid, self.still_weight, self.crop, self.colour = grid, still_weight, crop, colour
        self.classes = FlowClasses(directions, speeds)
        self.flow_guards, self.guards = guards, target_guards(guards)
        self.traits = Traits(overfits_to=None)  # cells at the edge of what moves are of both
        video.use_maps_only()
        outputs = len(self.classes.names)
        self.columns = Hypercolumn(video, levels, hidden=hidden, outputs=outputs)

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        need_video(info, "optical flow")
        plan = self.video.plan(self.video.random_start(info, rng))
        shown = plan.times[self.video.frames // 2]
        return replace(plan, flow=((shown, shown + self.interval),), flow_method=self.method)

    def example(self, sample: Sample, rng: Generator) -> Batch:
        frames, flow = same_square(self.video, self.flow_guards.cut(sample), rng)
        clip, middle = self.video.split(frames)[0], self.video.frames // 2
        return {
            "clip": clip[:, middle : middle + 1] if self.video.modality == "image" else clip,
            "flow": flow[0],
            **self.crop.draw(rng),
            **self.colour.draw(rng),
        }

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
    captions = ["the frame", "its optical flow (hue: direction)", "what is expected"]
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
        images = [frame, flow_picture(batch["flow"][i]), flow_picture(large)]
        return Picture(images, captions, "the motion in the middle", words)

    return lambda: [picture(i) for i in range(min(len(said), 4))]
