"""Pictures in which nothing but one cue tells how patches lie to each other, and probes of them."""

import torch
from sklearn.ensemble import RandomForestClassifier
from task_kit import augmented
from torch import Tensor
from torch.nn import functional

from pretexto.modalities.lab import lab_to_rgb
from pretexto.modalities.media import MediaInfo, Plan, Sample
from pretexto.modalities.rng import coin, generator, integer
from pretexto.tasks.task import Task

SIDE = 160


def picture_info(height: int = SIDE, width: int = SIDE) -> MediaInfo:
    return MediaInfo("x.png", "image", frames=1, height=height, width=width)


def still(pixels: Tensor) -> Sample:
    """A picture float [3, H, W] in [0, 1] as a reader gives it."""
    frames = (255 * pixels.clamp(0, 1)).round().to(torch.uint8)[None]
    return Sample(frames, torch.zeros(1, dtype=torch.float64))


def ramp(height: int = 120, width: int = 250) -> Sample:
    """Red is twice the row, green the column."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    frame = torch.stack([2 * y, x, torch.zeros_like(x)]).to(torch.uint8)
    return Sample(frame[None], torch.zeros(1, dtype=torch.float64))


def blotches(i: int, cells: int = 20, side: int = SIDE, channels: int = 3) -> Tensor:
    """Random blotches, [channels, side, side]."""
    rng = generator(7, 0, i)
    coarse = torch.rand(1, channels, cells, cells, generator=rng)
    return functional.interpolate(coarse, (side, side), mode="bicubic")[0].clamp(0, 1)


def smooth(i: int) -> Tensor:
    """Blotches of ten pixels: places beside each other have nearly one colour."""
    return blotches(i, 16)


def lit_from_above(i: int) -> Tensor:
    """Noise, the lighter the higher; it has no detail that could be told from other noise."""
    noise = torch.rand(3, SIDE, SIDE, generator=generator(8, 0, i))
    return 0.3 * noise + 0.6 * torch.linspace(1, 0, SIDE)[None, :, None]


def through_a_lens(i: int, red: float = 0.97, blue: float = 1.03) -> Tensor:
    """Blotches in black and white, of which red is seen larger than green, and blue smaller."""
    grey = blotches(i, 40, channels=1)
    across = torch.linspace(-1, 1, SIDE)
    grid = torch.stack(torch.meshgrid(across, across, indexing="xy"), -1)[None]
    seen = [
        functional.grid_sample(grey[None], grid * scale, padding_mode="border", align_corners=True)
        for scale in (red, 1.0, blue)
    ]
    return torch.cat(seen, 1)[0]


def through_a_magenta_lens(i: int) -> Tensor:
    """The same, with green alone smaller: fringes of green and magenta, as in the paper."""
    return through_a_lens(i, 0.97, 0.97)


def in_blocks(i: int) -> Tensor:
    """Every block of 8 × 8 pixels has a colour of its own."""
    blocks = torch.rand(3, SIDE // 8, SIDE // 8, generator=generator(9, 0, i))
    return blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)


def coloured_stripes(i: int, coupled: bool = True) -> Tensor:
    """Upright stripes are red and level ones blue, at any lightness; or, uncoupled, either."""
    rng = generator(5, 0, i)
    upright, wide = coin(rng), 2 + integer(rng, 3)
    red = upright if coupled else coin(rng)
    line = (torch.arange(32) // wide % 2).float()
    pattern = line.expand(32, 32) if upright else line[:, None].expand(32, 32)
    light = 45 + 15 * pattern + 3 * torch.randn(32, 32, generator=rng)
    ab = torch.tensor([50.0, 20.0] if red else [0.0, -40.0])[:, None, None].expand(2, 32, 32)
    return lab_to_rgb(torch.cat([light[None], ab])[None])[0]


def batch_of(task: Task, world, count: int, first: int = 0, about: MediaInfo | None = None):
    """An augmented batch of pictures `world(i)`, of which each is asked about once."""
    made = []
    for i in range(first, first + count):
        rng, known = generator(0, 0, i), about or picture_info()
        plan: Plan = task.plan(known, rng)
        assert plan.short_side is not None
        sample = world(i)
        made.append(task.example(sample if isinstance(sample, Sample) else still(sample), rng))
    return augmented(task, made)


def probe_accuracy(task: Task, name: str, world, count: int = 700) -> float:
    """What a forest that sees only the cue of one guard gets right on pictures it has not seen."""
    data = batch_of(task, world, count)
    (guard,) = (g for g in task.guards if g.name == name)
    cue, answer = guard.probe(data).numpy(), data["target"].numpy()
    half = len(answer) * 4 // 7
    forest = RandomForestClassifier(50, min_samples_leaf=2, random_state=0)
    return float(forest.fit(cue[:half], answer[:half]).score(cue[half:], answer[half:]))


class Pictures:
    """`count` pictures of a world, as `small_world.train` takes them."""

    def __init__(self, world, count: int, first: int = 0):
        pictures = [world(first + i) for i in range(count)]
        self.infos = [picture_info(*picture.shape[1:]) for picture in pictures]
        self.samples, self.labels = [still(picture) for picture in pictures], [0] * count

    def __len__(self) -> int:
        return len(self.infos)

    def read(self, i: int, plan: Plan) -> Sample:
        return self.samples[i]
