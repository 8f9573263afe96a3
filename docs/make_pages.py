"""Writes into docs/tasks/*.md what the code says: parameters, guards and audits of every task.

    python docs/make_pages.py              # the tables; run it when a task changes
    python docs/make_pages.py --pictures   # the pictures too, of the synthetic world

`tests/test_docs.py` fails where a page and the code differ.
"""

import argparse
import inspect
import io
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

from docstring_parser import DocstringStyle
from docstring_parser import parse as parse_docstring

from pretexto.build import SHIPPED, build, load_tree
from pretexto.tasks.parts.input import Input
from pretexto.tasks.task import Task

TASKS = Path(__file__).parent / "tasks"
_MOST_BYTES, _WIDTH = 60_000, 900


def pages() -> list[Path]:
    """The page of every task."""
    return sorted(path for path in TASKS.glob("*.md") if path.name != "README.md")


def task_class(name: str) -> type[Task]:
    """The task of `tasks/NAME.py`."""
    module = import_module(f"pretexto.tasks.{name}")
    own = (v for v in vars(module).values() if getattr(v, "__module__", "") == module.__name__)
    (found,) = (v for v in own if isinstance(v, type) and issubclass(v, Task))
    return found


def with_tables(name: str, text: str) -> str:
    """A page's text with its tables as they follow from the code now."""
    for part, table in (("parameters", parameters(name)), ("shortcuts", shortcuts(name))):
        marks = f"<!-- {part}, by make_pages.py -->", f"<!-- end of {part} -->"
        pattern = re.compile(f"(?<={re.escape(marks[0])}\n).*?(?={marks[1]})", re.DOTALL)
        text, count = pattern.subn(lambda _, table=table: f"\n{table}\n", text)
        if count != 1:
            raise ValueError(f"the page of {name} has no place for its {part}")
    return text


def parameters(name: str) -> str:
    """The constructor's options, those of its inputs, transforms and guards among them."""
    rows = [f"| `{option}` | {default} | {text} |" for option, default, text in options(name)]
    return "\n".join(["| `--task.…` | default | meaning |", "|---|---|---|", *rows])


def options(name: str) -> Iterator[tuple[str, str, str]]:
    """Dotted name, default and meaning of every option of a task."""
    cls = task_class(name)
    hints, about = get_type_hints(cls.__init__), meanings(cls)
    for key, parameter in inspect.signature(cls).parameters.items():
        groups = [k for k in get_args(hints[key]) or (hints[key],) if _is_group(k)]
        default = "" if groups else _shown(parameter.default)
        yield key, default, about[key]
        seen = set()
        for group in groups:
            for inner, value, text in _members(group, parameter.default):
                if inner not in seen:
                    seen.add(inner)
                    yield f"{key}.{inner}", _shown(value), text


def _is_group(kind: Any) -> bool:
    return isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, Input))


def _members(group: type, default: Any) -> Iterator[tuple[str, Any, str]]:
    about = meanings(group)
    for key, parameter in inspect.signature(group).parameters.items():
        yield key, getattr(default, key, parameter.default), about[key]


def meanings(cls: type) -> dict[str, str]:
    """What the docstring of a class, and of those that it is derived from, says of arguments."""
    found: dict[str, str] = {}
    for kind in reversed(cls.__mro__):
        parsed = parse_docstring(kind.__doc__ or "", DocstringStyle.GOOGLE)
        found |= {p.arg_name: _cell(p.description or "") for p in parsed.params}
    return found


def _cell(text: str) -> str:
    text = re.sub(r"\bNone\b", "null", " ".join(text.split()))
    return text.rstrip(".").replace("|", "\\|")


def _shown(value: Any) -> str:
    """A default as YAML writes it."""
    if value is inspect.Parameter.empty:
        return "required"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def recipe(name: str) -> Task:
    """The task as the shipped recipe of its name builds it."""
    return build({"task": load_tree(name)["task"]}, {"task": Task}, name)["task"]


def shortcuts(name: str) -> str:
    """Guards with their switches, and audits with their remedies; what the recipe turns on."""
    if not (SHIPPED / f"{name}.yaml").is_file():
        return "None: labels are no pretext."
    task = recipe(name)
    if not (task.guards or task.audits):
        return "None that a switch takes away."
    rows = [
        f"| {_cell(g.cue)} | `--task.guards.{g.name}` | {_shown(g.enabled)} |" for g in task.guards
    ]
    rows += [f"| {_cell(a.cue)} | none: {_cell(a.remedy)} | |" for a in task.audits]
    return "\n".join([f"| cue | switch | in `{name}` |", "|---|---|---|", *rows])


def draw(name: str) -> None:
    """Two puzzles of the synthetic world, with unlike answers if there are, into NAME.png."""
    import torch
    from PIL import Image

    from pretexto.commands.options import open_data
    from pretexto.visualization.puzzles import draw_pictures, puzzles

    torch.manual_seed(0)
    path = TASKS / f"{name}.png"
    task = recipe(name)
    world = "synthetic:text" if "text" in task.specs else "synthetic:train"
    first, *others = puzzles(task, open_data(world), count=4)
    second = next((p for p in others if p.answer != first.answer), others[0])
    draw_pictures([first, second], path)
    picture = Image.open(path).convert("RGB")
    picture.thumbnail((_WIDTH, 10 * _WIDTH))
    for colours in (128, 64, 32, 16):
        data = io.BytesIO()
        picture.quantize(colours).save(data, "PNG", optimize=True)
        if data.tell() <= _MOST_BYTES:
            break
    path.write_bytes(data.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", action="store_true", help="draw NAME.png as well")
    drawn = parser.parse_args().pictures
    for page in pages():
        page.write_text(with_tables(page.stem, page.read_text()))
        if drawn and (SHIPPED / page.with_suffix(".yaml").name).is_file():
            draw(page.stem)


if __name__ == "__main__":
    main()
