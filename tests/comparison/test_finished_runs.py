"""Finished runs of sound as entries of a comparison that has no tasks of its own."""

import json

import numpy as np
import soundfile
from comparison_fakes import here
from helpers import ROOT
from task_kit import build_encoder

from pretexto import cli
from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.store import save_encoder
from pretexto.modalities.input_spec import InputSpec


def test_every_control_stands_beside_the_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "pretexto.comparison.compare.run_trials", lambda jobs, environments: here(jobs)
    )
    for k in range(16):
        part, label = ("test" if k % 4 == 3 else "train"), k % 2
        path = tmp_path / "sounds" / part / f"tone{label}" / f"{k}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = np.sin(np.arange(8000) * (0.1 + 0.2 * label) + k)
        soundfile.write(path, 0.5 * wave, 8000)
    view = InputSpec("audio", seconds=0.5, rate=16000)
    for seed in (0, 1):
        card = {"task": "pretexto.tasks.cola.COLA", "seed": seed, "steps": 7}
        save_encoder(tmp_path / f"run{seed}", build_encoder(TinyAudio), view, card)
    words = ["compare", "--config", str(ROOT / "benchmarks" / "esc10.yaml")]
    words += ["--data", str(tmp_path / "sounds"), "--out", str(tmp_path / "out")]
    words += ["--run", f"cola={tmp_path / 'run0'}", "--run", f"cola={tmp_path / 'run1'}"]
    words += ["--seeds", "1", "--clips", "1", "--trainer.steps", "2", "--trainer.batch_size", "4"]
    words += ["--view.seconds", "0.5", "--trainer.accelerator", "cpu"]
    assert cli.main(words) == 0
    rows = [json.loads(x) for x in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    top = [row for row in rows if row["stamp"]["metric"] == "top1"]
    seeds = {name: set() for name in ("cola", "supervised", "random-init", "log-mel-floor")}
    for row in top:
        seeds[row["entry"]].add(row["run_seed"])
    assert list(seeds.values()) == [{0, 1}, {0}, {0}, {0}]
    for method in ("linear", "knn"):
        assert len({r["stamp_hash"] for r in top if r["stamp"]["method"] == method}) == 1
    assert "| cola | " in capsys.readouterr().out
