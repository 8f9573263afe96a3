"""Each task is learned in the synthetic world by its own cue, and not where that is missing.

Scores are means over unseen scenes.
"""

import math

import pytest
import torch
from helpers import audio_times
from small_world import held_out, score, train
from task_kit import make_task

from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.image import TinyImage
from pretexto.modalities.image import resize
from pretexto.modalities.media import MediaInfo, Plan, Sample
from pretexto.modalities.rng import generator, uniform
from pretexto.tasks.audio_visual import AudioVisual
from pretexto.tasks.parts.transforms import Blur, Colour
from pretexto.tasks.rotation import Rotation
from pretexto.tasks.simclr import SimCLR
from pretexto.tasks.task import Task

pytestmark = pytest.mark.slow

WIDTH = 8


class Tones:
    """Videos from red to blue, noisy; the bluer, the higher the tone, if they are coupled."""

    def __init__(self, seed: int, count: int, coupled: bool = True):
        rng = torch.Generator().manual_seed(seed)
        self.blue = torch.rand(count, generator=rng)
        self.pitch = self.blue if coupled else torch.rand(count, generator=rng)
        about = MediaInfo(
            "x.mp4", "video", duration=4.0, fps=25, frames=100, height=40, width=40,
            audio_rate=16000, audio_channels=1, audio_duration=4.0,
        )  # fmt: skip
        self.infos, self.labels = [about] * count, [0] * count

    def __len__(self) -> int:
        return len(self.infos)

    def read(self, i: int, plan: Plan) -> Sample:
        assert plan.audio
        rng = generator(i, 0, int(1000 * plan.times[0]))
        blue = float(self.blue[i])
        colour = torch.tensor([1 - blue, 0.3, blue])[:, None, None]
        frame = (255 * (0.1 + 0.6 * colour + 0.2 * torch.rand(3, 40, 40, generator=rng))).byte()
        t = audio_times(plan)
        hertz = 200 * 2 ** (4 * float(self.pitch[i]))
        tone = uniform(rng, 0.1, 0.9) * torch.sin(2 * math.pi * hertz * t)
        frames = resize(frame[None], plan.short_side or 40)
        times = torch.tensor(plan.times).double()
        return Sample(frames, times, tone[None].float(), plan.audio[0].rate)


class Chords(Tones):
    """Red tells a low tone and blue a high one, at once: few videos are too like another."""

    def __init__(self, seed: int, count: int, coupled: bool = True):
        super().__init__(seed, count)
        rng = torch.Generator().manual_seed(seed)
        self.colours = torch.rand(count, 2, generator=rng)
        self.pitches = self.colours if coupled else torch.rand(count, 2, generator=rng)

    def read(self, i: int, plan: Plan) -> Sample:
        assert plan.audio
        rng, side = generator(i, 0, int(1000 * plan.times[0])), plan.short_side or 40
        red, blue = self.colours[i].tolist()
        colour = torch.tensor([red, 0.3, blue])[:, None, None]
        frame = 0.1 + 0.6 * colour + 0.2 * torch.rand(3, side, side, generator=rng)
        t = audio_times(plan)
        low, high = self.pitches[i].tolist()
        hertz = (150 * 2 ** (2 * low), 1200 * 2 ** (2 * high))
        chord = sum(torch.sin(2 * math.pi * f * t) for f in hertz)
        sound = uniform(rng, 0.1, 0.4) * torch.as_tensor(chord)[None]
        times = torch.tensor(plan.times).double()
        return Sample((255 * frame).byte()[None], times, sound.float(), plan.audio[0].rate)


def rotation() -> Task:
    return make_task(Rotation, TinyImage(width=WIDTH), size=32, scale=(0.6, 1.0))


def audio_visual() -> Task:
    encoders = TinyImage(width=WIDTH), TinyAudio(width=WIDTH)
    return make_task(AudioVisual, *encoders, size=32, seconds=0.5, colour=0)


def simclr() -> Task:
    views = {"scale": (0.3, 1.0), "colour": Colour(0.4, 0.4, 0.4, 0.1, p=0.8, grey=0.2)}
    return make_task(SimCLR, TinyImage(width=WIDTH), size=32, blur=Blur(p=0.0), **views)


def score_of_tones(seed: int, coupled: bool, steps: int = 60) -> float:
    torch.manual_seed(seed)
    task = audio_visual()
    train(task, Tones(2 * seed, 256, coupled), steps=steps, seed=seed)
    return held_out(task, Tones(2 * seed + 1, 96, coupled))


def test_rotation_is_learned_and_not_where_nothing_is_upright():
    # Measured over three seeds: 0.999 to 1.
    assert score(rotation, 50, 0, scenes=16) > 0.9
    # Measured over four seeds: 0.224 to 0.249; chance is 0.25.
    assert score(rotation, 50, 0, scenes=16, upright=False) < 0.35


def test_audio_visual_correspondence_is_learned_and_not_where_there_is_none():
    # Measured over four seeds: 0.866 to 0.905; the rest are tones too near to be told apart.
    assert score_of_tones(0, coupled=True) > 0.75
    # Measured over four seeds with twice the steps: 0.490 to 0.508.
    assert abs(score_of_tones(0, coupled=False) - 0.5) < 0.06


def score_of_chords(seed: int, coupled: bool, steps: int) -> float:
    torch.manual_seed(seed)
    encoders = TinyImage(width=WIDTH), TinyAudio(width=WIDTH)
    options = {"size": 32, "seconds": 0.5, "colour": 0, "negatives_per_clip": 8}
    task = make_task(AudioVisual, *encoders, **options)
    train(task, Chords(2 * seed, 512, coupled), steps=steps, seed=seed)
    return held_out(task, Chords(2 * seed + 1, 192, coupled))


def test_audio_visual_correspondence_passes_95_percent_where_videos_are_unlike():
    # Measured over seeds 1 to 3: 0.960 to 0.971.
    assert score_of_chords(1, True, 200) > 0.95
    # Measured over two seeds with 120 steps: 0.507 and 0.531.
    assert abs(score_of_chords(0, False, 200) - 0.5) < 0.08


def test_simclr_finds_the_other_view_of_unseen_media():
    # Measured over four seeds: 0.125 to 0.159; chance is 1 of 47.
    assert score(simclr, 100, 0, scenes=16) > 0.08
