"""Light, noise and focus that drift with time: told apart from motion, and hidden.

Two counter-measures for tasks that ask about the order of time. `photometric_change` tells how
far two moments differ beyond what light, focus and noise can do; where nothing else changes there
is nothing to ask. `match_photometry` and `jitter_photometry` take away what is left of such a
drift where things do move: the first gives all moments of a tuple the same light and spectrum,
the second changes each by a little, drawn at random, since no match is exact.
"""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from .pooling import window_means

GRID = 16  # cells per side in which moments are compared: noise and focus hardly reach that far
_WINDOW = 3  # cells per side of the parts that are judged one by one
_LEVEL = (0.5 / 255) ** 2  # variance that is rounding's alone


def photometric_change(moments: Tensor) -> Tensor:
    """How much of each moment another does not explain by light, focus or noise.

    Each moment is predicted from each other, per channel, by least squares: with a gain and an
    offset that vary over the picture as cubic surfaces do, a cubic tone curve, other
    sharpness, and a share of the other channels. What remains is measured as a share of the
    picture's own detail, in that window of 3 by 3 of 16 by 16 cells where the share is largest.

    Args:
        moments: uint8 [N, 3, T, S, S].

    Returns:
        float32 [N, N], symmetric, 0 on the diagonal. Of still pictures under drifting light
        nearly always below 0.1; about 1 where a part of the picture shows something else.
    """
    cells = window_means(moments.float(), GRID, GRID).mean(2) / 255
    target, given = _centred(cells), _predictors(cells)
    gram = given @ given.transpose(-1, -2)
    gram = gram + 0.025 * torch.eye(gram.shape[-1])
    paired = torch.einsum("icrg,jcg->icrj", given, target)
    predicted = given.transpose(-1, -2) @ torch.linalg.solve(gram, paired)  # [N, 3, cells, N]
    left = (target.permute(1, 2, 0) - predicted).square().sum(1)
    detail = _detail(target).square().sum(1)
    share = _windows(left.transpose(1, 2)) / (
        _windows(detail) + 0.2 * detail.mean(1)[:, None, None] + _LEVEL
    )
    found = share.amax((2, 3))
    # A sharp picture explains a blurred one, not the other way round.
    return torch.minimum(found, found.T).fill_diagonal_(0)


def _predictors(cells: Tensor) -> Tensor:
    """What a moment [N, 3, g, g] can be turned into by light, focus and tone: [N, 3, R, g · g]."""
    own = _unit(cells)
    once = _box(cells, 3)
    twice = _box(once, 3)
    surfaces = _surfaces(*cells.shape[-2:], degree=3)
    found = [
        surfaces.expand(*own.shape[:2], -1, -1),
        surfaces * own[:, :, None],
        _unit(cells - once)[:, :, None],
        _unit(once - twice)[:, :, None],
        torch.stack([own.square(), own**3, own.roll(1, 1), own.roll(2, 1)], 2),
    ]
    return torch.cat(found, 2)


def _unit(cells: Tensor) -> Tensor:
    flat = _centred(cells)
    return flat / (flat.std(2, keepdim=True) + 1e-3)


def _centred(cells: Tensor) -> Tensor:
    return cells.flatten(2) - cells.mean((2, 3))[..., None]


def _surfaces(height: int, width: int, degree: int = 2) -> Tensor:
    """The monomials of up to a degree in the place, from -1 to 1: [6 for 2, height · width]."""
    down, across = ((2 * torch.arange(n) + 1) / n - 1 for n in (height, width))
    powers = [(a, b) for a in range(degree + 1) for b in range(degree + 1 - a)]
    return torch.stack([torch.outer(down**a, across**b).flatten() for a, b in powers])


def _detail(flat: Tensor) -> Tensor:
    """[N, 3, g · g] without its quadratic surface."""
    side = math.isqrt(flat.shape[-1])
    basis = torch.linalg.qr(_surfaces(side, side).T).Q
    return flat - flat @ basis @ basis.T


def _box(maps: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(maps, side, 1, side // 2, count_include_pad=False)


def _windows(flat: Tensor) -> Tensor:
    """Means of [..., g · g] about every cell: [..., g, g]."""
    maps = flat.unflatten(-1, (GRID, GRID))
    return _box(maps.reshape(-1, 1, GRID, GRID), _WINDOW).view(maps.shape)


_MOST = 6.0  # most by which contrast is raised or lowered
_SLOWEST = 3  # half waves per longer side: rings below it hold too few waves to have an energy
_NEAR = 3.0  # deviations from the mean: tone is not known beyond
_BLOCK = 4  # pixels per side of the blocks in which noise is measured
_ROUNDS = 3  # of weighting cells anew by how badly light explains them


def match_photometry(frames: Tensor, grain: Tensor) -> Tensor:
    """Gives all frames of a tuple the same light, noise and spectrum; things stay where they are.

    Each frame gets the tuple's mean colour and covariance of channels. What light alone explains of
    the rest, a gain and an offset that vary over the picture as quadratic surfaces do and a cubic
    tone curve, is fitted to the tuple's mean, with little weight where things move, and taken away.
    That raises the noise of dark frames: noise is added until all have as much as
    the noisiest. Then in every ring of spatial frequencies each frame gets the tuple's energy, and
    keeps its phases.

    Args:
        frames: float [B, M, C, H, W] in [0, 1]; M frames of one tuple, each matched on its own.
        grain: of the frames' shape, from `sensor_noise`, resampled as the frames were. Noise that a
            crop has resampled is more peaked than what is added to it afterwards.

    Returns:
        the same shape and range.
    """
    with torch.autocast(frames.device.type, enabled=False):
        alike = _match_levels(frames.float())
        for _ in range(2):  # the first is rough where light changes much
            alike = _match_light(alike)
        alike = _match_noise(alike, grain.float())
        return _match_range(_match_spectrum(_match_levels(alike))).clamp(0, 1)


def _match_levels(frames: Tensor) -> Tensor:
    """Gives each moment the tuple's mean colour and covariance of channels.

    Channels one by one would keep how far they differ: colours that pale with time.
    """
    pixels = frames.flatten(3)
    mean = pixels.mean(3, keepdim=True)
    pixels = pixels - mean
    least = 1e-5 * torch.eye(pixels.shape[2]).to(pixels)
    covariance = pixels @ pixels.transpose(2, 3) / pixels.shape[3] + least
    common = torch.linalg.cholesky(covariance.mean(1, keepdim=True))
    own = torch.linalg.cholesky(covariance)
    own_least = common.diagonal(dim1=-2, dim2=-1) / _MOST
    own = own + torch.diag_embed((own_least - own.diagonal(dim1=-2, dim2=-1)).clamp_min(0))
    turn = torch.linalg.solve_triangular(own, common.expand_as(own), upper=False, left=False)
    return (turn @ pixels + mean.mean(1, keepdim=True)).view_as(frames)


def _to_common(amplitude: Tensor) -> Tensor:
    """What brings each moment's amplitude [B, M, …] to the tuple's root mean square."""
    common = amplitude.square().mean(1, keepdim=True).sqrt()
    return (common / amplitude).clamp(1 / _MOST, _MOST)


def _match_light(frames: Tensor) -> Tensor:
    """Takes away gain and tone, then the offset that is left.

    Moments change towards each other: what all of them would lose, contrast above all, is kept.
    """
    size = frames.shape[-2:]
    cells = _cells(frames)
    level = cells.mean((1, 3), keepdim=True)
    unit = cells.std((1, 3), keepdim=True) + 1e-3
    own = (cells - level) / unit
    fit = _robust_fit(_light(own), own.mean(1, keepdim=True) - own)
    gain = (1 + _over(fit[..., 6:12], *size)).clamp(1 / _MOST, _MOST)
    gain = gain / gain.log().mean(1, keepdim=True).exp()
    square, cube = (fit - fit.mean(1, keepdim=True))[..., 12:, None, None].unbind(-3)
    pixels = (frames - level.unsqueeze(4)) / unit.unsqueeze(4)
    near = pixels.clamp(-_NEAR, _NEAR)
    pixels = pixels * gain + near.square() * (square + near * cube)
    cells = _cells(pixels)
    steady = _surfaces(GRID, GRID).to(cells).expand(*cells.shape[:-1], -1, -1)
    offset = _robust_fit(steady, cells.mean(1, keepdim=True) - cells)
    return (pixels + _over(offset, *size)) * unit.unsqueeze(4) + level.unsqueeze(4)


def _cells(frames: Tensor) -> Tensor:
    """[B, M, C, H, W] in coarse cells: [B, M, C, g · g]."""
    return window_means(frames, GRID, GRID).flatten(3)


def _light(own: Tensor) -> Tensor:
    """What light can add to each cell [..., g · g]: [..., 14, g · g], of which six are the offset's
    surfaces, six the gain's, and two the tone's."""
    surfaces = _surfaces(GRID, GRID).to(own)
    near = own.unsqueeze(-2).clamp(-_NEAR, _NEAR)
    steady = surfaces.expand(*own.shape[:-1], -1, -1)
    return torch.cat([steady, surfaces * near, near.square(), near**3], -2)


def _robust_fit(given: Tensor, target: Tensor) -> Tensor:
    """Weights [..., R] that make targets [..., N] of [..., R, N], whatever outliers say.

    Targets are weighted from the start: a body that moves has colours that nothing else has, so
    that a fit to all cells alike would turn it into what lies behind it and see no outlier.
    """
    ridge = 0.5 * torch.eye(given.shape[-2]).to(given)
    fit, left = given[..., :1], target
    for _ in range(_ROUNDS):
        usual = 2 * left.abs().median(-1, keepdim=True).values + 0.01
        weighted = given * (1 + (left / usual).square()).pow(-2).unsqueeze(-2)
        gram = torch.linalg.cholesky(weighted @ given.transpose(-1, -2) + ridge)
        fit = torch.cholesky_solve(weighted @ target.unsqueeze(-1), gram)
        left = target - (given.transpose(-1, -2) @ fit).squeeze(-1)
    return fit.squeeze(-1)


def _over(fit: Tensor, height: int, width: int) -> Tensor:
    """Surfaces of these weights [..., 6] over all pixels: [..., height, width]."""
    return (fit @ _surfaces(height, width).to(fit)).unflatten(-1, (height, width))


def _match_noise(frames: Tensor, grain: Tensor) -> Tensor:
    own = _fine_energy(grain).mean((3, 4), keepdim=True) + 1e-9
    added, noisy = frames.new_zeros(1), frames
    for _ in range(2):  # noise that is added reaches the quiet places unevenly
        excess = _excess_noise(noisy)
        added = added + (excess.amax(1, keepdim=True) - excess) / own
        noisy = frames + _stretched(added, list(frames.shape[-2:])).sqrt() * grain
    return noisy


def _excess_noise(frames: Tensor) -> Tensor:
    """By how much the noise's variance lies above the tuple's, in parts of the picture.

    What light took from one side of a picture, the match gives back with its noise. Blocks are
    compared with those at the same place, where still texture is the same; of their differences
    the median counts, since things that move change few.

    Args:
        frames: [B, M, C, H, W].

    Returns:
        [B, M, C, h, w], about 3 by 3.
    """
    blocks = _fine_energy(frames)
    excess = blocks - blocks.mean(1, keepdim=True)
    for axis in (3, 4):
        half = max(excess.shape[axis] // 2, 1)
        excess = excess.unfold(axis, half, max(half // 2, 1))
    return excess.flatten(5).median(5).values


def _fine_energy(frames: Tensor) -> Tensor:
    """Variance of the finest diagonal detail in blocks of [B, M, C, H, W]: [B, M, C, h, w]."""
    x = frames.flatten(0, 1)
    fine = (x[..., 1:, 1:] - x[..., :-1, 1:] - x[..., 1:, :-1] + x[..., :-1, :-1]) / 2
    blocks = F.avg_pool2d(fine.square(), _BLOCK, ceil_mode=True)
    return blocks.unflatten(0, frames.shape[:2])


def _match_range(frames: Tensor) -> Tensor:
    """Keeps each channel to the range that all moments reach: tone curves fit no few extremes."""
    flat = frames.flatten(3)
    least, most = flat.amin(3).amax(1, keepdim=True), flat.amax(3).amin(1, keepdim=True)
    return frames.clamp(least[..., None, None], most[..., None, None])


def _match_spectrum(frames: Tensor) -> Tensor:
    height, width = frames.shape[-2:]
    down, across = _cosines(height, frames), _cosines(width, frames)
    waves = down @ frames @ across.T
    ring = _frequencies(height, width, frames.device).round().long().flatten()
    member = F.one_hot(ring).to(frames.dtype)
    energy = waves.square().flatten(3) @ member / member.sum(0)
    gain = _to_common((energy + 4e-6).sqrt())
    gain[..., :_SLOWEST] = 1
    return down.T @ (waves * gain[..., ring].view_as(waves)) @ across


def _cosines(n: int, like: Tensor) -> Tensor:
    """The orthonormal cosine transform of n values (type II): [n, n]."""
    at = torch.arange(n, device=like.device, dtype=like.dtype)
    basis = torch.cos(math.pi * at[:, None] * (at + 0.5) / n) * math.sqrt(2 / n)
    basis[0] *= math.sqrt(0.5)
    return basis


def _frequencies(height: int, width: int, device: torch.device) -> Tensor:
    """Length of each wave vector, in half waves per longer side: [height, width]."""
    longer = max(height, width)
    down, across = (torch.arange(n, device=device) * (longer / n) for n in (height, width))
    return (down[:, None].square() + across.square()).sqrt()


_FIELD = 3  # cells per side of the random light
_TILE = 128  # pixels per side of the grain that all noise is cut from
_QUIET = 0.25  # share of the blocks that show little but noise
_AMOUNTS = 5 + _FIELD**2


def draw_photometry(rng: Generator, count: int) -> Tensor:
    """What `jitter_photometry` does to each of `count` moments: float32 [count, 3, 14] in [-1, 1].

    Per channel: gain, tone, the noise's place (2), and 9 of local light; from the first channel
    alone also sharpness, and from the last the amount of noise.
    """
    return 2 * torch.rand(count, 3, _AMOUNTS, generator=rng) - 1


def sensor_noise(drawn: Tensor, shape: torch.Size) -> Tensor:
    """White noise of deviation 1 for every frame of moments as they are read.

    Args:
        drawn: [B, N, 3, 14] from `draw_photometry`.
        shape: [B, N, C, T, S, S] of the moments, C of 3 or 1.

    Returns:
        float of this shape.
    """
    # The jitter's noise starts at these places too: each use has a stretch of its own.
    place = drawn[:, :, : shape[2], None, 2:4] + 1.7
    step = 0.77 * torch.arange(shape[3]).to(drawn)[:, None]
    return _grain(torch.remainder(place + step, 2) - 1, list(shape[-2:]))


# Four moments of the synthetic world are sorted in 0.43 and 0.36 after 500 steps at this strength,
# and in 0.44 and 0.48 without matching and jitter (two seeds). Without jitter a forest tells the
# arrow of time from a drift of gamma in 0.90.
_STRENGTH = 0.25


def jitter_photometry(frames: Tensor, drawn: Tensor, strength: float = _STRENGTH) -> Tensor:
    """Changes light, tone, sharpness and noise of each moment on its own.

    At strength 1: gain by up to 22 %, and 8 % more in each channel, tone by an exponent of up to
    1.25, sharpness between three quarters of a 3 × 3 blur and as much sharpening, light by up to
    0.06 in nine places, and noise with a deviation of up to 0.03 and twice that of its own.

    Args:
        frames: float [B, N, C, T, H, W] in [0, 1], 3 channels or 1.
        drawn: [B, N, 3, 14] from `draw_photometry`.
        strength: of all changes.

    Returns:
        the same shape and range.
    """
    with torch.autocast(frames.device.type, enabled=False):
        return _jitter(frames.float(), drawn.to(frames.device), strength)


def _jitter(frames: Tensor, drawn: Tensor, strength: float) -> Tensor:
    channels, size = frames.shape[2], list(frames.shape[-2:])
    own, shared = strength * drawn[:, :, :channels, :, None, None, None], drawn[:, :, -1, -1]
    x = torch.lerp(frames, _blurred(frames), 0.75 * own[:, :, :1, 4])
    x = x.clamp(1e-3, 1) ** torch.exp(0.22 * own[:, :, :, 1])
    x = x * (1 + 0.22 * own[:, :, :1, 0]) * (1 + 0.08 * own[:, :, :, 0])
    field = drawn[:, :, :channels, 5:].unflatten(3, (_FIELD, _FIELD))
    x = x + 0.06 * strength * _stretched(field, size).unsqueeze(3)
    blocks = _fine_energy(frames.transpose(2, 3).flatten(1, 2)).flatten(3)
    noise = blocks.quantile(_QUIET, 3).sqrt()
    noise = noise.unflatten(1, (-1, frames.shape[3])).mean(2)
    amount = strength * (0.015 + noise) * (1 + shared)[..., None]
    return (
        x + amount[..., None, None, None] * _grain(drawn[:, :, :channels, 2:4], size).unsqueeze(3)
    ).clamp(0, 1)


def _stretched(field: Tensor, size: list[int]) -> Tensor:
    """Values [B, N, C, h, w] as a smooth surface over all pixels: [B, N, C, H, W]."""
    large = F.interpolate(field.flatten(0, 1), size, mode="bilinear", align_corners=False)
    return large.unflatten(0, field.shape[:2])


def _blurred(frames: Tensor) -> Tensor:
    """Each picture of [..., H, W] under the 3 × 3 binomial filter, borders repeated."""
    x = F.pad(frames.flatten(0, 2), (1, 1, 1, 1, 0, 0), mode="replicate")
    x = 0.5 * x[..., 1:-1, :] + 0.25 * (x[..., :-2, :] + x[..., 2:, :])
    x = 0.5 * x[..., 1:-1] + 0.25 * (x[..., :-2] + x[..., 2:])
    return x.view_as(frames)


def _grain(place: Tensor, size: list[int]) -> Tensor:
    """Noise of deviation 1 from a fixed tile, at places [..., 2] from -1 to 1: [..., H, W]."""
    tile = torch.randn(_TILE, _TILE, generator=torch.Generator().manual_seed(0)).to(place)
    start = ((place + 1) / 2 * _TILE).long()
    rows, columns = (
        (start[..., k, None] + torch.arange(size[k], device=place.device)) % _TILE for k in (0, 1)
    )
    return tile[rows[..., :, None], columns[..., None, :]]
