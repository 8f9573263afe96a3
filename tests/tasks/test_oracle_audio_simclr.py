"""SimCLR on sounds whose pitch spells the recording and the time."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers import audio_times
from task_kit import build_encoder, collate, make_task
from torch import Tensor

from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.image import TinyImage
from pretexto.errors import InputError
from pretexto.modalities.media import MediaError, MediaInfo, Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.audio_simclr import AudioSimCLR
from pretexto.tasks.parts.audio_input import AudioInput
from pretexto.tasks.parts.losses import nt_xent
from pretexto.tasks.parts.sound_changes import DRAWN

SECONDS = 5.0
RATE = 16000
NOTHING = {
    "mix": 0.0, "masks": 0, "noise": 0.0, "loudness": False, "equalise": False,
}  # fmt: skip


def medium(**changes) -> MediaInfo:
    fields = {
        "path": "x.wav", "kind": "audio", "duration": SECONDS, "audio_rate": 44100,
        "audio_channels": 2, "audio_duration": SECONDS,
    }  # fmt: skip
    return MediaInfo(**(fields | changes))


def coded(i: int, plan: Plan) -> Sample:
    """600 Hz apart for each recording, and 20 Hz up each second."""
    t = audio_times(plan)
    tone = 0.5 * torch.sin(2 * math.pi * (600 * (i + 1) * t + 10 * t * t))
    return Sample(audio=tone.float().expand(2, -1), audio_rate=RATE)


def drawn(task: AudioSimCLR, count: int = 8, seed: int = 0, sound=coded) -> dict[str, Tensor]:
    made = []
    for i in range(count):
        rng = generator(seed, 0, i)
        made.append(task.example(sound(i, task.plan(medium(), rng)), rng))
    return collate(made)


def plain(**options) -> AudioSimCLR:
    """Segments that stay as they are, so that they can be read."""
    return make_task(AudioSimCLR, build_encoder(TinyAudio), **(NOTHING | options))


def spelled(audio: Tensor) -> tuple[Tensor, Tensor]:
    """Recording and middle second that each sound [B, 1, N] spells."""
    power = torch.fft.rfft(audio[:, 0].double()).abs().square()
    hertz = torch.fft.rfftfreq(audio.shape[-1], 1 / RATE, dtype=torch.float64)
    tone = (power @ hertz) / power.sum(1)
    recording = (tone / 600).floor() - 1
    return recording.long(), (tone - 600 * (recording + 1)) / 20


def test_both_segments_of_a_row_are_of_the_same_recording():
    task = plain()
    data = task.augment(drawn(task))
    for side in ("first", "second"):
        assert data[side].shape == (8, 1, RATE)
        assert torch.equal(spelled(data[side])[0], torch.arange(8))


def test_the_loss_asks_for_that_recording():
    """Vectors that spell the recording solve the task; with scrambled partners they fail."""
    task = plain()
    data = task.augment(drawn(task))
    vectors = [F.one_hot(spelled(data[k])[0], 8).float() for k in ("first", "second")]
    loss, found = nt_xent(*vectors, 0.1)
    assert float(found) == 1
    worse, lost = nt_xent(vectors[0], vectors[1].roll(3, 0), 0.1)
    assert float(lost) == 0
    assert worse > loss + 5


def test_forward_pairs_first_with_second():
    task = plain().eval()
    with torch.no_grad():
        data = task.augment(drawn(task))
        twins = {**data, "second": data["first"]}
        apart = {**data, "second": data["first"].roll(1, 0)}
        assert float(task(twins).metrics["accuracy"]) == 1
        assert task(twins).loss < task(apart).loss


def test_forward_is_cross_entropy_over_all_other_segments():
    task = make_task(AudioSimCLR, build_encoder(TinyAudio), temperature=0.3).eval()
    with torch.no_grad():
        data = task.augment(drawn(task, 5))
        z = task.projector(task.audio.encoder(torch.cat([data["first"], data["second"]])))
        z = F.normalize(z.double(), dim=1)
        logits = (z @ z.T / 0.3).masked_fill(torch.eye(10, dtype=torch.bool), -torch.inf)
        want = F.cross_entropy(logits, torch.arange(10).roll(5))
        assert float(task(data).loss) == pytest.approx(float(want), abs=1e-5)


def test_segments_lie_anywhere_within_the_context():
    task = plain(context=2.5)
    spans = [task.plan(medium(), generator(seed, 0, 0)).audio for seed in range(400)]
    starts = torch.tensor([[span.start for span in pair] for pair in spans])
    # Within 2.5 s, segments of 1 s start 1.5 s apart at most.
    apart = (starts[:, 0] - starts[:, 1]).abs()
    assert 1.35 < apart.max() <= 1.5 + 1e-6
    assert 0 <= starts.min() < 0.2
    assert SECONDS - 1.2 < starts.max() <= SECONDS - 1 + 1e-6
    # Pitch spells seconds to about 0.05: both segments are those that were planned.
    data = task.augment(drawn(task))
    plans = [task.plan(medium(), generator(0, 0, i)) for i in range(8)]
    for k, side in enumerate(("first", "second")):
        middles = torch.tensor([plan.audio[k].start + 0.5 for plan in plans])
        torch.testing.assert_close(spelled(data[side])[1].float(), middles, atol=0.1, rtol=0)


def test_a_short_recording_serves_as_a_whole():
    task = plain(context=4.0)
    short = medium(duration=1.3, audio_duration=1.3)
    starts = [s.start for k in range(40) for s in task.plan(short, generator(k, 0, 0)).audio]
    assert 0 <= min(starts) < 0.03
    assert 0.27 < max(starts) <= 0.3 + 1e-9
    late = medium(kind="video", duration=3.0, audio_start=0.5, audio_duration=9.0)
    for seed in range(20):
        plan = task.plan(late, generator(seed, 0, 0))
        assert len(plan.audio) == 2
        for span in plan.audio:
            # Nothing is read but the two segments.
            assert span.duration == 1
            assert span.start >= 0.5
            assert span.start + 1 <= 3.0 + 1e-9
        assert plan.times == ()


def test_views_are_changed_each_in_its_own_way():
    task = make_task(AudioSimCLR, build_encoder(TinyAudio), shift=0.2)
    batch = drawn(task)
    batch["audio"] = batch["audio"][:, :1].expand(-1, 2, -1, -1)
    data = task.augment(batch)
    for sound in (data["first"], data["second"]):
        assert sound.abs().max() <= 1
        assert sound.isfinite().all()
    for name in DRAWN:
        assert not torch.equal(batch[name][:, 0], batch[name][:, 1]), name
    assert ((data["first"] - data["second"]).abs().amax((1, 2)) > 0.01).all()


def quiet_and_loud(i: int, plan: Plan) -> Sample:
    """Noise whose loudness is the recording's own."""
    rng = generator(i, 1, int(1000 * plan.audio[0].start))
    noise = torch.randn(1, 2 * RATE, generator=rng) * 0.2 * 0.6**i
    return Sample(audio=noise.clamp(-1, 1), audio_rate=RATE)


def coloured(i: int, plan: Plan) -> Sample:
    """Noise with a spectrum of the recording's own: eight microphones, 3 dB apart at the top."""
    rng = generator(i, 2, int(1000 * plan.audio[0].start))
    spectrum = torch.fft.rfft(torch.randn(1, 2 * RATE, generator=rng))
    tilt = torch.linspace(0, -3.0 * i, spectrum.shape[-1])
    sound = torch.fft.irfft(spectrum * 10 ** (tilt / 20), 2 * RATE) * 0.05
    return Sample(audio=sound, audio_rate=RATE)


def partners_found(name: str, task: AudioSimCLR, sound, rounds: int = 6) -> float:
    """How often the nearest cue among eight second views is that of the same recording."""
    (cue,) = (guard.probe for guard in task.guards if guard.name == name)
    right = []
    for seed in range(rounds):
        sides = cue(task.augment(drawn(task, seed=seed, sound=sound))).unbind(1)
        right += (torch.cdist(*sides).argmin(1) == torch.arange(8)).tolist()
    return sum(right) / len(right)


def test_loudness_guard_hides_loudness():
    assert partners_found("loudness", plain(), quiet_and_loud) == 1
    # One in eight by chance: 6 of 48, and fewer than 16 but for one time in ten thousand.
    assert partners_found("loudness", plain(loudness=True), quiet_and_loud) < 0.33


def test_equaliser_guard_hides_the_microphone():
    bare = partners_found("equalise", plain(loudness=True), coloured)
    guarded = partners_found("equalise", plain(loudness=True, equalise=True), coloured)
    # Over five sets of seeds: always 1 without the guard, and 0.17 to 0.23 with it.
    assert bare == 1
    assert guarded < 0.4


def half_silent(i: int, plan: Plan) -> Sample:
    """Odd recordings are silent in their second segment."""
    sample = coded(i, plan)
    assert sample.audio is not None
    audio = sample.audio.clone()
    audio[:, RATE:] *= i % 2 == 0
    return Sample(audio=audio, audio_rate=RATE)


def test_silent_pairs_neither_search_nor_are_found():
    """The loss, its gradient and the score are those of the batch without them."""
    for on in (True, False):
        task = plain(silence=on, temperature=0.3).eval()
        data = task.augment(drawn(task, sound=half_silent))
        assert data["weight"].tolist() == ([1, 0] * 4 if on else [1] * 8)
        rest = {name: value[::2] for name, value in data.items()}
        both = [task(batch) for batch in (data, rest)]
        grads = [torch.autograd.grad(step.loss, list(task.parameters())) for step in both]
        gap = max(float((a - b).abs().max()) for a, b in zip(*grads, strict=True))
        assert (abs(float((both[0].loss - both[1].loss).detach())) < 1e-5) == on
        assert (gap < 1e-5) == on
        assert float(both[0].metrics["rejected"]) == (0.5 if on else 0)
        if on:
            assert both[0].metrics["accuracy"] == both[1].metrics["accuracy"]


def test_silent_recordings_give_no_nan():
    task = make_task(AudioSimCLR, build_encoder(TinyAudio))
    batch = drawn(task)
    batch["audio"] = torch.zeros_like(batch["audio"])
    step = task(task.augment(batch))
    step.loss.backward()
    assert float(step.loss.detach()) == 0
    assert all(p.grad.isfinite().all() for p in task.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"audio_rate": 0, "audio_channels": 0, "audio_duration": 0.0}, "no sound track"),
        ({"kind": "image", "audio_rate": 0}, "no sound track"),
        ({"duration": 0.5, "audio_duration": 0.5}, r"lasts 0.50 s, less than 1 s: lower seconds"),
    ],
)
def test_media_that_cannot_serve_are_refused_by_name(changes, reason):
    with pytest.raises(MediaError, match=reason) as error:
        plain().plan(medium(**changes), generator(0, 0, 0))
    assert error.value.stage == "plan"
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("x.wav: plan: ")


@pytest.mark.parametrize(
    "options", [{"temperature": 0.0}, {"layers": 4}, {"mix": 1.5}, {"noise": -1}, {"seconds": 0}]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options)).replace("layers", "head")):
        plain(**options)


def test_an_encoder_of_another_modality_is_refused():
    with pytest.raises(InputError, match="one of image"):
        AudioInput(build_encoder(TinyImage))
