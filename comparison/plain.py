"""Functions and objects as plain values, from which another process makes them anew."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import InputError

_FUNCTION, _CALL, _OBJECT, _PATH = "$function", "$call", "$object", "$path"


def to_plain(value: Any) -> Any:
    """As JSON knows it: numbers, texts, lists, mappings, dataclasses, paths, functions and classes
    of modules, and `functools.partial` of these. Tuples become lists.

    Raises:
        InputError: anything else, or a function that no other process can import.
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Path):
        return {_PATH: str(value)}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    if isinstance(value, partial):
        words = {"args": to_plain(value.args), "kwargs": to_plain(value.keywords)}
        return {_CALL: _address(value.func), **words}
    if is_dataclass(value) and not isinstance(value, type):
        named = {f.name: to_plain(getattr(value, f.name)) for f in fields(value) if f.init}
        return {_OBJECT: _address(type(value)), "fields": named}
    return {_FUNCTION: _address(value)}


def from_plain(value: Any) -> Any:
    """The inverse of `to_plain`; imports what the values name."""
    if isinstance(value, list):
        return [from_plain(v) for v in value]
    if not isinstance(value, dict):
        return value
    if _PATH in value:
        return Path(value[_PATH])
    if _FUNCTION in value:
        return _find(value[_FUNCTION])
    if _CALL in value:
        kwargs = from_plain(value["kwargs"])
        return partial(_find(value[_CALL]), *from_plain(value["args"]), **kwargs)
    if _OBJECT in value:
        return _find(value[_OBJECT])(**from_plain(value["fields"]))
    return {k: from_plain(v) for k, v in value.items()}


def _address(thing: Any) -> str:
    module, name = getattr(thing, "__module__", ""), getattr(thing, "__qualname__", "")
    if not name or "<" in name or module == "__main__":
        raise InputError(
            f"{thing!r} cannot be made anew in another process: give a function or a class of a "
            "module that can be imported, or a functools.partial of one with plain arguments"
        )
    return f"{module}:{name}"


def _find(address: str) -> Any:
    module, _, names = address.partition(":")
    found = import_module(module)
    for name in names.split("."):
        found = getattr(found, name)
    return found
