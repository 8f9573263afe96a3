"""SimCLR on sounds whose pitch spells the recording and the time."""

import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from task_kit import build_encoder, collate
from torch import Tensor

from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.image import TinyImage
from pretexto.errors import InputError
from pretexto.modalities.media import MediaError, MediaInfo, Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.audio_simclr import AudioSimCLR
from pretexto.tasks.parts.losses import nt_xent
from pretexto.tasks.parts.sampling import pair_loudness, pair_room_tone, pair_silence

SECONDS = 5.0
RATE = 16000
NOTHING = {
    "mix": 0.0, "masks": 0, "noise": 0.0, "level": False, "equalise": False,
}  # fmt: skip


def medium(**changes) -> MediaInfo:
    fields = {
        "path": "x.wav", "kind": "audio", "duration": SECONDS, "audio_rate": 44100,
        "audio_channels": 2, "audio_duration": SECONDS,
    }  # fmt: skip
    return MediaInfo(**(fields | changes))


def coded(i: int, plan: Plan) -> Sample:
    """600 Hz apart for each recording, and 20 Hz up each second."""
    (span,) = plan.audio
    assert span is not None
    t = span.start + torch.arange(span.samples, dtype=torch.float64) / span.rate
    tone = 0.5 * torch.sin(2 * math.pi * (600 * (i + 1) * t + 10 * t * t))
    return Sample(audio=tone.float().expand(2, -1), audio_rate=span.rate)


def drawn(task: AudioSimCLR, count: int = 8, seed: int = 0, sound=coded) -> dict[str, Tensor]:
    made = []
    for i in range(count):
        rng = generator(seed, 0, i)
        made.append(task.example(sound(i, task.plan(medium(), rng)), rng))
    return collate(made)


def plain(**options) -> AudioSimCLR:
    """Stretches that stay as they are, so that they can be read."""
    return AudioSimCLR(build_encoder(TinyAudio), **(NOTHING | options))


def spelled(audio: Tensor) -> tuple[Tensor, Tensor]:
    """Recording and middle second that each sound [B, 1, N] spells."""
    power = torch.fft.rfft(audio[:, 0].double()).abs().square()
    hertz = torch.fft.rfftfreq(audio.shape[-1], 1 / RATE, dtype=torch.float64)
    tone = (power @ hertz) / power.sum(1)
    recording = (tone / 600).floor() - 1
    return recording.long(), (tone - 600 * (recording + 1)) / 20


def test_both_stretches_of_a_row_are_of_the_same_recording():
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


def test_forward_is_cross_entropy_over_all_other_stretches():
    task = AudioSimCLR(build_encoder(TinyAudio), temperature=0.3).eval()
    with torch.no_grad():
        data = task.augment(drawn(task, 5))
        z = task.projector(task.encoder(torch.cat([data["first"], data["second"]])))
        z = F.normalize(z.double(), dim=1)
        logits = (z @ z.T / 0.3).masked_fill(torch.eye(10, dtype=torch.bool), -torch.inf)
        want = F.cross_entropy(logits, torch.arange(10).roll(5))
        assert float(task(data).loss) == pytest.approx(float(want), abs=1e-5)


def test_stretches_lie_anywhere_within_reach_of_each_other():
    apart, places = [], []
    task = plain(reach=2.5)
    for seed in range(8):
        data = task.augment(drawn(task, seed=seed))
        first, second = spelled(data["first"])[1], spelled(data["second"])[1]
        apart += (first - second).abs().tolist()
        places += first.tolist()
    # Pitch spells seconds to about 0.05; within 2.5 s, stretches of 1 s start 1.5 s apart at most.
    assert max(apart) < 1.5 + 0.1
    assert max(apart) > 1.1
    assert min(places) < 0.9
    assert max(places) > 4.1


def test_a_short_recording_serves_as_a_whole():
    task = plain(reach=4.0)
    short = medium(duration=1.3, audio_duration=1.3)
    plan = task.plan(short, generator(0, 0, 0))
    assert plan.audio
    assert plan.audio[0].start == 0
    assert plan.audio[0].duration == pytest.approx(1.3)
    late = medium(kind="video", duration=3.0, audio_start=0.5, audio_duration=9.0)
    for seed in range(20):
        plan = task.plan(late, generator(seed, 0, 0))
        assert plan.audio
        assert plan.audio[0].start >= 0.5
        assert plan.audio[0].start + plan.audio[0].duration <= 3.0 + 1e-9
        assert plan.times == ()


def test_views_are_changed_each_in_its_own_way():
    task = AudioSimCLR(build_encoder(TinyAudio), shift=0.2)
    batch = drawn(task)
    batch["audio"] = batch["audio"][:, :1].expand(-1, 2, -1, -1)
    data = task.augment(batch)
    for sound in (data["first"], data["second"]):
        assert sound.abs().max() <= 1
        assert sound.isfinite().all()
    for name in ("mix", "shift", "masks", "bands", "gains", "noise", "level"):
        assert not torch.equal(batch[name][:, 0], batch[name][:, 1]), name
    assert ((data["first"] - data["second"]).abs().amax((1, 2)) > 0.01).all()


def quiet_and_loud(i: int, plan: Plan) -> Sample:
    """Noise whose loudness is the recording's own."""
    (span,) = plan.audio
    assert span is not None
    rng = generator(i, 1, int(1000 * span.start))
    noise = torch.randn(1, span.samples, generator=rng) * 0.2 * 0.6**i
    return Sample(audio=noise.clamp(-1, 1), audio_rate=span.rate)


def coloured(i: int, plan: Plan) -> Sample:
    """Noise with a spectrum of the recording's own: eight microphones, 3 dB apart at the top."""
    (span,) = plan.audio
    assert span is not None
    rng = generator(i, 2, int(1000 * span.start))
    spectrum = torch.fft.rfft(torch.randn(1, span.samples, generator=rng))
    tilt = torch.linspace(0, -3.0 * i, spectrum.shape[-1])
    sound = torch.fft.irfft(spectrum * 10 ** (tilt / 20), span.samples) * 0.05
    return Sample(audio=sound, audio_rate=span.rate)


def partners_found(cue, task: AudioSimCLR, sound, rounds: int = 6) -> float:
    """How often the nearest cue among eight second views is that of the same recording."""
    right = []
    for seed in range(rounds):
        sides = cue(task.augment(drawn(task, seed=seed, sound=sound))).chunk(2, 1)
        right += (torch.cdist(*sides).argmin(1) == torch.arange(8)).tolist()
    return sum(right) / len(right)


def test_level_guard_hides_loudness():
    assert partners_found(pair_loudness, plain(), quiet_and_loud) == 1
    # One in eight by chance: 6 of 48, and fewer than 16 but for one time in ten thousand.
    assert partners_found(pair_loudness, plain(level=True), quiet_and_loud) < 0.33


def test_equaliser_guard_hides_the_microphone():
    bare = partners_found(pair_room_tone, plain(level=True), coloured)
    guarded = partners_found(pair_room_tone, plain(level=True, equalise=True), coloured)
    # Over five sets of seeds: always 1 without the guard, and 0.17 to 0.23 with it.
    assert bare == 1
    assert guarded < 0.4


def ends_in_silence(i: int, plan: Plan) -> Sample:
    """Sound for the first half of the span only, in odd recordings."""
    sample = coded(i, plan)
    assert sample.audio is not None
    kept = torch.linspace(0, 1, sample.audio.shape[1]) < (0.5 if i % 2 else 2)
    return Sample(audio=sample.audio * kept, audio_rate=sample.audio_rate)


def test_silence_guard_cuts_where_there_is_sound():
    """Which of two kinds of files a stretch is from, by its share of silence."""
    scores = {}
    for on in (True, False):
        task = plain(skip_silence=on)
        parts = [
            pair_silence(task.augment(drawn(task, seed=s, sound=ends_in_silence)))
            for s in range(10)
        ]
        cue, kind = torch.cat(parts), torch.arange(8).repeat(10) % 2
        whole = (cue > 0.99).any(1).float()
        scores[on] = (LogisticRegression().fit(cue, kind).score(cue, kind), float(whole.mean()))
    assert scores[False][1] > 0.1
    assert scores[True][1] == 0
    assert scores[True][0] <= scores[False][0]


def test_silent_recordings_give_no_nan():
    task = AudioSimCLR(build_encoder(TinyAudio))
    batch = drawn(task)
    batch["audio"] = torch.zeros_like(batch["audio"])
    step = task(task.augment(batch))
    step.loss.backward()
    assert step.loss.isfinite()
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


def test_an_encoder_that_does_not_hear_is_refused():
    with pytest.raises(InputError, match="encoder of image"):
        AudioSimCLR(build_encoder(TinyImage))
