"""plan.json: what may be added to a comparison, what is refused, and settings that came later."""

import copy
import json
from dataclasses import asdict

import comparison_fakes as fakes
import pytest

from pretexto.build import load_tree, resolved
from pretexto.comparison.plan_file import differences, grow
from pretexto.errors import InputError
from pretexto.evaluation.finetune import Tuning
from pretexto.tasks.task import Task


def test_differences_between_plans_are_named():
    there = {"seeds": 3, "trainer": {"steps": 10, "old": 1}, "entries": {"a": 1}}
    here = {"seeds": 3, "trainer": {"steps": 20}, "entries": {"a": 1, "b": 2}}
    assert list(differences(there, here)) == [
        "trainer.steps was 10, is now 20",
        "trainer.old is there but not in this plan",
        "entries.b is new in this plan",
    ]


def a_plan(**changes):
    plan = {"clips": 1, "seeds": 3, "protocols": ["knn"], "levels": False}
    plan |= {"probe_at": []}
    return {**plan, "entries": {"a": {"seeds": 3, "recipe": "x"}}, **changes}


def test_a_folder_with_another_plan_is_refused(tmp_path):
    grow(tmp_path, a_plan())
    with pytest.raises(InputError, match="clips was 1, is now 5; give another --out"):
        grow(tmp_path, a_plan(clips=5))
    with pytest.raises(InputError, match=r"entries\.a\.recipe was x, is now y"):
        grow(tmp_path, a_plan(entries={"a": {"seeds": 3, "recipe": "y"}}))


def test_the_same_plan_goes_on_whatever_its_values_are_written_as(tmp_path):
    plan = a_plan(crops=1, tuning={"lr": (0.1, 0.2), "scale": (0.35, 1.0)})
    assert grow(tmp_path, plan) == grow(tmp_path, plan)
    with pytest.raises(InputError, match=r"tuning.lr was \[0.1, 0.2\], is now \[0.1, 0.3\]"):
        grow(tmp_path, a_plan(crops=1, tuning={"lr": (0.1, 0.3), "scale": (0.35, 1.0)}))


def test_a_plan_that_does_not_say_its_crops_had_one(tmp_path):
    grow(tmp_path, a_plan())
    grow(tmp_path, a_plan(crops=1))
    with pytest.raises(InputError, match="crops was 1, is now 3; give another --out"):
        grow(tmp_path, a_plan(crops=3))


def without(tree, *paths):
    """A copy of a tree that lacks some keys, as a version wrote it that did not have them."""
    tree = copy.deepcopy(tree)
    for path in paths:
        *parents, leaf = path.split(".")
        node = tree
        for name in parents:
            node = node[name]
        del node[leaf]
    return tree


def a_plan_of_today():
    """Of one shipped task with a budget of its own."""
    recipe = load_tree("simclr", [("task.video.size", "16")])["task"]
    config = resolved({"task": recipe}, {"task": Task}, "simclr")["task"]
    budget = asdict(fakes.TrainerArgs(steps=4))
    entry = {"seeds": 3, "recipe": config, "trainer": budget, "optimizer": None}
    view, tuning = asdict(fakes.VIEW), asdict(Tuning())
    return a_plan(trainer=budget, entries={"a": entry}, view=view, tuning=tuning)


LATER = (
    "trainer.balanced",
    "tuning.batch_size",
    "view.rate",
    "entries.a.trainer.deterministic",
    "entries.a.recipe.init_args.blur.sigma",
    "entries.a.recipe.init_args.guards",
    "entries.a.recipe.init_args.video.frame_interval",
    "entries.a.recipe.init_args.video.encoder.init_args.width",
)


@pytest.mark.parametrize("path", LATER)
def test_a_setting_that_came_later_and_stands_at_its_default_is_no_change(tmp_path, path):
    plan = json.loads(json.dumps(a_plan_of_today()))
    grow(tmp_path, without(plan, path))
    grow(tmp_path, plan)
    assert grow(tmp_path, plan) == {**plan, "crops": 1}


def test_a_setting_that_came_later_and_has_another_value_is_refused(tmp_path):
    plan = json.loads(json.dumps(a_plan_of_today()))
    blur = "entries.a.recipe.init_args.blur.sigma"
    grow(tmp_path, without(plan, "trainer.balanced", blur))
    with pytest.raises(InputError, match="trainer.balanced is new in this plan"):
        grow(tmp_path, {**plan, "trainer": {**plan["trainer"], "balanced": True}})
    plan["entries"]["a"]["recipe"]["init_args"]["blur"]["sigma"] = [0.1, 3.0]
    with pytest.raises(InputError, match="blur.sigma is new in this plan"):
        grow(tmp_path, plan)


def test_a_plan_takes_in_what_is_new_and_forgets_nothing(tmp_path):
    grow(tmp_path, a_plan())
    more = {"b": {"seeds": 5, "recipe": "y"}}
    both = grow(tmp_path, a_plan(seeds=5, protocols=["linear"], levels=True, entries=more))
    assert (both["seeds"], both["protocols"], both["levels"]) == (5, ["knn", "linear"], True)
    assert {name: entry["seeds"] for name, entry in both["entries"].items()} == {"a": 3, "b": 5}
    assert grow(tmp_path, a_plan(seeds=1)) == both
