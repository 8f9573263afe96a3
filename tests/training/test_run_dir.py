"""What the run folder tells the processes of a run."""

import copy
import os
import signal

import pytest
from fakes import FakeSource, fake_task

from pretexto.encoders.image import TinyImage
from pretexto.errors import InputError, Interrupted
from pretexto.tasks.parts.clip_input import ClipInput
from pretexto.tasks.parts.transforms import Crop
from pretexto.tasks.simclr import SimCLR
from pretexto.training.pretrain import OptimizerArgs, TrainerArgs, pretrain
from pretexto.training.run_dir import RunFolder, describe, differences


def test_a_process_waits_no_longer_than_it_may_for_a_run_that_nobody_begins(tmp_path):
    with pytest.raises(InputError, match="same --out on a disk that they share"):
        RunFolder(tmp_path).wait_for_begin(0.1)


def task(**changes):
    return SimCLR(ClipInput(TinyImage(), size=16), **changes)


def record_of(made, **trainer):
    return describe(made, TrainerArgs(steps=8, **trainer), OptimizerArgs(), 0, None)


def without(record, path):
    """A copy of a record that lacks a key, as a version wrote it that did not have it."""
    found = copy.deepcopy(record)
    *parents, leaf = path.split(".")
    node = found
    for name in parents:
        node = node[name]
    del node[leaf]
    return found


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    "path",
    [
        "trainer.balanced",
        "optimizer.final",
        "task.init_args.crop.flip",
        "task.init_args.colour",
        "task.init_args.video.rate",
        "task.init_args.video.encoder.init_args.width",
    ],
)
def test_a_setting_that_a_run_is_too_old_to_have_stands_at_its_default(path, finished):
    today = record_of(task())
    assert differences(without(today, path), today, finished=finished) == []


def test_a_setting_that_a_run_is_too_old_to_have_is_named_where_it_has_another_value():
    cropped = record_of(task(crop=Crop(scale=(0.08, 1.0), flip=False)), balanced=True)
    old = without(without(cropped, "trainer.balanced"), "task.init_args.crop.flip")
    assert sorted(differences(old, cropped, finished=False)) == [
        "task.init_args.crop.flip: absent in the run, false now",
        "trainer.balanced: absent in the run, true now",
    ]


def test_a_default_is_that_of_the_task_and_not_of_the_class_of_its_argument():
    whole = record_of(task(crop=Crop()))
    assert differences(without(whole, "task.init_args.crop.scale"), whole, finished=False)


def test_an_unfinished_run_of_an_earlier_version_goes_on(tmp_path):
    class Interrupting(FakeSource):
        def read(self, i, plan):
            if self.reads == 30:
                os.kill(os.getpid(), signal.SIGINT)
            return super().read(i, plan)

    def call(source, **changes):
        how = TrainerArgs(
            steps=9, batch_size=6, workers=0, checkpoint_every=2, accelerator="cpu", **changes
        )
        return pretrain(fake_task(), source, tmp_path, trainer=how)

    with pytest.raises(Interrupted):
        call(Interrupting())
    state = RunFolder(tmp_path).state()
    assert not state["finished"]
    old = {**state, "record": without(state["record"], "trainer.balanced")}
    RunFolder(tmp_path).write_state(old)
    with pytest.raises(InputError, match="trainer.balanced: absent in the run, true now"):
        call(FakeSource(), balanced=True)
    assert (call(FakeSource()) / "encoder.json").exists()
