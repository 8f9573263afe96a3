"""GPT-2 and BERT in the layout of Hugging Face's transformers: read, and written."""

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError
from .encoder import Encoder

State = dict[str, Tensor]

# Our names, and theirs; "#" is the number of a block. What GPT-2 multiplies from the right is
# transposed.
_GPT2 = {
    "embeddings.weight": "wte.weight",
    "positions.weight": "wpe.weight",
    "blocks.#.norm1": "h.#.ln_1",
    "blocks.#.attention.qkv": "h.#.attn.c_attn",
    "blocks.#.attention.out": "h.#.attn.c_proj",
    "blocks.#.norm2": "h.#.ln_2",
    "blocks.#.up": "h.#.mlp.c_fc",
    "blocks.#.down": "h.#.mlp.c_proj",
    "norm_out": "ln_f",
}
_BERT = {
    "embeddings.weight": "embeddings.word_embeddings.weight",
    "positions.weight": "embeddings.position_embeddings.weight",
    "segments.weight": "embeddings.token_type_embeddings.weight",
    "norm_in": "embeddings.LayerNorm",
    "blocks.#.attention.out": "encoder.layer.#.attention.output.dense",
    "blocks.#.norm1": "encoder.layer.#.attention.output.LayerNorm",
    "blocks.#.up": "encoder.layer.#.intermediate.dense",
    "blocks.#.down": "encoder.layer.#.output.dense",
    "blocks.#.norm2": "encoder.layer.#.output.LayerNorm",
}
_QKV = "encoder.layer.{}.attention.self.{}.{}"
_PARTS = ("query", "key", "value")
_TRANSPOSED = re.compile(r"h\.\d+\.(attn|mlp)\.c_\w+\.weight")


def from_hugging_face(found: State) -> State:
    """The encoder's keys of a file in either layout, its heads left out; other files unchanged."""
    for prefix in ("transformer.", ""):
        if f"{prefix}wte.weight" in found:
            return _gpt2(_below(found, prefix))
    for prefix in ("bert.", ""):
        if f"{prefix}embeddings.word_embeddings.weight" in found:
            return _bert(_below(found, prefix))
    return found


def _below(found: State, prefix: str) -> State:
    return {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}


def _gpt2(found: State) -> State:
    state = {k: v.T.contiguous() if _TRANSPOSED.fullmatch(k) else v for k, v in found.items()}
    return _renamed(state, {theirs: ours for ours, theirs in _GPT2.items()})


def _bert(found: State) -> State:
    # Older files call the scale of a normalisation gamma, and its shift beta.
    found = {_norm(k): v for k, v in found.items()}
    state = _renamed(found, {theirs: ours for ours, theirs in _BERT.items()})
    for key in [k for k in found if ".self.query." in k]:
        number, kind = key.split(".")[2], key.rpartition(".")[2]
        parts = [found[_QKV.format(number, part, kind)] for part in _PARTS]
        state[f"blocks.{number}.attention.qkv.{kind}"] = torch.cat(parts)
    return state


def _norm(key: str) -> str:
    return re.sub(r"LayerNorm\.(gamma|beta)$", _norm_word, key)


def _norm_word(found: re.Match) -> str:
    return "LayerNorm.weight" if found[1] == "gamma" else "LayerNorm.bias"


def _renamed(state: State, names: dict[str, str]) -> State:
    """Those keys that begin as one of the names, by the other name."""
    made = {}
    for key, value in state.items():
        for old, new in names.items():
            pattern = re.escape(old).replace(r"\#", r"(\d+)").replace("#", r"(\d+)")
            if match := re.fullmatch(rf"{pattern}(\.weight|\.bias)?", key):
                number = match[1] if "#" in old else ""
                made[new.replace("#", number) + (match.groups()[-1] or "")] = value
    return made


def to_hugging_face(encoder: Encoder) -> tuple[State, dict[str, Any]]:
    """Weights and config.json of an encoder as transformers' GPT2Model or BertModel has them.

    BertModel's pooler, which the encoder lacks, is left out.

    Raises:
        InputError: an encoder that is neither's.
    """
    state, kind = encoder.state_dict(), layout(encoder)
    if kind == "gpt2":
        made = _renamed(state, _GPT2)
        made = {k: v.T.contiguous() if _TRANSPOSED.fullmatch(k) else v for k, v in made.items()}
        return made, _gpt2_config(encoder)
    made = _renamed(state, _BERT)
    for key, value in state.items():
        if ".attention.qkv." in key:
            number, kind = key.split(".")[1], key.rpartition(".")[2]
            for part, piece in zip(_PARTS, value.chunk(3), strict=True):
                made[_QKV.format(number, part, kind)] = piece.contiguous()
    return made, _bert_config(encoder)


def layout(encoder: Encoder) -> str:
    """ "gpt2" or "bert": whose layout the encoder has. Raises InputError for neither's."""
    has = encoder.arguments
    match has.get("positions"), has.get("norm"), bool(has.get("segments")):
        case "learned", "pre", False:
            return "gpt2"
        case "learned", "post", True:
            return "bert"
    raise InputError(
        "this encoder has the layout of neither GPT-2 (positions: learned, norm: pre) nor "
        "BERT (positions: learned, norm: post, segments: 2)"
    )


def _gpt2_config(encoder: Encoder) -> dict[str, Any]:
    has = encoder.arguments
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2Model"],
        "vocab_size": has["vocabulary"],
        "n_positions": has["context"],
        "n_embd": has["width"],
        "n_layer": has["depth"],
        "n_head": has["heads"],
        "n_inner": has["hidden"] or None,
        "activation_function": _THEIRS[has["activation"]],
        "layer_norm_epsilon": has["eps"],
        **{f"{name}_pdrop": has["dropout"] for name in ("attn", "embd", "resid")},
    }


def _bert_config(encoder: Encoder) -> dict[str, Any]:
    has = encoder.arguments
    return {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": has["vocabulary"],
        "max_position_embeddings": has["context"],
        "hidden_size": has["width"],
        "num_hidden_layers": has["depth"],
        "num_attention_heads": has["heads"],
        "intermediate_size": has["hidden"] or 4 * has["width"],
        "type_vocab_size": has["segments"],
        "hidden_act": _THEIRS[has["activation"]],
        "layer_norm_eps": has["eps"],
        "hidden_dropout_prob": has["dropout"],
        "attention_probs_dropout_prob": has["dropout"],
    }


_THEIRS = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu"}


def save_hugging_face(encoder: Encoder, folder: str | Path) -> None:
    """Writes model.safetensors and config.json, which transformers' AutoModel loads.

    Raises:
        InputError: an encoder of another layout, or a folder that cannot be written.
    """
    state, config = to_hugging_face(encoder)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error})") from None
