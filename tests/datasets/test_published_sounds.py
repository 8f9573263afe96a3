"""ESC-50, ESC-10, UrbanSound8K and Speech Commands in made-up trees of their official form."""

import csv
import logging

import media_factory as make
import numpy as np
import pytest
from dataset_kit import facts, touch
from helpers import shared_data

from pretexto.datasets.open import open_source
from pretexto.errors import InputError
from pretexto.evaluation.splits import splits
from pretexto.modalities.media import AudioSpan, Plan

TEN = ("chainsaw", "clock_tick", "crackling_fire", "crying_baby", "dog", "helicopter", "rain",
       "rooster", "sea_waves", "sneezing")  # fmt: skip


def table(file, head, rows):
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([head, *rows])


def check_folds(source, count):
    """Each fold is tested once, and no recording stands on two sides."""
    cuts = splits(source)
    assert len(cuts) == count
    assert sorted(i for cut in cuts for i in cut.test) == list(range(len(source)))
    for cut in cuts:
        groups = [{source.group(i) for i in part} for part in (cut.train, cut.val, cut.test)]
        assert sum(map(len, groups)) == len(set().union(*groups))


@pytest.fixture
def esc(tmp_path):
    """Fifty classes, five folds, two takes of one recording each."""
    head = ("filename", "fold", "target", "category", "esc10", "src_file", "take")
    names = [*TEN, *(f"other{k}" for k in range(40))]
    rows = [
        (f"{fold}-{fold}{k:02}-{take}-{k}.wav", fold, k, name, k < 10, f"{fold}{k:02}", take)
        for fold in range(1, 6)
        for k, name in enumerate(names)
        for take in "AB"
    ]
    table(tmp_path / "meta/esc50.csv", head, rows)
    touch(tmp_path / "audio", *(row[0] for row in rows))
    return tmp_path


def test_esc50_has_its_five_folds_and_keeps_takes_together(esc):
    source = open_source(f"esc50:{esc}")
    assert (len(source), len(source.classes), source.title) == (500, 50, "ESC-50")
    assert facts(source)[0] == ("audio/1-100-A-0.wav", "chainsaw", "100", "fold1")
    check_folds(source, 5)


def test_esc10_is_what_the_list_of_esc50_marks(esc):
    source = open_source(f"esc10:{esc}")
    assert (len(source), source.classes, source.title) == (100, TEN, "ESC-10")
    check_folds(source, 5)


def test_esc_is_read_where_it_lies(esc):
    wave = 0.5 * np.sin(np.arange(4410) / 10)[None].astype(np.float32)
    file = esc / "audio/1-100-A-0.wav"
    make.write(file, sound=wave, rate=44_100, sound_codec="pcm_s16le")
    sound = open_source(f"esc50:{esc}").read(0, Plan(audio=AudioSpan(0, 0.1, 44_100))).audio
    assert np.abs(sound.numpy() - wave).max() < 1e-4


def test_esc_by_its_files_names(tmp_path):
    names = [
        f"{k:03} - Class {k}/{fold}-{k}{fold}-A.ogg" for k in range(1, 11) for fold in (1, 2, 3)
    ]
    touch(tmp_path, "README.md", "ESC-10.png", *names)
    source = open_source(f"esc10:{tmp_path}")
    assert facts(source)[0] == ("001 - Class 1/1-11-A.ogg", "Class 1", "11", "fold1")
    check_folds(source, 3)
    with pytest.raises(InputError, match="holds 10 classes, and ESC-50 has 50"):
        open_source(f"esc50:{tmp_path}")
    touch(tmp_path, "001 - Class 1/bark.ogg")
    with pytest.raises(InputError, match=r"'001 - Class 1/bark.ogg' is no name of ESC-10"):
        open_source(f"esc10:{tmp_path}")


def test_the_real_esc10_has_its_official_folds():
    source = open_source(f"esc10:{shared_data('audio/esc10')}")
    assert len(source) == 400
    found = facts(source)
    assert found[0] == ("001 - Dog bark/1-100032-A.ogg", "Dog bark", "100032", "fold1")
    for name in source.classes:
        assert [sum(f[1] == name and f[3] == f"fold{k}" for f in found) for k in range(1, 6)] == [
            8
        ] * 5
    check_folds(source, 5)


def test_what_is_incomplete_or_wrong_is_named(esc, tmp_path):
    (esc / "audio/1-100-A-0.wav").unlink()
    with pytest.raises(InputError, match=r"1 of the 500 files that ESC-50 lists .*1-100-A-0"):
        open_source(f"esc50:{esc}")
    with pytest.raises(InputError, match="no such folder"):
        open_source(f"esc50:{tmp_path / 'none'}")
    head = ("filename", "fold", "category", "esc10", "src_file")
    table(esc / "meta/esc50.csv", head, [("../x.wav", 1, "dog", True, 1)])
    with pytest.raises(InputError, match="leads out of the folder"):
        open_source(f"esc50:{esc}")
    table(esc / "meta/esc50.csv", head, [("x.wav", "", "dog", True, 1)])
    with pytest.raises(InputError, match=r"esc50\.csv, line 2: no fold; a list of ESC-50 has it"):
        open_source(f"esc50:{esc}")
    table(esc / "meta/esc50.csv", head, [])
    with pytest.raises(InputError, match="is empty"):
        open_source(f"esc50:{esc}")


def test_urbansound8k_has_ten_folds_and_groups_of_recordings(tmp_path):
    head = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
    rows = [
        (f"{fsid}-{k}-0-{part}.wav", fsid, 0.0, 4.0, 1, fold, k, name)
        for fold in range(1, 11)
        for k, name in ((3, "dog_bark"), (8, "siren"))
        for fsid in (1000 * fold + k,)
        for part in range(2)
    ]
    table(tmp_path / "metadata/UrbanSound8K.csv", head, rows)
    with pytest.raises(InputError, match="40 of the 40 files that UrbanSound8K lists"):
        open_source(f"urbansound8k:{tmp_path}")
    touch(tmp_path / "audio", *(f"fold{row[5]}/{row[0]}" for row in rows))
    source = open_source(f"urbansound8k:{tmp_path}")
    assert facts(source)[0] == ("audio/fold1/1003-3-0-0.wav", "dog_bark", "1003", "fold1")
    assert (len(source), source.classes) == (40, ("dog_bark", "siren"))
    check_folds(source, 10)
    with pytest.raises(InputError, match=r"UrbanSound8K\.csv: the list cannot be read"):
        open_source(f"urbansound8k:{tmp_path / 'audio'}")


def test_speech_commands_has_its_parts_and_leaves_noise_out(tmp_path, caplog):
    words = [f"{w}/{who}_nohash_0.wav" for w in ("no", "yes") for who in ("0a", "1b", "2c")]
    touch(tmp_path, "README.md", "_background_noise_/pink_noise.wav", *words)
    (tmp_path / "validation_list.txt").write_text("no/1b_nohash_0.wav\nyes/1b_nohash_0.wav\n")
    (tmp_path / "testing_list.txt").write_text("no/2c_nohash_0.wav\nyes/2c_nohash_0.wav\n")
    with caplog.at_level(logging.INFO):
        source = open_source(f"speech_commands:{tmp_path}")
    assert facts(source)[:3] == [
        ("no/0a_nohash_0.wav", "no", "0a", "train"),
        ("no/1b_nohash_0.wav", "no", "1b", "val"),
        ("no/2c_nohash_0.wav", "no", "2c", "test"),
    ]
    assert "1 files of _background_noise_ are left out" in caplog.text
    assert splits(source)[0] == splits(source, 5)[0]
    assert (splits(source)[0].val, splits(source)[0].test) == ((1, 4), (2, 5))
    (tmp_path / "testing_list.txt").write_text("no/9z_nohash_0.wav\n")
    with pytest.raises(InputError, match=r"lists are not there: no/9z"):
        open_source(f"speech_commands:{tmp_path}")
    (tmp_path / "testing_list.txt").unlink()
    with pytest.raises(InputError, match=r"testing_list\.txt: the list cannot be read"):
        open_source(f"speech_commands:{tmp_path}")
