"""Continuing a text: greedy as transformers does it, and draws from what is left."""

import pytest
import torch
from text_kit import text_input
from transformers import GPT2Config, GPT2LMHeadModel

from pretexto.encoders.text_hub import from_hugging_face
from pretexto.errors import InputError
from pretexto.modalities.rng import generator
from pretexto.tasks.causal_language import CausalLanguage
from pretexto.tasks.parts.generation import continue_text, filtered


def both() -> tuple[CausalLanguage, GPT2LMHeadModel]:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=260, n_positions=64, n_embd=16, n_layer=2, n_head=2)
    net = GPT2LMHeadModel(config).eval()
    for parameter in net.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    task = CausalLanguage(text_input(16, positions="learned", activation="gelu_tanh")).eval()
    task.text.encoder.load_state_dict(from_hugging_face(net.state_dict()))
    return task, net


def test_greedy_continuation_is_that_of_transformers():
    task, net = both()
    prompt = torch.tensor([[5, 70, 31, 200]])
    found = continue_text(task.text.encoder, task.logits, prompt, 20)
    want = net.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=20, do_sample=False,
        pad_token_id=0, eos_token_id=None,
    )  # fmt: skip
    assert found.tolist() == want[:, 4:].tolist()
    assert len(set(found[0].tolist())) > 3


def test_what_is_drawn_from():
    logits = torch.log(torch.tensor([[0.1, 0.4, 0.2, 0.3]]))
    kept = [
        filtered(logits, k, p).isfinite()[0].tolist() for k, p in ((2, 1.0), (0, 0.65), (0, 1.0))
    ]
    assert kept[0] == kept[1] == [False, True, False, True]
    assert all(kept[2])
    assert filtered(logits, 0, 0.01).isfinite().sum() == 1, "one always stays"


def test_draws_follow_from_the_generator():
    task, _ = both()
    prompt = torch.zeros(1, 4, dtype=torch.int64)

    def drawn(seed: int, **options) -> list[int]:
        rng = generator(seed, 0, 0)
        made = continue_text(task.text.encoder, task.logits, prompt, 12, rng=rng, **options)
        return made[0].tolist()

    assert drawn(1, temperature=1.0) == drawn(1, temperature=1.0) != drawn(2, temperature=1.0)
    greedy = continue_text(task.text.encoder, task.logits, prompt, 12)[0].tolist()
    assert drawn(1, temperature=1.0, top_k=1) == greedy
    with pytest.raises(InputError, match="do not fit into the encoder's context of 64"):
        continue_text(task.text.encoder, task.logits, prompt, 61)
