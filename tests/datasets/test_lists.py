"""Lists as people have them: each opens by itself or with one option, each mistake is one line."""

import logging

import numpy as np
import pytest
from dataset_kit import touch, watched

from pretexto.datasets.folder import Folder
from pretexto.datasets.index.build import scan
from pretexto.datasets.listed import ListFile
from pretexto.datasets.open import open_source
from pretexto.errors import InputError


@pytest.fixture
def media(tmp_path):
    touch(tmp_path, "a/1.mp4", "a/two words.mp4", "b/3.mp4", "b/4.mp4")
    return tmp_path


def facts(source):
    found = []
    for i in range(len(source)):
        labels = "+".join(source.classes[k] for k in source.label_set(i))
        found.append((source.name(i), labels, source.split(i)))
    return found


def write(root, name, text):
    (root / name).write_text(text, encoding="utf-8")
    return str(root / name)


ONE, TWO, THREE = "a/1.mp4", "a/two words.mp4", "b/3.mp4"
# Name and text of the list, labels of its two rows, and their split.
FORMS = {
    "CSV with a header": ("l.csv", "path,label\na/1.mp4,run\nb/3.mp4,sit\n", "run", "sit", ""),
    "CSV without a header": ("l.csv", "a/1.mp4,run\nb/3.mp4,sit\n", "run", "sit", ""),
    "VideoMAE": ("train.csv", "a/1.mp4 1\nb/3.mp4 0\n", "1", "0", "train"),
    "SlowFast": ("val.csv", "./a/1.mp4 1\n./b/3.mp4 0\n", "1", "0", "val"),
    "MMAction": ("set_train_list_videos.txt", "a/1.mp4 1\nb/3.mp4 3\n", "1", "3", "train"),
    "MMAction, several labels": ("l.txt", "a/1.mp4 1 2\nb/3.mp4 3\n", "1+2", "3", ""),
    "TSV": ("test.tsv", "video\tclass\na/1.mp4\trun to\nb/3.mp4\tsit\n", "run to", "sit", "test"),
    "a spreadsheet": (
        "l.csv",
        "\ufeffPath;Label;Split\na/1.mp4;run;dev\nb/3.mp4;sit;dev\n",
        "run",
        "sit",
        "val",
    ),
    "imagefolder": ("meta.csv", "file_name,text,label\na/1.mp4,hi,x\nb/3.mp4,,y\n", "x", "y", ""),
    "JSON lines": (
        "l.jsonl",
        '{"video": "a/1.mp4", "labels": ["x", "y"]}\n{"video": "b/3.mp4", "labels": "y"}\n',
        "x+y",
        "y",
        "",
    ),
    "no suffixes": ("l.txt", "a/1 0\nb/3 1\n", "0", "1", ""),
    "paths alone": ("l.txt", "a/1.mp4\nb/3.mp4\n", "", "", ""),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_list_opens_by_itself(media, form):
    name, text, first, second, split = FORMS[form]
    source = open_source(write(media, name, text))
    assert facts(source) == [(ONE, first, split), (THREE, second, split)]


def test_absolute_paths_and_paths_with_spaces(media):
    text = f"{media}/a/two words.mp4 7\n{media}/b/3.mp4 0\n"
    (media / "lists").mkdir()
    source = open_source(write(media / "lists", "train.csv", text))
    assert facts(source) == [(TWO, "7", "train"), (THREE, "0", "train")]
    assert source.label(0) == 7
    assert source.labels().tolist() == [7, 0]


def test_class_7_is_number_7_in_every_list(media):
    train = open_source(write(media, "train.txt", "a/1.mp4 7\nb/3.mp4 0\n"))
    val = open_source(write(media, "val.txt", "b/4.mp4 7\n"))
    assert train.label(0) == val.label(0) == 7


def test_a_number_below_0_means_no_label(media):
    source = open_source(write(media, "test.csv", "a/1.mp4 1\nb/3.mp4 -1\nb/4.mp4 0\n"))
    assert source.classes == ("0", "1")
    assert source.labels().tolist() == [1, -1, 0]
    assert open_source(write(media, "none.txt", "a/1.mp4 -1\n")).classes == ()


def test_lists_that_lie_unread_in_a_folder_are_named(media, caplog):
    write(media, "train.csv", "a/1.mp4 0\n")
    write(media, "notes.txt", "hello\n")
    Folder(media)
    (record,) = [r for r in caplog.records if "not read" in r.getMessage()]
    assert f"train.csv not read; give a list itself, as {media}/train.csv" in record.getMessage()
    caplog.clear()
    Folder(media, table="train.csv")
    assert "not read" not in caplog.text


@pytest.mark.parametrize(
    ("name", "text"),
    [("classInd.txt", "1 Run\n2 Sit down\n"), ("class_ind.csv", "id,name\n1,Run\n2,Sit down\n")],
)
def test_numbers_are_named_by_a_list_of_classes(media, name, text):
    write(media, name, text)
    source = open_source(write(media, "trainlist01.txt", "a/1.mp4 2\nb/3.mp4 1\n"))
    assert source.classes == ("Run", "Sit down")
    assert facts(source) == [(ONE, "Sit down", "train"), (THREE, "Run", "train")]
    with pytest.raises(InputError, match=r"label 0 is not among the classes 1 … 2 of .*class"):
        open_source(write(media, "testlist01.txt", "a/1.mp4 0\n"))


def test_a_list_of_names_counts_from_0_and_can_be_given(media):
    names = write(media, "mine.list", "run\nsit\n")
    source = ListFile(write(media, "l.txt", "a/1.mp4 1\n"), classes=names)
    assert facts(source) == [(ONE, "sit", "")]
    assert source.label(0) == 1


def test_media_may_lie_beside_above_or_where_one_says(media, tmp_path_factory):
    (media / "annotations").mkdir()
    above = open_source(write(media / "annotations", "l.txt", "a/1.mp4 0\n"))
    beside = open_source(write(media, "m.txt", "1.mp4 0\n"))
    assert [above.name(0), beside.name(0)] == ["a/1.mp4", "1.mp4"]
    far = write(tmp_path_factory.mktemp("far"), "l.txt", "1.mp4 0\n")
    with pytest.raises(InputError, match=r"1 files are not in .*: 1\.mp4; .*l\.txt:FOLDER"):
        open_source(far)
    assert open_source(f"{far}:{media / 'a'}").path == media / "a"


def test_lists_of_a_folder_make_up_one_source(media):
    write(media, "train.txt", "a/1.mp4 1\nb/3.mp4 0\n")
    write(media, "val.txt", "b/4.mp4 1\n")
    source = ListFile(media)
    assert [source.split(i) for i in range(3)] == ["train", "train", "val"]


def test_several_labels_have_no_single_one_and_captions_are_kept(media):
    text = "path,labels,caption\na/1.mp4,x;y,he runs\nb/3.mp4,y,\n"
    source = open_source(write(media, "l.csv", text))
    assert source.label(0) == -1
    assert source.label_set(0) == (0, 1)
    assert (source.label(1), source.label_set(1)) == (1, (1,))
    assert [source.caption(i) for i in range(2)] == ["he runs", ""]


def test_an_index_keeps_segments_labels_and_captions_of_a_list(media, monkeypatch, tmp_path):
    import soundfile

    asked = watched(monkeypatch)
    for k, name in enumerate(("x.wav", "y.wav")):
        soundfile.write(media / name, np.full(4000, k / 2), 1000)
    rows = "x.wav,p;q,hello,1,2,train\nx.wav,p,,2,4,val\ny.wav,q,,,,\n"
    text = f"path,labels,text,start,end,split\n{rows}"
    plain = open_source(write(media, "l.csv", text))
    scan(media / "l.csv", tmp_path / "i.parquet")
    assert asked == ["x.wav", "y.wav"]
    indexed = open_source(str(tmp_path / "i.parquet"))
    assert facts(indexed) == facts(plain)
    assert facts(plain)[0] == ("x.wav#t=1,2", "p+q", "train")
    assert indexed.caption(0) == "hello"
    assert [indexed.group(i) for i in range(3)] == ["x.wav", "x.wav", "y.wav"]
    assert indexed.fingerprint() == plain.fingerprint()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,start,end\na/1.mp4,3,\n", "line 2: start without end"),
        ("path,start,end\na/1.mp4,,3\n", "line 2: end without start"),
        ("path,start,end\na/1.mp4,3,2\n", "line 2: the segment ends at 2 s, before it starts"),
        ("path,start,end\na/1.mp4,soon,2\n", "line 2: 'soon' is no time"),
        ("path,start,end\na/1.mp4,-1,2\n", "line 2: '-1' is no time"),
        ("path,start,end\na/1.mp4,1,2\na/1.mp4,1,2\n", "line 3: a/1.mp4 is named twice"),
        ("a/1.mp4,run,walk,train\n", "line 1: 4 cells and no header; write one"),
        ("a/1 120 3\n", "line 1: a/1 is no medium by its suffix; lists of folders of frames"),
        ("name,class\nx,y\n", 'needs a column "path"; it has name, class'),
        ("../x.mp4 1\n", "line 1: ../x.mp4 leads out of the folder"),
        ("/nowhere/x.mp4 1\na/1.mp4 0\n", "some paths are absolute, some not"),
        ("a/9.mp4 1\n", "1 files are not in"),
        ("label,youtube_id,time_start,time_end,split\nx,abc,0,2,train\n", "as kinetics:"),
        ("narration_id,video_id,narration\nP01_0,P01,take plate\n", "as epic_kitchens:"),
        ('# Segments csv created\n# YTID, start\nabc, 0, 3, "/m/1"\n', "as audioset:"),
        ('# YTID, start, end, labels\nabc, 0, 3, "/m/1"\n', "as audioset:"),
    ],
)
def test_mistakes_are_one_line(media, text, message):
    with pytest.raises(InputError) as error:
        open_source(write(media, "l.csv", text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_options_that_a_list_does_not_take_are_refused(media):
    with pytest.raises(InputError, match="table does not apply to a list"):
        open_source(write(media, "l.txt", "a/1.mp4 0\n"), table="x.csv")


def test_a_table_of_a_folder_may_have_any_form(media, caplog):
    write(media, "l.txt", "b/3.mp4 1\na/1.mp4 0\n")
    with caplog.at_level(logging.WARNING):
        source = Folder(media, "l.txt")
    assert facts(source) == [(ONE, "0", ""), (THREE, "1", "")]
    assert "2 media are not in the table and left out" in caplog.text
