"""The benchmark on ESC-10, run small on sounds in memory."""

import pytest
from helpers import benchmark
from sound_fakes import Tones
from task_kit import build_encoder

from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.store import save_encoder
from pretexto.modalities.input_spec import InputSpec


@pytest.fixture(scope="module")
def esc10():
    with benchmark("esc10") as module:
        yield module


def test_every_control_stands_beside_the_runs(esc10, tmp_path):
    view = InputSpec("audio", seconds=0.5, rate=16000)
    for seed in (0, 1):
        card = {"task": "pretexto.tasks.cola.COLA", "seed": seed}
        save_encoder(tmp_path / f"run{seed}", build_encoder(TinyAudio), view, card)
    setting = esc10.Setting(Tones(), 2, 1, 2, 6, tmp_path / "work")
    runs = [("cola", tmp_path / "run0"), ("cola", tmp_path / "run1")]
    lines = list(esc10.table(esc10.measure(setting, runs)))
    top = {(x["name"], x["method"]): x for x in lines if x["metric"] == "top1"}
    names = ["cola", "random-init", "supervised", "log-mel floor, 0.5 s at 16000 Hz",
             "log-mel floor, whole"]  # fmt: skip
    assert list(dict.fromkeys(name for name, _ in top)) == names
    for method in ("linear", "knn"):
        stamps = [top[name, method]["stamp"] for name in names]
        assert len(set(stamps[:4])) == 1, "the same protocol is the same column"
        assert stamps[4] not in stamps[:4], "whole sounds are another protocol"
    cola = top["cola", "linear"]
    assert (cola["over"], list(cola["seeds"])) == ("2 seeds", [0, 1])
    assert list(cola["seeds"][0]) == ["fold0", "fold1"]
    # Two runs of the same weights: nothing varies.
    assert cola["low"] == cola["mean"] == cola["high"]
    assert cola["mean"] == pytest.approx(sum(cola["seeds"][0].values()) / 2, abs=1e-4)
    assert top["supervised", "knn"]["over"] == "test sounds of one seed"
    assert top["supervised", "knn"]["seen"] == 0
    assert top["log-mel floor, whole", "linear"]["mean"] == 1.0
