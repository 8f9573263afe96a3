"""Sound that is missing, short, narrow, of many channels, silent or late: what becomes of each."""

import csv
import json

import media_factory as make
import numpy as np
import pytest
import torch
from task_kit import build_encoder, make_task

from pretexto.build import build, load_tree
from pretexto.commands.evaluate import evaluate_run
from pretexto.datasets.example_list import read_listing
from pretexto.datasets.index.build import scan
from pretexto.datasets.index.table import Rows
from pretexto.datasets.source import Entry, Files
from pretexto.encoders.audio import TinyAudio
from pretexto.errors import InputError
from pretexto.evaluation.features import extract
from pretexto.modalities.input_spec import InputSpec
from pretexto.modalities.media import MediaError
from pretexto.modalities.rng import generator
from pretexto.tasks.audio_simclr import AudioSimCLR
from pretexto.tasks.cola import COLA
from pretexto.tasks.supervised import Supervised
from pretexto.tasks.task import Task
from pretexto.training.args import TrainerArgs
from pretexto.training.pretrain import pretrain

VIEW = InputSpec("audio", seconds=0.5, rate=16000)
GOOD = ["good0.wav", "good1.wav", "many.wav", "narrow.wav", "zeros.wav"]


def tone(seconds, rate, hertz=440.0, channels=1):
    wave = 0.2 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    gains = np.arange(1, channels + 1) if channels > 1 else np.ones(1)
    return (wave[None] * gains[:, None] / channels).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("odd")
    pcm = {"sound_codec": "pcm_s16le"}
    for k in range(2):
        make.write(root / f"good{k}.wav", sound=tone(2, 16_000, 300 + 200 * k), rate=16_000, **pcm)
    make.write(root / "many.wav", sound=tone(2, 16_000, channels=8), rate=16_000, layout="7.1",
               **pcm)  # fmt: skip
    make.write(root / "narrow.wav", sound=tone(2, 8_000), rate=8_000, **pcm)
    make.write(root / "short.wav", sound=tone(0.2, 16_000), rate=16_000, **pcm)
    make.write(root / "zeros.wav", sound=0 * tone(2, 16_000), rate=16_000, **pcm)
    seconds = [k / 25 for k in range(50)]
    make.write(root / "mute.mkv", make.flashes(seconds), seconds)
    return root


@pytest.fixture(scope="module")
def source(folder):
    names = sorted(path.name for path in folder.iterdir())
    entries = [Entry(name, "ab"[k % 2], "", "test" if k % 4 > 1 else "train")
               for k, name in enumerate(names)]  # fmt: skip
    return Files(folder, entries, ("a", "b"))


def drawn_from(source, task, name):
    """The example that a task makes of a file."""
    i = next(k for k in range(len(source)) if source.name(k) == name)
    rng = generator(0, 0, i)
    return task.example(source.read(i, task.plan(source.info(i), rng)), rng)["audio"]


@pytest.fixture(scope="module", params=[AudioSimCLR, COLA], ids=lambda cls: cls.__name__)
def task(request):
    return make_task(request.param, build_encoder(TinyAudio), seconds=0.5)


def energy(sound, low, high):
    """Share of the energy of [..., N] at 16 kHz that lies between these Hz."""
    power = torch.fft.rfft(sound.double()).abs().square().flatten(0, -2).sum(0)
    hertz = torch.linspace(0, 8000, len(power))
    return float(power[(hertz >= low) & (hertz < high)].sum() / power.sum())


def test_without_sound_or_with_too_little_a_task_says_so(source, task):
    with pytest.raises(MediaError, match=r"mute\.mkv: plan: no sound track: leave the file out"):
        drawn_from(source, task, "mute.mkv")
    with pytest.raises(MediaError, match=r"lasts 0\.20 s, less than 0\.5 s: lower seconds"):
        drawn_from(source, task, "short.wav")


def test_low_rates_are_resampled_and_stay_empty_above(source, task):
    narrow = drawn_from(source, task, "narrow.wav")
    assert narrow.shape == (2, 1, 8000)
    assert energy(narrow, 400, 480) > 0.95
    assert energy(narrow, 4200, 8001) < 1e-5


def test_all_channels_are_averaged(source, task):
    # Channel k of eight is k/8 as loud as 0.2: their mean is 0.1125.
    peak = drawn_from(source, task, "many.wav").abs().max()
    assert float(peak) == pytest.approx(0.2 * np.mean(np.arange(1, 9) / 8), abs=1e-3)


def test_silence_stays_silence_and_is_counted(source, task):
    zeros, good = drawn_from(source, task, "zeros.wav"), drawn_from(source, task, "good0.wav")
    assert zeros.abs().max() == 0
    drawn = [task.example(source.read(0, task.plan(source.info(0), generator(0, 0, 0))),
                          generator(0, 0, k)) for k in range(4)]  # fmt: skip
    batch = {name: torch.stack([d[name] for d in drawn]) for name in drawn[0]}
    batch["audio"] = torch.stack([zeros, good, good, good])
    step = task(task.augment(batch))
    assert step.loss.isfinite()
    assert float(step.metrics["rejected"]) == 0.25


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Five films of three seconds with sound, one of them with zeros all along."""
    root, seconds = tmp_path_factory.mktemp("films"), [k / 25 for k in range(75)]
    for k in range(5):
        sound = (k != 2) * tone(3, 16_000, 300 + 200 * k)
        make.write(root / f"{k}.mkv", make.flashes(seconds), seconds, sound=sound, rate=16_000,
                   sound_codec="pcm_s16le")  # fmt: skip
    return Files(root, [Entry(f"{k}.mkv", "a", "", "train") for k in range(5)], ("a",))


RECIPES = ["audio_simclr", "cola", "audio_visual", "synchrony", "cross_modal"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_of_a_shipped_recipe_counts_what_is_silent(films, tmp_path, recipe):
    tree = {"task": load_tree(recipe)["task"]}
    task = build(tree, {"task": Task}, recipe)["task"]
    trainer = TrainerArgs(steps=2, batch_size=5, workers=0, accelerator="cpu", log_every=1)
    run = pretrain(task, films, tmp_path / "run", trainer=trainer)
    with (run / "metrics.csv").open(newline="") as file:
        # One of five, whatever is mixed with it or added to it afterwards, is neither asked nor
        # an answer.
        assert [float(row["rejected"]) for row in csv.DictReader(file)] == pytest.approx([0.2] * 2)


def test_the_supervised_control_hears_short_sound_before_silence(source):
    sound = drawn_from(
        source, make_task(Supervised, build_encoder(TinyAudio), classes=2, seconds=0.5), "short.wav"
    )
    assert sound.shape == (1, 8000)
    assert sound[:, :3200].abs().max() > 0.19
    assert sound[:, 3200:].abs().max() == 0


def test_evaluation_hears_all_but_what_has_no_sound(source):
    found = extract(build_encoder(TinyAudio), source, VIEW, clips=3)
    assert found.unreadable == (
        ("mute.mkv", "plan: it has no sound and the encoder hears only sound"),
    )
    counts = dict(zip([source.name(int(i)) for i in found.indices], found.counts, strict=True))
    assert counts == {**dict.fromkeys(GOOD, 3), "short.wav": 1}
    assert found.vectors["embedding"].isfinite().all()


def test_a_run_reports_what_it_leaves_out_and_what_is_odd(source, tmp_path, capsys):
    trainer = TrainerArgs(steps=3, batch_size=5, workers=0, accelerator="cpu", log_every=1)
    task = make_task(COLA, build_encoder(TinyAudio), seconds=0.5)
    with pytest.raises(InputError, match="COLA cannot use 2 of 7 examples"):
        pretrain(task, source, tmp_path / "strict", trainer=trainer)
    lenient = TrainerArgs(**{**trainer.__dict__, "drop_unsuitable": True})
    run = pretrain(task, source, tmp_path / "run", trainer=lenient)
    said = capsys.readouterr().out
    assert "left out: COLA cannot use 2 of 7 examples: mute.mkv: no sound track" in said
    assert (
        "sound of 7 examples: 1 of a lower rate than the encoder's (no high frequencies), "
        "1 of more than two channels (all are averaged)"
    ) in said
    counts = json.loads((run / "run.json").read_text())["data"]["sound"]
    assert counts == {"checked": 7, "lower_rate": 1, "more_than_two_channels": 1}
    lines = list(read_listing(run, "name", "left_out"))
    assert sorted(name for name, left_out in lines if left_out is None) == GOOD
    with (run / "metrics.csv").open(newline="") as file:
        # One of five recordings is silent, in both of its segments.
        assert [float(row["rejected"]) for row in csv.DictReader(file)] == pytest.approx([0.2] * 3)
    evaluate_run(run, ["knn"], data=source, out=tmp_path / "rows.jsonl", clips=1)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert {row["unreadable"] for row in rows} == {1}
    assert rows[0]["unreadable_names"][0].startswith("mute.mkv: plan: it has no sound")


def test_the_index_tells_loudness_and_names_what_is_silent(folder, tmp_path):
    report = scan(folder, tmp_path / "odd.parquet")
    text = "\n".join(report.lines())
    # A sine of 0.2 has -17 dB.
    assert "sound: 6 files, -17 dB in the middle, -120 to -17 dB from 5 to 95 %" in text
    assert "; 1 videos without sound" in text
    assert "silent: 1 files are silent throughout: zeros.wav" in text
    rows = Rows(tmp_path / "odd.parquet", extra=("loudness", "silence"))
    found = {name: (loud, quiet) for name, loud, quiet in rows.rows("path", "loudness", "silence")}
    assert found["zeros.wav"] == (-120, 1)
    assert found["mute.mkv"] == (None, None)
    assert found["good0.wav"] == (pytest.approx(-16.99, abs=0.05), 0)
    assert found["narrow.wav"][0] == pytest.approx(-16.99, abs=0.05)
    # Loudness is that of what encoders hear, the mean of all channels: 0.1125.
    assert found["many.wav"][0] == pytest.approx(-21.99, abs=0.05)
