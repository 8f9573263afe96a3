"""Encoders by short name, for every modality: what `--encoder` takes."""

from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from ..errors import InputError
from .blocks import nearest
from .encoder import Encoder, Modality

Tree = dict[str, Any]
Entry = tuple[str, str, Tree]  # module of this package, class, its arguments

_VIT_TINY, _VIT_SMALL, _VIT_BASE = (
    {"width": width, "depth": 12, "heads": width // 64} for width in (192, 384, 768)
)
_FIRST = ("alexnet", "context_free", "network_in_network")
_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d")
_TIMM = {"image": ("image", "TimmImage"), "audio": ("audio", "TimmAudio")}
_PUBLISHED = (
    *("TorchvisionImage", "TorchvisionVideo", "InflatedVideo", "TimmImage", "TimmAudio"),
    *("FlowImage", "FlowVideo"),
)
_VITS = ("vit_tiny", "vit_small", "vit_base")
_OVER_TIME = ("r3d_18", "r2plus1d_18", "mc3_18", "s3d", "swin3d_t", "mvit_v2_s")


_BASE = {"width": 768, "depth": 12, "heads": 12, "positions": "learned", "dropout": 0.1}
_GPT2 = {
    **_BASE,
    **{"vocabulary": 50257, "context": 1024, "norm": "pre", "activation": "gelu_tanh"},
    "causal": True,
}
_BERT = {
    **_BASE,
    **{"vocabulary": 30522, "context": 512, "norm": "post", "activation": "gelu"},
    **{"segments": 2, "eps": 1e-12, "causal": False},
}
# Of WikiText-103, whose words are the vocabulary.
_TRANSFORMER_XL = {
    **{"vocabulary": 267735, "context": 150, "width": 410, "depth": 16, "heads": 10},
    **{"hidden": 2100, "norm": "post", "positions": "relative", "activation": "relu"},
    **{"dropout": 0.1, "causal": True},
}


def _named(module: str, kind: str, names: tuple[str, ...]) -> dict[str, Entry]:
    return {name: (module, kind, {"name": name}) for name in names}


# The same name means the same family in every modality: a resnet50 is inflated over time for clips,
# and has one channel for sound and two for flow; NAME_3d is that of clips, on clips of flow.
NAMES: dict[str, dict[str, Entry]] = {
    "image": {
        "tiny": ("image", "TinyImage", {}),
        "l3": ("image", "L3Image", {}),
        "alexnet": ("alexnet", "AlexNet", {}),
        "context_free": ("alexnet", "AlexNet", {"stride": 2}),
        "network_in_network": ("alexnet", "NetworkInNetwork", {}),
        **_named("image", "TorchvisionImage", _RESNETS),
        "vit_tiny": ("image", "TimmImage", {"name": "vit_tiny_patch16_224"}),
        "vit_small": ("image", "TimmImage", {"name": "vit_small_patch16_224"}),
        "vit_base": ("image", "TimmImage", {"name": "vit_base_patch16_224"}),
    },
    "video": {
        "tiny": ("video", "TinyVideo", {}),
        **_named("inflation", "InflatedVideo", _RESNETS),
        **_named("video", "TorchvisionVideo", _OVER_TIME),
        "slow_r50": ("video_resnet", "SlowOnly", {}),
        "x3d_s": ("video_resnet", "X3D", {}),
        "vit_tiny": ("video_transformer", "VideoTransformer", _VIT_TINY),
        "vit_small": ("video_transformer", "VideoTransformer", _VIT_SMALL),
        "vit_base": ("video_transformer", "VideoTransformer", _VIT_BASE),
    },
    "audio": {
        "tiny": ("audio", "TinyAudio", {}),
        "l3": ("audio", "SpectrogramCNN", {}),
        **_named("audio", "AudioResNet", _RESNETS),
        "cnn14": ("cnn14", "CNN14", {}),
        "vit_tiny": ("audio_transformer", "AudioTransformer", _VIT_TINY),
        "vit_small": ("audio_transformer", "AudioTransformer", _VIT_SMALL),
        "vit_base": ("audio_transformer", "AudioTransformer", _VIT_BASE),
    },
    "flow": {
        "tiny": ("flow", "TinyFlow", {}),
        **_named("flow", "FlowResNet", _RESNETS),
        **_named("flow", "FlowImage", ("l3", *_FIRST, *_VITS)),
        **_named("flow", "FlowVideo", (*_OVER_TIME, "slow_r50", "x3d_s")),
        **{
            f"{name}_3d": ("flow", "FlowVideo", {"name": name})
            for name in ("tiny", *_RESNETS, *_VITS)
        },
    },
    "text": {
        "tiny": ("text", "TextTransformer", {}),
        "gpt2": ("text", "TextTransformer", _GPT2),
        "bert_base": ("text", "TextTransformer", _BERT),
        "transformer_xl": ("text", "TextTransformer", _TRANSFORMER_XL),
    },
}


def encoder_by_name(
    name: str, modality: Modality, *, pretrained: bool = False, **arguments: Any
) -> Encoder:
    """The encoder of that short name for a modality.

    Args:
        name: one of `NAMES`, "timm/NAME" for any of timm's models, or the folder of a run, whose
            encoder of this modality is then the start.
        modality: what it is to look at.
        pretrained: start from its publisher's weights, which are downloaded.
        arguments: further ones of its constructor, as `weights`.

    Raises:
        InputError: a name that there is not, or not for this modality (the message has the
            nearest), no published weights, arguments it does not take.
    """
    tree = encoder_tree(name, modality, pretrained=pretrained, **arguments)
    module, _, kind = tree["class_path"].rpartition(".")
    try:
        return getattr(import_module(module), kind)(**tree["init_args"])
    except TypeError as error:
        raise InputError(f"encoder {name!r} for {modality}: {error}") from error


def encoder_tree(
    name: str, modality: Modality, *, pretrained: bool = False, **arguments: Any
) -> Tree:
    """What `encoder_by_name` builds, as class_path and init_args of a config; builds nothing.

    Raises:
        InputError: as there, but for arguments, which the constructor refuses.
    """
    if Path(name).is_dir():
        from .store import run_tree

        tree = run_tree(name, modality)
        return {**tree, "init_args": {**tree["init_args"], **arguments}}
    module, kind, known = _entry(name, modality)
    if pretrained:
        if kind not in _PUBLISHED:
            raise InputError(
                f"encoder {name!r} for {modality} has no published weights that can be fetched; "
                "give weights, the path of a .safetensors file"
            )
        known = {**known, "pretrained": True}
    room = __name__.rpartition(".")[0]
    return {"class_path": f"{room}.{module}.{kind}", "init_args": {**known, **arguments}}


def replace_encoders(tree: Any, names: str) -> Any:
    """A config's tree with each encoder in it replaced by the one so named, of its modality.

    Args:
        tree: of mappings and lists, with class_path and init_args where an object is meant.
        names: a short name or a run's folder, or several, separated by commas; an encoder is
            replaced by the first that there is for its modality, and left where there is none.

    Returns:
        A new tree; the old one stays as it is.

    Raises:
        InputError: a name that replaces no encoder of the tree.
    """
    asked = [name.strip() for name in names.split(",")]
    used: set[str] = set()
    found: set[str] = set()
    new = _replaced(tree, asked, used, found)
    for name in asked:
        if name not in used:
            raise _unfit(name, sorted(found))
    return new


def _replaced(node: Any, asked: list[str], used: set[str], found: set[str]) -> Any:
    if isinstance(node, list):
        return [_replaced(child, asked, used, found) for child in node]
    if not isinstance(node, dict):
        return node
    modality = _modality(node.get("class_path"))
    if modality is None:
        return {key: _replaced(child, asked, used, found) for key, child in node.items()}
    found.add(modality)
    for name in asked:
        if _fits(name, modality):
            used.add(name)
            return encoder_tree(name, modality)
    return node


def _modality(class_path: Any) -> Modality | None:
    """Of an encoder's class; None for anything else."""
    if not isinstance(class_path, str) or "." not in class_path:
        return None
    module, _, name = class_path.rpartition(".")
    try:
        kind = getattr(import_module(module), name, None)
    except ImportError:
        return None  # building the config says so
    return kind.modality if isinstance(kind, type) and issubclass(kind, Encoder) else None


def _fits(name: str, modality: Modality) -> bool:
    if Path(name).is_dir():
        from .store import encoders_of

        return modality in encoders_of(name)
    return modality in _TIMM if name.startswith("timm/") else name in NAMES.get(modality, {})


def _entry(name: str, modality: Modality) -> Entry:
    if name.startswith("timm/") and modality in _TIMM:
        return *_TIMM[modality], {"name": name.removeprefix("timm/")}
    if name in NAMES.get(modality, {}):
        return NAMES[modality][name]
    raise _unfit(name, [modality])


def _unfit(name: str, modalities: list[str]) -> InputError:
    """Why there is no encoder of that name for any of the modalities."""
    others = [m for m in get_args(Modality) if _fits(name, m)]
    words = " or ".join(modalities) or "any input"
    if others:
        return InputError(f"encoder {name!r} is for {', '.join(others)}, not for {words}")
    if "/" in name and not name.startswith("timm/"):
        return InputError(f"encoder {name!r}: no such folder of a run, and no short name")
    known = dict.fromkeys(n for m in modalities for n in NAMES.get(m, {}))
    return InputError(
        f"no encoder {name!r} for {words}; {nearest(name, known)}"
        " (also timm/NAME, or the folder of a run)"
    )
