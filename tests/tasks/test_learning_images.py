"""Tasks on pictures are learned in the synthetic world, and not from lenses and light alone.

Scores are mean accuracies on unseen scenes or pictures.
"""

from functools import partial

import pytest
import torch
from patch_worlds import Pictures, lit_from_above, through_a_lens
from small_world import held_out, score, train

from pretexto.encoders.image import TinyImage
from pretexto.tasks.jigsaw import Jigsaw, JigsawGuards
from pretexto.tasks.parts.clip_input import ClipInput
from pretexto.tasks.relative_position import PatchGuards, RelativePosition
from pretexto.tasks.task import Task

pytestmark = pytest.mark.slow

NO_PATCH_GUARDS, NO_JIGSAW_GUARDS = PatchGuards(*[False] * 8), JigsawGuards(*[False] * 6)
# As far as good lenses go: half a pixel at the border of these pictures.
weak_lens = partial(through_a_lens, red=0.995, blue=1.005)


def relative_position(size: int = 16, **options) -> Task:
    return RelativePosition(ClipInput(TinyImage(width=8), size=size), **options)


def jigsaw(size: int = 16, **options) -> Task:
    return Jigsaw(ClipInput(TinyImage(width=8), size=size), classes=9, **options)


def score_on(world, make) -> float:
    torch.manual_seed(0)
    task = make()
    train(task, Pictures(world, 400), steps=150, seed=0, lr=3e-3)
    return held_out(task, Pictures(world, 96, 1000), rounds=5)


def test_relative_position_is_learned():
    # Measured with seed 0: 0.240, 0.218 as a grid of nine; chance is 0.125, of 480 pairs.
    assert score(relative_position, 300, 0) > 0.18


@pytest.mark.parametrize(("world", "told"), [(through_a_lens, 0.35), (lit_from_above, 0.3)])
def test_relative_position_is_not_learned_from_lens_or_light(world, told):
    # Measured without and with guards: lens 0.54 and 0.09, light 0.40 and 0.12; chance is 0.125.
    make = partial(relative_position, 28, spatial_grid=2)
    assert score_on(world, partial(make, guards=NO_PATCH_GUARDS)) > told
    assert score_on(world, make) < 0.18


def test_jigsaw_is_learned():
    # Measured with seed 0: 0.258; chance is 0.111, of 480 puzzles.
    assert score(jigsaw, 300, 0) > 0.18


def test_jigsaw_is_not_learned_from_a_lens():
    # Measured without and with guards: 0.99 and 0.11; chance is 0.111. Fringes six times as wide
    # are still told (0.36) unless all pictures are grey (0.11).
    make = partial(jigsaw, 24)
    assert score_on(weak_lens, partial(make, guards=NO_JIGSAW_GUARDS)) > 0.7
    assert score_on(weak_lens, make) < 0.17
    assert score_on(through_a_lens, partial(make, grey=1.0)) < 0.17
