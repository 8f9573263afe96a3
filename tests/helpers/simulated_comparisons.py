"""Made-up comparisons in which the truth is known, for the error rates of their claims."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from pretexto.comparison.significance import Estimate, Sample, estimate, family

TASKS, TRUE = 14, 4


@dataclass(frozen=True)
class World:
    """How much answers vary, as deviations of a probit; how hard clips are varies by 1.

    Attributes:
        seed: from seed to seed of an entry.
        group: of how an entry does on a group of test clips.
        groups, clips: of test media, and in each group.
        uneven: entries differ in how much their seeds vary.
    """

    seed: float
    group: float
    groups: int = 30
    clips: int = 8
    uneven: bool = False


WORLDS = {
    "typical": World(seed=0.1, group=0.3),
    "seeds vary most": World(seed=0.3, group=0.1),
    "uneven seeds": World(seed=0.2, group=0.2, uneven=True),
    "few groups": World(seed=0.1, group=0.3, groups=9, clips=25),
}


def right_answers(world: World, seeds: int, effect: float, rng: np.random.Generator) -> np.ndarray:
    """How many clips of each group an entry gets right, [1 + TASKS, seeds, groups].

    The first is the untrained network; the first TRUE tasks are better than it by `effect`.
    """
    shape = (world.groups, world.clips)
    hard = rng.normal(0, 1, shape) + rng.normal(0, 0.5, (world.groups, 1))
    level = norm.ppf(0.4) * np.sqrt(1.25 + 0.5 + world.seed**2 + world.group**2)
    found = []
    for entry in range(1 + TASKS):
        spread = np.sqrt(rng.chisquare(3) / 3) if world.uneven else 1.0
        z = hard + level + (effect if 1 <= entry <= TRUE else 0.0)
        z = z + rng.normal(0, world.group, (1, world.groups, 1)) + rng.normal(0, 0.5, (1, *shape))
        z = z + rng.normal(0, world.seed * spread, (seeds, 1, 1))
        found.append((z + rng.normal(0, 0.5, (seeds, *shape)) > 0).sum(2))
    return np.array(found)


def samples(right: np.ndarray, world: World) -> dict[int, Sample]:
    """The paired differences of every task to the untrained network."""
    size = world.groups * world.clips
    parts = (right[1:] - right[0]) / size
    return {
        k: Sample(part.sum(1), part - part.sum(1, keepdims=True) / world.groups)
        for k, part in enumerate(parts)
    }


def uncorrected(found: dict[int, Sample]) -> dict[int, Estimate]:
    """Student's t over seeds for each task alone, as it is often done."""
    return {k: estimate(Sample(sample.seeds)) for k, sample in found.items()}


def bootstrapped(found: dict[int, Sample], rng: np.random.Generator, draws: int = 2000) -> set[int]:
    """Tasks above the untrained network by a plain bootstrap over seeds and groups, after Holm."""
    p = {}
    for k, sample in found.items():
        seeds, groups = sample.groups.shape
        weight = rng.multinomial(seeds, np.full(seeds, 1 / seeds), draws) / seeds
        often = rng.multinomial(groups, np.full(groups, 1 / groups), draws)
        values = weight @ sample.seeds + np.einsum("bs,sg,bg->b", weight, sample.groups, often)
        p[k] = max(2 * min((values <= 0).mean(), (values >= 0).mean()), 1 / draws)
    kept = set()
    for rank, k in enumerate(sorted(p, key=p.__getitem__)):
        if p[k] * (len(p) - rank) >= 0.05:
            break
        kept |= {k} if found[k].seeds.mean() > 0 else set()
    return kept


def rates(
    *, seeds: int, world: str, families: int, effect: float, rng: np.random.Generator
) -> dict[str, float]:
    """Shares of families, of TASKS tasks each, with a false "beats untrained": by the library, by t
    over seeds, by a plain bootstrap; and the share of true effects that the library finds.

    "points" is how much the effect is, "seed points" how much seeds vary, in percentage points.
    """
    place, count = WORLDS[world], TRUE if effect else 0
    false, naive, plain, power, points, spread = [], [], [], [], [], []
    for _ in range(families):
        found = samples(right_answers(place, seeds, effect, rng), place)
        signs = {k for k, e in family(found).items() if e.sign > 0}
        false.append(any(k >= count for k in signs))
        naive.append(any(e.sign > 0 for k, e in uncorrected(found).items() if k >= count))
        plain.append(any(k >= count for k in bootstrapped(found, rng, 400)))
        power.append(sum(k < count for k in signs) / max(count, 1))
        points.append(np.mean([found[k].seeds.mean() for k in range(count)]) if count else 0.0)
        spread.append(np.mean([s.seeds.std(ddof=1) for s in found.values()]))
    means = map(float, map(np.mean, (false, naive, plain, power, points, spread)))
    names = ("false", "t over seeds", "plain bootstrap", "power", "points", "seed points")
    return dict(zip(names, means, strict=True))
