"""Is the sound in step with the clip, or from another moment of the same video?"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec
from ..modalities.media import AudioSpan, MediaInfo, Plan, Sample
from ..modalities.rng import uniform
from ..modalities.transforms.colour import apply_colour, draw_colour
from .parts.audio_input import (
    audible_with_picture,
    change_sound,
    draw_sound,
    loudness,
    need_length,
    of_view,
    silence,
    silent,
    sound_view,
    stacked,
)
from .parts.classify import accuracy, weighted_mean
from .parts.clip_input import canvas, check_crop, clip_times, clip_view, cut, draw_view, square
from .parts.heads import Comparison
from .parts.pictures import best, film_over_sound
from .task import Batch, Guard, Picture, Step, Task

NAMES = ("out of step", "in step")


class Synchrony(Task):
    """Audio-visual temporal synchronisation (Korbar et al. 2018, arXiv:1807.00230, section 3).

    Two clips of each video, `shift` seconds apart, with the sound of each: both clips with their
    own sound are in step, both with the other's are not. Every clip and every sound so stands
    once in a pair of either kind, and neither alone can tell the answer; nor can the end of the
    file, as all four lie within it. Nothing is encoded twice.

    The paper draws two vectors together or apart by a contrastive loss, and starts with easy
    negatives, sounds of other videos (`easy`). Here a head compares both sides and answers with
    yes or no, as in Owens & Efros 2018 (arXiv:1804.03641, section 3); it sees several moments in
    order, as an average over time may not tell what happens when.

    Args:
        encoder: image or video encoder that is pretrained.
        audio_encoder: audio encoder that is pretrained with it.
        size: pixels, side of the square picture.
        frames: frames per clip.
        step: seconds between the frames of a clip.
        seconds: length of the sound, which starts with its clip; None: frames · step.
        shift: least and greatest distance in seconds between the two clips of a video. A shift
            below the length of the sound makes them overlap, which is harder; one of several
            seconds is easy. Where a file is shorter, shifts end where the file does.
        moments: parts of the clip that are compared in order; 1: averages over all of it.
        scale: least and greatest share of the area that the random crop keeps.
        flip: mirror left and right half of the time.
        colour: change brightness by up to 1/8 and saturation by up to 1/2.
        hidden: width of the hidden layer of the head.
        easy: also pair each clip with a sound of the next video in the batch; these negatives
            weigh as much as the shifted ones, both together as much as the pairs in step. Codec,
            resolution and data set, which picture and sound of a file share, then tell them.
        level: give each stretch of sound a loudness of its own; otherwise loud may be taken to
            go with fast.
        heard: leave pairs out whose video is silent in one of both stretches; otherwise silence
            beside movement says that they are out of step.

    Raises:
        InputError: an encoder that does not hear, a clip longer than its sound, or a shift that
            is none.
    """

    def __init__(
        self,
        encoder: Encoder,
        audio_encoder: Encoder,
        *,
        size: int = 112,
        frames: int = 8,
        step: float = 0.1,
        seconds: float | None = None,
        shift: tuple[float, float] = (0.5, 2.0),
        moments: int = 4,
        scale: tuple[float, float] = (0.5, 1.0),
        flip: bool = True,
        colour: bool = True,
        hidden: int = 128,
        easy: bool = False,
        level: bool = True,
        heard: bool = True,
    ):
        super().__init__()
        if frames < 2:
            raise InputError(f"a clip that is in step has at least 2 frames, got {frames}")
        if not 0 < shift[0] <= shift[1]:
            raise InputError(f"shift is two numbers of seconds, 0 < least <= most: got {shift}")
        if not 1 <= moments <= frames:
            raise InputError(
                f"moments are parts of a clip of {frames} frames, 1 to {frames}, not {moments}: "
                "lower moments or raise frames"
            )
        check_crop(scale)
        self.view = clip_view(encoder, size, frames, step)
        self.sound = sound_view(audio_encoder, frames * step if seconds is None else seconds)
        if self.view.span > self.sound.seconds:
            raise InputError(
                f"a clip of {self.view.span:g} s is longer than {self.sound.seconds:g} s of "
                "sound: lower frames or step, or raise seconds"
            )
        self.shift, self.moments, self.easy = shift, moments, easy
        self.scale, self.flip, self.colour = scale, flip, colour
        self.level, self.heard = level, heard
        self.encoder, self.audio_encoder = encoder, audio_encoder
        inputs = (moments * encoder.dim, moments * audio_encoder.dim)
        self.head = Comparison(*inputs, 2, hidden=hidden)
        self.guards = (
            Guard("level", "loudness of the moment", level, moment_loudness),
            Guard("heard", "silence while something moves", heard, moving_silence),
        )

    @property
    def encoders(self) -> dict[str, Encoder]:
        return {self.view.modality: self.encoder, "audio": self.audio_encoder}

    @property
    def views(self) -> dict[str, InputSpec]:
        return {self.view.modality: self.view, "audio": self.sound}

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        first, last = audible_with_picture(info)
        seconds, (least, most) = self.sound.seconds, self.shift
        remedy = "lower frames, step, seconds or the least shift"
        need_length(info, last - first, seconds + least, remedy)
        shift = uniform(rng, least, min(most, last - first - seconds))
        early = uniform(rng, first, last - seconds - shift)
        starts = (early, early + shift)
        return Plan(
            times=tuple(t for start in starts for t in clip_times(self.view, start)),
            audio=(AudioSpan(early, shift + seconds, self.sound.rate),),
            short_side=canvas(self.view.size),
            past_end="repeat",
        )

    def example(self, sample: Sample, rng: Generator) -> Batch:
        assert sample.audio is not None
        samples = round(self.sound.seconds * self.sound.rate)
        mono = sample.audio.mean(0, keepdim=True)
        brightness, saturation = (1 / 8, 1 / 2) if self.colour else (0.0, 0.0)
        return {
            "frames": square(sample, canvas(self.view.size), rng),
            "audio": torch.stack([mono[:, :samples], mono[:, -samples:]]),
            **draw_view(rng, self.scale, self.flip),
            "colour": draw_colour(rng, brightness=brightness, saturation=saturation),
            **stacked([draw_sound(rng, level=self.level) for _ in range(2)]),
        }

    def augment(self, batch: Batch) -> Batch:
        clips = apply_colour(cut(batch["frames"], batch, self.view.size), batch["colour"])
        rate, raw = self.sound.rate, batch["audio"]
        sounds = [change_sound(raw[:, k], of_view(batch, k), rate) for k in (0, 1)]
        mute = silent(raw)
        audible = ~mute.any(1)
        names = batch.get("index", torch.arange(len(raw), device=raw.device))
        pairs = _pairs(names, audible if self.heard else torch.ones_like(audible), self.easy)
        t = self.view.frames
        return {
            "inputs": torch.stack([clips[:, :, :t], clips[:, :, t:]], 1).flatten(0, 1),
            "audio": torch.stack(sounds, 1).flatten(0, 1),
            "silent": mute.flatten(),
            **pairs,
        }

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        seen, heard = self.see(batch["inputs"]), self.hear(batch["audio"])
        logits = self.head(seen[batch["picture"]], heard[batch["sound"]])
        target = batch["target"]
        loss = weighted_mean(F.cross_entropy(logits, target, reduction="none"), batch["weight"])
        metrics = {
            "accuracy": accuracy(logits, target, batch["weight"]),
            "silent": batch["silent"].float().mean(),
        }
        return Step(loss, metrics, lambda: _pictures(batch, logits, self.view, self.sound.rate))

    def see(self, clips: Tensor) -> Tensor:
        return _in_order(self.encoder, clips, self.moments)

    def hear(self, sounds: Tensor) -> Tensor:
        return _in_order(self.audio_encoder, sounds, self.moments)

    def agree(self, seen: Tensor, heard: Tensor) -> Tensor:
        no, yes = self.head(seen, heard).unbind(1)
        return yes - no


def _pairs(names: Tensor, audible: Tensor, easy: bool) -> Batch:
    """Which clip [P] meets which sound [P], the answers, and what each pair weighs.

    Clips and sounds 2i and 2i + 1 are those of video i.
    """
    own = torch.arange(2 * len(names), device=names.device)
    yes, no, asked = torch.ones_like(own), torch.zeros_like(own), audible.float()
    asked = asked.repeat_interleave(2)
    sounds, answers, weights = [own, own ^ 1], [yes, no], [asked, asked]
    if easy:
        apart = (names != names.roll(-1)).float().repeat_interleave(2)
        sounds, answers = [*sounds, own.roll(-2)], [*answers, no]
        weights = [asked, asked / 2, asked * asked.roll(-2) * apart / 2]
    return {
        "picture": own.repeat(len(sounds)),
        "sound": torch.cat(sounds),
        "target": torch.cat(answers),
        "weight": torch.cat(weights),
    }


def _in_order(encoder: Encoder, x: Tensor, moments: int) -> Tensor:
    """The deepest map in `moments` parts of time, averaged over all else: [B, D · moments]."""
    if encoder.modality == "image":
        *_, maps = encoder.maps(x.transpose(1, 2).flatten(0, 1)).values()
        over_time = maps.flatten(2).mean(2).unflatten(0, (len(x), -1)).transpose(1, 2)
    else:
        *_, maps = encoder.maps(x).values()
        over_time = maps.mean(2) if encoder.modality == "audio" else maps.flatten(3).mean(3)
    return F.adaptive_avg_pool1d(over_time, moments).flatten(1)


def moment_loudness(batch: Batch) -> Tensor:
    """Log root mean square of each pair's sound, the clip's movement, and their product."""
    return _with_movement(batch, loudness(batch["audio"]))


def moving_silence(batch: Batch) -> Tensor:
    """Silent share of each counting pair's sound, the clip's movement, and their product."""
    counts = (batch["weight"] > 0).float()[:, None]
    return _with_movement(batch, silence(batch["audio"])) * counts


def _with_movement(batch: Batch, cue: Tensor) -> Tensor:
    """A cue [2B, 1] of sounds beside the movement of clips, both centred, for pairs: [P, 3]."""
    movement = batch["inputs"].diff(dim=2).abs().mean((1, 2, 3, 4))[:, None]
    movement, cue = ((x - x.mean())[batch[k]] for x, k in ((movement, "picture"), (cue, "sound")))
    return torch.cat([cue, movement, cue * movement], 1)


def _pictures(batch: Batch, logits: Tensor, view: InputSpec, rate: int) -> list[Picture]:
    half = len(batch["inputs"])
    chosen = [i for i in (0, half, 2, half + 2) if i < len(logits)]
    return [
        Picture(
            images=[
                film_over_sound(
                    batch["inputs"][batch["picture"][i]],
                    view.step,
                    batch["audio"][batch["sound"][i]],
                    rate,
                )
            ],
            captions=["seen, and heard below (time to the right, pitch upwards)"],
            answer=NAMES[int(batch["target"][i])],
            prediction=best(logits[i], NAMES),
        )
        for i in chosen
    ]
