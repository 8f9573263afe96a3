"""Comparisons: their controls, and what survives interruption."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import comparison_fakes as fakes
import pytest
import torch

from pretexto.comparison import compare as module
from pretexto.comparison.compare import Entry
from pretexto.comparison.cost import training_flops
from pretexto.comparison.executor import Begun, Ended, devices_of, slots
from pretexto.comparison.grid import Run, build_encoder, of_runs, runs_of, seeded, with_controls
from pretexto.comparison.plain import from_plain, to_plain
from pretexto.comparison.results import load_results
from pretexto.comparison.rows import ran_alone
from pretexto.datasets.example_list import read_listing
from pretexto.encoders.store import save_encoder
from pretexto.errors import InputError, Interrupted
from pretexto.modalities.input_spec import InputSpec

TESTS = Path(__file__).parents[1] / "helpers"
FOLDS = partial(fakes.Films, folds=True)


# The plan


def test_every_entry_has_its_first_run_before_any_has_its_second():
    runs = runs_of({"a": 2, "b": 3}, ["x"])
    expected = [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("b", 2)]
    assert runs == [Run(entry, "x", seed) for entry, seed in expected]
    assert Run("a", "x", 1).folder(Path("out")) == Path("out/runs/a/fold-x/seed-1")


def test_what_other_processes_need_travels_as_plain_values():
    trial = partial(fakes.Films, folds=True)
    entry = Entry(partial(fakes.turned, poison=3), trainer=fakes.TRAINER)
    values = {"source": trial, "entry": entry, "view": fakes.VIEW, "out": Path("x"), "n": [1, None]}
    there = from_plain(json.loads(json.dumps(to_plain(values))))
    assert there["source"]().folds is True
    assert there["entry"].build.keywords == {"poison": 3}
    assert there["entry"].trainer == fakes.TRAINER
    assert (there["view"], there["out"], there["n"]) == (fakes.VIEW, Path("x"), [1, None])


def test_a_builder_that_no_other_process_can_import_is_refused(tmp_path):
    with pytest.raises(InputError, match="entry a: .*cannot be made anew in another process"):
        fakes.films(tmp_path / "o", {"a": Entry(lambda: fakes.turned())})
    assert not (tmp_path / "o").exists()


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


def test_what_training_takes_is_counted_and_leaves_no_trace(untouched_rng):
    task = seeded(fakes.turned, 0)
    before = {key: value.clone() for key, value in task.state_dict().items()}
    with untouched_rng():
        found = training_flops(task, fakes.Films())
    # By hand, 2 operations per product: the convolution at its 2 × 2 places forwards and backwards
    # for its weights, the head also backwards for its input.
    layer, head = task.encoder.layer, task.head
    convolution = 2 * layer.weight.numel() * 4
    assert found == 2 * convolution + 3 * 2 * head.weight.numel()
    assert all(torch.equal(value, before[key]) for key, value in task.state_dict().items())


def test_a_report_knows_machine_precision_and_size(tmp_path):
    out = tmp_path / "o"
    fakes.films(out, seeds=1)
    lines = {line.name: line for line in load_results(out).lines}
    own = build_encoder(fakes.turned, fakes.VIEW)
    assert lines["turned"].parameters == sum(p.numel() for p in own.parameters())
    assert lines["turned"].hardware == lines["random-init"].hardware != ""
    assert (lines["turned"].precision, lines["random-init"].precision) == ("32-true", "")
    # Four steps of six.
    assert lines["turned"].flops == 24 * training_flops(seeded(fakes.turned, 0), fakes.Films())
    assert lines["random-init"].flops != lines["random-init"].flops, "unknown is no number"
    page = (out / "report.html").read_text()
    assert lines["turned"].hardware in page
    assert "32-true" in page


@pytest.fixture
def weights(tmp_path):
    """A run's encoder: weights to start from."""
    save_encoder(tmp_path / "run", build_encoder(fakes.turned, fakes.VIEW, 77), fakes.VIEW, {})
    return str(tmp_path / "run" / "encoder.safetensors")


def test_what_starts_from_weights_is_compared_with_those_weights(weights):
    both = {"scratch": Entry(fakes.turned), "tuned": Entry(partial(fakes.started, weights))}
    entries = with_controls(both, 2, fakes.VIEW, supervised=fakes.Labels)
    start, random = "starting-weights-FakeEncoder-2", "random-init-FakeEncoder-2"
    assert {name: e.reference for name, e in entries.items() if e.kind != "random"} == {
        "scratch": "random-init",
        "supervised": "random-init",
        "tuned": start,
        "supervised-FakeEncoder-2": start,
        start: random,
    }
    assert entries[random].kind == "random"
    # Labels have the same start as the tasks.
    labelled = build_encoder(entries["supervised-FakeEncoder-2"].build, fakes.VIEW, 3)
    assert labelled.starts_from == weights


def test_starting_weights_stay_untouched_and_random_ones_are_random(tmp_path, weights):
    found = fakes.films(tmp_path / "o", {"tuned": Entry(partial(fakes.started, weights))})
    assert not found.failed
    sums = {}
    for row in found.rows:
        sums.setdefault(row["entry"], set()).add(row["encoder"])
    (given,) = sums["starting-weights"]
    kept = Run("starting-weights", "test", 1).folder(tmp_path / "o") / "encoder.safetensors"
    assert kept.read_bytes() == Path(weights).read_bytes()
    assert len(sums["random-init"]) == 2, "each seed draws its own"
    assert len(sums["tuned"]) == 2
    assert given not in sums["random-init"] | sums["tuned"]
    page = (tmp_path / "o" / "report.html").read_text()
    assert "the difference to the weights it started from" in page
    tasks = {row["task"] for row in found.rows if row["entry"] == "starting-weights"}
    assert tasks == {"starting weights, untouched"}


def test_a_controls_name_is_taken():
    with pytest.raises(InputError, match="belongs to a control"):
        with_controls({"random-init": Entry(fakes.turned)}, 2, fakes.VIEW)
    with pytest.raises(InputError, match="belongs to a control"):
        with_controls({"starting-weights": Entry(fakes.turned)}, 2, fakes.VIEW)


def test_seeds_differ_in_the_initial_weights_and_leave_the_global_state(untouched_rng):
    weights = [seeded(fakes.turned, seed).encoder.layer.weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


# Whole comparisons


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished comparison over three folds."""
    out = tmp_path_factory.mktemp("comparison")
    return fakes.films(out, source=FOLDS)


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
    again = fakes.films(done.out, source=FOLDS)
    assert stamps(done.out) == before
    assert again.rows == done.rows
    assert "18 of 18 runs are finished already" in capsys.readouterr().out


def test_another_budget_is_refused_in_the_same_folder(done):
    longer = fakes.TrainerArgs(steps=5, batch_size=6, workers=0, accelerator="cpu")
    with pytest.raises(InputError, match=r"trainer\.steps was 4, is now 5"):
        fakes.films(done.out, source=FOLDS, trainer=longer)


def stamps(out):
    """When each run was finished."""
    return {p: p.stat().st_mtime_ns for p in sorted(out.glob("runs/*/*/*/rows.json"))}


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
            {"view": InputSpec("video", size=8, frames=2, frame_interval=0.1)},
            "entry turned: .* no video",
        ),
    ],
)
def test_mistakes_are_refused_before_anything_is_read(tmp_path, monkeypatch, changes, message):
    entries = changes.pop("entries", {"turned": Entry(fakes.turned)})
    source = fakes.Films()
    monkeypatch.setattr(fakes, "Films", lambda: source)
    with pytest.raises(InputError, match=message):
        fakes.compare(
            entries,
            fakes.Films,
            tmp_path / "o",
            **{"view": fakes.VIEW, "trainer": fakes.TRAINER, **changes},
        )
    assert source.reads == 0
    assert not (tmp_path / "o").exists()


# A comparison that grows


def place(out):
    """By run what it was evaluated by."""
    found = {}
    for line in (out / "results.jsonl").read_text().splitlines():
        row = json.loads(line)
        found.setdefault((row["entry"], row["run_seed"]), []).append(row["stamp"]["method"])
    return {run: set(methods) for run, methods in found.items()}


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A comparison of one seed and one task, and when its encoders were written; then more."""
    out = tmp_path_factory.mktemp("grown")
    fakes.films(out, seeds=1, protocols=("knn",))
    first = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/*/*/encoder.safetensors")}
    fakes.films(out, {"wide": Entry(fakes.wide)}, protocols=("retrieval",), seeds=2)
    fakes.films(out, protocols=("retrieval",), seeds=2)
    return out, first


def test_more_seeds_tasks_and_protocols_are_added(grown):
    out, _ = grown
    names = ["turned", "supervised", "random-init"]
    names += ["wide", "supervised-FakeEncoder-2", "random-init-FakeEncoder-2"]
    assert place(out) == {(n, s): {"knn", "retrieval"} for n in names for s in (0, 1)}


def test_what_was_trained_before_is_not_trained_again(grown):
    _, first = grown
    trained = {path: when for path, when in first.items() if "random-init" not in str(path)}
    assert trained
    assert all(path.stat().st_mtime_ns == when for path, when in trained.items())


def test_more_levels_are_added_and_the_line_names_the_output(tmp_path, capsys):
    fakes.films(tmp_path, seeds=1, protocols=("knn",))
    capsys.readouterr()
    found = fakes.films(tmp_path, seeds=1, protocols=("knn",), levels=True)
    assert all(row["levels"] for row in found.rows)
    said = capsys.readouterr().out
    for entry in ("turned", "supervised", "random-init"):
        own = next(r for r in found.rows if (r["entry"], r["level"]) == (entry, "embedding"))
        assert f"{entry} · seed 0: knn {100 * own['value']:.1f} %" in said


def test_the_line_of_a_trial_is_the_encoders_output_wherever_it_stands():
    rows = [
        {"entry": "a", "fold": "x", "run_seed": 0, "status": "done", "level": level,
         "value": value, "stamp": {"method": "knn"}}
        for level, value in (("block1", 0.9), ("embedding", 0.4))
    ]  # fmt: skip
    assert module._outcome(Run("a", "x", 0), "", rows) == "knn 40.0 %"


def values(rows, entry):
    """Of the first fold, by method, metric and seed."""
    return {
        (row["stamp"]["method"], row["stamp"]["metric"], row["run_seed"]): row["value"]
        for row in rows
        if (row["entry"], row["fold"]) == (entry, "film0")
    }


def test_finished_runs_take_part_with_the_seeds_that_they_have(done, tmp_path):
    runs = [done.out / "runs" / "turned" / "fold-film0" / f"seed-{k}" for k in (0, 1)]
    entries = {"turned": Entry(fakes.turned), "old": of_runs(runs, "image")}
    found = fakes.films(tmp_path, entries, source=FOLDS, seeds=1, protocols=("knn",))
    seeds = {name: {r["run_seed"] for r in found.rows if r["entry"] == name} for name in entries}
    assert seeds == {"turned": {0}, "old": {0, 1}}
    old = [r for r in found.rows if r["entry"] == "old"]
    # They have seen films of the other folds, and say so.
    known = [name for (name,) in read_listing(runs[0], "name")]
    seen = {f"film{k}": sum(int(name[:3]) % 3 == k for name in known) for k in range(3)}
    assert seen["film0"] == 0 < seen["film1"]
    assert {r["fold"]: r["seen_in_pretraining"] for r in old} == seen
    assert values(found.rows, "old") == {
        key: value for key, value in values(done.rows, "turned").items() if key[0] == "knn"
    }
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["entries"]["old"]["seeds"] == 2
    assert not list(tmp_path.glob("runs/old/*/*/metrics.csv"))
    assert "old" in (tmp_path / "results.md").read_text()


def test_the_report_is_written_anew_after_every_trial(tmp_path):
    known = []
    fakes.films(
        tmp_path, seeds=1, protocols=("knn",), on_trial=lambda out: known.append(len(place(out)))
    )
    assert known == [1, 2, 3, 3]


def test_two_calls_never_work_in_one_folder(tmp_path):
    def again(out):
        with pytest.raises(InputError, match="another process is at work there"):
            fakes.films(tmp_path, seeds=1, protocols=("knn",))

    assert not fakes.films(tmp_path, seeds=1, protocols=("knn",), on_trial=again).failed


# Trials as processes


def test_a_trial_has_its_own_device(monkeypatch):
    args = fakes.TrainerArgs
    monkeypatch.setattr("pretexto.comparison.executor._gpus", lambda: ["4", "5", "6", "7"])
    monkeypatch.setattr("pretexto.comparison.executor.cores", lambda: 8)

    def seen(trainer, jobs=None):
        return [s["CUDA_VISIBLE_DEVICES"] for s in slots(trainer, jobs)]

    assert seen(args(steps=1)) == ["4", "5", "6", "7"]
    assert seen(args(steps=1, devices=2)) == ["4,5", "6,7"]
    assert seen(args(steps=1), 2) == ["4", "5"]
    assert seen(args(steps=1), 6) == ["4", "5", "6", "7", "4", "5"]
    assert {s["OMP_NUM_THREADS"] for s in slots(args(steps=1), None)} == {"2"}
    on_cpu = slots(args(steps=1, accelerator="cpu", devices=2), None)
    assert on_cpu == [{"OMP_NUM_THREADS": "2"}] * 2
    with pytest.raises(InputError, match="how many devices a trial takes"):
        devices_of(args(steps=1, devices="0,2"))


@pytest.fixture(scope="module")
def in_processes(tmp_path_factory):
    """A comparison whose trials are processes, one of which kills itself: its folder, its entries,
    its outcome, and what each process saw of devices."""
    folder = tmp_path_factory.mktemp("processes")
    entries = {
        # The first, since of its encoder are the controls.
        "turned": Entry(partial(fakes.devices, str(folder))),
        "killed": Entry(partial(fakes.Stopped, str(folder / "flag"), signal.SIGKILL)),
    }
    trainer = fakes.TrainerArgs(steps=1, batch_size=6, workers=0, log_every=1)
    changes = {"seeds": 1, "protocols": ("knn",), "trainer": trainer, "jobs": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pretexto.comparison.executor._gpus", lambda: ["no-gpu"])
        first = fakes.films(folder / "o", entries, executor=None, **changes)
    seen = {int(path.name): path.read_text() for path in folder.glob("[0-9]*")}
    return partial(fakes.films, folder / "o", entries, **changes), first, seen


@pytest.mark.timeout(900)
def test_every_trial_is_a_process_that_sees_its_device(in_processes):
    _, _, seen = in_processes
    # The parent has built each entry once; the task and its two controls were three processes.
    own = seen.pop(os.getpid())
    assert "no-gpu" not in own
    assert len(seen) == 3
    assert all(text.startswith("no-gpu ") for text in seen.values())


@pytest.mark.timeout(900)
def test_one_killed_trial_is_named_and_spares_the_rest(in_processes):
    again, first, _ = in_processes
    ((run, reason),) = first.failed.items()
    assert (run.entry, "signal 9" in reason) == ("killed", True)
    assert {r["entry"] for r in first.rows if r["status"] == "done"} >= {"turned", "supervised"}
    assert not again().failed


def test_an_executor_gets_job_files_that_hold_all_they_need(tmp_path):
    taken = []

    def elsewhere(jobs):
        for job in jobs:
            yield Begun(job)
            trial = from_plain(json.loads(job.read_text()))
            taken.append((trial.run, trial.entry.kind, trial.source().title))
            yield Ended(job, -9)

    found = fakes.films(tmp_path, seeds=1, protocols=("knn",), executor=elsewhere)
    kinds = {run.entry: kind for run, kind, _ in taken}
    assert kinds == {"turned": "task", "supervised": "supervised", "random-init": "random"}
    assert {title for *_, title in taken} == {"fake films"}
    assert len(found.failed) == 3


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_devices_train_together_and_end_with_the_report(tmp_path):
    trainer = fakes.TrainerArgs(steps=3, batch_size=6, workers=0, log_every=1,
                                accelerator="cpu", devices=2)  # fmt: skip
    found = fakes.films(tmp_path, seeds=1, protocols=("knn",), trainer=trainer, jobs=1,
                        executor=None)  # fmt: skip
    assert not found.failed
    assert (tmp_path / "report.html").exists()
    state = json.loads((Run("turned", "test", 0).folder(tmp_path) / "run.json").read_text())
    assert (state["record"]["trainer"]["devices"], state["last"]["step"]) == (2, 3)
    assert {r["entry"] for r in found.rows} == {"turned", "supervised", "random-init"}


SCRIPT = """
import sys
from functools import partial
import comparison_fakes as fakes
entries = {"turned": fakes.Entry(fakes.turned)}
if sys.argv[2:]:
    entries = {"slow": fakes.Entry(partial(fakes.Slow, sys.argv[2]))}
fakes.films(sys.argv[1], entries, jobs=1, executor=None)
"""


def started(out, tmp_path, *words):
    """A comparison in a process of its own, as a script without any guard starts it."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(script), str(out), *map(str, words)],
        env=environment,
        stdout=subprocess.DEVNULL,
    )


def eventually(condition, seconds=400):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def killed_while(out, tmp_path, moment):
    """Kills a comparison at a moment; none of its processes outlives it."""
    running = started(out, tmp_path)
    assert eventually(lambda: moment() or running.poll() is not None)
    family = children(running.pid)
    family += [c for child in family for c in children(child)]
    running.kill()
    running.wait()
    # Orphans would go on writing into runs that the next call repeats.
    assert eventually(lambda: not any(alive(pid) for pid in family))
    return family


@pytest.mark.timeout(900)
def test_killed_in_the_middle_it_ends_with_the_same_table(tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    fakes.films(whole)
    assert killed_while(out, tmp_path, lambda: stamps(out))
    before = stamps(out)
    assert 1 <= len(before) < 6
    assert not fakes.films(out).failed
    after = stamps(out)
    assert len(after) == 6
    assert all(after[path] == when for path, when in before.items())
    assert entries_of(out) == entries_of(whole)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_at_thirty_random_moments_it_ends_with_the_same_table(tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    fakes.films(whole)
    began = time.monotonic()
    killed_while(tmp_path / "timed", tmp_path, lambda: False)
    took = time.monotonic() - began
    rng, kills, tries = random.Random(5), 0, 0
    while kills < 30 and tries < 150:
        tries += 1
        if len(stamps(out)) == 6:
            out = tmp_path / f"out{tries}"
        wait, begin = rng.uniform(0, took), time.monotonic()
        kills += bool(killed_while(out, tmp_path, lambda w=wait, b=begin: time.monotonic() > b + w))
    assert kills == 30
    for folder in [tmp_path / "out", *tmp_path.glob("out[0-9]*")]:
        assert not fakes.films(folder).failed
        assert entries_of(folder) == entries_of(whole)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_interrupted_it_keeps_a_checkpoint_and_goes_on_from_there(tmp_path, capsys, number, code):
    out, flag = tmp_path / "out", tmp_path / "flag"
    running = started(out, tmp_path, flag)
    assert eventually(flag.exists)
    running.send_signal(number)
    assert running.wait(250) in (code, -number)
    run = Run("slow", "test", 0).folder(out)
    assert (run / "checkpoints" / "last.ckpt").exists()
    assert not (run / "rows.json").exists()
    assert not fakes.films(out, {"slow": Entry(partial(fakes.Slow, str(flag)))}).failed
    assert "going on from" in capsys.readouterr().out


def entries_of(out):
    """The table, without what a clock has measured."""
    return json.loads((out / "table.json").read_text())["entries"]


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


def alone(out):
    return {path.parts[-4]: ran_alone(path.parent) for path in out.glob("runs/*/*/*/job.json")}


def test_only_what_has_run_alone_from_its_beginning_has_a_time(tmp_path):
    flag = tmp_path / "flag"
    entries = {"slow": Entry(partial(fakes.Stopped, str(flag), signal.SIGINT))}
    changes = {"seeds": 1, "protocols": ("knn",)}
    with pytest.raises(Interrupted):
        fakes.films(tmp_path / "o", entries, jobs=2, **changes)
    fakes.films(tmp_path / "o", entries, jobs=1, **changes)
    assert alone(tmp_path / "o") == {"slow": False, "supervised": True, "random-init": True}
    fakes.films(tmp_path / "p", entries, jobs=1, **changes)
    assert alone(tmp_path / "p") == {"slow": True, "supervised": True, "random-init": True}
    times = [
        {x.name: x.seconds > 0 for x in load_results(tmp_path / name).lines} for name in ("o", "p")
    ]
    assert times[0] == {"slow": False, "supervised": True, "random-init": False}
    assert times[1] == {"slow": True, "supervised": True, "random-init": False}


def test_curves_of_text_tell_bits_per_byte_beside_perplexity(tmp_path):
    from pretexto.comparison.results import read_history

    head = "step,loss,accuracy,bits_per_byte,perplexity\n"
    (tmp_path / "metrics.csv").write_text(head + "1,2.0,0.2,3.0,8.0\n2,1.0,0.4,1.5,2.8\n")
    curves = read_history(tmp_path, 4).curves
    assert list(curves) == ["loss", "accuracy", "bits_per_byte", "perplexity"]
    assert curves["bits_per_byte"] == [(1, 3.0), (2, 1.5)]
