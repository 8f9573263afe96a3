"""Flow correspondence on frames and flow that both spell their film and second."""

import pytest
import torch
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
from pretexto.encoders.video import TinyVideo
from pretexto.errors import InputError
from pretexto.modalities.media import MediaError
from pretexto.modalities.rng import generator
from pretexto.tasks.flow_correspondence import FlowCorrespondence

PLAIN = {"size": 32, "resize_side": 32, "frame_interval": 0.1, "colour": 0, "scale": (1.0, 1.0)}
KINDS = ["both", "other_video", "same_video"]


def task_of(encoder=TinyImage, **options) -> FlowCorrespondence:
    encoders = build_encoder(encoder), build_encoder(TinyFlow)
    return make_task(FlowCorrespondence, *encoders, **(PLAIN | options))


def belongs(data) -> torch.Tensor:
    """1 where picture and flow of a pair spell the same film and the same second."""
    (film_seen, seen), (film_moved, moved) = frames_spell(data["inputs"]), flow_spells(data["flow"])
    same = film_seen[data["picture"]] == film_moved[data["partner"]]
    return (same & ((seen[data["picture"]] - moved[data["partner"]]).abs() < 0.06)).long()


@pytest.mark.parametrize("encoder", [TinyImage, TinyVideo])
@pytest.mark.parametrize("negatives", KINDS)
def test_the_answer_is_what_frames_and_flow_spell(encoder, negatives):
    task = task_of(encoder, negatives=negatives)
    data = task.augment(drawn(task, spelled))
    asked = data["weight"] > 0
    assert asked.sum() >= 16
    assert torch.equal(data["target"][asked], belongs(data)[asked])
    exchanged = {**data, "flow": data["flow"].roll(1, 0)}
    assert not torch.equal(data["target"][asked], belongs(exchanged)[asked])
    first, second = frames_spell(data["inputs"])[0], flow_spells(data["flow"])[0]
    same = (first[data["picture"]] == second[data["partner"]])[asked & (data["target"] == 0)]
    assert float(same.float().mean()) == {"both": 0.5, "other_video": 0, "same_video": 1}[negatives]


@pytest.mark.parametrize("negatives", KINDS)
def test_who_reads_both_is_right_and_who_mixes_them_up_is_wrong(negatives):
    task = task_of(negatives=negatives)
    data = task.augment(drawn(task, spelled))
    task.video.encode = lambda clips: torch.stack(frames_spell(clips), 1)
    task.flow.encode = lambda fields: torch.stack(flow_spells(fields), 1)

    def compare(first, second):
        near = ((first - second).abs() < 0.06).all(1).float()
        return 30 * torch.stack([1 - near, near], 1)

    task.head = Says(compare)
    step = task(data)
    assert float(step.loss) < 1e-4
    assert float(step.metrics["accuracy"]) == 1
    task.head = Says(lambda first, second: -compare(first, second))
    assert float(task(data).metrics["accuracy"]) == 0


@pytest.mark.parametrize("negatives", KINDS)
def test_every_picture_and_every_motion_weighs_as_much_in_either_answer(negatives):
    task = task_of(negatives=negatives)
    data = task.augment(drawn(task, spelled))
    count = len(data["inputs"])
    for side in ("picture", "partner"):
        for answer in (0, 1):
            kept = data["target"] == answer
            total = torch.zeros(count).index_add(0, data[side][kept], data["weight"][kept])
            assert torch.equal(total, torch.ones(count))


def test_frames_and_flow_are_cut_and_mirrored_alike():
    task = task_of(negatives="other_video", scale=(0.5, 1.0))
    batch = drawn(task, signposted)
    assert batch["flip"].any()
    assert not batch["flip"].all()
    data = task.augment(batch)
    # Flow is longer in a part that is enlarged, by the width and by the height.
    enlarged = 1 / batch["box"][:, [3, 2], None, None]
    told = enlarged * signs(data["inputs"][:, :, 0])
    apart = (told - data["flow"][:, :, 0]).abs().flatten(1).mean(1)
    assert float(apart.max()) < 0.1
    mixed = (told.roll(1, 0) - data["flow"][:, :, 0]).abs().flatten(1).mean(1)
    assert float(mixed.min()) > 0.3


def test_motion_that_hardly_is_one_is_in_no_pair():
    def half_still(i, plan):
        sample = spelled(i, plan)
        return sample_of(sample.frames / 255, sample.flow * (i % 2), plan)

    for static in (True, False):
        task = task_of(static=static)
        data = task.augment(drawn(task, half_still))
        asked = data["weight"] > 0
        still = torch.cat([data["picture"][asked] // 2 % 2, data["partner"][asked] // 2 % 2]) == 0
        assert bool(still.any()) is not static


def test_shifts_are_those_asked_for_and_stay_inside_the_film():
    task = task_of(shift_min=0.5, shift_max=2.0)
    plans = [task.plan(film(), generator(0, 0, i)) for i in range(300)]
    starts = [(p.times[0], p.times[1]) for p in plans]
    shifts = [late - early for early, late in starts]
    assert 0.5 <= min(shifts) < 0.52
    assert 1.97 < max(shifts) <= 2.0
    for plan, (early, late) in zip(plans, starts, strict=True):
        count = len(plan.flow) // 2
        assert (plan.flow[0][0], plan.flow[count][0]) == (early, late), "flow starts with its frame"
        assert plan.flow[-1][1] <= 8.0
    short = [task.plan(film(duration=1.6), generator(0, 0, i)) for i in range(100)]
    assert max(p.flow[-1][1] for p in short) < 1.6
    with pytest.raises(MediaError, match="lower shift_min, or leave the file out"):
        task.plan(film(duration=0.55), generator(0, 0, 0))


def test_impossible_options_are_refused():
    for options, said in (
        ({"negatives": "none"}, "negatives are"),
        ({"shift_min": 2.0, "shift_max": 1.0}, "shift"),
        ({"min_motion": -1.0}, "min_motion"),
        ({"hidden": 0}, "hidden"),
    ):
        with pytest.raises(InputError, match=said):
            task_of(**options)
