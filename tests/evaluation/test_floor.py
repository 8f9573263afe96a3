"""The log-mel floor: what it computes, and that it stands beside every encoder of sound."""

import json

import media_factory as make
import numpy as np
import pytest
import torch
from helpers import shared_data
from scipy.signal import stft
from sound_fakes import Tones
from task_kit import build_encoder

from pretexto.cli import main
from pretexto.commands.evaluate import evaluate_run
from pretexto.datasets.open import open_source
from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.store import save_encoder
from pretexto.evaluation.baselines import FLOOR, LogMelFloor, floor_methods
from pretexto.evaluation.evaluate import evaluate
from pretexto.modalities.input_spec import InputSpec

VIEW = InputSpec("audio", seconds=0.5, rate=16000)


def test_it_is_the_mean_and_the_deviation_of_each_log_mel_band():
    rng = np.random.default_rng(0)
    wave = rng.normal(0, 0.1, (2, 8000)) * np.linspace(0.1, 1, 8000)
    padded = np.pad(wave, ((0, 0), (256, 256)), "reflect")
    window = np.pad(np.hanning(401)[:-1], 56)
    _, _, spectrum = stft(padded, window=window, nperseg=512, noverlap=352, boundary=None,
                          padded=False, scaling="psd")  # fmt: skip
    energy = np.abs(spectrum * np.sqrt(np.square(window).sum()))[..., :50] ** 2
    hertz = np.linspace(0, 8000, 257)
    edges = 700 * (10 ** (np.linspace(*(2595 * np.log10(1 + np.array([50, 8000]) / 700)), 66)
                          / 2595) - 1)  # fmt: skip
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    filters = np.clip(np.minimum((hertz - low) / (mid - low), (high - hertz) / (high - mid)), 0, 1)
    bands = np.log(np.maximum(filters @ energy, 1e-8))
    want = np.concatenate([bands.mean(2), bands.std(2)], 1)
    found = LogMelFloor()(torch.from_numpy(wave).float()[:, None])
    assert found.shape == (2, 128)
    np.testing.assert_allclose(found[:, :64], want[:, :64], atol=2e-3)
    np.testing.assert_allclose(found[:, 64:], want[:, 64:], atol=2e-3)
    assert list(LogMelFloor().parameters()) == []


def test_it_stands_in_the_same_column_as_the_encoders_of_sound(tmp_path, capsys):
    card = {"task": "pretexto.tasks.cola.COLA"}
    save_encoder(tmp_path / "run", build_encoder(TinyAudio), VIEW, card)
    out = tmp_path / "rows.jsonl"
    evaluate_run(tmp_path / "run", ["knn"], data=Tones(), out=out, levels=True, clips=2)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    mean = [r for r in rows if r["stamp"]["split"] == "mean of 2 splits"]
    column = [r for r in mean if r["level"] == "embedding" and r["stamp"]["metric"] == "top1"]
    assert [r["task"].rpartition(".")[2] for r in column] == ["COLA", "random-init", FLOOR]
    assert len({r["stamp_hash"] for r in column}) == 1
    assert {r["level"] for r in mean if r["task"] == FLOOR} == {"embedding"}
    assert "log-mel floor" in capsys.readouterr().out


def test_stretches_can_be_as_long_as_the_sounds(tmp_path):
    for k in range(6):
        path = tmp_path / "media" / "ab"[k % 2] / f"{k}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = 0.1 * np.random.default_rng(k).normal(size=(1, 16000))
        make.write(path, sound=noise.astype(np.float32), rate=16000, sound_codec="pcm_s16le")
    run = tmp_path / "run"
    save_encoder(run, build_encoder(TinyAudio), VIEW, {"task": "cola"})
    words = ["--encoder", str(run), "--data", str(tmp_path / "media"), "--workers", "0"]
    assert main(["evaluate", "knn", *words, "--seconds", "1.0", "--clips", "1"]) == 0
    rows = [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]
    assert {row["stamp"]["view"]["seconds"] for row in rows} == {1.0}


def test_it_tells_pitches_apart():
    rows = evaluate("linear", LogMelFloor(), Tones(), VIEW, card={"task": FLOOR}, clips=2)
    # Three pitches a fifth apart in noise 20 dB below. Measured over four seeds: always 1.
    assert rows[-1].value == 1.0


def test_where_everything_is_fine_tuned_it_is_probed():
    assert floor_methods(["finetune", "knn"]) == ["knn"]
    assert floor_methods(["finetune"]) == ["linear"]


@pytest.mark.slow
def test_on_esc10_it_is_what_others_have_measured():
    source = open_source(f"esc10:{shared_data('audio/esc10')}")
    view = InputSpec("audio", seconds=5.0, rate=16000)
    rows = evaluate("linear", LogMelFloor(), source, view, card={"task": FLOOR}, clips=1)
    mean = next(r for r in rows if r.stamp.split == "mean of 5 splits" and r.classes == 10)
    assert mean.n_test == 400
    # Another implementation of log-mel and of the probe gives 0.768; one fold more or less of
    # its five has a standard error of 0.02.
    assert mean.value == pytest.approx(0.768, abs=0.03)
