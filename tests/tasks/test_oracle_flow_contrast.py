"""Flow contrast on frames and flow that both spell their film and second."""

import math

import pytest
import torch
import torch.nn.functional as F
from flow_worlds import (
    Says,
    drawn,
    film,
    flow_spells,
    frames_spell,
    sample_of,
    signposted,
    signs,
    spelled,
)
from task_kit import build_encoder, make_task

from pretexto.encoders.flow import TinyFlow
from pretexto.encoders.image import TinyImage
from pretexto.errors import InputError
from pretexto.modalities.media import MediaError
from pretexto.modalities.rng import generator
from pretexto.tasks.flow_contrast import FlowContrast

PLAIN = {"size": 32, "resize_side": 32, "frame_interval": 0.1, "colour": 0, "scale": (1.0, 1.0)}


def task_of(**options) -> FlowContrast:
    encoders = build_encoder(TinyImage), build_encoder(TinyFlow)
    return make_task(FlowContrast, *encoders, **(PLAIN | options))


def reading(task: FlowContrast, shift: int = 0) -> FlowContrast:
    """The task with networks that read which film it is; those of flow `shift` films too far."""
    task.video.encode = lambda clips: F.one_hot(frames_spell(clips)[0].long(), 16).float()

    def moved(fields):
        return F.one_hot((flow_spells(fields)[0].long() + shift) % 8, 16).float()

    task.flow.encode = moved
    task.video_projector = task.flow_projector = Says(lambda x: x)
    return task


def test_frames_and_flow_of_a_row_are_of_one_film_and_moment():
    for co_training in (0, 3):
        task = task_of(co_training=co_training)
        data = task.augment(drawn(task, spelled))
        for which in ("", "_again") if co_training else ("",):
            (seen, early), (moved, begun) = (
                frames_spell(data[f"inputs{which}"]), flow_spells(data[f"flow{which}"])
            )  # fmt: skip
            assert torch.equal(seen, torch.arange(8.0))
            assert torch.equal(moved, torch.arange(8.0))
            torch.testing.assert_close(early, begun, atol=0.06, rtol=0)
    assert float((early - frames_spell(data["inputs"])[1]).abs().max()) > 0.5, "two moments"


def test_who_reads_which_film_it_is_finds_its_motion():
    task = reading(task_of())
    data = task.augment(drawn(task, spelled))
    step = task(data)
    assert float(step.metrics["accuracy"]) == 1
    # Cosines of 1 and 0 at temperature 0.07, of eight films.
    assert float(step.loss) == pytest.approx(math.log(1 + 7 * math.exp(-1 / 0.07)), abs=1e-5)
    assert float(reading(task, shift=1)(data).metrics["accuracy"]) == 0


def test_the_loss_is_both_ways_and_leaves_out_what_stands_still():
    def some_still(i, plan):
        sample = spelled(i, plan)
        return sample_of(sample.frames / 255, sample.flow * (i != 2), plan)

    task = task_of(temperature=0.3)
    data = task.augment(drawn(task, some_still, 5))
    assert data["weight"].tolist() == [1, 1, 0, 1, 1]
    rng = torch.Generator().manual_seed(0)
    clips, flows = (torch.randn(5, 6, generator=rng) for _ in range(2))
    task.video_projector, task.flow_projector = Says(lambda _: clips), Says(lambda _: flows)
    losses, kept = [], (0, 1, 3, 4)
    for first, second in ((clips, flows), (flows, clips)):
        for i in kept:
            said = {j: float(F.cosine_similarity(first[i], second[j], 0)) / 0.3 for j in kept}
            losses.append(math.log(sum(map(math.exp, said.values()))) - said[i])
    step = task(data)
    assert float(step.loss) == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert float(step.metrics["rejected"]) == pytest.approx(0.2)


def test_co_training_takes_for_positives_what_is_near_in_the_other_stream():
    """Term by term: a clip's positives are its own other moment, and the films whose flow, at that
    moment, is nearest to its own."""
    task = task_of(temperature=0.3, co_training=1)
    data = task.augment(drawn(task, spelled, 4))
    rng = torch.Generator().manual_seed(1)
    rows = {name: torch.randn(4, 6, generator=rng) for name in ("v", "v_again", "f", "f_again")}
    said = iter([rows["v"], rows["v_again"]]), iter([rows["f"], rows["f_again"]])
    task.video_projector, task.flow_projector = (Says(lambda _, x=x: next(x)) for x in said)

    def cosine(a, b):
        return F.cosine_similarity(rows[a][:, None], rows[b][None], 2)

    def both_ways(logits):
        return (F.cross_entropy(logits, torch.arange(4)) +
                F.cross_entropy(logits.T, torch.arange(4))) / 2  # fmt: skip

    expected = float(both_ways(cosine("v", "f") / 0.3))
    for own, other in (("v", "f"), ("f", "v")):
        near = cosine(f"{other}_again", f"{other}_again").fill_diagonal_(-9)
        logits = (cosine(own, f"{own}_again") / 0.3).exp()
        for i in range(4):
            right = logits[i, i] + logits[i, int(near[i].argmax())]
            expected += float(logits[i].sum().log() - right.log()) / 4
    assert float(task(data).loss) == pytest.approx(expected, rel=1e-5)


def test_each_stream_has_its_crop_and_both_one_mirror():
    """Of films whose colours spell how they move, and whether they are mirrored."""
    parts = drawn(task_of(scale=(0.3, 0.6)), signposted)
    assert not torch.equal(parts["box"], parts["flow_box"])
    task = task_of()
    batch = drawn(task, signposted)
    assert batch["flip"].any()
    assert not batch["flip"].all()
    data = task.augment(batch)
    told = signs(data["inputs"][:, :, 0])
    assert float((told - data["flow"][:, :, 0]).abs().max()) < 0.05


def test_moments_lie_inside_the_film_or_it_is_named():
    task = task_of(co_training=2)
    for i in range(100):
        plan = task.plan(film(duration=1.5), generator(0, 0, i))
        assert max(b for _, b in plan.flow) <= 1.5
    with pytest.raises(MediaError, match="lower frames or fields"):
        task.plan(film(duration=0.05), generator(0, 0, 0))
    for options in ({"temperature": 0.0}, {"co_training": -1}):
        with pytest.raises(InputError, match=next(iter(options))):
            task_of(**options)
