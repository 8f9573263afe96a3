"""`pretexto recipes`: what ships, told by the recipes and tasks themselves."""

import sys

import pytest
import yaml

from pretexto import cli
from pretexto.build import SHIPPED

NAMES = sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def test_every_recipe_is_listed_with_its_question_media_and_cost(capsys):
    assert cli.main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in NAMES] == NAMES
    found = {name: lines[lines.index(name) + 1 : lines.index(name) + 3] for name in NAMES}
    question, about = found["shuffle_learn_paper"]
    assert question.strip().startswith("Are three moments of a video in order?")
    assert about.strip() == (
        "Misra et al. 2016, arXiv:1603.08561, ECCV, section 3 · single frames by resnet18 · "
        "100000 steps of 128"
    )
    assert "video by TinyVideo and audio by TinyAudio" in found["audio_visual"][1]
    assert found["pace_paper"][1].endswith("18 epochs of 30")
    compared = yaml.safe_load((SHIPPED / "demo.yaml").read_text())["tasks"]
    assert found["demo"][0].strip() == f"compares {', '.join(compared)}"


@pytest.mark.parametrize("name", NAMES)
def test_all_of_a_recipe_is_shown_with_a_command_that_takes_it(name, capsys):
    assert cli.main(["recipes", name]) == 0
    text = capsys.readouterr().out
    assert (SHIPPED / f"{name}.yaml").read_text().rstrip() in text
    command = "compare" if "tasks" in yaml.safe_load(text[text.index("\n#") :]) else "pretrain"
    assert f"pretexto {command} --config {name} --data FOLDER" in text


def test_a_name_that_is_none_is_refused_with_the_nearest(capsys):
    assert cli.main(["recipes", "suffle_learn"]) == 2
    assert "did you mean shuffle_learn" in capsys.readouterr().err


def test_recipes_are_told_without_loading_what_trains_them(capsys):
    before = set(sys.modules)
    cli.main(["recipes"])
    assert capsys.readouterr().out
    assert not {"pretexto.tasks.shuffle_learn", "lightning"} & (set(sys.modules) - before)
