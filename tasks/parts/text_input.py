"""TextInput: spans of tokens for an encoder of text, planned and encoded."""

from typing import Any, final

from torch import Generator, Tensor

from ...encoders.encoder import Encoder
from ...encoders.text import TextTransformer
from ...errors import InputError
from ...modalities.input_spec import InputSpec
from ...modalities.media import MediaError, MediaInfo
from ...modalities.rng import integer
from ...modalities.text import TextInfo
from ...modalities.tokenizer import Tokenizer
from .input import Input, check_modality


@final
class TextInput(Input):
    """What an encoder of text reads: spans of one length.

    Args:
        encoder: encoder of text that is pretrained.
        length: tokens of a span.

    Raises:
        InputError: an encoder of another modality, or a span without tokens or longer than the
            encoder's context.
    """

    # Narrower, as it is set once.
    encoder: TextTransformer  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, encoder: Encoder, *, length: int = 128):
        super().__init__()
        check_modality(encoder, "text")
        if not isinstance(encoder, TextTransformer):
            raise InputError(f"{type(encoder).__name__} gives no states of its tokens")
        if not 2 <= length <= encoder.context:
            raise InputError(
                f"a span of text has 2 tokens or more and fits into the encoder's context of "
                f"{encoder.context}, got length {length}"
            )
        self.encoder = encoder  # pyright: ignore[reportIncompatibleVariableOverride]
        self.spec = InputSpec("text", length=length)
        self._known: Tokenizer | None = None

    @property
    def length(self) -> int:
        """Tokens of a span."""
        return self.spec.length or 0

    def about(self, info: MediaInfo) -> TextInfo:
        """Where the medium's text lies.

        Raises:
            MediaError: a medium without text.
            InputError: text of another vocabulary than the encoder's.
        """
        text = info.text
        if text is None:
            reason = "no text: pack it with `pretexto pack --tokenizer`, or choose another task"
            raise MediaError(info.path, "plan", reason)
        if text.vocabulary.size != self.encoder.vocabulary:
            raise InputError(
                f"{info.path}: its tokens are of a vocabulary of {text.vocabulary.size}, but the "
                f"encoder's has {self.encoder.vocabulary}: set the encoder's vocabulary to "
                f"{text.vocabulary.size}"
            )
        return text

    def random_start(self, text: TextInfo, length: int, rng: Generator) -> int:
        """A position of the example from which so many tokens follow, where there are as many."""
        latest = min(text.last - 1, text.total - length)
        return text.first + integer(rng, max(latest - text.first, 0) + 1)

    def encode(self, x: Tensor) -> Tensor:
        """Vectors [B, D] of tokens int64 [B, T]."""
        return self.encoder(x)

    def spell_with(self, tokenizer: Tokenizer) -> None:
        """Shows words by the tokenizer of the text; without one tokens are shown by number."""
        self._known = tokenizer

    def words(self, tokens: Tensor) -> list[str]:
        """How a person would write each of tokens [N]."""
        if self._known is None:
            return [f" {int(t)}" if t >= 0 else "" for t in tokens]
        return [self._known.spelling(int(t)) for t in tokens]

    def __getstate__(self) -> dict[str, Any]:
        # Workers of a loader write no words.
        return {**self.__dict__, "_known": None}
