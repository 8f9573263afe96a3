"""From a YAML file and `--key.path value` to typed objects: the constructors are the schema."""

import copy
import difflib
import inspect
import warnings
from collections.abc import Mapping
from dataclasses import is_dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

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


def load_tree(
    name: str,
    overrides: list[tuple[str, str]] = (),  # type: ignore[assignment]
    encoder: str | None = None,
) -> Tree:
    """The config's content with its encoders replaced, then the overrides applied.

    Args:
        name: of the config, as in `find_config`.
        overrides: keys, as they stand behind `--`, and their values.
        encoder: short names or a run's folder, see `replace_encoders`.

    Raises:
        InputError: no such config, no YAML mapping, an override that swaps a class, a name that
            is no encoder of a modality in this config.
    """
    path = find_config(name)
    try:
        tree = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path}: a config is a mapping of keys, not {type(tree).__name__}")
    if encoder is not None:
        from .encoders.by_name import replace_encoders

        tree = replace_encoders(tree, encoder)
    for key, value in overrides:
        _override(tree, key, value)
    return tree


def _override(tree: Tree, key: str, text: str) -> None:
    *parents, leaf = [part for part in key.split(".") if part != "init_args"]
    node = tree
    for part in parents:
        if node.get(part) is None:
            node[part] = {}
        node = _arguments(node[part])
        if not isinstance(node, dict):
            raise InputError(f"--{key}: {part} has no keys of its own")
    if leaf == "class_path" or _names_a_class(node.get(leaf)):
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


def _names_a_class(node: Any) -> bool:
    """Whether a class is named in this part of a config, at any depth."""
    if isinstance(node, dict):
        return "class_path" in node or any(map(_names_a_class, node.values()))
    return isinstance(node, list) and any(map(_names_a_class, node))


def parse(tree: Tree, schema: dict[str, Any], origin: str) -> Any:
    """Checks a tree against {key: type} and fills in defaults; builds nothing.

    Args:
        tree: what the config says.
        schema: for each allowed key its type, a dataclass or an abstract class.
        origin: the config's name, for messages.

    Raises:
        InputError: an unknown key (with the nearest one), a wrong type, a missing argument, an
            object of a class that its place does not take.
    """
    check(tree, schema, origin)
    parser = _parser(schema)
    from argparse import ArgumentError

    try:
        # The parser writes its own objects into what it is given.
        return parser.parse_object(copy.deepcopy(tree))
    except (ArgumentError, TypeError, ValueError) as error:
        raise InputError(f"{origin}: {' '.join(str(error).split())}") from error


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


def check(tree: Tree, schema: dict[str, Any], origin: str) -> None:
    """Walks a tree beside {key: type} and raises InputError at the first thing that does not fit.

    The parser would refuse the same, in words that no user should have to read.
    """
    required = [key for key, kind in schema.items() if inspect.isabstract(kind)]
    _check_keys(tree, schema, required, f"{origin}:", "a config of this command")


def _check_keys(
    node: Tree, kinds: dict[str, Any] | None, required: list[str], where: str, owner: str
) -> None:
    """Args: kinds: type by key, None: any key; where: the config and the path of keys so far."""
    for key, value in node.items():
        if kinds is not None:
            _known(key, kinds, where, owner)
            _check(value, kinds[key], _below(where, key))
    for key in required:
        if key not in node:
            raise InputError(f"{where.rstrip(':')}: {owner} requires {key}")


def _below(where: str, key: Any) -> str:
    return f"{where} {key}" if where.endswith(":") else f"{where}.{key}"


def _check(value: Any, kind: Any, where: str) -> None:
    """One value beside its annotation."""
    options = [option for option in _options(kind) if option is not NoneType]
    classes = [option for option in options if _takes_objects(option)]
    groups = [option for option in options if _is_group(option)]
    if isinstance(value, dict) and ("class_path" in value or options == classes):
        _check_object(value, classes, where)
    elif isinstance(value, str) and options == classes:
        _check_object({"class_path": value}, classes, where)
    elif isinstance(value, dict) and groups:
        _check_arguments(value, groups[0], where)
    elif not _check_members(value, options, where):
        # The parser would let any scalar pass for a class that is given by its keys.
        scalar = options == groups != [] and not (value is None and kind not in options)
        if _names_a_class(value):
            raise InputError(f"{where}: takes no object of a class")
        if scalar:
            raise InputError(f"{where}: {value!r} is not {_words(kind)}")
        _check_leaf(value, kind, where)


def _check_members(value: Any, options: list[Any], where: str) -> bool:
    """Checks the members of a list or mapping of typed members; False: it is none."""
    for option in options:
        origin, members = get_origin(option) or option, get_args(option)
        if isinstance(value, dict) and members and issubclass(origin, Mapping):
            for key, member in value.items():
                _check(member, members[-1], _below(where, key))
            return True
        if isinstance(value, list) and origin is list and members:
            for number, member in enumerate(value):
                _check(member, members[0], _below(where, number))
            return True
    return False


def _check_object(node: Tree, classes: list[type], where: str) -> None:
    names = " or ".join(c.__name__ for c in classes)
    if not classes:
        raise InputError(f"{where}: takes no object of a class; give its keys directly")
    if "class_path" not in node:
        raise InputError(f"{where}: needs class_path, the name of a class of {names}")
    for key in node:
        _known(key, ("class_path", "init_args"), where, "an object")
    found = _class(str(node["class_path"]), f"{where}")
    if not issubclass(found, tuple(classes)):
        raise InputError(f"{where}: {node['class_path']} is no subclass of {names}")
    _check_arguments(node.get("init_args") or {}, found, where)


def _check_arguments(node: Tree, constructor: type, where: str) -> None:
    if not isinstance(node, dict):
        raise InputError(f"{where}: takes a mapping of keys, not {node!r}")
    hints = get_type_hints(constructor.__init__)
    parameters = inspect.signature(constructor).parameters.values()
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    required = [p.name for p in named if p.default is p.empty]
    kinds: dict[str, Any] | None = {p.name: hints.get(p.name, Any) for p in named}
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        kinds = None  # passed on to another signature, which the parser finds
    _check_keys(node, kinds, required, where, constructor.__name__)


def _check_leaf(value: Any, kind: Any, where: str) -> None:
    parser = _parser({"value": kind})
    from argparse import ArgumentError

    try:
        parser.parse_object({"value": value})
    except (ArgumentError, TypeError, ValueError) as error:
        raise InputError(f"{where}: {value!r} is not {_words(kind)}") from error


def _options(kind: Any) -> list[Any]:
    """The members of a union, or the one type."""
    if get_origin(kind) in (Union, UnionType):
        return [option for member in get_args(kind) for option in _options(member)]
    return [kind]


def _is_group(kind: Any) -> bool:
    """A class that is given by its keys alone: nothing else can stand in its place."""
    return isinstance(kind, type) and (is_dataclass(kind) or getattr(kind, "__final__", False))


def _takes_objects(kind: Any) -> bool:
    """A class of which a config names a subclass by `class_path`."""
    plain = (int, float, str, bytes, bool, NoneType, list, tuple, set, dict, PurePath, Enum)
    if not isinstance(kind, type) or kind in (Any, object):
        return False
    return not _is_group(kind) and not issubclass(kind, plain)


_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
    Path: "a path",
    dict: "a mapping",
    list: "a list",
    Mapping: "a mapping",
    Any: "anything",
}


def _words(kind: Any) -> str:
    """A type as a user would say it."""
    origin, members = get_origin(kind), get_args(kind)
    if origin is Literal:
        return f"one of {', '.join(map(str, members))}"
    if origin in (Union, UnionType):
        return " or ".join(map(_words, members))
    if origin is tuple:
        return f"a list of ({', '.join('…' if m is ... else _words(m) for m in members)})"
    if members and origin in (list, dict, Mapping):
        return f"{_WORDS[origin]} of {_words(members[-1])}"
    if _is_group(kind):
        return f"a mapping of {kind.__name__}'s keys"
    if _takes_objects(kind):
        return f"a class of {kind.__name__}, by class_path and init_args"
    return _WORDS.get(kind) or (inspect.getdoc(kind) or str(kind)).splitlines()[0].rstrip(".")


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
    raise InputError(f"{_below(where, key)}: {owner} has no {key!r}; {hint}")
