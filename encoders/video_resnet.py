"""Video networks of bottlenecks: slow-only and X3D, under the keys that PyTorchVideo publishes."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from .blocks import check_input, check_width
from .encoder import Encoder, Level, Normalize
from .weights import start_from

FORM = "[B, 3, T, H, W]"
# Of both papers' code: grey pictures of 0.45, deviation 0.225.
MEAN_STD = ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225))

Size = tuple[int, int, int]


class SlowOnly(Encoder):
    """The slow pathway of SlowFast alone (Feichtenhofer et al. 2019, arXiv:1812.03982).

    A ResNet-50 over single frames, whose last two stages reach over three frames; it never
    strides over time. Levels are stem (1/2 of the size, all frames), layer1 (1/4) … layer4 (1/32).
    Published for 8 frames of 224 pixels.

    Args:
        width: channels of the stem (published: 64); `dim` is 32 times as many.
        depth: bottlenecks of layer1 … layer4.
        weights: path of a local .safetensors file to start from, in PyTorchVideo's layout
            (slow_r50) too.

    Raises:
        InputError: width below 1, unfitting weights, or an input that is not float
            [B, 3, T, H, W].
    """

    modality = "video"

    def __init__(
        self,
        *,
        width: int = 64,
        depth: tuple[int, int, int, int] = (3, 4, 6, 3),
        weights: str | None = None,
    ):
        super().__init__()
        check_width(width)
        self.dim = 32 * width
        self.normalize = Normalize(*MEAN_STD)
        pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        stem = _layers(conv=_conv(3, width, (1, 7, 7), 2), norm=nn.BatchNorm3d(width))
        self.net = _Network(stem, pool)
        self.levels = {"stem": Level(width, (1, 2, 2))}

        def bottleneck(stage: int, place: int, inputs: int) -> _Bottleneck:
            inner = width << stage
            first = _conv(inputs, inner, (3 if stage > 1 else 1, 1, 1))
            second = _conv(inner, inner, (1, 3, 3), 2 if stage and place == 0 else 1)
            return _Bottleneck(first, second, 4 * inner)

        self.levels |= self.net.add_stages(depth, width, bottleneck)
        start_from(self, weights, ("blocks.5.",))

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, self.channels)
        return dict(zip(self.levels, self.net(self.normalize(x)), strict=True))


class X3D(Encoder):
    """X3D, a small network grown along every axis (Feichtenhofer 2020, arXiv:2004.04730).

    Depth-wise 3×3×3 convolutions between 1×1×1 ones, every second with squeeze and excitation.
    Levels are stem (1/2 of the size, all frames), layer1 (1/4) … layer4 (1/32) and head, the
    convolution behind layer4; the published classifier's two linear layers are left out. X3D-XS,
    S and M are this network on 4 frames of 160 pixels, 13 of 160 and 16 of 224.

    Args:
        width: channels of the stem (published: 24); `dim` is 18 times as many.
        depth: bottlenecks of layer1 … layer4.
        weights: path of a local .safetensors file to start from, in PyTorchVideo's layout too.

    Raises:
        InputError: width below 1, unfitting weights, or an input that is not float
            [B, 3, T, H, W].
    """

    modality = "video"

    def __init__(
        self,
        *,
        width: int = 24,
        depth: tuple[int, int, int, int] = (3, 5, 11, 7),
        weights: str | None = None,
    ):
        super().__init__()
        check_width(width)
        self.normalize = Normalize(*MEAN_STD)
        # The published keys have the two of them the wrong way round.
        conv = _layers(conv_t=_conv(3, width, (1, 3, 3), 2), conv_xy=_depthwise(width, (5, 1, 1)))
        self.net = _Network(_layers(conv=conv, norm=nn.BatchNorm3d(width)), nn.Identity())
        self.levels = {"stem": Level(width, (1, 2, 2))}

        def bottleneck(stage: int, place: int, inputs: int) -> _Bottleneck:
            inner = (9 * width << stage) // 4
            first = _conv(inputs, inner, (1, 1, 1))
            second = _depthwise(inner, (3, 3, 3), 2 if place == 0 else 1)
            excite = place % 2 == 0
            return _Bottleneck(first, second, width << stage, excite=excite, inner=nn.SiLU())

        self.levels |= self.net.add_stages(depth, width, bottleneck)
        self.dim, last = 18 * width, self.levels["layer4"]
        self.levels["head"] = Level(self.dim, last.stride)
        conv = _conv(last.channels, self.dim, (1, 1, 1))
        head = _layers(pre_conv=conv, pre_norm=nn.BatchNorm3d(self.dim))
        self.net.blocks.append(_layers(pool=head))
        start_from(self, weights, ("blocks.5.pool.post_conv.", "blocks.5.proj."))

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, self.channels)
        return dict(zip(self.levels, self.net(self.normalize(x)), strict=True))


def _layers(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def _conv(inputs: int, outputs: int, kernel: Size, stride: int = 1) -> nn.Conv3d:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    conv = nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), padding, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def _depthwise(channels: int, kernel: Size, stride: int = 1) -> nn.Conv3d:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(
        channels, channels, kernel, (1, stride, stride), padding, groups=channels, bias=False
    )


class _Network(nn.Module):
    """A stem, stages of residual blocks, and perhaps a head behind them."""

    def __init__(self, stem: nn.Module, pool: nn.Module):
        super().__init__()
        self.blocks = nn.ModuleList([stem])
        self.pool = pool

    def add_stages(
        self,
        depth: Sequence[int],
        channels: int,
        bottleneck: "Callable[[int, int, int], _Bottleneck]",
    ) -> dict[str, Level]:
        """Stages layer1 … of residual blocks behind the stem; returns their levels.

        Args:
            depth: blocks of each stage.
            channels: of the stem.
            bottleneck: the branch of a block by its stage, its place there and its inputs.
        """
        levels = {}
        for stage, count in enumerate(depth):
            blocks = []
            for place in range(count):
                branch = bottleneck(stage, place, channels)
                blocks.append(_Residual(branch))
                channels = branch.conv_c.out_channels
            self.blocks.append(_layers(res_blocks=nn.Sequential(*blocks)))
            levels[f"layer{stage + 1}"] = Level(channels, (1, 4 << stage, 4 << stage))
        return levels

    def forward(self, x: Tensor) -> list[Tensor]:
        """The output of the stem, before its pooling, and of every further block."""
        out = [self.blocks[0](x).relu()]
        x = self.pool(out[0])
        for block in self.blocks[1:]:
            x = block(x)
            out.append(x)
        # A head ends in its normalisation; after a stage this changes nothing.
        out[-1] = out[-1].relu()
        return out


class _Residual(nn.Module):
    """A bottleneck and its bypass: a strided convolution where the size or channels change."""

    def __init__(self, branch: "_Bottleneck"):
        super().__init__()
        inputs, outputs = branch.conv_a.in_channels, branch.conv_c.out_channels
        stride = branch.conv_b.stride[1]
        if inputs != outputs or stride > 1:
            self.branch1_conv = _conv(inputs, outputs, (1, 1, 1), stride)
        if inputs != outputs:
            self.branch1_norm = nn.BatchNorm3d(outputs)
        self.branch2 = branch

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch2(x)
        for name, layer in self.named_children():
            x = x if name == "branch2" else layer(x)
        return (x + y).relu()


class _Bottleneck(nn.Module):
    """Two given convolutions and a 1×1×1 one, each normalised."""

    def __init__(
        self,
        first: nn.Conv3d,
        second: nn.Conv3d,
        outputs: int,
        *,
        excite: bool = False,
        inner: nn.Module | None = None,
    ):
        super().__init__()
        width = first.out_channels
        self.conv_a, self.norm_a = first, nn.BatchNorm3d(width)
        self.conv_b = second
        norm = nn.BatchNorm3d(width)
        self.norm_b = norm if inner is None else nn.Sequential(norm, *[_Excite(width)] * excite)
        self.act_b = inner or nn.ReLU()
        self.conv_c, self.norm_c = _conv(width, outputs, (1, 1, 1)), nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_a(self.conv_a(x)).relu()
        x = self.act_b(self.norm_b(self.conv_b(x)))
        return self.norm_c(self.conv_c(x))


class _Excite(nn.Module):
    """Squeeze and excitation (Hu et al. 2018, arXiv:1709.01507), over the whole clip."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(8, round(channels / 16 / 8) * 8)
        # A multiple of 8, and never a tenth less than asked for.
        hidden += 8 * (hidden < 0.9 * channels / 16)
        self.block = nn.Sequential(
            nn.Conv3d(channels, hidden, 1), nn.ReLU(), nn.Conv3d(hidden, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.block(x.mean((2, 3, 4), keepdim=True))
