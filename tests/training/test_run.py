"""A run folder: what it holds, what it refuses, and in which words."""

import csv
import hashlib
import json
import multiprocessing

import pytest
import torch
import yaml
from fakes import FakeEncoder, FakeSource, FakeTask, TwoPhases, fake_task

from pretexto.datasets.example_list import read_listing
from pretexto.encoders.store import load_encoder, read_card
from pretexto.errors import InputError
from pretexto.training.pretrain import OptimizerArgs, TrainerArgs, pretrain
from pretexto.training.run_dir import load_task


def args(**changes):
    defaults = {"steps": 6, "batch_size": 6, "workers": 0, "log_every": 1, "accelerator": "cpu"}
    return TrainerArgs(**{**defaults, **changes})


def digest(run):
    return hashlib.sha256((run / "encoder.safetensors").read_bytes()).hexdigest()


def column(run, name):
    with (run / "metrics.csv").open(newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "finished"
    task = fake_task()
    pretrain(task, FakeSource(), out, trainer=args())
    return out, task


def test_a_run_leaves_everything_behind(finished):
    out, _ = finished
    state = json.loads((out / "run.json").read_text())
    assert state["finished"]
    assert state["versions"]["torch"] == torch.__version__.split("+")[0]
    assert state["seed"] == 0
    listed = read_listing(out, "name", "label", "left_out")
    assert list(listed) == [(FakeSource().name(i), int(i >= 12), None) for i in range(24)]
    assert column(out, "step") == ["1", "2", "3", "4", "5", "6"]
    assert not (out / "unreadable.jsonl").exists()
    card = read_card(out)
    assert card["steps"] == 6
    assert card["data"] == FakeSource().fingerprint()
    assert card["pretext_metric"] == {"accuracy": float(column(out, "accuracy")[-1])}
    assert yaml.safe_load((out / "config.yaml").read_text())["optimizer"]["name"] == "adamw"


def test_the_encoder_comes_back_as_it_was_trained(finished):
    out, task = finished
    loaded = load_encoder(out)
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(loaded(x), task.encoder.eval()(x), rtol=0, atol=0)
    other = fake_task(seed=1)
    load_task(other, out)
    assert torch.equal(other.head.weight, task.head.weight)


def test_training_moved_every_parameter_and_counted_every_step(finished):
    _, task = finished
    fresh = dict(fake_task().named_parameters())
    assert all(not torch.equal(p, fresh[name]) for name, p in task.named_parameters())
    assert int(task.get_buffer("steps_taken")) == 6


def test_checkpoints_load_without_pickled_code(finished):
    out, _ = finished
    held = torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)
    assert held["pretexto"]["done"] == 6
    assert "loops" not in held


def test_two_checkpoints_are_kept(tmp_path):
    out = pretrain(fake_task(), FakeSource(), tmp_path, trainer=args(checkpoint_every=2))
    done = [
        torch.load(out / "checkpoints" / name, weights_only=True)["pretexto"]["done"]
        for name in ("previous.ckpt", "last.ckpt")
    ]
    assert done == [4, 6]
    assert len(list((out / "checkpoints").iterdir())) == 2


def test_a_finished_run_is_recognised_without_reading(finished, capsys):
    out, _ = finished
    source = FakeSource()
    before = digest(out)
    assert pretrain(fake_task(), source, out, trainer=args(workers=2, log_every=3)) == out
    assert source.reads == 0
    assert digest(out) == before
    assert "is finished" in capsys.readouterr().out


def test_no_worker_outlives_its_run(tmp_path):
    """The process would wait for it at its end, for ever."""
    before = multiprocessing.active_children()
    pretrain(fake_task(), FakeSource(), tmp_path, trainer=args(workers=2))
    assert multiprocessing.active_children() == before


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"optimizer": OptimizerArgs(lr=0.01)}, "optimizer.lr: 0.001 in the run, 0.01 now"),
        ({"trainer": args(steps=8)}, "trainer.steps: 6 in the run, 8 now"),
        ({"seed": 4}, "seed: 0 in the run, 4 now"),
        ({"source": FakeSource(26)}, "2 files more: 024.mp4, 025.mp4"),
        ({"source": FakeSource(23)}, "1 file missing: 023.mp4"),
        ({"source": FakeSource(24, salt="a")}, "24 files more: a000.mp4, a001.mp4, a002.mp4, …"),
    ],
)
def test_another_run_in_the_folder_is_refused_naming_the_difference(finished, call, words):
    out, _ = finished
    call = {"trainer": args(), "source": FakeSource(), **call}
    before = digest(out)
    with pytest.raises(InputError) as caught:
        pretrain(fake_task(), call.pop("source"), out, **call)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert digest(out) == before


def test_other_labels_are_other_data(finished):
    class Relabelled(FakeSource):
        def label(self, i):
            return 1 - super().label(i)

    with pytest.raises(InputError, match=r"label of 000\.mp4: 0 in the run, 1 now"):
        pretrain(fake_task(), Relabelled(), finished[0], trainer=args())


def test_the_config_is_kept_and_compared(tmp_path):
    config = {"task": {"class_path": "x.Y", "init_args": {"size": 64}}, "out": "a"}
    pretrain(fake_task(), FakeSource(), tmp_path, trainer=args(steps=1), config=config)
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == config
    config["out"] = "b"
    pretrain(fake_task(), FakeSource(), tmp_path, trainer=args(steps=1), config=config)
    config["task"]["init_args"]["size"] = 96  # type: ignore[index]
    with pytest.raises(InputError, match=r"task\.init_args\.size: 64 in the run, 96 now"):
        pretrain(fake_task(), FakeSource(), tmp_path, trainer=args(steps=1), config=config)


def test_a_replay_gives_the_same_weights_with_any_number_of_workers(finished, tmp_path):
    out, _ = finished
    for workers in (1, 2):
        run = pretrain(
            fake_task(), FakeSource(), tmp_path / str(workers), trainer=args(workers=workers)
        )
        assert digest(run) == digest(out)
        assert column(run, "loss") == column(out, "loss")
    other = pretrain(fake_task(), FakeSource(), tmp_path / "seed", trainer=args(), seed=1)
    assert digest(other) != digest(out)


def test_an_unwritable_folder_is_refused_before_any_data_is_read(tmp_path):
    (tmp_path / "file").write_text("")
    source = FakeSource()
    source.info = None  # type: ignore[assignment]
    with pytest.raises(InputError, match="cannot write there"):
        pretrain(fake_task(), source, tmp_path / "file" / "run", trainer=args())


def test_clips_that_the_task_cannot_use_are_refused_or_left_out(tmp_path, capsys):
    source = FakeSource(silent=[2, 7])
    with pytest.raises(InputError, match="drop_unsuitable") as caught:
        pretrain(fake_task(needs_sound=True), source, tmp_path, trainer=args())
    words = "FakeTask cannot use 2 of 24 examples: 002.mp4: it has no sound; 007.mp4"
    assert words in str(caught.value)
    out = pretrain(
        fake_task(needs_sound=True), source, tmp_path, trainer=args(drop_unsuitable=True)
    )
    assert words in capsys.readouterr().out
    left_out = [row for row in read_listing(out, "name", "left_out") if row[1]]
    assert left_out == [("002.mp4", "it has no sound"), ("007.mp4", "it has no sound")]
    assert set(column(out, "unreadable")) == {"0"}


def test_unreadable_files_are_named_once_counted_and_survived(tmp_path):
    source = FakeSource(broken=[3], unprobed=[8])
    trainer = args(steps=10, max_unreadable=0.1)
    out = pretrain(fake_task(), source, tmp_path, trainer=trainer)
    assert lines(out / "unreadable.jsonl") == [
        {"name": "008.mp4", "stage": "open", "reason": "no such format"},
        {"name": "003.mp4", "stage": "decode", "reason": "the stream ends early"},
    ]
    assert column(out, "unreadable")[-1] == "2"
    assert read_card(out)["unreadable"] == 2


def test_too_many_unreadable_files_stop_the_run(tmp_path):
    source = FakeSource(broken=[1, 2, 3])
    with pytest.raises(InputError, match="max_unreadable") as caught:
        pretrain(fake_task(), source, tmp_path, trainer=args(max_unreadable=0.05))
    assert "decode: the stream ends early" in str(caught.value)
    assert str(tmp_path / "unreadable.jsonl") in str(caught.value)
    assert len(lines(tmp_path / "unreadable.jsonl")) >= 2


def test_a_batch_with_one_left_is_left_out_and_counted(tmp_path):
    task, source = fake_task(norm=True), FakeSource(2, broken=[1])
    out = pretrain(task, source, tmp_path, trainer=args(steps=4))
    assert int(task.get_buffer("steps_taken")) == 0
    assert read_card(out)["unreadable"] == 1


def test_a_loss_that_is_no_number_stops_with_the_files_of_its_batch(tmp_path):
    task = fake_task(poison=5)
    with pytest.raises(InputError, match=r"loss became nan at step \d") as caught:
        pretrain(task, FakeSource(), tmp_path, trainer=args(log_every=3))
    found = json.loads((tmp_path / "nonfinite.json").read_text())
    assert len(found["files"]) == 6
    assert "005.mp4" in found["files"]
    assert f"step {found['step']};" in str(caught.value)
    assert not (tmp_path / "encoder.safetensors").exists()


def test_phases_move_only_their_own_parameters(tmp_path):
    torch.manual_seed(0)
    from fakes import FakeEncoder

    task = TwoPhases(FakeEncoder(dropout=0.0))
    out = pretrain(
        task, FakeSource(), tmp_path, trainer=args(steps=2), optimizer=OptimizerArgs(name="sgd")
    )
    # By hand: the critic descends, then the encoder ascends with the critic just moved.
    torch.manual_seed(0)
    by_hand = TwoPhases(FakeEncoder(dropout=0.0))
    replay_by_hand(by_hand, steps=2, lr=1e-3, total=2)
    for name, p in task.named_parameters():
        torch.testing.assert_close(p, by_hand.get_parameter(name), msg=name)
    assert {"critic_loss", "encoder_loss", "critic_seen"} <= set(
        (out / "metrics.csv").read_text().splitlines()[0].split(",")
    )


def replay_by_hand(task, *, steps, lr, total):
    """Two-phase SGD with Nesterov momentum 0.9 and decay 1e-4 on weights, written out."""
    from pretexto.training.data import Examples, make_loader
    from pretexto.training.optim import rate
    from pretexto.training.sampler import Schedule

    velocity = {}
    loader = make_loader(Examples(FakeSource(), task, 0), Schedule(24, 6, steps))
    for loaded in loader:
        for phase in task.phases:
            task.zero_grad()
            task(loaded.batch, phase.name).loss.backward()
            for p in task.param_groups(phase.name)[0]["params"]:
                g = p.grad + (1e-4 * p.detach() if p.ndim > 1 else 0)
                velocity[p] = 0.9 * velocity[p] + g if p in velocity else g
                p.data -= rate(OptimizerArgs(lr=lr), loaded.step, total) * (g + 0.9 * velocity[p])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 5, "epochs": 2.0}, "give one"),
        ({"steps": None}, "trainer.steps or trainer.epochs"),
        ({"batch_size": 0}, "trainer.batch_size"),
        ({"workers": -1}, "trainer.workers"),
        ({"max_unreadable": 2.0}, "trainer.max_unreadable"),
    ],
)
def test_senseless_arguments_are_refused(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        pretrain(fake_task(), FakeSource(), tmp_path / "run", trainer=args(**changes))
    assert not (tmp_path / "run").exists()


def test_epochs_count_whole_passes(tmp_path):
    out = pretrain(fake_task(), FakeSource(), tmp_path, trainer=args(steps=None, epochs=1.5))
    assert column(out, "step")[-1] == "6"
    assert float(column(out, "epoch")[-1]) == 1.5


def test_empty_data_is_refused(tmp_path):
    with pytest.raises(InputError, match="no example"):
        pretrain(fake_task(), FakeSource(0), tmp_path, trainer=args())


class Unstorable(FakeEncoder):
    def __init__(self, **options):
        super().__init__(**options)


def test_an_encoder_that_could_not_be_stored_is_refused_before_the_first_step(tmp_path):
    task = FakeTask(Unstorable(dim=4))
    with pytest.raises(InputError, match="Unstorable takes 'options' as variadic keyword"):
        pretrain(task, FakeSource(), tmp_path / "run", trainer=args())
    assert not (tmp_path / "run").exists()
