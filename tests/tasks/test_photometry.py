"""What tells light from motion, and what hides light: on pictures whose drift is known."""

import pytest
import torch
from light_worlds import DRIFTS, LightWorld, lit_still, texture
from onlooker import statistics
from torch import Tensor

from pretexto.modalities.media import Plan
from pretexto.modalities.rng import generator, integer
from pretexto.tasks.parts.guards import MomentGuards
from pretexto.tasks.parts.photometry import (
    draw_photometry,
    jitter_photometry,
    match_photometry,
    photometric_change,
    sensor_noise,
)
from pretexto.tasks.parts.transforms import Crop

TIMES = (0.6, 1.8, 3.0, 4.2)


def moments(drift, motion: str, film: int, times: tuple[float, ...] = TIMES) -> Tensor:
    """uint8 [N, 3, 1, 73, 73] of one film."""
    frames = LightWorld(drift, motion).read(film, Plan(times=times, short_side=73)).frames
    assert frames is not None
    return frames.unsqueeze(2)


def off_diagonal(change: Tensor) -> Tensor:
    rows, columns = torch.triu_indices(len(change), len(change), 1)
    return change[rows, columns]


# A shadow's edge is a thing that moves.
@pytest.mark.parametrize("name", [n for n in DRIFTS if n != "shadow"])
def test_where_only_light_changes_two_moments_are_alike(name):
    closest = [
        float(off_diagonal(photometric_change(moments(DRIFTS[name], "none", i))).min())
        for i in range(8)
    ]
    assert max(closest) < 0.1


@pytest.mark.parametrize("name", ["exposure", "vignette", "noise", "focus", "sweep"])
@pytest.mark.parametrize("motion", ["shake", "bodies"])
def test_what_moves_is_seen_under_every_light(name, motion):
    for film in range(4):
        assert off_diagonal(photometric_change(moments(DRIFTS[name], motion, film))).min() > 0.3


def test_a_small_body_that_moves_is_seen():
    """Of 73 by 73 pixels 8 by 8 change, a hundredth of the picture."""
    first, second = moments(lit_still, "none", 0, (1.0, 1.04))
    second[:, :, 20:28, 30:38] = first[:, :, 50:58, 10:18].clone()
    change = photometric_change(torch.stack([first, second]))
    assert float(change[0, 1]) > 0.1


def test_change_is_symmetric_and_nothing_where_nothing_changes():
    change = photometric_change(moments(lit_still, "bodies", 1))
    assert torch.equal(change, change.T)
    assert torch.equal(change.diag(), torch.zeros(4))
    grey = torch.stack([torch.full((3, 2, 40, 40), g, dtype=torch.uint8) for g in (0, 90, 255)])
    assert float(photometric_change(grey).abs().max()) < 0.01
    assert photometric_change(grey).isfinite().all()


def test_all_frames_of_a_moment_count():
    still, moved = moments(lit_still, "none", 0), moments(lit_still, "shake", 0)
    both = torch.cat([still, still.flip(0)], 2)
    assert float(off_diagonal(photometric_change(both)).max()) < 0.1
    mixed = torch.cat([still, moved], 2)
    assert float(off_diagonal(photometric_change(mixed)).min()) > 0.1


def drifting(drift) -> Tensor:
    """float [6, 3, 3, 1, 64, 64]: six films at three times of a drift, still but for noise."""
    films = [moments(drift, "none", i, (0.6, 3.0, 5.4)) for i in range(6)]
    return torch.stack(films)[..., :64, :64].float() / 255


def spread(frames: Tensor) -> Tensor:
    """How far statistics of one film's moments lie apart, of what films do: [F]."""
    found = statistics(frames.clamp(0, 1))
    return found.std(1).mean(0) / (found.mean(1).std(0) + found.std(1).mean(0) + 1e-9)


def grain(films: int) -> Tensor:
    """Noise for three frames of each film, as large as they are."""
    drawn = torch.stack([draw_photometry(generator(0, 0, i), 3) for i in range(films)])
    return sensor_noise(drawn, torch.Size([films, 3, 3, 1, 64, 64])).squeeze(3)


@pytest.mark.parametrize(
    "name", ["exposure", "contrast", "gamma", "white_balance", "saturation", "noise"]
)
def test_matching_takes_most_of_the_drift_away(name):
    frames = drifting(DRIFTS[name])
    matched = match_photometry(frames.squeeze(3), grain(6)).unsqueeze(3)
    assert matched.min() >= 0
    assert matched.max() <= 1
    before, after = spread(frames), spread(matched)
    # Means, deviations and edge energies, which come first.
    assert float(before[:6].max()) > 0.3 or name == "noise"
    assert float(after[:6].max()) < 0.12
    assert float(after.mean()) < float(before.mean())


def test_matching_leaves_all_moments_of_a_channel_one_range():
    matched = match_photometry(drifting(DRIFTS["gamma"]).squeeze(3), grain(6)).flatten(3)
    for ends in (matched.amin(3), matched.amax(3)):
        torch.testing.assert_close(ends, ends[:, :1].expand_as(ends))


def test_moments_in_the_same_light_stay_as_they_are():
    frames = drifting(lit_still).squeeze(3)[:, :1].expand(-1, 3, -1, -1, -1)
    torch.testing.assert_close(match_photometry(frames, grain(6)), frames, atol=1e-4, rtol=0)


def test_noise_that_gain_raised_is_not_told_from_the_rest():
    """A film that darkens is, lit alike again, noisier towards its end: its detail less peaked."""
    films = [moments(DRIFTS["exposure"], "bodies", i, (0.6, 3.0, 5.4)) for i in range(16)]
    frames = torch.stack(films)[..., :64, :64].float() / 255
    matched = match_photometry(frames.squeeze(3), grain(16)).unsqueeze(3)
    peaks = [statistics(x)[..., 39:42] for x in (frames, matched)]
    before, after = (float((x[:, 2] - x[:, 0]).mean()) for x in peaks)
    # Without noise that is added, matched films come to -0.30.
    assert before < -0.3
    assert abs(after) < 0.06


def test_noise_that_gain_raised_at_one_side_is_not_told_from_the_other():
    """Haze that is thicker above: what brings its contrast back brings noise back with it."""
    films = [moments(DRIFTS["haze"], "bodies", i, (0.6, 2.0, 3.4)) for i in range(32)]
    frames = torch.stack(films)[..., :64, :64].float().squeeze(3) / 255
    tilts = [_tilt(x) for x in (frames, match_photometry(frames, grain(32)))]
    before, after = (float((x[:, 2] - x[:, 0]).mean()) for x in tilts)
    # Over three sets of films: 0.01 to 0.03; with noise that is measured over whole pictures 0.06
    # to 0.11.
    assert before < 0
    assert abs(after) < 0.05


def _tilt(frames: Tensor) -> Tensor:
    """By how much finer detail is stronger above than below, [B, M], as a logarithm."""
    bend = (frames.diff(2, dim=4)[..., 1:-1, :] + frames.diff(2, dim=3)[..., 1:-1]).abs()
    third = bend.shape[3] // 3
    above, below = (x.flatten(3).median(3).values.log() for x in bend.split(third, 3)[0:3:2])
    return (above - below).mean(2)


def test_colours_that_pale_are_not_told_from_the_others():
    films = [moments(DRIFTS["saturation"], "bodies", i, (0.6, 2.0, 3.4)) for i in range(32)]
    frames = torch.stack(films)[..., :64, :64].float() / 255
    matched = match_photometry(frames.squeeze(3), grain(32)).unsqueeze(3)
    colour = [statistics(x)[..., -1].log() for x in (frames, matched)]
    before, after = (float((x[:, 2] - x[:, 0]).mean()) for x in colour)
    # Over three sets of films: 0.01 at most; where channels are matched one by one 0.48 to 0.49.
    assert before < -1
    assert abs(after) < 0.05


def bodies(alike: bool) -> tuple[Tensor, Tensor]:
    """[16, 3, 3, 64, 64] without noise, and 1 where bodies stand, elsewhere in each moment.

    Each is of one colour, its own or the film's, before a texture that is still.
    """
    rng = generator(0, 0, 0)
    behind = torch.stack([texture(0, i, 64) for i in range(16)]).unsqueeze(1)
    where = torch.zeros(16, 3, 3, 64, 64)
    for k in range(3):
        for film in range(16):
            top = integer(rng, 40)
            where[film, k, :, top : top + 16, 2 + 20 * k : 18 + 20 * k] = 1
    colour = torch.rand(16, 1 if alike else 3, 3, 1, 1, generator=rng)
    return torch.where(where > 0, colour, behind), where


def test_a_body_that_moves_is_not_turned_into_what_lies_behind_it():
    frames, where = bodies(alike=True)
    behind = torch.stack([texture(0, i, 64) for i in range(16)]).unsqueeze(1)
    matched = match_photometry(frames, grain(16))
    before, after = (float(((x - behind).abs() * where).sum()) for x in (frames, matched))
    # Over four sets of films: 0.96 to 0.97; where all cells are fitted alike first, 0.84 to 0.90.
    assert after > 0.93 * before


def test_bodies_that_move_are_hardly_taken_for_noise():
    frames, _ = bodies(alike=False)
    noisy, mirrored = (match_photometry(frames, x) for x in (grain(16), -grain(16)))
    added = float((noisy - mirrored).square().mean().sqrt()) / 2
    # Over four sets of films: 0.010 to 0.011; where noise is what the quietest quarter of a part's
    # blocks shows, 0.015 to 0.016.
    assert added < 0.013


def test_noise_that_a_crop_resampled_is_not_told_from_what_is_added():
    films = [moments(DRIFTS["noise"], "bodies", i, (0.6, 3.0, 5.4)) for i in range(32)]
    drawn = torch.stack([draw_photometry(generator(0, 0, i), 3) for i in range(32)])
    box = torch.tensor([0.1, 0.1, 0.85, 0.85]).expand(32, 4)
    batch = {"photometry": drawn, "box": box, "flip": torch.zeros(32, dtype=torch.bool)}
    shown = MomentGuards().crop(Crop(), torch.stack(films), batch, 64)
    peaks = statistics(shown)[..., 39:42]
    # Boxes of five sizes: 0.03 to 0.07; this one, with noise that was added after the crop: 0.20.
    assert abs(float((peaks[:, 2] - peaks[:, 0]).mean())) < 0.12


def test_matching_keeps_where_things_are():
    frames = torch.full((1, 3, 3, 64, 64), 0.4)
    for k in range(3):
        frames[:, k, :, 28:36, 12 + 16 * k : 20 + 16 * k] = 0.8 - 0.1 * k
    matched = match_photometry(frames, grain(1)).mean((0, 2))
    for k in range(3):
        assert int(matched[k].amax(0).argmax()) in range(12 + 16 * k, 20 + 16 * k)


def test_jitter_is_drawn_by_the_example_and_differs_by_moment():
    frames = drifting(lit_still)[:, :1].expand(-1, 3, -1, -1, -1, -1)
    drawn = torch.stack([draw_photometry(generator(0, 0, i), 3) for i in range(6)])
    assert torch.equal(drawn[2], draw_photometry(generator(0, 0, 2), 3))
    changed = jitter_photometry(frames, drawn)
    assert torch.equal(changed, jitter_photometry(frames, drawn))
    assert changed.min() >= 0
    assert changed.max() <= 1
    # Statistics of one picture are told apart by the draw alone, after it.
    assert float(spread(frames).max()) < 1e-4
    assert float(spread(changed)[:3].min()) > 0.1
    torch.testing.assert_close(jitter_photometry(frames, drawn, 0.0), frames.clamp(1e-3, 1))


def test_one_channel_is_jittered_as_three_are():
    frames = torch.rand(2, 4, 1, 2, 32, 32, generator=generator(0, 0, 0))
    drawn = torch.stack([draw_photometry(generator(0, 0, i), 4) for i in range(2)])
    assert jitter_photometry(frames, drawn).shape == frames.shape


@pytest.mark.parametrize("slot", range(14))
def test_every_number_that_is_drawn_is_used(slot):
    frames = drifting(lit_still)[:2]
    drawn = torch.zeros(2, 3, 3, 14)
    other = drawn.clone()
    other[..., slot] = 0.5
    changed = (jitter_photometry(frames, other, 1.0) - jitter_photometry(frames, drawn, 1.0)).abs()
    assert float(changed.mean()) > 1e-3
