"""Colourisation on pictures whose colours are known, and its parts against independent formulas."""

from functools import partial

import numpy as np
import pytest
import torch
from fakes import FakeSource
from patch_worlds import Pictures, batch_of, coloured_stripes, picture_info
from skimage.color import rgb2lab
from sklearn.neighbors import NearestNeighbors
from small_world import held_out, train
from task_kit import build_encoder, make_task
from torch import Tensor

from pretexto.encoders.image import TinyImage
from pretexto.encoders.store import read_card
from pretexto.modalities.lab import lab_to_rgb, rgb_to_lab
from pretexto.tasks.colorization import Colorization, coloured
from pretexto.tasks.parts.colour_bins import annealed_mean, bins, rebalanced, soft_encoded
from pretexto.training.pretrain import TrainerArgs, pretrain

WHOLE = {"size": 32, "resize_side": 32, "scale": (1.0, 1.0), "flip": False}


def task_of(**options) -> Colorization:
    return make_task(Colorization, build_encoder(TinyImage), **{**WHOLE, **options})


def halves(left: tuple[float, float, float], right: tuple[float, float, float]) -> Tensor:
    """A picture of two colours, RGB in 0 … 1, side by side."""
    picture = torch.zeros(3, 32, 32)
    for colour, part in ((left, slice(0, 16)), (right, slice(16, 32))):
        picture[:, :, part] = torch.tensor(colour)[:, None, None]
    return picture


def test_every_bin_holds_a_colour_and_every_colour_has_a_bin():
    centres = bins()
    assert centres.shape == (261, 2)
    assert (centres % 10 == 0).all()
    x = np.random.default_rng(0).random((4000, 1, 3))
    ab = torch.tensor(rgb2lab(x)[:, 0, 1:], dtype=torch.float32)
    assert float(torch.cdist(ab, centres).min(1).values.max()) <= 50**0.5 + 1e-3


def test_soft_encoding_is_that_of_five_neighbours():
    rng = torch.Generator().manual_seed(0)
    ab = 80 * torch.rand(2, 2, 3, 4, generator=rng) - 40
    made = soft_encoded(ab, bins()).permute(0, 2, 3, 1).reshape(-1, 261).numpy()
    flat = ab.permute(0, 2, 3, 1).reshape(-1, 2).numpy()
    far, index = NearestNeighbors(n_neighbors=5).fit(bins().numpy()).kneighbors(flat)
    near = np.exp(-(far**2) / (2 * 5**2))
    expected = np.zeros_like(made)
    np.put_along_axis(expected, index, near / near.sum(1, keepdims=True), 1)
    np.testing.assert_allclose(made, expected, atol=1e-5)
    assert (np.count_nonzero(made, axis=1) <= 5).all()


def test_rare_colours_weigh_more_and_the_mean_weight_is_one():
    centres = bins()
    prior = torch.zeros(261)
    grey = int((centres == 0).all(1).nonzero())
    prior[grey], prior[0] = 0.99, 0.01
    weight = rebalanced(prior, centres, 0.5)
    assert weight[0] > 5 * weight[grey]
    near = np.exp(-(np.linalg.norm(centres[:, None] - centres[None], axis=2) ** 2) / 50)
    smooth = prior.numpy() @ (near / near.sum(1, keepdims=True))
    assert float((weight.numpy() * smooth).sum()) == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(rebalanced(prior, centres, 1.0), torch.ones(261))


def test_the_annealed_mean_lies_between_mode_and_mean():
    logits = torch.tensor([2.0, 1.0, 0.0])[None, :, None, None]
    centres = torch.tensor([[0.0, 0.0], [30.0, 0.0], [60.0, 30.0]])
    shares = np.exp([2.0, 1.0, 0.0]) / np.exp([2.0, 1.0, 0.0]).sum()
    mean = annealed_mean(logits, centres, 1.0)[0, :, 0, 0].numpy()
    np.testing.assert_allclose(mean, shares @ centres.numpy(), rtol=1e-5)
    np.testing.assert_allclose(annealed_mean(logits, centres, 0.0)[0, :, 0, 0], [0, 0], atol=1e-4)
    power = shares ** (1 / 0.38)
    told = annealed_mean(logits, centres, 0.38)[0, :, 0, 0].numpy()
    np.testing.assert_allclose(told, power / power.sum() @ centres.numpy(), rtol=1e-4)


def test_the_answer_is_what_the_pixels_spell():
    left, right = (0.8, 0.3, 0.3), (0.3, 0.4, 0.8)
    data = batch_of(task_of(), lambda i: halves(left, right), 2, about=picture_info(32, 32))
    for colour, place in ((left, 0), (right, 7)):
        expected = rgb2lab(np.array(colour)[None, None])[0, 0, 1:]
        np.testing.assert_allclose(data["colours"][0, :, 4, place], expected, atol=0.6)


def test_the_encoder_sees_nothing_but_lightness():
    rng = torch.Generator().manual_seed(1)
    light = 40 + 20 * torch.rand(1, 1, 32, 32, generator=rng)
    ab = (20 * torch.rand(2, 2, 32, 32, generator=rng) - 10).unbind()
    shown = [lab_to_rgb(torch.cat([light, colours[None]], 1))[0] for colours in ab]
    data = batch_of(task_of(), lambda i: shown[i], 2, about=picture_info(32, 32))
    first, second = data["inputs"]
    # Pixels are rounded to 255 steps, which is 0.4 of lightness here.
    torch.testing.assert_close(first, second, atol=0.006, rtol=0)
    assert torch.equal(first[0], first[1])
    assert torch.equal(first[0], first[2])
    assert float((data["colours"][0] - data["colours"][1]).abs().max()) > 3


def test_painting_keeps_the_lightness():
    inputs = 0.3 + 0.4 * torch.rand(2, 1, 1, 16, 16).expand(2, 3, 1, 16, 16)
    made = coloured(inputs, 8 * torch.rand(2, 2, 4, 4) - 4)
    torch.testing.assert_close(rgb_to_lab(made)[:, 0], 100 * inputs[:, 0, 0], atol=0.02, rtol=0)


def test_pictures_without_colour_are_not_asked_about_and_bars_are_cut():
    grey, red = halves((0.2,) * 3, (0.7,) * 3), halves((0.8, 0.3, 0.3), (0.3, 0.4, 0.8))
    worlds = {False: [1.0, 1.0], True: [0.0, 1.0]}
    for guarded, weights in worlds.items():
        data = batch_of(
            task_of(grey=guarded), lambda i: (grey, red)[i], 2, about=picture_info(32, 32)
        )
        assert data["weight"].tolist() == weights
    step = task_of()(batch_of(task_of(), lambda i: grey, 2, about=picture_info(32, 32)))
    assert float(step.loss.detach()) == 0
    barred = halves((0.8, 0.3, 0.3), (0.3, 0.4, 0.8)) * (1 + 0.2 * torch.rand(3, 32, 32))
    barred[:, :6] = barred[:, -6:] = 0
    dark = {}
    for guarded in (False, True):
        data = batch_of(task_of(letterbox=guarded), lambda i: barred, 1, about=picture_info(32, 32))
        dark[guarded] = float((data["inputs"] < 0.05).float().mean())
    assert dark[False] > 0.3
    assert dark[True] == 0


@pytest.mark.slow
def test_colours_are_learned_where_shapes_tell_them_and_only_there():
    scores = {}
    for coupled in (True, False):
        torch.manual_seed(0)
        task = make_task(Colorization, TinyImage(width=8), **WHOLE)
        world = partial(coloured_stripes, coupled=coupled)
        train(task, Pictures(world, 256), steps=40, seed=0)
        scores[coupled] = held_out(task, Pictures(world, 96, 1000))
    # Measured: 1.000 and 0.471; who knows both colours and sees no shape is right in one of two.
    assert scores[True] > 0.9
    assert scores[False] < 0.6


def test_the_run_says_that_its_encoder_knows_lightness_alone(tmp_path):
    folder = pretrain(
        task_of(),
        FakeSource(),
        tmp_path / "run",
        trainer=TrainerArgs(steps=1, batch_size=2, workers=0),
    )
    assert read_card(folder)["spec"]["colour"] == "lightness"
