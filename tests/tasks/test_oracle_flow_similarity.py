"""Flow similarity on pictures whose colours spell where each pixel lies and how it moves."""

import pytest
import torch
from flow_worlds import Says, drawn, places, sample_of, side_of
from task_kit import build_encoder, make_task

from pretexto.encoders.image import TinyImage
from pretexto.encoders.places import at_places
from pretexto.errors import InputError
from pretexto.tasks.flow_similarity import FlowSimilarity

PLAIN = {"size": 32, "resize_side": 32, "pixels": 64, "colour": 0, "camera": False}


def task_of(**options) -> FlowSimilarity:
    return make_task(FlowSimilarity, build_encoder(TinyImage), **(PLAIN | options))


def mapped(i, plan):
    """Red tells the column and green the row; what is at one place moves as another function."""
    y, x = places(side_of(plan))
    frame = torch.stack([x, y, torch.full_like(x, (i + 1) / 10)])
    field = (i + 1) * torch.stack([x - y, 2 * x * x])
    return sample_of(frame[None], field[None], plan)


def two_bodies(i, plan):
    """What is red goes right, and what is green left; each film has an edge of its own."""
    y, x = places(side_of(plan))
    right = (x + 0.3 * y) < 0.35 + 0.05 * i
    field = torch.stack([torch.where(right, 2.0, -2.0), torch.zeros_like(x)])
    frame = torch.stack([right.float(), (~right).float(), torch.zeros_like(x)])
    return sample_of(frame[None], field[None], plan)


def colours(batch) -> torch.Tensor:
    """Of the pixels that were drawn, as the network sees them: [B, views · M, 3]."""
    x, where = batch["inputs"][:, :, :, 0].flatten(0, 1), batch["places"].flatten(0, 1)
    return at_places(x, where).unflatten(0, batch["places"].shape[:2]).flatten(1, 2)


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.3, 0.9)])
def test_each_pixel_is_given_the_flow_of_what_it_shows(views, scale):
    """In parts, mirrored ones too, and in both views of two."""
    task = task_of(position=views == 2, scale=scale)
    data = task.augment(drawn(task, mapped, 8))
    assert data["motion"].shape == (8, views, 64 // views, 2)
    x, y, _ = colours(data).unbind(2)
    told = torch.stack([x - y, 2 * x * x], 2)
    told = told - told.mean(1, keepdim=True)
    found = data["motion"].flatten(1, 2)
    found = found - found.mean(1, keepdim=True)
    # In units of the flow's spread over the whole film's frame, which the colours do not tell.
    unit = (told * found).sum((1, 2)) / told.square().sum((1, 2))
    error = (found - unit[:, None, None] * told).square().mean().sqrt()
    assert float(error) < 0.06 * float(found.square().mean().sqrt())
    assert float((unit / unit.mean() - 1).abs().max()) < 0.1, "slow and fast films ask alike"
    wrong = (found.roll(1, 1) - unit[:, None, None] * told).square().mean().sqrt()
    assert float(wrong) > 0.5 * float(found.square().mean().sqrt())


@pytest.mark.parametrize("position", [False, True])
def test_who_embeds_what_moves_by_its_colour_ranks_all_pairs(position):
    task = task_of(position=position, sigma=0.5)
    data = task.augment(drawn(task, two_bodies, 8))
    seen = 2 * colours(data)[:, :, :2] - 1
    task.columns = Says(lambda *_: seen.unflatten(1, (task.views, -1)).flatten(0, 1))
    right = task(data)
    # Pixels on the edge itself are of both.
    assert float(right.metrics["auc"]) > 0.97
    wrong = seen.roll(1, 0)
    task.columns = Says(lambda *_: wrong.unflatten(1, (task.views, -1)).flatten(0, 1))
    assert float(task(data).metrics["auc"]) < 0.9
    assert float(task(data).loss) > float(right.loss)


def test_the_loss_is_that_of_the_kernels_over_films_that_move():
    """Pair by pair, of what the network said and of the motion that it was not shown."""

    def half_still(i, plan):
        sample = two_bodies(i, plan)
        return sample_of(sample.frames / 255, sample.flow * (i % 2), plan)

    task = task_of(pixels=8, sigma=0.8)
    data = task.augment(drawn(task, half_still, 4))
    assert data["weight"].tolist() == [0, 1, 0, 1]
    said = torch.randn(4, 8, 5, generator=torch.Generator().manual_seed(2))
    task.columns = Says(lambda *_: said)
    step = task(data)
    expected = []
    for motion, each in ((data["motion"][k, 0], said[k]) for k in (1, 3)):
        for q in range(8):
            others = [p for p in range(8) if p != q]
            far = torch.stack([(motion[p] - motion[q]).square().sum() for p in others])
            target = (-far / (2 * 0.8**2)).exp().softmax(0)
            cosines = torch.stack([torch.cosine_similarity(each[p], each[q], 0) for p in others])
            expected.append(-(target * (cosines / 4).log_softmax(0)).sum())
    assert float(step.loss) == pytest.approx(float(torch.stack(expected).mean()), rel=1e-5)
    assert float(step.metrics["static"]) == 0.5


def test_two_views_are_compared_with_each_other_alone():
    """Pair by pair: each pixel of a view with all of the other view's, and with none of its own."""
    task = task_of(position=True, pixels=8, sigma=0.8)
    data = task.augment(drawn(task, two_bodies, 2))
    said = torch.randn(2, 2, 4, 5, generator=torch.Generator().manual_seed(2))
    task.columns = Says(lambda *_: said.flatten(0, 1))
    expected = []
    for motion, each in zip(data["motion"], said, strict=True):
        for view, q in ((0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3)):
            far = (motion[1 - view] - motion[view, q]).square().sum(1)
            cosines = torch.cosine_similarity(each[1 - view], each[view, q, None], 1)
            target = (-far / (2 * 0.8**2)).exp().softmax(0)
            expected.append(-(target * (cosines / 4).log_softmax(0)).sum())
    assert float(task(data).loss) == pytest.approx(float(torch.stack(expected).mean()), rel=1e-5)


def test_impossible_options_are_refused():
    for options, said in (
        ({"loss": "huber"}, "loss is one of"),
        ({"loss": "alignment", "learn_sigma": True}, "set loss to cross_entropy"),
        ({"pixels": 3}, "pixels"),
        ({"sigma": 0.0}, "sigma"),
        ({"levels": ("stem",)}, "leave out the deepest"),
        ({"levels": ("steem",)}, "no level 'steem'"),
    ):
        with pytest.raises(InputError, match=said):
            task_of(**options)
