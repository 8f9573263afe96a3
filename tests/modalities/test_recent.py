"""The store of what was used last: its bounds, its order, and threads and forks that share it."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import media_factory as make
import pytest

from pretexto.modalities.decode import packet_index, reader
from pretexto.modalities.decode.lru_cache import Recent
from pretexto.modalities.decode.reader import probe, read
from pretexto.modalities.media import Plan


def test_those_unused_for_longest_are_given_back():
    store = Recent(int, most=10, count=3)
    assert [store.put((k,), k) for k in (1, 2, 3)] == [[], [], []]
    assert store.get((1,)) == 1
    assert store.put((4,), 4) == [2]
    assert store.put((5,), 5) == [3]
    assert store.put((5,), 6) == [5, 1]
    assert (store.get((4,)), store.get((1,)), store.pop((5,))) == (4, None, 6)
    assert store.pop((5,)) is None
    assert store.clear() == [4]
    assert store.put((11,), 11) == [11]


def test_the_least_is_kept_whatever_it_weighs():
    store = Recent(int, most=10, least=1)
    assert store.put((50,), 50) == []
    assert store.put((60,), 60) == [50]
    assert store.get((60,)) == 60


def slowly(_) -> int:
    """A weight of 1, which takes long enough for another thread to come in between."""
    return sum(range(60)) // 1770


def test_threads_lose_nothing_and_get_nothing_twice():
    store, out, lock = Recent(slowly, most=7), [], threading.Lock()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def toil(worker: int) -> None:
        for k in range(3000):
            gone = store.put((k % 13,), (worker, k))
            taken = store.pop(((k + 5) % 13,))
            with lock:
                out.extend(gone + ([] if taken is None else [taken]))

    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(toil, range(4)))
    finally:
        sys.setswitchinterval(before)
    assert store._total == len(store._values)
    left = store.clear()
    assert len(left) <= 7
    assert sorted(out + left) == [(w, k) for w in range(4) for k in range(3000)]


def test_a_fork_in_the_middle_of_a_change_leaves_no_lock_behind():
    store = Recent(int, most=10)
    store.put((3,), 3)
    with store._lock:
        if not (child := os.fork()):
            threading.Timer(5, os._exit, [1]).start()
            os._exit(0 if store.put((9,), 9) == [3] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    return [
        make.write(
            folder / f"{k}.mp4",
            [make.card(k * 20 + n) for n in range(8)],
            [n / 10 for n in range(8)],
        )
        for k in range(6)
    ]


def test_threads_read_side_by_side(films, monkeypatch):
    """With room for three timelines and two open files, so that threads crowd each other out."""
    monkeypatch.setattr(packet_index._cache, "_most", 3 * 150)
    monkeypatch.setattr(reader._pool._files, "_count", 2)

    def toil(k: int) -> tuple[int, int]:
        probe(films[k % 6])
        frames = read(films[k % 6], Plan(times=((k % 8 + 0.5) / 10,))).frames
        return k, make.spelled(frames[0].permute(1, 2, 0).numpy())

    with ThreadPoolExecutor(8) as pool:
        for k, spelled in pool.map(toil, range(400)):
            assert spelled == k % 6 * 20 + k % 8
