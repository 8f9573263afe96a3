"""Text: documents out of files, packed as tokens, and read from there."""

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .documents import read_documents as read_documents
    from .source import Tokens as Tokens
    from .write import pack_text as pack_text

__all__ = ["Tokens", "pack_text", "read_documents"]

__getattr__ = lazy(
    __name__, {"Tokens": "source", "pack_text": "write", "read_documents": "documents"}
)
