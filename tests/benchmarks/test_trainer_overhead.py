"""What the trainer costs beside a plain loop: the script takes both through to its end."""

import json
import subprocess
import sys

import pytest
from helpers import ROOT


@pytest.mark.parametrize("case", ["pictures", "text"])
def test_it_measures_both_loops_and_ends(tmp_path, case):
    out = tmp_path / "out.json"
    words = ["--only", case, "--encoders", *["tiny"] * 3, "--batches", "4", "1", "4"]
    words += ["--steps", "12", "--warm", "1", "--out", str(out)]
    script = str(ROOT / "benchmarks" / "trainer_overhead.py")
    subprocess.run([sys.executable, script, *words], check=True, timeout=240, capture_output=True)
    found = json.loads(out.read_text())[case]
    assert (found["encoder"], found["steps"], found["workers"]) == ("tiny", 12, 1)
    for clock in ("processor", "wall"):
        low, high = found[clock]["interval"]
        assert 0 < low <= found[clock]["ratio"] <= high
        assert found[clock]["plain_ms"] > 0
