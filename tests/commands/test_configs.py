"""Every shipped recipe is parsed, built and run for one step."""

import pytest
import torch
import yaml

from pretexto.build import SHIPPED, build, load_tree, parse
from pretexto.commands import compare, pretrain
from pretexto.tasks.task import Task

RECIPES = sorted(SHIPPED.glob("*.yaml"))
WORLD = {
    "class_path": "pretexto.datasets.synthetic.source.Synthetic",
    "init_args": {"split": "train", "train_scenes": 2, "test_scenes": 1},
}
# Towers of a paper's size would take minutes on a CPU.
NARROW = {"audio_visual_l3": ("video.encoder", "audio.encoder")}
# The papers' clips are too long for the synthetic world, their pictures and networks too large
# for a CPU.
TINY = {True: "pretexto.encoders.image.TinyImage", False: "pretexto.encoders.video.TinyVideo"}
_SMALL = {"video.size": "32", "video.resize_side": "36"}
_SHORT = {**_SMALL, "video.frames": "2", "video.frame_interval": "0.04"}
_NARROW = {"width": "16", "critic_width": "8"}
SCALED = {
    "shuffle_learn_paper": {**_SMALL, "tau_min": "0.1", "tau_max": "0.2"},
    "sequence_sorting_paper": {**_SMALL, "tau_min": "0.1", "tau_max": "0.2"},
    "clip_order_paper": {**_SHORT, "gap": "0.08"},
    "pace_paper": _SHORT,
    "rotation_clips_paper": _SHORT,
    "rotation_paper": {},
    "rotation_imagenet_paper": _SMALL,
    "relative_position_paper": {"video.size": "12", "spatial_grid": "1", "hidden": "16"},
    "jigsaw_paper": {"video.size": "12", "spatial_grid": "1", "hidden": "16", "classes": "9"},
    "colorization_paper": {**_SMALL, "width": "16"},
    "chroma_gan_paper": {**_SMALL, **_NARROW},
    "context_encoder_paper": {**_SMALL, **_NARROW},
    "coherent_semantic_attention_paper": {**_SMALL, **_NARROW},
}
# Recipes of one task with more than one paper's setting.
SMALL = {"rotation_imagenet_paper": "rotation"}
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
    tree["data"] = tree["data"] if "synthetic:text" in tree.get("data", "") else WORLD
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
        video = tree["task"]["init_args"]["video"]
        video["encoder"] = {"class_path": TINY["image" in video["encoder"]["class_path"]]}
    one_step(tree, name, tmp_path / "run")


# What the papers and their authors' code state, and what the head comment must own up to.
_SGD = {"optimizer.name": "sgd", "optimizer.momentum": 0.9, "optimizer.warmup": 0.0}
_ADAM = {"optimizer.name": "adamw", "optimizer.momentum": 0.5, "optimizer.final": 1.0,
         "optimizer.weight_decay": 0.0, "task.guards.letterbox": False}  # fmt: skip
_CLIP = {"task.video.size": 112, "task.video.frames": 16, "task.video.frame_interval": 0.04}
_SQUARE = {"task.crop.ratio": (1.0, 1.0)}
_UNGUARDED = {"task.guards.exposure": False, "task.guards.letterbox": False}
_NO_COLOUR = {f"task.colour.{name}": 0.0 for name in ("brightness", "contrast", "saturation")}
_RATE = ("cosine", "Nesterov", "biases and norms")
_MOTION = "motion as the index measured it"
PAPERS = {
    "shuffle_learn_paper": (
        {"task.video.size": 227, "task.video.frames": 1, "task.video.resize_side": 256,
         "task.tau_max": 60 / 25, "task.tau_min": 15 / 25, "task.positives": 0.25,
         "task.hidden": 0, "task.compare": False, "task.crop.scale": ((227 / 256) ** 2,) * 2,
         "task.guards.static": True, "trainer.batch_size": 128, "trainer.steps": 100_000,
         "optimizer.lr": 0.001, "optimizer.weight_decay": 5e-4,
         **_SGD, **_SQUARE, **_UNGUARDED, **_NO_COLOUR},
        (*_RATE, _MOTION, "CaffeNet", "mirrored", "middle half"),
    ),
    "sequence_sorting_paper": (
        {"task.video.size": 80, "task.video.frames": 1, "task.video.resize_side": 100,
         "task.moments": 4, "task.hidden": 512, "task.crop.scale": (0.8**2, 0.8**2),
         "task.jitter": 5 / 80, "task.reverse": "tuple", "task.guards.spatial_jitter": True,
         "task.guards.channel_splitting": True, "task.guards.static": False,
         "task.by_motion": True, "task.compare": False, "trainer.batch_size": 64,
         "trainer.steps": 170_000, "optimizer.lr": 0.01, "optimizer.weight_decay": 5e-4,
         **_SGD, **_SQUARE, **_UNGUARDED},
        (*_RATE, _MOTION, "CaffeNet", "100 pixels", "tau_min and tau_max are ours"),
    ),
    "clip_order_paper": (
        {**_CLIP, **_SQUARE, **_UNGUARDED, **_NO_COLOUR, "task.clips": 3, "task.gap": 8 / 25,
         "task.hidden": 512, "task.compare": False, "task.crop.scale": ((112 / 128) ** 2,) * 2,
         "task.crop.flip": False, "task.guards.static": False, "task.by_motion": False,
         "trainer.batch_size": 8, "trainer.epochs": 300, "optimizer.lr": 0.001,
         "optimizer.final": 1.0, "optimizer.weight_decay": 5e-4, **_SGD},
        (*_RATE[1:], "shallower", "too short"),
    ),
    "pace_paper": (
        {**_CLIP, **_SQUARE, "task.paces": (1, 2, 3, 4), "task.by_motion": False,
         "task.crop.scale": ((112 / 128) ** 2,) * 2, "task.colour.brightness": 0.8,
         "task.guards.recolour": True, "task.guards.whole_frames": False,
         "task.guards.static": False, "task.pairs": False, "task.hidden": 0,
         "trainer.batch_size": 30, "trainer.epochs": 18, "optimizer.lr": 0.001, **_SGD},
        (*_RATE, "contrastive", "weight decay is ours", "left out"),
    ),
    "rotation_clips_paper": (
        {**_CLIP, **_SQUARE, "task.video.resize_side": 136, "task.hidden": 0,
         "task.crop.scale": ((112 / 136) ** 2,) * 2, "task.guards.square_crop": True,
         "task.guards.letterbox": False, "optimizer.lr": 0.1, **_SGD},
        (*_RATE, "all four rotations", "Batch, length, weight decay"),
    ),
    "rotation_paper": (
        {**_SQUARE, "task.video.size": 32, "task.video.frames": 1, "task.video.resize_side": 36,
         "task.hidden": 0, "task.crop.scale": ((32 / 36) ** 2,) * 2, "task.crop.flip": True,
         "task.guards.square_crop": True, "task.guards.letterbox": False,
         "trainer.batch_size": 128, "trainer.epochs": 200, "optimizer.lr": 0.1,
         "optimizer.weight_decay": 5e-4, **_SGD},
        ("cosine", "biases and norms", "enlarged to 36"),
    ),
    "rotation_imagenet_paper": (
        {"task.video.size": 224, "task.video.frames": 1, "task.hidden": 0,
         "task.guards.square_crop": True, "task.guards.letterbox": False,
         "trainer.batch_size": 192, "trainer.epochs": 50, "optimizer.lr": 0.01,
         "optimizer.weight_decay": 5e-4, **_SGD},
        ("cosine", "biases and norms"),
    ),
    "relative_position_paper": (
        {"task.video.size": 96, "task.video.frames": 1, "task.form": "pair", "task.gap": 48 / 96,
         "task.jitter": 7 / 96, "task.pixelation": 0.33, "task.most_pixels": 450_000,
         "task.hidden": 4096, "task.guards.gap": True, "task.guards.jitter": True,
         "task.guards.pixelation": True, "task.guards.colour_dropping": True,
         "task.guards.colour_projection": False, "task.guards.letterbox": False, **_SGD},
        (*_RATE, "CaffeNet", "four grids", "150 000 pixels", "Rate, batch and length are ours"),
    ),
    "jigsaw_paper": (
        {"task.video.size": 64, "task.video.frames": 1, "task.orders": "greedy",
         "task.classes": 1000, "task.cell": 75 / 64, "task.picture": 256 / 225,
         "task.grey": 0.3, "task.channel_jitter": 2, "task.features": 1024, "task.hidden": 4096,
         "task.missing": 0, "task.guards.gap": True, "task.guards.standardize": True,
         "task.guards.grey": True, "task.guards.channel_jitter": True,
         "task.guards.letterbox": False, "trainer.batch_size": 256, "trainer.steps": 350_000,
         "optimizer.lr": 0.01, **_SGD},
        (*_RATE, "batch norm", "projection", "Weight decay is ours"),
    ),
    "colorization_paper": (
        {"task.video.size": 224, "task.video.frames": 1, "task.stride": 4, "task.uniform": 0.5,
         "task.temperature": 0.38, "task.skips": False, "task.guards.grey": False,
         "task.guards.letterbox": False, "trainer.batch_size": 40, "optimizer.name": "adamw",
         "optimizer.lr": 3e-5, "optimizer.weight_decay": 1e-3},
        ("cosine", "biases and norms", "batch norm", "decoupled", "counted while training"),
    ),
    "chroma_gan_paper": (
        {"task.video.size": 224, "task.video.frames": 1, "task.adversarial": 0.1,
         "task.penalty": 10.0, "task.class_weight": 0.003, "task.critic_width": 64,
         "task.guards.grey": False, "trainer.batch_size": 10, "trainer.epochs": 5,
         "optimizer.lr": 2e-5, **_ADAM},
        ("no teacher", "batch norm", "decoder"),
    ),
    "context_encoder_paper": (
        {"task.video.size": 128, "task.video.frames": 1, "task.hole.kind": "centre",
         "task.hole.share": 0.25, "task.overlap": 4, "task.overlap_weight": 10.0,
         "task.adversarial": 0.001, "task.critic_rate": 0.1, "trainer.batch_size": 64,
         "optimizer.lr": 0.002, **_ADAM},
        ("batch norm", "bottleneck", "PatchGAN", "Length is ours"),
    ),
    "coherent_semantic_attention_paper": (
        {"task.video.size": 256, "task.video.frames": 1, "task.hole.kind": "centre",
         "task.hole.share": 0.25, "task.attention": "coherent", "task.consistency": 0.01,
         "task.adversarial": 0.002, "trainer.batch_size": 1, "optimizer.lr": 2e-4, **_ADAM},
        ("ResNet-34", "U-Net", "Length is ours"),
    ),
}  # fmt: skip


def test_every_recipe_of_a_paper_is_in_the_table():
    assert set(PAPERS) == set(SCALED) == {n for n in PRETRAINING if n.endswith("_paper")}


@pytest.mark.parametrize("name", PAPERS)
def test_a_papers_recipe_has_its_numbers_and_names_what_it_does_otherwise(name):
    own = SMALL.get(name, name.removesuffix("_paper"))
    paper, small = load_tree(name), load_tree(own)
    assert paper["task"]["class_path"] == small["task"]["class_path"]
    parsed = parse(paper, pretrain.schema(), name)
    values, named = PAPERS[name]
    for key, value in values.items():
        got = parsed[key.replace("task.", "task.init_args.")]
        same = value if isinstance(value, str) else pytest.approx(value, rel=1e-3)
        assert got == same, key
    with torch.device("meta"):
        task = build({"task": paper["task"]}, {"task": Task}, name)["task"]
    spec = next(iter(task.specs.values()))
    wanted = (values["task.video.size"], values["task.video.frames"])
    assert (spec.size, spec.frames) == wanted
    head = " ".join((SHIPPED / f"{name}.yaml").read_text().partition("task:")[0].split("#"))
    aims, _, deviations = " ".join(head.split()).partition("Deviation: ")
    assert f"size: {own}" in aims
    assert [word for word in named if word not in deviations] == []


CASES = [(name, task) for name in COMPARISONS for task in load_tree(name)["tasks"]]


@pytest.mark.parametrize(("name", "task"), CASES, ids=lambda v: v)
def test_every_task_of_a_comparison_runs_for_one_step(name, task, tmp_path):
    tree = load_tree(name)
    parse({**compare.DEFAULTS, **tree}, compare.schema(), name)
    own = {"task": tree["tasks"][task], "data": tree.get("data", "")}
    one_step(own, f"{name}.{task}", tmp_path / "run")


@pytest.mark.parametrize("name", COMPARISONS)
def test_all_tasks_of_a_comparison_train_the_same_encoder(name):
    tree = load_tree(name)
    tasks = build({"tasks": tree["tasks"]}, {"tasks": compare.schema()["tasks"]}, name)["tasks"]
    modality = tree["view"]["modality"]
    encoders = [t.encoders[modality] for t in tasks.values()]
    # Whether text is read in one direction is the task's own.
    kinds = {(type(e), str({**e.arguments, "causal": None})) for e in encoders}
    assert len(kinds) == 1
