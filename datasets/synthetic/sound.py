"""Sound of the synthetic world: a tone that follows the head's height, a tick at every turn."""

import numpy as np
import torch
from torch import Generator

from ...modalities.rng import uniform
from .scene import Motion, pitch

RATE = 16000
TICK = 0.03


def draw_transpose(rng: Generator) -> float:
    """Octaves by which a clip is tuned up or down, so that pitch alone tells no exact height."""
    return uniform(rng, -0.25, 0.25)


def sound(motion: Motion, duration: float, transpose: float, rng: Generator) -> np.ndarray:
    """What a motion sounds like.

    Loudness, timbre and hiss are drawn for the clip and tell nothing about the picture: every
    clip is brought to the same power before its random gain.

    Args:
        motion: the motion that is heard.
        duration: seconds.
        transpose: octaves added to the pitch.
        rng: draws timbre, hiss, tick and gain.

    Returns:
        float32 [duration · RATE] in [-1, 1].
    """
    samples = round(duration * RATE)
    times = np.arange(samples) / RATE
    slow = np.arange(0, duration + 0.02, 0.01)
    hertz = np.interp(times, slow, pitch(motion.heads(slow), transpose))
    phase = 2 * np.pi * (uniform(rng) + np.cumsum(hertz) / RATE)
    partials = [1.0, uniform(rng, 0.1, 0.5), uniform(rng, 0.0, 0.3)]
    wave = sum(a * np.sin((k + 1) * phase) for k, a in enumerate(partials))
    wave = np.asarray(wave) + _noise(rng, samples) * uniform(rng, 0.01, 0.05)
    wave += 2.0 * _ticks(motion.beats(duration), samples, rng)
    wave *= uniform(rng, 0.05, 0.15) / np.sqrt(np.mean(wave**2))
    return np.clip(wave, -1, 1).astype(np.float32)


def _ticks(beats: np.ndarray, samples: int, rng: Generator) -> np.ndarray:
    length = round(TICK * RATE)
    tick = _noise(rng, length) * np.exp(-np.arange(length) / (length / 5))
    track = np.zeros(samples + length)
    for start in np.rint(beats * RATE).astype(int):
        track[start : start + length] += tick
    return track[:samples]


def _noise(rng: Generator, samples: int) -> np.ndarray:
    return torch.randn(samples, generator=rng, dtype=torch.float64).numpy()
