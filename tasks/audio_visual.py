"""Do a picture and a sound belong together?"""

from functools import partial
from typing import Literal

import torch
from torch import Generator, Tensor

from ..errors import InputError
from ..modalities.media import MediaInfo, Plan, Sample
from ..modalities.rng import uniform
from ..modalities.transforms.image import apply_gain, draw_gain
from .parts.audio_input import AudioInput, audible_with_picture, need_length
from .parts.check import check_least
from .parts.clip_input import ClipInput
from .parts.heads import Comparison, Fusion, margin
from .parts.pairing import (
    PairingTask,
    among_all,
    beside_other_moments,
    beside_others,
    exchanged,
    judged,
    plan_pairs,
)
from .parts.pictures import spectrogram, strip
from .parts.sound_changes import SoundChanges, SoundGuards
from .parts.sound_cues import marks_of_a_file, of_pairs, tint
from .parts.transforms import Colour, Crop, stacked
from .task import Batch, Step

NAMES = ("sound of another video", "sound of this video")
MOMENTS = ("sound of another moment", "sound of this moment")
CONTEXT = 10  # lengths of the sound within which the other moment of a video starts
CHANGES = SoundChanges()

Negatives = Literal["other_video", "exchanged", "same_video"]


class AudioVisual(PairingTask):
    """Audio-visual correspondence (Look, Listen and Learn: Arandjelović & Zisserman 2017,
    arXiv:1705.08168, section 2).

    A frame, or a clip, from inside a second of sound makes a pair that belongs together; the
    same picture with another sound makes one that does not. Every picture and every sound stands
    as often as any other in both kinds of pairs, so that neither alone tells the answer. Nothing
    is encoded twice.

    Negatives are of the batch, all processes' together, which is a random sample of the videos:

    - `other_video`: sounds of other videos, `negatives_per_clip` beside each picture's own;
    - `exchanged`, as published: each picture and each sound of a batch stands in one pair alone,
      half of them with their own, half with that of a random other video;
    - `same_video`: the sound of another moment of the same video, 1 to 10 lengths away; whatever
      picture and sound of one file share then tells nothing, and a still picture is of little
      use. Only the two moments are read.

    The paper's head sees the two vectors side by side (`compare=False`). With tiny encoders in
    the synthetic world it stood at chance after 220 steps in two seeds of three; a head that
    compares them had left it in all three.

    Args:
        video: what is pretrained on pictures or clips.
        audio: what is pretrained on sound; its length is that inside which the clip lies.
        crop: one for all frames.
        colour: one change for all frames; the paper's are brightness and saturation.
        gain: greatest share by which the loudness of each sound changes; the paper's is 0.1.
        negatives: where the wrong sounds are from.
        negatives_per_clip: sounds of other videos that each picture is paired with, at most all
            others; together they weigh as much as its own.
        hidden: width of the hidden layer of the head.
        compare: show the head the product and the difference of both vectors beside them.
        guards: against shortcuts; the paper has none of them.
    """

    def __init__(
        self,
        video: ClipInput,
        audio: AudioInput,
        *,
        crop: Crop = Crop(scale=(0.5, 1.0)),
        colour: Colour = Colour(brightness=1 / 8, saturation=1 / 2),
        gain: float = 0.1,
        negatives: Negatives = "other_video",
        negatives_per_clip: int = 1,
        hidden: int = 128,
        compare: bool = True,
        guards: SoundGuards = SoundGuards(loudness=False, equalise=False),
    ):
        super().__init__(video, audio, crop=crop, colour=colour, guards=guards)
        check_least(1, negatives_per_clip=negatives_per_clip)
        if not 0 <= gain < 1:
            raise InputError(f"gain is a share from 0 to less than 1, got {gain:g}")
        if negatives_per_clip > 1 and negatives != "other_video":
            raise InputError(
                f"with negatives {negatives} each picture has one wrong sound: set "
                "negatives_per_clip to 1, or negatives to other_video"
            )
        self.gain, self.negatives, self.negatives_per_clip = gain, negatives, negatives_per_clip
        head = Comparison if compare else Fusion
        self.head = head(video.dim, audio.dim, 2, hidden=hidden)
        self.guards = guards.records(
            partial(of_pairs, tint),
            loudness="loudness beside a kind of picture",
            equalise="room and microphone beside a camera",
            silence="silence beside a kind of picture",
        )
        self.audits = (marks_of_a_file(of_pairs),)

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        first, last = audible_with_picture(info)
        seconds, two = self.audio.seconds, self.negatives == "same_video"
        need_length(info, last - first, seconds * (2 if two else 1), "lower seconds")
        apart = (
            uniform(rng, seconds, min(CONTEXT * seconds, last - first - seconds)) if two else 0.0
        )
        early = uniform(rng, first, last - seconds - apart)
        sounds = (early, early + apart) if two else (early,)
        clips = [uniform(rng, start, start + seconds - self.video.span) for start in sounds]
        return plan_pairs(self.video, self.audio, clips, sounds)

    def example(self, sample: Sample, rng: Generator) -> Batch:
        sounds = self.audio.sounds(sample)
        made = {
            "clips": self.video.clips(sample, rng),
            "audio": sounds,
            **self.crop.draw(rng),
            **self.colour.draw(rng),
            "gain": draw_gain(rng, self.gain),
            **stacked([CHANGES.draw(rng, self.sound_guards) for _ in sounds]),
        }
        if self.negatives == "exchanged":
            made["order"] = torch.tensor(uniform(rng))
        return made

    def augment(self, batch: Batch) -> Batch:
        """Joins the moments of all media: inputs [B · N, 3, T, H, W], audio [B · N, 1, S]."""
        clips = self.crop.apply(batch["clips"], batch, self.video.size)
        raw = batch["audio"]
        # Both moments of a video share crop, colour and gain.
        sounds = apply_gain(raw.squeeze(2), batch["gain"]).unsqueeze(2)
        return {
            "inputs": self.colour.apply(clips, batch).flatten(0, 1),
            "audio": CHANGES.apply(sounds, batch, self.audio.rate).flatten(0, 1),
            **self._pairs(batch, self.sound_guards.audible(raw).flatten()),
        }

    def _pairs(self, batch: Batch, audible: Tensor) -> Batch:
        names = batch["index"]
        if self.negatives == "same_video":
            return among_all(beside_other_moments, names, audible)
        if self.negatives == "exchanged":
            return among_all(exchanged, names, audible, batch["order"])
        choose = partial(beside_others, count=self.negatives_per_clip)
        return among_all(choose, names, audible)

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        clips, sounds = batch["inputs"], batch["audio"]

        def row(clip: int, sound: int) -> tuple[list[Tensor], list[str]]:
            captions = ["the picture", "the sound (time to the right, pitch upwards)"]
            return [strip(clips[clip]), spectrogram(sounds[sound], self.audio.rate)], captions

        names = MOMENTS if self.negatives == "same_video" else NAMES
        encoded = self.encode_video(clips), self.encode_audio(sounds)
        return judged(*encoded, self.head, batch, names, row)

    def encode_video(self, clips: Tensor) -> Tensor:
        return self.video.encode(clips)

    def encode_audio(self, sounds: Tensor) -> Tensor:
        return self.audio.encode(sounds)

    def score(self, clips: Tensor, sounds: Tensor) -> Tensor:
        return margin(self.head(clips, sounds))
