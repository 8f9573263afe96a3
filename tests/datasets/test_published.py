"""UCF101, HMDB51, Kinetics and Something-Something in made-up trees of their official form."""

import json
import logging

import media_factory as make
import pytest
from dataset_kit import facts, touch, without_children

from pretexto.cli import main
from pretexto.datasets.index.build import scan
from pretexto.datasets.open import open_source
from pretexto.errors import InputError
from pretexto.evaluation.splits import splits
from pretexto.modalities.media import Plan


@pytest.fixture
def ucf(tmp_path):
    root = tmp_path / "ucf"
    names = [f"{c}/v_{c}_g{g:02}_c01.avi" for c in ("Archery", "YoYo") for g in (1, 8)]
    touch(root / "UCF-101", *names)
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 Archery\r\n2 YoYo\r\n")
    for k in (1, 2, 3):
        train, test = (names[1::2], names[::2]) if k != 2 else (names[::2], names[1::2])
        rows = [f"{n} {1 if n.startswith('A') else 2}\r\n" for n in train]
        (lists / f"trainlist0{k}.txt").write_text("".join(rows))
        (lists / f"testlist0{k}.txt").write_text("".join(f"{n}\r\n" for n in test))
    return root


def test_ucf101_has_its_official_splits_and_groups(ucf):
    one, two = open_source(f"ucf101:{ucf}"), open_source(f"ucf101-2:{ucf}")
    assert facts(one)[0] == (
        "UCF-101/Archery/v_Archery_g08_c01.avi", "Archery", "Archery_g08", "train",
    )  # fmt: skip
    assert {f[2] for f in facts(one) if f[3] == "test"} == {"Archery_g01", "YoYo_g01"}
    assert {f[2] for f in facts(two) if f[3] == "test"} == {"Archery_g08", "YoYo_g08"}
    assert one.title == "UCF101 split 1"
    assert splits(one)[0].test == (2, 3)


def test_ucf101_is_read_where_it_lies(ucf):
    file = ucf / "UCF-101/Archery/v_Archery_g08_c01.avi"
    make.write(file, [make.card(7)] * 3, [0.0, 0.1, 0.2])
    source = open_source(f"ucf101:{ucf}")
    frames = source.read(0, Plan(times=(0.1,))).frames
    assert make.spelled(frames[0].permute(1, 2, 0).numpy()) == 7


@pytest.fixture
def in_this_process(monkeypatch):
    without_children(monkeypatch)


@pytest.mark.parametrize("name", ["ucf101", "ucf101-2"])
@pytest.mark.usefixtures("in_this_process")
def test_an_index_of_a_published_set_is_the_set_with_motion(ucf, tmp_path, name):
    for k, file in enumerate(sorted(ucf.rglob("*.avi"))):
        make.write(file, make.drifting([0.0, 2.0, 4.0], seed=k), [0.0, 0.1, 0.2])
    (ucf / "UCF-101/YoYo/unlisted.avi").touch()
    out = tmp_path / "ucf101.parquet"
    assert main(["index", f"{name}:{ucf}", "--out", str(out)]) == 0
    indexed, source = open_source(str(out)), open_source(f"{name}:{ucf}")
    assert facts(indexed) == facts(source)
    assert indexed.classes == source.classes
    assert indexed.fingerprint() == source.fingerprint()
    for i in range(4):
        assert indexed.info(i).motion[0] > 10
        assert source.info(i).motion == ()
        assert indexed.read(i, Plan((0.1,))).frames.equal(source.read(i, Plan((0.1,))).frames)


@pytest.mark.usefixtures("in_this_process")
def test_an_index_of_a_published_set_keeps_classes_whose_files_are_all_unreadable(ucf, tmp_path):
    for file in (ucf / "UCF-101/YoYo").glob("*.avi"):
        make.write(file, [make.card(7)] * 3, [0.0, 0.1, 0.2])
    scan(f"ucf101:{ucf}", tmp_path / "x.parquet")
    indexed = open_source(str(tmp_path / "x.parquet"))
    assert indexed.classes == ("Archery", "YoYo")
    assert facts(indexed) == [f for f in facts(open_source(f"ucf101:{ucf}")) if f[1] == "YoYo"]
    with pytest.raises(InputError, match="--table applies to folders only"):
        scan(f"ucf101:{ucf}", tmp_path / "x.parquet", table=tmp_path / "t.csv")


def test_what_is_incomplete_or_wrong_is_named(ucf, tmp_path):
    (ucf / "UCF-101/YoYo/v_YoYo_g01_c01.avi").unlink()
    with pytest.raises(InputError, match=r"1 of the 4 files that UCF101 lists .*v_YoYo_g01"):
        open_source(f"ucf101:{ucf}")
    with pytest.raises(InputError, match="lists are not there; expected the folder ucfTrain"):
        open_source(f"ucf101:{tmp_path}")
    (ucf / "ucfTrainTestlist/testlist01.txt").write_text("../../v_YoYo_g01_c01.avi\n")
    with pytest.raises(InputError, match="leads out of the folder"):
        open_source(f"ucf101:{ucf}")
    with pytest.raises(InputError, match="kind does not apply to a published"):
        open_source(f"ucf101:{ucf}", kind="video")


def test_hmdb51_leaves_out_what_its_split_leaves_out(tmp_path):
    touch(
        tmp_path / "hmdb51_org", *(f"{c}/a #{k}.avi" for c in ("run", "sit up") for k in range(3))
    )
    lists = tmp_path / "testTrainMulti_7030_splits"
    for label, marks in (("run", "120"), ("sit up", "012")):
        rows = "".join(f"a #{k}.avi {mark} \n" for k, mark in enumerate(marks))
        touch(lists, f"{label}_test_split3.txt")
        (lists / f"{label}_test_split3.txt").write_text(rows)
    source = open_source(f"hmdb51-3:{tmp_path}")
    assert source.classes == ("run", "sit up")
    assert [(f[0][11:], f[3]) for f in facts(source)] == [
        ("run/a #0.avi", "train"),
        ("run/a #1.avi", "test"),
        ("sit up/a #1.avi", "train"),
        ("sit up/a #2.avi", "test"),
    ]
    with pytest.raises(InputError, match="no files CLASS_test_split1"):
        open_source(f"hmdb51:{tmp_path}")


def test_groups_of_hmdb51_are_its_films(tmp_path):
    clips = {
        "catch": (
            "Faith_Rewarded_catch_f_cm_np1_fr_med_9.avi",
            "Faith_Rewarded_catch_f_cm_np1_fr_med_11.avi",
            "Ball_catch_game_catch_u_cm_np1_fr_goo_2.avi",
            "nameless.avi",
        ),
        "shoot_ball": ("Pistol_shoot_ball_u_cm_np1_fr_goo_0.avi",),
    }
    lists = tmp_path / "testTrainMulti_7030_splits"
    for label, names in clips.items():
        touch(tmp_path / "hmdb51_org" / label, *names)
        touch(lists, f"{label}_test_split1.txt")
        rows = "".join(f"{name} 1 \n" for name in names)
        (lists / f"{label}_test_split1.txt").write_text(rows)
    source = open_source(f"hmdb51:{tmp_path}")
    assert [source.group(i) for i in range(5)] == [
        "Faith_Rewarded",
        "Faith_Rewarded",
        "Ball_catch_game",
        "hmdb51_org/catch/nameless.avi",
        "Pistol",
    ]


def test_kinetics_counts_the_videos_that_are_gone(tmp_path, caplog):
    touch(
        tmp_path, "train/cook egg/abc_000003_000013.mp4", "val/x-_y_000100_000110.mp4", "zzz.webm"
    )
    head = "label,youtube_id,time_start,time_end,split\n"
    (tmp_path / "train.csv").write_text(
        head + "cook egg,abc,3,13,train\njump,gone,1,11,train\njump,zzz,5,15,train\n"
    )
    (tmp_path / "val.csv").write_text(head + "jump,x-_y,100,110,validate\n")
    with caplog.at_level(logging.WARNING):
        source = open_source(f"kinetics:{tmp_path}")
    assert facts(source) == [
        ("train/cook egg/abc_000003_000013.mp4", "cook egg", "abc", "train"),
        ("zzz.webm#t=5,15", "jump", "zzz", "train"),
        ("val/x-_y_000100_000110.mp4", "jump", "x-_y", "val"),
    ]
    assert "1 listed media are not there: gone_000001_000011" in caplog.text
    (tmp_path / "val.csv").write_text(head + "jump,x-_y,100,,validate\n")
    with pytest.raises(InputError, match=r"val\.csv, line 2: time_start without time_end"):
        open_source(f"kinetics:{tmp_path}")
    (tmp_path / "val.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"val\.csv, line 2: no youtube_id"):
        open_source(f"kinetics:{tmp_path}")


def test_something_something_takes_templates_without_brackets(tmp_path):
    touch(tmp_path, "20bn/12.webm", "20bn/7.webm")
    for part, number in (("train", 12), ("validation", 7)):
        record = {"id": str(number), "label": "lifting a cup", "template": "Lifting [something]"}
        file = tmp_path / f"something-something-v2-{part}.json"
        file.write_text(json.dumps([record]))
    (tmp_path / "something-something-v2-labels.json").write_text("{}")
    source = open_source(f"ssv2:{tmp_path}")
    assert facts(source) == [
        ("20bn/12.webm", "Lifting something", "20bn/12.webm", "train"),
        ("20bn/7.webm", "Lifting something", "20bn/7.webm", "val"),
    ]
    with pytest.raises(InputError, match="no list"):
        open_source(f"ssv2:{tmp_path / '20bn'}")
