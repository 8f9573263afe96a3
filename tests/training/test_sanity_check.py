"""Before training: which media can the task use? One by one, or millions by arrays."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeSource, fake_task
from task_kit import make_task

from pretexto.datasets.example_list import LeftOut, read_listing, write_listing
from pretexto.datasets.index import Index
from pretexto.datasets.index.schema import write_rows
from pretexto.datasets.source import Subset
from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.image import TinyImage
from pretexto.errors import InputError
from pretexto.tasks.audio_simclr import AudioSimCLR
from pretexto.tasks.audio_visual import AudioVisual
from pretexto.tasks.rotation import Rotation
from pretexto.tasks.shuffle_learn import ShuffleLearn
from pretexto.tasks.supervised import Supervised
from pretexto.training import sanity_check
from pretexto.training.pretrain import TrainerArgs, pretrain
from pretexto.training.sanity_check import check_media, motion_in_words


def test_of_many_media_some_are_checked_evenly():
    seen = []

    class Counting(FakeSource):
        def info(self, i):
            seen.append(i)
            return super().info(i)

    task = fake_task(needs_sound=True)
    check = check_media(Counting(5000, silent=range(2500)), task, most=1000, say=print)
    assert check.checked == 1000
    assert sorted(seen) == list(range(0, 5000, 5))
    assert len(check.unsuitable.rows) == 500
    assert check.unsuitable.rows[:3].tolist() == [0, 5, 10]
    assert [lost.index for lost in check.first] == [0, 5, 10]


@pytest.mark.parametrize("indexed", [False, True])
def test_every_file_is_checked(indexed):
    class Listed(FakeSource):
        pass

    Listed.indexed = indexed
    check = check_media(Listed(1500, silent=[1, 1499]), fake_task(needs_sound=True), say=print)
    assert check.checked == 1500
    assert check.unsuitable.rows.tolist() == [1, 1499]


@pytest.mark.parametrize(("indexed", "most"), [(False, "OPENED"), (True, "INDEXED")])
def test_a_check_of_some_says_that_it_is_partial(monkeypatch, indexed, most, capsys):
    class Listed(FakeSource):
        pass

    Listed.indexed = indexed
    monkeypatch.setattr(f"pretexto.training.sanity_check.{most}", 10)
    assert check_media(Listed(40), fake_task(), say=print).checked == 10
    said = capsys.readouterr().out
    assert "checking 10 of 40 media before training" in said
    assert ("pretexto index" in said) is not indexed


def test_media_of_which_the_motion_is_unknown_are_counted_where_it_matters():
    class Measured(FakeSource):
        def info(self, i):
            return replace(super().info(i), motion=(1.0, 2.0) if i < 6 else ())

    task = make_task(ShuffleLearn, TinyImage(width=2), size=16, tau_min=0.2, tau_max=0.4)
    check = check_media(Measured(8), task, say=print)
    assert check.unmeasured == 2
    said = motion_in_words(check, task)
    assert said.startswith("motion is unknown in 2 of 8 examples, where ShuffleLearn will choose")
    assert "pretexto index DATA --out X.parquet" in said
    assert "\n" not in said
    assert motion_in_words(check_media(Measured(6), task, say=print), task) == ""
    task.by_motion = False
    for other in (make_task(Rotation, TinyImage(width=2), size=16), task):
        assert check_media(Measured(8), other, say=print).unmeasured == 0


def rows_of_an_index(count):
    """Media of all kinds and lengths; some silent, some segments, some without facts."""
    rng = np.random.default_rng(0)
    for i in range(count):
        kind = rng.choice(["video", "video", "audio", "image"])
        duration = 0.0 if kind == "image" else float(rng.gamma(2.0, 1.0))
        heard = kind == "audio" or (kind == "video" and rng.random() < 0.7)
        row = {"path": f"{i:05}.mp4", "kind": kind, "duration": duration, "status": "ok"}
        if heard:
            row |= {
                "audio_rate": int(rng.choice([8000, 48000])),
                "audio_channels": int(rng.choice([1, 2, 6])),
                "audio_start": float(rng.choice([0.0, 0.3])),
                "audio_duration": duration * float(rng.choice([1.0, 1.0, 0.5])),
            }
        if kind == "video":
            row |= {"fps": 25.0, "frames": round(25 * duration), "height": 32, "width": 32}
            row["motion"] = [1.0] * int(duration + 1) if rng.random() < 0.5 else None
            if rng.random() < 0.2:
                row |= {"start": 0.5, "end": float(0.5 + rng.gamma(2.0, 0.5))}
        if rng.random() < 0.02:
            row["duration"] = None
        yield row


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "many.parquet"
    write_rows(path, rows_of_an_index(900), {})
    return Index(path, root=path.parent)


def judging(cls):
    if cls is AudioSimCLR:
        return make_task(cls, TinyAudio(width=2), seconds=0.8)
    if cls is AudioVisual:
        return make_task(cls, TinyImage(width=2), TinyAudio(width=2), size=16, seconds=0.8)
    return make_task(cls, TinyImage(width=2), size=16)


@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("cls", [AudioSimCLR, AudioVisual, ShuffleLearn, Rotation])
def test_arrays_find_what_is_found_one_by_one(index, cls, part, monkeypatch):
    source = Subset(index, np.arange(0, 900, 3)) if part else index
    task = judging(cls)
    singly = check_media(source, task, say=print)
    judged = []
    judge = sanity_check._Judge.__call__
    monkeypatch.setattr(
        sanity_check._Judge, "__call__", lambda self, i: judged.append(i) or judge(self, i)
    )
    monkeypatch.setattr(sanity_check, "SINGLY", 10)
    grouped = check_media(source, task, say=print)
    assert judged != sorted(judged)  # by groups, not one by one in their order
    for name in ("checked", "first", "unreadable", "narrow", "surround", "unmeasured"):
        assert getattr(grouped, name) == getattr(singly, name), name
    assert singly.checked == len(source)
    assert 0 < len(singly.unsuitable.rows) < len(source)
    assert grouped.unsuitable.rows.tolist() == singly.unsuitable.rows.tolist()
    assert grouped.unsuitable.reasons.tolist() == singly.unsuitable.reasons.tolist()
    assert any("No such file" in lost.reason for lost in singly.unreadable)


def test_a_million_media_take_few_judgements(monkeypatch):
    from pretexto.datasets.facts import Facts

    class Listed(FakeSource):
        indexed = True

        def facts(self, rows=None):
            n = self.count
            yes, no, none = np.ones(n, bool), np.zeros(n, bool), np.zeros(n)
            rate = np.where(np.isin(np.arange(n), list(self.silent)), 0, 8000)
            yield Facts(yes, yes, no, none + 2, rate, (rate > 0) * 1, none, none + 2, no)

    source = Listed(1_000_000, silent=range(0, 1_000_000, 4))
    calls = []
    info = FakeSource.info
    monkeypatch.setattr(FakeSource, "info", lambda self, i: calls.append(i) or info(self, i))
    check = check_media(source, fake_task(needs_sound=True), say=print)
    assert len(calls) < 10
    assert check.checked == 1_000_000
    assert np.array_equal(check.unsuitable.rows, np.arange(0, 1_000_000, 4))
    assert set(check.unsuitable.reasons) == {"it has no sound"}


def test_reasons_are_listed_with_their_examples(tmp_path):
    left_out = LeftOut.of([(np.array([5, 9]), "short"), (np.array([2]), "silent")])
    write_listing(FakeSource(12), tmp_path, left_out)
    found = [why for (why,) in read_listing(tmp_path, "left_out")]
    assert found == [None, None, "silent", None, None, "short", *[None] * 3, "short", None, None]


@pytest.mark.parametrize(("label", "said"), [(-1, "none"), (2, "2")])
def test_labels_that_a_task_cannot_learn_are_refused_before_training(tmp_path, label, said):
    class Labelled(FakeSource):
        def label(self, i):
            return label if i == 7 else 1

    task = make_task(Supervised, TinyImage(width=2), size=16, classes=2)
    words = f"Supervised has 2 classes, but 007.mp4 has the label {said} .1 of 24 examples"
    with pytest.raises(InputError, match=words):
        pretrain(task, Labelled(), tmp_path, trainer=TrainerArgs(steps=1, accelerator="cpu"))
    assert not (tmp_path / "run.json").exists()
