"""Do a picture and a sound belong together?"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec
from ..modalities.media import AudioSpan, MediaInfo, Plan, Sample
from ..modalities.rng import uniform
from ..modalities.transforms.colour import apply_colour, draw_colour
from ..modalities.transforms.image import apply_gain, draw_gain
from .parts.audio_input import (
    SOUND,
    audible_with_picture,
    change_sound,
    draw_sound,
    loudness,
    need_length,
    room_tone,
    silence,
    silent,
    sound_view,
    stacked,
)
from .parts.classify import accuracy, weighted_mean
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
from .parts.guards import beside_pictures, file_marks
from .parts.heads import Comparison, Fusion
from .parts.pairing import beside_others, beside_the_other_moment, each_once
from .parts.pictures import best, film, spectrogram
from .task import Batch, Guard, Picture, Step, Task

NAMES = ("sound of another video", "sound of this video")
MOMENTS = ("sound of another moment", "sound of this moment")
REACH = 10  # lengths of the sound within which the other moment of a video starts


class AudioVisual(Task):
    """Audio-visual correspondence (Look, Listen and Learn: Arandjelović & Zisserman 2017,
    arXiv:1705.08168, section 2).

    A frame, or a clip, from inside a second of sound makes a pair that belongs together; the
    same picture with another sound makes one that does not. Every picture and every sound stands
    as often as any other in both kinds of pairs, so that neither alone tells the answer. Nothing
    is encoded twice.

    Negatives are sounds of other videos in the batch, which is a random sample of them. `hard`
    takes the sound of another second of the same video instead, at most 10 s away: whatever
    picture and sound of one file share then tells nothing, and a still picture is of little use.

    The paper's head sees the two vectors side by side (`compare=False`). With tiny encoders in
    the synthetic world it stood at chance after 220 steps in two seeds of three; a head that
    compares them had left it in all three.

    Args:
        encoder: image or video encoder that is pretrained.
        audio_encoder: audio encoder that is pretrained with it.
        size: pixels, side of the square picture.
        frames: frames per clip; None: 1 for an image encoder, 8 for a video encoder.
        step: seconds between the frames of a clip.
        seconds: length of the sound.
        scale: least and greatest share of the area that the random crop keeps.
        ratio: least and greatest width / height of the crop.
        flip: mirror left and right half of the time.
        colour: change brightness by up to 1/8 and saturation by up to 1/2.
        hidden: width of the hidden layer of the head.
        compare: show the head the product and the difference of both vectors beside them.
        gain: change the loudness of each sound by up to 10 %, as published.
        negatives: sounds of other videos that each picture is paired with, at most all others of
            the batch; together they weigh as much as its own.
        sampled: as published, each picture and each sound of a batch stands in one pair alone,
            half of them with their own, half with that of a random other.
        hard: negatives are other moments of the same video; one pair of moments of each.
        level: give each sound a loudness of its own, which the paper does not.
        equalise: change the colouring of each sound by up to 12 decibels, nor this.
        heard: leave silent sounds out; otherwise a silent video is known by its silence.

    Raises:
        InputError: an encoder that does not hear, no negatives, options that exclude each other,
            or a clip longer than the sound.
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
        scale: tuple[float, float] = (0.5, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: bool = True,
        colour: bool = True,
        hidden: int = 128,
        compare: bool = True,
        gain: bool = True,
        negatives: int = 1,
        sampled: bool = False,
        hard: bool = False,
        level: bool = False,
        equalise: bool = False,
        heard: bool = True,
    ):
        super().__init__()
        _check(negatives, sampled, hard)
        check_crop(scale, ratio)
        self.view = clip_view(encoder, size, frames, step)
        self.sound = sound_view(audio_encoder, seconds)
        if not self.view.span < seconds:
            raise InputError(
                f"a clip of {self.view.span:g} s does not fit into {seconds:g} s of sound: lower "
                "frames or step, or raise seconds"
            )
        self.scale, self.ratio, self.flip, self.colour = scale, ratio, flip, colour
        self.gain, self.level, self.equalise, self.heard = gain, level, equalise, heard
        self.negatives, self.sampled, self.hard = negatives, sampled, hard
        self.encoder, self.audio_encoder = encoder, audio_encoder
        head = Comparison if compare else Fusion
        self.head = head(encoder.dim, audio_encoder.dim, 2, hidden=hidden)
        self.guards = (
            Guard("level", "loudness beside a kind of picture", level, pair_loudness),
            Guard("equalise", "room and microphone beside a camera", equalise, pair_room_tone),
            Guard("heard", "silence beside a kind of picture", heard, pair_silence),
            Guard("hard", "codec, resolution and data set, of one file", hard, pair_marks),
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
        need_length(info, last - first, seconds * (2 if self.hard else 1), "lower seconds")
        apart = (
            uniform(rng, seconds, min(REACH * seconds, last - first - seconds))
            if self.hard
            else 0.0
        )
        early = uniform(rng, first, last - seconds - apart)
        moments = (early, early + apart) if self.hard else (early,)
        seen = [uniform(rng, m, m + seconds - self.view.span) for m in moments]
        return Plan(
            times=tuple(t for start in seen for t in clip_times(self.view, start)),
            audio=(AudioSpan(early, apart + seconds, self.sound.rate),),
            short_side=canvas(self.view.size),
            past_end="repeat",
        )

    def example(self, sample: Sample, rng: Generator) -> Batch:
        assert sample.audio is not None
        brightness, saturation = (1 / 8, 1 / 2) if self.colour else (0.0, 0.0)
        mono = sample.audio.mean(0, keepdim=True)
        made = {
            "frames": square(sample, canvas(self.view.size), rng),
            "audio": mono,
            **draw_view(rng, self.scale, self.flip, self.ratio),
            "colour": draw_colour(rng, brightness=brightness, saturation=saturation),
            "gain": draw_gain(rng, 0.1 if self.gain else 0.0),
            **draw_sound(rng, level=self.level, equalise=self.equalise),
        }
        if self.sampled:
            made["order"] = torch.tensor(uniform(rng))
        if self.hard:
            samples = round(self.sound.seconds * self.sound.rate)
            made["audio"] = torch.stack([mono[:, :samples], mono[:, -samples:]])
            again = draw_sound(rng, level=self.level, equalise=self.equalise)
            made |= stacked([{k: made[k] for k in again}, again]) if again else {}
        return made

    def augment(self, batch: Batch) -> Batch:
        inputs = apply_colour(cut(batch["frames"], batch, self.view.size), batch["colour"])
        raw, drawn = batch["audio"], {k: batch[k] for k in SOUND if k in batch}
        gain = batch["gain"]
        names = batch.get("index", torch.arange(len(raw), device=raw.device))
        if self.hard:
            # Both moments of a video share crop, colour and gain.
            inputs = inputs.unflatten(2, (2, -1)).transpose(1, 2).flatten(0, 1)
            raw, drawn = raw.flatten(0, 1), {k: v.flatten(0, 1) for k, v in drawn.items()}
            gain = gain.repeat_interleave(2)
        mute = silent(raw)
        audible = ~mute if self.heard else torch.ones_like(mute)
        sound = change_sound(apply_gain(raw, gain), drawn, self.sound.rate)
        if self.hard:
            pairs = beside_the_other_moment(audible)
        elif self.sampled:
            pairs = each_once(names, audible, batch["order"])
        else:
            pairs = beside_others(names, audible, self.negatives)
        return {"inputs": inputs, "audio": sound, "silent": mute, **pairs}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        seen, heard = self.see(batch["inputs"]), self.hear(batch["audio"])
        logits = self.head(seen[batch["picture"]], heard[batch["sound"]])
        target = batch["target"]
        loss = weighted_mean(F.cross_entropy(logits, target, reduction="none"), batch["weight"])
        metrics = {
            "accuracy": accuracy(logits, target, batch["weight"]),
            "silent": batch["silent"].float().mean(),
        }
        names = MOMENTS if self.hard else NAMES
        return Step(loss, metrics, lambda: _pictures(batch, logits, self.sound.rate, names))

    def see(self, clips: Tensor) -> Tensor:
        return embed(self.encoder, clips)

    def hear(self, sounds: Tensor) -> Tensor:
        return self.audio_encoder(sounds)

    def agree(self, seen: Tensor, heard: Tensor) -> Tensor:
        no, yes = self.head(seen, heard).unbind(1)
        return yes - no


def pair_loudness(batch: Batch) -> Tensor:
    """Log root mean square of each pair's sound beside what its picture is like: [P, 3]."""
    return beside_pictures(batch, loudness(batch["audio"]))


def pair_silence(batch: Batch) -> Tensor:
    """Silent share of each counting pair's sound beside what its picture is like: [P, 3]."""
    counts = (batch["weight"] > 0).float()[:, None]
    return beside_pictures(batch, silence(batch["audio"])) * counts


def pair_room_tone(batch: Batch) -> Tensor:
    """Room tone of each pair's sound beside what its picture is like: [P, 24]."""
    return beside_pictures(batch, room_tone(batch["audio"]))


def pair_marks(batch: Batch) -> Tensor:
    """What coding and resolution leave in each pair's picture and in its sound: [P, 9]."""
    return file_marks(batch["inputs"], batch["audio"], batch["picture"], batch["sound"])


def _check(negatives: int, sampled: bool, hard: bool) -> None:
    if negatives < 1:
        raise InputError(f"negatives is a number of sounds from 1 on, got {negatives}")
    if sampled and hard:
        raise InputError("sampled takes sounds of other videos, hard of the same: choose one")
    if negatives > 1 and (sampled or hard):
        raise InputError(f"there is one negative for each picture here, not {negatives}")


def _pictures(batch: Batch, logits: Tensor, rate: int, names: tuple[str, ...]) -> list[Picture]:
    right, wrong = (batch["target"] == 1).nonzero()[:2, 0], (batch["target"] == 0).nonzero()[:2, 0]
    chosen = torch.stack([right, wrong], 1).flatten() if len(right) == len(wrong) else right
    return [
        Picture(
            images=[
                film(batch["inputs"][batch["picture"][i]]),
                spectrogram(batch["audio"][batch["sound"][i]], rate),
            ],
            captions=["seen", "heard (time to the right, pitch upwards)"],
            answer=names[int(batch["target"][i])],
            prediction=best(logits[i], names),
        )
        for i in chosen.tolist()
    ]
