"""Films in which nothing tells the order of time but light, noise, focus or letterbox bars.

Pictures are float [3, H, W] in [0, 1]; `t` is the share of the film that has passed, 0 to 1.
"""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from pretexto.modalities.media import MediaInfo, Plan, Sample
from pretexto.modalities.rng import generator, integer, uniform

SECONDS, FPS, SIDE = 6.0, 25.0, 96
Drift = Callable[[Tensor, float, Generator], Tensor]


class LightWorld:
    """Films of one texture each, under light that drifts from the first frame to the last.

    Args:
        drift: what becomes of a picture at a time; its generator is the film's, the same at
            every time.
        motion: "none"; "shake": the texture lies elsewhere in every frame; "bodies": patches of
            other textures lie elsewhere in every frame. Neither runs in any direction of time.
        noise: standard deviation of the sensor's noise.
        seed: of all films.
        reversing: half of the films run the other way.
    """

    def __init__(
        self, drift: Drift, motion: str, noise: float = 0.02, seed: int = 0, reversing: bool = False
    ):
        self.drift, self.motion, self.noise = drift, motion, noise
        self.seed, self.reversing = seed, reversing

    def info(self, i: int) -> MediaInfo:
        return MediaInfo(
            f"{i}.mp4", "video", duration=SECONDS, fps=FPS, frames=round(SECONDS * FPS),
            height=SIDE, width=SIDE,
        )  # fmt: skip

    def read(self, i: int, plan: Plan) -> Sample:
        shown = [int(t * FPS + 1e-6) for t in plan.times]
        frames = torch.stack([self._frame(i, k, plan.short_side or SIDE) for k in shown])
        times = torch.tensor(shown, dtype=torch.float64) / FPS
        return Sample((frames * 255).round().clamp(0, 255).to(torch.uint8), times)

    def _frame(self, i: int, k: int, side: int) -> Tensor:
        now = generator(self.seed + 1, i, k)
        passed = k / (SECONDS * FPS)
        if self.reversing and i % 2:
            passed = 1 - passed
        lit = self.drift(self._scene(i, side, now), passed, generator(self.seed, 2, i))
        # Noise of a drift that says how much is its own.
        noise = self.noise if lit.shape[0] == 3 else lit[3:]
        return lit[:3] + noise * torch.randn(3, side, side, generator=now)

    def _scene(self, i: int, side: int, now: Generator) -> Tensor:
        picture = texture(self.seed, i, side)
        if self.motion == "shake":
            picture = picture.roll([integer(now, side), integer(now, side)], (1, 2))
        if self.motion == "bodies":
            picture = picture.clone()
            for k in (1, 2, 3):
                top, left = integer(now, side * 3 // 4), integer(now, side * 3 // 4)
                size = side // 4
                body = texture(self.seed + 10 * k, i, side)[:, :size, :size]
                picture[:, top : top + size, left : left + size] = body
        return picture


@functools.lru_cache(1024)
def texture(seed: int, i: int, side: int) -> Tensor:
    """A pattern of coarse and fine detail with a colour and contrast of its own."""
    rng = generator(seed, 3, i)
    layers = [
        F.interpolate(
            torch.randn(1, 3, n, n, generator=rng), (side, side), mode="bicubic", antialias=n > side
        )[0]
        * n**-0.5
        for n in (4, 8, 16, 32, 64)
    ]
    coloured = torch.stack(layers).sum(0)
    mixed = coloured + 0.7 * coloured.mean(0, keepdim=True)
    unit = (mixed - mixed.mean((1, 2), keepdim=True)) / mixed.std()
    colour = 0.5 + 0.1 * (torch.rand(3, 1, 1, generator=rng) - 0.5)
    return (colour + uniform(rng, 0.10, 0.16) * unit).clamp(0.02, 0.98)


def _place(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of every pixel from the centre, -1 to 1."""
    y, x = (torch.linspace(-1, 1, n) for n in picture.shape[1:])
    return y[:, None], x[None]


def exposure(picture: Tensor, t: float, rng: Generator) -> Tensor:
    return picture * (1.2 - 0.8 * t)


def brighten(picture: Tensor, t: float, rng: Generator) -> Tensor:
    return picture * (0.4 + 0.8 * t)


def contrast(picture: Tensor, t: float, rng: Generator) -> Tensor:
    return 0.5 + (picture - 0.5) * (1.2 - 0.8 * t)


def gamma(picture: Tensor, t: float, rng: Generator) -> Tensor:
    return picture ** (0.6 + 1.2 * t)


def vignette(picture: Tensor, t: float, rng: Generator) -> Tensor:
    y, x = _place(picture)
    return picture * (1 - 0.5 * t * (y.square() + x.square()))


def white_balance(picture: Tensor, t: float, rng: Generator) -> Tensor:
    return picture * torch.tensor([0.7 + 0.5 * t, 1.0, 1.2 - 0.5 * t])[:, None, None]


def noise(picture: Tensor, t: float, rng: Generator) -> Tensor:
    return torch.cat([picture, torch.full_like(picture[:1], 0.01 + 0.06 * t)])


def focus(picture: Tensor, t: float, rng: Generator) -> Tensor:
    return blurred(picture, 0.3 + 2 * t)


def sweep(picture: Tensor, t: float, rng: Generator) -> Tensor:
    """A wide patch of light that passes from one side to the other."""
    y, x = _place(picture)
    angle = uniform(rng, 0, 6.28)
    a, b = torch.tensor(angle).sin(), torch.tensor(angle).cos()
    at = 3 * t - 1.5
    return picture * (0.6 + 0.6 * torch.exp(-((x - at * a).square() + (y - at * b).square())))


def flicker(picture: Tensor, t: float, rng: Generator) -> Tensor:
    """Mains light: bright and dark in turn, and weaker from turn to turn."""
    return picture * (0.9 - 0.4 * t + 0.3 * (1 - t) * torch.tensor(50 * t).sin())


def fade_to_black(picture: Tensor, t: float, rng: Generator) -> Tensor:
    return ((picture * 1.4).clamp(0, 1) - 0.9 * t).clamp(0, 1)


def burn_out(picture: Tensor, t: float, rng: Generator) -> Tensor:
    return (picture * (0.8 + 1.0 * t)).clamp(0, 1)


def haze(picture: Tensor, t: float, rng: Generator) -> Tensor:
    y, _ = _place(picture)
    veil = 0.8 * t * (1 - 0.3 * y) / 1.3
    return picture * (1 - veil) + 0.85 * veil


def saturation(picture: Tensor, t: float, rng: Generator) -> Tensor:
    grey = picture.mean(0, keepdim=True)
    return grey + (picture - grey) * (1.3 - 1.2 * t)


def shadow(picture: Tensor, t: float, rng: Generator) -> Tensor:
    """The edge of a shadow that passes over the picture."""
    y, x = _place(picture)
    angle = torch.tensor(uniform(rng, 0, 6.28))
    side = x * angle.cos() + y * angle.sin() - (2.4 * t - 1.2)
    return picture * (0.5 + 0.5 * torch.sigmoid(side * 25))


def high_iso(picture: Tensor, t: float, rng: Generator) -> Tensor:
    """It gets dark, and the camera's gain keeps the picture as bright and makes it noisy."""
    return torch.cat([picture, (0.01 / (1.1 - t)) * picture.mean(0, keepdim=True).sqrt() * 1.4])


def blocks(picture: Tensor, t: float, rng: Generator) -> Tensor:
    """A codec that keeps less and less of the blocks' detail."""
    n = picture.shape[-1] // 8 * 8
    coarse = F.interpolate(F.avg_pool2d(picture[None, :, :n, :n], 8), picture.shape[1:])[0]
    step = 0.01 + 0.12 * t
    return coarse + ((picture - coarse) / step).round() * step


def lit_still(picture: Tensor, t: float, rng: Generator) -> Tensor:
    return picture


def letterbox(picture: Tensor, t: float, rng: Generator) -> Tensor:
    """Bars above and below, an eighth of the picture each, that are black at first."""
    shown = picture.clone()
    height = picture.shape[1] // 8
    shown[:, :height] = shown[:, -height:] = 0.02 + 0.3 * t
    return shown


def blurred(picture: Tensor, sigma: float) -> Tensor:
    at = torch.arange(-8, 9)
    kernel = torch.exp(-0.5 * (at / sigma).square())
    kernel = kernel / kernel.sum()
    padded = F.pad(picture[:, None], (8, 8, 8, 8), mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))[:, 0]


DRIFTS: dict[str, Drift] = {
    f.__name__: f
    for f in (
        exposure, brighten, contrast, gamma, vignette, white_balance, noise, focus, sweep, flicker,
        fade_to_black, burn_out, haze, saturation, shadow, high_iso, blocks,
    )
}  # fmt: skip
