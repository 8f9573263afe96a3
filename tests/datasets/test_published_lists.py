"""VGGSound, AudioSet, EPIC-Kitchens, Diving48, NSynth, CIFAR and STL-10 in made-up trees."""

import json

import numpy as np
import pytest
from dataset_kit import facts, touch

from pretexto.datasets.open import open_source
from pretexto.datasets.source import Subset
from pretexto.errors import InputError
from pretexto.modalities.media import Plan


def test_vggsound_takes_clips_and_whole_films(tmp_path, caplog):
    touch(tmp_path, "video/abc_000030.mp4", "audio/x-_y_5000_15000.flac", "film.mp4")
    rows = 'abc,30,"dog, barking",train\nx-_y,5,rain,test\nfilm,7,rain,test\ngone,1,rain,train\n'
    (tmp_path / "vggsound.csv").write_text(rows)
    assert facts(open_source(f"vggsound:{tmp_path}")) == [
        ("video/abc_000030.mp4", "dog, barking", "abc", "train"),
        ("audio/x-_y_5000_15000.flac", "rain", "x-_y", "test"),
        ("film.mp4#t=7,17", "rain", "film", "test"),
    ]
    assert "1 listed media are not there: gone_000001_000011" in caplog.text
    (tmp_path / "vggsound.csv").write_text("abc,30\n")
    with pytest.raises(InputError, match=r"line 1: 2 cells; VGGSound has film, start, label"):
        open_source(f"vggsound:{tmp_path}")


def test_audioset_has_several_labels_with_names(tmp_path):
    touch(tmp_path, "abc.wav", "def_20000_30000.flac")
    head = "# Segments csv\n# num_ytids=1\n# YTID, start_seconds, end_seconds, positive_labels\n"
    (tmp_path / "balanced_train_segments.csv").write_text(
        head + 'abc, 30.000, 40.000, "/m/09x0r,/t/dd00088"\n'
    )
    (tmp_path / "eval_segments.csv").write_text(head + 'def, 20.000, 30.000, "/m/09x0r"\n')
    (tmp_path / "class_labels_indices.csv").write_text(
        'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/t/dd00088,"Gush, spurt"\n'
    )
    source = open_source(f"audioset:{tmp_path}")
    assert source.classes == ("Gush, spurt", "Speech")
    assert [source.name(i) for i in range(2)] == ["abc.wav#t=30,40", "def_20000_30000.flac"]
    assert [source.label_set(i) for i in range(2)] == [(1, 0), (1,)]
    assert [source.label(i) for i in range(2)] == [-1, 1]
    assert [source.split(i) for i in range(2)] == ["train", "test"]


def test_epic_kitchens_has_segments_groups_and_captions(tmp_path):
    touch(tmp_path, "P01/videos/P01_01.MP4")
    head = "narration_id,participant_id,video_id,start_timestamp,stop_timestamp,narration,verb\n"
    (tmp_path / "EPIC_100_train.csv").write_text(
        head + "P01_01_0,P01,P01_01,00:00:00.14,00:00:03.37,open door,open\n"
        "P01_01_1,P01,P01_01,00:01:04.37,00:01:06.17,turn on light,turn-on\n"
    )
    source = open_source(f"epic_kitchens:{tmp_path}")
    assert facts(source) == [
        ("P01/videos/P01_01.MP4#t=0.14,3.37", "open", "P01", "train"),
        ("P01/videos/P01_01.MP4#t=64.37,66.17", "turn-on", "P01", "train"),
    ]
    assert source.caption(1) == "turn on light"
    (tmp_path / "EPIC_100_train.csv").write_text(head + "P01_01_0,P01,P01_01,0:00:01,,x,open\n")
    with pytest.raises(InputError, match="line 2: start_timestamp without stop_timestamp"):
        open_source(f"epic_kitchens:{tmp_path}")


def test_diving48_names_its_classes_by_its_vocabulary(tmp_path):
    touch(tmp_path, "rgb/a_1.mp4", "rgb/b_2.mp4")
    for part, record in (("train", ("a_1", 1)), ("test", ("b_2", 0))):
        text = json.dumps([{"vid_name": record[0], "label": record[1], "end_frame": 9}])
        (tmp_path / f"Diving48_V2_{part}.json").write_text(text)
    assert open_source(f"diving48:{tmp_path}").classes == ("0", "1")
    vocabulary = [["Back", "15som"], ["Forward", "25som"], ["Inward", "Dive"]]
    (tmp_path / "Diving48_vocab.json").write_text(json.dumps(vocabulary))
    source = open_source(f"diving48:{tmp_path}")
    assert facts(source) == [
        ("rgb/b_2.mp4", "Back-15som", "rgb/b_2.mp4", "test"),
        ("rgb/a_1.mp4", "Forward-25som", "rgb/a_1.mp4", "train"),
    ]
    assert len(source.classes) == 3
    (tmp_path / "Diving48_V2_test.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match="a list of Diving48 is a JSON array"):
        open_source(f"diving48:{tmp_path}")


def test_nsynth_groups_its_notes_by_instrument(tmp_path):
    for part in ("train", "test"):
        note = f"bass_{part}_000-060-100"
        touch(tmp_path, f"nsynth-{part}/audio/{note}.wav")
        about = {"instrument_family_str": "bass", "instrument_str": f"bass_{part}_000", "pitch": 60}
        (tmp_path / f"nsynth-{part}/examples.json").write_text(json.dumps({note: about}))
    source = open_source(f"nsynth:{tmp_path}")
    assert facts(source) == [
        ("nsynth-train/audio/bass_train_000-060-100.wav", "bass", "bass_train_000", "train"),
        ("nsynth-test/audio/bass_test_000-060-100.wav", "bass", "bass_test_000", "test"),
    ]
    (tmp_path / "nsynth-test/audio/bass_test_000-060-100.wav").unlink()
    with pytest.raises(InputError, match="1 of the 2 files that NSynth lists"):
        open_source(f"nsynth:{tmp_path}")


def test_cifar10_is_read_from_its_binaries_exactly(tmp_path):
    rng = np.random.default_rng(0)
    root = tmp_path / "cifar-10-batches-bin"
    root.mkdir()
    (root / "batches.meta.txt").write_text("airplane\ncat\n\n")
    pictures = rng.integers(0, 256, (6, 2, 3, 32, 32), np.uint8)
    names = [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
    for name, pair in zip(names, pictures, strict=True):
        (root / name).write_bytes(b"".join(bytes([k]) + p.tobytes() for k, p in enumerate(pair)))
    source = open_source(f"cifar10:{tmp_path}")
    assert facts(source)[3] == ("data_batch_2/00001", "cat", "data_batch_2/00001", "train")
    assert (source.splits() == "test").sum() == 2
    assert source.read(3, Plan((0.0,))).frames.numpy().tolist() == pictures[1, 1][None].tolist()
    assert source.read(3, Plan((0.0, 0.0), short_side=16)).frames.shape == (2, 3, 16, 16)
    assert Subset(source, [10, 11]).labels().tolist() == [0, 1]
    (root / "test_batch.bin").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="100 bytes are no whole records"):
        open_source(f"cifar10:{tmp_path}")


def test_cifar100_takes_its_fine_labels_and_no_pickles(tmp_path):
    (tmp_path / "cifar-100-python").mkdir()
    with pytest.raises(InputError, match=r"pickles, which can run code .*cifar-100-binary.tar.gz"):
        open_source(f"cifar100:{tmp_path}")
    root = tmp_path / "cifar-100-binary"
    root.mkdir()
    (root / "fine_label_names.txt").write_text("apple\nbear\nbee\n")
    for name, fine in (("train", 2), ("test", 1)):
        (root / f"{name}.bin").write_bytes(bytes([0, fine]) + bytes(3072))
    source = open_source(f"cifar100:{tmp_path}")
    assert [(f[1], f[3]) for f in facts(source)] == [("bee", "train"), ("bear", "test")]


def test_stl10_turns_its_columns_into_rows(tmp_path):
    root = tmp_path / "stl10_binary"
    root.mkdir()
    upright = np.random.default_rng(1).integers(0, 256, (3, 96, 96), np.uint8)
    for part, marks in (("train", b"\x02"), ("test", b"\x01"), ("unlabeled", b"")):
        (root / f"{part}_X.bin").write_bytes(upright.transpose(0, 2, 1).tobytes())
        if marks:
            (root / f"{part}_y.bin").write_bytes(marks)
    (root / "class_names.txt").write_text("airplane\nbird\n")
    source = open_source(f"stl10:{root}")
    assert [source.name(i) for i in range(3)] == ["train/000000", "test/000000", "unlabeled/000000"]
    assert source.labels().tolist() == [1, 0, -1]
    assert source.read(0, Plan((0.0,))).frames[0].numpy().tolist() == upright.tolist()
    assert source.info(2).height == 96
    (root / "train_y.bin").write_bytes(b"\x0b")
    with pytest.raises(InputError, match="a label is none of the 2 classes"):
        open_source(f"stl10:{root}")
