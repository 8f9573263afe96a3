"""Flow of a transformed pair is the transformed flow of the pair."""

import numpy as np
import pytest
import torch
from helpers import shared_data
from PIL import Image

from pretexto.modalities.flow import geometry, optical_flow
from pretexto.modalities.image import resize
from pretexto.modalities.rng import generator
from pretexto.modalities.transforms.image import apply_crop
from pretexto.tasks.parts.transforms import Crop, of_view, stacked


def textured_pair(height: int = 144, width: int = 192):
    """Two frames uint8 [1, 3, H, W] of a texture that turns and grows, as a camera's might."""
    y, x = torch.meshgrid(torch.arange(height) - 60.0, torch.arange(width) - 100.0, indexing="ij")

    def picture(x, y):
        waves = [torch.sin(x / 5 + y / (7 + c)) + torch.cos(x / (9 - c) - y / 4) for c in range(3)]
        return (128 + 50 * torch.stack(waves)).clamp(0, 255).to(torch.uint8)[None]

    # Positions at the second frame that come from these of the first: f(p) = p + flow(p).
    return picture(x, y), picture(0.98 * x + 0.02 * y - 2, 0.98 * y - 0.02 * x + 1)


CHANGES = {
    "crop": (lambda x: x[..., 20:110, 30:160], lambda f: geometry.crop(f, 20, 30, 90, 130)),
    "mirror": (lambda x: x.flip(-1), geometry.mirror),
    "a quarter": (lambda x: x.rot90(1, (-2, -1)), lambda f: geometry.turn(f, 1)),
    "a half": (lambda x: x.rot90(2, (-2, -1)), lambda f: geometry.turn(f, 2)),
    "three quarters": (lambda x: x.rot90(3, (-2, -1)), lambda f: geometry.turn(f, 3)),
    "larger": (lambda x: resize(x, (288, 240)), lambda f: geometry.resize(f, (288, 240))),
    "smaller": (lambda x: resize(x, 96), lambda f: geometry.resize(f, 96)),
}


def apart(ours, theirs) -> float:
    """Median distance of vectors, off the border."""
    inner = (ours - theirs)[..., 16:-16, 16:-16]
    return float(inner.norm(dim=1).median())


@pytest.mark.parametrize("name", CHANGES)
def test_flow_of_the_changed_pair_is_the_changed_flow(name):
    frames, fields = CHANGES[name]
    first, second = textured_pair()
    flow = optical_flow(first, second)
    changed = optical_flow(frames(first), frames(second))
    assert apart(changed, fields(flow)) < 0.1
    # That is not for want of movement: vectors left as they were would be far off.
    assert flow.norm(dim=1).median() > 1.5
    if name != "crop":
        unchanged = frames(flow.double()).float()
        assert apart(changed, unchanged) > 0.5


@pytest.mark.parametrize("name", CHANGES)
def test_so_it_is_on_a_real_pair(name):
    root = shared_data("flow")
    first, second = (
        torch.from_numpy(np.array(Image.open(root / f"rubberwhale{k}.png").convert("RGB"))).permute(
            2, 0, 1
        )[None, :, 60:300, 100:440]
        for k in (1, 2)
    )
    frames, fields = CHANGES[name]
    changed = optical_flow(frames(first), frames(second))
    assert apart(changed, fields(optical_flow(first, second))) < 0.15


def test_geometry_keeps_leading_axes():
    flow = torch.randn(2, 3, 2, 20, 30)
    assert geometry.crop(flow, 1, 2, 10, 12).shape == (2, 3, 2, 10, 12)
    assert geometry.resize(flow, (10, 60)).shape == (2, 3, 2, 10, 60)
    assert geometry.mirror(geometry.mirror(flow)).equal(flow)
    assert geometry.turn(flow, 1).shape == (2, 3, 2, 30, 20)
    assert geometry.turn(geometry.turn(flow, 3), 1).equal(flow)
    assert geometry.turn(geometry.turn(flow, 1), 1).equal(geometry.turn(flow, 2))


@pytest.mark.parametrize("flip", [False, True])
def test_a_task_s_crop_scales_and_signs_the_vectors(flip):
    first, second = (x[..., :144].float() / 255 for x in textured_pair())
    crop = Crop((0.3, 0.6), (0.6, 1.7))
    drawn = crop.draw(generator(3, 0, 0))
    batch = {"box": drawn["box"][None], "flip": torch.tensor([flip])}

    def pixels(x):
        return (x * 255).round().to(torch.uint8)

    cut = [pixels(apply_crop(x, batch["box"], batch["flip"], 112)) for x in (first, second)]
    flow = optical_flow(pixels(first), pixels(second))
    changed = optical_flow(*cut)
    assert apart(changed, crop.apply_flow(flow, batch, 112)) < 0.15
    assert apart(changed, apply_crop(flow, batch["box"], batch["flip"], 112)) > 0.4


def test_each_part_of_a_tuple_has_its_own_crop_or_all_have_one():
    crop, flow = Crop(), torch.randn(2, 3, 2, 40, 40)
    views = [stacked([crop.draw(generator(k, j, 0)) for j in range(3)]) for k in range(2)]
    batch = stacked(views)
    own = {"box": batch["box"], "flip": batch["flip"][:, 0]}
    together = crop.apply_flow(flow, own, 24)
    assert together.shape == (2, 3, 2, 24, 24)
    for k in range(3):
        alone = {**of_view(batch, k, ("box",)), "flip": own["flip"]}
        assert torch.allclose(together[:, k], crop.apply_flow(flow[:, k], alone, 24), atol=1e-6)
    one = {"box": batch["box"][:, 0], "flip": own["flip"]}
    shared = crop.apply_flow(flow, one, 24)
    assert torch.allclose(shared[:, 2], crop.apply_flow(flow[:, 2], one, 24), atol=1e-6)
