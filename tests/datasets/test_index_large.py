"""Indexes of millions of rows, and of all the shared media."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import shared_data
from large_index import write_many

from pretexto.datasets.index.build import scan
from pretexto.modalities.decode.sandbox import Limits

MANY = """
import re, sys, time
import torch, pyarrow.compute, pyarrow.parquet
from pretexto.datasets.index import Index
from pretexto.datasets.open import only_split
from pretexto.modalities import rng as draw
path = sys.argv[1]
def held(what):
    return int(re.search(what + r": +(\\d+)", open("/proc/self/smaps_rollup").read())[1]) / 1024
before, own = held("Rss"), held("Anonymous")
cpu = time.process_time()
source = Index(path, root=".")
assert len(source) == int(sys.argv[2])
print(time.process_time() - cpu)
print(held("Rss") - before)
cpu = time.process_time()
draw.permutation(draw.generator(0, 0, 0), len(source))
print(time.process_time() - cpu)
i = len(source) - 2
assert source.name(i) == f"class/{i:09}.mp4", source.name(i)
assert source.info(i).duration == i % 7 and source.label(i) == i % 3
cpu = time.process_time()
for i in range(0, len(source), len(source) // 1000):
    assert source.info(i).duration == i % 7
print(time.process_time() - cpu)
print(held("Anonymous") - own)
cpu = time.process_time()
part = only_split(source, "train")
print(time.process_time() - cpu)
assert 5 * len(part) == 4 * len(source) and part.name(1) == "class/000000002.mp4"
cpu = time.process_time()
source.fingerprint()
print(time.process_time() - cpu)
cpu = time.process_time()
part.fingerprint()
print(time.process_time() - cpu)
print(held("Anonymous") - own)
"""


@pytest.mark.parametrize("count", [300_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_millions_of_rows_open_at_once(count, tmp_path):
    path = tmp_path / "many.parquet"
    write_many(path, count)
    done = subprocess.run(
        [sys.executable, "-P", "-c", MANY, str(path), str(count)],
        env={**os.environ, "PRETEXTO_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = map(float, done.stdout.split())
    opening, memory, order, infos, own, choosing, whole, part, after = found
    assert opening <= 1.0
    # MiB more than torch and pyarrow take by themselves, which is some 500: for opening, and after
    # rows from all over were read. The rows lie in mapped pages, which any other use may have.
    assert memory <= 300
    assert own <= 300
    assert after <= 300
    assert order <= 2.0
    assert infos <= 1.0
    assert choosing <= 1.0
    assert max(whole, part) <= 5.0


def start_scan(root: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, "-P", "-m", "pretexto.cli", "index", str(root), "--out", str(out)]
    return subprocess.Popen([*command, "--jobs", "2", "--time-limit", "30"], stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_shared_media_end_in_an_index_killed_in_the_middle_or_not(tmp_path, capsys):
    import psutil

    root, whole, out = shared_data(), tmp_path / "whole.parquet", tmp_path / "all.parquet"
    began = time.monotonic()
    report = scan(root, whole, jobs=2, limits=Limits(30.0, 2048))
    took = time.monotonic() - began
    assert sum(report.kinds.values()) > 800
    assert all(name.startswith("odd/") and reason for name, _, reason in report.bad)
    assert len(report.bad) >= 20
    first = start_scan(root, out)
    journal = out.with_name("all.parquet.journal")
    while not journal.exists() or journal.read_bytes().count(b"\n") < 400:
        assert first.poll() is None
        time.sleep(0.05)
    children = psutil.Process(first.pid).children()
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert len(children) == 2
    assert not psutil.wait_procs(children, timeout=30)[1]
    assert not out.exists()
    second = start_scan(root, out)
    told = second.communicate()[1].decode()
    assert second.returncode == 0
    assert "Traceback" not in told
    assert out.read_bytes() == whole.read_bytes()
    with capsys.disabled():
        print(f"\n{len(report.bad)} of 891 files in the quarantine, {took:.0f} s")
