"""What every task must do. The suite finds tasks and encoders by itself."""

import inspect
import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers import travelled
from task_kit import (
    ENCODERS,
    TASKS,
    TINY,
    batch,
    build_encoder,
    build_task,
    collate,
    example,
    fitting,
    info,
    media,
)

from pretexto.encoders.encoder import Encoder
from pretexto.modalities.rng import generator
from pretexto.tasks.task import Task


def _name(value: Any) -> str:
    return (
        value.__name__ if isinstance(value, type) else "+".join(v.__name__ for v in value.values())
    )


SMALL = [(task, chosen) for task in TASKS for chosen in fitting(task, TINY)]
# Of all pairs a third at once, in which each task and each encoder stands; the rest is slow.
EVERY = [
    pytest.param(task, chosen, marks=pytest.mark.slow if k and (t + k) % 3 else ())
    for t, task in enumerate(TASKS)
    for k, chosen in enumerate(fitting(task, ENCODERS))
]
each_task = pytest.mark.parametrize("cls", TASKS, ids=_name)
each_small = pytest.mark.parametrize(("cls", "chosen"), SMALL, ids=_name)
pytestmark = pytest.mark.usefixtures("one_seed")


@pytest.fixture
def one_seed():
    torch.manual_seed(0)


def build(cls: type[Task], chosen: dict[str, type[Encoder]], **options: Any) -> Task:
    return build_task(cls, {place: build_encoder(e) for place, e in chosen.items()}, **options)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_the_suite_finds_tasks_and_encoders():
    names = {cls.__name__ for cls in TASKS}
    assert names >= {"Rotation", "ShuffleLearn", "AudioVisual", "SimCLR", "Supervised"}
    assert {cls.__name__ for cls in TINY} >= {"TinyImage", "TinyVideo", "TinyAudio"}
    assert {cls for cls, _ in SMALL} == set(TASKS)


@each_task
def test_task_is_final_and_documented(cls):
    assert cls.__subclasses__() == []
    text = inspect.getdoc(cls) or ""
    cited = r"arXiv:\d{4}\.\d{4,5}|doi:10\.\d{4,}/\S+|https://\S+"
    assert re.search(cited, text), "the docstring cites no paper"
    assert re.search(r"(19|20)\d\d", text), "the docstring names no year"
    _arguments_documented(cls)


@pytest.mark.parametrize("cls", ENCODERS, ids=_name)
def test_encoder_is_documented(cls):
    # Tests derive from encoders; the package does not.
    assert not [c for c in cls.__subclasses__() if c.__module__.startswith("pretexto.")]
    _arguments_documented(cls)


def _arguments_documented(cls: type) -> None:
    arguments = dict(inspect.signature(cls.__init__).parameters)
    del arguments["self"]
    if arguments:
        section = (inspect.getdoc(cls) or "").partition("Args:\n")[2].partition("\n\n")[0]
        described = set(re.findall(r"^    (\w+): \S", section, re.MULTILINE))
        assert described == set(arguments)


@each_small
def test_encoders_and_specs_agree(cls, chosen):
    task = build(cls, chosen)
    assert task.encoders.keys() == task.specs.keys()
    inside = set(task.modules())
    for modality, encoder in task.encoders.items():
        assert encoder in inside
        assert encoder.modality == task.specs[modality].modality == modality


@each_small
def test_same_generator_same_example(cls, chosen, untouched_rng):
    task = build(cls, chosen)
    with untouched_rng():
        plans = [task.plan(info(1), generator(3, 2, 1)) for _ in range(2)]
        assert plans[0] == plans[1]
        assert same(example(task, 1), example(task, 1))
        others = [example(task, 1, seed) for seed in range(1, 6)]
    alike = all(same(example(task, 1), other) for other in others)
    assert alike is not task.traits.draws, "nothing is random, or should be"


@each_small
def test_examples_stack_and_pictures_travel_as_bytes(cls, chosen):
    task = build(cls, chosen)
    examples = [example(task, i) for i in range(4)]
    shapes = {tuple(sorted((k, tuple(v.shape)) for k, v in e.items())) for e in examples}
    assert len(shapes) == 1
    for name, value in examples[0].items():
        if value.ndim >= 4 and value.numel() > 1000 and name not in task.traits.not_pictures:
            flow = value.dtype == torch.float16 and value.shape[-4] == 2
            assert flow or value.dtype == torch.uint8, f"{name} should travel as bytes"


@each_small
def test_example_leaves_its_sample_alone(cls, chosen):
    task = build(cls, chosen)
    rng = generator(0, 0, 0)
    sample = media(0, task.plan(info(0), rng))
    parts = sample.frames, sample.audio, sample.flow, sample.tokens, sample.word_starts
    kept = [None if x is None else x.clone() for x in parts]
    task.example(sample, rng)
    for before, after in zip(kept, parts, strict=True):
        assert (before is None and after is None) or torch.equal(before, after)


@each_small
def test_augment_draws_nothing_and_treats_samples_alone(cls, chosen, untouched_rng):
    task = build(cls, chosen)
    whole = batch(task, 4)
    kept = {k: v.clone() for k, v in whole.items()}
    with untouched_rng():
        once = task.augment(whole)
        assert same(once, task.augment(whole))
    assert same(whole, kept), "augment changed its argument"
    part = task.augment(collate([example(task, i) for i in range(2)]))
    for name, value in part.items():
        if value.ndim >= 4:
            torch.testing.assert_close(value, once[name][: len(value)], atol=1e-5, rtol=0)


@each_small
def test_every_parameter_gets_a_finite_gradient(cls, chosen):
    task = build(cls, chosen)
    step = task(task.augment(batch(task, 4)))
    assert step.loss.shape == ()
    step.loss.backward()
    learning = [(n, p) for n, p in task.named_parameters() if p.requires_grad]
    assert learning
    for name, parameter in learning:
        assert parameter.grad is not None, f"{name} has no gradient"
        assert parameter.grad.isfinite().all(), f"{name} has no finite gradient"
    for encoder in task.encoders.values():
        grads = [p.grad for p in encoder.parameters() if p.grad is not None]
        assert any(grad.abs().max() > 0 for grad in grads)


@each_small
def test_metrics_and_pictures_can_be_shown(cls, chosen):
    task = build(cls, chosen)
    step = task(task.augment(batch(task, 6)))
    assert step.metrics
    for value in step.metrics.values():
        assert value.shape == ()
        assert not value.requires_grad
        assert value.isfinite()
        assert not task.traits.unit_metrics or 0 <= float(value) <= 1
    assert step.pictures is not None
    pictures = step.pictures()
    assert 1 <= len(pictures) <= 4
    for picture in pictures:
        assert len(picture.images) == len(picture.captions) >= 1
        assert picture.answer
        assert picture.prediction
        for image in picture.images:
            assert image.shape[0] == 3
            assert image.ndim == 3
            assert image.device.type == "cpu"
            assert image.min() >= 0
            assert image.max() <= 1


@each_small
def test_a_fixed_batch_is_overfitted(cls, chosen):
    task = build(cls, chosen)
    fixed = task.augment(batch(task, 8))
    optimizer = torch.optim.Adam(task.parameters(), lr=5e-3)
    losses, scores, share = [], [0.0], task.traits.overfits_to
    # Where the loss need not fall, as between critic and painter, the first metric tells enough.
    steps = 25 if share is None else 150
    while len(losses) < steps and (scores[-1] < 1 or losses[-1] > (share or 1) * losses[0]):
        step = task(fixed)
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        losses.append(float(step.loss.detach()))
        scores.append(float(next(iter(step.metrics.values()))))
    assert all(math.isfinite(loss) for loss in losses)
    if share is None:
        assert scores[-1] > scores[1], "nothing was learned"
    else:
        assert losses[-1] <= share * losses[0]
        assert scores[-1] == 1


@pytest.mark.parametrize(("cls", "chosen"), EVERY, ids=_name)
def test_works_with_every_encoder_of_its_modality(cls, chosen):
    task = build(cls, chosen)
    step = task(task.augment(batch(task, 2)))
    step.loss.backward()
    assert step.loss.isfinite()
    assert all(p.grad.isfinite().all() for p in task.parameters() if p.grad is not None)


@each_small
def test_state_dict_round_trip(cls, chosen):
    task = build(cls, chosen)
    data = task.augment(batch(task, 4))
    task(data).loss.backward()
    torch.manual_seed(1)
    other = build(cls, chosen)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(0.1)
    other.load_state_dict(task.state_dict())
    task.eval(), other.eval()
    with torch.no_grad():
        assert torch.equal(task(data).loss, other(data).loss)


@each_small
def test_travels_to_a_worker_process(cls, chosen):
    task = build(cls, chosen)
    copy = travelled(task)
    assert same(example(task, 0), example(copy, 0))


@each_task
def test_guards_are_fields_that_can_be_switched(cls):
    chosen = next(c for t, c in SMALL if t is cls)
    default = build(cls, chosen)
    for guard in default.guards:
        assert guard.cue
        switches = inspect.signature(cls).parameters["guards"].default
        assert getattr(switches, guard.name) is guard.enabled
        other = build(cls, chosen, guards=replace(switches, **{guard.name: not guard.enabled}))
        flipped = next(g for g in other.guards if g.name == guard.name)
        assert flipped.enabled is not guard.enabled
        for task in (default, other):
            assert_cue(guard.probe(task.augment(batch(task, 4))))
    for audit in default.audits:
        assert audit.cue
        assert audit.remedy
        assert_cue(audit.probe(default.augment(batch(default, 4))))


def assert_cue(cue: torch.Tensor) -> None:
    """A row for each question, [B, F], or two for each pair, [B, 2, F]."""
    assert cue.ndim == 2 or (cue.ndim == 3 and cue.shape[1] == 2)
    assert len(cue) % 4 == 0
    assert cue.isfinite().all()


@each_small
def test_its_arguments_are_plain_and_tell_it_from_another(cls, chosen):
    task = build(cls, chosen)
    assert json.loads(json.dumps(task.arguments)) == task.arguments
    assert task.arguments == build(cls, chosen).arguments
    assert set(task.arguments) == set(inspect.signature(cls).parameters)
