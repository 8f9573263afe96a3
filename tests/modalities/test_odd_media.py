"""Odd, broken and malicious files: read exactly or refused, in bounded time, without a crash."""

import csv
import json
import queue
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers import shared_data

SECONDS = 60  # per file, on a busy machine; the slowest takes 4 s alone on a core
HERE = Path(__file__).parents[1] / "helpers"
OUTCOMES = list(csv.DictReader((HERE.parent / "odd_outcomes.csv").open()))


class Worker:
    """The process that reads; started anew when it died."""

    def __init__(self):
        self.process: subprocess.Popen | None = None

    def ask(self, path: Path) -> dict:
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "odd_worker.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                cwd=HERE,
            )
        process, answers = self.process, queue.Queue()
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        threading.Thread(target=lambda: answers.put(process.stdout.readline()), daemon=True).start()
        try:
            line = answers.get(timeout=SECONDS)
        except queue.Empty:
            self.end()
            pytest.fail(f"{path.name} takes more than {SECONDS} s")
        if not line:
            pytest.fail(f"{path.name} ended its reader with code {process.wait()}")
        return json.loads(line)

    def end(self):
        if self.process:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def worker():
    worker = Worker()
    yield worker
    worker.end()


@pytest.mark.parametrize("row", OUTCOMES, ids=[row["file"] for row in OUTCOMES])
def test_odd_file(worker, row):
    found = worker.ask(shared_data("odd") / row["file"])
    if row["outcome"].startswith("refused"):
        assert found == {"refused": row["outcome"].split()[1]}
        return
    assert found["kind"] == row["outcome"]
    assert found["scan"] == row["scan"]  # "ok", or "damaged" where the file ends early
    assert (found["frames"], found["channels"]) == (int(row["frames"]), int(row["channels"]))
    assert found.get("worst", 0.0) < 3.0  # grey levels: converters differ, frames do not
    assert found.get("sound", True)
    assert (found["channels"] > 0) == ("sound" in found)


def test_the_table_holds_every_file():
    files = {p.name for p in shared_data("odd").iterdir()} - {"categories.csv"}
    assert files == {row["file"] for row in OUTCOMES}
