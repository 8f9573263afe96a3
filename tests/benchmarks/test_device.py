"""The script for a GPU, run dry on the CPU: every part of it works before one is at hand."""

import json
import sys

import pytest
import torch
from helpers import ROOT, benchmark

from pretexto.datasets.synthetic.source import Synthetic
from pretexto.errors import InputError


@pytest.fixture(scope="module")
def device():
    with benchmark("device") as module:
        yield module


@pytest.fixture
def bench(device, tmp_path):
    return device.Bench(torch.device("cpu"), tmp_path / "out.json", float("inf"), True)


@pytest.mark.timeout(900)  # four short trainings: seconds on an idle machine, minutes on a busy one
def test_a_toy_run_measures_every_section_and_says_where_it_was(device, tmp_path, monkeypatch):
    small = Synthetic("all", train_scenes=2, test_scenes=1, size=32, seconds=1.0)
    monkeypatch.setattr(device, "open_source", {"pictures": small, "films": small}.__getitem__)
    monkeypatch.setattr(device, "TOYS", device.TOYS[1:])
    out = tmp_path / "out.json"
    words = ["--toy", "--recipes", "rotation_clips", "--cifar", "pictures", "--clips", "films"]
    assert device.main([*words, "--device", "cpu", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert set(found) == {"about", "equality", "speed", "cifar10", "clips"}
    assert set(found["about"]) >= {"command", "commit", "card", "versions", "written"}
    equal = found["equality"]["rotation_clips"]
    assert equal["equal"] is True
    # On the CPU full precision is the same computation, and half precision is not.
    assert (equal["full_loss"], equal["full_gradient"]) == (0, 0)
    assert 0.9 < equal["half_cosine"] < 1
    lines = found["speed"]
    shown = [f"{task}, tiny, " for task in ("rotation_clips", "causal_language")]
    assert list(lines) == [name + through for name in shown for through in ("plain", "trainer")]
    assert all(line["examples_per_second"] > 0 for line in lines.values())
    flops = [line["flops_per_example"] for line in lines.values()]
    assert flops[0] == flops[1] != flops[2] == flops[3]
    for section, name in (("cifar10", "simclr"), ("clips", "rotation_clips")):
        result = found[section][name]
        assert result["steps"] >= 1
        assert result["trained"]["seen_test_files"] == 0
        for entry in ("trained", "untrained"):
            assert 0 <= result[entry]["linear"] <= 1
            assert 0 <= result[entry]["knn"] <= 1


def test_every_recipe_of_a_task_is_among_those_compared(device):
    import yaml

    wanted = {
        path.stem
        for path in (ROOT / "configs").glob("*.yaml")
        if "task" in yaml.safe_load(path.read_text()) and not path.stem.endswith("_paper")
    }
    assert set(device.recipes()) == wanted
    assert {"rotation", "simclr", "rotation_clips"} <= wanted


def test_what_fails_is_named_and_the_rest_goes_on(device, bench, capsys):
    def broken():
        raise RuntimeError("no such kernel")

    bench.note("speed", "first", broken)
    bench.note("speed", "second", lambda: {"examples_per_second": 5})
    bench.until = 0.0
    bench.note("speed", "third", broken)
    found = json.loads(bench.out.read_text())["speed"]
    assert found["first"]["failed"] == "RuntimeError: no such kernel"
    assert found["second"]["examples_per_second"] == 5
    assert found["third"]["skipped"] == "no time left"


@pytest.mark.parametrize(
    ("line", "code"), [({"equal": True}, 0), ({"equal": False}, 1), ({"failed": "why"}, 1)]
)
def test_the_exit_code_tells_what_is_unequal_or_failed(device, monkeypatch, tmp_path, line, code):
    monkeypatch.setattr(device, "equality", lambda name, device, toy: dict(line))
    monkeypatch.setattr(device, "TOYS", ())
    words = ["--toy", "--recipes", "rotation", "--out", str(tmp_path / "out.json")]
    assert device.main(words) == code


def test_another_gradient_is_found_unequal(device, monkeypatch):
    module = sys.modules["parts.equality"]
    real, calls = module.differentiated, []

    def turned(*args, **options):
        loss, gradient = real(*args, **options)
        calls.append(options)
        gradient[::3] *= 1.5 if len(calls) > 4 else 1.0
        return loss, gradient

    monkeypatch.setattr(module, "differentiated", turned)
    found = device.equality("rotation", torch.device("cpu"), toy=True)
    # The CPU, what it makes of a millionth, three times, and the device in two precisions.
    assert calls == [{}, {"rounding": 1}, {"rounding": 2}, {"rounding": 3}, {}, {"half": True}]
    assert 0 < found["rounding_gradient"] < 0.01
    assert found["equal"] is False
    assert found["full_gradient"] > 0.05


def test_the_flops_of_a_step_are_those_of_its_products(device, bench):
    task = device.recipe("rotation", "tiny", 32, 1)
    source = device.Noise(8, "image", 37, 1)
    one = device.step_flops(bench, task, device.examples(task, source, 2))
    two = device.step_flops(bench, task, device.examples(task, source, 4))
    assert two == pytest.approx(2 * one)
    linear = torch.nn.Linear(5, 7)

    class Counted(torch.nn.Module):
        def augment(self, batch):
            return batch

        def forward(self, batch):
            return type("Step", (), {"loss": linear(batch["x"]).sum()})()

    # Forwards 2 x 3 x 5 x 7; backwards once for the weights, for the input has no gradient.
    got = device.step_flops(bench, Counted(), {"x": torch.ones(3, 5)})
    assert got == 2 * 2 * 3 * 5 * 7


def test_idle_is_what_no_span_covers(device):
    idle_share = sys.modules["parts.device_kit"].idle_share
    assert idle_share([]) is None
    assert idle_share([(0, 4), (6, 10)]) == pytest.approx(0.2)
    # Streams overlap, and come in any order.
    assert idle_share([(6, 10), (0, 4), (1, 3), (3, 5)]) == pytest.approx(0.1)


def test_a_clock_times_the_steps_after_the_warm_ones(device, monkeypatch):
    kit = sys.modules["parts.device_kit"]
    now = iter([10.0, 16.0])
    monkeypatch.setattr(kit.time, "perf_counter", lambda: next(now))
    clock = device.Clock(torch.device("cpu"), warm=2, timed=3, watched=1)
    assert clock.steps == 7
    for _ in range(clock.steps):
        clock.tick()
    assert clock.seconds == 6.0


def test_a_card_is_known_by_its_name(device, monkeypatch):
    gpu = torch.device("cuda")
    for name, peak in [("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA A100-SXM4-40GB", 312e12)]:
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _, name=name: name)
        assert device.peak_of(gpu) == peak
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Another")
    assert device.peak_of(gpu) is None
    assert device.peak_of(torch.device("cpu")) is None


def test_an_unknown_recipe_is_refused_in_words(device):
    with pytest.raises(InputError, match="no config rotatoin"):
        device.recipe("rotatoin")
