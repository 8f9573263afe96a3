"""Networks against what was published of them, and against others' code where it is installed."""

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.video import r3d_18

from pretexto.encoders.cnn14 import CNN14
from pretexto.encoders.encoder import Encoder
from pretexto.encoders.flow import FlowResNet, TinyFlow
from pretexto.encoders.image import TorchvisionImage
from pretexto.encoders.inflation import InflatedVideo, inflate, inflate_layers
from pretexto.encoders.transformer import sine_positions
from pretexto.encoders.video import TorchvisionVideo
from pretexto.encoders.video_resnet import X3D, SlowOnly
from pretexto.encoders.video_transformer import VideoTransformer
from pretexto.errors import InputError


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def linear(inputs: int, outputs: int, bias: bool = True) -> int:
    return inputs * outputs + bias * outputs


@pytest.mark.parametrize(
    ("encoder", "classifier", "published"),
    [
        # PyTorchVideo's model zoo, in millions, on Kinetics' 400 classes.
        (SlowOnly, linear(2048, 400), 32.45e6),
        (X3D, linear(432, 2048, bias=False) + linear(2048, 400), 3.79e6),
        # PANNs' authors, of their 527 classes.
        (CNN14, linear(2048, 527), 80_753_615),
    ],
)
def test_parameters_are_as_many_as_published(encoder: type[Encoder], classifier, published):
    found = count(encoder()) + classifier
    assert found == pytest.approx(published, abs=0.005e6 if published < 50e6 else 0)


@pytest.mark.parametrize(("width", "name"), [(384, "vit_small_patch16_224"),
                                             (768, "vit_base_patch16_224")])  # fmt: skip
def test_the_video_transformer_is_as_large_as_timms_with_deeper_patches(width: int, name: str):
    with torch.device("meta"):
        ours = VideoTransformer(width=width, heads=width // 64)
        plain = timm.create_model(name, num_classes=0)
    learned = plain.pos_embed.numel() + plain.cls_token.numel()
    assert count(ours) == count(plain) - learned + 3 * 16 * 16 * width


@torch.no_grad()
def test_the_video_transformer_on_one_frame_is_timms_on_the_picture():
    plain = timm.create_model("vit_tiny_patch16_224", num_classes=0, class_token=False,
                              global_pool="avg", fc_norm=False, depth=3, img_size=64)  # fmt: skip
    plain.pos_embed.copy_(sine_positions((1, 4, 4), 192).flatten(1).T[None])
    ours = VideoTransformer(tubelet=1, width=192, depth=3, heads=3)
    state = {k: v for k, v in plain.state_dict().items() if k != "pos_embed"}
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"].unsqueeze(2)
    ours.net.load_state_dict(state)
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = plain.eval()(ours.normalize(x))
    torch.testing.assert_close(ours.eval()(x[:, :, None]), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_slow_only_never_mixes_frames_before_its_third_stage():
    encoder = SlowOnly(width=4, depth=(1, 1, 1, 1)).eval()
    x = torch.rand(1, 3, 6, 48, 48, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[:, :, 0] = 0
    for level, before in encoder.maps(x).items():
        moved = (before - encoder.maps(changed)[level]).abs().amax((0, 1, 3, 4)) > 0
        reach = {"stem": 1, "layer1": 1, "layer2": 1, "layer3": 2, "layer4": 3}[level]
        assert moved.tolist() == [True] * reach + [False] * (6 - reach), level


@torch.no_grad()
def test_cnn14_is_the_papers():
    encoder = CNN14(width=2, rate=16000).eval()
    for norm in (m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(norm.running_mean, -1, 1)
    x = torch.rand(2, 1, 16000, generator=torch.Generator().manual_seed(0)) - 0.5
    net = encoder.net
    # Written from the paper, with time before mels as there: [B, 1, frames, mels].
    y = encoder.spectrogram(x).transpose(2, 3)
    y = net.bn0(y.transpose(1, 3)).transpose(1, 3)
    for k in range(1, 7):
        block = getattr(net, f"conv_block{k}")
        for conv, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
            y = F.relu(norm(F.conv2d(y, conv.weight.transpose(2, 3), padding=1)))
        y = F.avg_pool2d(y, 2 if k < 6 else 1)
    y = y.mean(3)
    expected = F.relu(net.fc1(y.max(2).values + y.mean(2)))
    torch.testing.assert_close(encoder(x), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("name", "frames"), [("resnet18", 1), ("resnet18", 5), ("resnet50", 3)])
def test_an_inflated_network_sees_in_a_static_clip_what_its_pictures_see(name: str, frames: int):
    image = TorchvisionImage(name=name)
    for norm in (m for m in image.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.2, 0.6)
        nn.init.uniform_(norm.bias, -1, 1)
        nn.init.uniform_(norm.running_mean, -1, 1)
    before = {k: v.clone() for k, v in image.state_dict().items()}
    video = inflate(image.eval(), frames).eval()
    picture = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    clip = picture[:, :, None].expand(-1, -1, 8, -1, -1)
    torch.testing.assert_close(video(clip), image(picture), atol=1e-4, rtol=1e-4)
    for level, flat in image.maps(picture).items():
        deep = video.maps(clip)[level]
        torch.testing.assert_close(deep, flat[:, :, None].expand_as(deep), atol=1e-4, rtol=1e-3)
    assert all(torch.equal(before[k], v) for k, v in image.state_dict().items())


@torch.no_grad()
def test_an_inflated_network_sees_motion():
    video = InflatedVideo().eval()
    x = torch.rand(1, 3, 8, 48, 48, generator=torch.Generator().manual_seed(0))
    assert (video(x) - video(x.flip(2))).abs().max() > 1e-3


def test_an_inflated_resnet18_has_the_kernels_and_the_grid_of_r3d_18():
    ours, other = InflatedVideo(), TorchvisionVideo(name="r3d_18")
    with torch.device("meta"):
        assert count(ours) == count(r3d_18()) - linear(512, 400)
    strides = [level.stride for level in ours.levels.values()]
    # A ResNet of pictures pools behind its stem, r3d_18 does not.
    pooled = [(t, 2 * h, 2 * w) for t, h, w in (v.stride for v in other.levels.values())]
    assert strides[1:] == pooled[1:]


def test_what_cannot_be_inflated_is_refused():
    with pytest.raises(InputError, match="must be odd, got 2"):
        InflatedVideo(frames=2)
    with pytest.raises(InputError, match="InstanceNorm2d cannot be inflated"):
        inflate_layers(nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)), 3)


@torch.no_grad()
def test_flow_encoders_tell_slow_motions_and_fast_ones_apart():
    for encoder in (TinyFlow(width=4).eval(), FlowResNet().eval()):
        still, creeping, running = (torch.full((1, 2, 32, 32), v) for v in (0.0, 0.1, 60.0))
        assert (encoder(creeping) - encoder(still)).abs().max() > 1e-4
        assert (encoder(running) - encoder(running / 2)).abs().max() > 1e-4
        assert encoder(running).isfinite().all()
