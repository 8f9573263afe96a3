"""Audits find what tells the answer, on sources that the probe has not seen, and nothing else."""

import json
import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from pretexto import cli
from pretexto.build import load_tree
from pretexto.comparison.audit import (
    Finding,
    Questions,
    audit,
    draw,
    interval,
    leaks,
    measure,
    predict,
)
from pretexto.datasets.source import Source
from pretexto.errors import InputError
from pretexto.modalities.media import MediaError, MediaInfo, Plan, Sample
from pretexto.modalities.rng import coin, uniform
from pretexto.tasks.task import Audit, Guard, Step, Task

ABOUT = ("x", "guard", "a cue")
pytestmark = pytest.mark.usefixtures("few_trees")


@dataclass(frozen=True)
class Guards:
    hide: bool = True


class Coin(Task):
    """Was the coin heads? The picture's brightness tells it where nothing hides that."""

    def __init__(self, guards: Guards = Guards(), leak: float = 1.0):
        super().__init__()
        self.hide, self.leak, self.head = guards.hide, leak, nn.Linear(1, 2)
        self.guards = (Guard("hide", "brightness", guards.hide, lambda b: b["light"]),)
        self.audits = (Audit("mark", "a mark", "wash it off", lambda b: b["mark"]),)

    def plan(self, info, rng):
        if info.path == "0.mp4":
            raise MediaError(info.path, "plan", "not this one")
        return Plan(times=(uniform(rng),))

    def example(self, sample, rng):
        heads = coin(rng)
        light = uniform(rng) + (0.0 if self.hide else 2.0 * heads)
        mark = uniform(rng) + self.leak * heads
        return {
            "light": torch.tensor([light]),
            "mark": torch.tensor([mark]),
            "inputs": torch.rand(3, 1, 8, 8, generator=rng),
            "times": sample.times.float(),
            "target": torch.tensor(int(heads)),
            "weight": torch.tensor(float(uniform(rng) < 0.9)),
        }

    def forward(self, batch, phase=None):
        return Step(self.head(batch["light"]).sum())


class Films(Source):
    """Forty films in ten groups."""

    title = "films"

    def __len__(self):
        return 40

    def name(self, i):
        return f"{i}.mp4"

    def info(self, i):
        return MediaInfo(f"{i}.mp4", "video", duration=2.0, fps=25, frames=50, height=8, width=8)

    def read(self, i, plan):
        frames = torch.zeros(len(plan.times), 3, 8, 8, dtype=torch.uint8)
        return Sample(frames, torch.tensor(plan.times).double(), note=plan.note)

    def group(self, i):
        return f"film {i // 4}"


@cache
def found(guard: bool = True, leak: float = 1.0):
    task = Coin(Guards(guard), leak)
    rows = audit(task, lambda name, on: Coin(Guards(on), leak), Films(), examples=200)
    return {(row.name, row.guard): row for row in rows}


def test_a_cue_is_found_where_its_guard_is_off_and_not_where_it_is_on():
    rows = found()
    on, off = rows["hide", "on"], rows["hide", "off"]
    assert off.accuracy == 1
    assert off.leaks
    assert not on.leaks
    assert on.verdict == "the guard hides it"
    assert abs(on.accuracy - 0.5) < 0.15
    # Nine tenths of 200 are asked, and 1 of 40 media cannot serve.
    assert 155 < on.questions < 190
    assert on.sources == 10


def test_a_guard_that_is_off_is_to_be_turned_on():
    rows = found(guard=False)
    assert rows["hide", "off"].remedy == "turn it on: --task.guards.hide true"
    bad = leaks(list(rows.values()), {"hide": False})
    assert {f.name for f in bad} == {"hide", "mark"}


def test_an_audit_names_its_remedy_and_silence_is_no_alarm():
    leaking = found()["mark", ""]
    assert leaking.verdict == "tells the answer"
    assert leaking.remedy == "wash it off"
    assert found(leak=0.0)["mark", ""].verdict == "at chance"


def test_cues_that_no_task_names_are_looked_at_and_here_at_chance():
    rows = found(leak=0.0)
    names = {name for name, guard in rows if not guard}
    assert names >= {
        "single frame", "borders", "corners", "block grid", "thumbnail", "timestamps", "codec",
        "file size",
    }  # fmt: skip
    assert all(not rows[name, ""].leaks for name in names)


def test_what_no_network_sees_is_shown_and_not_held_against_the_task():
    late = Finding("timestamps", "generic", "when", "", 0.9, 0.8, 1.0, 0.5, 200, 10, seen=False)
    assert late.leaks
    assert leaks([late, replace(late, name="borders", seen=True)], {})[0].name == "borders"
    assert not leaks([late], {})
    seen = {name: row.seen for (name, _), row in found().items()}
    assert [name for name, shown in seen.items() if not shown] == ["timestamps"]


@pytest.mark.parametrize(("visible", "code"), [(True, 1), (False, 0)])
def test_strict_fails_where_a_network_could_see_the_answer(monkeypatch, capsys, visible, code):
    def looked_at(*_, **__):
        about = ("bars", "generic", "dark bars", "", 0.9, 0.8, 1.0, 0.5, 200, 10)
        yield Finding(*about, "tells the answer", "cut them off", seen=visible)

    monkeypatch.setattr("pretexto.comparison.audit.audit", looked_at)
    words = ["audit", "--config", "rotation", "--data", "synthetic:test"]
    assert cli.main(words) == 0
    assert cli.main([*words, "--strict"]) == code
    assert ("The answer can be told from: bars (dark bars)." in capsys.readouterr().out) is visible


def questions(x, y, media):
    batch = {"cue": torch.tensor(x).float(), "target": torch.tensor(y)}
    return Questions([batch], [torch.tensor(media)])


def test_a_medium_is_not_known_again():
    """A cue that names the medium, in a world where each medium has one answer."""
    rng = np.random.default_rng(0)
    media = np.repeat(np.arange(60), 10)
    name = rng.normal(size=(60, 4))[media]
    answer = rng.integers(2, size=60)[media]
    split = measure(questions(name, answer, media), _cue, np.arange(60), ABOUT)
    assert not split.leaks
    # Where every question counts as a source of its own, the probe knows the media again.
    known = predict(name, answer, np.arange(600)[:, None])[0] == answer
    assert known.mean() > 0.95


def test_a_sound_is_not_known_from_the_picture_that_it_belongs_to():
    """Each sound has a name, and is asked about twice: beside its own picture and a strange one."""
    media = torch.arange(200)
    name = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    strange = media.roll(1)
    batch = {
        "inputs": torch.zeros(200, 1), "audio": torch.zeros(200, 1),
        "picture": torch.cat([media, media]), "partner": torch.cat([media, strange]),
        "target": torch.cat([torch.ones(200), torch.zeros(200)]).long(),
        "cue": torch.cat([name, name[strange]]),
    }  # fmt: skip
    looked = measure(Questions([batch], [media]), _cue, np.arange(200), ABOUT)
    # Asked is what lies on one side of the split: all that belongs together, a fifth of the rest.
    assert 200 < looked.questions < 280
    assert looked.low < 0.5 < looked.high


def _cue(batch):
    return batch["cue"]


def test_alarms_without_any_cue_are_rare():
    """Each of 20 cues is noise; the intervals are of 99 %."""
    rng = np.random.default_rng(1)
    media, groups = np.repeat(np.arange(40), 8), np.arange(40)
    alarms = 0
    for _ in range(20):
        x, y = rng.normal(size=(320, 3)), rng.integers(2, size=320)
        alarms += measure(questions(x, y, media), _cue, groups, ABOUT).leaks
    assert alarms <= 1


def test_pairs_are_told_by_what_both_sides_share():
    rng = torch.Generator().manual_seed(0)
    mark = torch.randn(200, 1, generator=rng)
    own = torch.stack([mark, mark + 0.01 * torch.randn(200, 1, generator=rng)], 1)
    strange = torch.randn(200, 2, 1, generator=rng)
    index, groups = torch.arange(200), np.arange(200)
    for sides, leaking in ((own, True), (strange, False)):
        looked = measure(Questions([{"x": sides}], [index]), lambda b: b["x"], groups, ABOUT)
        assert looked.leaks is leaking


def test_the_interval_is_wide_where_sources_go_right_and_wrong_as_a_whole():
    group = np.repeat(np.arange(10), 30)
    answer = np.tile([0, 1], 150)
    whole = (group % 2 == 0).astype(float)
    mixed = np.random.default_rng(0).permutation(whole)
    widths = [np.diff(interval(right, answer, group))[0] for right in (whole, mixed)]
    assert widths[0] > 3 * widths[1]
    assert interval(np.ones(300), answer, group) == (1.0, 1.0)


def test_the_probe_finds_what_is_straight_and_what_is_crooked():
    rng = np.random.default_rng(0)
    x, group = rng.normal(size=(600, 2)), np.repeat(np.arange(60), 10)
    straight = (x.sum(1) > 0).astype(int)
    crooked = (x.prod(1) > 0).astype(int)
    for y in (straight, crooked):
        assert (predict(x, y, group[:, None])[0] == y).mean() > 0.85


def test_unanswered_questions_and_too_few_are_left_alone():
    batch = {"cue": torch.zeros(60, 1), "target": torch.arange(60) % 2, "weight": torch.zeros(60)}
    looked = measure(Questions([batch], [torch.arange(60)]), _cue, np.arange(60), ABOUT)
    assert (looked.questions, looked.known) == (0, False)
    assert math.isnan(looked.accuracy)
    assert looked.row()["accuracy"] is None


def test_media_that_cannot_serve_are_named_where_none_can():
    class Never(Coin):
        def plan(self, info, rng):
            raise MediaError(info.path, "plan", "no")

    with pytest.raises(InputError, match=r"no medium can serve this task: \d+.mp4: plan: no"):
        draw(Never(), Films(), 20, 0)


def test_examples_are_those_of_the_loader():
    once, again = draw(Coin(), Films(), 50, 3), draw(Coin(), Films(), 50, 3)
    assert all(
        torch.equal(a["light"], b["light"])
        for a, b in zip(once.batches, again.batches, strict=True)
    )
    assert sum(len(index) for index in once.media) >= 45


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "synthetic"], "audit needs --config RECIPE or --encoder RUN"),
        (["--config", "shuffle_lern"], "shuffle_learn"),
        (["--config", "rotation", "--examples", "0"], "--examples: 0 is too small"),
        (["--config", "rotation", "--strickt"], "did you mean --strict"),
        (["--config", "rotation", "--data", "no/such"], "no/such"),
        (["--config", "rotation", "--out", "no/such/f.jsonl"], "no folder no/such"),
        (["--config", "rotation", "--task.guards.leterbox", "false"], "did you mean letterbox"),
    ],
)
def test_a_mistake_is_one_line(words, said, capsys):
    assert cli.main(["audit", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1


def test_a_comparison_audits_each_of_its_tasks_with_guards_on_and_off(tmp_path, monkeypatch):
    from pretexto.commands import compare

    seen = []

    def looked_at(task, switched, source, **about):
        off = switched("exposure", False)
        seen.append([{g.name: g.enabled for g in one.guards} for one in (task, off)])
        yield Finding("exposure", "guard", "light", "on", 0.5, 0.4, 0.6, 0.5, 9, 5)

    monkeypatch.setattr("pretexto.comparison.audit.audit", looked_at)
    tasks = load_tree("four_tasks")["tasks"]
    compare._audit({"mine": tasks["shuffle_learn"]}, "four_tasks", Films(), tmp_path)
    ((on, off),) = seen
    assert on["exposure"] is True
    assert off == {**on, "exposure": False}
    (row,) = map(json.loads, (tmp_path / "audit.jsonl").read_text().splitlines())
    assert (row["task"], row["name"], row["low"]) == ("mine", "exposure", 0.4)


def test_text_is_refused_in_one_line(capsys):
    words = ["audit", "--config", "causal_language", "--data", "synthetic:text"]
    assert cli.main([*words, "--examples", "20"]) == 2
    assert "CausalLanguage: an audit looks for cues in pictures" in capsys.readouterr().err
