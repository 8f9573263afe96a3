"""What happens in the synthetic world: scenes, motions, and the law that ties sound to motion.

Lengths are fractions of the picture's side, x to the right and y downwards; times are seconds;
angles are degrees, clockwise as seen. Nothing here makes pixels or samples.
"""

from dataclasses import dataclass

import numpy as np
from torch import Generator

from ...modalities.rng import integer, uniform

MOTIONS = ("slide", "lift", "circle", "eight", "swing", "bounce", "spin", "pulse")
SHAPES = ("disc", "square", "diamond", "flower", "lens")
TEXTURES = ("plain", "bars", "bands", "checks", "dots")

AMPLITUDE = 0.22
SLOWEST = 0.8  # cycles per second
SWELL = 0.4  # octaves of size
RADIUS = 0.16
HEAD = 1.3  # distance of the head from the centre, in radii
LOW_PITCH, OCTAVES = 200.0, 2.5


@dataclass(frozen=True, slots=True)
class Look:
    """How a scene looks; all its clips share it.

    Attributes:
        shape, texture: of the figure's body.
        hues: of sky, ground, body, the body's pattern, head and three rocks, each 0 … 1.
        horizon: y of the ground's far edge.
        waves: float [K, 4] relief of the background: cycles in x and y, phase, strength.
        rocks: float [3, 4] ellipses lying about: x, y, and their half axes.
        pattern: cycles of the texture per radius.
    """

    shape: str
    texture: str
    hues: tuple[float, ...]
    horizon: float
    waves: np.ndarray
    rocks: np.ndarray
    pattern: float


@dataclass(frozen=True, slots=True)
class Motion:
    """What the figure does in one clip.

    A figure has four dials: x, y, angle and size. Each dial is a centre plus a wave of its
    phase. A motion turns some dials and leaves the others at a random phase, so a single frame
    shows a random phase of every dial whatever the class.

    Attributes:
        name: one of MOTIONS.
        speed: cycles per second.
        start: cycles at time 0.
        direction: 1 or -1, of motions that go round.
        centre: (x, y).
        still: phases in cycles of the dials that do not move: x, y, angle, size.
    """

    name: str
    speed: float
    start: float
    direction: int
    centre: tuple[float, float]
    still: tuple[float, float, float, float]

    def states(self, times: np.ndarray) -> np.ndarray:
        """x, y, angle in degrees and size in radii at each time: float64 [T, 4]."""
        cycles = self.start + self.speed * np.asarray(times, np.float64)
        x, y, angle, size = (np.full(cycles.shape, phase) for phase in self.still)
        x, y, size = (np.cos(2 * np.pi * dial) for dial in (x, y, size))
        turn = 2 * np.pi * _hurry(cycles)
        round_ = self.direction * np.sin(turn)
        if self.name == "slide":
            x = np.cos(turn)
        elif self.name == "lift":
            y = np.cos(turn)
        elif self.name == "circle":
            x, y = np.cos(turn), round_
        elif self.name == "eight":
            x, y = np.cos(turn), self.direction * np.sin(2 * turn)
        elif self.name == "swing":
            x, y, angle = np.cos(turn), -np.cos(2 * turn), angle - np.cos(turn) / 6
        elif self.name == "bounce":
            y = _fall(2 * cycles % 1)
        elif self.name == "spin":
            angle = angle + self.direction * turn / (2 * np.pi)
        else:
            size = np.cos(turn)
        place = self.centre[0] + AMPLITUDE * x, self.centre[1] + AMPLITUDE * y
        return np.stack([*place, 360 * angle, RADIUS * 2 ** (SWELL * size)], -1)

    def heads(self, times: np.ndarray) -> np.ndarray:
        """Height of the head above the picture's lower edge at each time, float64 [T]."""
        _, y, angle, radius = self.states(times).T
        return 1 - (y - HEAD * radius * np.cos(np.radians(angle)))

    def beats(self, duration: float) -> np.ndarray:
        """Times within [0, duration) at which the motion turns, lands or passes a half turn."""
        if self.speed == 0:
            return np.zeros(0)
        per_cycle, first = (4, 0.125) if self.name == "eight" else (2, 0.0)
        count = np.arange(np.floor((self.start + self.speed * duration) * per_cycle) + 2)
        cycles = count / per_cycle + first
        times = ((cycles if self.name == "bounce" else _unhurry(cycles)) - self.start) / self.speed
        return times[(times >= 0) & (times < duration)]


def _hurry(cycles: np.ndarray) -> np.ndarray:
    """Each half cycle starts at half the mean speed and ends at one and a half.

    So time has a direction in every clip: a film run backwards starts fast and slows down.
    """
    half = np.floor(2 * cycles)
    done = 2 * cycles - half
    return (half + done * (1 + done) / 2) / 2


def _unhurry(cycles: np.ndarray) -> np.ndarray:
    half = np.floor(2 * cycles)
    done = 2 * cycles - half
    return (half + (np.sqrt(1 + 8 * done) - 1) / 2) / 2


def _fall(done: np.ndarray) -> np.ndarray:
    """y in amplitudes of a body thrown up at 0 that lands at 1, with the mean and the deviation
    of a cosine, so that its place in one frame does not give the throw away."""
    return 1.186 * (2 * (2 * done - 1) ** 2 - 2 / 3)


def pitch(heads: np.ndarray, transpose: float = 0.0) -> np.ndarray:
    """Hz at which a figure sounds whose head is at these heights; transpose is in octaves."""
    return LOW_PITCH * 2 ** (OCTAVES * heads + transpose)


def draw_look(rng: Generator) -> Look:
    """A scene's look."""
    waves = [
        [uniform(rng, -6, 6), uniform(rng, -6, 6), uniform(rng), uniform(rng, 0.01, 0.05)]
        for _ in range(6)
    ]
    rocks = [
        [uniform(rng), uniform(rng), uniform(rng, 0.03, 0.12), uniform(rng, 0.03, 0.12)]
        for _ in range(3)
    ]
    return Look(
        shape=SHAPES[integer(rng, len(SHAPES))],
        texture=TEXTURES[integer(rng, len(TEXTURES))],
        hues=tuple(uniform(rng) for _ in range(8)),
        horizon=uniform(rng, 0.55, 0.8),
        waves=np.array(waves),
        rocks=np.array(rocks),
        pattern=uniform(rng, 0.6, 1.4),
    )


def draw_motion(rng: Generator, name: str, moving: bool) -> Motion:
    """One clip's motion of the named class."""
    speed = SLOWEST * 2 ** uniform(rng, 0, 0.8)
    return Motion(
        name=name,
        speed=speed if moving else 0.0,
        start=uniform(rng),
        direction=1 if integer(rng, 2) else -1,
        centre=(uniform(rng, 0.36, 0.64), uniform(rng, 0.36, 0.64)),
        still=(uniform(rng), uniform(rng), uniform(rng), uniform(rng)),
    )
