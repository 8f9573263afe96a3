"""Optical flow: known shifts, true flow, RAFT as torchvision has it, any size, still and flat."""

import numpy as np
import pytest
import torch
from helpers import shared_data
from PIL import Image
from torch.nn import functional

from pretexto.errors import InputError
from pretexto.modalities.flow import (
    check_method,
    compose,
    consistent,
    flow_to_rgb,
    optical_flow,
    read_flow,
    warp,
)
from pretexto.modalities.flow.raft import raft, raft_network

CLASSICAL = ("dis", "dis-fast", "dis-ultrafast", "farneback")


def scene(height: int = 120, width: int = 160, seed: int = 0) -> torch.Tensor:
    """A smooth random texture, uint8 [3, H, W]."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8))
    picture = coarse.resize((width, height), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def moved(picture: torch.Tensor, x: int, y: int) -> torch.Tensor:
    return picture.roll((y, x), (-2, -1))


@pytest.fixture(scope="module")
def rubber_whale():
    """Two frames uint8 [1, 3, H, W], the true flow [1, 2, H, W] and where it is known."""
    root = shared_data("flow")
    frames = [np.array(Image.open(root / f"rubberwhale{k}.png").convert("RGB")) for k in (1, 2)]
    first, second = (torch.from_numpy(x).permute(2, 0, 1)[None] for x in frames)
    flow, valid = read_flow(root / "flow_gt.flo")
    return first, second, flow[None], valid


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_a_known_shift_is_found_to_a_twentieth_of_a_pixel(method):
    first = scene()
    flow = optical_flow(first[None], moved(first, 3, 2)[None], method)
    assert flow.shape == (1, 2, 120, 160)
    assert flow.dtype == torch.float32
    inner = flow[0, :, 24:-24, 24:-24].flatten(1)
    assert torch.allclose(inner.median(1).values, torch.tensor([3.0, 2.0]), atol=0.05)
    assert (inner - torch.tensor([[3.0], [2.0]])).norm(dim=0).mean() < 0.05


@pytest.mark.parametrize(
    ("method", "most"),
    [("dis", 0.3), ("dis-fast", 0.5), ("dis-ultrafast", 0.6), ("farneback", 0.5)],
)
def test_the_error_against_true_flow(rubber_whale, method, most):
    first, second, truth, valid = rubber_whale
    flow = optical_flow(first, second, method)
    error = (flow - truth).norm(dim=1)[0][valid].mean()
    assert error < most


def test_warping_by_true_flow_takes_the_pictures_difference_away(rubber_whale):
    first, second, truth, valid = rubber_whale

    def apart(x):
        return (x - first.float()).abs().mean(1)[0][valid].mean()

    assert apart(second.float()) == pytest.approx(5.712, abs=0.01)
    assert apart(warp(second, truth)) == pytest.approx(1.402, abs=0.01)
    assert apart(warp(second, optical_flow(first, second))) < 2


@pytest.mark.parametrize("method", CLASSICAL)
@pytest.mark.parametrize("size", [(1, 1), (7, 40), (31, 16), (64, 48), (33, 129)])
def test_every_size_gives_finite_flow_of_that_size(method, size):
    frames = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=torch.manual_seed(0))
    flow = optical_flow(frames, frames.flip(0), method)
    assert flow.shape == (2, 2, *size)
    assert flow.isfinite().all()


@pytest.mark.parametrize("method", CLASSICAL)
def test_still_and_flat_pictures_have_no_flow(method):
    flat = torch.full((1, 3, 48, 64), 90, dtype=torch.uint8)
    still = scene(48, 64)[None]
    for first, second in ((flat, flat), (still, still), (flat, flat + 40)):
        # Farnebäck's borders shiver a little.
        most = 0.2 if method == "farneback" else 1e-3
        assert optical_flow(first, second, method).abs().max() < most


def test_a_batch_is_its_pairs_and_may_be_empty():
    frames = torch.stack([scene(48, 64, seed) for seed in range(4)])
    together = optical_flow(frames[:3], frames[1:])
    for k in range(3):
        assert together[k : k + 1].equal(optical_flow(frames[k : k + 1], frames[k + 1 : k + 2]))
    assert optical_flow(frames[:0], frames[:0]).shape == (0, 2, 48, 64)


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("shape", [(128, 136), (100, 130), (40, 48)])
def test_raft_is_torchvision_s_own_call(size, shape):
    """At multiples of 8 from 128 on; otherwise on the picture filled up by its border."""
    network = raft_network(size, None)
    first, second = scene(*shape)[None], scene(*shape, seed=1)[None]
    high, wide = (max(-(-n // 8) * 8, 128) for n in shape)
    filled = [
        functional.pad(x.double(), (0, wide - shape[1], 0, high - shape[0]), mode="replicate")
        for x in (first, second)
    ]
    with torch.no_grad():
        own = network(*((x / 127.5 - 1).float() for x in filled))[-1]
    flow = raft(network, first, second)
    assert flow.shape == (1, 2, *shape)
    assert torch.allclose(flow, own[..., : shape[0], : shape[1]], atol=1e-4)


def test_raft_takes_a_user_s_weights(tmp_path):
    from safetensors.torch import save_file

    network = raft_network("small", None)
    path = tmp_path / "raft.safetensors"
    save_file(network.state_dict(), path)
    first, second = scene(128, 128)[None], scene(128, 128, 1)[None]
    flow = optical_flow(first, second, f"raft_small:{path}")
    assert flow.equal(raft(network, first, second))
    save_file({"nothing": torch.zeros(1)}, path.with_name("other.safetensors"))
    with pytest.raises(InputError, match=r"other\.safetensors: not the weights of this RAFT"):
        optical_flow(first, second, f"raft_small:{tmp_path / 'other.safetensors'}")


def test_raft_on_4k_is_refused_with_its_price():
    first = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(1, 3, 2160, 3840)
    with pytest.raises(InputError, match=r"RAFT on 3840x2160 pixels takes 83 GiB a pair: .*dis"):
        raft(raft_network("small", None), first, first)


def test_slips_in_a_method_s_name_are_one_line():
    for word, said in (
        ("diss", "did you mean dis"),
        ("tvl", "did you mean tvl1"),
        ("gma", "take one of dis, "),
        ("dis:x", "takes no weights"),
        ("raft_small", "needs weights: raft_small:FILE.safetensors"),
        ("raft_large:/nowhere.safetensors", "needs weights"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            check_method(word)
        assert "\n" not in str(caught.value)


def test_tvl1_needs_contributed_modules():
    pair = scene(64, 64)[None], moved(scene(64, 64), 3, 2)[None]
    import cv2

    if hasattr(cv2, "optflow"):
        flow = optical_flow(*pair, "tvl1")[0, :, 16:-16, 16:-16].flatten(1)
        assert torch.allclose(flow.median(1).values, torch.tensor([3.0, 2.0]), atol=0.05)
    else:
        with pytest.raises(InputError, match="pip install opencv-contrib-python-headless"):
            optical_flow(*pair, "tvl1")


def test_forth_and_back_agree_but_where_pixels_are_covered_or_leave():
    background, square = scene(120, 160), scene(120, 160, 3).flip(0)
    first, second = background.clone(), background.clone()
    first[:, 40:80, 40:80] = square[:, 40:80, 40:80]
    second[:, 40:80, 48:88] = square[:, 40:80, 40:80]
    there = optical_flow(first[None], second[None])
    back = optical_flow(second[None], first[None])
    good = consistent(there, back)
    assert good.dtype == torch.bool
    assert good[0, 45:75, 45:75].float().mean() > 0.95
    assert good[0, 90:].float().mean() > 0.98
    assert good[0, 45:75, 82:87].float().mean() < 0.4  # covered by the square
    pan = torch.full((1, 2, 20, 30), 0.0)
    pan[:, 0] = 4
    assert consistent(pan, -pan)[0].all(0).tolist() == [True] * 26 + [False] * 4


def test_a_cut_gives_flow_that_does_not_come_back():
    first, second = scene(120, 160)[None], scene(120, 160, 7)[None]
    there, back = optical_flow(first, second), optical_flow(second, first)
    assert there.isfinite().all()
    assert consistent(there, back).float().mean() < 0.3
    same = moved(scene(120, 160), 3, 2)[None]
    assert consistent(optical_flow(first, same), optical_flow(same, first)).float().mean() > 0.8


def test_two_steps_compose():
    first = scene()
    steps = [moved(first, 2 * k, k)[None] for k in range(3)]
    there = compose(optical_flow(steps[0], steps[1]), optical_flow(steps[1], steps[2]))
    inner = there[0, :, 24:-24, 24:-24].flatten(1).mean(1)
    assert torch.allclose(inner, torch.tensor([4.0, 2.0]), atol=0.05)
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    grid = torch.stack(torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="xy")) - 4
    # A quarter turn about the middle, twice, is a half turn: exact, as bilinear sampling is.
    quarter = torch.einsum("ij,jhw->ihw", turn - torch.eye(2), grid)[None]
    assert torch.allclose(compose(quarter, quarter), -2 * grid[None], atol=1e-5)


def test_warping_reads_where_the_flow_points():
    picture = torch.arange(20.0).reshape(1, 1, 4, 5)
    flow = torch.zeros(1, 2, 4, 5)
    flow[:, 0], flow[:, 1] = 1.5, 1.0
    assert warp(picture, flow)[0, 0, 0].tolist() == [6.5, 7.5, 8.5, 9.0, 9.0]


def test_the_colour_wheel():
    flow = torch.zeros(2, 2, 4, 4)
    flow[0, 0] = 10.0
    colours = flow_to_rgb(flow)
    assert colours.dtype == torch.uint8
    assert colours.shape == (2, 3, 4, 4)
    assert colours[1].eq(255).all()  # still
    assert colours[0, :, 0, 0].tolist() == [255, 0, 0]  # to the right
    half = flow_to_rgb(flow, longest=20.0)[0, :, 0, 0].tolist()
    assert half[0] == 255
    assert 120 < half[1] < 135
    assert flow_to_rgb(flow, longest=5.0)[0].equal(colours[0])
    assert not flow_to_rgb(-flow)[0, :, 0, 0].equal(colours[0, :, 0, 0])
