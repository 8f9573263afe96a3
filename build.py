"""From a YAML file and `--key.path value` to typed objects: the constructors are the schema."""

import difflib
import inspect
import re
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from .errors import InputError

Tree = dict[str, Any]
SHIPPED = Path(__file__).parent / "configs"


def find_config(name: str) -> Path:
    """The file of that path, or the shipped recipe of that name."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = {p.stem: p for p in sorted(SHIPPED.glob("*.yaml"))}
    if path.stem in shipped and path.parent == Path("."):
        return shipped[path.stem]
    near = difflib.get_close_matches(path.stem, shipped, n=3, cutoff=0.4) or list(shipped)
    raise InputError(
        f"no config {name}: neither a file nor a shipped recipe; try {', '.join(near)}"
    )


def load_tree(name: str, overrides: list[tuple[str, str]] = ()) -> Tree:  # type: ignore[assignment]
    """The config's content with the overrides applied.

    Raises:
        InputError: no such config, no YAML mapping, an override that swaps a class.
    """
    path = find_config(name)
    try:
        tree = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path}: a config is a mapping of keys, not {type(tree).__name__}")
    for key, value in overrides:
        _override(tree, key, value)
    return tree


def _override(tree: Tree, key: str, text: str) -> None:
    *parents, leaf = [part for part in key.split(".") if part != "init_args"]
    node = tree
    for part in parents:
        node = _arguments(node.setdefault(part, {}))
        if not isinstance(node, dict):
            raise InputError(f"--{key}: {part} has no keys of its own")
    if leaf == "class_path" or (isinstance(node.get(leaf), dict) and "class_path" in node[leaf]):
        raise InputError(f"--{key}: a class cannot be swapped beside --config; edit a copy of it")
    try:
        node[leaf] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"--{key}: {text!r} is not a YAML value") from error


def _arguments(node: Any) -> Any:
    """Where an object's own keys lie: beside `class_path`, in `init_args`."""
    if isinstance(node, dict) and "class_path" in node:
        node["init_args"] = node.get("init_args") or {}
        return node["init_args"]
    return node


def parse(tree: Tree, schema: dict[str, Any], origin: str) -> Any:
    """Checks a tree against {key: type} and fills in defaults; builds nothing.

    Args:
        tree: what the config says.
        schema: for each allowed key its type, a dataclass or an abstract class.
        origin: the config's name, for messages.

    Raises:
        InputError: an unknown key (with the nearest one), a wrong type, a missing argument.
    """
    check_keys(tree, schema, origin)
    parser = _parser(schema)
    from argparse import ArgumentError

    try:
        return parser.parse_object(tree)
    except (ArgumentError, TypeError, ValueError) as error:
        raise InputError(f"{origin}: {_reason(str(error))}") from error


def build(tree: Tree, schema: dict[str, Any], origin: str) -> dict[str, Any]:
    """Parses and constructs the objects. Raises InputError as `parse` does."""
    parser = _parser(schema)
    namespace = parse(tree, schema, origin)
    try:
        objects = parser.instantiate(namespace)
    except ValueError as error:
        raise _refusal(error, origin) from error
    return {key: objects.get(key) for key in schema}


def _refusal(error: BaseException, origin: str) -> BaseException:
    """The InputError with which a constructor refused its arguments, dug out of the parser's."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, InputError):
        cause = cause.__cause__
    return InputError(f"{origin}: {cause}") if cause else error


def resolved(tree: Tree, schema: dict[str, Any], origin: str) -> Tree:
    """The tree with every default written out, as `config.yaml` keeps it."""
    parser = _parser(schema)
    return yaml.safe_load(parser.dump(parse(tree, schema, origin)))


def _parser(schema: dict[str, Any]):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    for key, kind in schema.items():
        if inspect.isabstract(kind):
            parser.add_subclass_arguments(kind, key, required=True)
        elif hasattr(kind, "__dataclass_fields__"):
            parser.add_class_arguments(kind, key)
        else:
            parser.add_argument(f"--{key}", type=kind)
    return parser


def check_keys(tree: Tree, schema: dict[str, Any], origin: str) -> None:
    """Every key must be one that its constructor takes; the nearest one is suggested."""
    for key, value in tree.items():
        _known(key, schema, origin, "a config of this command")
        kind = schema[key]
        if hasattr(kind, "__dataclass_fields__") and isinstance(value, dict):
            for name in value:
                _known(name, kind.__dataclass_fields__, f"{origin}: {key}", kind.__name__)
        _check_object(value, f"{origin}: {key}")


def _check_object(node: Any, where: str) -> None:
    if not isinstance(node, dict):
        return
    if "class_path" not in node:
        for key, value in node.items():
            _check_object(value, f"{where}.{key}")
        return
    for key in node:
        _known(key, ("class_path", "init_args"), where, "an object")
    signature = inspect.signature(_class(str(node["class_path"]), where))
    for key, value in (node.get("init_args") or {}).items():
        _known(key, signature.parameters, where, str(node["class_path"]).rsplit(".", 1)[-1])
        _check_object(value, f"{where}.{key}")


def _class(dotted: str, where: str) -> type:
    module, _, name = dotted.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{where}: no class {dotted}{_near_class(module, name)}") from error
    if not isinstance(found, type):
        raise InputError(f"{where}: {dotted} is not a class")
    return found


def _near_class(module: str, name: str) -> str:
    try:
        known = [n for n, v in vars(import_module(module)).items() if isinstance(v, type)]
    except (ImportError, ValueError):
        return ""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {module}.{near[0]}?" if near else ""


def _known(key: Any, known: Any, where: str, owner: str) -> None:
    if key in known:
        return
    near = difflib.get_close_matches(str(key), list(known), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known)}"
    raise InputError(f"{where}: {owner} has no {key!r}; {hint}")


def _reason(message: str) -> str:
    """The path of keys and the innermost reason out of a parser's indented message."""
    keys = re.findall(r'Parser key "([^"]+)"', message)
    reasons = [
        line.strip(" -")
        for line in message.splitlines()
        if re.search(r"Expected a|Option '|Import path|are required|not accepted", line)
        and "NoneType" not in line
    ]
    detail = reasons[0] if reasons else " ".join(message.split())
    detail = re.sub(r'^Parser key "[^"]+": ', "", detail)
    return f"{'.'.join(keys)}: {detail}" if keys else detail
