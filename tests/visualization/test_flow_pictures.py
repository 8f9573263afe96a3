"""Pictures of optical flow, of embeddings, and of what a network made before and after training."""

import media_factory as make
import numpy as np
import pytest
import torch
from comparison_fakes import Films, turned
from matplotlib.axes import Axes
from task_kit import batch, build_encoder, make_task

from pretexto.encoders.image import TinyImage
from pretexto.modalities.flow import flow_to_rgb
from pretexto.tasks.flow_similarity import FlowSimilarity
from pretexto.tasks.parts.flow_pictures import (
    busiest,
    flow_picture,
    likeness_map,
    principal_colours,
)
from pretexto.tasks.shuffle_learn import ShuffleLearn
from pretexto.tasks.task import Picture, Step, Task
from pretexto.visualization import motion
from pretexto.visualization.puzzles import puzzles


def test_a_film_is_drawn_above_its_flow_in_the_wheel_s_colours(tmp_path, monkeypatch):
    """A film that stands in its first half and goes right in the other."""
    drawn = []
    monkeypatch.setattr(Axes, "imshow", lambda self, x, **_: drawn.append((self, x)))
    (card,), times = make.drifting([0]), np.arange(40) / 10
    frames = [np.roll(card, 3 * max(k - 20, 0), 1) for k in range(40)]
    path = make.write(tmp_path / "x.mp4", frames, times.tolist())
    task = make_task(ShuffleLearn, TinyImage(width=2), size=16, tau_min=0.2, tau_max=0.4)
    motion.draw_motion(path, task, tmp_path / "x.png")
    assert len({axes for axes, _ in drawn}) == 3
    frames, flows, ((_, wheel),) = drawn[:10], drawn[10:20], drawn[20:]
    assert {x.shape for _, x in (*frames, *flows)} == {(96, 128, 3)}
    assert not np.array_equal(frames[5][1], frames[9][1])
    middles = np.stack([x[20:-20, 20:-20].mean((0, 1)) for _, x in flows])
    assert middles[:5].min() > 245, "white where nothing moves"
    right = wheel[48, 70]  # half as fast as the longest, on the way to the right
    assert right[0] > 250
    assert (middles[5:, 0] > 235).all()
    assert (middles[5:, 1:] < right[1:].max()).all()


def test_the_wheel_has_the_colours_of_flow():
    wheel = motion._wheel()
    for (row, column), vector in {
        (48, 94): (1.0, 0.0), (48, 1): (-1.0, 0.0), (1, 48): (0.0, -1.0), (94, 48): (0.0, 1.0)
    }.items():  # fmt: skip
        colour = flow_to_rgb(torch.tensor(vector)[None, :, None, None], 1.0)[0, :, 0, 0].numpy()
        assert wheel[row, column].astype(int) == pytest.approx(colour.astype(int), abs=12)
    assert (wheel[0, 0] == 255).all()


def two_parts(angle: float) -> torch.Tensor:
    """Embeddings [6, 8, 8]: the left half all one vector, the right half at an angle to it."""
    x = torch.zeros(6, 8, 8)
    x[1, :, :4] = 3.0
    x[1, :, 4:], x[4, :, 4:] = float(np.cos(angle)), float(np.sin(angle))
    return x


def test_what_is_alike_has_one_colour():
    colours = principal_colours(two_parts(1.0))
    assert colours.shape == (3, 8, 8)
    left, right = colours[:, :, :4].flatten(1), colours[:, :, 4:].flatten(1)
    for part in (left, right):
        assert float((part - part[:, :1]).abs().max()) < 1e-4
    assert float((left[:, 0] - right[:, 0]).abs().max()) > 0.9
    assert torch.equal(principal_colours(torch.ones(2, 8, 8)), torch.zeros(3, 8, 8))


def test_the_map_of_likeness_is_the_cosine_with_the_place_that_is_marked():
    found = likeness_map(two_parts(2.0), 3, 0)
    torch.testing.assert_close(found[:, 0, 3], torch.ones(3))
    torch.testing.assert_close(found[:, 7, 7], torch.full((3,), float(1 + np.cos(2.0)) / 2))
    assert found[0, 3, 0] == 1
    assert found[1, 3, 0] < 0.2, "the dot"


def test_the_place_that_is_chosen_moves_with_what_is_around_it():
    flow = torch.zeros(2, 64, 64)
    flow[0, 30:40, 20:30] = 2.0
    flow[1, 0, 63] = 5.0  # a stray vector at the border, as flow has them
    row, column = busiest(flow)
    assert 30 <= row < 40
    assert 20 <= column < 30


@pytest.mark.parametrize("flip", [False, True])
def test_a_task_draws_the_flow_of_the_crop_that_it_shows(flip):
    """Whatever is left of it in the picture, mirrored with it."""
    task = make_task(FlowSimilarity, build_encoder(TinyImage), size=32, pixels=16, camera=False)
    data = batch(task, 2)
    data["flow"].zero_()
    data["flow"][:, 0, :, 18:] = 2.0  # the right half goes right
    data["flip"][:] = flip
    data["box"][:] = torch.tensor([0.25, 0.25, 0.5, 0.5])
    frame, flow, *_ = task(task.augment(data)).pictures()[0].images
    assert frame.shape == flow.shape == (3, 32, 32)
    field = torch.zeros(2, 32, 32)
    field[0, :, 16:] = 2.0
    expected = flow_picture(torch.stack([-field[0], field[1]]).flip(2) if flip else field)
    assert float((flow - expected).abs().mean()) < 0.05


class Paints(Task):
    """Shows what was asked, and a picture that it made, as light as its one weight."""

    def __init__(self, light: float):
        super().__init__()
        self.inner, self.light = turned(), light

    @property
    def encoders(self):
        return self.inner.encoders

    @property
    def specs(self):
        return self.inner.specs

    def plan(self, info, rng):
        return self.inner.plan(info, rng)

    def example(self, sample, rng):
        return self.inner.example(sample, rng)

    def augment(self, batch):
        return self.inner.augment(batch)

    def forward(self, batch, phase=None):
        def pictures():
            images = [batch["frame"][0], torch.full((3, 8, 8), self.light)]
            return [Picture(images, ["seen", "made"], "a", f"{self.light} of it", made=(1,))]

        return Step(torch.zeros(()), {}, pictures)


def test_what_a_network_made_is_shown_trained_only_and_beside_what_it_was():
    task = Paints(0.9)
    (asked,) = puzzles(task, Films(), count=1)
    assert (len(asked.images), asked.captions, asked.prediction) == (1, ["seen"], "")
    (told,) = puzzles(task, Films(), count=1, predict=True)
    assert told.captions == ["seen", "made"]
    (both,) = puzzles(task, Films(), count=1, predict=True, untrained=lambda: Paints(0.1))
    assert both.captions == ["seen", "before training: made", "after: made"]
    assert [round(float(x.mean()), 1) for x in both.images[1:]] == [0.1, 0.9]
    assert both.prediction == "0.9 of it; before training 0.1 of it"
