"""A classifier of torchvision that has learned from labels, and now only says what it sees."""

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models

from ...encoders.blocks import IMAGENET, nearest, one_line
from ...encoders.encoder import Normalize
from ...errors import InputError
from ...modalities.lab import lightness

CLASSES = 1000


class Teacher(nn.Module):
    """Frozen, and always as in evaluation.

    Args:
        name: of a classifier of torchvision.
        weights: path of a .safetensors file in torchvision's layout.

    Raises:
        InputError: an unknown name, or weights that cannot be read or do not fit.
    """

    def __init__(self, name: str, weights: str):
        super().__init__()
        known = models.list_models(models)
        if name not in known:
            raise InputError(f"torchvision has no classifier {name!r}; {nearest(name, known)}")
        self.net = models.get_model(name, weights=None)
        try:
            self.net.load_state_dict(load_file(weights))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise InputError(
                f"teacher: {weights} does not hold torchvision's {name} ({one_line(error)})"
            ) from error
        self.normalize = Normalize(*IMAGENET)
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "Teacher":
        """Stays as in evaluation."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Probabilities of its classes, [B, 1000], of the lightness of pictures [B, 3, S, S]."""
        return self.net(self.normalize(lightness(x))).softmax(1)
