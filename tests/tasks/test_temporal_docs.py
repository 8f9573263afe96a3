"""docs/temporal.md names the recipes and guards that there are."""

import re
from pathlib import Path

import pytest
import torch

import pretexto
from pretexto.build import SHIPPED, build, load_tree
from pretexto.tasks.task import Task

PAGE = (Path(pretexto.__file__).parent / "docs" / "temporal.md").read_text()
TEMPORAL = ("shuffle_learn", "sequence_sorting", "clip_order", "pace", "arrow_of_time",
            "rotation_clips")  # fmt: skip


def documented() -> dict[str, list[str]]:
    """Guards by recipe, from the table: their names, and " (off)" where that is the default."""
    found: dict[str, list[str]] = {}
    recipe, section = "", PAGE.partition("## Guards")[2].partition("\n## ")[0]
    for first, guard in re.findall(r"^\| (`\w+`)? ?\| (`\w+`(?: \(off\))?) \|", section, re.M):
        recipe = first.strip("`") or recipe
        found.setdefault(recipe, []).append(guard.replace("`", ""))
    return found


@pytest.mark.parametrize("name", TEMPORAL)
def test_every_guard_is_named(name):
    with torch.device("meta"):
        task = build({"task": load_tree(name)["task"]}, {"task": Task}, name)["task"]
    assert documented()[name] == [
        guard.name + ("" if guard.enabled else " (off)") for guard in task.guards
    ]


def test_every_recipe_that_is_named_is_shipped():
    named = set(re.findall(r"`(\w+_paper)`", PAGE)) | set(TEMPORAL)
    assert named - {p.stem for p in SHIPPED.glob("*.yaml")} == set()
    papers = {f"{name}_paper" for name in TEMPORAL}
    assert {p.stem for p in SHIPPED.glob("*_paper.yaml")} & papers <= named


@pytest.mark.parametrize("name", TEMPORAL)
def test_every_recipe_says_what_the_paper_did_and_what_it_does_otherwise(name):
    head = (SHIPPED / f"{name}.yaml").read_text().partition("task:")[0]
    for word in ("sized for a CPU", "# The paper: ", "# Deviation: "):
        assert word in head.replace("sized\n# for", "sized for"), word
