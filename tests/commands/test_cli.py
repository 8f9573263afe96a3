"""The manners of the command line: instant help, one line for a mistake, exit code 2."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pretexto import cli
from pretexto.build import SHIPPED

COMMANDS = sorted(cli.COMMANDS)


def run(*words: str, cwd=None) -> subprocess.CompletedProcess:
    script = Path(sys.executable).parent / "pretexto"
    return subprocess.run([script, *words], capture_output=True, text=True, cwd=cwd, timeout=120)


def processor_seconds(*words: str, tries: int = 3) -> float:
    """Best of a few runs, as processor time: on an idle machine that is the time it takes."""
    times = []
    for _ in range(tries):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run(*words).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


@pytest.mark.parametrize("words", [["--help"], *([c, "--help"] for c in COMMANDS)], ids=" ".join)
def test_help_is_instant(words):
    # The bound is the contract's. Measured: 0.13 s; importing torch alone takes over 1 s.
    assert processor_seconds(*words) <= 0.25


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_its_options(name):
    text = run(name, "--help").stdout
    assert text.startswith(f"usage: pretexto {name}")
    assert "\n\n" in text


MISTAKES = [
    (["pretrian"], "did you mean pretrain"),
    (["pretrain", "--config", "rotation", "--sed", "3"], "did you mean --seed"),
    (["pretrain"], "--config"),
    (["pretrain", "--config", "rotatoin"], "rotation"),
    (["pretrain", "--config", "rotation", "--task.video.sizee", "64"], "did you mean size"),
    (["pretrain", "--config", "rotation", "--trainer.step", "64"], "did you mean steps"),
    (["pretrain", "--config", "rotation", "--task.video.size", "big"], "task.video.size"),
    (["pretrain", "--config", "rotation", "--trainer.steps", "many"], "trainer.steps"),
    (["pretrain", "--config", "rotation", "--task.video.encoder", "x"], "cannot be swapped"),
    (["pretrain", "--config", "rotation", "--encoder", "resnet81"], "did you mean resnet18"),
    (["pretrain", "--config", "rotation", "--encoder", "cnn14"], "is for audio, not for image"),
    (["pretrain", "--config", "rotation", "--encoder", "no/run"], "no such folder of a run"),
    (["compare", "--config", "four_tasks", "--encoder", "r3d18"], "did you mean r3d_18"),
    (["pretrain", "--config", "rotation", "--task.class_path", "x.Y"], "cannot be swapped"),
    (["pretrain", "--config", "rotation", "--data", "no/such/folder"], "no/such/folder"),
    (["evaluate", "liner", "--encoder", "x", "--data", "y"], "liner"),
    (["evaluate", "linear", "--encoder", "no/run", "--data", "synthetic"], "no/run"),
    (["compare", "--config", "nothing_like_it"], "no config nothing_like_it"),
    (["show", "--out", "x.png"], "--config"),
    (["show", "--sound", "r", "--count", "0", "--out", "x.png"], "--count"),
    (["show", "--sound", "r", "--count=-1", "--out", "x.png"], "--count"),
    (["show", "--matches", "r", "--count", "0", "--out", "x.png"], "--count"),
    (["show", "--sound", "r", "--matches", "r", "--out", "x.png"], "--sound and --matches"),
    (["show", "--sound", "r", "--encoder", "r", "--out", "x.png"], "--sound and --encoder"),
    *[
        (["pretrain", "--config", recipe, f"--task.{option}", "--data", "no/such"], hint)
        for recipe, option, hint in (
            ("cola", "audio.encoder.rate=0", "rate is that of the sound"),
            ("audio_simclr", "audio.encoder.rate=-8000", "rate is that of the sound"),
            ("audio_simclr", "changes.masks=-1", "masks is a number"),
            ("cola", "changes.mask=2", "mask is a share"),
            ("cross_modal", "changes.mask=-0.5", "mask is a share"),
            ("cola", "context=0", "context is a number above 0"),
            ("audio_visual", "hidden=0", "hidden is a number from 1 on"),
            ("cross_modal", "outputs=0", "outputs is a number from 1 on"),
            ("synchrony", "moments=99", "lower moments or raise frames"),
        )
    ],
    (["compare", "--config", "sounds", "--view.seconds", "0", "--data", "no/such"], "seconds"),
    (["compare", "--config", "sounds", "--clips", "0", "--data", "no/such"], "--clips: 0"),
    (["show", "--config", "rotation", "--out", "x.png", "--seed=-1"], "--seed: -1 is too small"),
    (["show", "--config", "rotation", "--out", "x.png", "--seed", str(2**63)], "is too large"),
    (["show", "--config", "rotation", "--out", "x.png", "--count", "0"], "--count: 0 is too small"),
    (["show", "--config", "rotation", "--out", "x.png", "--count", "-3"], "--count: -3"),
    (["pretrain", "--config", "rotation", "--seed", "-1"], "--seed: -1 is too small"),
    (["evaluate", "linear", "--encoder", "x", "--data", "y", "--seed", "-1"], "--seed: -1"),
    (["evaluate", "linear", "--encoder", "x", "--data", "y", "--workers", "-1"], "--workers: -1"),
    (["compare", "--config", "four_tasks", "--seeds", "-1"], "--seeds: -1 is too small"),
    (["compare", "--config", "four_tasks", "--seeds", "two"], "'two' is not a whole number"),
    (["demo", "--jobs", "0"], "--jobs: 0 is too small"),
    (["pretrain", "--config", "sequence_sorting", "--task.jitter", "-1"], "below 0.5, got -1"),
    (["pretrain", "--config", "sequence_sorting", "--task.jitter", "-1e-3"], "got -0.001"),
    (["pretrain", "--config", "sequence_sorting", "--task.jitter=-1"], "below 0.5, got -1"),
    (
        ["pretrain", "--config", "rotation", "--task.video.size", "--task.x", "1"],
        "--task.video.size needs a",
    ),
    (["pretrain", "--config", "rotation", "-1"], "unexpected '-1'"),
    (["pretrain", "--config", "rotation", "-x", "1"], "no option -x"),
]


@pytest.mark.parametrize(
    ("words", "hint"), MISTAKES, ids=lambda v: " ".join(v)[:60] if isinstance(v, list) else ""
)
def test_a_mistake_is_one_line_that_names_it(words, hint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("pretexto: ")
    assert "\n" not in error
    assert hint in error
    assert not list(tmp_path.iterdir()), "a refused command must leave nothing behind"


@pytest.mark.parametrize("seconds", ["0", "-1"])
def test_stretches_without_length_are_refused_before_data_is_read(seconds, tmp_path, capsys):
    from pretexto.encoders.audio import TinyAudio
    from pretexto.encoders.store import save_encoder
    from pretexto.modalities.input_spec import InputSpec

    save_encoder(tmp_path, TinyAudio(width=4), InputSpec("audio", seconds=1.0, rate=16000), {})
    words = ["evaluate", "linear", "--encoder", str(tmp_path), "--data", "no/such"]
    assert cli.main([*words, f"--seconds={seconds}"]) == 2
    error = capsys.readouterr().err.strip()
    assert f"above 0, got {seconds} s" in error
    assert "\n" not in error


def test_a_seed_in_a_config_is_checked_too(capsys, tmp_path):
    recipe = (SHIPPED / "rotation.yaml").read_text()
    for seed in (-1, 2**63):
        (tmp_path / "mine.yaml").write_text(f"{recipe}\nseed: {seed}\n")
        words = ["pretrain", "--config", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "x")]
        assert cli.main(words) == 2
        error = capsys.readouterr().err
        assert f"mine.yaml: seed: {seed} is not a whole number from 0" in error
    assert not (tmp_path / "x").exists()


def test_a_file_where_a_folder_is_needed_is_one_line(capsys, tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    (tmp_path / "folder.png").mkdir()
    show = ["show", "--config", "rotation", "--data", str(tmp_path / "a.png"), "--out"]
    for words, remedy in [
        (["fetch", "ucf101", "--out", str(tmp_path / "a.png")], "is a file, no folder"),
        (["fetch", "ucf101", "--out", "/dev/null/x"], "is a file, no folder"),
        ([*show, str(tmp_path / "a.png" / "y.png")], "is a file where a folder is needed"),
        ([*show, str(tmp_path / "a.png" / "x" / "y.png")], "is a file, no folder"),
        ([*show, str(tmp_path / "folder.png")], "is a folder where a file is needed"),
        ([*show, str(tmp_path / f"{'y' * 300}.png")], "choose a shorter path"),
    ]:
        assert cli.main(words) == 2
        error = capsys.readouterr().err.strip()
        assert error.startswith(f"pretexto: {words[-1][:20]}")
        assert "\n" not in error
        assert remedy in error


def test_typo_is_refused_before_data_is_read(monkeypatch):
    import pretexto.datasets.open as catalog

    monkeypatch.setattr(catalog, "open_source", lambda *a, **k: pytest.fail("data was opened"))
    assert cli.main(["pretrain", "--config", "rotation", "--task.video.sizee", "1"]) == 2


def test_full_disk_is_one_line(monkeypatch, capsys):
    import errno

    import pretexto.commands.doctor as doctor

    def full(args):
        raise OSError(errno.ENOSPC, "No space left on device", "runs/a/last.ckpt")

    monkeypatch.setattr(doctor, "run", full)
    assert cli.main(["doctor"]) == 2
    assert "runs/a/last.ckpt" in capsys.readouterr().err


def test_doctor_finds_nothing_wrong_here(capsys):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "h264" in out
    assert "nothing is wrong" in out
