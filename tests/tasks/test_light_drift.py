"""No task on order is answered from light that drifts, where nothing else tells the order.

The worlds and the onlooker know nothing of how the guards reckon. In the still worlds nothing but
light changes: hardly anything may be asked. In the moving ones bodies jump about, without any
direction in time: everything is asked, and the light must not answer it.
"""

import functools
import math

import pytest
import torch
from light_worlds import DRIFTS, LightWorld, letterbox, lit_still
from onlooker import accuracy_of, examples, forest_accuracy
from task_kit import build_encoder, make_task

from pretexto.encoders.image import TinyImage
from pretexto.tasks.arrow_of_time import ArrowOfTime
from pretexto.tasks.clip_order import ClipOrder
from pretexto.tasks.rotation import Rotation
from pretexto.tasks.sequence_sorting import SequenceSorting
from pretexto.tasks.shuffle_learn import ShuffleLearn
from pretexto.tasks.task import Batch, Task

TASKS = {
    "shuffle_learn": (ShuffleLearn, {"positives": 0.5, "frames": 1}, 1 / 2),
    "clip_order": (ClipOrder, {"gap": 0.8, "frames": 1}, 1 / 6),
    "sequence_sorting": (SequenceSorting, {"frames": 1, "tau_min": 0.6, "tau_max": 1.2}, 1 / 12),
    "arrow_of_time": (ArrowOfTime, {"frames": 5, "frame_interval": 0.4}, 1 / 2),
}
KINDS = ("exposure", "contrast", "gamma", "haze", "burn_out")
# Without the shadow: its edge is a thing that moves.
MORE = tuple(name for name in DRIFTS if name not in (*KINDS, "shadow"))


def task_of(name: str, guarded: bool) -> Task:
    cls, options, _ = TASKS[name]
    switches = {} if guarded else dict.fromkeys(("exposure", "letterbox", "static"), False)
    return make_task(cls, build_encoder(TinyImage), size=64, **options, **switches)


@functools.lru_cache(1)
def asked(name: str, guarded: bool, kind: str, films: int, seed: int = 0) -> tuple[Task, Batch]:
    """A task, and its questions about films of moving bodies in which light drifts."""
    task = task_of(name, guarded)
    return task, examples(task, LightWorld(DRIFTS[kind], "bodies", seed=seed), films, seed)


def answered(
    name: str, guarded: bool, kind: str, films: int, seed: int = 0, *, asked_only: bool = False
) -> tuple[float, int]:
    """The onlooker's share of right answers, and of how many."""
    return forest_accuracy(*asked(name, guarded, kind, films, seed), asked_only=asked_only)


def most_by_chance(name: str, count: int) -> float:
    """What guessing reaches in all but 1 of 1000 cases."""
    chance = TASKS[name][2]
    return chance + 3.1 * math.sqrt(chance * (1 - chance) / count)


def asked_share(name: str, kind: str, films: int, seed: int = 0) -> float:
    task, world = task_of(name, True), LightWorld(DRIFTS[kind], "none", seed=seed)
    return float(examples(task, world, films, seed)["weight"].mean())


@pytest.mark.parametrize("name", TASKS)
def test_where_only_light_changes_nothing_is_asked(name):
    for kind in (*KINDS, "vignette", "sweep"):
        assert asked_share(name, kind, 8) == 0


def test_how_noisy_three_moments_are_does_not_tell_how_far_they_lie_apart():
    _, batch = asked("shuffle_learn", True, "exposure", 200)
    grey = batch["inputs"].mean((2, 3))
    bend = 4 * grey[..., 1:-1, 1:-1] - grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1]
    bend = bend - grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2]
    noise = bend.square().mean((1, 2, 3)).log()
    in_order = batch["target"] == 1
    # Over five seeds: 0.03 to 0.06; 0.13 to 0.18 where light is matched over the three alone, since
    # tuples out of order span more.
    assert abs(float(noise[in_order].mean() - noise[~in_order].mean())) < 0.1


@pytest.mark.parametrize(
    ("name", "kind"),
    list(zip(TASKS, ("exposure", "contrast", "exposure", "vignette"), strict=True)),
)
def test_light_tells_the_order_only_without_the_guards(name, kind):
    # A film is asked about once, and by the arrow of time twice.
    films = 100 if name == "arrow_of_time" else 200
    guarded, count = answered(name, True, kind, films)
    assert guarded < most_by_chance(name, count)
    unguarded, _ = answered(name, False, kind, films)
    assert unguarded > 3 * TASKS[name][2] if TASKS[name][2] < 0.5 else unguarded > 0.8


def over_four_seeds(name: str, kind: str, *, asked_only: bool = False) -> tuple[float, int]:
    """Share of right answers with all guards, and their number."""
    seeds = [1000 * seed for seed in range(4)]
    found = [answered(name, True, kind, 300, seed, asked_only=asked_only) for seed in seeds]
    print(name, kind, found)
    count = sum(counted for _, counted in found)
    return sum(share * counted for share, counted in found) / count, count


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TASKS)
def test_without_guards_light_tells_the_order_in_each_of_four_seeds(name, kind):
    # Twelve answers take more to learn, if only to see that they can be.
    films = 100 if TASKS[name][2] > 0.1 else 600
    for seed in range(4):
        told, _ = answered(name, False, kind, films, 1000 * seed)
        print(name, kind, told)
        assert told > (0.7 if TASKS[name][2] == 0.5 else 3 * TASKS[name][2])


# Without guards colours that pale tell the arrow of time in 0.99 to 1.00; of single moments the
# forest learns from so few films no more than 0.52 to 0.70.
@pytest.mark.slow
@pytest.mark.parametrize("kind", [*(kind for kind in KINDS if kind != "burn_out"), "saturation"])
@pytest.mark.parametrize("name", TASKS)
def test_with_the_guards_light_does_not_tell_the_order_over_four_seeds(name, kind):
    right, count = over_four_seeds(name, kind)
    assert right < most_by_chance(name, count)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_with_the_guards_what_is_left_of_burnt_out_films_does_not_tell_the_order(name):
    right, count = over_four_seeds(name, "burn_out", asked_only=True)
    # Of 1200 and more questions: a twentieth is too little to learn the answer from.
    assert count < 60 or right < most_by_chance(name, count)


@pytest.mark.parametrize("drift", ["burn_out", "fade_to_black"])
def test_what_is_burnt_out_or_drowned_is_not_asked(drift):
    for guarded in (True, False):
        task = task_of("shuffle_learn", guarded)
        lost = examples(task, LightWorld(DRIFTS[drift], "bodies"), 40)["weight"].mean()
        kept = examples(task, LightWorld(lit_still, "bodies"), 40)["weight"].mean()
        assert kept > 0.95
        assert lost < 0.3 if guarded else lost > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*KINDS, *MORE])
@pytest.mark.parametrize("name", TASKS)
def test_of_still_films_hardly_anything_is_asked_over_four_seeds(name, kind):
    shares = [asked_share(name, kind, 60, 1000 * seed) for seed in range(4)]
    print(name, kind, shares)
    assert max(shares) < 0.03


@pytest.mark.parametrize("kept", [True, False])
def test_bars_that_brighten_tell_the_order_only_where_they_are_kept(kept):
    options = {"positives": 0.5, "frames": 1, "exposure": False, "letterbox": not kept}
    task = make_task(ShuffleLearn, build_encoder(TinyImage), size=64, **options)
    right, count = forest_accuracy(task, examples(task, LightWorld(letterbox, "bodies"), 200))
    assert right > 0.8 if kept else right < most_by_chance("shuffle_learn", count)


@pytest.mark.parametrize("barred", [True, False])
@pytest.mark.parametrize("guarded", [True, False])
def test_borders_tell_the_axis_only_of_bars_that_are_kept(barred, guarded):
    task = make_task(Rotation, build_encoder(TinyImage), size=64, frames=1, letterbox=guarded)
    world = LightWorld(letterbox if barred else lit_still, "none")
    batch = examples(task, world, 100)
    pixels = batch["inputs"][:, :, 0]
    sides = [pixels[..., :2, :], pixels[..., -2:, :], pixels[..., :2], pixels[..., -2:]]
    cues = torch.cat([f(side.flatten(2), -1) for side in sides for f in (torch.mean, torch.std)], 1)
    right, count = accuracy_of(cues, batch["target"])
    # Of four angles; the axis alone leaves two.
    least_by_bars, most = 0.4, 0.25 + 3.1 * math.sqrt(0.25 * 0.75 / count)
    assert right > least_by_bars if barred and not guarded else right < most
