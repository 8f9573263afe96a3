"""Videos and sounds whose colours and tones spell which they are and which second."""

import math

import torch
from helpers import audio_times
from task_kit import build_encoder, collate, make_task
from torch import Tensor

from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.video import TinyVideo
from pretexto.modalities.media import MediaInfo, Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.audio_visual import AudioVisual
from pretexto.tasks.task import Task

SECONDS = 10.0


def medium(**changes) -> MediaInfo:
    fields = {
        "path": "x.mp4", "kind": "video", "duration": SECONDS, "fps": 25.0, "frames": 250,
        "height": 40, "width": 40, "audio_rate": 44100, "audio_channels": 2,
        "audio_duration": SECONDS,
    }  # fmt: skip
    return MediaInfo(**(fields | changes))


def recording(**changes) -> MediaInfo:
    """Five seconds of sound without picture."""
    fields = {
        "path": "x.wav", "kind": "audio", "duration": 5.0, "audio_rate": 44100,
        "audio_channels": 2, "audio_duration": 5.0,
    }  # fmt: skip
    return MediaInfo(**(fields | changes))


def coded(i: int, plan: Plan) -> Sample:
    """Red and the tone's octave tell which it is; green and the tone's offset tell the time."""
    t = audio_times(plan)
    # A chirp: 600 Hz apart for each, and 20 Hz up each second.
    tone = 0.5 * torch.sin(2 * math.pi * (600 * (i + 1) * t + 10 * t * t))
    sound = {"audio": tone.float().expand(2, -1), "audio_rate": plan.audio[0].rate}
    if not plan.times:
        return Sample(**sound)
    times = torch.tensor(plan.times, dtype=torch.float64)
    frames = torch.zeros(len(times), 3, 40, 40)
    frames[:, 0] = 25 * i + 20
    frames[:, 1] = (times / SECONDS * 250).float()[:, None, None]
    return Sample(frames.to(torch.uint8), times, **sound)


def task_of(encoder=TinyVideo, cls: type[Task] = AudioVisual, **options) -> Task:
    """A task on clips and sounds that leaves colours as they are, so that they can be read."""
    plain = {"size": 32, "colour": 0}
    return make_task(cls, build_encoder(encoder), build_encoder(TinyAudio), **(plain | options))


def drawn(
    task: Task, count: int = 8, seed: int = 0, *, info: MediaInfo | None = None, make=coded
) -> dict[str, Tensor]:
    """A batch of as many media, alike but for what `make` says of each, as the loader makes it."""
    info = info or (medium() if len(task.specs) > 1 else recording())
    made = []
    for i in range(count):
        rng = generator(seed, 0, i)
        example = task.example(make(i, task.plan(info, rng)), rng)
        made.append({**example, "index": torch.tensor(i)})
    return collate(made)


def frequency(audio: Tensor, rate: int) -> Tensor:
    """Mean frequency of each sound [B, 1, N] in Hz."""
    power = torch.fft.rfft(audio[:, 0].double()).abs().square()
    hertz = torch.fft.rfftfreq(audio.shape[-1], 1 / rate, dtype=torch.float64)
    return (power @ hertz) / power.sum(1)


def sound_spells(audio: Tensor, rate: int = 16000) -> tuple[Tensor, Tensor]:
    """Number and middle second that each sound [B, 1, N] spells."""
    tone = frequency(audio, rate)
    number = (tone / 600).floor() - 1
    return number.long(), (tone - 600 * (number + 1)) / 20


def clip_spells(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Video and seconds [B, T] that each clip spells."""
    video = ((inputs[:, 0].mean((1, 2, 3)) * 255 - 20) / 25).round().long()
    return video, inputs[:, 1].mean((2, 3)) * 255 / 250 * SECONDS


def spelled(data: dict[str, Tensor], rate: int = 16000) -> Tensor:
    """1 where picture and sound of a pair tell the same video."""
    picture, sound = clip_spells(data["inputs"])[0], sound_spells(data["audio"], rate)[0]
    return (picture[data["picture"]] == sound[data["partner"]]).long()
