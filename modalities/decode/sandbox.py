"""Untrusted files are decoded in a child process, under limits on time and memory.

A decoder that crashes, hangs or eats memory takes its child with it and nothing else: the file
becomes a MediaError with the reason, and the next one gets a new child. Only JSON and raw bytes
travel between the processes.
"""

import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from itertools import islice
from typing import IO, Any

from ..media import AudioSpan, MediaError, MediaInfo, Plan, Sample

Reply = tuple[dict[str, Any], list[bytes]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use for one job.

    Attributes:
        seconds: wall-clock time.
        megabytes: memory beyond what the child holds when it starts (on Linux; elsewhere none).
    """

    seconds: float = 60.0
    megabytes: int = 2048


class Child:
    """A process that does one job after another; it starts with the first and restarts if it dies.

    Args:
        job: a top-level function of this package, called with JSON values, that returns a dict
            of JSON values and a list of byte strings. It may raise MediaError.
        limits: of each job.
    """

    def __init__(self, job: Callable[..., Reply], limits: Limits | None = None):
        self._job = f"{job.__module__}:{job.__qualname__}"
        self.limits = limits or Limits()
        self._process: subprocess.Popen | None = None

    def run(self, path: str, *arguments: Any) -> Reply:
        """Calls the job with the path and the arguments, in the child.

        Raises:
            MediaError: what the job raised; stage "time", "memory" or "crash" where it broke a
                limit or killed the child.
        """
        process = self._started()
        late = threading.Event()

        def kill():
            late.set()
            process.kill()

        watch = threading.Timer(self.limits.seconds, kill)
        watch.start()
        try:
            _send(process.stdin, {"path": path, "arguments": arguments})
            facts, blobs = _receive(process.stdout)
        except (OSError, EOFError, ValueError):
            self.close(kill=True)
            raise MediaError(path, *self._why(process.returncode, late.is_set())) from None
        except BaseException:
            self.close(kill=True)
            raise
        finally:
            watch.cancel()
        if "stage" in facts:
            raise MediaError(path, facts["stage"], facts["reason"])
        return facts["answer"], blobs

    def close(self, kill: bool = False) -> None:
        """Ends the process; a later `run` starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        process.wait()

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_process": None}

    def _started(self) -> subprocess.Popen:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = _spawn(self._job, self.limits)
            try:
                # Loading libraries is not the file's fault: its time starts after this.
                _receive(self._process.stdout)
            except EOFError:
                self.close(kill=True)
                raise RuntimeError(f"no child process can run {self._job}") from None
        return self._process

    def _why(self, code: int, late: bool) -> tuple[str, str]:
        if late or code == -getattr(signal, "SIGALRM", 0):
            return "time", f"not done after {self.limits.seconds:g} s"
        if code < 0:
            return "crash", f"the decoder crashed ({signal.Signals(-code).name})"
        return "crash", f"the decoder's process ended (exit code {code})"


def _spawn(job: str, limits: Limits) -> subprocess.Popen:
    # -P: a folder of the user's must not stand in for a library of the same name.
    code = f"from {__name__} import serve; serve({job!r}, {limits.seconds!r}, {limits.megabytes!r})"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"},
        # Ctrl-C is the parent's affair.
        start_new_session=True,
    )


def serve(job: str, seconds: float, megabytes: int) -> None:
    """The child's life: answers requests from standard input until it closes."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    # Decoders that print must not garble the answers.
    os.dup2(2, 1)
    module, name = job.split(":")
    call = getattr(import_module(module), name)
    _limit_memory(megabytes)
    _send(answers, {"ready": True})
    while True:
        try:
            request, _ = _receive(requests)
        except EOFError:
            return
        # Should the parent die, nobody else would end a job that hangs.
        _alarm(seconds + 5)
        facts, blobs = _answer(call, request)
        _send(answers, facts, blobs)
        _alarm(0)


def _answer(call: Callable[..., Reply], request: dict) -> Reply:
    try:
        answer, blobs = call(request["path"], *request["arguments"])
        return {"answer": answer}, blobs
    except MediaError as error:
        short = "allocate" in error.reason or isinstance(error.__cause__, MemoryError)
        return {"stage": "memory" if short else error.stage, "reason": error.reason}, []
    except MemoryError:
        return {"stage": "memory", "reason": "needs more memory than the limit"}, []
    except Exception as error:
        return {"stage": "decode", "reason": f"{type(error).__name__}: {error}"[:300]}, []


def _limit_memory(megabytes: int) -> None:
    """Bounds private writable memory: address space is no measure, libraries map gigabytes."""
    try:
        import resource

        with open("/proc/self/status") as file:
            now = next(int(line.split()[1]) for line in file if line.startswith("VmData"))
        most = now * 1024 + megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, StopIteration):
        return


def _alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _send(pipe: IO[bytes] | None, facts: dict, blobs: list[bytes] | None = None) -> None:
    assert pipe is not None
    text = json.dumps(facts).encode()
    sizes = [len(text), *(len(blob) for blob in blobs or [])]
    pipe.write(struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes))
    pipe.write(text)
    for blob in blobs or []:
        pipe.write(blob)
    pipe.flush()


def _receive(pipe: IO[bytes] | None) -> Reply:
    (count,) = struct.unpack("<I", _exactly(pipe, 4))
    sizes = struct.unpack(f"<{count}Q", _exactly(pipe, 8 * count))
    text, *blobs = [_exactly(pipe, size) for size in sizes]
    return json.loads(text), blobs


def _exactly(pipe: IO[bytes] | None, size: int) -> bytes:
    assert pipe is not None
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data


class IsolatedReader:
    """`probe` and `read` in a child process: for files that nobody has looked at yet.

    Args:
        limits: of each file.
    """

    def __init__(self, limits: Limits | None = None):
        self._child = Child(read_job, limits)

    def probe(self, path: str) -> MediaInfo:
        """As `modalities.read.probe`."""
        answer, _ = self._child.run(path, None)
        return MediaInfo(**{**answer, "motion": tuple(answer["motion"])})

    def read(self, path: str, plan: Plan) -> Sample:
        """As `modalities.read.read`."""
        import torch

        # The note is the task's own affair; it need not be JSON.
        answer, blobs = self._child.run(path, asdict(replace(plan, note=None)))
        values: dict[str, Any] = {"audio_rate": answer["audio_rate"], "note": plan.note}
        for (name, dtype, shape), blob in zip(answer["tensors"], blobs, strict=True):
            flat = torch.frombuffer(bytearray(blob), dtype=getattr(torch, dtype))
            values[name] = flat.reshape(shape)
        return Sample(**values)

    def close(self) -> None:
        self._child.close()


def read_job(path: str, plan: dict | None) -> Reply:
    """What `IsolatedReader` has done in the child."""
    from .reader import probe, read

    if plan is None:
        return asdict(probe(path)), []
    spans = tuple(AudioSpan(**span) for span in plan["audio"])
    pairs = tuple((a, b) for a, b in plan["flow"])
    fields = {**plan, "times": tuple(plan["times"]), "audio": spans, "flow": pairs}
    sample = read(path, Plan(**fields))
    tensors, blobs = [], []
    for name in ("frames", "times", "audio", "flow"):
        value = getattr(sample, name)
        if value is not None:
            tensors.append((name, str(value.dtype).removeprefix("torch."), list(value.shape)))
            blobs.append(value.contiguous().numpy().tobytes())
    return {"tensors": tensors, "audio_rate": sample.audio_rate}, blobs


Request = tuple[Any, ...]
_AHEAD = 3  # requests under way or done per child: bounds what waits in memory


def run_in_children(
    job: Callable[..., Reply],
    requests: Iterable[Request],
    *,
    jobs: int,
    limits: Limits,
    ordered: bool = False,
) -> Iterator[tuple[Request, Reply | MediaError]]:
    """Runs `job(*request)` for every request in `jobs` child processes.

    A file that kills its child, takes too long or too much memory gives a MediaError; the child
    is replaced and the others go on.

    Args:
        job: a top-level function, see `Child`.
        requests: a path and further JSON values each.
        jobs: number of children.
        limits: of each request.
        ordered: give the answers in the order of the requests instead of as they come.
    """
    children = [Child(job, limits) for _ in range(jobs)]
    free, here = list(children), threading.local()

    def answer(request: Request) -> Reply | MediaError:
        if not hasattr(here, "child"):
            here.child = free.pop()
        try:
            return here.child.run(*request)
        except MediaError as error:
            return error

    pool = ThreadPoolExecutor(jobs)
    try:
        yield from _through(pool, answer, iter(requests), jobs * _AHEAD, ordered)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in children:
            child.close(kill=True)
        pool.shutdown(wait=True)


def _through(pool, answer, requests: Iterator[Request], window: int, ordered: bool):
    pending: dict[Future, Request] = {}
    while True:
        for request in islice(requests, window - len(pending)):
            pending[pool.submit(answer, request)] = request
        if not pending:
            return
        if ordered:
            future = next(iter(pending))
        else:
            future = next(iter(wait(pending, return_when=FIRST_COMPLETED).done))
        yield pending.pop(future), future.result()
