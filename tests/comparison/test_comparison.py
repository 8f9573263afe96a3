"""Comparisons: their controls, and what survives interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import comparison_fakes as fakes
import pool_fakes
import pytest
import torch

from pretexto.comparison.compare import Entry
from pretexto.comparison.executor import Begun, Ended, run_jobs
from pretexto.comparison.grid import (
    Run,
    build_encoder,
    claim,
    differences,
    runs_of,
    seeded,
    with_controls,
)
from pretexto.datasets.listing import read_listing
from pretexto.errors import InputError

TESTS = Path(__file__).parents[1] / "helpers"


# The plan


def test_every_entry_has_its_first_run_before_any_has_its_second():
    runs = runs_of(["a", "b"], ["x"], 2)
    assert runs == [Run("a", "x", 0), Run("b", "x", 0), Run("a", "x", 1), Run("b", "x", 1)]
    assert Run("a", "x", 1).folder(Path("out")) == Path("out/runs/a/fold-x/seed-1")


def test_differences_between_plans_are_named():
    there = {"seeds": 3, "trainer": {"steps": 10, "old": 1}, "entries": {"a": 1}}
    here = {"seeds": 3, "trainer": {"steps": 20}, "entries": {"a": 1, "b": 2}}
    assert list(differences(there, here)) == [
        "trainer.steps was 10, is now 20",
        "trainer.old is there but not in this plan",
        "entries.b is new in this plan",
    ]


def test_a_folder_with_another_plan_is_refused(tmp_path):
    claim(tmp_path, {"seeds": 3})
    claim(tmp_path, {"seeds": 3})
    with pytest.raises(InputError, match="seeds was 3, is now 5; give another --out"):
        claim(tmp_path, {"seeds": 5})


def test_a_plan_that_does_not_say_its_crops_had_one(tmp_path):
    claim(tmp_path, {"seeds": 3})
    claim(tmp_path, {"seeds": 3, "crops": 1})
    with pytest.raises(InputError, match="crops was 1, is now 3; give another --out"):
        claim(tmp_path, {"seeds": 3, "crops": 3})


# The controls


def test_controls_have_the_same_encoder_and_the_budget_of_all():
    entries = with_controls({"a": Entry(fakes.turned)}, 2, fakes.VIEW, supervised=fakes.Labels)
    assert list(entries) == ["a", "supervised", "random-init"]
    encoders = [build_encoder(e.build, fakes.VIEW) for e in entries.values()]
    assert {(type(e), repr(e.arguments)) for e in encoders} == {
        (type(encoders[0]), repr(encoders[0].arguments))
    }
    assert entries["supervised"].trainer is entries["supervised"].optimizer is None
    assert isinstance(seeded(entries["supervised"].build, 0), fakes.Labels)


def test_every_different_encoder_has_controls_of_its_own():
    both = {"a": Entry(fakes.turned), "b": Entry(fakes.wide), "c": Entry(fakes.turned)}
    entries = with_controls(both, 2, fakes.VIEW, supervised=fakes.Labels)
    assert [e.reference for e in entries.values() if e.kind == "task"] == [
        "random-init",
        "random-init-FakeEncoder-2",
        "random-init",
    ]
    wide = build_encoder(entries["supervised-FakeEncoder-2"].build, fakes.VIEW)
    assert wide.dim == 9


def test_a_controls_name_is_taken():
    with pytest.raises(InputError, match="belongs to a control"):
        with_controls({"random-init": Entry(fakes.turned)}, 2, fakes.VIEW)


def test_seeds_differ_in_the_initial_weights_and_leave_the_global_state(untouched_rng):
    weights = [seeded(fakes.turned, seed).encoder.layer.weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


# Whole comparisons


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished comparison over three folds."""
    out = tmp_path_factory.mktemp("comparison")
    return fakes.films(out, source=fakes.Films(folds=True))


def test_a_comparison_runs_everything_and_writes_its_files(done):
    assert not done.failed
    runs = {(r["entry"], r["fold"], r["run_seed"]) for r in done.rows}
    names = ("turned", "supervised", "random-init")
    assert runs == {(n, f"film{k}", s) for n in names for k in range(3) for s in (0, 1)}
    lines = (done.out / "results.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == done.rows
    assert "| turned |" in (done.out / "results.md").read_text()
    assert (done.out / "report.html").read_text().startswith("<!doctype html>")


def test_no_run_sees_the_media_it_is_tested_on(done):
    for k in range(3):
        run = done.out / "runs" / "turned" / f"fold-film{k}" / "seed-0"
        names = [name for (name,) in read_listing(run, "name")]
        tested = {f"{i:03}.mp4" for i in range(24) if i % 3 == k}
        assert names
        assert not tested & set(names)
    own = [r for r in done.rows if r["entry"] != "random-init"]
    assert {r["seen_in_pretraining"] for r in own} == {0}
    assert {r["n_test"] for r in done.rows} == {8}


def test_the_supervised_control_has_the_budget_of_the_tasks(done):
    lengths = set()
    for name in ("turned", "supervised"):
        run = done.out / "runs" / name / "fold-film0" / "seed-0"
        state = json.loads((run / "run.json").read_text())
        lengths.add((state["last"]["step"], state["record"]["trainer"]["batch_size"]))
    assert lengths == {(4, 6)}
    control = json.loads(
        (done.out / "runs" / "random-init" / "fold-film0" / "seed-0" / "encoder.json").read_text()
    )
    assert control["steps"] == 0


def test_stamps_of_folds_are_those_of_evaluating_the_whole_source(done):
    from pretexto.encoders.store import load_encoder
    from pretexto.evaluation.evaluate import evaluate

    run = done.out / "runs" / "turned" / "fold-film1" / "seed-1"
    whole = evaluate("knn", load_encoder(run), fakes.Films(folds=True), fakes.VIEW, clips=1)
    expected = {r.stamp_hash: r.value for r in whole if r.stamp.split == "film1"}
    mine = [
        r for r in done.rows if (r["entry"], r["fold"], r["run_seed"]) == ("turned", "film1", 1)
    ]
    found = {r["stamp_hash"]: r["value"] for r in mine if r["stamp"]["method"] == "knn"}
    assert found == expected


def test_called_again_it_repeats_nothing(done, capsys):
    before = stamps(done.out)
    again = fakes.films(done.out, source=fakes.Films(folds=True))
    assert stamps(done.out) == before
    assert again.rows == done.rows
    assert "18 of 18 runs are finished already" in capsys.readouterr().out


def test_another_budget_is_refused_in_the_same_folder(done):
    longer = fakes.TrainerArgs(steps=5, batch_size=6, workers=0, accelerator="cpu")
    with pytest.raises(InputError, match=r"trainer\.steps was 4, is now 5"):
        fakes.films(done.out, source=fakes.Films(folds=True), trainer=longer)


def stamps(out):
    """When each run was finished."""
    return {p: p.stat().st_mtime_ns for p in sorted(out.glob("runs/*/*/*/rows.json"))}


def test_ctrl_c_leaves_what_was_finished_and_the_next_call_goes_on(tmp_path):
    stop = Entry(partial(fakes.Interrupted, str(tmp_path / "flag")))
    entries = {"turned": Entry(fakes.turned), "stopped": stop}
    with pytest.raises(KeyboardInterrupt):
        fakes.films(tmp_path / "out", entries, seeds=1)
    before = stamps(tmp_path / "out")
    assert [p.parts[-4] for p in before] == ["turned"]
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) > 1
    whole = fakes.films(tmp_path / "out", entries, seeds=1)
    after = stamps(tmp_path / "out")
    assert not whole.failed
    assert len(after) == 4
    assert all(after[p] == when for p, when in before.items())


def test_one_failed_run_spares_the_others_and_stands_in_the_table(tmp_path):
    entries = {"bad": Entry(fakes.broken), "turned": Entry(fakes.turned)}
    first = fakes.films(tmp_path, entries, seeds=1)
    assert [run.entry for run in first.failed] == ["bad"]
    done_entries = {r["entry"] for r in first.rows if r["status"] == "done"}
    assert done_entries == {"turned", "supervised", "random-init"}
    (bad,) = [r for r in first.rows if r["status"] == "failed"]
    assert bad["reason"] in first.failed.values()
    assert "no number" in bad["reason"] or "nan" in bad["reason"]
    text = (tmp_path / "results.md").read_text()
    assert text.count(f"failed: {bad['reason'][:30]}") == 1
    assert text.count(bad["reason"]) == 1
    page = (tmp_path / "report.html").read_text()
    assert "1 run failed" in page
    assert 'class="failed"' in page
    assert "Traceback" in (Run("bad", "test", 0).folder(tmp_path) / "failure.txt").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entries": {}}, "nothing to compare"),
        ({"entries": {"a/b": Entry(fakes.turned)}}, "names a folder"),
        ({"protocols": ("liner",)}, "no protocol 'liner'"),
        ({"seeds": 0}, "seeds must be at least 1"),
        (
            {"view": fakes.InputSpec("video", size=8, frames=2, frame_interval=0.1)},
            "entry turned: .* no video",
        ),
    ],
)
def test_mistakes_are_refused_before_anything_is_read(tmp_path, changes, message):
    entries = changes.pop("entries", {"turned": Entry(fakes.turned)})
    source = fakes.Films()
    with pytest.raises(InputError, match=message):
        fakes.compare(
            entries,
            source,
            tmp_path / "o",
            **{"view": fakes.VIEW, "trainer": fakes.TRAINER, **changes},
        )
    assert source.reads == 0
    assert not (tmp_path / "o").exists()


# Worker processes


def test_workers_survive_failures_and_a_death(tmp_path):
    events = list(run_jobs(pool_fakes.job, tmp_path, [2, 0, 1, 3], parallel=2))
    ended = {e.job: e.failure for e in events if isinstance(e, Ended)}
    assert {e.job for e in events if isinstance(e, Begun)} == {0, 1, 2, 3}
    assert ended[0] is None
    assert ended[3] is None
    assert ended[1][0] == "ValueError: one is refused"
    assert "worker process died" in ended[2][0]
    assert os.getpid() not in {int((tmp_path / n).read_text()) for n in "03"}


SCRIPT = """
import sys
import comparison_fakes as fakes
import pool_fakes
if __name__ == "__main__":
    result = fakes.films(sys.argv[1], jobs=2)
    print("FAILED" if result.failed else "DONE")
"""


def test_killed_in_the_middle_it_goes_on_with_two_workers(tmp_path):
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(out)]
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not stamps(out) and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = children(running.pid)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert workers
    # Orphans would go on writing into runs that the second call repeats.
    while any(alive(w) for w in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(alive(w) for w in workers)
    before = stamps(out)
    assert 1 <= len(before) < 6
    whole = fakes.films(out)
    after = stamps(out)
    assert not whole.failed
    assert len(after) == 6
    assert all(after[p] == when for p, when in before.items())


def children(pid):
    """Process numbers of a process's children (Linux)."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(word) for word in task.read_text().split()]
    return found


def alive(pid):
    """Whether a process still runs; a zombie does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
