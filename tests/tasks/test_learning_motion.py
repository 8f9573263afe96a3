"""Tasks on motion are learned where frames tell how things move, and not where they do not.

Scores are of films that the networks have not seen.
"""

from functools import partial

import pytest
import torch
from flow_worlds import Films, drawn, places, sample_of, side_of, signposted
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, roc_auc_score
from small_world import held_out, train
from task_kit import make_task
from torch import Tensor

from pretexto.encoders.flow import TinyFlow
from pretexto.encoders.image import TinyImage
from pretexto.encoders.places import grid_places
from pretexto.modalities.media import Plan, Sample
from pretexto.modalities.rng import generator, uniform
from pretexto.tasks.flow_contrast import FlowContrast
from pretexto.tasks.flow_correspondence import FlowCorrespondence
from pretexto.tasks.flow_prediction import FlowPrediction
from pretexto.tasks.flow_similarity import FlowSimilarity
from pretexto.tasks.task import Task

pytestmark = pytest.mark.slow

PLAIN = {"size": 32, "resize_side": 32, "colour": 0, "scale": (0.6, 1.0)}
FAR = 10_000  # numbers of films apart: another world's


def body_of(i: int, side: int) -> Tensor:
    """Which pixels of film i belong to what moves in it, a disc: bool [side, side]."""
    y, x = places(side)
    rng = generator(11, 0, i)
    across, down, radius = (uniform(rng, *ends) for ends in ((0.3, 0.7), (0.3, 0.7), (0.22, 0.3)))
    return (x - across) ** 2 + (y - down) ** 2 < radius**2


def striped(i: int, plan: Plan, camera: bool = False, told: bool = True) -> Sample:
    """A disc of level stripes goes over upright ones, each stripe of a colour of its own.

    `camera`: which pans and zooms besides. Not `told`: something else moves than what shows.
    """
    side = side_of(plan)
    rng = generator(12, 0, i)
    upright, level = (torch.rand(3, side // 2, generator=rng).repeat_interleave(2, 1) for _ in "ab")
    frame = torch.where(body_of(i, side), level[:, :, None], upright[:, None, :])
    angle = torch.tensor(uniform(rng, 0, 6.28))
    way = 2 * torch.stack([angle.cos(), angle.sin()]).view(2, 1, 1)
    flow = way * body_of(i if told else i + FAR, side)
    if camera:
        y, x = places(side)
        pan = 4 * torch.randn(2, 1, 1, generator=rng)
        flow = flow + pan + 3 * uniform(rng, -1, 1) * torch.stack([x - 0.5, y - 0.5])
    return sample_of(frame[None], flow[None], plan)


def coupled(i: int, plan: Plan, related: bool = True) -> Sample:
    """The redder a film, the faster its sides close in; the greener, the faster above and below."""
    side = side_of(plan)
    rng = generator(13, 0, i)
    shown, other = (torch.rand(2, generator=rng) for _ in range(2))
    frame = 0.1 + 0.2 * torch.rand(3, side, side, generator=rng)
    frame[:2] += 0.7 * shown.view(2, 1, 1)
    speed = shown if related else other
    y, x = places(side)
    sides = torch.stack([torch.where(x < 0.5, 1.0, -1.0), torch.where(y < 0.5, 1.0, -1.0)])
    flow = (0.3 + 3 * speed.view(2, 1, 1)) * sides
    many = len(plan.times), 1, 1, 1
    return sample_of(frame.repeat(many), flow.repeat(len(plan.flow), 1, 1, 1), plan)


def mixed_up(i: int, plan: Plan) -> Sample:
    """The flow of another signposted film."""
    return sample_of(signposted(i, plan).frames / 255, signposted(i + FAR, plan).flow, plan)


def similarity(seed: int, **options) -> FlowSimilarity:
    torch.manual_seed(seed)
    return make_task(FlowSimilarity, TinyImage(width=8), **(PLAIN | {"pixels": 128} | options))


def prediction() -> Task:
    return make_task(FlowPrediction, TinyImage(width=8), **PLAIN, grid=4, camera=False)


def paired(cls: type[Task], **options) -> Task:
    encoders = TinyImage(width=8), TinyFlow(width=8)
    return make_task(cls, *encoders, **(PLAIN | {"frame_interval": 0.1} | options))


def score(make, world, *, steps: int, seed: int = 0) -> float:
    torch.manual_seed(seed)
    task = make()
    train(task, Films(world, 256, FAR * seed), steps=steps, seed=seed)
    return held_out(task, Films(world, 96, FAR * seed + 1000))


@torch.no_grad()
def agreement(task: FlowSimilarity, films: int = 24, first: int = 5000) -> tuple[float, float]:
    """How embeddings of all pixels of unseen films tell what moves in them from the rest.

    Returns:
        the share of pairs of pixels that move together which are nearer than pairs that do not
        (area under the curve), and the adjusted Rand index of two clusters against body and rest.
    """
    task.eval()
    data = drawn(task, lambda i, plan: striped(first + i, plan), films)
    clips = data["clip"].float() / 255
    embedded = task.columns(task.video, clips, grid_places(16, films, clips.device))
    aucs, rand = [], []
    for i, rows in enumerate(torch.nn.functional.normalize(embedded, dim=2)):
        body = body_of(first + i, 16).flatten()
        same = (body[:, None] == body).triu(1)
        pairs = torch.ones_like(same).triu(1)
        aucs.append(roc_auc_score(same[pairs], (rows @ rows.T)[pairs]))
        found = KMeans(2, n_init=5, random_state=0).fit_predict(rows.numpy())
        rand.append(adjusted_rand_score(body.numpy(), found))
    return sum(aucs) / films, sum(rand) / films


def learned(seed: int, steps: int = 150, **options) -> tuple[float, float]:
    task = similarity(seed)
    train(task, Films(partial(striped, **options), 256, FAR * seed), steps=steps, seed=seed)
    return agreement(task)


@pytest.mark.parametrize("camera", [False, True])
def test_pixels_of_what_moves_end_nearer_to_each_other_than_to_the_rest(camera):
    # Measured, area under the curve and adjusted Rand index of clusters, untrained over three
    # seeds: 0.48 to 0.50, and 0.02 to 0.03.
    auc, rand = agreement(similarity(0))
    assert auc < 0.6
    assert rand < 0.1
    # With seed 0: 0.98 and 0.81, with a camera that pans and zooms as without.
    auc, rand = learned(0, camera=camera)
    assert auc > 0.9
    assert rand > 0.6


def test_pixels_are_told_apart_by_their_place_alone_where_no_picture_tells_what_moves():
    # Measured with seed 0: 0.79 and 0.35. What moves and what shows both lie in the middle mostly,
    # and padding tells where that is.
    auc, rand = learned(0, told=False)
    assert auc < 0.87
    assert rand < 0.5


def test_motion_is_expected_where_pictures_tell_it_and_only_there():
    # Balanced over 17 classes, measured with seed 0: 0.69 and 0.06.
    assert score(prediction, signposted, steps=100) > 0.5
    assert score(prediction, mixed_up, steps=100) < 0.12


def test_correspondence_is_learned_where_speed_goes_with_colour_and_only_there():
    make = partial(paired, FlowCorrespondence, negatives="other_video")
    # Measured over two seeds: 0.92 and 0.94, and 0.48 and 0.52.
    assert score(make, coupled, steps=80) > 0.8
    assert score(make, partial(coupled, related=False), steps=80) < 0.6


def test_the_motion_of_a_clip_is_found_among_others_where_speed_goes_with_colour_and_only_there():
    make = partial(paired, FlowContrast, temperature=0.2)
    # Of 24 films, measured over two seeds: 0.69 and 0.74, and 0.04 and 0.05.
    assert score(make, coupled, steps=80) > 0.5
    assert score(make, partial(coupled, related=False), steps=80) < 0.12
