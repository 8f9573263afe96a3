"""Runs trials, each in a process of its own with its own device; one's failure spares the rest."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..training.args import TrainerArgs

# Seconds that an interrupted trial has to finish its step and write a checkpoint.
PATIENCE = 15.0


@dataclass(frozen=True, slots=True)
class Begun:
    """A trial, known by its job file, has been handed to a process."""

    job: Path


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial is over: with 0 if all went well, 1 if it has written down why not, minus the
    signal's number if one killed it."""

    job: Path
    code: int


# Takes job files in the order in which they begin and yields what happens, as it happens. A job
# file is all that a trial needs, so that an executor may run it on another machine.
Events = Generator[Begun | Ended, None, None]
Executor = Callable[[Sequence[Path]], Events]


def slots(trainer: TrainerArgs, jobs: int | None) -> list[dict[str, str]]:
    """What the environment of each of the trials that run at a time adds: its devices and threads.

    Args:
        trainer: its `devices` are those of one trial; "auto" is one.
        jobs: trials at a time; None: as many as there are devices for, two on a CPU.
    """
    gpus = _gpus() if trainer.accelerator in ("auto", "cuda", "gpu") else []
    each = devices_of(trainer)
    count = jobs or (max(1, len(gpus) // each) if gpus else min(2, cores()))
    threads = str(max(1, cores() // (count * each)))
    shares = [[gpus[(k * each + i) % len(gpus)] for i in range(each)] if gpus else []
              for k in range(count)]  # fmt: skip
    visible = [{"CUDA_VISIBLE_DEVICES": ",".join(dict.fromkeys(s))} if s else {} for s in shares]
    return [{"OMP_NUM_THREADS": threads, **own} for own in visible]


def devices_of(trainer: TrainerArgs) -> int:
    """Devices of one trial."""
    named = str(trainer.devices).strip("[]")
    if "," in named:
        raise InputError(
            f"trainer.devices is {trainer.devices}: say how many devices a trial takes; which "
            "ones, CUDA_VISIBLE_DEVICES says"
        )
    return max(1, int(named)) if named.isdigit() else 1


def _gpus() -> list[str]:
    import torch

    if not torch.cuda.is_available():
        return []
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named or [str(k) for k in range(torch.cuda.device_count())]


def run_trials(jobs: Sequence[Path], environments: Sequence[Mapping[str, str]]) -> Events:
    """Runs every job, as many at a time as there are environments.

    Left early, it interrupts the trials that are under way and waits for their checkpoints.
    """
    waiting, busy = deque(jobs), selectors.DefaultSelector()
    servers = [_Server(own) for own in environments[: len(jobs)]]
    try:
        for server in servers:
            yield from _hand_out(server, waiting, busy)
        while busy.get_map():
            for key, _ in busy.select():
                server: _Server = key.data
                busy.unregister(key.fileobj)
                yield server.ended()
                yield from _hand_out(server, waiting, busy)
    finally:
        for server in servers:
            server.interrupt()
        patience = time.monotonic() + PATIENCE
        for server in servers:
            server.close(max(0.0, patience - time.monotonic()))


def _hand_out(server: "_Server", waiting: deque[Path], busy: selectors.BaseSelector) -> Events:
    if not waiting:
        return
    job = waiting.popleft()
    busy.register(server.begin(job), selectors.EVENT_READ, server)
    yield Begun(job)


class _Server:
    """A process that starts one process per trial (`trial.py --serve`), in a group of their own.

    It has loaded the libraries already, which takes longer than a small trial.
    """

    def __init__(self, environment: Mapping[str, str]):
        self.environment = environment
        self.process: subprocess.Popen[str] | None = None
        self.job: Path | None = None

    def begin(self, job: Path):
        """Hands it a job; returns the stream on which something comes when that is over."""
        if self.process is None:
            self.process = self._start()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.job = job
        with suppress(BrokenPipeError):  # it has died: the stream ends, and `ended` says so
            self.process.stdin.write(f"{job}\n")
            self.process.stdin.flush()
        return self.process.stdout

    def ended(self) -> Ended:
        """How the job ended; the process's own death counts as the job's."""
        assert self.process is not None
        assert self.process.stdout is not None
        assert self.job is not None
        line = self.process.stdout.readline()
        code = int(line) if line else self.process.wait()
        if not line:
            self._kill()
        job, self.job = self.job, None
        return Ended(job, code if line or code else -signal.SIGKILL)

    def interrupt(self) -> None:
        """Tells a trial under way to stop; pretraining answers with a checkpoint."""
        if self.process is not None and self.process.stdin is not None:
            _signal(self.process, signal.SIGINT)
            self.process.stdin.close()

    def close(self, patience: float) -> None:
        """Waits until the process has gone, and ends it after `patience` seconds."""
        if self.process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        self._kill()

    def _kill(self) -> None:
        if self.process is not None:
            _signal(self.process, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _start(self) -> "subprocess.Popen[str]":
        path = os.pathsep.join(p or os.getcwd() for p in sys.path)
        return subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.trial", "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Not the current folder, in which a user's own file may bear a library's name.
            env={**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", **self.environment},
            start_new_session=True,
        )


def _signal(process: "subprocess.Popen[str]", number: int) -> None:
    """To the process and everything that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def cores() -> int:
    """CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
