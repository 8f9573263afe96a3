"""What ships: every recipe's question, paper, media and cost; of one, its YAML and how to run it.

pretexto recipes
pretexto recipes shuffle_learn
"""

import ast
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import InputError


def arguments(parser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="of a recipe, to see all of it")


def run(args) -> int:
    from ..build import SHIPPED

    paths = {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}
    if args.name is None:
        print("\n".join(_overview(name, path) for name, path in paths.items()))
        print("\nMore of one: pretexto recipes NAME")
        return 0
    if args.name not in paths:
        from ..cli import suggest

        near = suggest(args.name, paths)
        raise InputError(f"no recipe {args.name!r}{near}; see `pretexto recipes`")
    print(_whole(args.name, paths[args.name]))
    return 0


def _overview(name: str, path: Path) -> str:
    tree = _tree(path)
    if "tasks" in tree:
        what = f"compares {', '.join(tree['tasks'])}"
        return f"{name}\n    {what}\n    {_media(tree)} · {_cost(tree)} × {tree['seeds']} seeds"
    question, paper = _task(tree["task"]["class_path"])
    return f"{name}\n    {question}\n    {paper} · {_media(tree)} · {_cost(tree)}"


def _whole(name: str, path: Path) -> str:
    command = "compare" if "tasks" in _tree(path) else "pretrain"
    how = f"pretexto {command} --config {name} --data FOLDER --out runs/{name}"
    try_it = f"pretexto {command} --config {name} --out runs/{name}"
    return (
        f"{_overview(name, path)}\n\nOn your media, on the data the recipe names, as a picture:\n"
        f"    {how}\n    {try_it}\n    pretexto show --config {name} --out {name}.png\n\n"
        f"{path}\n\n{path.read_text().rstrip()}"
    )


def _tree(path: Path) -> dict[str, Any]:
    import yaml

    return yaml.safe_load(path.read_text())


def _task(class_path: str) -> tuple[str, str]:
    """What a task asks and the paper it is from, as its file says; nothing of it is imported."""
    module, _, name = class_path.rpartition(".")
    package, _, file = module.rpartition(".")
    parent = find_spec(package)
    assert parent is not None
    assert parent.submodule_search_locations is not None
    text = (Path(parent.submodule_search_locations[0]) / f"{file}.py").read_text()
    tree = ast.parse(text)
    kind = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)
    question = (ast.get_docstring(tree) or "").partition("\n")[0]
    cited = re.search(r"\(([^()]*\b\d{4}\b[^()]*)\)", ast.get_docstring(kind) or "")
    return question, " ".join(cited[1].split()) if cited else ""


def _media(tree: dict[str, Any]) -> str:
    """Which streams of a medium its tasks take in, and the networks that look at them."""
    tasks = [tree["task"]] if "task" in tree else tree["tasks"].values()
    inputs = [task.get("init_args", {}) for task in tasks]
    known = [
        f"{'single frames' if own.get('frames') == 1 else stream} by {_network(own['encoder'])}"
        for arguments in inputs
        for stream, own in arguments.items()
        if isinstance(own, dict) and "encoder" in own
    ]
    return " and ".join(dict.fromkeys(known))


def _network(encoder: dict[str, Any]) -> str:
    kind = encoder["class_path"].rpartition(".")[2]
    return encoder.get("init_args", {}).get("name", kind)


def _cost(tree: dict[str, Any]) -> str:
    trainer = tree["trainer"]
    length = f"{trainer['steps']} steps" if "steps" in trainer else f"{trainer['epochs']} epochs"
    return f"{length} of {trainer['batch_size']}"
