"""What a file holds, going by its name."""

import os

from ..modalities.media import Kind

SUFFIXES: dict[Kind, frozenset[str]] = {
    "video": frozenset(
        """.3g2 .3gp .asf .avi .dv .f4v .flv .gif .h264 .ivf .m1v .m2ts .m2v .m4s .m4v .mkv .mov
        .mp4 .mpeg .mpg .mts .mxf .ogv .rm .rmvb .ts .vob .webm .wmv""".split()
    ),
    "audio": frozenset(
        """.aac .ac3 .adts .aif .aiff .amr .caf .flac .m4a .mka .mp2 .mp3 .oga .ogg .opus .wav
        .wma""".split()
    ),
    "image": frozenset(".avif .bmp .jpeg .jpg .png .tif .tiff .webp".split()),
}
ARCHIVES = frozenset(".7z .bz2 .gz .rar .tar .tgz .xz .zip .zst".split())
_KINDS: dict[str, Kind] = {suffix: kind for kind, known in SUFFIXES.items() for suffix in known}


def kind_of(name: str) -> Kind | None:
    """What a file holds, going by its suffix; None if that names no medium."""
    return _KINDS.get(os.path.splitext(name)[1].lower())


def ends_as_medium(text: str) -> bool:
    """Whether a text ends as the name of a medium does."""
    return kind_of(text) is not None
