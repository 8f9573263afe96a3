"""Encoders start from local files: their own, and those that others publish."""

from functools import partial
from pathlib import Path

import pytest
import torch
from encoder_kit import CASES, case_name, fresh, inputs
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from pretexto.encoders.audio import AudioResNet
from pretexto.encoders.cnn14 import CNN14
from pretexto.encoders.flow import FlowImage, FlowResNet, FlowVideo
from pretexto.encoders.image import TimmImage, TinyImage, TorchvisionImage
from pretexto.encoders.inflation import InflatedVideo
from pretexto.encoders.store import save_encoder
from pretexto.encoders.video import TinyVideo, TorchvisionVideo
from pretexto.encoders.video_resnet import X3D, SlowOnly
from pretexto.encoders.video_transformer import VideoTransformer
from pretexto.errors import InputError
from pretexto.modalities.input_spec import InputSpec


def saved(state: dict[str, Tensor], folder: Path) -> str:
    path = str(folder / "weights.safetensors")
    save_file({k: v.contiguous() for k, v in state.items()}, path)
    return path


def random(net: nn.Module) -> dict[str, Tensor]:
    """A network's state with numbers that no initialisation gives."""
    rng = torch.Generator().manual_seed(0)
    return {
        k: torch.rand(v.shape, generator=rng) * 0.1 if v.is_floating_point() else v
        for k, v in net.state_dict().items()
    }


@pytest.mark.parametrize("case", CASES, ids=case_name)
@torch.no_grad()
def test_every_encoder_starts_from_the_file_of_a_run(case, tmp_path: Path):
    kind, options = case
    first = fresh(case)
    save_encoder(tmp_path, first, InputSpec("image", size=32, frames=1), {})
    again = kind(**options, weights=str(tmp_path / "encoder.safetensors"))
    state = again.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in first.state_dict().items())
    assert again.arguments["weights"] is None, "a card must not need the file again"
    assert again.starts_from == str(tmp_path / "encoder.safetensors")
    assert first.starts_from is None
    x = inputs(first)
    assert torch.equal(again.eval()(x), first.eval()(x))


@pytest.mark.parametrize(
    ("encoder", "published"),
    [
        (lambda w: TorchvisionImage(weights=w), lambda: models.resnet18()),
        (lambda w: TorchvisionVideo(name="r3d_18", weights=w), lambda: models.video.r3d_18()),
        (lambda w: TorchvisionVideo(name="s3d", weights=w), lambda: models.video.s3d()),
        (lambda w: TorchvisionVideo(name="swin3d_t", weights=w), lambda: models.video.swin3d_t()),
        (lambda w: TorchvisionVideo(name="mvit_v2_s", weights=w), lambda: models.video.mvit_v2_s()),
        (lambda w: TimmImage(name="test_vit", weights=w), lambda: timm_model("test_vit")),
        (lambda w: TimmImage(name="test_resnet", weights=w), lambda: timm_model("test_resnet")),
        (lambda w: TimmImage(name="test_convnext", weights=w), lambda: timm_model("test_convnext")),
    ],
)
def test_published_layouts_with_their_classifiers_are_read(encoder, published, tmp_path: Path):
    theirs = random(published())
    ours = encoder(saved(theirs, tmp_path))
    state = {k.removeprefix("net."): v for k, v in ours.state_dict().items()}
    assert all(torch.equal(v, theirs[k]) for k, v in state.items())
    left = theirs.keys() - state.keys()
    assert left, "the classifier is left out"
    assert {k.split(".")[0] for k in left} <= {"fc", "classifier", "head"}


def timm_model(name: str) -> nn.Module:
    import timm

    return timm.create_model(name)


def test_kernels_of_three_colours_serve_sound_and_flow(tmp_path: Path):
    theirs = random(models.resnet18())
    path = saved(theirs, tmp_path)
    kernel = theirs["conv1.weight"]
    sound, flow = AudioResNet(weights=path), FlowResNet(weights=path)
    torch.testing.assert_close(sound.net.conv1.weight, kernel.sum(1, keepdim=True))
    torch.testing.assert_close(flow.net.conv1.weight.sum(1), kernel.sum(1))
    assert torch.equal(flow.net.layer1[0].conv1.weight, theirs["layer1.0.conv1.weight"])


@pytest.mark.parametrize(
    ("published", "make", "first"),
    [
        (models.resnet18, partial(FlowResNet, fields=5), "conv1.weight"),
        (models.video.mc3_18, partial(FlowVideo, name="mc3_18"), "stem.0.weight"),
        (
            partial(timm_model, "vit_tiny_patch16_224"),
            partial(FlowImage, name="vit_tiny"),
            "patch_embed.proj.weight",
        ),
    ],
)
def test_first_kernels_are_averaged_over_colours_for_flow(tmp_path, published, make, first):
    """Grey pictures, and fields of one value throughout, so give the same sums."""
    whole = random(published())
    theirs = {k: v for k, v in whole.items() if k.split(".")[0] not in ("fc", "head")}
    state = make(weights=saved(theirs, tmp_path)).state_dict()
    own = {k: next(v for n, v in state.items() if n.endswith(f".{k}")) for k in theirs}
    for channel in own[first].unbind(1):
        torch.testing.assert_close(channel, theirs[first].mean(1) * 3 / own[first].shape[1])
    assert all(torch.equal(theirs[k], own[k]) for k in theirs if k != first)


def test_a_run_of_clips_starts_one_of_flow_with_both_parts_of_its_first_layer(tmp_path: Path):
    clips = TinyVideo()
    flow = FlowVideo(weights=saved(clips.state_dict(), tmp_path))
    colours, difference = clips.stages.stem[0][0].weight.chunk(2, 1)
    for own, part in zip(
        flow.net.stages.stem[0][0].weight.chunk(2, 1), (colours, difference), strict=True
    ):
        torch.testing.assert_close(own.sum(1), part.sum(1))
    again = FlowVideo(weights=saved(flow.state_dict(), tmp_path))
    assert all(map(torch.equal, again.state_dict().values(), flow.state_dict().values()))


@torch.no_grad()
def test_networks_of_pictures_are_inflated_from_their_files(tmp_path: Path):
    image = TorchvisionImage()
    video = InflatedVideo(weights=saved(image.net.state_dict(), tmp_path)).eval()
    picture = torch.rand(1, 3, 32, 32)
    clip = picture[:, :, None].expand(-1, -1, 8, -1, -1)
    torch.testing.assert_close(video(clip), image.eval()(picture), atol=1e-4, rtol=1e-4)
    vit = random(timm_model("vit_tiny_patch16_224"))
    tubes = VideoTransformer(width=192, heads=3, weights=saved(vit, tmp_path))
    kernel = tubes.net.patch_embed["proj"].weight
    torch.testing.assert_close(kernel.sum(2), vit["patch_embed.proj.weight"])
    assert torch.equal(tubes.net.blocks[11].attn.qkv.weight, vit["blocks.11.attn.qkv.weight"])


@pytest.mark.parametrize(
    ("make", "extra", "some"),
    [
        (SlowOnly, ("blocks.5.proj.weight", "blocks.5.proj.bias"),
         ("blocks.0.conv.weight", "blocks.1.res_blocks.0.branch1_norm.bias",
          "blocks.4.res_blocks.2.branch2.conv_b.weight")),
        (X3D, ("blocks.5.proj.weight", "blocks.5.pool.post_conv.weight"),
         ("blocks.0.conv.conv_t.weight", "blocks.1.res_blocks.0.branch1_conv.weight",
          "blocks.2.res_blocks.2.branch2.norm_b.1.block.0.weight",
          "blocks.5.pool.pre_norm.running_mean")),
        (partial(CNN14, width=4), ("fc_audioset.weight", "logmel_extractor.melW",
                 "spectrogram_extractor.stft.conv_real.weight"),
         ("bn0.weight", "conv_block6.bn2.running_var", "fc1.bias")),
    ],
)  # fmt: skip
def test_other_publishers_keys_are_ours(make, extra, some, tmp_path: Path):
    theirs = random(make().net)
    assert set(some) <= theirs.keys()
    ours = make(weights=saved({**theirs, **{k: torch.zeros(1) for k in extra}}, tmp_path))
    state = ours.net.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in theirs.items())


def test_files_without_batch_counters_are_read(tmp_path: Path):
    state = {k: v for k, v in models.resnet18().state_dict().items() if "num_batches" not in k}
    TorchvisionImage(weights=saved(state, tmp_path))


def test_missing_and_odd_files_are_one_line_that_names_keys(tmp_path: Path):
    state = models.resnet18().state_dict()
    for key in ("layer4.1.conv2.weight", "layer4.1.bn2.weight"):
        del state[key]
    state["extra.weight"] = torch.zeros(3)
    state["conv1.weight"] = torch.zeros(64, 3, 5, 5)
    with pytest.raises(InputError) as error:
        TorchvisionImage(weights=saved(state, tmp_path))
    for text in (
        "weights.safetensors: not the weights of this TorchvisionImage resnet18",
        "it lacks layer4.1.conv2.weight, layer4.1.bn2.weight",
        "it has extra.weight",
        "of another shape conv1.weight",
    ):
        assert text in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="it lacks conv1.weight, .* and 97 more; it has .* more$"):
        TorchvisionImage(weights=saved(models.squeezenet1_1().state_dict(), tmp_path))
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(InputError, match="no readable .safetensors file"):
        TinyImage(weights=str(tmp_path / "text.safetensors"))
    for wrong in ("nowhere.safetensors", "net.pth"):
        with pytest.raises(InputError, match="weights must be a local .safetensors file"):
            TinyImage(weights=str(tmp_path / wrong))
