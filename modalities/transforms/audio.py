"""Random transforms of a batch of waveforms, with each sample's own parameters.

`draw_…` runs in a loader's worker and returns a few numbers; `apply_…` runs on the batch's device
and draws nothing. Sound is float [B, C, N] in [-1, 1]; a stretch of silence stays one, whatever
is done to it. Encoders compute their spectrograms inside, so SpecAugment's masks (Park et al.
2019, arXiv:1904.08779) cannot be laid over those. They act on the waveform instead: a time mask
silences a stretch of it, and a band mask takes the frequencies out of its Fourier transform. Both
then lie below a spectrogram's floor, where SpecAugment puts the mean.

Filters act on the whole stretch as if it were repeated without end.
"""

import math

import torch
from torch import Generator, Tensor

from ..rng import coin, integer, uniform

OFF = math.inf  # decibels between a sound and noise that is not there


def draw_level(rng: Generator, low: float = -36.0, high: float = -12.0) -> Tensor:
    """A loudness in decibels relative to full scale (root mean square): float32 []."""
    return torch.tensor(uniform(rng, low, high))


def apply_level(audio: Tensor, levels: Tensor) -> Tensor:
    """Sound [B, C, N] brought to the loudness [B] in decibels, or as near as does not clip.

    A spectrogram of magnitudes moves by ln g, one of energies by 2 ln g, where g is the factor.
    """
    rms = audio.square().mean((1, 2)).sqrt()
    peak = audio.abs().amax((1, 2))
    wanted = 10 ** (levels.to(audio.dtype) / 20) / rms.clamp_min(1e-12)
    factor = torch.minimum(wanted, 1 / peak.clamp_min(1e-12))
    return audio * factor[:, None, None]


def draw_shift(rng: Generator, most: float) -> Tensor:
    """A share of the length from [-most, most]: float32 []."""
    return torch.tensor(uniform(rng, -most, most))


def apply_shift(audio: Tensor, shifts: Tensor) -> Tensor:
    """Sound [B, C, N] moved by a share [B] of its length; what leaves at one end enters at the
    other. Positive shifts make it later."""
    n = audio.shape[-1]
    steps = (shifts * n).round().long()
    places = (torch.arange(n, device=audio.device) - steps[:, None]) % n
    return audio.gather(2, places[:, None].expand_as(audio))


def draw_masks(rng: Generator, count: int, most: float) -> Tensor:
    """Stretches of an axis: float32 [count, 2], start and width as shares of its length.

    Args:
        count: number of stretches; they may overlap.
        most: greatest width of each, 0 … 1.
    """
    rows = []
    for _ in range(count):
        width = uniform(rng, 0, most)
        rows.append((uniform(rng, 0, 1 - width), width))
    return torch.tensor(rows).view(count, 2)


def apply_masks(audio: Tensor, masks: Tensor) -> Tensor:
    """Sound [B, C, N], silent in the stretches [B, count, 2] of `draw_masks`."""
    n = audio.shape[-1]
    at = torch.arange(n, device=audio.device) / n
    return audio * ~_inside(at, masks)[:, None]


def draw_equaliser(rng: Generator, most: float, knots: int = 8) -> Tensor:
    """Gains from [-most, most] decibels at knots evenly spaced in mel: float32 [knots]."""
    return torch.tensor([uniform(rng, -most, most) for _ in range(knots)])


def apply_filter(
    audio: Tensor, rate: int, *, bands: Tensor | None = None, gains: Tensor | None = None
) -> Tensor:
    """Sound [B, C, N] without some bands and with others stronger or weaker.

    Phases stay as they are. Frequencies are counted in shares of the mel scale from 0 Hz to half
    the rate, so that masks and knots are as wide as an encoder with mel filters hears them.

    Args:
        rate: Hz.
        bands: [B, count, 2] as `draw_masks` gives them.
        gains: decibels [B, knots] as `draw_equaliser` gives them, linear between knots.
    """
    n = audio.shape[-1]
    hertz = torch.linspace(0, rate / 2 * (n // 2) / (n / 2), n // 2 + 1, device=audio.device)
    place = torch.log1p(hertz / 700) / math.log1p(rate / 2 / 700)
    response = torch.ones(len(audio), len(place), device=audio.device)
    if gains is not None:
        response = 10 ** (_interpolated(gains, place) / 20)
    if bands is not None:
        response = response * ~_inside(place, bands)
    # The change alone is transformed back, so that a filter that changes nothing is exact.
    spectrum = torch.fft.rfft(audio.float())
    return audio + torch.fft.irfft(spectrum * (response - 1)[:, None], n).to(audio.dtype)


def draw_noise(rng: Generator, *, ratio: tuple[float, float] = (10.0, 40.0), p: float) -> Tensor:
    """White noise: float32 [2], how many decibels below the sound (`OFF`: none) and its seed.

    Args:
        ratio: least and greatest distance in decibels.
        p: probability of any noise.
    """
    below = uniform(rng, *ratio) if coin(rng, p) else OFF
    return torch.tensor([below, float(integer(rng, 1 << 24))])


def apply_noise(audio: Tensor, noises: Tensor) -> Tensor:
    """Sound [B, C, N] with the noise [B, 2] of `draw_noise`, the same in all channels.

    The noise is uniformly distributed and follows from its seed alone, on any device.
    """
    below, seeds = noises.unbind(1)
    rms = audio.square().mean((1, 2)).sqrt()
    strength = rms * 10 ** (-below.to(audio.dtype) / 20)
    return audio + strength[:, None, None] * white(seeds.long(), audio.shape[-1])[:, None]


def draw_mixup(rng: Generator, most: float) -> Tensor:
    """Another sound of the batch in the background: float32 [2], its share of the energy from
    [0, most], and which one as a number from [0, 1)."""
    return torch.tensor([uniform(rng, 0, most), uniform(rng)])


def apply_mixup(audio: Tensor, mixes: Tensor) -> Tensor:
    """Sound [B, C, N] with another one of the batch behind it, energies in the drawn shares.

    The partner, and nothing else in this module, depends on what else is in the batch. The
    partner sounds at its own loudness, as in BYOL-A (Niizumi et al. 2021, arXiv:2103.06695,
    section III-A), which draws it from the past and mixes energies too.
    """
    share, which = mixes.to(audio.dtype).unbind(1)
    count = len(audio)
    own = torch.arange(count, device=audio.device)
    step = 1 + (which * (count - 1)).long().clamp(max=max(count - 2, 0))
    partner = audio[(own + step) % count]
    share = share if count > 1 else torch.zeros_like(share)
    return audio * (1 - share).sqrt()[:, None, None] + partner * share.sqrt()[:, None, None]


def white(seeds: Tensor, samples: int) -> Tensor:
    """Uniform noise of root mean square 1 from integer seeds [B]: float32 [B, samples]."""
    steps = torch.arange(samples, device=seeds.device) * 0x9E3779B9
    x = _scrambled(steps + _scrambled(seeds.clone())[:, None])
    # 24 bits are all that a float32 holds.
    return (x >> 8).float().mul_(math.sqrt(3) / 2**23).sub_(math.sqrt(3))


def _scrambled(x: Tensor) -> Tensor:
    """The lowest 32 bits to 32 bits, each of which depends on all; overwrites its argument."""
    x &= 0xFFFFFFFF
    for _ in range(2):
        # Factors of 32 and 27 bits: the product stays below 2^63.
        x ^= x >> 16
        x *= 0x45D9F3B
        x &= 0xFFFFFFFF
    x ^= x >> 16
    return x


def _inside(at: Tensor, masks: Tensor) -> Tensor:
    """Which places [N] lie in any of the stretches [B, count, 2]: bool [B, N]."""
    start, width = masks.to(at.dtype).unbind(2)
    inside = (at >= start[..., None]) & (at < (start + width)[..., None])
    return inside.any(1)


def _interpolated(values: Tensor, place: Tensor) -> Tensor:
    """Values [B, knots] at 0 … 1, read at places [N] by straight lines: [B, N]."""
    last = values.shape[1] - 1
    x = place * last
    left = x.floor().clamp(max=last - 1).long()
    t = x - left
    return values[:, left] * (1 - t) + values[:, left + 1] * t
