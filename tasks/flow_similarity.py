"""Which pixels of a picture move together? Embeddings of pixels that agree with optical flow."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from ..encoders.places import at_places, grid_places
from ..errors import InputError
from ..modalities.media import Sample
from .parts.across import rejected, shared_mean, weighted_mean
from .parts.check import check_least, check_positive
from .parts.clip_input import ClipInput
from .parts.flow_guards import TargetGuards, fine_noise, in_bars, spread
from .parts.flow_kernels import LOSSES, cosine_kernel, flow_kernel, off_diagonal, pair_auc
from .parts.flow_pictures import embedding_pictures
from .parts.hypercolumn import Hypercolumn
from .parts.motion_task import MotionTargetTask
from .parts.pictures import observed
from .parts.transforms import Colour, Crop, stacked
from .task import Batch, Guard, Picture, Step, Traits


@dataclass(frozen=True)
class SimilarityGuards(TargetGuards):
    """Counter-measures against telling which pixels move together without seeing what they show.

    Args:
        position: look at the picture through two random crops, and compare pixels of one with
            pixels of the other only: networks know by their padding where in a crop a pixel lies,
            and near pixels mostly move alike. It costs twice the time.
    """

    position: bool = False


class FlowSimilarity(MotionTargetTask):
    """Cross-pixel optical-flow similarity (Mahendran et al. 2018, arXiv:1807.05636).

    A single frame is shown. Pixels drawn at random get embeddings, and which of them are alike
    shall be what the optical flow between this frame and a later one says, which the network does
    not see. Each pixel's hypercolumn (Hariharan et al. 2015, arXiv:1411.5752), all levels of the
    encoder at its place, passes a small network. Flow is compared by a radial basis function, and
    embeddings by their cosine; of both each pixel has a distribution over all others, and the loss
    is their cross-entropy. Frames in which nothing moves have no weight, and are counted.

    Flow is measured in units of its own spread over the frame, so that slow and fast films ask
    alike; a common vector added to all of it, or a turn, changes nothing.

    A video encoder sees a clip about the frame, and so the motion that it is asked for.

    Args:
        video: what is pretrained; of several frames the one in the middle is asked about, and an
            image encoder sees it alone.
        flow_interval: seconds from the frame to the one to which flow leads.
        flow_method: how flow is computed, as "dis" or "farneback"; null: as a pack has it, else
            "dis".
        pixels: drawn of each frame; the paper takes 512. Memory grows with their square.
        levels: of the encoder that make the hypercolumn, the deepest among them; none: four, from
            shallow to deep.
        hidden: width of the hidden layer behind it.
        outputs: length of an embedding; the paper's is 16.
        loss: "cross_entropy", "alignment" of the kernels, or their "squared_error".
        sigma: width of the radial basis function, in units of the flow's spread.
        learn_sigma: learn it, from there on; only cross-entropy gives it a direction.
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
        pixels: int = 512,
        levels: tuple[str, ...] = (),
        hidden: int = 128,
        outputs: int = 16,
        loss: Literal["cross_entropy", "alignment", "squared_error"] = "cross_entropy",
        sigma: float = 1.0,
        learn_sigma: bool = False,
        crop: Crop = Crop(scale=(0.35, 1.0)),
        colour: Colour = Colour(0.4, 0.4, 0.4, 0.1),
        guards: SimilarityGuards = SimilarityGuards(),
    ):
        super().__init__(
            video,
            flow_interval=flow_interval,
            flow_method=flow_method,
            crop=crop,
            colour=colour,
            guards=guards,
        )
        check_positive(sigma=sigma)
        check_least(4, pixels=pixels)
        check_least(1, hidden=hidden, outputs=outputs)
        if loss not in LOSSES:
            raise InputError(f"loss is one of {', '.join(LOSSES)}, not {loss!r}")
        if learn_sigma and loss != "cross_entropy":
            raise InputError(f"sigma cannot be learned by {loss}: set loss to cross_entropy")
        self.pixels, self.loss, self.guards = pixels, LOSSES[loss], _records(guards)
        self.columns = Hypercolumn(video, levels, hidden=hidden, outputs=outputs)
        self.log_sigma = nn.Parameter(torch.tensor(sigma).log(), requires_grad=learn_sigma)
        self.views = 2 if guards.position else 1
        self.traits = Traits(overfits_to=None)

    def example(self, sample: Sample, rng: Generator) -> Batch:
        return {
            **self.shown(sample, rng),
            "places": torch.rand(self.views, self.pixels // self.views, 2, generator=rng),
            **stacked([self.crop.draw(rng) for _ in range(self.views)]),
            **self.colour.draw(rng),
        }

    def augment(self, batch: Batch) -> Batch:
        """M pixels of each of V views, and their motion in units of its spread [B, V, M, 2]."""
        places, views = batch["places"], self.views
        flow = self.flow_guards.stabilised(batch["flow"].float())
        drawn = {"box": batch["box"].flatten(0, 1), "flip": batch["flip"].flatten()}
        clips = batch["clip"].repeat_interleave(views, 0)
        x = self.video.crop(self.crop, clips, drawn).unflatten(0, (-1, views))
        there = uncropped(places, batch["box"], batch["flip"])
        scale = spread(flow).clamp_min(1e-6)[:, None, None]
        motion = at_places(flow, there.flatten(1, 2), "nearest") / scale
        motion = motion.unflatten(1, places.shape[1:3])
        weight = self.flow_guards.weight(flow)
        # A question for probes: do the first pixel and the last move alike?
        alike = flow_kernel(motion[:, 0, :1], motion[:, -1, -1:], 1.0)[:, 0, 0] > 0.5
        inputs = self.colour.apply(x, batch)
        kept = {"places": places, "motion": motion, "weight": weight, "target": alike.long()}
        return {"inputs": inputs, "flow": flow, "box": batch["box"], "flip": batch["flip"], **kept}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        inputs, places, weight = batch["inputs"], batch["places"], batch["weight"]
        embedded = self.columns(self.video, inputs.flatten(0, 1), places.flatten(0, 1))
        embedded, motion = embedded.unflatten(0, places.shape[:2]), batch["motion"]
        # Half precision would take most of what tells near kernels apart.
        with torch.autocast(embedded.device.type, enabled=False):
            embedded = embedded.to(motion.dtype)
            by_embedding = cosine_kernel(embedded, embedded.flip(1))
            by_flow = flow_kernel(motion, motion.flip(1), self.log_sigma.exp())
            # Of one view a pixel is compared with all but itself, of two with the other view's.
            asked = off_diagonal if self.views == 1 else nn.Identity()
            losses = self.loss(asked(by_flow), asked(by_embedding)).mean(1)
        auc, possible = pair_auc(by_flow[:, 0].detach(), by_embedding[:, 0].detach())
        metrics = {"auc": shared_mean(auc, weight * possible), "static": rejected(weight)}
        return Step(weighted_mean(losses, weight), metrics, self._pictures(batch, auc))

    def _pictures(self, batch: Batch, auc: Tensor) -> Callable[[], list[Picture]]:
        clips, side = batch["inputs"][:, 0], self.video.size
        grid = grid_places(side, len(clips), clips.device)[:, None]
        there = uncropped(grid, batch["box"][:, :1], batch["flip"][:, :1])[:, 0]
        flow = at_places(batch["flow"], there).transpose(1, 2).unflatten(2, (side, side))
        sign = torch.where(batch["flip"][:, :1], -1.0, 1.0)
        flow = torch.stack([flow[:, 0] * sign[..., None], flow[:, 1]], 1)

        def embed(some: Tensor) -> Tensor:
            with observed(self):
                found = self.columns(self.video, some, grid[: len(some), 0])
            return found.transpose(1, 2).unflatten(2, (side, side))

        def words(i: int) -> str:
            return f"{100 * float(auc[i]):.0f} % of pairs of pixels ranked rightly"

        return embedding_pictures(clips, flow, embed, words)


def uncropped(places: Tensor, box: Tensor, flip: Tensor) -> Tensor:
    """Places [B, V, M, 2] of crops as places of the picture, all (y, x) as shares of the sides.

    Args:
        box: [B, V, 4], top, left, height and width of the crops as shares.
        flip: bool [B, V], which are mirrored.
    """
    y, x = places.unbind(-1)
    x = torch.where(flip[..., None], 1 - x, x)
    top, left, height, width = box[..., None, :].unbind(-1)
    return torch.stack([top + y * height, left + x * width], -1)


def _records(guards: SimilarityGuards) -> tuple[Guard, ...]:
    zoom = "where a pixel lies: a camera that zooms or turns moves each place in a way of its own"
    near = "where in the crop a pixel lies, which padding tells: near pixels mostly move alike"
    bars = "bars along the borders, which never move"
    noise = "noise and compression, where nothing moves"
    return (
        Guard("camera", zoom, guards.camera, _positions),
        Guard("letterbox", bars, guards.letterbox, _bars),
        Guard("static", noise, guards.static, _noise),
        Guard("position", near, guards.position, _positions),
    )


def _ends(batch: Batch) -> tuple[Tensor, Tensor]:
    """Picture [B, 3, H, W] and place [B, 1, 2] of the first pixel and of the last, side by side."""
    sides = ((batch["inputs"][:, k], batch["places"][:, k, k].unsqueeze(1)) for k in (0, -1))
    pictures, places = zip(*sides, strict=True)
    return torch.cat([x[:, :, x.shape[2] // 2] for x in pictures]), torch.cat(places)


def _sides(measured: Tensor) -> Tensor:
    """[2B, F] of both pixels as [B, 4F]: each, their sum and their difference."""
    one, two = measured.chunk(2)
    return torch.cat([one, two, one + two, (one - two).abs()], 1)


def _positions(batch: Batch) -> Tensor:
    return _sides(_ends(batch)[1][:, 0])


def _bars(batch: Batch) -> Tensor:
    return _sides(in_bars(*_ends(batch)))


def _noise(batch: Batch) -> Tensor:
    return _sides(fine_noise(*_ends(batch)))
