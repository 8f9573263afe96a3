"""pretrain(task, source, folder): from media to an encoder on disk."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from ..datasets.example_list import left_out_of
from ..datasets.packs.order import window_within
from ..datasets.source import Source, Subset
from ..encoders.store import check_storable
from ..errors import Interrupted
from ..progress import Display
from ..tasks.task import Task, configured
from .args import TrainerArgs, lightning_arguments, precision_of, total_steps
from .batches import Stream, Unreadable, known_unreadable
from .checkpoint import Checkpoints, FromFirst
from .data import Examples, fitted, labelled, make_loader
from .distributed import Processes, first_process, meet
from .kernels import channels_last, fast_kernels, half_weights
from .loggers import MetricsFile, Rows, make_loggers, refuse_missing
from .module import Pretraining
from .optim import OptimizerArgs
from .run_dir import RunFolder, describe, plain
from .sampler import Schedule
from .sanity_check import (
    check_media,
    in_words,
    motion_in_words,
    refuse_labels,
    refuse_too_few,
    refuse_unsuitable,
    sound_counts,
    sound_in_words,
)
from .signals import until_stopped, without_chatter, without_signals
from .snapshots import Snapshots, export

__all__ = ["OptimizerArgs", "Pretraining", "TrainerArgs", "pretrain"]


def pretrain(
    task: Task,
    source: Source,
    out: str | Path,
    *,
    trainer: TrainerArgs = TrainerArgs(),  # noqa: B008 (frozen)
    optimizer: OptimizerArgs = OptimizerArgs(),  # noqa: B008 (frozen)
    seed: int = 0,
    config: dict[str, Any] | None = None,
    keep_at: Sequence[int] = (),
) -> Path:
    """Trains a task on a source and writes its encoders into a run folder.

    The same call again goes on exactly where an interrupted run was, and returns at once where
    it is finished. The task's initial weights are the caller's: build it after
    `torch.manual_seed(seed)` for runs that can be repeated.

    Args:
        task: what to train; it is changed in place.
        source: the media; labels are used by the supervised control only.
        out: the run folder (see `run_dir.py` for what it holds).
        trainer: how long and on what.
        optimizer: with which steps.
        seed: of orders, draws and dropout.
        config: what the run was configured by, kept as config.yaml and compared on a resume.
        keep_at: steps after which the encoders are kept too, as they are then, see `snapshot`.

    Returns:
        The run folder.

    Raises:
        InputError: a mistake in the arguments, a folder that cannot be written or holds another
            run, media that the task cannot use, too many unreadable files, a loss that is no
            number.
        Interrupted: a signal asked for the end, after a checkpoint was written.
    """
    total_steps(trainer, 1)  # a missing length is refused before anything is read
    refuse_missing(trainer.loggers)
    if trainer.balanced:
        labelled(source)
    for encoder in task.encoders.values():
        check_storable(encoder)
    source = fitted(source, task)
    meet("nccl" if lightning_arguments(trainer, False)["accelerator"] != "cpu" else "gloo")
    folder, display = RunFolder(out), Display(trainer.workers_per_device)
    call = _Call(folder, task, source, trainer, optimizer, seed, config, display, keep_at)
    with folder.claimed() if first_process() else nullcontext():
        begun = call.begin()
        if begun.finished:
            if first_process():
                display.say(f"{folder.path} is finished; its encoder is there")
        else:
            call.train(begun)
    return folder.path


class _Begun(NamedTuple):
    """What all processes must know of a run before they train it.

    Attributes:
        finished: there is nothing left to do.
        checkpoint: name of the one to go on from; None: from the beginning.
        left_out: numbers of the examples that the task cannot use, int64 [K].
        unreadable: how many files had been found unreadable before the first step.
    """

    finished: bool
    checkpoint: str | None
    left_out: np.ndarray
    unreadable: int


@dataclass
class _Call:
    """One call of `pretrain`, from the newest checkpoint to the end or to an interruption."""

    folder: RunFolder
    task: Task
    source: Source
    trainer: TrainerArgs
    optimizer: OptimizerArgs
    seed: int
    config: dict[str, Any] | None
    display: Display
    keep_at: Sequence[int]

    def begin(self) -> _Begun:
        """What the first process finds in the folder or puts there, on all processes."""
        processes = Processes()
        if processes.size == 1 and not first_process():  # they meet within Lightning's training
            self.folder.wait_for_begin()
            return self._found()
        return processes.first(self._prepare)

    def _prepare(self) -> _Begun:
        self.record = describe(self.task, self.trainer, self.optimizer, self.seed, self.config)
        state = self.folder.state()
        if state is None:
            self._check_media()
        else:
            allow = self.trainer.allow_changes
            for change in self.folder.compare(self.record, self.source, allow=allow):
                self.display.say(f"changed: {change}")
        return self._found()

    def _found(self) -> _Begun:
        state = self.folder.state()
        assert state is not None
        checkpoint = self.folder.newest_checkpoint()
        return _Begun(
            state["finished"],
            checkpoint.name if checkpoint else None,
            left_out_of(self.folder.path),
            state["data"]["unreadable"],
        )

    def _check_media(self) -> None:
        """Checks the media and writes down what the run is made of."""
        trainer, task, say = self.trainer, self.task, self.display.say
        refuse_labels(self.source, task)
        check = check_media(self.source, task, seed=self.seed, say=say)
        if not trainer.drop_unsuitable:
            refuse_unsuitable(check, task)
        elif check.first:
            say(f"left out: {in_words(check, task)}")
        notes = [text for text in (sound_in_words(check), motion_in_words(check, task)) if text]
        for text in notes:
            say(text)
        for lost in check.unreadable[:5]:
            say(f"unreadable: {lost.name}: {lost.stage}: {lost.reason}")
        self.folder.unreadable.unlink(missing_ok=True)
        unreadable = Unreadable(self.folder.unreadable, len(self.source), trainer.max_unreadable)
        unreadable.add(check.unreadable)
        refuse_too_few(len(self.source), check)
        found = {
            "notes": notes,
            "sound": sound_counts(check),
            "checked": check.checked,
            "unreadable": len(unreadable),
        }
        config = self.config or self._as_config()
        self.folder.begin(self.record, config, self.source, check.unsuitable, found)

    def _as_config(self) -> dict[str, Any]:
        """What a call from Python asks for, as a config would say it."""
        asked = {key: self.record[key] for key in ("trainer", "optimizer", "seed")}
        return {"task": plain(configured(self.task)), **asked}

    def train(self, begun: _Begun) -> None:
        """Fits, then exports. Raises Interrupted after an interruption was made safe."""
        module = Pretraining(
            self.task,
            self.optimizer,
            seed=self.seed,
            clip=self.trainer.clip,
            open_stream=lambda module: self._open_stream(module, begun),
        )
        self.rows = Rows(self.folder, self.trainer.log_every)
        checkpoint = self.folder.checkpoints / begun.checkpoint if begun.checkpoint else None
        if checkpoint is not None and first_process():
            self.display.say(f"going on from {checkpoint}")
        with without_chatter(), until_stopped() as self.stop, fast_kernels():
            lightning = self._lightning()
            try:
                lightning.fit(module, ckpt_path=checkpoint, weights_only=True)
            finally:
                self.display.close()
                if hasattr(module, "stream"):
                    module.stream.close()
        self._end(module, lightning)

    def _end(self, module: Pretraining, lightning: L.Trainer) -> None:
        first = lightning.is_global_zero
        if module.done >= module.total and first:
            export(self.folder, self.task, module, self.rows.last)
        elif first:
            self.display.say(
                f"stopped after step {module.done} of {module.total}; the same command goes on"
            )
        if not first and isinstance(
            lightning.strategy.cluster_environment,  # type: ignore[attr-defined]
            LightningEnvironment,
        ):
            # Lightning started this process for the training alone.
            raise SystemExit(0)
        if module.done < module.total:
            raise Interrupted(module.stream.stopped)

    def _lightning(self) -> L.Trainer:
        if self.trainer.compile:
            self.task.compile()
        chosen = lightning_arguments(self.trainer, bool(self.task.phases))
        if chosen["accelerator"] != "cpu":
            channels_last(self.task)
        if precision_of(self.trainer) == "bf16-true":
            half_weights(self.task)
        if str(chosen["strategy"]).startswith("ddp"):
            chosen["plugins"].append(FromFirst())
            chosen["strategy"] = _without_broadcast(chosen["strategy"])
        lightning = L.Trainer(
            **chosen,
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=self.folder.path,
            callbacks=[
                self.rows,
                Snapshots(self.folder, self.keep_at),
                Checkpoints(self.folder.checkpoints, self.trainer.checkpoint_every),
            ],
        )
        return without_signals(lightning)

    def _open_stream(self, module: Pretraining, begun: _Begun) -> Stream:
        processes = Processes()
        source = used(self.source, begun.left_out)
        here = -(-processes.size // self.trainer.nodes)  # on one machine, with one cache
        shards = (found := source.shards()) and found.shared(here)
        schedule = Schedule(
            len(source),
            self.trainer.batch_size,
            total=0,
            seed=self.seed,
            start=module.start,
            rank=processes.rank,
            ranks=processes.size,
            accumulate=self.trainer.accumulate,
            balance=labelled(source) if self.trainer.balanced else None,
            shards=shards and shards.numbers,
            window=window_within(shards and shards.room),
            lanes=self.task.consecutive,
        )
        module.total = total_steps(self.trainer, schedule.per_epoch)
        schedule = replace(schedule, total=module.total)
        loader = make_loader(
            Examples(source, self.task, self.seed),
            schedule,
            workers=self.trainer.workers_per_device,
            pin=module.device.type == "cuda",
            shards=shards,
        )
        if processes.rank == 0:
            self._open_rows(module)
        return Stream(
            loader,
            schedule,
            self._unreadable(module, begun, processes),
            self.stop,
            device=module.device,
            left_out=module.left_out,
        )

    def _unreadable(self, module: Pretraining, begun: _Begun, processes: Processes) -> Unreadable:
        path = self.folder.unreadable
        count = begun.unreadable if module.unreadable is None else module.unreadable
        return Unreadable(
            path if processes.rank == 0 else None,
            len(self.source),
            self.trainer.max_unreadable,
            known=processes.first(lambda: known_unreadable(path, count)),
            ignore_unsuitable=self.trainer.drop_unsuitable,
        )

    def _open_rows(self, module: Pretraining) -> None:
        self.rows.file = MetricsFile(self.folder.path / "metrics.csv", module.start)
        self.rows.display = self.display
        module.trainer.loggers = make_loggers(
            self.trainer.loggers, self.folder.path, module.start, self.record
        )


def _without_broadcast(name: str) -> str | DDPStrategy:
    """DDP by its name, without sending the first process's buffers around before every step: they
    are constants, or statistics that each process has of the whole batch already."""
    kinds = {"ddp": False, "ddp_find_unused_parameters_true": True}
    if name not in kinds:
        return name
    return DDPStrategy(broadcast_buffers=False, find_unused_parameters=kinds[name])


def used(source: Source, left_out: np.ndarray) -> Source:
    """The source without some of its examples."""
    if not len(left_out):
        return source
    keep = np.ones(len(source), bool)
    keep[left_out] = False
    return Subset(source, np.flatnonzero(keep))  # type: ignore[arg-type]
