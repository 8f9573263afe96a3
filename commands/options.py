"""Numbers that an option takes; any other is refused in one line before anything is read."""

from argparse import ArgumentTypeError
from typing import Any

from ..errors import InputError

SEEDS = 2**63


def count(text: str) -> int:
    """A whole number of things, 1 or more."""
    return _whole(text, 1)


def least_two(text: str) -> int:
    """A whole number of things, 2 or more."""
    return _whole(text, 2)


def whole(text: str) -> int:
    """A whole number, 0 or more."""
    return _whole(text, 0)


def seed(text: str) -> int:
    """A whole number that generators take, from 0 to 2**63 - 1."""
    number = _whole(text, 0)
    if number >= SEEDS:
        raise ArgumentTypeError(f"{text} is too large: take a number below 2**63")
    return number


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < least:
        raise ArgumentTypeError(f"{text} is too small: take {least} or more")
    return number


KINDS = ("video", "image", "audio")


def data_options(parser, *, required: bool = False) -> None:
    """Adds the options that say which media are read."""
    told = "" if required else "; default: the config's"
    parser.add_argument("--data", required=required, help=f"folder, file or `synthetic`{told}")
    parser.add_argument("--kind", choices=KINDS, help="of a folder that holds several kinds")
    parser.add_argument(
        "--unique", action="store_true", help="leave out copies that an index tells of"
    )


def given(args, *keys: str) -> dict[str, Any]:
    """Those of the options, by name, that the user has given: they stand above the config."""
    values = {key: getattr(args, key) for key in keys}
    return {key: value for key, value in values.items() if value is not None and value is not False}


def open_data(data, split: str | None = None, kind=None, unique: bool = False):
    """The source that a config's `data` names or builds, cut down to one split if asked."""
    from ..datasets.open import only_split, open_source

    if isinstance(data, str):
        return open_source(data, split, kind=kind, unique=unique)
    for option, given in (("kind", kind is not None), ("unique", unique)):
        if given:
            remedy = "set it in the source's init_args"
            raise InputError(f"{option} applies to data given as a path; {remedy}")
    return only_split(data, split) if split else data


def open_objects(objects: dict[str, Any]):
    """The source that the keys `data`, `split`, `kind` and `unique` of a built config name."""
    split, kind = objects.get("split"), objects.get("kind")
    return open_data(objects["data"], split, kind, bool(objects.get("unique")))
