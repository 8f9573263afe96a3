"""What every encoder promises, checked for each one found; then what single ones add."""

import copy
import inspect
import math
import re

import pytest
import timm
import torch
from encoder_kit import CASES, axes, case_name, form, found, fresh, inputs
from torch import Tensor, nn

from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.encoder import Encoder
from pretexto.encoders.image import L3Image, TimmImage, TinyImage, TorchvisionImage
from pretexto.encoders.video import TinyVideo, TorchvisionVideo
from pretexto.errors import InputError


@pytest.fixture(params=CASES, ids=case_name)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return fresh(request.param)


def test_every_encoder_of_the_design_is_found():
    names = {kind.__name__ for kind in found()}
    assert names >= {"TinyImage", "TinyVideo", "TinyAudio", "TorchvisionImage", "TimmImage"}
    assert names >= {"TorchvisionVideo", "SpectrogramCNN", "AudioResNet", "L3Image"}
    assert names >= {"SlowOnly", "X3D", "VideoTransformer", "InflatedVideo"}
    assert names >= {"CNN14", "TimmAudio", "AudioTransformer", "TinyFlow", "FlowResNet"}


@torch.no_grad()
def test_vectors_and_maps_have_the_promised_shapes(encoder: Encoder):
    x = inputs(encoder)
    vectors, maps = encoder.eval()(x), encoder.maps(x)
    assert vectors.shape == (2, encoder.dim)
    assert vectors.dtype == torch.float32
    assert len(maps) >= 3
    sizes = [m[0, 0].numel() for m in maps.values()]
    assert sizes == sorted(sizes, reverse=True), "levels run from shallow to deep"
    for level, features in maps.items():
        assert features.shape[0] == 2, level
        assert features.isfinite().all(), level


@torch.no_grad()
def test_vector_is_the_pooled_deepest_map_unless_embed_says_otherwise(encoder: Encoder):
    x = inputs(encoder)
    *_, deepest = encoder.eval().maps(x).values()
    if type(encoder).embed is Encoder.embed:
        assert torch.allclose(encoder(x), deepest.flatten(2).mean(2), atol=1e-6)
    else:
        assert type(encoder).embed.__doc__, "an embed of one's own is documented"


def test_every_parameter_gets_a_finite_gradient(encoder: Encoder):
    for parameter in encoder.parameters():
        if parameter.ndim == 1:  # timm starts with some gains at zero, which stops gradients
            nn.init.normal_(parameter, 1.0, 0.1)
    vectors = encoder.train()(inputs(encoder, batch=4))
    (vectors * torch.linspace(-1, 1, vectors.numel()).view_as(vectors)).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    moved = [p.grad.abs().sum() > 0 for p in encoder.parameters() if p.grad is not None]
    assert sum(moved) > 0.9 * len(moved)


@torch.no_grad()
def test_rows_of_a_batch_do_not_touch_each_other(encoder: Encoder):
    x = inputs(encoder, batch=3)
    together = encoder.eval()(x)
    alone = torch.cat([encoder(row) for row in x.split(1)])
    scale = together.abs().max()  # untrained deep networks give small vectors
    assert (together - alone).abs().max() < 1e-4 * scale
    assert (together[0] - together[1]).abs().max() > 1e-2 * scale


@torch.no_grad()
def test_evaluation_is_deterministic_and_draws_nothing(encoder: Encoder):
    x = inputs(encoder)
    before, untouched = torch.get_rng_state(), x.clone()
    assert torch.equal(encoder.eval()(x), encoder(x))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(x, untouched), "the input stays as it is"


@torch.no_grad()
def test_arguments_and_state_rebuild_the_encoder(encoder: Encoder):
    x = inputs(encoder)
    encoder.train()(x)
    again = type(encoder)(**encoder.arguments)
    again.load_state_dict(encoder.state_dict())
    assert again.arguments == encoder.arguments
    assert torch.equal(again.eval()(x), encoder.eval()(x))


@torch.no_grad()
def test_copy_is_equal_and_apart(encoder: Encoder):
    x = inputs(encoder)
    twin = copy.deepcopy(encoder).eval()
    expected = encoder.eval()(x)
    assert twin.arguments == encoder.arguments
    assert torch.equal(twin(x), expected)
    for parameter in twin.parameters():
        parameter.zero_()
    assert torch.equal(encoder(x), expected)


def test_docstring_names_every_argument(encoder: Encoder):
    kind = type(encoder)
    documented = re.findall(r"^\s{8}(\w+): ", kind.__doc__ or "", re.MULTILINE)
    parameters = inspect.signature(kind.__init__).parameters.values()
    names = [p.name for p in parameters if p.name != "self"]
    assert [name for name in names if name not in documented] == []
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters if p.name != "self")


def test_half_precision_is_close_and_trains(encoder: Encoder):
    x = inputs(encoder, batch=1)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        half = encoder.eval()(x).float()
    full = encoder(x).detach()
    # Eight bits of mantissa through up to fifty layers: a few per cent.
    assert (half - full).norm() < 0.1 * full.norm()
    if sum(p.numel() for p in encoder.parameters()) > 2e6:
        return  # half precision on a CPU takes minutes to train the large ones
    with torch.autocast("cpu", torch.bfloat16):
        encoder.train()(inputs(encoder)).float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


@torch.no_grad()
def test_channels_last_gives_the_same_vectors(encoder: Encoder):
    if encoder.modality in ("audio", "text"):
        pytest.skip("a waveform and a text have no channels to move")
    x = inputs(encoder)
    layout = torch.channels_last_3d if axes(encoder) == "video" else torch.channels_last
    expected = encoder.eval()(x)
    if x.ndim == (5 if axes(encoder) == "video" else 4):  # stacks of flow have an axis more
        x = x.contiguous(memory_format=layout)
    changed = encoder.to(memory_format=layout)(x)
    assert (changed - expected).abs().max() < 1e-3 * expected.abs().max()


def test_wrong_inputs_are_refused_with_the_right_shape(encoder: Encoder):
    x = inputs(encoder)
    for wrong in (x[0], x[:, :0], torch.cat([x, x], 1), x[None, None], (x * 9).byte()):
        with pytest.raises(InputError, match=re.escape(form(encoder))) as error:
            encoder.maps(wrong)
        assert type(encoder).__name__ in str(error.value)


@torch.no_grad()
def test_picture_encoders_serve_clips_by_the_mean_of_their_frames(encoder: Encoder):
    if not encoder.per_frame:
        pytest.skip("takes no pictures")
    clip = inputs(encoder, batch=6).unflatten(0, (2, 3)).transpose(1, 2)
    frames = [encoder.eval()(clip[:, :, t]) for t in range(3)]
    torch.testing.assert_close(encoder(clip), torch.stack(frames).mean(0), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_picture_networks_are_those_of_torchvision_and_timm():
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for encoder in (TorchvisionImage(), TimmImage(name="test_resnet")):
        net = copy.deepcopy(encoder.net).eval()
        if isinstance(encoder, TorchvisionImage):
            net.fc = nn.Identity()
        expected = net(encoder.normalize(x))
        torch.testing.assert_close(encoder.eval()(x), expected)


@torch.no_grad()
@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "r2plus1d_18", "swin3d_t"])
def test_video_networks_are_those_of_torchvision(name: str):
    x = torch.rand(1, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    encoder = TorchvisionVideo(name=name).eval()
    torch.testing.assert_close(encoder(x), encoder.net(encoder.normalize(x)))


@torch.no_grad()
def test_s3d_is_that_of_torchvision():
    x = torch.rand(1, 3, 5, 17, 17, generator=torch.Generator().manual_seed(0))
    encoder = TorchvisionVideo(name="s3d").eval()
    deepest = encoder.net.get_submodule("features")(encoder.normalize(x))
    torch.testing.assert_close(encoder.maps(x)["layer4"], deepest)
    for small in (x[:, :, :4], x[..., :16]):
        with pytest.raises(InputError, match="at least 5 frames and 17 pixels"):
            encoder(small)


@torch.no_grad()
def test_mvit_is_that_of_torchvision_on_the_grid_of_the_clip():
    encoder, tokens = TorchvisionVideo(name="mvit_v2_s").eval(), []
    x = torch.rand(1, 3, 5, 50, 70, generator=torch.Generator().manual_seed(0))
    vectors, maps = encoder(x), encoder.maps(x)
    # torchvision's own forward is the oracle, once it is told the grid that ours reads off.
    positions = encoder.net.get_submodule("pos_encoding")
    assert (positions.temporal_size, positions.spatial_size) == (8, (56, 56)), "left as it was"
    positions.temporal_size, positions.spatial_size = 3, (13, 18)
    encoder.net.get_submodule("norm").register_forward_hook(lambda *a: tokens.append(a[2]))
    torch.testing.assert_close(vectors, encoder.net(encoder.normalize(x)))
    torch.testing.assert_close(vectors, tokens[0][:, 0])
    torch.testing.assert_close(maps["layer4"].flatten(2).transpose(1, 2), tokens[0][:, 1:])


@torch.no_grad()
def test_small_input_keeps_the_size_of_small_pictures():
    x = torch.rand(1, 3, 32, 32)
    sizes = [m.shape[-1] for m in TorchvisionImage(small_input=True).eval().maps(x).values()]
    assert sizes == [32, 32, 16, 8, 4]
    with pytest.raises(InputError, match="choose one of both"):
        TorchvisionImage(small_input=True, pretrained=True)


@pytest.mark.parametrize(
    ("kind", "name", "near"),
    [
        (TorchvisionImage, "resnet81", "resnet18"),
        (TorchvisionVideo, "r2plus1_18", "r2plus1d_18"),
        (TimmImage, "resnet18s", "resnet18"),
        (TimmImage, "hf-hub:somebody/resnet18", "timm has no model"),
        (TimmImage, "resnet18.no_such_tag", "no_such_tag"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(kind: type, name: str, near: str):
    with pytest.raises(InputError, match=near):
        kind(name=name)


def test_timm_takes_a_size_only_where_it_means_something():
    with pytest.raises(InputError, match="takes no size"):
        TimmImage(name="test_resnet", size=64)
    with pytest.raises(InputError, match="takes pictures of 160×160 pixels.*give size=64"):
        TimmImage(name="test_vit_relpos")(torch.rand(1, 3, 64, 64))
    coatnet = TimmImage(name="test_coatnet").eval()
    for run in (coatnet, coatnet.maps):
        with pytest.raises(InputError, match="published for inputs of 160×160 .* take 64×64"):
            run(torch.rand(1, 3, 64, 64))
    with pytest.raises(InputError, match="multiples of its patch of 16×16, got 64×70"):
        TimmImage(name="test_vit")(torch.rand(1, 3, 64, 70))


@torch.no_grad()
@pytest.mark.parametrize("name", ["test_vit", "swin_tiny_patch4_window7_224"])
def test_timms_transformers_take_other_sizes_and_stay_what_they_are_at_their_own(name: str):
    encoder = TimmImage(name=name).eval()
    side = encoder.net.patch_embed.img_size[0]
    own = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    plain = timm.create_model(name, num_classes=0).eval()
    plain.load_state_dict(encoder.net.state_dict())
    torch.testing.assert_close(encoder(own), plain(encoder.normalize(own)), atol=1e-4, rtol=1e-4)
    assert encoder(torch.rand(1, 3, 96, 128)).shape == (1, encoder.dim)


@pytest.mark.parametrize("kind", [TinyImage, TinyVideo, TinyAudio, L3Image])
def test_width_sets_the_channels(kind: type[Encoder]):
    assert kind(width=2).dim == 16
    with pytest.raises(InputError, match="at least 1"):
        kind(width=0)


def test_the_stem_sees_colours_beside_their_difference_from_the_clips_mean():
    encoder, x = TinyVideo(width=4), torch.rand(2, 3, 5, 22, 30)
    conv = encoder.stages["stem"][0][0]
    colours = encoder.normalize(x)
    both = torch.cat([colours, colours - colours.mean(2, keepdim=True)], 1)
    made = conv(colours)
    want = nn.functional.conv3d(both, conv.weight, None, conv.stride, conv.padding)
    torch.testing.assert_close(made, want, rtol=1e-4, atol=1e-4)
    found, sought = (torch.autograd.grad(y.square().sum(), conv.weight)[0] for y in (made, want))
    torch.testing.assert_close(found, sought, rtol=1e-3, atol=1e-2)


def moving_discs(rng: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Clips [B, 3, 8, 64, 64] of a disc that moves right, down, left or up, and which."""
    label = torch.randint(4, (count,), generator=rng)
    speed = 2 + 2.5 * torch.rand(count, 1, generator=rng)  # pixels per frame
    start = 24 + 16 * torch.rand(count, 2, 1, generator=rng)
    angle = label[:, None] * math.pi / 2
    direction = torch.stack([torch.cos(angle), torch.sin(angle)], 1)
    centre = start + direction * speed[:, None] * (torch.arange(8) - 3.5)
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    dx, dy = (axis - c[..., None, None] for axis, c in zip((x, y), centre.unbind(1), strict=True))
    disc = (dx**2 + dy**2 < 81).float()[:, None]
    ground = 0.5 * torch.rand(count, 3, 1, 1, 1, generator=rng)
    return ground + 0.5 * disc, label


@pytest.mark.slow
def test_tiny_video_learns_where_things_move():
    torch.manual_seed(0)
    encoder, rng = TinyVideo(), torch.Generator().manual_seed(0)
    head = nn.Linear(encoder.dim, 4)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], 3e-3)
    for _ in range(60):
        clips, label = moving_discs(rng, 16)
        loss = nn.functional.cross_entropy(head(encoder(clips)), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    clips, label = moving_discs(rng, 64)
    with torch.no_grad():
        hits = head(encoder(clips)).argmax(1) == label
        backwards = head(encoder(clips.flip(2))).argmax(1) == (label + 2) % 4
    # Seeds 0 to 3 gave 1.0 for both.
    assert hits.float().mean() > 0.8
    assert backwards.float().mean() > 0.8
