"""Docs keep their promises: every task has its page, tables follow the code, commands parse."""

import importlib.util
import inspect
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from task_kit import TASKS

import pretexto
from pretexto.build import SHIPPED, load_tree, parse
from pretexto.cli import COMMANDS, Parser, _pairs, _parse_and_run
from pretexto.commands import compare, pretrain
from pretexto.errors import InputError

ROOT = Path(pretexto.__file__).parent
DOCS = ROOT / "docs"
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
NAMES = sorted(cls.__module__.rpartition(".")[2] for cls in TASKS)
SKELETON = [
    "What it asks",
    "The paper",
    "Can I use it?",
    "Example",
    "Results here",
    "How to replicate",
    "Parameters",
    "Shortcuts",
]


def script():
    spec = importlib.util.spec_from_file_location("make_pages", DOCS / "make_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKE = script()


def page(name: str) -> str:
    return (DOCS / "tasks" / f"{name}.md").read_text()


def section(text: str, heading: str) -> str:
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_every_task_has_a_page_and_stands_in_the_tables():
    assert [path.stem for path in MAKE.pages()] == NAMES
    index = (DOCS / "tasks" / "README.md").read_text()
    readme = (ROOT / "README.md").read_text()
    for name in NAMES:
        assert f"[{name}]({name}.md)" in index
        assert name == "supervised" or f"(docs/tasks/{name}.md)" in readme


def test_every_recipe_of_one_task_stands_beside_it_in_the_index():
    index = (DOCS / "tasks" / "README.md").read_text()
    for path in SHIPPED.glob("*.yaml"):
        tree = load_tree(path.stem)
        if "task" in tree:
            name = tree["task"]["class_path"].split(".")[-2]
            (row,) = (line for line in index.splitlines() if line.startswith(f"| [{name}]"))
            assert f"`{path.stem}`" in row


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_all_parts_in_order_and_none_is_empty(name):
    text = page(name)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SKELETON
    for heading in SKELETON:
        assert len(section(text, heading).split()) > 5, heading


@pytest.mark.parametrize("name", NAMES)
def test_a_pages_tables_follow_from_the_code(name):
    assert MAKE.with_tables(name, page(name)) == page(name), "run python docs/make_pages.py"


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_said_in_words(name):
    rows = list(MAKE.options(name))
    takes = set(inspect.signature(MAKE.task_class(name)).parameters)
    assert {key.partition(".")[0] for key, _, _ in rows} == takes
    assert [key for key, _, text in rows if not text] == []


@pytest.mark.parametrize("name", [n for n in NAMES if n != "supervised"])
def test_every_parameter_of_an_input_is_listed(name):
    listed, inputs = {key for key, _, _ in MAKE.options(name)}, MAKE.recipe(name).inputs
    assert inputs
    for of, made in inputs.items():
        assert listed >= {f"{of}.{key}" for key in ("encoder", *made.arguments)}


@pytest.mark.parametrize("name", [n for n in NAMES if n != "supervised"])
def test_the_shortcuts_named_are_those_of_the_task(name):
    task, said = MAKE.recipe(name), section(page(name), "Shortcuts")
    if "text" in task.specs:
        assert "None that a switch takes away" in said
        return
    assert task.guards
    assert re.findall(r"\| `--task\.guards\.(\w+)` \|", said) == [g.name for g in task.guards]
    assert said.count("| none: ") == len(task.audits)
    assert f"pretexto audit --config {name} --data" in said


def test_a_page_without_a_place_for_its_tables_is_refused():
    with pytest.raises(ValueError, match="no place for its parameters"):
        MAKE.with_tables("cola", "# COLA\n")


@pytest.mark.parametrize("name", [n for n in NAMES if n != "supervised"])
def test_a_page_has_its_picture_and_it_is_small(name):
    assert f"]({name}.png)" in page(name)
    data = (DOCS / "tasks" / f"{name}.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) <= 60_000


def test_no_link_leads_nowhere():
    broken = []
    for path in TEXTS:
        for target in re.findall(r"\]\(([^)#\s]+)\)", path.read_text()):
            if "://" not in target and not (path.parent / target).exists():
                broken.append(f"{path.name}: {target}")
    assert broken == []


def commands() -> Iterator[tuple[str, str]]:
    """Every command line of the docs, in a block or between backticks, with its page."""
    for path in TEXTS:
        text = path.read_text().replace("\\\n", " ")
        fence = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
        lines = [line for block in fence.findall(text) for line in block.splitlines()]
        lines += [" ".join(c.split()) for c in re.findall(r"`([^`]+)`", fence.sub("", text))]
        for line in lines:
            found = re.search(r"(?:^|/)pretexto (\w+ .*)|-m pretexto\.cli (\w+ .*)", line)
            words = next(filter(None, found.groups()), "") if found else ""
            # What ends in an ellipsis, or has a choice in it, is no whole command.
            if words and not re.search(r"[…|]", words):
                yield str(path.relative_to(ROOT)), words


def arguments(words: str):
    """As the command line parses it. Raises InputError for what it does not know."""
    name, *rest = shlex.split(words, comments=True)
    assert name in COMMANDS, words
    command = import_module(f"pretexto.commands.{name}")
    parser = Parser(prog=name, allow_abbrev=False)
    command.arguments(parser)
    parsed = []
    takes_keys = getattr(command, "TAKES_KEYS", False)
    stub = SimpleNamespace(TAKES_KEYS=takes_keys, run=parsed.append)
    _parse_and_run(stub, parser, rest)
    return parsed[0]


def test_the_docs_show_every_command():
    # The other two need no options.
    assert {words.split()[0] for _, words in commands()} | {"demo", "doctor"} == set(COMMANDS)


@pytest.mark.parametrize(("where", "words"), sorted(set(commands())))
def test_a_command_line_of_the_docs_parses(where, words):
    args = arguments(words)
    recipe = getattr(args, "config", None)
    if recipe and (SHIPPED / f"{recipe}.yaml").is_file():
        tree = load_tree(recipe, args.overrides)
        comparison = "tasks" in tree
        schema = (compare if comparison else pretrain).schema()
        parse({**compare.DEFAULTS, **tree} if comparison else tree, schema, recipe)


def test_an_option_that_does_not_exist_is_noticed():
    with pytest.raises(InputError, match="no option --no-such"):
        arguments("audit --config cola --no-such 1")


def switches() -> Iterator[tuple[str, str]]:
    """Options of tasks that stand between backticks, with the recipe that they are of."""
    for path in TEXTS:
        for option in re.findall(r"`[^`\n]*?(--task\.\w[\w.]* [^`\s]+)", path.read_text()):
            fitting = "audio_visual" if ".audio." in option else "shuffle_learn"
            yield path.stem if path.stem in NAMES else fitting, option


@pytest.mark.parametrize(("recipe", "option"), sorted(set(switches())))
def test_an_option_named_in_prose_exists(recipe, option):
    parse(load_tree(recipe, _pairs(option.split())), pretrain.schema(), recipe)
