"""Shuffle and Learn on frames whose brightness spells the time."""

import math
from itertools import pairwise

import planted
import pytest
import torch
from planted import SECONDS, clock, drawn, medium, seen
from scipy.stats import chisquare
from task_kit import build_encoder, make_task
from torch import Tensor

from pretexto.encoders.image import TinyImage
from pretexto.encoders.video import TinyVideo
from pretexto.errors import InputError
from pretexto.modalities.media import Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.shuffle_learn import ShuffleLearn


def task_of(**options) -> ShuffleLearn:
    """Pixels that can be read: colours as they are, all tuples asked about."""
    encoder = options.pop("encoder", TinyImage)
    easy = {"size": 2, "colour": 0.0, "exposure": False, "static": False, "letterbox": False}
    return make_task(ShuffleLearn, build_encoder(encoder), **(easy | options))


def spelled(inputs: Tensor) -> Tensor:
    """1 where the moments go one way in time."""
    first, middle, last = seen(inputs).unbind(1)
    return ((middle - first) * (last - middle) > 0).long()


@pytest.mark.parametrize("encoder", [TinyImage, TinyVideo])
def test_the_answer_is_what_the_pixels_spell(encoder):
    _, data = drawn(task_of(encoder=encoder), 300)
    assert (data["weight"] == 1).all()
    assert torch.equal(data["target"], spelled(data["inputs"]))


def test_colour_change_keeps_the_order():
    _, data = drawn(task_of(colour=0.2, tau_min=1.0), 100)
    assert torch.equal(data["target"], spelled(data["inputs"]))


def test_scrambled_answers_are_noticed():
    _, data = drawn(task_of(), 300)
    assert not torch.equal(data["target"].roll(1), spelled(data["inputs"]))
    swapped = data["inputs"][:, [1, 0, 2]]
    assert not torch.equal(data["target"], spelled(swapped))


def test_times_keep_the_papers_inequalities():
    task = task_of(tau_min=0.6, tau_max=2.4)
    info, rng = medium(), torch.Generator().manual_seed(0)
    times = torch.tensor([task.plan(info, rng).times for _ in range(3_000)])
    a, b, c, d, e = times.unbind(1)
    assert (times.diff(dim=1) > 0).all()
    assert times.min() >= 0
    assert times.max() < SECONDS
    assert (d - b).max() <= 2.4 + 1e-9
    assert torch.minimum(b - a, e - d).min() >= 0.6 - 1e-6
    assert (torch.minimum(c - b, d - c) >= (d - b) / 4 - 1e-6).all()


def test_short_media_shrink_the_tuple():
    task = task_of(tau_min=0.1, tau_max=2.0)
    for i in range(200):
        times = task.plan(medium(0.4), generator(0, 0, i)).times
        assert times[1] - times[0] >= 0.1 - 1e-9
        assert times[4] - times[3] >= 0.1 - 1e-9


def test_clips_around_each_moment_stay_inside():
    task = task_of(encoder=TinyVideo, frames=5, frame_interval=0.1, tau_min=0.2, tau_max=0.5)
    for i in range(200):
        times = torch.tensor(task.plan(medium(1.2), generator(0, 0, i)).times).view(5, 5)
        torch.testing.assert_close(times.diff(dim=1), torch.full((5, 4), 0.1), atol=1e-5, rtol=0)
        assert times.max() < 1.2
        assert (times.diff(dim=0) > 0).all()


def test_three_quarters_are_shuffled_and_half_reversed():
    count = 1_500
    plans, data = drawn(task_of(), count)
    target, levels = data["target"], seen(data["inputs"])
    # Five standard deviations of a binomial.
    assert abs(int(target.sum()) - count / 4) < 5 * math.sqrt(count * 0.25 * 0.75)
    five = torch.tensor([[t / SECONDS * 250 for t in plan.times] for plan in plans]).round()
    a, b, c, d, e = five.unbind(1)
    reverse = levels[:, 0] > levels[:, 2]
    for label in (0, 1):
        kind = target == label
        assert abs(float(reverse[kind].float().mean()) - 0.5) < 5 * 0.5 / math.sqrt(kind.sum())
    # Endpoints are b and d whatever the answer; only the middle tells.
    ends = torch.where(reverse[:, None], torch.stack([d, b], 1), torch.stack([b, d], 1))
    assert torch.equal(levels[:, [0, 2]], ends)
    middle = levels[:, 1]
    assert torch.equal(middle[target == 1], c[target == 1])
    negative = target == 0
    early, late = (middle == a)[negative], (middle == e)[negative]
    assert (early ^ late).all()
    assert abs(float(early.float().mean()) - 0.5) < 5 * 0.5 / math.sqrt(int(negative.sum()))


def held(until: float = 0.0, since: float = math.inf):
    """A film of pictures that change every 0.1 s, but not before or after these seconds."""
    return lambda plan: planted.patterns(plan, lambda t: round(10 * min(max(t, until), since)))


@pytest.mark.parametrize(("reader", "twin"), [(held(until=5.0), 0), (held(since=5.0), 4)])
def test_a_middle_like_another_moment_is_never_asked_about(reader, twin):
    """Where c looks like a but not like e, or like e but not like a, or like both."""
    options = {"tau_min": 1.0, "tau_max": 2.0, "size": 28}
    plans, data = drawn(task_of(**options, static=True), 200, reader)
    shown = [reader(plan).frames for plan in plans]
    alike = torch.stack([(x[[0, 4]] == x[[2]]).flatten(1).all(1) for x in shown])
    one = alike[:, 0] ^ alike[:, 1]
    assert 20 < int(one.sum()) < 180
    assert alike[one][:, [0, 4].index(twin)].all()
    assert torch.equal(data["weight"], (~alike.any(1)).float())
    _, data = drawn(task_of(**options), 60, reader)
    assert (data["weight"] == 1).all()


@pytest.mark.parametrize("encoder", [TinyImage, TinyVideo])
def test_moments_share_their_crop_mirroring_and_colour(encoder):
    options = {"encoder": encoder, "size": 28, "colour": 0.2, "exposure": False}
    _, data = drawn(task_of(**options), 24, planted.still)
    x = data["inputs"]
    assert torch.equal(x[:, 0], x[:, 1])
    assert torch.equal(x[:, 0], x[:, 2])
    # That tells something only because each tuple has a crop, mirroring and colour of its own.
    assert all((a - b).abs().max() > 0.02 for a, b in pairwise(x))
    assert (x.std((-2, -1)) > 0.02).all()


def by_frames(plan: Plan) -> Sample:
    """The frames of a film of 25 frames per second, with their own times."""
    starts = tuple(math.floor(t * 25 + 1e-6) / 25 for t in plan.times)
    return clock(Plan(times=starts, short_side=plan.short_side))


@pytest.mark.parametrize("gap", [0.2, 0.08, 0.05])
def test_a_middle_that_repeats_an_endpoint_never_gives_the_answer_away(gap):
    task = task_of(tau_min=gap, tau_max=gap)
    _, data = drawn(task, 300, by_frames)
    first, middle, last = data["times"].unbind(1)
    asked = data["weight"] > 0
    assert not (((middle == first) | (middle == last)) & asked).any()
    # Only moments less than two frames apart leave no room for a frame between them.
    assert asked.all() if gap > 0.05 else (~asked).sum() > 50


@pytest.mark.parametrize(("twin", "end"), [(0, 1), (4, 3)])
def test_a_negative_on_the_frame_of_an_endpoint_is_not_asked_about(twin, end):
    """The frames of a film in which a frame was shown so long that two moments are on it."""

    def slow(plan: Plan) -> Sample:
        sample = clock(plan)
        assert sample.times is not None
        times = sample.times.clone()
        times[twin] = times[end]
        return Sample(sample.frames, times)

    _, data = drawn(task_of(), 20, slow)
    assert (data["weight"] == 0).all()


def test_segments_are_chosen_in_proportion_to_motion():
    """Tuples of a fixed length of 3 s in 10 s of which seconds 6 and 7 move."""
    task = task_of(tau_min=0.999, tau_max=1.0)
    motion = (0.0,) * 6 + (1.0, 1.0) + (0.0,) * 2
    starts = torch.tensor(
        [task.plan(medium(motion=motion), generator(0, 0, i)).times[0] for i in range(3000)]
    )
    edges = torch.linspace(0, 7, 15, dtype=torch.float64)
    fine = torch.linspace(0, 7, 7001, dtype=torch.float64)
    overlap = (torch.clamp(fine + 3, max=8) - torch.clamp(fine, min=6)).clamp_min(0)
    want = torch.stack([overlap[(fine >= lo) & (fine < hi)].sum() for lo, hi in pairwise(edges)])
    got = torch.histogram(starts.double(), edges).hist
    possible = want > 0
    assert got[~possible].sum() <= 3  # a stretch may reach into motion by a cell's width
    want = want[possible] / want.sum() * got[possible].sum()
    assert chisquare(got[possible].numpy(), want.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("motion", [(), (0.0,) * 10, (math.nan,) * 10])
def test_without_known_motion_segments_are_uniform(motion):
    task = task_of(tau_min=0.999, tau_max=1.0)
    starts = [task.plan(medium(motion=motion), generator(0, 0, i)).times[0] for i in range(2000)]
    counts = torch.histogram(torch.tensor(starts), torch.linspace(0, 7.0, 11)).hist
    assert chisquare(counts.numpy()).pvalue > 1e-3


def test_motion_can_be_ignored():
    motion = (0.0,) * 9 + (1.0,)
    chosen, ignored = (
        [task_of(by_motion=m).plan(medium(motion=motion), generator(0, 0, i)) for i in range(50)]
        for m in (True, False)
    )
    assert min(plan.times[4] for plan in chosen) > 8.5
    assert min(plan.times[4] for plan in ignored) < 6


def test_impossible_options_are_refused():
    with pytest.raises(InputError, match="tau_min"):
        task_of(tau_min=1.0, tau_max=0.5)
    with pytest.raises(InputError, match="positives"):
        task_of(positives=1.5)


@pytest.mark.parametrize("encoder", [TinyImage, TinyVideo])
def test_a_grid_averages_to_the_whole_picture(encoder):
    task = task_of(encoder=encoder, size=64, spatial_grid=2, hidden=8)
    clip = torch.rand(2, 3, task.video.frames, 64, 64, generator=generator(0, 0, 0))
    task.video.encoder.eval()
    whole = task.video.encode(clip)
    assert torch.allclose(task.video.encode_grid(clip, 1), whole, atol=1e-5)
    places = task.video.encode_grid(clip, 2).unflatten(1, (-1, 4))
    assert torch.allclose(places.mean(2), whole, atol=1e-5)
    assert (places.std(2) > 1e-3).any()
    with pytest.raises(InputError, match="grid"):
        task_of(spatial_grid=2, hidden=0)
