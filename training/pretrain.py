"""pretrain(task, source, folder): from media to an encoder on disk."""

from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from ..datasets.source import Source, Subset
from ..encoders.store import check_storable
from ..progress import Display
from ..tasks.task import Task
from .args import TrainerArgs, lightning_arguments, total_steps
from .batches import Stream, Unreadable
from .data import Examples, Lost, make_loader
from .distributed import Team, first_process
from .loggers import Checkpoints, Journal, Rows
from .module import Pretraining
from .optim import OptimizerArgs
from .run_dir import RunFolder, describe, export
from .sampler import Schedule
from .sanity_check import (
    in_words,
    look,
    motion_in_words,
    refuse_too_few,
    refuse_unsuitable,
    sound_counts,
    sound_in_words,
)
from .signals import on_interrupt, quiet

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
) -> Path:
    """Trains a task on a source and writes its encoders into a run folder.

    The same call again goes on exactly where an interrupted run was, and returns at once where
    it is finished. The task's initial weights are the caller's: build it after
    `torch.manual_seed(seed)` for runs that can be repeated.

    Args:
        task: what to train; it is changed in place.
        source: the media; labels are looked at by the supervised control only.
        out: the run folder (see `run.py` for what it holds).
        trainer: how long and on what.
        optimizer: with which steps.
        seed: of orders, draws and dropout.
        config: what the run was configured by, kept as config.yaml and compared on a resume.

    Returns:
        The run folder.

    Raises:
        InputError: a mistake in the arguments, a folder that cannot be written or holds another
            run, media that the task cannot use, too many unreadable files, a loss that is no
            number.
        KeyboardInterrupt: Ctrl-C, after a checkpoint was written.
    """
    folder = RunFolder(out)
    chief = first_process()
    display = Display(trainer.workers_per_device)
    total_steps(trainer, 1)  # a missing length is refused before anything is read
    for encoder in task.encoders.values():
        check_storable(encoder)
    record = describe(task, trainer, optimizer, seed, config)
    if chief:
        folder.claim()
    state = folder.state()
    if state is not None:
        folder.compare(record, source)
        if state["finished"]:
            if chief:
                display.say(f"{folder.path} is finished; its encoder is there")
            return folder.path
    elif chief:
        _begin(folder, task, source, trainer, seed, record, config, display)
    run = _Run(folder, task, source, trainer, optimizer, seed, chief, display)
    run.train()
    return folder.path


def _begin(
    folder: RunFolder,
    task: Task,
    source: Source,
    trainer: TrainerArgs,
    seed: int,
    record: dict[str, Any],
    config: dict[str, Any] | None,
    display: Display,
) -> None:
    """Looks at the media and writes down what the run is made of."""
    verdict = look(source, task, seed=seed, say=display.say)
    if not trainer.drop_unsuitable:
        refuse_unsuitable(verdict, task)
    elif verdict.unsuitable:
        display.say(f"left out: {in_words(verdict, task)}")
    notes = [text for text in (sound_in_words(verdict), motion_in_words(verdict, task)) if text]
    for text in notes:
        display.say(text)
    (folder.path / "unreadable.jsonl").unlink(missing_ok=True)
    unreadable = Unreadable(folder.path / "unreadable.jsonl", len(source), trainer.max_unreadable)
    for lost in verdict.unreadable[:5]:
        display.say(f"unreadable: {lost.name}: {lost.stage}: {lost.reason}")
    unreadable.add(verdict.unreadable)
    dropped: list[Lost] = verdict.unsuitable
    refuse_too_few(len(source), verdict)
    found = {"notes": notes, "sound": sound_counts(verdict)}
    folder.begin(record, config, source, dropped, found)


class _Run:
    """One call's training, from the newest checkpoint to the end or to an interruption."""

    def __init__(
        self,
        folder: RunFolder,
        task: Task,
        source: Source,
        trainer: TrainerArgs,
        optimizer: OptimizerArgs,
        seed: int,
        chief: bool,
        display: Display,
    ):
        self.folder, self.task, self.source = folder, task, source
        self.trainer, self.optimizer, self.seed = trainer, optimizer, seed
        self.chief, self.display = chief, display
        self.stop = Event()
        self.journal: Journal | None = None

    def train(self) -> None:
        """Fits, then exports. Raises KeyboardInterrupt after an interruption was made safe."""
        module = Pretraining(
            self.task,
            self.optimizer,
            seed=self.seed,
            clip=self.trainer.clip,
            open_stream=self._open_stream,
        )
        self.examples = Examples(self.source, self.task, self.seed)
        self.rows = Rows(self.folder, None, None, self.trainer.log_every)
        with quiet(), on_interrupt(self.stop):
            trainer = self._lightning()
            try:
                trainer.fit(module, ckpt_path=self._checkpoint(), weights_only=True)
            finally:
                self.display.close()
                if self.journal:
                    self.journal.close()
        if module.done < module.total:
            if self.chief:
                self.display.say(
                    f"stopped after step {module.done} of {module.total}; the same command goes on"
                )
            raise KeyboardInterrupt
        if self.chief:
            export(self.folder, self.task, module, self.rows.last)
        elif isinstance(trainer.strategy.cluster_environment, LightningEnvironment):  # type: ignore[attr-defined]
            # Lightning started this process for the training alone.
            raise SystemExit(0)

    def _lightning(self) -> L.Trainer:
        if self.trainer.compile:
            self.task.compile()
        if torch.cuda.is_available():
            _channels_last(self.task)
        return L.Trainer(
            **lightning_arguments(self.trainer, bool(self.task.phases)),
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            benchmark=torch.cuda.is_available(),
            default_root_dir=self.folder.path,
            callbacks=[self.rows, Checkpoints(self.folder, self.trainer.checkpoint_every)],
        )

    def _checkpoint(self) -> Path | None:
        path = self.folder.newest_checkpoint()
        if path is not None and self.chief:
            self.display.say(f"going on from {path}")
        return path

    def _open_stream(self, module: Pretraining, start: int) -> Stream:
        team = Team()
        # Only the first rank has looked at the media when all of them start together.
        used = team.gather(self.folder.used() if team.rank == 0 else None)[0]
        self.examples.source = Subset(self.source, used)
        schedule = Schedule(
            len(used),
            self.trainer.batch_size,
            total=0,
            seed=self.seed,
            start=start,
            rank=team.rank,
            ranks=team.size,
            accumulate=self.trainer.accumulate,
        )
        module.total = total_steps(self.trainer, schedule.per_epoch)
        schedule = replace(schedule, total=module.total)
        loader = make_loader(
            self.examples,
            schedule,
            workers=self.trainer.workers_per_device,
            pin=module.device.type == "cuda",
        )
        unreadable = Unreadable(
            self.folder.path / "unreadable.jsonl",
            len(self.source),
            self.trainer.max_unreadable,
            spare_unsuitable=self.trainer.drop_unsuitable,
            write=team.rank == 0,
        )
        if team.rank == 0:
            self.journal = self.rows.journal = Journal(self.folder.path, start)
            self.rows.display = self.display
        return Stream(loader, schedule, unreadable, team, self.stop)


def _channels_last(task: Task) -> None:
    """Lays out convolution weights as CUDA's tensor cores want them; activations follow."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for p in task.parameters():
        if p.ndim in layouts:
            p.data = p.data.contiguous(memory_format=layouts[p.ndim])
