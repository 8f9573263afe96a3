"""Many files through child processes at once, each file under its own limits."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

from ..modalities.child import Child, Limits, Reply
from ..modalities.media import MediaError

Request = tuple[Any, ...]
_AHEAD = 3  # requests under way or done per child: bounds what waits in memory


def crew(
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
        job: a top-level function, see `modalities.child.Child`.
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
