"""Folders of media: what is found, in which order, with which labels, groups, splits, messages."""

import logging
import os
from collections import defaultdict

import numpy as np
import pytest
from helpers import shared_data, travelled
from PIL import Image

from pretexto.datasets.folder import Folder
from pretexto.errors import InputError
from pretexto.modalities.media import MediaError, Plan


def fill(root, *names):
    """Empty files of these names: nothing is opened before it is asked for."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def names(source):
    return [source.name(i) for i in range(len(source))]


def labels(source):
    return [
        source.classes[source.label(i)] if source.label(i) >= 0 else "" for i in range(len(source))
    ]


def splits(source):
    return [source.split(i) for i in range(len(source))]


def one_line(error):
    return "\n" not in str(error.value)


def test_classes_are_the_first_folders_in_sorted_order(tmp_path):
    source = Folder(fill(tmp_path, "b/x.MP4", "a/deep/y.avi", "b/a.mkv", "a/readme.txt"))
    assert names(source) == ["a/deep/y.avi", "b/a.mkv", "b/x.MP4"]
    assert source.classes == ("a", "b")
    assert labels(source) == ["a", "b", "b"]
    assert splits(source) == ["", "", ""]
    assert [source.group(i) for i in range(3)] == names(source)


@pytest.mark.parametrize(
    "files",
    [("w.mp4", "x.mp4", "a/y.mp4", "b/z.mp4"), ("x.mp4", "y.mp4"), ("only/x.mp4", "only/c/y.mp4")],
    ids=["half at the top", "all at the top", "one folder only"],
)
def test_otherwise_unlabelled(tmp_path, files):
    source = Folder(fill(tmp_path, *files))
    assert source.classes == ()
    assert {source.label(i) for i in range(len(source))} == {-1}


def test_a_file_beside_the_folders_of_classes_takes_no_label_from_the_others(tmp_path, caplog):
    source = Folder(fill(tmp_path, "a/1.mp4", "b/2.mp4", "intro.mp4"))
    assert source.classes == ("a", "b")
    assert labels(source) == ["a", "b", ""]
    assert "1 media lie beside the folders of classes and have no class: intro.mp4" in caplog.text
    parts = fill(tmp_path / "parts", "train/a/1.mp4", "test/b/2.mp4", "intro.mp4")
    source = Folder(parts)
    assert dict(zip(names(source), splits(source), strict=True)) == {
        "intro.mp4": "",
        "test/b/2.mp4": "test",
        "train/a/1.mp4": "train",
    }
    assert labels(source) == ["", "b", "a"]


def test_top_folders_may_be_splits(tmp_path):
    files = ("train/cat/1.jpg", "train/dog/2.jpg", "Validation/cat/3.jpg", "test/dog/4.jpg")
    source = Folder(fill(tmp_path, *files))
    assert dict(
        zip(names(source), zip(labels(source), splits(source), strict=True), strict=True)
    ) == {
        "train/cat/1.jpg": ("cat", "train"),
        "train/dog/2.jpg": ("dog", "train"),
        "Validation/cat/3.jpg": ("cat", "val"),
        "test/dog/4.jpg": ("dog", "test"),
    }


def test_a_class_may_be_called_train(tmp_path):
    source = Folder(fill(tmp_path, "train/1.jpg", "car/2.jpg"))
    assert source.classes == ("car", "train")
    assert splits(source) == ["", ""]


def test_splits_without_classes_are_unlabelled(tmp_path):
    source = Folder(fill(tmp_path, "train/1.jpg", "test/2.jpg"))
    assert source.classes == ()
    assert splits(source) == ["test", "train"]


def test_order_is_that_of_paths_and_hidden_files_stay_out(tmp_path):
    fill(tmp_path, "b.wav", "a/z.wav", "a.wav", "._b.wav", ".cache/c.wav", "a/.d.wav")
    assert names(Folder(tmp_path)) == ["a.wav", "a/z.wav", "b.wav"]


def test_links_are_followed_once_and_loops_end(tmp_path):
    root = fill(tmp_path / "root", "a/1.mp4", "b/2.mp4")
    fill(tmp_path / "elsewhere", "3.mp4")
    (root / "a" / "up").symlink_to(root)
    (root / "c").symlink_to(tmp_path / "elsewhere")
    (root / "d").symlink_to(tmp_path / "elsewhere")
    assert names(Folder(root)) == ["a/1.mp4", "b/2.mp4", "c/3.mp4"]


def test_several_kinds_ask_which(tmp_path, caplog):
    fill(tmp_path, "a/1.mp4", "b/2.mp4", "a/thumb.jpg", "b/3.wav")
    with pytest.raises(InputError, match=r"2 video, 1 image, 1 audio.*choose") as error:
        Folder(tmp_path)
    assert one_line(error)
    with caplog.at_level(logging.INFO):
        assert names(Folder(tmp_path, kind="video")) == ["a/1.mp4", "b/2.mp4"]
    assert "only video files are taken" in caplog.text
    assert names(Folder(tmp_path, kind="audio")) == ["b/3.wav"]
    with pytest.raises(InputError, match="choose video, audio, image"):
        Folder(tmp_path, kind="film")


def test_a_file_is_a_folder_of_one(tmp_path):
    fill(tmp_path, "a.mp4", "b.mp4", "notes.txt")
    source = Folder(tmp_path / "a.mp4")
    assert (names(source), source.classes, source.label(0)) == (["a.mp4"], (), -1)
    with pytest.raises(InputError, match=r"notes\.txt: no medium by its suffix"):
        Folder(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "the folder is empty"),
        (("a.txt", "b/c.txt", "d.py"), r"no media in the folder, found files 2 \.txt, 1 \.py"),
        (("all.zip",), "unpack the archive"),
        (("README",), "1 without suffix"),
    ],
)
def test_folders_without_media_are_refused(tmp_path, files, message):
    with pytest.raises(InputError, match=message) as error:
        Folder(fill(tmp_path, *files))
    assert one_line(error)
    assert str(tmp_path) in str(error.value)


def test_a_missing_folder_is_refused_with_the_nearest_name(tmp_path):
    fill(tmp_path, "videos/a.mp4")
    with pytest.raises(InputError, match="did you mean videos"):
        Folder(tmp_path / "vidoes")
    with pytest.raises(InputError, match="nor its parent"):
        Folder(tmp_path / "x" / "y")
    with pytest.raises(InputError, match=r"an archive; unpack"):
        Folder(fill(tmp_path, "a.zip") / "a.zip")


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path, monkeypatch):
    fill(tmp_path, "a/1.mp4", "b/2.mp4")
    listing = os.scandir

    def guarded(folder):
        if os.path.basename(folder) == "b":
            raise PermissionError(13, "Permission denied", os.fspath(folder))
        return listing(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(InputError, match=r"b: .*Permission denied"):
        Folder(tmp_path)


def table(root, text, name="groups.csv"):
    (root / name).write_text(text, encoding="utf-8")
    return root


def test_groups_csv_is_taken_by_itself_and_noted(tmp_path, caplog):
    fill(tmp_path, "a/1.mp4", "a/2.mp4", "b/3.mp4")
    table(
        tmp_path,
        "\ufeffPath,Class,source_group,fold3\na/1.mp4,run,film1,0\n./a/2.mp4,,film1,1\nb/3.mp4,sit,,\n",
    )
    with caplog.at_level(logging.INFO):
        source = Folder(tmp_path)
    assert "groups.csv: taken as the table" in caplog.text
    assert source.classes == ("run", "sit")
    assert labels(source) == ["run", "", "sit"]
    assert [source.group(i) for i in range(3)] == ["film1", "film1", "b/3.mp4"]
    assert splits(source) == ["0", "1", ""]


def test_split_goes_before_folds_and_fold_chooses(tmp_path):
    fill(tmp_path, "1.wav", "2.wav")
    table(
        tmp_path, "path,label,foldA,foldB,split\n1.wav,10,x,p,training\n2.wav,9,y,q,test\n", "t.csv"
    )
    assert splits(Folder(tmp_path, "t.csv")) == ["train", "test"]
    assert splits(Folder(tmp_path, tmp_path / "t.csv", fold="foldB")) == ["p", "q"]
    assert Folder(tmp_path, "t.csv").classes == ("9", "10")
    with pytest.raises(InputError, match=r"no column 'foldC'.*path, label, folda, foldb, split"):
        Folder(tmp_path, "t.csv", fold="foldC")
    with pytest.raises(InputError, match="needs a table"):
        Folder(tmp_path, fold="foldA")


def test_media_that_the_table_omits_are_left_out_aloud(tmp_path, caplog):
    fill(tmp_path, "1.mp4", "2.mp4", "thumb.jpg")
    source = Folder(table(tmp_path, "path\n2.mp4\n"))
    assert names(source) == ["2.mp4"]
    assert "2 media are not in the table and left out: 1.mp4, thumb.jpg" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'needs a column "path"; it has none'),
        ("name,class\n1.mp4,a\n", 'needs a column "path"; it has name, class'),
        ("path,class\n", "no rows"),
        ("path\n1.mp4\n./1.mp4\n", r"line 3: 1\.mp4 is named twice"),
        ("path,class\n,a\n", "line 2: the path is empty"),
        ("path\n../1.mp4\n", r"line 2: \.\./1\.mp4 leads out of the folder"),
        ("path\na/../../1.mp4\n", "leads out of the folder"),
        ("path\n..\\1.mp4\n", "leads out of the folder"),
        ("path\n/1.mp4\n", "leads out of the folder"),
        ("path\nC:1.mp4\n", "leads out of the folder"),
        (
            "path\n1.mp4\n5.mp4\n6.mp4\n7.mp4\n8.mp4\n",
            r"4 files are not in .*: 5\.mp4, 6\.mp4, 7\.mp4 and 1 more",
        ),
        ("path\n1.mp4\nnotes.txt\n", r"1 files are no media: notes\.txt"),
        ('path\n"1.mp4\n', "not a CSV table"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, message):
    fill(tmp_path, "1.mp4", "notes.txt")
    with pytest.raises(InputError, match=message) as error:
        Folder(table(tmp_path, text))
    assert one_line(error)
    assert "groups.csv" in str(error.value)


def test_tables_that_cannot_be_read_are_refused(tmp_path):
    fill(tmp_path, "1.mp4")
    (tmp_path / "latin.csv").write_bytes("path,class\n1.mp4,é\n".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        Folder(tmp_path, "latin.csv")
    with pytest.raises(InputError, match="no such table"):
        Folder(tmp_path, "none.csv")


def test_pictures_are_probed_when_asked_for_and_read(tmp_path):
    for folder, grey in (("dark", 40), ("light", 200)):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.full((6, 10, 3), grey, np.uint8)).save(tmp_path / folder / "x.png")
    fill(tmp_path, "light/broken.png")
    source = Folder(tmp_path)
    assert labels(source) == ["dark", "light", "light"]
    info = source.info(0)
    assert (info.kind, info.height, info.width) == ("image", 6, 10)
    assert source.info(0) is info
    assert source.read(2, Plan(times=(0.0,))).frames.unique().tolist() == [200]
    with pytest.raises(MediaError, match=r"broken\.png"):
        source.info(1)


def test_a_folder_travels_to_workers(tmp_path):
    source = Folder(fill(tmp_path, "a/1.mp4", "b/2.mp4"))
    copy = travelled(source)
    assert copy.fingerprint() == source.fingerprint()


def test_jhmdb_has_source_disjoint_folds():
    source = Folder(shared_data("video/jhmdb8"))
    assert (len(source), len(source.classes)) == (338, 8)
    folds = defaultdict(set)
    for i in range(len(source)):
        folds[source.group(i)].add(source.split(i))
        assert source.name(i).split("/")[0] == source.classes[source.label(i)]
    assert set().union(*folds.values()) == {"0", "1", "2"}
    assert {len(found) for found in folds.values()} == {1}
    assert len(folds) < 338
    assert source.read(7, Plan(times=(0.1, 0.3), short_side=64)).frames.shape == (2, 3, 64, 85)


def test_esc10_has_its_classes_and_the_odd_files_ask_for_a_kind():
    sounds = Folder(shared_data("audio/esc10"))
    assert (len(sounds), len(sounds.classes)) == (400, 10)
    assert sounds.info(0).kind == "audio"
    with pytest.raises(InputError, match=r"\d+ video, \d+ audio.*choose one"):
        Folder(shared_data("odd"))
    with pytest.raises(InputError, match=r"1 \.txt"):
        Folder(shared_data("text"))
    with pytest.raises(InputError, match="unpack"):
        Folder(shared_data("images/cifar10_jpeg.zip"))
