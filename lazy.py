"""Public names that a package hands out without loading the modules they live in."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy(package: str, homes: dict[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__` that imports a name's home when the name is first asked for.

    Args:
        package: the package's `__name__`.
        homes: public name → module, relative to the package.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f".{homes[name]}", package), name)

    return find
