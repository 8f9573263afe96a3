"""What the trainer costs beside a plain loop: the script takes both through to its end."""

import json
import subprocess
import sys

from helpers import ROOT


def test_it_measures_both_loops_and_ends(tmp_path):
    out = tmp_path / "out.json"
    words = ["--only", "pictures", "--encoders", "tiny", "tiny", "--batches", "4", "1"]
    words += ["--steps", "12", "--warm", "1", "--out", str(out)]
    script = str(ROOT / "benchmarks" / "trainer_overhead.py")
    subprocess.run([sys.executable, script, *words], check=True, timeout=240, capture_output=True)
    found = json.loads(out.read_text())["pictures"]
    assert (found["encoder"], found["steps"], found["workers"]) == ("tiny", 12, 1)
    for clock in ("processor", "wall"):
        low, high = found[clock]["interval"]
        assert 0 < low <= found[clock]["ratio"] <= high
        assert found[clock]["plain_ms"] > 0
