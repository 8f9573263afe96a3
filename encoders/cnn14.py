"""CNN14 of the pretrained audio neural networks (PANNs)."""

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .audio import as_spectrogram, front_end
from .blocks import check_width
from .encoder import Encoder, Level
from .weights import start_from

_UNUSED = ("spectrogram_extractor.", "logmel_extractor.", "fc_audioset.")
_LEAST = 32  # mels, and frames, of which block5 makes one position


class CNN14(Encoder):
    """CNN14 on a log-mel spectrogram (Kong et al. 2020, arXiv:1912.10211, table 2).

    Six blocks of two 3×3 convolutions, each but the last followed by 2×2 mean pooling. The vector
    is that of the published network: the mean over mels, its mean and maximum over time summed,
    and a layer behind it. Levels are block1 (1/2 of the size) … block6 (1/32), and embedding: that
    layer at each position of block6. Ours drops nothing out, and makes its log-mel as our others
    do (natural logarithm, 10 ms, up to half the rate; the published: decibels, 32 kHz, 50 Hz to
    14 kHz).

    Args:
        rate: Hz of the waveform.
        mels: mel filters, 32 or more, the height of the spectrogram; it has 100 frames per second.
        width: channels of the first block (published: 64); `dim` is 32 times as many.
        weights: path of a local .safetensors file to start from, in the published layout too.

    Raises:
        InputError: width below 1, rate below 1000, fewer than 32 mels, unfitting weights, or an
            input that is not float [B, 1, N].
    """

    modality = "audio"

    def __init__(
        self,
        *,
        rate: int = 32000,
        mels: int = 64,
        width: int = 64,
        weights: str | None = None,
    ):
        super().__init__()
        check_width(width)
        if mels < _LEAST:
            raise InputError(f"mels must be {_LEAST} or more for CNN14's five poolings, got {mels}")
        self.rate, self.dim = rate, 32 * width
        self.spectrogram = front_end("log-mel", rate, mels)
        self.net = _Network(mels, width)
        strides = [2 << k for k in range(5)] + [32]
        self.levels = {
            f"block{k + 1}": Level(width << k, (stride, stride)) for k, stride in enumerate(strides)
        }
        self.levels["embedding"] = Level(self.dim, (32, 32))
        start_from(self, weights, _UNUSED)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        maps = dict(self.net.blocks(as_spectrogram(x, self, self.spectrogram)))
        maps["embedding"] = self.net.embedding(maps["block6"].movedim(1, -1)).movedim(-1, 1)
        return maps

    def embed(self, x: Tensor) -> Tensor:
        """The published embedding, [B, D]."""
        *_, (_, deepest) = self.net.blocks(as_spectrogram(x, self, self.spectrogram))
        over_mels = deepest.mean(2)
        return self.net.embedding(over_mels.mean(2) + over_mels.amax(2))


class _Network(nn.Module):
    """The layers under their published names."""

    def __init__(self, mels: int, width: int):
        super().__init__()
        self.bn0 = nn.BatchNorm2d(mels)
        channels = [1, *(width << k for k in range(6))]
        for k in range(6):
            self.add_module(f"conv_block{k + 1}", _Block(*channels[k : k + 2]))
        self.fc1 = nn.Linear(channels[-1], channels[-1])
        nn.init.xavier_uniform_(self.fc1.weight)
        nn.init.zeros_(self.fc1.bias)

    def blocks(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Each block's name and map."""
        # The shortest of sounds must outlast five poolings.
        x = F.pad(x, (0, max(_LEAST - x.shape[-1], 0)))
        x = self.bn0(x.transpose(1, 2)).transpose(1, 2)  # a mean and deviation per mel
        for k in range(1, 7):
            x = self.get_submodule(f"conv_block{k}")(x)
            if k < 6:
                x = F.avg_pool2d(x, 2)
            yield f"block{k}", x

    def embedding(self, x: Tensor) -> Tensor:
        """[…, C] -> […, C]."""
        return F.relu(self.fc1(x))


class _Block(nn.Module):
    """Two 3×3 convolutions, each normalised and rectified."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        for conv in (self.conv1, self.conv2):
            nn.init.xavier_uniform_(conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        return self.bn2(self.conv2(x)).relu()
