"""Flow prediction on pictures whose colours spell how each place moves."""

import math

import pytest
import torch
import torch.nn.functional as F
from flow_worlds import LONGEST, Says, class_of, drawn, sample_of, signposted, signs
from task_kit import build_encoder, make_task

from pretexto.encoders.image import TinyImage
from pretexto.errors import InputError
from pretexto.tasks.flow_prediction import FlowPrediction
from pretexto.tasks.parts.flow_classes import FlowClasses

WHOLE = {"size": 32, "resize_side": 32, "grid": 4, "colour": 0, "camera": False}


def task_of(**options) -> FlowPrediction:
    return make_task(FlowPrediction, build_encoder(TinyImage), **(WHOLE | options))


def read_off(pictures, task: FlowPrediction) -> torch.Tensor:
    """Classes [B, grid, grid] that the colours of [B, 3, H, W] spell, one vector at a time."""
    cells = F.adaptive_avg_pool2d(signs(pictures), task.grid)
    classes = task.classes
    count = len(classes.names) - 1
    found = torch.zeros(len(cells), task.grid, task.grid, dtype=torch.int64)
    for b, row, column in torch.cartesian_prod(*map(torch.arange, found.shape)).tolist():
        unit = float(cells[b].square().sum(0).mean().sqrt())
        x, y = cells[b, :, row, column].tolist()
        speeds = count // classes.directions
        found[b, row, column] = class_of(x, y, unit, classes.directions, speeds)
    return found


@pytest.mark.parametrize(("directions", "speeds"), [(8, 2), (4, 1), (5, 3)])
def test_classes_are_those_of_the_definition(directions, speeds):
    rng = torch.Generator().manual_seed(0)
    flow = 4 * torch.randn(3, 2, 6, 6, generator=rng)
    found = FlowClasses(directions, speeds).of(flow)
    for b in range(3):
        unit = float(flow[b].square().sum(0).mean().sqrt())
        for row in range(6):
            for column in range(6):
                x, y = flow[b, :, row, column].tolist()
                assert int(found[b, row, column]) == class_of(x, y, unit, directions, speeds)
    assert int(found.max()) <= directions * speeds
    assert not FlowClasses(directions, speeds).of(torch.zeros(1, 2, 4, 4)).any()


def test_a_class_expects_a_vector_of_its_own_class():
    classes = FlowClasses(8, 2)
    sure = 30 * torch.eye(len(classes.names))[:, :, None, None]
    vectors = classes.vectors(sure)[:, :, 0, 0]
    assert float(vectors[0].abs().max()) < 1e-6
    for k, (x, y) in enumerate(vectors.tolist()[1:], 1):
        assert class_of(x, y, 1.0, 8, 2) == k


@pytest.mark.parametrize("options", [{"scale": (1.0, 1.0), "flip": False}, {"scale": (1.0, 1.0)},
                                     {"scale": (0.3, 0.9)}])  # fmt: skip
def test_the_answer_is_what_the_pixels_spell(options):
    """A mirrored picture asks for mirrored motion, and a part for the motion of that part."""
    task = task_of(**options)
    data = task.augment(drawn(task, signposted, 16))
    told = read_off(data["inputs"][:, :, 0], task).flatten()
    # Colours have 8 bits, and flow 16: a few vectors lie on the edge of two classes.
    assert float((told == data["target"]).float().mean()) > 0.97
    others = told.view(16, -1).roll(1, 0).flatten()
    assert float((others == data["target"]).float().mean()) < 0.5, "what another film spells"


def test_who_reads_the_answer_off_the_pixels_is_right_and_who_is_wrong_loses():
    task = task_of(scale=(0.3, 0.9))
    data = task.augment(drawn(task, signposted, 16))
    told = F.one_hot(data["target"], len(task.classes.names)).float()
    task.columns = Says(lambda *_: 30 * told.unflatten(0, (16, -1)))
    step = task(data)
    assert float(step.loss) < 1e-4
    assert float(step.metrics["accuracy"]) == 1
    task.columns = Says(lambda *_: 30 * told.roll(1, 1).unflatten(0, (16, -1)))
    assert float(task(data).loss) > 25


def test_the_loss_is_the_cross_entropy_in_which_still_cells_weigh_a_tenth():
    task = task_of()
    data = task.augment(drawn(task, signposted, 4))
    logits = torch.randn(4, 16, 17, generator=torch.Generator().manual_seed(1))
    task.columns = Says(lambda *_: logits)
    total = weights = 0.0
    for row, target in zip(logits.flatten(0, 1).tolist(), data["target"].tolist(), strict=True):
        weight = 1.0 if target else 0.1
        total += weight * (math.log(sum(math.exp(x) for x in row)) - row[target])
        weights += weight
    assert float(task(data).loss) == pytest.approx(total / weights, rel=1e-5)


def test_frames_in_which_nothing_moves_have_no_weight_and_are_counted():
    def half_still(i, plan):
        sample = signposted(i, plan)
        return sample_of(sample.frames / 255, sample.flow * (i % 2), plan)

    task = task_of()
    data = task.augment(drawn(task, half_still, 6))
    asked = data["weight"].unflatten(0, (6, -1)).sum(1)
    assert (asked[::2] == 0).all()
    assert (asked[1::2] > 0).all()
    off = task_of(static=False)
    assert (off.augment(drawn(off, half_still, 6))["weight"] > 0).all()
    still = task.augment(drawn(task, lambda i, plan: half_still(0, plan), 3))
    assert float(task(still).loss.detach()) == 0


def test_a_camera_s_motion_is_no_answer():
    """Without the guard every cell of a pan moves; with it what is left stands."""

    def panned(i, plan):
        sample = signposted(i, plan)
        alone = torch.zeros_like(sample.flow)
        alone[..., 8:16, 8:16] = LONGEST  # one body; all else stands but for the camera
        pan = torch.tensor([5.0, -2.0])[:, None, None]
        return sample_of(sample.frames / 255, alone + pan, plan)

    flat = {"scale": (1.0, 1.0), "flip": False}
    for guarded in (True, False):
        task = task_of(camera=guarded, **flat)
        target = task.augment(drawn(task, panned, 2))["target"].view(2, 4, 4)
        still = target == 0
        assert bool(still.any()) is guarded
        if guarded:
            assert int(still.sum()) == 2 * 15
            assert (target[:, 1, 1] > 0).all()


def test_impossible_options_are_refused():
    for options, said in (
        ({"grid": 0}, "grid is a number of cells"),
        ({"grid": 33}, "grid is a number of cells"),
        ({"directions": 1}, "directions"),
        ({"speeds": 0}, "speeds"),
        ({"still_weight": -1.0}, "still_weight"),
        ({"model": "spline"}, "model is"),
        ({"flow_interval": 0.0}, "flow_interval"),
    ):
        with pytest.raises(InputError, match=said):
            task_of(**options)
