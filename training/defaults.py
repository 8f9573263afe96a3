"""Settings that a record of an earlier version does not have yet, and what they stand for."""

import json
from collections.abc import Mapping
from dataclasses import is_dataclass
from importlib import import_module
from inspect import Parameter, signature
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from ..modalities.input_spec import InputSpec
from ..tasks.parts.input import Input
from ..tasks.task import described

_UNKNOWN = object()


class Setting(NamedTuple):
    """One argument of a constructor.

    Attributes:
        kind: the class whose own arguments are written below it, if there is one.
        default: as plain values.
    """

    kind: type | None = None
    default: Any = _UNKNOWN


def completed(there: Any, here: Any, settings: Mapping[str, Setting]) -> Any:
    """A record with those settings of a newer one that it lacks, where these stand at their
    defaults: a run that was made before there was a choice has made it like this.

    Args:
        there: the earlier record, as JSON gives it back.
        here: the newer one, likewise.
        settings: what the records' keys mean; objects that name their class need none.
    """
    if not isinstance(there, dict) or not isinstance(here, dict):
        return there
    if "class_path" in here and there.get("class_path") == here["class_path"]:
        settings = {"init_args": Setting(_imported(here["class_path"]))}
    found = dict(there)
    for key, value in here.items():
        known = settings.get(key, Setting())
        if key in there:
            inner = {} if known.kind is None else settings_of(known.kind, known.default)
            found[key] = completed(there[key], value, inner)
        elif known.default == value:
            found[key] = value
    return found


def settings_of(kind: type, given: Any = _UNKNOWN) -> dict[str, Setting]:
    """The arguments of a class by name.

    Args:
        given: where the class is itself an argument that has a default, that default in plain
            values: it says what its own arguments are.
    """
    hints = get_type_hints(kind.__init__)
    own = given if isinstance(given, dict) else {}
    found = {
        name: Setting(_group(hints.get(name)), own.get(name, _plain(parameter.default)))
        for name, parameter in signature(kind.__init__).parameters.items()
    }
    # A task's record holds what an input looks at, which it has made of its arguments.
    return {**settings_of(InputSpec), **found} if issubclass(kind, Input) else found


def _plain(default: Any) -> Any:
    if default is Parameter.empty:
        return _UNKNOWN
    return json.loads(json.dumps(described(default), default=str))


def _group(hint: Any) -> type | None:
    """The class of which a record has the arguments without naming it."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    classes = [option for option in options if isinstance(option, type)]
    return next((c for c in classes if is_dataclass(c) or issubclass(c, Input)), None)


def _imported(dotted: str) -> type | None:
    module, _, name = dotted.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return None  # of another program, or of a version that still had it: nothing is known
    return found if isinstance(found, type) else None
