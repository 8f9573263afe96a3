"""How unlike two pictures look, by the features of a network: LPIPS."""

import torch
from torch import Tensor

from ..encoders.weights import read_weights
from ..errors import InputError, some

SMALLEST = 31  # pixels of the side, below which AlexNet's last map holds nothing


class Lpips:
    """Learned perceptual image patch similarity (Zhang et al. 2018, arXiv:1801.03924, section 3).

    The distance of AlexNet's features at five depths, weighed by channel as the authors fitted it
    to people's judgements. torchmetrics brings these weights; those of AlexNet are the user's.

    Args:
        weights: AlexNet trained on ImageNet, as torchvision names its parameters: a local
            .safetensors file.

    Raises:
        InputError: no such file, or other weights.
    """

    def __init__(self, weights: str):
        from torchmetrics.functional.image.lpips import _LPIPS

        found = read_weights(weights)
        self._net = _LPIPS(net="alex", pnet_rand=True)
        own = self._net.net.state_dict()
        # "slice2.3.weight" of the sliced network is "features.3.weight" of the whole.
        names = {key: f"features.{key.partition('.')[2]}" for key in own}
        wrong = [
            name
            for key, name in names.items()
            if name not in found or found[name].shape != own[key].shape
        ]
        if wrong:
            raise InputError(
                f"{weights}: not the weights of torchvision's AlexNet: no {some(wrong)} as there"
            )
        self._net.net.load_state_dict({key: found[name] for key, name in names.items()})

    @torch.no_grad()
    def __call__(self, made: Tensor, real: Tensor) -> float:
        """The distance of two pictures, float [3, H, W] in [0, 1]; 0: none."""
        return float(self._net(made[None], real[None], normalize=True))
