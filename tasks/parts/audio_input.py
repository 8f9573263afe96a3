"""What the tasks on sound share: where it may be cut, how it is changed, and cues."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from ...encoders.encoder import Encoder
from ...errors import InputError
from ...modalities.input_spec import InputSpec
from ...modalities.media import MediaError, MediaInfo
from ...modalities.transforms import audio
from ..task import Batch

SILENT = 1e-3  # root mean square below which a stretch counts as silence: -60 dB
EQUALISE = 12.0  # decibels by which colouring changes at most
SOUND = ("mix", "shift", "masks", "bands", "gains", "noise", "level")  # what `draw_sound` names


def sound_view(encoder: Encoder, seconds: float) -> InputSpec:
    """What an audio encoder hears.

    Raises:
        InputError: an encoder of another modality, or a stretch without length.
    """
    if encoder.modality != "audio":
        raise InputError(
            f"this task needs an audio encoder, but {type(encoder).__name__} is an encoder of "
            f"{encoder.modality}"
        )
    if not seconds > 0:
        raise InputError(f"seconds is the length of a stretch of sound, got {seconds:g}")
    return InputSpec("audio", seconds=seconds, rate=encoder.rate)


def audible(info: MediaInfo) -> tuple[float, float]:
    """Seconds at which the sound starts and ends on the medium's clock, inside its duration.

    Raises:
        MediaError: a medium without sound.
    """
    if not info.has_audio:
        reason = "no sound track: leave the file out or choose a task that needs no sound"
        raise MediaError(info.path, "plan", reason)
    last = min(info.audio_start + info.audio_duration, info.duration)
    return max(info.audio_start, 0.0), last


def audible_with_picture(info: MediaInfo) -> tuple[float, float]:
    """Seconds between which there are both sound and moving picture.

    Raises:
        MediaError: a medium without sound or video.
    """
    if not info.has_video:
        raise MediaError(info.path, "plan", "no video: this task pairs picture and sound")
    return audible(info)


def need_length(info: MediaInfo, there: float, seconds: float, remedy: str) -> None:
    """Raises MediaError where less than `seconds` of sound are there; the remedy is in words."""
    if there < seconds:
        what = "picture and sound overlap for" if info.has_video else "the sound lasts"
        reason = f"{what} {max(there, 0):.2f} s, less than {seconds:g} s: {remedy}"
        raise MediaError(info.path, "plan", f"{reason} or leave the file out")


def sound_changes(
    *,
    mix: float = 0.0,
    shift: float = 0.0,
    masks: int = 0,
    mask: float = 0.0,
    noise: float = 0.0,
    level: bool = False,
    equalise: bool = False,
) -> Callable[[Generator], Batch]:
    """`draw_sound` with these options.

    Raises:
        InputError: one outside its range.
    """
    for name, share in (("mix", mix), ("shift", shift), ("mask", mask), ("noise", noise)):
        if not 0 <= share <= 1:
            raise InputError(f"{name} is a share from 0 to 1, got {share:g}")
    if masks < 0:
        raise InputError(f"masks is a number of stretches from 0 on, got {masks}")
    options = {"mix": mix, "shift": shift, "masks": masks, "mask": mask, "noise": noise}
    return partial(draw_sound, **options, level=level, equalise=equalise)


def draw_sound(
    rng: Generator,
    *,
    mix: float = 0.0,
    shift: float = 0.0,
    masks: int = 0,
    mask: float = 0.0,
    noise: float = 0.0,
    level: bool = False,
    equalise: bool = False,
) -> Batch:
    """What changes one view of a sound, for `change_sound`; only what is asked for is drawn.

    Args:
        mix: greatest share of the energy that another sound of the batch takes.
        shift: greatest share of the length by which it turns around.
        masks: stretches of time, and as many bands of frequency, that are taken out.
        mask: greatest share of the length, and of the mel scale, of each.
        noise: probability of white noise, 10 to 40 decibels below the sound.
        level: bring it to a loudness of its own.
        equalise: change its colouring by up to 12 decibels, smoothly: that of rooms and
            microphones is hidden, the edge where a codec cuts is not.
    """
    drawn: Batch = {}
    if mix:
        drawn["mix"] = audio.draw_mixup(rng, mix)
    if shift:
        drawn["shift"] = audio.draw_shift(rng, shift)
    if masks:
        drawn["masks"] = audio.draw_masks(rng, masks, mask)
        drawn["bands"] = audio.draw_masks(rng, masks, mask)
    if equalise:
        drawn["gains"] = audio.draw_equaliser(rng, EQUALISE)
    if noise:
        drawn["noise"] = audio.draw_noise(rng, p=noise)
    if level:
        drawn["level"] = audio.draw_level(rng)
    return drawn


def change_sound(x: Tensor, drawn: Batch, rate: int) -> Tensor:
    """Applies `draw_sound` to float [B, 1, N] at `rate` Hz; the result stays in [-1, 1].

    Loudness comes last, so that nothing of the recording's own remains in it.
    """
    if "mix" in drawn:
        x = audio.apply_mixup(x, drawn["mix"])
    if "shift" in drawn:
        x = audio.apply_shift(x, drawn["shift"])
    if "bands" in drawn or "gains" in drawn:
        x = audio.apply_filter(x, rate, bands=drawn.get("bands"), gains=drawn.get("gains"))
    if "noise" in drawn:
        x = audio.apply_noise(x, drawn["noise"])
    if "masks" in drawn:
        x = audio.apply_masks(x, drawn["masks"])
    if "level" in drawn:
        x = audio.apply_level(x, drawn["level"])
    return x.clamp(-1, 1)


def stacked(views: list[Batch]) -> Batch:
    """What was drawn for several views of one example, view after view: [V, …]."""
    return {name: torch.stack([view[name] for view in views]) for name in views[0]}


def of_view(batch: Batch, k: int, names: tuple[str, ...] = SOUND) -> Batch:
    """What was drawn for view k of each example: [B, V, …] -> [B, …]."""
    return {name: batch[name][:, k] for name in names if name in batch}


def loudness(x: Tensor) -> Tensor:
    """Log root mean square of float [B, 1, N]: [B, 1]."""
    return x.square().mean((1, 2)).clamp_min(1e-12).log()[:, None] / 2


def silence(x: Tensor) -> Tensor:
    """Share of the 10 ms, or 100th parts, of float [B, 1, N] that are silent: [B, 1]."""
    blocks = x[..., : x.shape[-1] // 100 * 100].unflatten(2, (100, -1))
    return (blocks.square().mean(3) < SILENT**2).float().mean(2)


def silent(x: Tensor) -> Tensor:
    """Which of float [..., 1, N], as they were read, are silent throughout: bool [...]."""
    return x.square().mean((-2, -1)) < SILENT**2


def room_tone(x: Tensor) -> Tensor:
    """Log energy, in eight bands up to half the rate, of the quietest tenth: [B, 8] of [B, 1, N].

    Room, microphone and codec sound on where nothing happens. The mean over the bands, which is
    loudness, is taken off.
    """
    frames = x[:, 0].unfold(1, 512, 512) if x.shape[-1] >= 512 else x
    energy = torch.fft.rfft(frames.float()).abs().square()
    bands = torch.stack([band.mean(2) for band in energy.tensor_split(8, 2)], 2)
    quiet = bands.quantile(0.1, dim=1).clamp_min(1e-12).log()
    return quiet - quiet.mean(1, keepdim=True)


def bandwidth(x: Tensor) -> Tensor:
    """Share of half the rate up to which float [B, 1, N] holds anything: [B, 1], 0 for silence.

    Above it no 64th of the spectrum comes within 60 decibels of the strongest one. A codec, or the
    rate at which a file was made, cuts there, alike in all of the file.
    """
    # Without a window the ends of a stretch would fill all frequencies.
    window = torch.hann_window(x.shape[-1], device=x.device)
    power = torch.fft.rfft(x[:, 0].float() * window).abs().square()
    bands = torch.stack([band.mean(1) for band in power.tensor_split(64, 1)], 1)
    filled = bands > 1e-6 * bands.amax(1, keepdim=True).clamp_min(1e-12)
    top = torch.arange(1, 65, device=x.device) * filled
    return top.amax(1, keepdim=True) / 64
