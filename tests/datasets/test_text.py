"""Text: documents out of every kind of file, tokenizers, and what a pack gives back."""

import json
import tracemalloc

import numpy as np
import pytest
import torch
from text_kit import SENTENCES, packed

from pretexto.cli import main
from pretexto.datasets.open import open_source
from pretexto.datasets.text import documents, write
from pretexto.datasets.text.documents import Columns, Piece, lines, read_documents
from pretexto.datasets.text.source import Tokens
from pretexto.datasets.text.write import pack_text, tokenizer_for
from pretexto.errors import InputError
from pretexto.modalities.media import MediaError, Plan
from pretexto.modalities.tokenizer import byte_tokenizer, load_tokenizer, train_tokenizer

TEXT = "one  two\n\nthree\nfour\n\n\n\nfive é\n"


def read(path, documents="line", **columns):
    return [p.text for p in read_documents(path, documents, Columns(**columns))]


@pytest.mark.parametrize(
    ("mode", "found"),
    [
        ("line", ["one  two", "three", "four", "five é"]),
        ("blank", ["one  two", "three\nfour", "five é"]),
        ("file", [TEXT.rstrip()]),
    ],
)
def test_plain_text_is_cut_into_documents(tmp_path, mode, found):
    for name, content in (("a.txt", TEXT), ("b.txt", TEXT.replace("\n", "\r\n"))):
        (tmp_path / name).write_bytes(content.encode())
        assert read(tmp_path / name, mode) == found


def test_long_documents_come_in_pieces_that_are_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "_PIECE", 10)
    content = "\n".join(f"line {k} of the text" for k in range(20)) + "\n\nanother\n"
    (tmp_path / "a.txt").write_text(content)
    pieces = list(read_documents(tmp_path / "a.txt", "blank"))
    assert len(pieces) > 5
    assert [p.last for p in pieces].count(True) == 2
    assert "".join(p.text for p in pieces) == content.rstrip("\n").replace("\n\n", "")
    whole = list(read_documents(tmp_path / "a.txt", "file"))
    assert "".join(p.text for p in whole) == content.rstrip()
    assert [p.last for p in whole] == [False] * (len(whole) - 1) + [True]


@pytest.mark.parametrize("piece", [1, 2, 7, 12])
def test_lines_are_the_same_wherever_a_block_of_the_file_ends(piece, tmp_path, monkeypatch):
    monkeypatch.setattr("pretexto.datasets.text.documents._PIECE", piece)
    file = tmp_path / "a.txt"
    file.write_bytes("\ufeffé one\r\n\n\rtwo \n  \nlast 你".encode())
    assert list(lines(file)) == [
        (1, "é one"), (2, ""), (3, "\rtwo "), (4, "  "), (5, "last 你")
    ]  # fmt: skip
    file.write_bytes(b"fine\nfine\nnot \xff so\nfine\n")
    with pytest.raises(InputError, match=r"line 3 is not UTF-8 \(byte 0xff at 4\)"):
        list(lines(file))
    monkeypatch.setattr("pretexto.datasets.text.documents.MOST_BYTES", 12)
    file.write_bytes(b"short\n" + 12 * b"x" + b"\nshort")
    assert len(list(lines(file))) == 3
    file.write_bytes(b"short\n" + 13 * b"x" + b"\nshort")
    with pytest.raises(InputError, match="line 2 is longer"):
        list(lines(file))


def test_tables_give_text_label_and_split(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {"body": 'a "b", c', "label": "good", "split": "train"},
        {"body": "d\ne", "label": "bad"},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text('body,label,split\n"a ""b"", c",good,train\n"d\ne",bad,\n')
    want = [Piece('a "b", c', True, "good", "train"), Piece("d\ne", True, "bad", "")]
    for name in ("a.jsonl", "a.parquet", "a.csv"):
        assert list(read_documents(tmp_path / name, columns=Columns("body"))) == want, name
    with pytest.raises(InputError, match="row 1 has no text in the column 'text'"):
        read(tmp_path / "a.jsonl")


def test_folders_name_splits_and_classes(tmp_path):
    for name, text in (("train/good/a.txt", "x\n\ny"), ("test/bad/b.txt", "z"), ("c.txt", "w")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = [(p.text, p.label, p.split) for p in read_documents(tmp_path)]
    assert found == [("w", "", ""), ("z", "bad", "test"), ("x\n\ny", "good", "train")]


BAD = {
    "empty.txt": (b"", "holds no text"),
    "blank.txt": (b"\n \n\n", "holds no text"),
    "latin.txt": ("gut\ngr\xf6\xdfer\n".encode("latin-1"), "line 2 is not UTF-8.*iconv"),
    "utf16.txt": ("text".encode("utf-16"), "line 1 is not UTF-8"),
    "long.txt": (b"a" * 100_000_000, "line 1 is longer than 32 MiB"),
    "bad.jsonl": (b'{"text": "a"}\n{"text"\n', "line 2 is not JSON"),
    "bad.parquet": (b"PAR1", "no readable Parquet"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_text_is_one_clear_line_and_leaves_nothing(name, tmp_path, capsys):
    content, words = BAD[name]
    (tmp_path / name).write_bytes(content)
    assert (
        main(["pack", str(tmp_path / name), "--tokenizer", "bytes", "--out", str(tmp_path / "o")])
        == 2
    )
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("pretexto:")]
    assert str(tmp_path / name) in line
    with pytest.raises(InputError, match=words):
        read(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("spec", ["bytes", "bpe:300", "wordpiece:120"])
def test_a_pack_gives_back_what_was_put_in(spec, tmp_path):
    tokenizer = tokenizer_for(spec, lambda: map(Piece, SENTENCES))
    source = packed(tmp_path, tokenizer=tokenizer, unit="document")
    assert len(source) == len(SENTENCES)
    for i in (0, 7, len(SENTENCES) - 1):
        total = source.info(i).text.total
        tokens = source.read(i, Plan(tokens=((0, total),))).tokens
        assert tokens[-1] == tokenizer.vocabulary.end
        plain = SENTENCES[i] if spec != "wordpiece:120" else SENTENCES[i].lower()
        assert tokenizer.decode(tokens.tolist()) == plain
    again = load_tokenizer(source.path)
    assert again.vocabulary == tokenizer.vocabulary


def test_tokens_of_repeated_words_are_those_of_the_whole_text():
    words = ["a", " ", "  ", "\n", "\t", "é", "你", " x", "'s", "1", ".", "\u00a0", "[SEP]", "The"]
    words += [" é", "\u2003", "\u0301", "\x1c", "ﬁ", "\x00", "İ", ""]
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(words, 20)) for _ in range(400)]
    # Spaces of several bytes that are often one token, which a cut between them would tear.
    learned = [*SENTENCES, *["a\u00a0 \u00a0a", "a\u2003 \u2003a"] * 50]
    texts += ["a\u00a0 \u00a0a a", "a\u2003 \u2003\u00a0 a"]
    for kind, size in (("bpe", 330), ("wordpiece", 120)):
        tokenizer = train_tokenizer(kind, learned, size)
        for text, found in zip(texts, tokenizer.encode(texts), strict=True):
            assert found.tolist() == tokenizer._merged([text])[0], repr(text)
    bytes_ = byte_tokenizer()
    for text, found in zip(texts, bytes_.encode(texts), strict=True):
        assert found.tolist() == bytes_._merged([text])[0], repr(text)


def test_text_that_spells_a_special_token_is_text():
    tokenizer = byte_tokenizer()
    (found,) = tokenizer.encode(["a<|endoftext|>[MASK]"])
    assert not set(found) & set(tokenizer.vocabulary.special)
    wordpiece = train_tokenizer("wordpiece", SENTENCES, 120)
    assert not set(wordpiece.encode(["the [MASK] [SEP]"])[0]) & set(wordpiece.vocabulary.special)


def test_spans_reach_across_shards_and_past_ends(tmp_path):
    pack_text(map(Piece, SENTENCES), tmp_path / "a", byte_tokenizer(), shard_bytes=100)
    source = Tokens(tmp_path / "a", block=20)
    corpus = source.corpus()
    assert len(source.manifest.shards) > 5
    spans = ((0, 5), (40, 130), (48, 52), (7, 7))
    found = source.read(0, Plan(tokens=spans)).tokens
    assert torch.equal(found, torch.cat([corpus[a:b] for a, b in spans]))
    n = len(corpus)
    with pytest.raises(MediaError, match=f"of {n}"):
        source.read(0, Plan(tokens=((n - 2, n + 1),)))
    held = source.read(0, Plan(tokens=((n - 2, n + 2),), past_end="repeat")).tokens
    assert held.tolist() == [*corpus[-2:].tolist(), -1, -1]
    again = source.read(0, Plan(tokens=((n - 2, n + 2),), past_end="wrap")).tokens
    assert again.tolist() == [*corpus[-2:].tolist(), *corpus[:2].tolist()]
    blocks = [source.info(i).text for i in range(len(source))]
    assert [b.first for b in blocks] == list(range(0, 20 * len(source), 20))
    assert blocks[-1].last + 1 <= n, "behind each block there is a token to be predicted"
    assert len(source.for_length(40)) == len(source), "a length that was asked for stays"
    assert Tokens(tmp_path / "a").for_length(40).info(1).text.first == 40


def test_word_starts(tmp_path):
    source = packed(tmp_path, ["The cup isn't\nred."])
    sample = source.read(0, Plan(tokens=((0, 19),)))
    letters = "The cup isn't\nred."
    found = [letters[k] for k in range(18) if sample.word_starts[k]]
    assert "".join(found) == "T c i't\nr."
    pieces = train_tokenizer("wordpiece", SENTENCES, 120)
    by_piece = packed(tmp_path / "b", ["The thee"], pieces)
    n = len(by_piece.corpus())
    starts = by_piece.read(0, Plan(tokens=((0, n),))).word_starts
    assert int(starts.sum()) == 3, "two words and the end"
    assert n > 3


def test_labels_make_documents_the_examples(tmp_path):
    pieces = [Piece("good one", True, "good", "train"), Piece("bad one", True, "bad", "test")]
    pack_text(pieces, tmp_path / "a", byte_tokenizer())
    source = open_source(str(tmp_path / "a"))
    assert source.classes == ("good", "bad")
    assert source.labels().tolist() == [0, 1]
    assert source.splits().tolist() == ["train", "test"]
    assert len(open_source(str(tmp_path / "a"), "test")) == 1
    assert len(Tokens(tmp_path / "a", unit="block", block=4)) == 4


def test_documents_end_where_they_end_whatever_is_written_together(tmp_path, monkeypatch):
    texts = [f"document {k} {'é' * k}" for k in range(9)]
    pieces = [
        Piece(part, last, "ab"[k % 2], "train" if k < 5 else "test")
        for k, text in enumerate(texts)
        for part, last in ((text[:5], False), (text[5:], True))
    ]
    monkeypatch.setattr("pretexto.datasets.text.write._TOGETHER", 40)
    monkeypatch.setattr("pretexto.datasets.text.write._ROWS", 2)
    tokenizer = byte_tokenizer()
    made = pack_text(pieces, tmp_path / "a", tokenizer, shard_bytes=64)
    assert len(made.shards) > 1
    assert (made.documents, made.bytes) == (9, sum(len(t.encode()) for t in texts))
    source = Tokens(tmp_path / "a")
    assert source.labels().tolist() == [k % 2 for k in range(9)]
    assert source.splits().tolist() == ["train"] * 5 + ["test"] * 4
    for k, text in enumerate(texts):
        whole = source.info(k).text.total
        tokens = source.read(k, Plan(tokens=((0, whole),))).tokens
        assert tokens[-1] == tokenizer.vocabulary.end
        assert tokenizer.decode(tokens[:-1]) == text


def damaged(folder, name, change):
    path = folder / name
    path.write_bytes(change(path.read_bytes()))
    return folder


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("tokens-00000.bin", lambda b: b[:-2], "bytes instead of"),
        ("text.json", lambda b: b[:-9], "damaged"),
        ("text.json", lambda b: b.replace(b"tokens-00000", b"../../00000"), "a shard named"),
        (
            "tokenizer.json",
            lambda b: b.replace(b'"version":', b'"versions":', 1),
            "no tokenizer|not the",
        ),
        ("documents.parquet", lambda b: b"PAR1", "table of documents"),
    ],
)
def test_a_damaged_pack_is_refused(name, change, words, tmp_path):
    folder = damaged(packed(tmp_path).path, name, change)
    with pytest.raises(InputError, match=words):
        Tokens(folder, unit="document")


def test_another_tokenizer_in_the_pack_is_refused(tmp_path):
    source = packed(tmp_path)
    other = train_tokenizer("bpe", SENTENCES, 280)
    (source.path / "tokenizer.json").write_text(other.text)
    with pytest.raises(InputError, match="a vocabulary of 280 tokens, but .* one of 260"):
        Tokens(source.path)


def test_verify_finds_a_changed_byte(tmp_path, capsys):
    folder = packed(tmp_path).path
    assert main(["pack", "--verify", str(folder)]) == 0
    damaged(folder, "tokens-00000.bin", lambda b: bytes([b[0] ^ 1]) + b[1:])
    assert main(["pack", "--verify", str(folder)]) == 1
    assert "tokens-00000.bin: has other content" in capsys.readouterr().out


def test_memory_stays_bounded_while_packing_and_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "_TOGETHER", 1 << 16)
    line = "word " * 2000 + "\n"
    (tmp_path / "a.txt").write_text(line * 600)  # 6 MB
    tokenizer = byte_tokenizer()
    tracemalloc.start()
    pack_text(read_documents(tmp_path / "a.txt"), tmp_path / "p", tokenizer, shard_bytes=1 << 20)
    source = Tokens(tmp_path / "p", block=512)
    for i in range(0, len(source), 500):
        source.read(i, Plan(tokens=((i * 512, i * 512 + 512),)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6, f"{peak / 1e6:.0f} MB for a text of 6 MB, whose tokens take 48 MB"


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    source = packed(tmp_path)
    with pytest.raises(InputError, match="there is something already"):
        pack_text(map(Piece, ["new"]), source.path, byte_tokenizer())
    assert len(Tokens(source.path).corpus()) == len(source.corpus())
