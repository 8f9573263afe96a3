"""What the tasks on sound share: where it may be cut, how two stretches are drawn, and cues."""

import torch
from torch import Generator, Tensor

from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities import augment_audio as audio
from ..modalities.draw import integer, uniform
from ..modalities.media import AudioSpan, MediaError, MediaInfo, Plan
from ..modalities.view import View
from .show import spectrogram
from .task import Audit, Batch, Picture

SILENT = 1e-3  # root mean square below which a stretch counts as silence: -60 dB
EQUALISE = 12.0  # decibels by which colouring changes at most
SOUND = ("mix", "shift", "masks", "bands", "gains", "noise", "level")  # what `draw_sound` names
_TRIES = 8


def sound_view(encoder: Encoder, seconds: float) -> View:
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
    return View("audio", seconds=seconds, rate=encoder.rate)


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


def plan_stretches(view: View, reach: float, info: MediaInfo, rng: Generator) -> Plan:
    """One span of up to `reach` seconds, from which `two_stretches` cuts."""
    first, last = audible(info)
    need_length(info, last - first, view.seconds, "lower seconds")
    length = min(max(reach, view.seconds), last - first)
    start = uniform(rng, first, last - length)
    return Plan(audio=AudioSpan(start, length, view.rate), past_end="repeat")


def two_stretches(sound: Tensor, view: View, rng: Generator, *, skip_silence: bool) -> Tensor:
    """Two stretches of one sound [C, M], mixed down to one channel: float32 [2, 1, N].

    Args:
        skip_silence: draw anew, up to eight times, where one is silent.
    """
    mono, samples = sound.mean(0, keepdim=True), round(view.seconds * view.rate)
    return torch.stack([_stretch(mono, samples, rng, skip_silence) for _ in range(2)])


def _stretch(mono: Tensor, samples: int, rng: Generator, skip_silence: bool) -> Tensor:
    room = max(mono.shape[1] - samples, 0)
    cut = mono[:, :0]
    for _ in range(_TRIES):
        start = integer(rng, room + 1)
        cut = mono[:, start : start + samples]
        if not skip_silence or float(cut.square().mean()) > SILENT**2:
            break
    # A span that was rounded may lack its last sample.
    return torch.nn.functional.pad(cut, (0, samples - cut.shape[1]))


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


def silent_share(batch: Batch) -> Tensor:
    """Share of the views "first" and "second", [B, 1, N] each, that are silent throughout."""
    both = torch.cat([batch["first"], batch["second"]])
    return (both.square().mean((1, 2)) < SILENT**2).float().mean()


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


def pair_loudness(batch: Batch) -> Tensor:
    """Of both views side by side: [B, 2]."""
    return torch.cat([loudness(batch["first"]), loudness(batch["second"])], 1)


def pair_silence(batch: Batch) -> Tensor:
    """Of both views side by side: [B, 2]."""
    return torch.cat([silence(batch["first"]), silence(batch["second"])], 1)


def pair_room_tone(batch: Batch) -> Tensor:
    """Of both views side by side: [B, 16]."""
    return torch.cat([room_tone(batch["first"]), room_tone(batch["second"])], 1)


def pair_bandwidth(batch: Batch) -> Tensor:
    """Of both views side by side: [B, 2]."""
    return torch.cat([bandwidth(batch["first"]), bandwidth(batch["second"])], 1)


# No task on sound alone can hide where a codec cuts, short of cutting all files there.
CODEC = Audit(
    "codec",
    "the band that a file fills, which goes with its codec and its data set",
    "take an encoder of a lower rate, at which all files fill the band, or one data set at a time",
    pair_bandwidth,
)


def pair_pictures(batch: Batch, likeness: Tensor, rate: int) -> list[Picture]:
    """The two views of up to four recordings, and how well [B, B] each finds its partner."""
    return [
        Picture(
            images=[spectrogram(batch[side][i], rate) for side in ("first", "second")],
            captions=["a stretch (time to the right, pitch upwards)", "another of the same"],
            answer="these two belong together",
            prediction=f"partner ranks {1 + int((likeness[i] > likeness[i, i]).sum())} "
            f"of {len(likeness)}",
        )
        for i in range(min(len(likeness), 4))
    ]
