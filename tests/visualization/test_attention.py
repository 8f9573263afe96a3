"""How far a transformer of text looks, and the picture of it."""

import pytest
import torch
from text_kit import SENTENCES, packed, text_input
from torch import nn

from pretexto.errors import InputError
from pretexto.modalities.tokenizer import train_tokenizer
from pretexto.tasks.causal_language import CausalLanguage
from pretexto.tasks.masked_language import MaskedLanguage
from pretexto.tasks.segment_recurrence import SegmentRecurrence
from pretexto.visualization.attention import Reach, draw_reach, in_words, reach

TASKS = [
    (CausalLanguage, {"positions": "learned"}, {}),
    (MaskedLanguage, {"positions": "learned", "norm": "post"}, {}),
    (SegmentRecurrence, {}, {"memory": 24}),
]


@pytest.mark.parametrize(("task", "options", "own"), TASKS)
def test_weights_are_those_that_the_encoder_attends_by(task, options, own):
    """The output of attention is the values in these shares."""
    made = task(text_input(16, **options), **own).eval()
    encoder = made.text.encoder
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    block, e = encoder.blocks[0].attention, torch.randn(2, 8, 16)
    x, memory = torch.randint(260, (2, 8)), torch.randn(2, 4, 16) if own else None
    x[1, 6:] = -1
    kept = 4 if own else 0
    how = {"relative": encoder.relative, "table": None, "memory": memory}
    if encoder.relative is not None:
        how["table"] = encoder.relative.table(8, 8 + kept, 16, causal=bool(encoder.causal), like=e)
    seen = encoder._seen(x, kept, None, 0)
    weights = block.weights(e, seen, **how)
    assert weights.sum(-1).allclose(torch.ones(2, 2, 8), atol=1e-5)
    values = block._projected(e, seen, **how)[2]
    y = block.out((weights @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(y, block(e, seen, **how), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("task", "options", "own"), TASKS)
def test_uniform_attention_has_the_mean_of_what_is_seen(task, options, own, tmp_path):
    made = task(text_input(16, **options), **own)
    encoder = made.text.encoder
    for name, parameter in encoder.named_parameters():
        if "attention.qkv" in name or "distance" in name:
            nn.init.zeros_(parameter)
    found = reach(made, packed(tmp_path), count=3)
    assert made.training, "left as it was"
    if task is MaskedLanguage:
        assert found.weights.allclose(torch.full((2, 16), 1 / 16), atol=1e-6)
    elif task is CausalLanguage:  # at distance d, queries d … 15 of d + 1 … 16 keys
        for d in (0, 9, 15):
            want = sum(1 / (i + 1) for i in range(d, 16)) / (16 - d)
            assert found.weights[:, d].tolist() == pytest.approx([want] * 2, rel=1e-4)
    else:
        share = sum(24 / (24 + i + 1) for i in range(16)) / 16
        assert found.remembered.tolist() == pytest.approx([share] * 2, rel=1e-4)
        assert found.weights.shape == (2, 40)
        assert "in memory block by block" in in_words(found)
    assert found.length == 16
    assert draw_reach(found, tmp_path / "far.png").stat().st_size > 5000


def test_what_has_no_text_or_too_little_of_it_is_refused(tmp_path):
    made = SegmentRecurrence(text_input(16), memory=160)
    with pytest.raises(InputError, match="no text of 176 tokens in a row"):
        reach(made, packed(tmp_path, ["a short text of few tokens only"]))


def test_memory_is_shaded_where_there_is_some(tmp_path):
    from PIL import Image

    def colours(remembered: float) -> set:
        weights = torch.linspace(0.2, 0.01, 40).expand(2, 40)
        path = draw_reach(Reach(weights, torch.full((2,), remembered), 16), tmp_path / "a.png")
        return {c for _, c in Image.open(path).convert("RGB").getcolors(1 << 20)}

    shade = (0xF3, 0xEA, 0xD3)
    assert shade in colours(0.5)
    assert shade not in colours(0.0)


def test_puzzles_are_spelled_by_the_tokenizer_of_the_text(tmp_path, monkeypatch):
    from pretexto.tasks.parts import language
    from pretexto.visualization.puzzles import puzzles

    said: list[str] = []
    drawn = language.text_picture
    monkeypatch.setattr(
        language,
        "text_picture",
        lambda w, s, **how: said.append("".join(w)) or drawn(w, s, **how),
    )
    source = packed(tmp_path, tokenizer=train_tokenizer("bpe", SENTENCES, 300))
    text = text_input(16, vocabulary=source.vocabulary.size)
    made = puzzles(CausalLanguage(text), source, count=2, predict=True)
    assert len(made) == 2
    assert said[0].replace("<|endoftext|>", "") in "".join(SENTENCES), "what was read, all of it"
    assert len(said[0]) > 32, "words, not letters"
