"""FlowInput: optical flow for a flow encoder, planned, cut and encoded; and flow beside frames."""

from dataclasses import replace
from typing import Any, final

import torch
from torch import Generator, Tensor

from ...encoders.encoder import Encoder
from ...errors import InputError
from ...modalities.flow.geometry import resize, turn
from ...modalities.flow.method import check_method
from ...modalities.input_spec import InputSpec
from ...modalities.media import MediaError, MediaInfo, Plan, Sample
from ...modalities.rng import uniform
from ...modalities.transforms.image import apply_crop_to_flow
from .clip_input import ClipInput, need_video, resized
from .input import check_modality
from .spatial_input import END, SpatialInput, check_square, square_part
from .transforms import Colour, Crop


@final
class FlowInput(SpatialInput):
    """What a flow encoder looks at: a few fields of optical flow, one after another.

    Each field says for every pixel of a frame where it is `frame_interval` seconds later, in pixels
    at the size at which it is seen: a crop that is resized changes the vectors with it. The fields
    travel as float16 [N, 2, T, S, S], N of each medium, where S is the resize side. The first frame
    of each clip is read beside them, where there is one: in it the bars of a letterbox are found.

    Args:
        encoder: flow encoder that is pretrained.
        size: pixels, side of the square that it sees.
        fields: per clip; None: as many as the encoder stacks, 8 for one over time.
        frame_interval: seconds between the two frames of a field, and from one field to the next.
        resize_side: pixels of the square that a worker delivers, of which `size` are seen; None:
            8/7 of the size.
        method: how flow is computed, as "dis" or "farneback"; null: as a pack has it, else "dis".

    Raises:
        InputError: an encoder of another modality, numbers that make no clip or that the encoder
            does not stack, or an unknown method.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 112,
        fields: int | None = None,
        frame_interval: float = 0.1,
        resize_side: int | None = None,
        method: str | None = None,
    ):
        super().__init__()
        check_modality(encoder, "flow")
        if fields is None:
            fields = encoder.fields or 8
        self.resize_side = check_square(size, fields, frame_interval, resize_side)
        if not frame_interval > 0:
            raise InputError(
                "flow is between frames at different times: set frame_interval above 0"
            )
        if encoder.fields > 1 and fields != encoder.fields:
            raise InputError(
                f"the encoder stacks {encoder.fields} fields of flow, and fields is {fields}: give "
                "both one number"
            )
        if method is not None:
            check_method(method)
        self.encoder = encoder
        self.spec = InputSpec(
            "flow", size, fields, frame_interval=frame_interval, flow_method=method
        )

    def random_start(self, info: MediaInfo, rng: Generator) -> float:
        need_video(info, "optical flow")
        return uniform(rng, 0, max(info.duration - self.span - END, 0.0))

    def pairs(self, start: float) -> tuple[tuple[float, float], ...]:
        """Seconds of both frames of the fields of a clip."""
        return self.spec.plan(start).flow

    def plan(self, *starts: float, note: Any = None) -> Plan:
        pairs = tuple(pair for start in starts for pair in self.pairs(start))
        return Plan(
            times=starts,
            flow=pairs,
            flow_method=self.spec.flow_method,
            short_side=self.resize_side,
            frames_needed=False,
            past_end="repeat",
            note=note,
        )

    def plan_beside(self, video: ClipInput, *starts: float) -> Plan:
        """Clips of frames and of flow that start together, at these seconds."""
        pairs = tuple(pair for start in starts for pair in self.pairs(start))
        return replace(video.plan(*starts), flow=pairs, flow_method=self.spec.flow_method)

    def plan_both_ways(self, start: float) -> Plan:
        """A clip, and the same film run backwards.

        Negative flow is not that of the film run backwards: it stands where things begin, not
        where they end, and a network could tell it by that.
        """
        forwards = self.plan(start)
        return replace(forwards, flow=forwards.flow + tuple((b, a) for a, b in forwards.flow[::-1]))

    def pictures(self, sample: Sample) -> Tensor:
        """float16 [N · T, 2, H, W]."""
        assert sample.flow is not None
        return fitted(sample.flow, self.resize_side).half()

    def squashed(self, sample: Sample) -> Tensor:
        """float16 [N · T, 2, S, S]."""
        assert sample.flow is not None
        return resize(sample.flow, (self.resize_side, self.resize_side)).half()

    def frame_times(self, sample: Sample) -> Tensor:
        assert sample.times is not None
        steps = self.spec.frame_interval * torch.arange(self.frames)
        return sample.times.float()[:, None] + steps

    def crop(self, crop: Crop, x: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        return crop_flow(x, drawn, self.size)

    def recolour(self, colour: Colour, x: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        return x

    def turn(self, x: Tensor, quarters: int) -> Tensor:
        return turn(x.transpose(-4, -3), quarters).transpose(-4, -3)

    def both_ways(self, x: Tensor) -> Tensor:
        return x.flip(1)


def need_seconds(info: MediaInfo, seconds: float, remedy: str) -> float:
    """Seconds of a film up to where its last frame still stands.

    Raises:
        MediaError: a film with fewer than `seconds`; the remedy is in words.
    """
    there = info.duration - END
    if there < seconds:
        reason = f"{info.duration:.2f} s are shorter than the {seconds:.2f} s needed: {remedy}"
        raise MediaError(info.path, "plan", f"{reason}, or leave the file out")
    return there


def fitted(flow: Tensor, side: int) -> Tensor:
    """Flow [N, 2, H, W] whose shorter side is `side` pixels, as the reader may give it."""
    return flow if min(flow.shape[-2:]) == side else resize(flow, side)


def crop_flow(x: Tensor, drawn: dict[str, Tensor], size: int) -> Tensor:
    """Flow between frames that `Crop.apply` changes alike, in pixels of the result.

    Args:
        x: float [B, 2, T, S, S] or [B, N, 2, T, S, S].
        drawn: "box" [B, 4] and "flip" [B] for all of a tuple, or boxes [B, N, 4].
    """
    box, flip = drawn["box"], drawn["flip"]
    if x.ndim == 5:
        return apply_crop_to_flow(x.float(), box, flip, size)
    b, n = x.shape[:2]
    box = (box if box.ndim == 3 else box[:, None].expand(b, n, 4)).flatten(0, 1)
    flip = flip[:, None].expand(b, n).flatten()
    return apply_crop_to_flow(x.flatten(0, 1).float(), box, flip, size).unflatten(0, (b, n))


def same_square(video: ClipInput, sample: Sample, rng: Generator) -> tuple[Tensor, Tensor]:
    """Frames and flow of a sample, cut to the same random square along the longer side.

    Returns:
        uint8 [N, 3, S, S] and float16 [P, 2, S, S], S being the video's resize side.
    """
    assert sample.frames is not None
    assert sample.flow is not None
    side = video.resize_side
    frames, flow = resized(sample.frames, side), fitted(sample.flow, side)
    rows, columns = square_part(frames, side, rng)
    return frames[..., rows, columns], flow[..., rows, columns].half()
