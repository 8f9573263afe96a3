"""The commands in turn, as a newcomer gives them, on a small folder of real files."""

import json
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from pretexto import cli
from pretexto.build import SHIPPED
from pretexto.comparison import compare
from pretexto.datasets.synthetic.source import Synthetic

ROTATION = "pretexto.tasks.rotation.Rotation"
TINY = ["--trainer.steps", "2", "--trainer.batch_size", "4", "--trainer.workers", "0"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Folder of eight classes of videos, two for training and one for testing each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRETEXTO_CACHE", str(tmp_path_factory.mktemp("cache")))
        return Synthetic(train_scenes=4, test_scenes=1).folder


@pytest.fixture(scope="module")
def indexed(videos, tmp_path_factory):
    """The same videos as an index."""
    out = tmp_path_factory.mktemp("index") / "x.parquet"
    assert cli.main(["index", str(videos), "--out", str(out), "--jobs", "2"]) == 0
    return out


@pytest.fixture(scope="module")
def trained(videos, tmp_path_factory):
    """Run folder of a rotation encoder."""
    out = tmp_path_factory.mktemp("runs") / "rotation"
    words = ["pretrain", "--config", "rotation", "--data", str(videos), "--out", str(out)]
    assert cli.main([*words, *TINY, "--task.video.size", "32"]) == 0
    return out


def refused(words, capsys) -> str:
    """The one line with which a command refuses."""
    capsys.readouterr()
    assert cli.main([str(word) for word in words]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("pretexto: "), error
    assert "\n" not in error
    return error


def pretrain(data, out, *more, config="rotation"):
    words = ["pretrain", "--config", config, "--data", data, "--out", out, *TINY]
    return [*words, "--task.video.size", "32", *more]


def test_evaluation_stands_beside_an_untrained_twin(trained, videos, tmp_path, capsys):
    out = tmp_path / "rows.jsonl"
    words = ["evaluate", "linear", "knn", "retrieval", "--encoder", str(trained), "--data"]
    words += [str(videos), "--confusion", str(tmp_path / "confused.png")]
    assert cli.main([*words, "--out", str(out), "--clips", "1", "--workers", "0"]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    for method in ("linear", "knn", "retrieval"):
        own = [r for r in rows if r["stamp"]["method"] == method]
        assert {r["task"] for r in own} == {ROTATION, "random-init"}
        assert all(r["n_test"] == 8 for r in own)
    assert "random-init" in capsys.readouterr().out
    # Two methods with confusions downwards, the run and its twin across.
    picture = Image.open(tmp_path / "confused.png")
    assert min(picture.size) > 400


def test_a_run_shows_its_puzzles_and_answers(trained, tmp_path):
    assert cli.main(["show", "--encoder", str(trained), "--out", str(tmp_path / "a.png")]) == 0
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("L"))
    assert min(picture.shape) > 100
    assert picture.std() > 10


def test_the_same_command_again_finds_everything_done(trained, videos, capsys):
    before = (trained / "encoder.safetensors").stat().st_mtime_ns
    assert cli.main([str(w) for w in pretrain(videos, trained)]) == 0
    assert (trained / "encoder.safetensors").stat().st_mtime_ns == before


def test_other_data_and_another_config_are_refused(trained, videos, tmp_path, capsys):
    shutil.copytree(videos / "train" / "spin", tmp_path / "spin")
    error = refused(pretrain(tmp_path, trained), capsys)
    assert str(trained) in error
    assert "data" in error
    error = refused(pretrain(videos, trained, "--optimizer.lr", "0.5"), capsys)
    assert "lr" in error
    assert "0.5" in error


def test_one_command_from_a_folder_to_a_probe_row_in_spite_of_a_bad_file(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in ("dark", "light"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(30):
            pixels = rng.integers(0, 100, (40, 40, 3)) + 100 * (name == "light")
            path = tmp_path / "images" / name / f"{i}.jpg"
            Image.fromarray(pixels.astype(np.uint8)).save(path, quality=95)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    words = pretrain(tmp_path / "images", tmp_path / "run", "--probe", "linear")
    words += ["--trainer.epochs", "2", "--trainer.steps", "null", "--trainer.max_unreadable", "0.1"]
    assert cli.main([str(word) for word in words]) == 0
    assert "light/29.jpg" in (tmp_path / "run" / "unreadable.jsonl").read_text()
    rows = [json.loads(x) for x in (tmp_path / "run" / "results.jsonl").read_text().splitlines()]
    assert {row["task"] for row in rows} == {ROTATION, "random-init"}
    assert max(row["value"] for row in rows) > 0.9
    assert all(row["unreadable"] == 1 for row in rows)


@pytest.mark.slow  # test_task_of_ones_own.py makes one too
def test_a_comparison_ends_in_a_report(videos, tmp_path, capsys):
    words = ["compare", "--config", "four_tasks", "--data", videos, "--out", tmp_path / "c"]
    words += ["--tasks", "rotation,simclr", "--seeds", "1", "--jobs", "1", *TINY]
    words += [
        "--clips",
        "1",
        "--view.size",
        "32",
        "--view.frames",
        "4",
        "--tasks.rotation.init_args.video.size",
        "32",
    ]
    assert cli.main([str(word) for word in words]) == 0
    table = (tmp_path / "c" / "results.md").read_text()
    for name in ("rotation", "simclr", "random-init", "supervised"):
        assert name in table
    assert "<html" in (tmp_path / "c" / "report.html").read_text()


def test_what_chooses_by_motion_says_where_none_is_known(videos, indexed, tmp_path, capsys):
    for data in (videos, indexed):
        words = pretrain(data, tmp_path / data.name, config="shuffle_learn")
        words += ["--trainer.accelerator", "cpu"]
        capsys.readouterr()
        assert cli.main([str(word) for word in words]) == 0
        said = capsys.readouterr().out
        notes = json.loads((tmp_path / data.name / "run.json").read_text())["data"]["notes"]
        assert [note for note in notes if note in said] == notes
        assert ["motion is unknown in 40 of 40 examples" in note for note in notes] == (
            [True] if data == videos else []
        )


def test_a_comparison_says_it_once_for_all_tasks(videos, indexed, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compare, "compare", lambda *_, **__: 1 / 0)
    words = ["compare", "--config", "temporal_tasks", "--out", str(tmp_path / "c"), "--data"]
    for data, lines in ((videos, 1), (indexed, 0)):
        with pytest.raises(ZeroDivisionError):
            cli.main([*words, str(data)])
        said = capsys.readouterr().out
        assert said.count("motion is unknown in 16 of 16 examples, where ShuffleLearn and") == lines
        assert said.count("\n") == lines


def test_folders_without_media_are_refused(tmp_path, capsys):
    empty, text = tmp_path / "empty", tmp_path / "text"
    empty.mkdir()
    text.mkdir()
    (text / "notes.txt").write_text("no media here")
    for folder in (empty, text):
        assert str(folder) in refused(pretrain(folder, tmp_path / "run"), capsys)
        assert not (tmp_path / "run").exists()


def test_a_truncated_video_is_named(videos, tmp_path, capsys):
    (tmp_path / "videos").mkdir()
    whole = next(videos.rglob("*.mp4")).read_bytes()
    (tmp_path / "videos" / "broken.mp4").write_bytes(whole[:2000])
    error = refused(pretrain(tmp_path / "videos", tmp_path / "run"), capsys)
    assert "broken.mp4" in error


def test_videos_without_sound_are_named_counted_and_left_out_only_if_asked(
    videos, tmp_path, capsys, mute
):
    folder = tmp_path / "videos"
    folder.mkdir()
    for i, path in enumerate(sorted((videos / "train").rglob("*.mp4"))[:8]):
        shutil.copy(path, folder / f"{i}.mp4")
    mute(folder / "silent.mp4")
    words = pretrain(folder, tmp_path / "run", config="audio_visual")
    error = refused(words, capsys)
    assert "silent.mp4" in error
    assert "1 of 9" in error
    assert "drop_unsuitable" in error
    assert cli.main([str(w) for w in [*words, "--trainer.drop_unsuitable", "true"]]) == 0


@pytest.fixture
def mute():
    """Writes a video without a sound track."""

    def write(path):
        import av

        with av.open(str(path), "w") as file:
            stream = file.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            for i in range(50):
                pixels = np.full((64, 64, 3), 5 * i, np.uint8)
                file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            file.mux(stream.encode())

    return write


def test_an_encoder_of_the_wrong_modality_is_refused(videos, tmp_path, capsys):
    tree = yaml.safe_load((SHIPPED / "rotation.yaml").read_text())
    video = tree["task"]["init_args"]["video"]
    video["encoder"] = {"class_path": "pretexto.encoders.audio.TinyAudio"}
    config = tmp_path / "mine.yaml"
    config.write_text(yaml.safe_dump(tree))
    error = refused(pretrain(videos, tmp_path / "run", config=config), capsys)
    assert "TinyAudio" in error
    assert "audio" in error


def test_a_folder_of_several_kinds_asks_which_and_the_option_answers(videos, tmp_path, capsys):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for i, path in enumerate(sorted((videos / "train").rglob("*.mp4"))[:5]):
        shutil.copy(path, folder / f"{i}.mp4")
    Image.new("RGB", (40, 40)).save(folder / "a.png")
    assert "--kind" in refused(pretrain(folder, tmp_path / "run"), capsys)
    words = pretrain(folder, tmp_path / "run", "--kind", "video")
    assert cli.main([str(w) for w in words]) == 0
    assert (tmp_path / "run" / "encoder.safetensors").is_file()
