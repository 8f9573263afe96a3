"""The demo, on a world of two scenes."""

from functools import partial

import pytest

from pretexto.build import load_tree
from pretexto.commands import demo
from pretexto.commands.compare import make_task
from pretexto.datasets.packs.source import Packs
from pretexto.datasets.synthetic import source as synthetic
from pretexto.training.data import Examples


@pytest.fixture
def packs(tmp_path, monkeypatch):
    small = partial(synthetic.Synthetic, train_scenes=1, test_scenes=1)
    monkeypatch.setattr(synthetic, "Synthetic", small)
    return Packs(demo.packed_world(tmp_path))


def test_every_task_of_the_demo_finds_in_its_packs_what_it_asks_for(packs):
    """Pictures, sound and flow, with classes and the two parts of the world."""
    tasks = load_tree("demo")["tasks"]
    assert {"audio_visual", "flow_prediction"} <= tasks.keys()
    for name, config in tasks.items():
        examples = Examples(packs, make_task(config, name), seed=0)
        for i in (0, len(packs) - 1):
            examples.example(0, i)
    assert len(packs) == 16
    assert len(packs.classes) == 8
    assert {packs.split(i) for i in range(16)} == {"train", "test"}
