"""Options of which no task can be made are refused by name, in every task that has them."""

import inspect
import math
import re
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from task_kit import TASKS, TINY, build_encoder, build_task, fitting

from pretexto.cli import main
from pretexto.errors import InputError

BAD: dict[str, tuple[Any, ...]] = {
    "scale": ((2, 3), (0.9, 0.2), (0, 0), (0, 1), (-0.5, 0.5), (0.5, 1.1), (0.5, math.nan)),
    "ratio": ((0, 1), (2, 1), (-1, 1), (1, math.inf)),
    "min_change": (-1, math.nan),
    "brightness": (-1, math.inf),
    "hue": (-1, math.nan),
    "grey": (-0.5, 1.5, math.nan),
    "hidden": (-4,),
    "spatial_grid": (-1,),
}
# Where the head is no single layer, it has a width.
WIDE = {"SequenceSorting", "ClipOrder", "AudioVisual", "Synchrony"}


def groups():
    """Every transform and every set of guards that a task has by default."""
    for cls in TASKS:
        for parameter in inspect.signature(cls).parameters.values():
            if is_dataclass(parameter.default):
                yield cls, parameter.default


@pytest.mark.parametrize(
    ("group", "name", "value"),
    sorted(
        {
            (group, name, value)
            for _, group in groups()
            for name in BAD.keys() & {field.name for field in fields(group)}
            # A switch may be called as the amount that it switches.
            if not isinstance(getattr(group, name), bool)
            for value in BAD[name]
        },
        key=repr,
    ),
    ids=str,
)
def test_a_field_that_makes_no_sense_is_refused(group, name, value):
    shown = list(value) if isinstance(value, tuple) else f"{value:g}"
    with pytest.raises(InputError, match=f"^{name} is .*, got {re.escape(str(shown))}$"):
        replace(group, **{name: value})


def cases():
    for cls in TASKS:
        for name in ("hidden", "spatial_grid"):
            if name in inspect.signature(cls).parameters:
                more = (0,) if name == "hidden" and cls.__name__ in WIDE else ()
                yield from ((cls, name, value) for value in (*BAD[name], *more))


@pytest.mark.parametrize(("cls", "name", "value"), cases())
def test_an_option_that_makes_no_sense_is_refused(cls, name, value):
    encoders = {place: build_encoder(e) for place, e in next(fitting(cls, TINY)).items()}
    with pytest.raises(InputError, match=f"^{name} is .*, got {value:g}$"):
        build_task(cls, encoders, **{name: value})


def test_the_tables_reach_every_task_with_a_crop():
    cropping = {cls for cls, group in groups() if type(group).__name__ == "Crop"}
    assert cropping == {cls for cls in TASKS if "crop" in inspect.signature(cls).parameters}
    assert len(cropping) >= 11


@pytest.mark.parametrize(
    ("recipe", "option", "value"),
    [("shuffle_learn", "crop.scale", "[2,3]"), ("sequence_sorting", "hidden", "0"),
     ("clip_order", "spatial_grid", "-1"), ("pace", "colour.hue", "-1")],
)  # fmt: skip
def test_the_command_line_says_so_in_one_line(recipe, option, value, tmp_path, capsys):
    out = tmp_path / "run"
    assert (
        main(["pretrain", "--config", recipe, f"--task.{option}={value}", "--out", str(out)]) == 2
    )
    said = capsys.readouterr().err.strip()
    assert f"{option.rpartition('.')[2]} is " in said
    assert len(said.splitlines()) == 1
    assert not out.exists()
