"""Tasks on motion on films that are odd: one frame, a still picture, a cut, other sizes, 4K."""

import media_factory as make
import numpy as np
import pytest
import torch
from task_kit import build_encoder, collate, make_task

from pretexto.datasets.folder import Folder
from pretexto.encoders.flow import TinyFlow
from pretexto.encoders.image import TinyImage
from pretexto.modalities.decode.reader import read
from pretexto.modalities.media import Plan
from pretexto.tasks.flow_contrast import FlowContrast
from pretexto.tasks.flow_correspondence import FlowCorrespondence
from pretexto.tasks.flow_prediction import FlowPrediction
from pretexto.tasks.flow_similarity import FlowSimilarity
from pretexto.tasks.task import Task
from pretexto.training.data import Examples, Lost
from pretexto.training.sampler import Request

FILMS = ["a_one.mp4", "b_still.mp4", "c_cut.mp4", "d_moving.mp4", "e_two.mp4", "f_sizes.webm"]
STILL, SHORT = {0, 1}, {0, 4}
TARGET, PAIR = [FlowSimilarity, FlowPrediction], [FlowCorrespondence, FlowContrast]


def moving(seed: int) -> list[np.ndarray]:
    """Twelve pictures whose upper half goes against the lower one, by up to twelve pixels."""
    (card,) = make.drifting([0], seed=seed, height=64, width=64)
    return [
        np.concatenate([np.roll(card[:32], 2 * k, 1), np.roll(card[32:], -2 * k, 1)])
        for k in range(12)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("odd")

    def write(name: str, pictures: list):
        make.write(root / name, pictures, [k / 10 for k in range(len(pictures))])

    there = moving(0)
    write(FILMS[0], there[:1])
    write(FILMS[1], there[:1] * 12)
    write(FILMS[2], there[:6] + moving(1)[:6])
    write(FILMS[3], there)
    write(FILMS[4], there[:2])
    make.vp9_of_changing_size(root / FILMS[5])
    return Folder(root)


def task_of(cls: type[Task]) -> Task:
    torch.manual_seed(0)
    if cls in TARGET:
        return make_task(cls, build_encoder(TinyImage), size=32)
    encoders = build_encoder(TinyImage), build_encoder(TinyFlow)
    return make_task(cls, *encoders, size=32, frame_interval=0.1)


def trained_on(task: Task, made: list) -> dict[str, float]:
    """The metrics of a step on examples, whose loss and gradients are numbers."""
    step = task(task.augment(collate(made)))
    step.loss.backward()
    slopes = [p.grad for p in task.parameters() if p.grad is not None]
    assert torch.isfinite(step.loss.detach())
    assert slopes
    assert all(torch.isfinite(slope).all() for slope in slopes)
    return {name: float(value) for name, value in step.metrics.items()}


@pytest.mark.parametrize("cls", TARGET + PAIR)
def test_odd_films_are_asked_about_left_out_or_named(cls, folder):
    task = task_of(cls)
    examples = Examples(folder, task, 0)
    found = [examples[Request(0, 1, 0, k)][1] for k in range(len(FILMS))]
    lost = {k: item for k, item in enumerate(found) if isinstance(item, Lost)}
    # What needs two moments, or no more than a clip's length, says what the film lacks.
    assert set(lost) == (
        SHORT if cls is FlowCorrespondence else {0} if cls is FlowContrast else set()
    )
    for k, item in lost.items():
        assert item.name == FILMS[k]
        assert "shorter than" in item.reason
        assert "leave the file out" in item.reason
    kept = [k for k in range(len(FILMS)) if k not in lost]
    metrics = trained_on(task, [found[k] for k in kept])
    still = len(STILL & set(kept)) / len(kept)
    for name in ("static", "rejected"):
        if name in metrics:
            assert metrics[name] >= still - 1e-6
            assert metrics[name] < 1
    weight = task.augment(collate([found[k] for k in kept]))["weight"]
    if cls is not FlowCorrespondence:  # there weights are of pairs
        rows = weight.unflatten(0, (len(kept), -1)).sum(1)
        assert all(float(rows[kept.index(k)]) == 0 for k in STILL & set(kept))
        assert float(rows[kept.index(3)]) > 0


@pytest.mark.parametrize("cls", TARGET + PAIR)
def test_a_batch_in_which_nothing_moves_has_no_loss(cls, folder):
    task = task_of(cls)
    examples = Examples(folder, task, 0)
    made = [examples.example(epoch, 1) for epoch in range(3)]
    step = task(task.augment(collate(made)))
    step.loss.backward()
    assert float(step.loss.detach()) == 0
    assert not any(p.grad.any() for p in task.parameters() if p.grad is not None)


@pytest.mark.slow
def test_4k_is_read_and_asked_about(tmp_path):
    big = [np.kron(picture, np.ones((34, 60, 1), np.uint8))[:2160] for picture in moving(0)[:4]]
    path = make.write(tmp_path / "big.mp4", big, [k / 10 for k in range(4)])
    whole = read(path, Plan((0.0,), flow=((0.0, 0.1),)))
    assert whole.flow is not None
    assert whole.flow.shape == (1, 2, 2160, 3840)
    assert torch.isfinite(whole.flow).all()
    task = task_of(FlowSimilarity)
    made = [Examples(Folder(tmp_path), task, 0).example(epoch, 0) for epoch in range(2)]
    assert trained_on(task, made)["static"] < 1
