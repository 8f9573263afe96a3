"""What picture and sound of one file share without being of one event, as cues for probes.

A camera, a codec, a size and a data set each leave marks in both. None of them tells an answer by
itself where every picture and every sound stands in as many pairs of either kind; together they
may. A linear probe sees that in the product of two centred cues.
"""

import torch
from torch import Tensor

from .cues import fine_detail
from .sounds import bandwidth, room_tone
from .task import Batch


def beside_pictures(batch: Batch, cue: Tensor) -> Tensor:
    """A cue of sounds [S, F] times the mean colour of pictures, for each pair: [P, 3F]."""
    return products(batch["inputs"].mean((2, 3, 4)), cue, batch["picture"], batch["sound"])


def file_marks(pictures: Tensor, sounds: Tensor, picture: Tensor, sound: Tensor) -> Tensor:
    """Marks of coding, resolution, room and data set in picture and sound, for each pair: [P, 9].

    Args:
        pictures: float [B, 3, T, H, W] in [0, 1]; their mark is the energy of fine detail.
        sounds: float [S, 1, N]; their marks are the band that they fill, and the room tone.
        picture, sound: int64 [P], which of them make a pair.
    """
    heard = torch.cat([bandwidth(sounds), room_tone(sounds)], 1)
    return products(fine_detail(pictures[:, None])[:, 0], heard, picture, sound)


def products(seen: Tensor, heard: Tensor, picture: Tensor, sound: Tensor) -> Tensor:
    """Products of cues [B, F] and [S, G], each centred over the batch, for pairs: [P, F·G]."""
    seen, heard = (seen - seen.mean(0))[picture], (heard - heard.mean(0))[sound]
    return (seen[:, :, None] * heard[:, None]).flatten(1)
