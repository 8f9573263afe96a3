"""Every shipped recipe is parsed, built and run for one step."""

import pytest
import torch
import yaml

from pretexto.build import SHIPPED, build, load_tree, parse
from pretexto.commands import compare, pretrain
from pretexto.tasks.task import Task

RECIPES = sorted(SHIPPED.glob("*.yaml"))
WORLD = {
    "class_path": "pretexto.datasets.synthetic.Synthetic",
    "init_args": {"split": "train", "train_scenes": 2, "test_scenes": 1},
}
# Towers of a paper's size would take minutes on a CPU.
NARROW = {"audio_visual_l3": ("encoder", "audio_encoder")}
# The papers' clips are too long for the synthetic world, their pictures and networks too large
# for a CPU.
TINY = {True: "pretexto.encoders.image.TinyImage", False: "pretexto.encoders.video.TinyVideo"}
_SHORT = {"size": "32", "frames": "2", "step": "0.04"}
SCALED = {
    "shuffle_learn_paper": {"size": "32", "tau_min": "0.1", "tau_max": "0.2"},
    "sequence_sorting_paper": {"size": "32", "tau_min": "0.1", "tau_max": "0.2"},
    "clip_order_paper": {**_SHORT, "gap": "0.08"},
    "pace_paper": _SHORT,
    "rotation_clips_paper": _SHORT,
}
PRETRAINING = [p.stem for p in RECIPES if "task" in yaml.safe_load(p.read_text())]
COMPARISONS = [p.stem for p in RECIPES if "tasks" in yaml.safe_load(p.read_text())]


def test_every_recipe_is_of_one_kind():
    assert set(PRETRAINING) | set(COMPARISONS) == {p.stem for p in RECIPES}
    assert not set(PRETRAINING) & set(COMPARISONS)


@pytest.mark.parametrize("name", [p.stem for p in RECIPES])
def test_recipe_begins_with_a_comment_that_says_what_it_is_for(name):
    assert (SHIPPED / f"{name}.yaml").read_text().startswith("# ")


def one_step(tree, name, out):
    tree["trainer"] = {"steps": 1, "batch_size": 4, "workers": 0, "drop_unsuitable": True}
    tree["data"] = WORLD
    folder = pretrain.pretrain_from(tree, name, out)
    assert (folder / "encoder.safetensors").is_file()
    assert (folder / "config.yaml").is_file()


@pytest.mark.parametrize("name", PRETRAINING)
def test_recipe_runs_for_one_step(name, tmp_path):
    narrow = [(f"task.{encoder}.width", "4") for encoder in NARROW.get(name, ())]
    scaled = [(f"task.{key}", value) for key, value in SCALED.get(name, {}).items()]
    tree = load_tree(name, narrow + scaled)
    if name in SCALED:
        del tree["split"]
        image = "image" in tree["task"]["init_args"]["encoder"]["class_path"]
        tree["task"]["init_args"]["encoder"] = {"class_path": TINY[image]}
    one_step(tree, name, tmp_path / "run")


@pytest.mark.parametrize("name", SCALED)
def test_a_papers_recipe_is_that_of_a_cpu_in_other_numbers(name):
    paper, small = load_tree(name), load_tree(name.removesuffix("_paper"))
    assert paper["task"]["class_path"] == small["task"]["class_path"]
    head = (SHIPPED / f"{name}.yaml").read_text()
    assert f"size: {name.removesuffix('_paper')}" in " ".join(head.replace("#", "").split())
    assert "Deviation" in head
    with torch.device("meta"):
        task = build({"task": paper["task"]}, {"task": Task}, name)["task"]
    tree = parse(paper, pretrain.schema(), name)
    assert task.views[next(iter(task.views))].size == tree.task.init_args.size >= 80


CASES = [(name, task) for name in COMPARISONS for task in load_tree(name)["tasks"]]


@pytest.mark.parametrize(("name", "task"), CASES, ids=lambda v: v)
def test_every_task_of_a_comparison_runs_for_one_step(name, task, tmp_path):
    tree = load_tree(name)
    parse({**compare.DEFAULTS, **tree}, compare.schema(), name)
    one_step({"task": tree["tasks"][task]}, f"{name}.{task}", tmp_path / "run")


@pytest.mark.parametrize("name", COMPARISONS)
def test_all_tasks_of_a_comparison_train_the_same_encoder(name):
    tree = load_tree(name)
    tasks = build({"tasks": tree["tasks"]}, {"tasks": compare.schema()["tasks"]}, name)["tasks"]
    modality = tree["view"]["modality"]
    kinds = {(type(e), str(e.arguments)) for t in tasks.values() for e in [t.encoders[modality]]}
    assert len(kinds) == 1
