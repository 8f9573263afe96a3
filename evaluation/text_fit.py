"""Whether an encoder of text knows the tokens of a source."""

from ..datasets.source import Source
from ..encoders.encoder import Encoder
from ..encoders.text import TextTransformer
from ..errors import InputError
from ..modalities.input_spec import InputSpec
from ..modalities.media import MediaError
from ..modalities.text import TextInfo


def check_text(encoder: Encoder, spec: InputSpec, source: Source) -> None:
    """Raises InputError, in words for the user, if this encoder cannot read this source."""
    if not isinstance(encoder, TextTransformer):
        raise InputError(f"{type(encoder).__name__} takes no tokens that end before their row does")
    if (spec.length or 0) > encoder.context:
        raise InputError(
            f"spans of {spec.length} tokens are longer than the encoder's context of "
            f"{encoder.context}: take a length that fits into it"
        )
    text = _text_of(source)
    name = source.title or "the data"
    remedy = "pack it with `pretexto pack --tokenizer RUN`, the folder of the encoder's run"
    if text is None:
        raise InputError(f"{name} holds no text, but the encoder reads nothing else; {remedy}")
    if text.vocabulary.size != encoder.vocabulary:
        raise InputError(
            f"{name} is packed with a tokenizer of {text.vocabulary.size} tokens, but the encoder "
            f"knows {encoder.vocabulary}; {remedy}"
        )
    if spec.tokenizer not in (None, text.vocabulary.sha256):
        raise InputError(
            f"{name} is packed with another tokenizer than the encoder was trained with; {remedy}"
        )


def _text_of(source: Source) -> TextInfo | None:
    try:
        return source.info(0).text
    except MediaError:
        return None
