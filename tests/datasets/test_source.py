"""Sources: subsets, fingerprints, and opening by name."""

import numpy as np
import pytest
from helpers import travelled

from pretexto.datasets import source as sources
from pretexto.datasets.open import open_source
from pretexto.datasets.source import Entry, Files, Source, Subset, balanced_weights
from pretexto.errors import InputError
from pretexto.modalities.media import MediaInfo, Sample


class Listed(Source):
    """Examples given as (name, label, group, split)."""

    classes = ("a", "b")

    def __init__(self, *rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def name(self, i):
        return self.rows[i][0]

    def info(self, i):
        return MediaInfo(path=self.name(i), kind="image")

    def read(self, i, plan):
        return Sample()

    def label(self, i):
        return self.rows[i][1]

    def group(self, i):
        return self.rows[i][2]

    def split(self, i):
        return self.rows[i][3]


ROWS = (("x", 0, "g", "train"), ("y", 1, "g", "train"), ("z", 1, "h", "test"))


def test_a_subset_shows_the_chosen_examples_in_the_order_chosen():
    source = Subset(Listed(*ROWS), [2, 0])
    assert len(source) == 2
    seen = [
        (source.name(i), source.label(i), source.group(i), source.split(i), source.info(i).path)
        for i in range(2)
    ]
    assert seen == [("z", 1, "h", "test", "z"), ("x", 0, "g", "train", "x")]
    assert source.classes == ("a", "b")
    assert Subset(source, [1]).name(0) == "x"


def test_the_fingerprint_sees_every_name_label_group_split_and_the_order():
    base = Listed(*ROWS).fingerprint()
    assert base == Listed(*ROWS).fingerprint()
    assert base == Subset(Listed(*ROWS), range(3)).fingerprint()
    changed = [
        (("w", 0, "g", "train"), *ROWS[1:]),
        (("x", 1, "g", "train"), *ROWS[1:]),
        (("x", 0, "i", "train"), *ROWS[1:]),
        (("x", 0, "g", "val"), *ROWS[1:]),
        ROWS[::-1],
        ROWS[:2],
    ]
    assert base not in {Listed(*rows).fingerprint() for rows in changed}
    assert len({Listed(*rows).fingerprint() for rows in changed}) == len(changed)


def test_columns_are_those_of_the_examples_also_of_a_subset():
    source = Listed(*ROWS)
    assert source.labels().tolist() == [0, 1, 1]
    assert source.groups().tolist() == ["g", "g", "h"]
    assert source.splits().tolist() == ["train", "train", "test"]
    part = Subset(source, np.array([2, 0]))
    assert part.labels().tolist() == [1, 0]
    assert part.groups().tolist() == ["h", "g"]
    assert part.splits().tolist() == ["test", "train"]
    assert part.fingerprint() == Listed(ROWS[2], ROWS[0]).fingerprint()


def test_balanced_weights_draw_every_class_equally_often():
    labels = np.array([0, 0, 0, 1, -1, 3])
    weights = balanced_weights(labels)
    assert weights.sum() == pytest.approx(1)
    assert [weights[labels == k].sum() for k in (0, 1, 3)] == pytest.approx([1 / 3] * 3)
    assert weights[4] == 0
    assert balanced_weights([-1, -1]).tolist() == [0.5, 0.5]


@pytest.fixture
def folder(tmp_path):
    for name in ("train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg"):
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pictures" / name).touch()
    return tmp_path / "pictures"


def test_a_path_opens_a_folder_and_a_split_of_it(folder):
    assert len(open_source(str(folder))) == 3
    train = open_source(str(folder), "train")
    assert [train.name(i) for i in range(len(train))] == ["train/a/1.jpg", "train/b/2.jpg"]
    assert train.classes == ("a", "b")
    with pytest.raises(InputError, match=r"no split 'tset'; it has test, train; did you mean test"):
        open_source(str(folder), "tset")
    with pytest.raises(InputError, match="it names no splits"):
        open_source(str(folder / "train"), "train")


def test_options_reach_the_folder(folder):
    (folder / "train" / "a" / "film.mp4").touch()
    assert len(open_source(str(folder), kind="image")) == 3
    with pytest.raises(InputError, match="several kinds"):
        open_source(str(folder))
    with pytest.raises(InputError, match="no such table"):
        open_source(str(folder), table="none.csv")
    with pytest.raises(InputError, match="kind does not apply to the synthetic world"):
        open_source("synthetic", kind="video")


def test_unknown_names_are_refused_with_the_nearest(folder, monkeypatch):
    with pytest.raises(InputError, match="did you mean synthetic:train"):
        open_source("synthetic:trai")
    with pytest.raises(InputError, match="did you mean pictures"):
        open_source(str(folder.parent / "picture"))
    monkeypatch.chdir(folder.parent)
    with pytest.raises(InputError, match=r"holds pictures.*or take synthetic, synthetic:train"):
        open_source("qqq")


def test_synthetic_opens_by_name_and_by_split(monkeypatch):
    """Without writing the whole world: what is asked of Synthetic is enough."""
    asked = []

    def fake(split):
        asked.append(split)
        return Listed(*ROWS)

    monkeypatch.setattr("pretexto.datasets.open.Synthetic", fake)
    assert len(open_source("synthetic")) == 3
    assert len(open_source("synthetic:train")) == 3
    assert open_source("synthetic", "test").name(0) == "z"
    assert asked == ["all", "train", "all"]


def test_a_folder_called_synthetic_is_written_with_a_dot(folder, monkeypatch):
    folder.rename(folder.parent / "synthetic")
    monkeypatch.chdir(folder.parent)
    assert len(open_source("./synthetic")) == 3


def test_the_facts_of_the_files_used_last_are_remembered_and_no_others(monkeypatch, tmp_path):
    probed = []

    class Probed(Files):
        def _probe(self, name):
            probed.append(name)
            return MediaInfo(path=name, kind="image")

    monkeypatch.setattr(sources, "_PROBED", 3)
    files = Probed(tmp_path, [Entry(f"{k}.png") for k in range(5)], ())
    for k in (0, 1, 2, 0, 3, 0, 2, 4, 1):
        assert files.info(k).path == f"{k}.png"
        assert len(files._infos) <= 3
    assert probed == [f"{k}.png" for k in (0, 1, 2, 3, 4, 1)]
    assert list(travelled(files._infos)) == ["2.png", "4.png", "1.png"]
