"""Do a picture and a sound belong together?"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.augment import apply_gain, draw_gain
from ..modalities.draw import uniform
from ..modalities.jitter import apply_colour, draw_colour
from ..modalities.media import AudioSpan, MediaError, MediaInfo, Plan, Sample
from ..modalities.view import View
from .clips import canvas, clip_times, clip_view, cut, draw_view, embed, square
from .heads import Comparison, Fusion
from .metrics import accuracy, weighted_mean
from .show import best, film, spectrogram
from .task import Batch, Guard, Picture, Step, Task

NAMES = ("sound of another video", "sound of this video")


class AudioVisual(Task):
    """Audio-visual correspondence (Look, Listen and Learn: Arandjelović & Zisserman 2017,
    arXiv:1705.08168, section 2).

    A frame, or a clip, from inside a second of sound makes a pair that belongs together; the
    same picture with the sound of another video of the batch makes one that does not. Every
    picture and every sound stands as often as any other in both kinds of pairs, so that neither
    alone tells the answer. Nothing is encoded twice.

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
        flip: mirror left and right half of the time.
        colour: change brightness by up to 1/8 and saturation by up to 1/2.
        hidden: width of the hidden layer of the head.
        compare: show the head the product and the difference of both vectors beside them.
        gain: change the loudness of each sound by up to 10 %.
        negatives: sounds of other videos that each picture is paired with, at most all others of
            the batch; together they weigh as much as its own.

    Raises:
        InputError: an encoder that does not hear, no negatives, or a clip longer than the sound.
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
        flip: bool = True,
        colour: bool = True,
        hidden: int = 128,
        compare: bool = True,
        gain: bool = True,
        negatives: int = 1,
    ):
        super().__init__()
        if audio_encoder.modality != "audio":
            raise InputError(
                f"audio_encoder must hear, but {type(audio_encoder).__name__} is an encoder of "
                f"{audio_encoder.modality}"
            )
        if negatives < 1:
            raise InputError(f"negatives is a number of sounds from 1 on, got {negatives}")
        self.view = clip_view(encoder, size, frames, step)
        if not self.view.span < seconds:
            raise InputError(
                f"a clip of {self.view.span:g} s does not fit into {seconds:g} s of sound: lower "
                "frames or step, or raise seconds"
            )
        self.sound = View("audio", seconds=seconds, rate=audio_encoder.rate)
        self.scale, self.flip, self.colour, self.gain = scale, flip, colour, gain
        self.negatives = negatives
        self.encoder, self.audio_encoder = encoder, audio_encoder
        head = Comparison if compare else Fusion
        self.head = head(encoder.dim, audio_encoder.dim, 2, hidden=hidden)
        self.guards = (Guard("gain", "loudness of the recording", gain, loudness),)

    @property
    def encoders(self) -> dict[str, Encoder]:
        return {self.view.modality: self.encoder, "audio": self.audio_encoder}

    @property
    def views(self) -> dict[str, View]:
        return {self.view.modality: self.view, "audio": self.sound}

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        if not info.has_video:
            raise MediaError(info.path, "plan", "no video: this task pairs picture and sound")
        if not info.has_audio:
            reason = "no sound track: leave the file out or choose a task that needs no sound"
            raise MediaError(info.path, "plan", reason)
        first, last = _overlap(info)
        seconds = self.sound.seconds
        if last - first < seconds:
            reason = (
                f"picture and sound overlap for {max(last - first, 0):.2f} s, less than "
                f"{seconds:g} s: lower seconds or leave the file out"
            )
            raise MediaError(info.path, "plan", reason)
        heard = uniform(rng, first, last - seconds)
        seen = uniform(rng, heard, heard + seconds - self.view.span)
        return Plan(
            times=clip_times(self.view, seen),
            audio=AudioSpan(heard, seconds, self.sound.rate),
            short_side=canvas(self.view.size),
            past_end="repeat",
        )

    def example(self, sample: Sample, rng: Generator) -> Batch:
        assert sample.audio is not None
        brightness, saturation = (1 / 8, 1 / 2) if self.colour else (0.0, 0.0)
        return {
            "frames": square(sample, canvas(self.view.size), rng),
            "audio": sample.audio.mean(0, keepdim=True),
            **draw_view(rng, self.scale, self.flip),
            "colour": draw_colour(rng, brightness=brightness, saturation=saturation),
            "gain": draw_gain(rng, 0.1 if self.gain else 0.0),
        }

    def augment(self, batch: Batch) -> Batch:
        inputs = apply_colour(cut(batch["frames"], batch, self.view.size), batch["colour"])
        own = torch.arange(len(inputs), device=inputs.device)
        count = min(self.negatives, max(len(own) - 1, 1))
        picture = own.repeat(count)
        other = torch.cat([own.roll(-k) for k in range(1, count + 1)])
        # A batch of one video, or one that holds a video twice, has pairs that cannot be asked.
        names = batch.get("index", own)
        possible = (names[picture] != names[other]).float() / count
        return {
            "inputs": inputs,
            "audio": apply_gain(batch["audio"], batch["gain"]),
            "picture": torch.cat([own, picture]),
            "sound": torch.cat([own, other]),
            "target": torch.cat([torch.ones_like(own), torch.zeros_like(other)]),
            "weight": torch.cat([torch.ones_like(possible[: len(own)]), possible]),
        }

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        seen, heard = embed(self.encoder, batch["inputs"]), self.audio_encoder(batch["audio"])
        logits = self.head(seen[batch["picture"]], heard[batch["sound"]])
        target = batch["target"]
        loss = weighted_mean(F.cross_entropy(logits, target, reduction="none"), batch["weight"])
        metrics = {"accuracy": accuracy(logits, target, batch["weight"])}
        return Step(loss, metrics, lambda: _pictures(batch, logits, self.sound.rate))


def loudness(batch: Batch) -> Tensor:
    """Log root mean square of the sound of each pair: [2B, 1]."""
    power = batch["audio"].square().mean((1, 2)).clamp_min(1e-10)
    return (power.log() / 2)[batch["sound"], None]


def _overlap(info: MediaInfo) -> tuple[float, float]:
    """Seconds at which both picture and sound start and end."""
    last = min(info.duration, info.audio_start + info.audio_duration)
    return max(info.audio_start, 0.0), last


def _pictures(batch: Batch, logits: Tensor, rate: int) -> list[Picture]:
    pairs = len(logits)
    own = int(batch["target"].sum())
    chosen = [0, own, 1, own + 1] if pairs >= 4 else list(range(pairs))
    return [
        Picture(
            images=[
                film(batch["inputs"][batch["picture"][i]]),
                spectrogram(batch["audio"][batch["sound"][i]], rate),
            ],
            captions=["seen", "heard (time to the right, pitch upwards)"],
            answer=NAMES[int(batch["target"][i])],
            prediction=best(logits[i], NAMES),
        )
        for i in chosen
    ]
