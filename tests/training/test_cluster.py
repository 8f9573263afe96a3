"""What a cluster does to a run: signals, two jobs at once, other devices, late metrics."""

import csv
import os
import signal
import threading
import time

import pytest
import torch
from fakes import FakeSource, FakeTask, Signalled, fake_task

from pretexto import cli
from pretexto.errors import InputError, Interrupted
from pretexto.training.loggers import MetricsFile, make_loggers, refuse_missing
from pretexto.training.prefetch import Prefetch
from pretexto.training.pretrain import TrainerArgs, pretrain
from pretexto.training.run_dir import RunFolder


def args(**changes):
    defaults = {"steps": 6, "batch_size": 6, "workers": 0, "log_every": 1, "accelerator": "cpu"}
    return TrainerArgs(**{**defaults, **changes})


def rows(run):
    with (run / "metrics.csv").open(newline="") as file:
        drop = {"examples_per_second", "waiting"}
        return [{k: v for k, v in row.items() if k not in drop} for row in csv.DictReader(file)]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_signal_ends_in_a_checkpoint_and_the_run_goes_on_exactly(tmp_path, name):
    number = getattr(signal, name)
    broken = {"count": 24, "broken": [3, 4, 5, 6]}
    trainer = args(max_unreadable=0.5, log_every=2)
    whole = pretrain(fake_task(), FakeSource(**broken), tmp_path / "whole", trainer=trainer)
    source = Signalled(number, at=21, **broken)
    with pytest.raises(Interrupted) as ended:
        pretrain(fake_task(), source, tmp_path / "cut", trainer=trainer)
    assert ended.value.number == number
    run = pretrain(fake_task(), FakeSource(**broken), tmp_path / "cut", trainer=trainer)
    assert rows(run) == rows(whole)
    assert rows(run)[-1]["unreadable"] == "4"
    files = [(x / "encoder.safetensors").read_bytes() for x in (run, whole)]
    assert files[0] == files[1]


def test_the_command_line_ends_with_128_and_the_signal(monkeypatch):
    def ended(argv):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        raise AssertionError("the signal was not answered")

    monkeypatch.setattr(cli, "_dispatch", ended)
    assert cli.main(["doctor"]) == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_batches_left_out_are_counted_across_a_resume(tmp_path):
    # Of four examples two are broken: some batches of two keep fewer than two.
    source = {"count": 4, "broken": [1, 2]}
    trainer = args(steps=12, batch_size=2, max_unreadable=1.0, log_every=2)
    whole = pretrain(fake_task(), FakeSource(**source), tmp_path / "whole", trainer=trainer)
    with pytest.raises(Interrupted):
        pretrain(
            fake_task(), Signalled(signal.SIGTERM, at=15, **source), tmp_path / "cut",
            trainer=trainer,
        )  # fmt: skip
    run = pretrain(fake_task(), FakeSource(**source), tmp_path / "cut", trainer=trainer)
    assert int(rows(whole)[-1]["left_out"]) > 2
    assert rows(run)[-1] == rows(whole)[-1]


def test_one_process_at_a_time_trains_into_a_folder(tmp_path):
    with (
        RunFolder(tmp_path).claimed(),
        pytest.raises(InputError, match="another process is training there"),
    ):
        pretrain(fake_task(), FakeSource(), tmp_path, trainer=args())
    pretrain(fake_task(), FakeSource(), tmp_path, trainer=args())


def test_another_precision_is_named_and_allowed_by_word(tmp_path, capsys):
    source = Signalled(signal.SIGTERM, at=14)
    with pytest.raises(Interrupted):
        pretrain(fake_task(), source, tmp_path, trainer=args(precision="32"))
    change = 'device.precision: "32-true" in the run, "bf16-mixed" now'
    with pytest.raises(InputError, match=change):
        pretrain(fake_task(), FakeSource(), tmp_path, trainer=args(precision="bf16-mixed"))
    allowed = args(precision="bf16-mixed", allow_changes=True)
    pretrain(fake_task(), FakeSource(), tmp_path, trainer=allowed)
    assert change in capsys.readouterr().out
    assert change in RunFolder(tmp_path).state()["changes"]  # type: ignore[index]


def test_a_metric_may_come_later(tmp_path):
    class Late(FakeTask):
        def forward(self, batch, phase=None):
            step = super().forward(batch)
            if int(self.get_buffer("steps_taken")) > 2:
                step.metrics["late"] = torch.tensor(0.5)
            return step

    task = fake_task()
    late = Late(task.encoder)
    out = pretrain(late, FakeSource(), tmp_path, trainer=args())
    assert [row["late"] for row in rows(out)] == ["", "", "", "0.5", "0.5", "0.5"]


def test_a_torn_last_row_is_taken_out_on_a_resume(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\r\n1,0.5\r\n2,0.25\r\n3,0.1")
    MetricsFile(path, 2).write({"step": 3, "loss": 0.1, "new": 7})
    assert [list(row.values()) for row in csv.DictReader(path.open(newline=""))] == [
        ["1", "0.5", ""], ["2", "0.25", ""], ["3", "0.1", "7"],
    ]  # fmt: skip


def test_a_logger_that_is_missing_is_named_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("pretexto.training.loggers.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"wandb is not installed; pip install 'pretexto\[wandb"):
        pretrain(fake_task(), FakeSource(), tmp_path / "x", trainer=args(logger="wandb"))
    assert not (tmp_path / "x").exists()
    refuse_missing(["csv"])
    with pytest.raises(InputError, match="no logger 'tensorbord'"):
        args(logger="csv,tensorbord")


class Item:
    def __init__(self, number):
        self.number, self.batches = number, []


@pytest.mark.parametrize("server", [None, "http://tracking:5000"])
def test_mlflow_keeps_a_run_in_its_folder_or_where_the_environment_says(
    tmp_path, monkeypatch, server
):
    made = {}

    class FakeLogger:
        run_id = "7"

        def __init__(self, experiment, **options):
            made.update(options, experiment=experiment)

        def log_hyperparams(self, params):
            made["params"] = params

    monkeypatch.setattr("lightning.pytorch.loggers.MLFlowLogger", FakeLogger)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    if server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    make_loggers(["mlflow"], tmp_path, 0, {"steps": 6})
    assert (made["experiment"], made["run_id"], made["params"]) == ("pretexto", None, {"steps": 6})
    # mlflow 3 refuses a plain folder.
    assert made["tracking_uri"] == (server or f"sqlite:///{tmp_path}/mlflow.db")
    assert made["artifact_location"] == (None if server else f"{tmp_path}/mlflow")
    make_loggers(["mlflow"], tmp_path, 3, {})
    assert made["run_id"] == "7"


@pytest.mark.parametrize("working", [True, False])
def test_waiting_is_the_time_in_which_the_device_has_nothing_to_do(monkeypatch, working):
    monkeypatch.setattr("pretexto.training.prefetch.Busy", lambda device: lambda: working)
    release = threading.Event()

    def items():
        release.wait(10)
        yield Item(0)

    ahead = Prefetch(items(), torch.device("cpu"))
    threading.Timer(0.2, release.set).start()
    assert [item.number for item in ahead] == [0]
    # The host waited in both cases; a device that was at work all the while did not.
    assert (ahead.waited == 0) == working


def test_an_item_that_is_ready_costs_no_waiting():
    ahead = Prefetch(iter([Item(0), Item(1)]), torch.device("cpu"))
    while not ahead._ready.full():
        time.sleep(0.01)
    taken = iter(ahead)
    assert next(taken).number == 0
    assert ahead.waited == 0


def test_an_error_of_the_loader_is_raised_where_batches_are_taken():
    def items():
        yield Item(0)
        raise RuntimeError("worker died")

    with pytest.raises(RuntimeError, match="worker died"):
        list(Prefetch(items(), torch.device("cpu")))
