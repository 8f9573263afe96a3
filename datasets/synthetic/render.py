"""Pictures of the synthetic world: a figure with a head, before sky and ground, lit from above."""

import colorsys

import numpy as np
import torch
from torch import Generator

from ...modalities.rng import uniform
from .scene import HEAD, Look


def render(look: Look, states: np.ndarray, size: int, rng: Generator) -> np.ndarray:
    """The frames of one clip.

    The camera shakes and the light flickers independently from frame to frame: neither tells
    in which order the frames were taken.

    Args:
        look: the scene.
        states: float [T, 4], x, y, angle and radius as `Motion.states` gives them.
        size: pixels of the square picture.
        rng: draws shake, exposure and flicker.

    Returns:
        uint8 [T, size, size, 3], RGB.
    """
    margin, shake = _shake(len(states), size, rng)
    light = uniform(rng, 0.75, 1.05) * (
        1 + 0.04 * (2 * torch.rand(len(states), generator=rng).numpy() - 1)
    )
    wide = _background(look, size, margin)
    frames = np.stack(
        [wide[margin + y : margin + y + size, margin + x : margin + x + size] for x, y in shake]
    )
    _draw_figure(frames, look, _moved(states, shake, size))
    frames *= (255 * light[:, None, None, None]).astype(np.float32)
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def figure_masks(look: Look, states: np.ndarray, size: int, rng: Generator) -> np.ndarray:
    """Which pixels the figure covers by half or more where `render` draws the same: bool [T, S, S].

    Args:
        look, states, size: as `render` takes them.
        rng: one that is where the `render` of the same clip began.
    """
    _, shake = _shake(len(states), size, rng)
    figure = _Figure(look, _moved(states, shake, size), size)
    masks = np.zeros((len(states), size, size), bool)
    masks[figure.at] = (1 - figure.body) * (1 - figure.head) <= 0.5
    return masks


def _shake(count: int, size: int, rng: Generator) -> tuple[int, np.ndarray]:
    """By how many pixels the camera shakes at most, and in each frame: [T, 2], (x, y)."""
    margin = max(1, round(size / 48))
    return margin, torch.randint(-margin, margin + 1, (count, 2), generator=rng).numpy()


def _moved(states: np.ndarray, shake: np.ndarray, size: int) -> np.ndarray:
    """The states as the shaking camera sees them, float32 [T, 4]."""
    moved = states.astype(np.float32)
    moved[:, :2] -= shake / size
    return moved


def _colour(hue: float, saturation: float, value: float) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32)


def _background(look: Look, size: int, margin: int) -> np.ndarray:
    """Float32 [size + 2 margin, size + 2 margin, 3] in 0 … 1; lighter above than below."""
    axis = (np.arange(-margin, size + margin, dtype=np.float32) + 0.5) / size
    y, x = axis[:, None], axis[None, :]
    sky, ground = _colour(look.hues[0], 0.35, 1.0), _colour(look.hues[1], 0.5, 0.55)
    above = np.clip((look.horizon - y) * size + 0.5, 0, 1)[..., None]
    picture = above * sky * (1.0 - 0.3 * y[..., None]) + (1 - above) * ground * (
        1.3 - 0.5 * y[..., None]
    )
    picture = np.broadcast_to(picture, (len(axis), len(axis), 3)).copy()
    for hue, (cx, cy, rx, ry) in zip(look.hues[5:], look.rocks, strict=True):
        inside = 1 - np.hypot((x - cx) / rx, (y - cy) / ry)
        cover = np.clip(inside * min(rx, ry) * size + 0.5, 0, 1)[..., None]
        shade = np.clip(0.65 - 0.25 * (y - cy) / ry, 0, 1)[..., None]
        picture += cover * (_colour(hue, 0.6, 1.0) * shade - picture)
    relief = sum(s * np.sin(2 * np.pi * (fx * x + fy * y + p)) for fx, fy, p, s in look.waves)
    return (picture * (1 + np.asarray(relief)[..., None])).astype(np.float32)


class _Figure:
    """Where the figure is in each frame, within the square that it can reach.

    Attributes:
        at: picks that square out of [T, S, S].
        u, v: body coordinates of its pixels in radii; dy: how far below the centre they are.
        body, head: share of each pixel that is covered by it, 0 … 1.
    """

    def __init__(self, look: Look, states: np.ndarray, size: int):
        side = min(size, int(2 * (HEAD + 0.5) * states[:, 3].max() * size) + 2)
        cx, cy, angle, radius = states.astype(np.float32).T[:, :, None, None]
        x = _window(cx, side, size)[:, None, :]
        y = _window(cy, side, size)[:, :, None]
        half = np.float32(0.5)
        dx = ((x.astype(np.float32) + half) / size - cx) / radius
        dy = ((y.astype(np.float32) + half) / size - cy) / radius
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        u, v = dx * cos + dy * sin, dy * cos - dx * sin
        self.at = (np.arange(len(states))[:, None, None], y, x)
        self.u, self.v, self.dy, pixels = u, v, dy, radius * size
        self.body = np.clip(0.5 - _edge(look.shape, u, v) * pixels, 0, 1)
        self.head = np.clip(0.5 - (np.hypot(u, v + HEAD) - 0.42) * pixels, 0, 1)


def _draw_figure(frames: np.ndarray, look: Look, states: np.ndarray) -> None:
    """Paints the figure over float32 [T, S, S, 3], touching only the square it can reach."""
    figure = _Figure(look, states, frames.shape[1])
    patch = frames[figure.at]
    shade = np.clip(1.0 - 0.3 * figure.dy, 0.4, 1.4)[..., None]
    body, mark = _colour(look.hues[2], 0.8, 0.9), _colour(look.hues[3], 0.6, 0.4)
    paint = body + _pattern(look, figure.u, figure.v)[..., None] * (mark - body)
    patch += figure.body[..., None] * (paint * shade - patch)
    patch += figure.head[..., None] * (_colour(look.hues[4], 0.3, 1.0) * shade - patch)
    frames[figure.at] = patch


def _window(centre: np.ndarray, side: int, size: int) -> np.ndarray:
    """Pixel numbers [T, side] of a window about each centre, moved inside the picture."""
    first = np.clip(np.floor(centre[:, 0] * size - side / 2), 0, size - side).astype(int)
    return first + np.arange(side)


def _edge(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Distance beyond the body's outline in radii, negative inside (near the outline)."""
    if shape == "disc":
        return np.hypot(u, v) - 1
    if shape == "square":
        return np.maximum(np.abs(u), np.abs(v)) - 0.88
    if shape == "diamond":
        return (np.abs(u) + np.abs(v) - 1.2) / np.sqrt(2)
    if shape == "lens":
        return np.hypot(np.abs(u) + 0.5, v) - 1.2
    return np.hypot(u, v) - 0.9 - 0.2 * np.cos(5 * np.arctan2(u, -v))


def _pattern(look: Look, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Share of the pattern's colour, 0 … 1, by body coordinates in radii."""
    a, b = (np.sin(2 * np.pi * look.pattern * w) for w in (u, v))
    if look.texture == "plain":
        return np.zeros_like(u)
    if look.texture == "bars":
        return np.clip(0.5 + 2 * a, 0, 1)
    if look.texture == "bands":
        return np.clip(0.5 + 2 * b, 0, 1)
    if look.texture == "checks":
        return np.clip(0.5 + 4 * a * b, 0, 1)
    return np.clip(4 * np.abs(a * b) - 1.5, 0, 1)
