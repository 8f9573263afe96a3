"""The transformer of text beside transformers' GPT-2, BERT and XLNet, at random weights."""

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    XLNetConfig,
    XLNetModel,
)

from pretexto.encoders.text import Memory, TextTransformer
from pretexto.encoders.text_hub import from_hugging_face, save_hugging_face
from pretexto.errors import InputError

EXACT = {"atol": 1e-5, "rtol": 0}
SIZES = {"vocabulary": 61, "context": 20, "width": 24, "depth": 3, "heads": 3}


def shaken(net: nn.Module) -> nn.Module:
    """Random everywhere: what starts at zero or one would hide an exchange."""
    rng = torch.Generator().manual_seed(1)
    for parameter in net.parameters():
        parameter.data = parameter.data + 0.1 * torch.randn(parameter.shape, generator=rng)
    return net.eval()


def tokens(*shape: int) -> Tensor:
    return torch.randint(61, shape, generator=torch.Generator().manual_seed(2))


def gpt2() -> tuple[nn.Module, dict]:
    config = GPT2Config(vocab_size=61, n_positions=20, n_embd=24, n_layer=3, n_head=3)
    own = {"positions": "learned", "norm": "pre", "activation": "gelu_tanh", "causal": True}
    return shaken(GPT2Model(config)), {**SIZES, **own}


def bert() -> tuple[nn.Module, dict]:
    config = BertConfig(
        vocab_size=61, max_position_embeddings=20, hidden_size=24, num_hidden_layers=3,
        num_attention_heads=3, intermediate_size=96,
    )  # fmt: skip
    own = {"positions": "learned", "norm": "post", "segments": 2, "eps": 1e-12, "causal": False}
    return shaken(BertModel(config, add_pooling_layer=False)), {**SIZES, **own}


@torch.no_grad()
@pytest.mark.parametrize("make", [gpt2, bert])
def test_states_are_theirs_from_their_file_and_back(make, tmp_path):
    net, arguments = make()
    path = tmp_path / "theirs.safetensors"
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, path)
    encoder = TextTransformer(**arguments, weights=str(path)).eval()
    x = tokens(2, 17)
    torch.testing.assert_close(encoder.states(x)[-1], net(x).last_hidden_state, **EXACT)
    save_hugging_face(encoder, tmp_path / "ours")
    again = AutoModel.from_pretrained(tmp_path / "ours").eval()
    torch.testing.assert_close(again(x).last_hidden_state, net(x).last_hidden_state, **EXACT)


@torch.no_grad()
def test_segments_and_padding_are_berts():
    net, arguments = bert()
    encoder = TextTransformer(**arguments).eval()
    encoder.load_state_dict(from_hugging_face(net.state_dict()))
    x, kinds = tokens(2, 12), (torch.arange(12) > 5).long().expand(2, -1)
    short = x.clone()
    short[1, 8:] = -1
    found = encoder.states(short, segments=kinds)[-1]
    want = net(x, attention_mask=(short >= 0).long(), token_type_ids=kinds).last_hidden_state
    torch.testing.assert_close(found[short >= 0], want[short >= 0], **EXACT)


def test_heads_and_prefixes_of_whole_models_are_left_out():
    net, arguments = gpt2()
    whole = {f"transformer.{k}": v for k, v in net.state_dict().items()}
    whole |= {"lm_head.weight": torch.zeros(61, 24), "transformer.h.0.attn.bias": torch.ones(1)}
    found = from_hugging_face(whole)
    assert found.keys() - {"blocks.0.attention"} == TextTransformer(**arguments).state_dict().keys()


def test_another_vocabulary_is_refused(tmp_path):
    net, arguments = gpt2()
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="of another shape embeddings.weight"):
        TextTransformer(**{**arguments, "vocabulary": 60}, weights=str(tmp_path / "a.safetensors"))
    with pytest.raises(InputError, match="neither GPT-2"):
        save_hugging_face(TextTransformer(), tmp_path)


@torch.no_grad()
def test_relative_attention_and_memory_are_those_of_xlnet_as_transformer_xl():
    """XLNet's one-way attention with post-norm and ReLU is Transformer-XL's."""
    config = XLNetConfig(
        vocab_size=61, d_model=24, n_layer=3, n_head=3, d_inner=48, ff_activation="relu",
        untie_r=True, attn_type="uni", bi_data=False, mem_len=8, layer_norm_eps=1e-5, dropout=0.0,
    )  # fmt: skip
    net = shaken(XLNetModel(config))
    encoder = TextTransformer(
        **SIZES, hidden=48, norm="post", positions="relative", activation="relu", causal=True
    )
    shaken(encoder)
    net.word_embedding.weight.data = encoder.embeddings.weight * 24**0.5
    for layer, block in zip(net.layer, encoder.blocks, strict=True):
        q, k, v = block.attention.qkv.weight.chunk(3)
        other = {"q": q, "k": k, "v": v, "r": block.attention.distance.weight}
        for name, weight in other.items():
            getattr(layer.rel_attn, name).data = weight.T.reshape(24, 3, 8)
        layer.rel_attn.o.data = block.attention.out.weight.reshape(24, 3, 8)
        layer.rel_attn.r_w_bias.data = encoder.relative.content.data
        layer.rel_attn.r_r_bias.data = encoder.relative.position.data
        layer.rel_attn.layer_norm.load_state_dict(block.norm1.state_dict())
        layer.ff.layer_1.load_state_dict(block.up.state_dict())
        layer.ff.layer_2.load_state_dict(block.down.state_dict())
        layer.ff.layer_norm.load_state_dict(block.norm2.state_dict())
    x, mems, memory = tokens(2, 16), None, None
    for segment in x.split(8, 1):
        states = encoder.states(segment, memory=memory)
        want = net(segment, mems=mems, use_mems=True)
        torch.testing.assert_close(states[-1], want.last_hidden_state, **EXACT)
        memory, mems = encoder.remember(memory, states, 8), want.mems
    assert isinstance(memory, Memory)
