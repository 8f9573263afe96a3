"""Options of which no task can be made are refused by name, in every task that has them."""

import inspect
import math
import re
from typing import Any

import pytest
from task_kit import TASKS, TINY, build_encoder, build_task, fitting

from pretexto.cli import main
from pretexto.errors import InputError

BAD: dict[str, tuple[Any, ...]] = {
    "scale": ((2, 3), (0.9, 0.2), (0, 0), (0, 1), (-0.5, 0.5), (0.5, 1.1), (0.5, math.nan)),
    "ratio": ((0, 1), (2, 1), (-1, 1), (1, math.inf)),
    "similar": (-1, math.nan),
    "colour": (-1, math.inf),
    "strength": (-1, math.nan),
    "hidden": (-4,),
    "grid": (-1,),
}
# Where the head is no single layer, it has a width.
WIDE = {"SequenceSorting", "ClipOrder", "AudioVisual", "Synchrony"}


def cases():
    for cls in TASKS:
        has = inspect.signature(cls).parameters
        for name, values in BAD.items():
            if name in has and has[name].annotation is not bool:
                more = (0,) if name == "hidden" and cls.__name__ in WIDE else ()
                yield from ((cls, name, value) for value in (*values, *more))


@pytest.mark.parametrize(("cls", "name", "value"), cases())
def test_an_option_that_makes_no_sense_is_refused(cls, name, value):
    encoders = {place: build_encoder(e) for place, e in next(fitting(cls, TINY)).items()}
    shown = list(value) if isinstance(value, tuple) else f"{value:g}"
    with pytest.raises(InputError, match=f"^{name} is .*, got {re.escape(str(shown))}$"):
        build_task(cls, encoders, **{name: value})


def test_the_table_reaches_every_task_with_a_crop():
    cropping = {cls for cls in TASKS if "scale" in inspect.signature(cls).parameters}
    assert {cls for cls, name, _ in cases() if name == "scale"} == cropping
    assert len(cropping) >= 11


@pytest.mark.parametrize(
    ("recipe", "option", "value"),
    [("shuffle_learn", "scale", "[2,3]"), ("sequence_sorting", "hidden", "0"),
     ("clip_order", "grid", "-1"), ("pace", "colour", "-1")],
)  # fmt: skip
def test_the_command_line_says_so_in_one_line(recipe, option, value, tmp_path, capsys):
    out = tmp_path / "run"
    assert (
        main(["pretrain", "--config", recipe, f"--task.{option}={value}", "--out", str(out)]) == 2
    )
    said = capsys.readouterr().err.strip()
    assert f"{option} is " in said
    assert len(said.splitlines()) == 1
    assert not out.exists()
