"""Which files below a folder are media, by their names."""

import os
from collections import Counter
from pathlib import Path

from ..errors import InputError
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


def kind_of(name: str) -> Kind | None:
    """What a file holds, going by its suffix; None if that names no medium."""
    suffix = os.path.splitext(name)[1].lower()
    return next((kind for kind, known in SUFFIXES.items() if suffix in known), None)


def find_media(root: Path) -> tuple[dict[str, Kind], Counter[str]]:
    """Media below a folder, and what else is there.

    Returns:
        kinds by relative path with "/", in order of path, and a count of the other files by
        suffix. Hidden files and folders are left out; links are followed, each folder once.

    Raises:
        InputError: a folder cannot be listed.
    """
    media: dict[str, Kind] = {}
    others: Counter[str] = Counter()
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_stop):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(folder).relative_to(root)
        for file in sorted(name for name in files if not name.startswith(".")):
            kind = kind_of(file)
            if kind:
                media[(inside / file).as_posix()] = kind
            else:
                others[os.path.splitext(file)[1].lower()] += 1
    return dict(sorted(media.items())), others


def _stop(error: OSError):
    raise InputError(f"{error.filename}: cannot be listed ({error.strerror})")
