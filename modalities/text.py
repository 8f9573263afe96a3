"""Text as tokens: which vocabulary they are of, and where in a corpus an example lies."""

from dataclasses import dataclass

NOTHING = -1  # in the place of a token where there is none


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What numbers tokens have.

    Attributes:
        size: tokens are 0 … size - 1.
        end: the token behind each document; -1: there is none, as for the others.
        cls: the token before a text that is to be understood as a whole.
        sep: the token between two texts.
        mask: the token in the place of one that is to be guessed.
        sha256: of the tokenizer's file.
    """

    size: int
    end: int = -1
    cls: int = -1
    sep: int = -1
    mask: int = -1
    sha256: str = ""

    @property
    def special(self) -> tuple[int, ...]:
        """Those of the four that there are; none of them stands for text."""
        return tuple(t for t in (self.end, self.cls, self.sep, self.mask) if t >= 0)


@dataclass(frozen=True, slots=True)
class TextInfo:
    """Of which tokens of its medium an example is made.

    Attributes:
        first: position of the example's first token in the medium, a document or a whole corpus.
        last: position behind its last one.
        total: tokens of the medium.
        vocabulary: of the tokens.
        bytes_per_token: bytes of UTF-8 that a token of the corpus stands for, on average.
    """

    first: int
    last: int
    total: int
    vocabulary: Vocabulary
    bytes_per_token: float = 1.0
