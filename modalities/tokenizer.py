"""Tokenizers: text to the numbers of its tokens and back; trained here, or any tokenizer.json."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .text import Vocabulary
from .word_cache import WordCache, byte_lengths, flattened, may_cut

if TYPE_CHECKING:
    import tokenizers

END, CLS, SEP, MASK, UNKNOWN, PAD = "<|endoftext|>", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]"
# How tokenizers spell what is meant, the first that there is counts.
_SPELLINGS = {
    "end": (END, "</s>", SEP),
    "cls": (CLS, "<s>"),
    "sep": (SEP, "</s>"),
    "mask": (MASK, "<mask>"),
}
_BYTE_SPECIALS = [END, CLS, SEP, MASK]
_WORD_SPECIALS = [PAD, UNKNOWN, CLS, SEP, MASK]


class Tokenizer:
    """A tokenizer of the `tokenizers` library, and what tasks have to know of it.

    Words of the text that spell a special token are text like any other.

    Args:
        text: its tokenizer.json.
        origin: how messages name it.

    Attributes:
        text: the same.
        vocabulary: the size and the special tokens.

    Raises:
        InputError: not a tokenizer's file.
    """

    def __init__(self, text: str, origin: str = "tokenizer"):
        import tokenizers

        try:
            self._net = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises nothing narrower
            raise InputError(f"{origin}: no tokenizer.json ({error})") from None
        self._net.encode_special_tokens = True
        self._net.no_truncation()
        self._net.no_padding()
        self.text = text
        ids = {
            name: next((i for s in spellings if (i := self._net.token_to_id(s)) is not None), -1)
            for name, spellings in _SPELLINGS.items()
        }
        size = self._net.get_vocab_size()
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.vocabulary = Vocabulary(size, sha256=digest, **ids)
        self._bytes = self._byte_table()
        self._words = WordCache(self._merged) if may_cut(text) else None

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Tokens of each text, int64 [N], without any special ones."""
        tokens, counts = self.encode_together(texts)
        return np.split(tokens, counts.cumsum()[:-1]) if len(counts) else []

    def encode_together(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tokens of all texts, int64 [N], and how many of them are each one's, int64 [T]."""
        if self._bytes is not None:
            data = np.frombuffer("".join(texts).encode(), np.uint8)
            return self._bytes[data], byte_lengths(texts)
        if self._words is not None:
            return self._words(texts)
        return flattened(self._merged(texts))

    def _merged(self, texts: Sequence[str]) -> list[list[int]]:
        found = self._net.encode_batch_fast(list(texts), add_special_tokens=False)
        return [each.ids for each in found]

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens, special ones left out."""
        return self._net.decode([int(t) for t in tokens], skip_special_tokens=True)

    def spelling(self, token: int) -> str:
        """How a person would write one token."""
        word = self._net.id_to_token(int(token)) if token >= 0 else ""
        return _readable(word or "")

    def word_edges(self) -> NDArray[np.bool_]:
        """Of each token whether a word starts with it, and whether one starts behind it: [V, 2]."""
        special = set(self.vocabulary.special)
        edges = np.ones((self.vocabulary.size, 2), bool)
        for token in range(self.vocabulary.size):
            word = self._net.id_to_token(token) or ""
            if token in special or not word:
                continue
            if self._by_words:
                edges[token] = not word.startswith("##"), False
            else:
                plain = _readable(word)
                edges[token] = not plain[0].isalnum(), not plain[-1].isalnum()
        return edges

    @property
    def _by_words(self) -> bool:
        return type(self._net.model).__name__ == "WordPiece"

    def _byte_table(self) -> NDArray[np.int64] | None:
        """The token of each byte, where every token stands for one: nothing then need be merged."""
        from tokenizers.pre_tokenizers import ByteLevel

        plain = self.vocabulary.size - len(_BYTE_SPECIALS)
        if self._by_words or plain != 256 or set(ByteLevel.alphabet()) - set(self._net.get_vocab()):
            return None
        if self._net.normalizer is not None:
            return None
        ids = [self._net.token_to_id(letter) for letter in _byte_letters()]
        return np.array(ids, np.int64)


def _byte_letters() -> list[str]:
    """The letter that stands for each byte in byte-level vocabularies (GPT-2, Radford et al. 2019):
    printable ones for themselves, the others for those from number 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


def _readable(word: str) -> str:
    return word.replace("Ġ", " ").replace("Ċ", "\n").replace("ĉ", "\t") or word


def byte_tokenizer() -> Tokenizer:
    """One token for each byte, with the special ones before them: 260 tokens, nothing to train."""
    net = _bpe()
    net.train_from_iterator([], trainer=_bpe_trainer(256 + len(_BYTE_SPECIALS)))
    return Tokenizer(net.to_str(), "bytes")


def train_tokenizer(kind: str, texts: Iterable[str], size: int) -> Tokenizer:
    """A tokenizer of so many tokens.

    Args:
        kind: "bpe" (byte-level byte-pair encoding: Radford et al. 2019, section 2.2), or
            "wordpiece" (Wu et al. 2016, arXiv:1609.08144, section 4.1; lower case, as BERT's).
        texts: what it is trained on, one after another.
        size: of the vocabulary; texts may be too short for all of it.

    Raises:
        InputError: an unknown kind, or a vocabulary without room for the letters.
    """
    if kind not in ("bpe", "wordpiece"):
        raise InputError(f"no tokenizer {kind!r}; take bytes, bpe:SIZE, wordpiece:SIZE or a file")
    least = 256 + len(_BYTE_SPECIALS) if kind == "bpe" else len(_WORD_SPECIALS) + 100
    if size < least:
        raise InputError(f"{kind}:{size}: a vocabulary of at least {least} tokens is needed")
    if kind == "bpe":
        net, trainer = _bpe(), _bpe_trainer(size)
    else:
        net, trainer = _wordpiece(size)
    net.train_from_iterator(texts, trainer=trainer)
    return Tokenizer(net.to_str(), f"{kind}:{size}")


def _bpe() -> "tokenizers.Tokenizer":
    from tokenizers import Tokenizer as Net
    from tokenizers import decoders, models, pre_tokenizers

    net = Net(models.BPE())
    net.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    net.decoder = decoders.ByteLevel()
    return net


def _bpe_trainer(size: int):
    from tokenizers import pre_tokenizers, trainers

    return trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=_BYTE_SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )


def _wordpiece(size: int):
    from tokenizers import Tokenizer as Net
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    net = Net(models.WordPiece(unk_token=UNKNOWN))
    net.normalizer = normalizers.BertNormalizer(lowercase=True)
    net.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    net.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=_WORD_SPECIALS, show_progress=False
    )
    return net, trainer


def load_tokenizer(path: str | os.PathLike) -> Tokenizer:
    """That of a tokenizer.json, or of a folder with one; "bytes" is `byte_tokenizer`.

    Raises:
        InputError: no such file, or not a tokenizer's.
    """
    if str(path) == "bytes":
        return byte_tokenizer()
    file = Path(path)
    file = file / "tokenizer.json" if file.is_dir() else file
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise InputError(
            f"{path}: no tokenizer can be read ({reason}); name a tokenizer.json, or bytes, "
            "bpe:SIZE, wordpiece:SIZE"
        ) from None
    return Tokenizer(text, str(path))
