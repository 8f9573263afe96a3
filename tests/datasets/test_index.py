"""The index: what it finds, survives, remembers and refuses; children and their limits."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import child_jobs
import media_factory as media
import numpy as np
import pytest
from dataset_kit import watched, without_children
from PIL import Image

from pretexto.cli import main
from pretexto.datasets.fingerprint import fingerprint
from pretexto.datasets.folder import Folder
from pretexto.datasets.index import build as indexing
from pretexto.datasets.index.build import scan
from pretexto.datasets.index.checkpoint import Journal
from pretexto.datasets.index.schema import KEY
from pretexto.datasets.index.source import Index, inside
from pretexto.datasets.index.table import Rows
from pretexto.datasets.open import open_source
from pretexto.datasets.source import Source
from pretexto.errors import InputError
from pretexto.modalities import motion
from pretexto.modalities.decode.reader import probe
from pretexto.modalities.decode.sandbox import Limits
from pretexto.modalities.media import MediaError, Plan

RATE = 16000
SPEED = 40  # hundredths of the picture's longer side per second


@pytest.fixture(autouse=True)
def _children_find_the_jobs(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "helpers"))


def picture(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def video(path: Path, moving_from: float = 0.0) -> None:
    """Two seconds, still and silent before `moving_from`, loud and moving after."""
    times = np.arange(32) / 16
    pictures = media.drifting(SPEED * (times - moving_from).clip(0))
    wave = 0.5 * np.sin(np.arange(2 * RATE) * 0.2)[None].astype(np.float32)
    wave[:, : int(moving_from * RATE)] = 0
    media.write(path, pictures, times.tolist(), sound=wave, rate=RATE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Media of two classes, with a copy, files that break children, and others."""
    root = tmp_path_factory.mktemp("media")
    for name in ("a", "b"):
        (root / name).mkdir()
    video(root / "a" / "moving.mp4")
    video(root / "a" / "half.mp4", 1.0)
    shutil.copy(root / "a" / "half.mp4", root / "b" / "same.mp4")
    for k in range(4):
        picture(root / "b" / f"{k}.png", k)
    (root / "b" / "broken.mp4").write_bytes(b"no media at all" * 100)
    (root / "b" / "crash.jpg").write_bytes((root / "b" / "0.png").read_bytes())
    (root / "b" / "hang.jpg").write_bytes((root / "b" / "1.png").read_bytes() + b"1")
    (root / "notes.txt").write_text("no medium")
    return root


def run_scan(folder: Path, out: Path, **options):
    return scan(folder, out, jobs=2, limits=Limits(6, 1024), **options)


@pytest.fixture(scope="module")
def index(folder, tmp_path_factory):
    """The folder's index and report, made with the misbehaving job."""
    out = tmp_path_factory.mktemp("index") / "index.parquet"
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "helpers"))
    patch.setattr(indexing, "_with_name", child_jobs.scan)
    report = run_scan(folder, out)
    patch.undo()
    return out, report


def test_what_kills_or_blocks_its_child_is_quarantined_and_the_scan_goes_on(index):
    out, report = index
    bad = {name: (status, reason) for name, status, reason in report.bad}
    assert set(bad) == {"b/broken.mp4", "b/crash.jpg", "b/hang.jpg"}
    assert bad["b/crash.jpg"] == ("crash", "the decoder crashed (SIGSEGV)")
    assert bad["b/hang.jpg"] == ("time", "not done after 6 s")
    assert bad["b/broken.mp4"][0] == "unreadable"
    assert "open" in bad["b/broken.mp4"][1]
    assert not list(out.parent.glob("*.journal"))
    text = "\n".join(report.lines())
    for name in bad:
        assert name in text
    assert "--time-limit" in text
    assert "1 .txt" in text


def test_rows_say_what_probing_says_and_no_file_is_touched_for_it(index, folder):
    source = Index(index[0])
    assert [source.name(i) for i in range(len(source))] == sorted(
        f"{name}"
        for name in "a/half.mp4 a/moving.mp4 b/0.png b/1.png b/2.png b/3.png b/same.mp4".split()
    )
    for i in range(len(source)):
        told, true = source.info(i), probe(folder / source.name(i))
        for field in ("kind", "duration", "fps", "frames", "height", "width", "codec"):
            assert getattr(told, field) == getattr(true, field)
        for field in ("audio_rate", "audio_channels", "audio_start", "audio_duration"):
            assert getattr(told, field) == getattr(true, field)
    moved = Index(index[0], root=index[0].parent)
    assert moved.info(0) == source.info(0)
    with pytest.raises(MediaError, match="open"):
        moved.read(0, Plan((0.0,)))


def test_labels_groups_and_splits_are_those_of_the_folder(index, folder, tmp_path):
    with pytest.raises(InputError, match=r"several kinds \(4 image, 3 video\); choose one"):
        open_source(str(index[0]))
    source, plain = open_source(str(index[0]), kind="video"), Folder(folder, kind="video")
    assert isinstance(source, Index)
    assert len(source) == len(plain) - 1 == 3
    numbers = {plain.name(i): plain.label(i) for i in range(len(plain))}
    assert source.classes == plain.classes == ("a", "b")
    assert [source.label(i) for i in range(3)] == [numbers[source.name(i)] for i in range(3)]
    assert source.fingerprint() == fingerprint(Source.columns(source))


def test_motion_is_measured_second_by_second(index):
    source = Index(index[0])
    half, moving = source.info(0).motion, source.info(1).motion
    assert len(half) == len(moving) == 2
    # The tolerance is that of `test_motion.py`, where it was measured.
    assert half[0] < 1
    assert [half[1], *moving] == pytest.approx([SPEED] * 3, rel=0.15)
    assert source.table.facts["motion"] == "flow"
    assert "motion: 3 videos by optical flow" in "\n".join(index[1].lines())


def test_sound_is_measured(index):
    rows = Rows(index[0], extra=("loudness", "silence"))
    # A sine of amplitude a has the power a² / 2: -9.03 dB for one half, 3 dB less for half of it.
    assert rows.value(1, "loudness") == pytest.approx(-9.03, abs=0.2)
    assert rows.value(0, "loudness") == pytest.approx(-12.04, abs=0.4)
    assert rows.value(0, "silence") == pytest.approx(0.5, abs=0.06)
    assert rows.value(1, "silence") < 0.06
    assert rows.value(2, "loudness") is None


def test_copies_are_found_by_content(index):
    assert index[1].duplicates == [("b/crash.jpg", "b/0.png")] or index[1].duplicates == [
        ("b/same.mp4", "a/half.mp4")
    ]
    rows = Rows(index[0], extra=("duplicate_of",))
    assert rows.value(6, "path") == "b/same.mp4"
    assert rows.value(6, "duplicate_of") == "a/half.mp4"
    assert rows.value(0, "duplicate_of") is None


def test_sql_reads_it(index):
    duckdb = pytest.importorskip("duckdb")
    query = f"select status, count(*) from '{index[0]}' group by status order by status"
    assert duckdb.sql(query).fetchall() == [("crash", 1), ("ok", 7), ("time", 1), ("unreadable", 1)]
    query = f"select motion[2] > 30 from '{index[0]}' where path = 'a/half.mp4'"
    assert duckdb.sql(query).fetchall() == [(True,)]


def test_an_index_rewritten_by_sql_still_opens(index, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    out = tmp_path / "changed.parquet"
    query = f"select * from '{index[0]}' where kind is null or kind = 'image' order by path desc"
    duckdb.sql(query).write_parquet(str(out))
    source = Index(out, root=tmp_path)
    assert [source.name(i) for i in range(len(source))] == [f"b/{k}.png" for k in (3, 2, 1, 0)]
    assert source.classes == ("b",)


def test_killed_in_the_middle_and_run_again_it_gives_the_same_index(folder, tmp_path, monkeypatch):
    root, out = tmp_path / "media", tmp_path / "index.parquet"
    shutil.copytree(folder, root, ignore=shutil.ignore_patterns("crash*", "hang*"))
    code = (
        "import sys, child_jobs; from pretexto.datasets.index import build as indexing\n"
        "indexing._with_name = child_jobs.scan\n"
        "indexing.scan(sys.argv[1], sys.argv[2], jobs=1)"
    )
    command = [sys.executable, "-P", "-c", code, str(root), str(out)]
    first = subprocess.Popen(command, env={**os.environ, "SLOWLY": "1"})
    journal = out.with_name("index.parquet.journal")
    while not journal.exists() or journal.read_bytes().count(b"\n") < 4:
        assert first.poll() is None
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not out.exists()
    with open(journal, "ab") as file:
        file.write(b'{"path": "torn')
    done = journal.read_bytes().count(b"\n") - 1
    assert 3 <= done < 8
    asked = []

    def counted(path, old_hash, name):
        asked.append(name)
        return indexing.scan_job(path, old_hash)

    without_children(monkeypatch)
    monkeypatch.setattr(indexing, "_with_name", counted)
    scan(root, out)
    assert len(asked) == 8 - done
    assert not journal.exists()
    scan(root, tmp_path / "whole.parquet")
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_only_what_changed_is_scanned_again(folder, index, tmp_path, monkeypatch):
    root, out = tmp_path / "media", tmp_path / "index.parquet"
    shutil.copytree(folder, root, copy_function=shutil.copy2)
    shutil.copy(index[0], out)
    asked = watched(monkeypatch)
    run_scan(root, out)
    assert asked == []
    os.utime(root / "b" / "2.png", ns=(1, 1))
    picture(root / "b" / "3.png", 33)
    picture(root / "b" / "new.png", 44)
    (root / "b" / "1.png").unlink()
    run_scan(root, out)
    assert sorted(asked) == ["b/2.png", "b/3.png", "b/new.png"]
    before, after = (
        {r[0]: r[1:] for r in Rows(p).rows("path", "sha256", "modified")} for p in (index[0], out)
    )
    assert after["b/2.png"] == (before["b/2.png"][0], 1)
    assert after["b/3.png"][0] != before["b/3.png"][0]
    assert set(after) == set(before) - {"b/1.png"} | {"b/new.png"}
    asked.clear()
    # Another time limit tries again what was too slow, and nothing else.
    monkeypatch.setattr(
        indexing, "_with_name", lambda *request: ({"status": "crash", "reason": "again"}, [])
    )
    scan(root, out, jobs=1, limits=Limits(7, 1024))
    assert asked == ["b/hang.jpg"]


def test_what_has_its_motion_measured_otherwise_is_scanned_again(folder, tmp_path, monkeypatch):
    root, out = tmp_path / "media", tmp_path / "index.parquet"
    (root / "b").mkdir(parents=True)
    for name in ("b/same.mp4", "b/0.png"):
        shutil.copy2(folder / name, root / name)
    asked = watched(monkeypatch)
    with monkeypatch.context() as patch:
        for module in (indexing, motion):
            patch.setattr(module, "motion_kind", lambda: "grey")
        report = scan(root, out)
    assert "grey differences" in "\n".join(report.lines())
    assert Index(out).table.facts["motion"] == "grey"
    by_grey = Index(out).info(1).motion
    asked.clear()
    scan(root, out)
    assert asked == ["b/same.mp4"]
    assert by_grey[1] > 2 * Index(out).info(1).motion[1] > SPEED
    scan(root, tmp_path / "whole.parquet")
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_an_index_from_before_motion_was_optical_flow_opens_and_is_brought_up(
    index, folder, tmp_path, monkeypatch
):
    import pyarrow.parquet as pq

    old = tmp_path / "old.parquet"
    table = pq.read_table(index[0])
    facts = json.loads(table.schema.metadata[KEY])
    del facts["motion"]
    pq.write_table(table.replace_schema_metadata({KEY: json.dumps(facts)}), old)
    assert Index(old).info(0) == Index(index[0]).info(0)
    asked = watched(monkeypatch)
    run_scan(folder, old)
    assert sorted(asked) == ["a/half.mp4", "a/moving.mp4", "b/same.mp4"]
    assert Index(old).table.facts["motion"] == "flow"


def test_names_that_no_index_can_hold_are_told_and_terminals_are_safe(tmp_path, monkeypatch):
    without_children(monkeypatch)
    root = tmp_path / "media"
    root.mkdir()
    picture(root / "grün.png", 0)
    (root / "wo\x1b[2Jrse.png").write_bytes(b"")
    try:
        (root / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system has no such names")
    (root / "gone.png").symlink_to(root / "nowhere")
    report = scan(root, tmp_path / "x.parquet")
    assert [name for name, _, _ in report.bad] == ["gone.png", "wo\x1b[2Jrse.png"]
    text = "\n".join(report.lines())
    assert "names that are not UTF-8: 1 files; rename: caf\\udce9.png" in text
    assert r"wo\x1b[2Jrse.png: " in text
    assert all(line.isprintable() for line in report.lines())
    assert len(Index(tmp_path / "x.parquet")) == 1


def test_a_second_scan_of_the_same_index_at_a_time_is_refused(tmp_path):
    path = tmp_path / "journal"
    with Journal(path, "x.parquet"), pytest.raises(InputError, match="another process"):
        Journal(path, "x.parquet")


def test_paths_that_leave_the_root_are_refused(index, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in ("../secret.mp4", "/etc/passwd", "a/../../x", "C:\\x.mp4", "..\\x.mp4", "", "a\0b"):
        with pytest.raises(MediaError, match="leaves the folder"):
            inside(name)
    assert inside("a/b..c/d.mp4") == "a/b..c/d.mp4"
    table = pq.read_table(index[0])
    names = ["../outside.png", *table["path"].to_pylist()[1:]]
    pq.write_table(table.set_column(0, "path", pa.array(names)), tmp_path / "evil.parquet")
    with pytest.raises(MediaError, match="leaves the folder"):
        Index(tmp_path / "evil.parquet", root=tmp_path).read(0, Plan((0.0,)))


def test_mistakes_are_one_line_with_code_2(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    out = str(tmp_path / "x.parquet")
    (tmp_path / "y.parquet").write_text("no parquet")
    for words, said in (
        (["index", str(tmp_path / "none"), "--out", out], "no such folder"),
        (["index", str(tmp_path / "empty"), "--out", out], "no media"),
        (["index", str(tmp_path), "--out", "x.csv"], ".parquet"),
        (["index", str(tmp_path), "--out", out, "--jobs", "0"], "--jobs"),
        (["pack", str(tmp_path / "y.parquet"), "--out", str(tmp_path / "p")], "no index"),
        (["pack", out, "--out", str(tmp_path / "p")], "no such file"),
        (["pack", out], "--out"),
        (["pack", out, "--out", "p", "--quality", "101"], "--quality"),
        (["pack", "--verify", str(tmp_path)], "manifest.json"),
    ):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
