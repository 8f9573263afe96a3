"""Runs jobs one after another or in parallel worker processes; one's failure spares the rest."""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Generic, TypeVar

from ..errors import InputError

# Seconds that an interrupted worker has to finish its step and write a checkpoint.
PATIENCE = 15.0

Job = TypeVar("Job")
State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Begun(Generic[Job]):
    """A job has been handed to a worker."""

    job: Job


@dataclass(frozen=True, slots=True)
class Ended(Generic[Job]):
    """A job is over; `failure` is (reason, traceback) unless it went well."""

    job: Job
    failure: tuple[str, str] | None = None


def run_jobs(
    work: Callable[[State, Job], None], state: State, jobs: Iterable[Job], *, parallel: int
) -> Iterator[Begun[Job] | Ended[Job]]:
    """Calls work(state, job) for every job and yields what happens, as it happens.

    Args:
        work: a function of a module; with `parallel` > 1 it, the state and the jobs are sent
            to spawned processes.
        state: what all jobs share; sent once per worker.
        jobs: in the order in which they begin.
        parallel: worker processes; 1 runs in this process.
    """
    if parallel <= 1:
        yield from _one_by_one(work, state, jobs)
    else:
        yield from _in_workers(work, state, list(jobs), parallel)


def _one_by_one(work, state, jobs):
    for job in jobs:
        yield Begun(job)
        try:
            work(state, job)
            yield Ended(job)
        except SystemExit as error:
            # What Lightning makes of a second Ctrl-C.
            raise KeyboardInterrupt from error
        except Exception as error:
            yield Ended(job, explain(error))


def _in_workers(work, state, jobs, parallel):
    waiting: Queue = Queue()
    for job in jobs:
        waiting.put(job)
    events: Queue = Queue()
    lanes = [_Lane(work, state, waiting, events, parallel) for _ in range(min(parallel, len(jobs)))]
    for lane in lanes:
        lane.start()
    try:
        left = len(jobs)
        while left:
            event = events.get()
            left -= isinstance(event, Ended)
            yield event
    finally:
        for lane in lanes:
            lane.stopped = True
        patience = time.monotonic() + PATIENCE
        for lane in lanes:
            lane.join(max(0.0, patience - time.monotonic()))
            lane.kill()


class _Lane(threading.Thread):
    """Feeds one worker process, and starts another when that one dies.

    A pool of its own for each worker: a shared pool would fail every job when one worker is
    killed, and could not tell whose fault it was.
    """

    def __init__(self, work, state, waiting: Queue, events: Queue, parallel: int):
        super().__init__(daemon=True)
        self.work, self.state, self.parallel = work, state, parallel
        self.waiting, self.events = waiting, events
        self.stopped = False
        self.pool: ProcessPoolExecutor | None = None

    def run(self) -> None:
        while not self.stopped:
            try:
                job = self.waiting.get_nowait()
            except Empty:
                break
            self.events.put(Begun(job))
            self.events.put(Ended(job, self._attempt(job)))
        if self.pool is not None:
            self.pool.shutdown(wait=False)

    def kill(self) -> None:
        """Ends the worker; what it was doing is repeated by the next call."""
        # None once the pool has shut itself down.
        for process in list((getattr(self.pool, "_processes", None) or {}).values()):
            process.terminate()

    def _attempt(self, job) -> tuple[str, str] | None:
        if self.pool is None:
            self.pool = ProcessPoolExecutor(
                max_workers=1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_prepare,
                initargs=(self.work, self.state, self.parallel),
            )
        try:
            return self.pool.submit(_call, job).result()
        except BrokenProcessPool:
            self.pool = None
            return "its worker process died (killed, or out of memory)", ""
        except (KeyboardInterrupt, SystemExit):
            # Ctrl-C has reached the parent too, which no longer listens; a signal to the worker
            # alone is a failure like others.
            return "it was interrupted", ""
        except Exception as error:
            return explain(error)


_shared: dict = {}


def _prepare(work, state, parallel: int) -> None:
    _shared.update(work=work, state=state)
    threads = max(1, cores() // parallel)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    # Ctrl-C reaches the whole process group: pretraining answers it with a checkpoint, and
    # whatever else a worker is at, the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent must not leave workers that write into runs its successor repeats."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _call(job) -> tuple[str, str] | None:
    try:
        _shared["work"](_shared["state"], job)
    except Exception as error:
        return explain(error)
    return None


def explain(error: Exception) -> tuple[str, str]:
    """A failure in one line for the table, and its traceback for the run's folder."""
    text = " ".join(str(error).split()) or "no message"
    reason = text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"
    shortened = reason if len(reason) <= 300 else reason[:297] + "…"
    return shortened, "".join(traceback.format_exception(error))


def cores() -> int:
    """CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
