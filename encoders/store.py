"""Encoders on disk: weights as safetensors beside a JSON card that can rebuild the network."""

import hashlib
import importlib
import inspect
import json
import math
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ..errors import InputError
from .blocks import one_line
from .encoder import Encoder, Modality

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
# The environment variable that names further packages whose encoders may be loaded.
TRUSTED = "PRETEXTO_ENCODERS"
_NEEDED = {"class_path": str, "arguments": dict, "modality": str, "sha256": str}


def save_encoder(
    folder: str | Path,
    encoder: Encoder,
    spec: "DataclassInstance",
    card: Mapping[str, Any],
    name: str = "encoder",
) -> None:
    """Writes `name`.safetensors and `name`.json into a folder, which is made if needed.

    Each file appears whole or not at all, the card last. What is interrupted between the two
    leaves no card, or one whose checksum `load_encoder` finds to differ.

    Args:
        folder: of the run.
        encoder: whose weights and constructor arguments are kept.
        spec: what it was trained to look at, a modalities.input_spec.InputSpec.
        card: what else is known of it (task, steps, seed, commit …): JSON values. The fields
            class_path, arguments, modality, dim, spec and sha256 are filled in here.
        name: "encoder" for the run's main encoder, "encoder-audio" and the like for others.

    Raises:
        InputError: a folder that cannot be written, values that JSON cannot hold, or an encoder
            that its card could not rebuild (see `check_storable`).
    """
    check_storable(encoder)
    folder = Path(folder)
    weights = save({key: value.contiguous() for key, value in encoder.state_dict().items()})
    kind = type(encoder)
    full = dict(card) | {
        "class_path": f"{kind.__module__}.{kind.__qualname__}",
        "arguments": encoder.arguments,
        "modality": encoder.modality,
        "dim": encoder.dim,
        "spec": {k: v for k, v in asdict(spec).items() if v is not None},
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    try:
        text = json.dumps(full, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(f"the card of {kind.__name__} must hold JSON values: {error}") from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"{name}.safetensors", weights)
        _write(folder / f"{name}.json", text.encode())
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error}); choose another folder") from error


def check_storable(encoder: Encoder) -> None:
    """Refuses, before any training, an encoder that could not be stored and built again.

    Raises:
        InputError: a class inside a function or another class, a constructor that takes any
            arguments whatever or some by position alone, or an argument that JSON gives back
            changed.
    """
    kind = type(encoder)
    remedy = "its run could not be loaded again"
    if "." in kind.__qualname__:
        raise InputError(
            f"{kind.__qualname__} is defined inside a function or class: {remedy}; "
            "move it to the top of its module"
        )
    parameters = inspect.signature(kind.__init__).parameters
    for name in list(parameters)[1:]:
        form = parameters[name].kind
        if form not in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
            raise InputError(
                f"{kind.__name__} takes {name!r} as {form.description} arguments: {remedy}; "
                "give its constructor named arguments"
            )
    for name, value in encoder.arguments.items():
        if not _kept_by_json(value):
            raise InputError(
                f"{kind.__name__}: the argument {name}={one_line(value)} is no JSON value: "
                f"{remedy}; take numbers, text, lists or mappings, and build the rest inside"
            )


def _kept_by_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and _kept_by_json(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(map(_kept_by_json, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or type(value) in (bool, int, str)


def load_encoder(folder: str | Path, modality: Modality | None = None) -> Encoder:
    """The encoder of a run, in evaluation mode, on the CPU.

    Args:
        folder: of the run, or any folder with encoder.json and encoder.safetensors.
        modality: which encoder, where the run has several; None: the main one.

    Raises:
        InputError: nothing there, another modality, damaged or mismatched files.
    """
    path = _find(Path(folder), modality)
    card = _card(path)
    encoder = _build(path, card)
    weights = _weights(path.with_suffix(".safetensors"), card["sha256"])
    try:
        encoder.load_state_dict(load(weights))
    except (RuntimeError, SafetensorError) as error:
        raise InputError(
            f"{path}: these weights are not those of {card['class_path']} with the arguments "
            f"{card['arguments']}; export the encoder again ({one_line(error)})"
        ) from error
    return encoder.eval()


def read_card(folder: str | Path, modality: Modality | None = None) -> dict[str, Any]:
    """What is known of a run's encoder, without building it; errors as in `load_encoder`."""
    return _card(_find(Path(folder), modality))


def encoders_of(folder: str | Path) -> dict[str, Path]:
    """The card of each modality that a run has an encoder for; the main one's goes first.

    Raises:
        InputError: no such folder, or a damaged card.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name a run folder that holds encoder.json")
    paths = [folder / "encoder.json", *sorted(folder.glob("encoder-*.json"))]
    return {_card(path)["modality"]: path for path in reversed(paths) if path.is_file()}


def run_tree(folder: str | Path, modality: Modality | None = None) -> dict[str, Any]:
    """A config's class_path and init_args of an encoder that starts from a run's.

    Raises:
        InputError: as in `load_encoder`.
    """
    path = _find(Path(folder), modality)
    card, weights = _card(path), path.with_suffix(".safetensors")
    _class(path, card["class_path"])
    _weights(weights, card["sha256"])
    init_args = {**card["arguments"], "weights": str(weights.resolve())}
    return {"class_path": card["class_path"], "init_args": init_args}


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _find(folder: Path, modality: Modality | None) -> Path:
    """The card of the asked-for modality; the main encoder's card is encoder.json."""
    main = folder / "encoder.json"
    found = encoders_of(folder)
    if modality is None and main.is_file():
        return main
    if modality in found:
        return found[modality]
    if not found:
        raise InputError(
            f"{folder}: no encoder.json here; pretraining writes it when it ends, "
            "so name a finished run"
        )
    asked = f"no {modality} encoder" if modality else "no main encoder"
    raise InputError(f"{folder}: {asked} here, only {', '.join(sorted(found))}; ask for that")


def _card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error}); export the encoder again") from error
    for key, kind in _NEEDED.items():
        if not isinstance(card, dict) or not isinstance(card.get(key), kind):
            raise InputError(f"{path}: no valid {key!r} in it; export the encoder again")
    # Earlier cards call it a view.
    return {"spec": card["view"], **card} if "view" in card else card


def _build(path: Path, card: dict[str, Any]) -> Encoder:
    kind = _class(path, card["class_path"])
    if kind.modality != card["modality"]:
        raise InputError(
            f"{path}: {kind.__name__} is an encoder for {kind.modality}, the card says "
            f"{card['modality']}; export the encoder again"
        )
    try:
        # The random numbers of its construction are overwritten: they must not cost the caller any.
        with torch.random.fork_rng(devices=[]):
            return kind(**card["arguments"])
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path}: {kind.__name__} refuses the arguments {card['arguments']} "
            f"({one_line(error)}); load it with the version named in the card"
        ) from error


def _class(path: Path, class_path: str) -> type[Encoder]:
    # Importing runs code, so nothing but a plain dotted name of a trusted package may reach it.
    if not _DOTTED.fullmatch(class_path):
        raise InputError(f"{path}: class_path {class_path!r} is no dotted name of a class")
    name, _, kind_name = class_path.rpartition(".")
    module = _module(path, name)
    kind = vars(module).get(kind_name)
    if not (isinstance(kind, type) and issubclass(kind, Encoder)) or inspect.isabstract(kind):
        raise InputError(
            f"{path}: {class_path} is no encoder; export the encoder again, or load it with the "
            "version named in the card"
        )
    return kind


def _module(path: Path, name: str) -> ModuleType:
    """A module that the program has loaded itself, or one of a trusted package."""
    if name in sys.modules:
        return sys.modules[name]
    trusted = {__name__.partition(".")[0], *os.environ.get(TRUSTED, "").split(",")}
    package = name.partition(".")[0]
    if package not in trusted:
        raise InputError(
            f"{path}: its encoder is code of the package {package!r}; if you trust that, import "
            f"{name} first or set {TRUSTED}={package}"
        )
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"{path}: cannot import {name} ({error}); install the package that defines it"
        ) from error


def _weights(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); copy it from the run beside its card"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(
            f"{path}: not the weights that its card was written for (checksums differ); "
            "copy both files from the run again"
        )
    return content
