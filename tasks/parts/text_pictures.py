"""Text as a picture, its tokens on coloured ground."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

COLUMNS = 40  # letters of a line
_FEWEST = 4  # lines: what is lower is drawn out of proportion on a sheet of pictures
_SIZE, _LETTER, _LINE = 20, 13, 26  # of the font; pixels of a letter and of a line
_FONT = "{}/fonts/ttf/DejaVuSansMono.ttf"  # all letters as wide; matplotlib brings it
# Of tokens that are not asked, right, wrong, hidden.
_GROUNDS = ("#ffffff", "#bfe5c7", "#f3c0bb", "#cfd8ea")


def text_picture(
    words: Sequence[str], shades: Sequence[int], *, columns: int = COLUMNS, lines: int = 0
) -> Tensor:
    """Words one behind another in lines: float [3, H, W] in [0, 1].

    Args:
        words: of each token, with the spaces that belong to it.
        shades: of each the number of its ground: 0 plain, 1 right, 2 wrong, 3 hidden.
        columns: letters of a line.
        lines: what does not fit into so many is left out; 0: as many as are needed.
    """
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    letters = [
        (letter, shade)
        for word, shade in zip(words, shades, strict=True)
        for letter in in_one_line(word)
    ]
    lines = lines or lines_of(words, columns)
    letters = letters[: lines * columns]
    picture = Image.new("RGB", (columns * _LETTER + 8, lines * _LINE + 8), "white")
    draw, font = (
        ImageDraw.Draw(picture),
        ImageFont.truetype(_FONT.format(matplotlib.get_data_path()), _SIZE),
    )
    for place, (letter, shade) in enumerate(letters):
        x, y = 4 + place % columns * _LETTER, 4 + place // columns * _LINE
        if shade:
            draw.rectangle((x, y, x + _LETTER - 1, y + _LINE - 1), fill=_GROUNDS[shade])
        draw.text((x, y), letter, fill="black", font=font)
    pixels = torch.from_numpy(np.array(picture))
    return pixels.permute(2, 0, 1).float() / 255


def lines_of(words: Sequence[str], columns: int = COLUMNS) -> int:
    """Lines that a picture of the words has."""
    return max(-(-sum(map(len, words)) // columns), _FEWEST)


def in_one_line(text: str) -> str:
    """The text with its line breaks as a sign."""
    return text.replace("\n", "⏎")
