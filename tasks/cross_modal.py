"""Which sound goes with which clip? Choose among all of the batch, both ways."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec
from ..modalities.media import AudioSpan, MediaInfo, Plan, Sample
from ..modalities.rng import uniform
from ..modalities.transforms.colour import apply_colour, draw_colour
from .parts.audio_input import (
    audible_with_picture,
    change_sound,
    loudness,
    need_length,
    of_view,
    room_tone,
    silent,
    sound_changes,
    sound_view,
    stacked,
)
from .parts.clip_input import (
    canvas,
    check_crop,
    clip_times,
    clip_view,
    cut,
    draw_view,
    embed,
    square,
)
from .parts.guards import file_marks
from .parts.heads import projector
from .parts.losses import info_nce, nt_xent
from .parts.pictures import film, spectrogram
from .task import Audit, Batch, Guard, Picture, Step, Task


class CrossModal(Task):
    """Cross-modal instance discrimination (AVID: Morgado et al. 2021, arXiv:2004.12943).

    A clip and the sound around it, each projected to a common space, have to find each other
    among all sounds and all clips of the batch. The negatives are those of the batch, as in MMV
    (Alayrac et al. 2020, arXiv:2006.16228), not of a memory as in AVID. Terms within a modality,
    without which AVID did better, are options: two views of the same clip, or of the same sound,
    then have to find each other as well.

    Args:
        encoder: image or video encoder that is pretrained.
        audio_encoder: audio encoder that is pretrained with it.
        size: pixels, side of the square picture.
        frames: frames per clip; None: 1 for an image encoder, 8 for a video encoder.
        step: seconds between the frames of a clip.
        seconds: length of the sound, inside which the clip lies.
        temperature: of all terms; AVID and MMV take 0.07.
        scale: least and greatest share of the area that the random crop keeps.
        flip: mirror left and right half of the time.
        colour: change brightness, contrast and saturation by up to 0.4 and hue by up to 0.1.
        masks: stretches of time, and bands of frequency, that are silenced in the sound.
        mask: greatest share of the length, and of the mel scale, of each.
        within_picture: weight of the term between two views of a clip; the cross-modal one
            has 1.
        within_sound: weight of the term between two views of a sound.
        outputs: length of the projected vectors.
        level: give each sound a loudness of its own.
        equalise: change the colouring of each sound by up to 12 decibels.

    Raises:
        InputError: an encoder that does not hear, a clip longer than the sound, or options
            outside their range.
    """

    def __init__(
        self,
        encoder: Encoder,
        audio_encoder: Encoder,
        *,
        size: int = 112,
        frames: int | None = None,
        step: float = 0.1,
        seconds: float = 1.0,
        temperature: float = 0.07,
        scale: tuple[float, float] = (0.3, 1.0),
        flip: bool = True,
        colour: bool = True,
        masks: int = 1,
        mask: float = 0.1,
        within_picture: float = 0.0,
        within_sound: float = 0.0,
        outputs: int = 128,
        level: bool = True,
        equalise: bool = True,
    ):
        super().__init__()
        if not temperature > 0:
            raise InputError(f"temperature must be above 0, got {temperature:g}")
        if min(within_picture, within_sound) < 0:
            raise InputError("within_picture and within_sound are weights of 0 and more")
        check_crop(scale)
        self.view = clip_view(encoder, size, frames, step)
        self.sound = sound_view(audio_encoder, seconds)
        if not self.view.span < seconds:
            raise InputError(
                f"a clip of {self.view.span:g} s does not fit into {seconds:g} s of sound: lower "
                "frames or step, or raise seconds"
            )
        self.temperature, self.scale, self.flip, self.colour = temperature, scale, flip, colour
        self.draw = sound_changes(masks=masks, mask=mask, level=level, equalise=equalise)
        self.within_picture, self.within_sound = within_picture, within_sound
        self.encoder, self.audio_encoder = encoder, audio_encoder
        self.projectors = nn.ModuleDict(
            {
                "picture": projector(encoder.dim, outputs),
                "sound": projector(audio_encoder.dim, outputs),
            }
        )
        tone = "microphone, room and codec, which go with a camera and a data set"
        self.guards = (
            Guard("level", "loudness of the recording", level, heard_loudness),
            Guard("equalise", tone, equalise, heard_room_tone),
        )
        self.audits = (
            Audit(
                "file",
                "codec, resolution and data set, of which picture and sound of a file bear marks",
                "take one data set at a time, or AudioVisual(hard=True) or Synchrony, whose "
                "negatives are of the same video",
                shared_marks,
            ),
        )

    @property
    def encoders(self) -> dict[str, Encoder]:
        return {self.view.modality: self.encoder, "audio": self.audio_encoder}

    @property
    def views(self) -> dict[str, InputSpec]:
        return {self.view.modality: self.view, "audio": self.sound}

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        first, last = audible_with_picture(info)
        seconds = self.sound.seconds
        need_length(info, last - first, seconds, "lower seconds")
        heard = uniform(rng, first, last - seconds)
        seen = uniform(rng, heard, heard + seconds - self.view.span)
        return Plan(
            times=clip_times(self.view, seen),
            audio=(AudioSpan(heard, seconds, self.sound.rate),),
            short_side=canvas(self.view.size),
            past_end="repeat",
        )

    def example(self, sample: Sample, rng: Generator) -> Batch:
        assert sample.audio is not None
        pictures = [self._draw_picture(rng) for _ in range(2 if self.within_picture else 1)]
        sounds = [self.draw(rng) for _ in range(2 if self.within_sound else 1)]
        return {
            "frames": square(sample, canvas(self.view.size), rng),
            "audio": sample.audio.mean(0, keepdim=True),
            **stacked(pictures),
            **stacked(sounds),
        }

    def _draw_picture(self, rng: Generator) -> Batch:
        s = 0.4 if self.colour else 0.0
        jitter = draw_colour(rng, brightness=s, contrast=s, saturation=s, hue=s / 4)
        return {**draw_view(rng, self.scale, self.flip), "colour": jitter}

    def augment(self, batch: Batch) -> Batch:
        made = {
            "inputs": self._picture(batch, 0),
            "audio": self._sound(batch, 0),
            "silent": silent(batch["audio"]),
        }
        if self.within_picture:
            made["inputs_again"] = self._picture(batch, 1)
        if self.within_sound:
            made["audio_again"] = self._sound(batch, 1)
        return made

    def _picture(self, batch: Batch, k: int) -> Tensor:
        drawn = of_view(batch, k, ("box", "flip", "colour"))
        return apply_colour(cut(batch["frames"], drawn, self.view.size), drawn["colour"])

    def _sound(self, batch: Batch, k: int) -> Tensor:
        return change_sound(batch["audio"], of_view(batch, k), self.sound.rate)

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        seen, heard = self.see(batch["inputs"]), self.hear(batch["audio"])
        loss, found = info_nce(seen, heard, self.temperature)
        metrics = {"accuracy": found, "silent": batch["silent"].float().mean()}
        if self.within_picture:
            again = self.see(batch["inputs_again"])
            term, metrics["picture_accuracy"] = nt_xent(seen, again, self.temperature)
            loss = loss + self.within_picture * term
        if self.within_sound:
            again = self.hear(batch["audio_again"])
            term, metrics["sound_accuracy"] = nt_xent(heard, again, self.temperature)
            loss = loss + self.within_sound * term
        return Step(loss, metrics, lambda: _pictures(batch, seen, heard, self.sound.rate))

    def see(self, clips: Tensor) -> Tensor:
        return self.projectors["picture"](embed(self.encoder, clips))

    def hear(self, sounds: Tensor) -> Tensor:
        return self.projectors["sound"](self.audio_encoder(sounds))

    def agree(self, seen: Tensor, heard: Tensor) -> Tensor:
        return F.cosine_similarity(seen, heard)


def heard_loudness(batch: Batch) -> Tensor:
    """Of each sound: [B, 1]."""
    return loudness(batch["audio"])


def heard_room_tone(batch: Batch) -> Tensor:
    """Of each sound: [B, 8]."""
    return room_tone(batch["audio"])


def shared_marks(batch: Batch) -> Tensor:
    """Marks of the file in both sides of B pairs that belong together, and of B that do not:
    [2B, 9]."""
    own = torch.arange(len(batch["inputs"]), device=batch["inputs"].device)
    picture, sound = own.repeat(2), torch.cat([own, own.roll(-1)])
    return file_marks(batch["inputs"], batch["audio"], picture, sound)


def _pictures(batch: Batch, seen: Tensor, heard: Tensor, rate: int) -> list[Picture]:
    a, b = (F.normalize(x.detach(), dim=1) for x in (seen, heard))
    likeness = a @ b.T
    return [
        Picture(
            images=[
                film(batch["inputs"][i]),
                spectrogram(batch["audio"][i], rate),
                spectrogram(batch["audio"][int(likeness[i].argmax())], rate),
            ],
            captions=["seen", "heard with it (pitch upwards)", "the sound that seems nearest"],
            answer="the first sound belongs to the clip",
            prediction=f"it ranks {1 + int((likeness[i] > likeness[i, i]).sum())} "
            f"of {len(likeness)}",
        )
        for i in range(min(len(likeness), 4))
    ]
