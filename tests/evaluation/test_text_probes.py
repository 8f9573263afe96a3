"""Probes of encoders of text: what they find in worlds whose answer is known, and no padding."""

import random
from dataclasses import replace

import pytest
import torch
from text_kit import labelled_text, text_encoder

from pretexto.cli import main
from pretexto.datasets.example_list import LeftOut, write_listing
from pretexto.datasets.source import Subset
from pretexto.datasets.text.documents import Piece
from pretexto.datasets.text.source import Tokens
from pretexto.datasets.text.write import pack_text
from pretexto.encoders.store import read_card
from pretexto.errors import InputError
from pretexto.evaluation.evaluate import evaluate
from pretexto.evaluation.features import VALUES, default_batch, extract
from pretexto.evaluation.finetune import Tuning
from pretexto.evaluation.splits import pretraining_names
from pretexto.modalities.input_spec import InputSpec
from pretexto.modalities.tokenizer import Tokenizer, train_tokenizer

SPEC = InputSpec("text", length=24)


def counted(label: str, rng: random.Random) -> str:
    """Mostly one letter or mostly another, in any order: counts of bytes tell."""
    return "".join(rng.choices("ab", (3, 1) if label == "many a" else (1, 3), k=20))


def ordered(label: str, rng: random.Random) -> str:
    """Letters of two kinds, one behind the other: their counts are the same in both classes."""
    first, second = rng.choices("pqr", k=10), rng.choices("xyz", k=10)
    return "".join(first + second if label == "p first" else second + first)


def top1(rows, **wanted) -> float:
    (found,) = {r.value for r in rows if r.stamp.metric == "top1"
                and all(getattr(r, k) == v for k, v in wanted.items())}  # fmt: skip
    return found


def test_counts_are_found_in_every_probe_and_random_labels_in_none(tmp_path, monkeypatch):
    monkeypatch.setattr("pretexto.evaluation.attentive.STEPS", 30)
    source = labelled_text(tmp_path / "true", counted, ("many a", "many b"))
    methods = ["linear", "knn", "retrieval", "lowshot", "attentive"]
    rows = evaluate(methods, text_encoder(), source, SPEC, clips=1)
    assert {r.stamp.method for r in rows} == set(methods)
    for method in ("linear", "knn", "attentive"):
        assert top1([r for r in rows if r.stamp.method == method]) >= 0.95, method
    drawn = labelled_text(
        tmp_path / "drawn", lambda _, rng: counted(rng.choice(("many a", "many b")), rng), "xy"
    )
    chance = top1(evaluate("linear", text_encoder(), drawn, SPEC, clips=1))
    assert 0.3 <= chance <= 0.7, "labels that were drawn have nothing to be found"


def test_order_is_found_where_it_is_read(tmp_path):
    source = labelled_text(tmp_path, ordered, ("p first", "x first"))
    encoder = text_encoder(positions="learned")
    rows = evaluate("linear", encoder, source, SPEC, clips=1, levels=True)
    assert 0.3 <= top1(rows, level="embeddings") <= 0.7, "counts of bytes are the same in both"
    assert top1(rows, level="embedding") >= 0.9
    tuning = Tuning(epochs=12, lr=3e-3, batch_size=16)
    rows = evaluate("finetune", encoder, source, SPEC, clips=1, tuning=tuning)
    assert top1(rows) >= 0.85
    assert "unchanged" in rows[0].stamp.recipe


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"positions": "learned"}])
def test_features_know_no_padding_and_no_other_document(tmp_path, options):
    """Alone, in a batch with longer ones, and in a longer row a document has the same features."""
    texts = ["ab", "abcdefg" * 3, "b", "abc" * 5]
    pack_text(map(Piece, texts), tmp_path / "packed", train_tokenizer("bpe", texts, 260))
    source, encoder = Tokens(tmp_path / "packed", unit="document"), text_encoder(**options)
    whole = extract(encoder, source, SPEC, levels=True, tokens=True)
    assert list(whole.vectors) == ["embeddings", "block1", "embedding"], "the last is the output"
    longer = extract(encoder, source, replace(SPEC, length=40), levels=True, batch_size=2)
    for i in range(len(texts)):
        alone = extract(encoder, Subset(source, [i]), SPEC, levels=True, batch_size=1)
        for level, x in whole.vectors.items():
            torch.testing.assert_close(alone.vectors[level][0], x[i], atol=1e-5, rtol=0)
            torch.testing.assert_close(longer.vectors[level][i], x[i], atol=1e-5, rtol=0)
    assert whole.tokens is not None
    there = (~whole.tokens.isnan().any(2)).sum(1).tolist()
    assert there == [3, 22, 2, 16], "tokens, the end among them, and nothing behind"


def test_a_long_document_is_read_in_spans_and_a_short_one_once(tmp_path):
    pack_text(map(Piece, ["a", "ab" * 40]), tmp_path / "packed",
              train_tokenizer("bpe", ["ab"], 260))  # fmt: skip
    source = Tokens(tmp_path / "packed", unit="document")
    found = extract(text_encoder(), source, SPEC, clips=3)
    assert found.counts.tolist() == [1, 3]


def test_an_empty_document_is_named_and_left_out(tmp_path):
    plain = train_tokenizer("bpe", ["ab"], 260).text
    plain = plain.replace("<|endoftext|>", "<a>").replace("[SEP]", "<b>")
    pieces = [Piece("ab", label="x"), Piece("", label="x"), Piece("ba", label="y")]
    pack_text(pieces, tmp_path / "packed", Tokenizer(plain))
    found = extract(text_encoder(), Tokens(tmp_path / "packed"), SPEC)
    assert found.indices.tolist() == [0, 2]
    assert found.unreadable[0][1] == "plan: it holds no text"


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path):
    source = labelled_text(tmp_path, counted, ("many a", "many b"))
    own = source.vocabulary.sha256
    extract(text_encoder(), source, replace(SPEC, tokenizer=own))
    with pytest.raises(InputError, match="another tokenizer than the encoder was trained with"):
        extract(text_encoder(), source, replace(SPEC, tokenizer="0" * 64))
    with pytest.raises(InputError, match="of 260 tokens, but the encoder knows 300"):
        extract(text_encoder(vocabulary=300), source, SPEC)
    with pytest.raises(InputError, match="longer than the encoder's context of 40"):
        extract(text_encoder(), source, replace(SPEC, length=41))
    with pytest.raises(InputError, match="text has no crops"):
        extract(text_encoder(), source, SPEC, crops=3)
    with pytest.raises(InputError, match="length of a span of text"):
        InputSpec("text")


def test_a_batch_of_a_gpu_is_counted_in_tokens():
    device = torch.device("cuda")
    assert default_batch(replace(SPEC, length=512), device) == VALUES // (768 * 512)


def test_blocks_do_not_tell_which_documents_were_seen(tmp_path):
    source = labelled_text(tmp_path / "text", counted, ("many a", "many b"))
    write_listing(source, tmp_path, LeftOut.of([]))
    assert pretraining_names(tmp_path) == {source.name(i) for i in range(len(source))}
    write_listing(source.joined(16), tmp_path, LeftOut.of([]))
    assert pretraining_names(tmp_path) is None


def test_a_run_keeps_its_tokenizer_and_is_evaluated_on_nothing_else(tmp_path, capsys):
    source = labelled_text(tmp_path, counted, ("many a", "many b"))
    (tmp_path / "text.csv").write_text("text,label\n" + "ab,x\nba,y\nbb,x\naa,y\n")
    run, sizes = str(tmp_path / "run"), {"width": 16, "depth": 2, "heads": 2}
    small = [part for name, value in sizes.items()
             for part in (f"--task.text.encoder.{name}", str(value))]  # fmt: skip
    budget = ["--trainer.steps", "2", "--trainer.batch_size", "4", "--trainer.workers", "0"]
    data = ["--data", str(source.path)]
    command = ["pretrain", "--config", "masked_language", *data, "--out", run, *small, *budget]
    assert main([*command, "--task.text.length", "24", "--probe", "linear"]) == 0
    assert (tmp_path / "run" / "tokenizer.json").read_text() == source.tokenizer()
    assert read_card(run)["spec"]["tokenizer"] == source.vocabulary.sha256
    assert "linear on labelled" in capsys.readouterr().out
    changed = tmp_path / "changed.json"
    changed.write_text(source.tokenizer().replace("[CLS]", "[CLX]"))
    for name, tokenizer, code in (("own", run, 0), ("other", str(changed), 2)):
        packed = str(tmp_path / name)
        text = str(tmp_path / "text.csv")
        assert main(["pack", text, "--tokenizer", tokenizer, "--out", packed]) == 0
        assert main(["evaluate", "knn", "--encoder", run, "--data", packed]) == code
    told = capsys.readouterr().err.strip()
    assert "other is packed with another tokenizer than the encoder was trained with" in told
    assert "Traceback" not in told
