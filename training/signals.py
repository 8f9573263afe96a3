"""Signals that end a run only after its step is saved, and the silencing of other libraries."""

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import lightning as L

# What ends jobs: Ctrl-C, a scheduler, a lost terminal, and Slurm's notice of preemption.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class Stop:
    """Whether a signal asks the run to end.

    Attributes:
        number: of the signal; 0: none yet.
    """

    def __init__(self):
        self.number = 0

    def answer(self, number: int, frame: object) -> None:
        """Notes the signal; only a second Ctrl-C does not wait for the step's end."""
        if self.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number


@contextmanager
def until_stopped() -> Iterator[Stop]:
    """Signals are noted in place of ending the process, so that a step is finished and saved."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    # A signal that is ignored, as under nohup, stays so.
    chosen = [n for n in ENDING if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop.answer) for number in chosen}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def without_signals(trainer: L.Trainer) -> L.Trainer:
    """Keeps Lightning from answering signals itself.

    Its own handler talks to the other processes from within, which can hang all of them, and asks
    the device at every step whether a signal came, which makes the host wait.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None
    return trainer


# Lightning's advice that does not hold here, by the beginning of its message.
_CHATTER = (
    "The '.*' does not have many workers",
    "You defined a `validation_step`",
    "The number of training batches",
    "`_get_data_batch` did not find",
    "Trying to infer the `batch_size`",
    "find_unused_parameters=True was specified",
    "Checkpoint directory .* exists and is not empty",
    "Found .* module.* in eval mode",
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    "Total length of `.*` across ranks is zero",  # a run killed before its export
)


@contextmanager
def without_chatter() -> Iterator[None]:
    """Leaves out what Lightning tells developers on every run; warnings still come through."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for beginning in _CHATTER:
                warnings.filterwarnings("ignore", message=beginning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
