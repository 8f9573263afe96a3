"""Batch k of a run is the same whatever loads it, and nothing goes missing unnamed."""

import subprocess
import sys
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from fakes import FakeSource, fake_task

from pretexto.errors import InputError
from pretexto.modalities import rng as draw
from pretexto.training.data import Examples, collate, make_loader
from pretexto.training.sampler import Schedule


def batches(source, schedule, *, workers=0, seed=5):
    examples = Examples(source, fake_task(), seed)
    return list(make_loader(examples, schedule, workers=workers))


def same(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_workers(workers):
    schedule = Schedule(24, 6, 10, seed=3)
    alone = batches(FakeSource(), schedule)
    shared = batches(FakeSource(), schedule, workers=workers)
    assert [b.step for b in shared] == list(range(10))
    assert all(same(a.batch, b.batch) for a, b in zip(alone, shared, strict=True))


def test_spawned_workers_get_everything_they_need():
    # What a spawned process is sent, without the seconds that its imports take.
    examples = Examples(FakeSource(), fake_task(), 5)
    sent = ForkingPickler.loads(bytes(ForkingPickler.dumps(examples)))
    assert same(sent.example(1, 3), examples.example(1, 3))


def test_an_example_is_the_same_at_any_batch_size():
    small, large = (batches(FakeSource(), Schedule(24, b, 24 // b)) for b in (2, 12))

    def by_index(loaded):
        return {
            int(i): {key: value[k] for key, value in x.batch.items()}
            for x in loaded
            for k, i in enumerate(x.batch["index"])
        }

    a, b = by_index(small), by_index(large)
    assert set(a) == set(range(24))
    assert all(same(a[i], b[i]) for i in a)


def test_an_example_follows_from_seed_epoch_and_index_alone():
    examples = Examples(FakeSource(), fake_task(), 5)
    rng = draw.generator(5, 2, 7)
    plan = examples.task.plan(examples.source.info(7), rng)
    expected = examples.task.example(examples.source.read(7, plan), rng)
    made = examples.example(2, 7)
    assert int(made.pop("index")) == 7
    assert int(made.pop("label")) == 0
    assert same(made, expected)
    assert not same(examples.example(3, 7), examples.example(2, 7))


def test_every_epoch_is_a_new_order_of_all_examples():
    schedule = Schedule(10, 5, 6, seed=1)
    epochs = [[r.index for r in x] for x in schedule]
    orders = [epochs[k] + epochs[k + 1] for k in (0, 2, 4)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert [r.epoch for x in schedule for r in x] == [0] * 10 + [1] * 10 + [2] * 10


def test_what_fills_no_batch_is_left_out_of_its_epoch_only():
    schedule = Schedule(11, 4, 200, seed=0)
    assert schedule.per_epoch == 2
    seen = [r.index for x in schedule for r in x]
    # 100 epochs of 8 out of 11: each example is expected 73 times; the least likely of the
    # eleven has less than one chance in 10^9 of 45 or fewer.
    assert min(seen.count(i) for i in range(11)) > 45


def test_a_later_start_goes_on_with_the_same_batches():
    whole = list(Schedule(24, 5, 20, seed=2))
    assert list(Schedule(24, 5, 20, seed=2, start=13)) == whole[13:]
    assert len(Schedule(24, 5, 20, start=13)) == 7


def test_ranks_share_each_batch_between_them():
    whole = list(Schedule(24, 6, 9))
    parts = [list(Schedule(24, 6, 9, rank=r, ranks=3)) for r in range(3)]
    assert [[*a, *b, *c] for a, b, c in zip(*parts, strict=True)] == whole


def test_a_set_smaller_than_a_batch_is_one_batch():
    schedule = Schedule(7, 64, 3)
    assert schedule.per_epoch == 1
    assert [sorted(r.index for r in x) for x in schedule] == [list(range(7))] * 3


@pytest.mark.parametrize(
    ("examples", "batch", "ranks", "words"),
    [(1, 8, 1, "at least two"), (20, 9, 2, "multiple"), (2, 8, 3, "too few")],
)
def test_impossible_schedules_are_refused(examples, batch, ranks, words):
    with pytest.raises(InputError, match=words):
        Schedule(examples, batch, 1, ranks=ranks)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_member_is_dropped_named_and_not_replaced(workers):
    source = FakeSource(12, broken=[4], unprobed=[9])
    loaded = batches(source, Schedule(12, 6, 4), workers=workers)
    for epoch in (loaded[:2], loaded[2:]):
        kept = [i for x in epoch for i in x.batch["index"].tolist()]
        assert sorted(kept) == [i for i in range(12) if i not in (4, 9)]
        lost = sorted(x for loss in epoch for x in loss.lost)
        assert [(x.index, x.name, x.stage) for x in lost] == [
            (4, "004.mp4", "decode"),
            (9, "009.mp4", "open"),
        ]
        assert lost[0].reason == "the stream ends early"


def test_a_batch_may_lose_all_members():
    loaded = batches(FakeSource(2, broken=[0, 1]), Schedule(2, 2, 1))
    assert loaded[0].batch is None
    assert len(loaded[0].lost) == 2


def test_a_mistake_in_a_worker_comes_through_as_one_line():
    class Mistaken(FakeSource):
        def read(self, i, plan):
            raise InputError("flow needs OpenCV")

    (loaded,) = batches(Mistaken(2), Schedule(2, 2, 1))
    assert loaded.mistake == "flow needs OpenCV"


def test_a_fault_in_a_worker_names_the_example():
    class Faulty(FakeSource):
        def read(self, i, plan):
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad tag")

    with pytest.raises(UnicodeDecodeError) as caught:
        batches(Faulty(2), Schedule(2, 2, 1))
    assert any(".mp4" in note for note in caught.value.__notes__)


def test_workers_get_no_weights_and_the_task_keeps_its_own():
    task = fake_task()
    before = {k: v.clone() for k, v in task.state_dict().items()}
    copy = Examples(FakeSource(), task, 0).task
    assert all(p.is_meta for p in copy.parameters())
    assert not any(b.is_meta for b in copy.buffers())
    assert copy.specs == task.specs
    assert all(torch.equal(v, before[k]) for k, v in task.state_dict().items())


def test_collating_keeps_order():
    source = Examples(FakeSource(), fake_task(), 0)
    items = [(3, source.example(0, i)) for i in (5, 1, 8)]
    loaded = collate(items)  # type: ignore[arg-type]
    assert loaded.step == 3
    assert loaded.batch is not None
    assert loaded.batch["index"].tolist() == [5, 1, 8]


def test_workers_forked_after_opencv_was_used_do_not_hang():
    # OpenCV's thread pool does not survive a fork; the test's time limit is the assertion.
    code = """
import numpy, torch
from pretexto.modalities.decode.pixels import opencv
cv2 = opencv()
for _ in range(3):
    cv2.resize(numpy.zeros((2000, 2000, 3), numpy.uint8), (999, 777), interpolation=cv2.INTER_AREA)
    cv2.GaussianBlur(numpy.zeros((2000, 2000), numpy.float32), (31, 31), 3)
from torch.utils.data import DataLoader
from pretexto.training.data import _enter_worker
def work(x):
    opencv().GaussianBlur(numpy.zeros((500, 500), numpy.float32), (31, 31), 3)
    return len(x)
loader = DataLoader(range(8), 2, num_workers=2, worker_init_fn=_enter_worker, collate_fn=work)
assert list(loader) == [2, 2, 2, 2]
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=60)
