"""Synchrony on colours and tones that spell the video and the time."""

import pytest
import spelled_media
import torch
from sklearn.linear_model import LogisticRegression
from small_world import held_out, train, world
from spelled_media import SECONDS, clip_spells, coded, drawn, medium
from task_kit import build_encoder, make_task
from torch import Tensor

from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.image import TimmImage, TinyImage
from pretexto.encoders.video import TinyVideo
from pretexto.errors import InputError
from pretexto.modalities.media import Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.synchrony import Synchrony

RATE = 16000


def task_of(encoder=TinyVideo, **options) -> Synchrony:
    short = {"frames": 6, "seconds": 0.6}
    return spelled_media.task_of(encoder, Synchrony, **(short | options))


def sound_spells(audio: Tensor) -> tuple[Tensor, Tensor]:
    """Video and middle second that each sound [B, 1, N] spells."""
    # Soft ends: otherwise a short tone's energy leaks far from its pitch.
    return spelled_media.sound_spells(audio * torch.hann_window(audio.shape[-1]))


def spelled(data: dict[str, Tensor]) -> Tensor:
    """1 where clip and sound of a pair tell the same video and the same moment."""
    video, times = clip_spells(data["inputs"])
    sounding, middle = sound_spells(data["audio"])
    same = video[data["picture"]] == sounding[data["partner"]]
    apart = times.mean(1)[data["picture"]] - middle[data["partner"]]
    return (same & (apart.abs() < 0.2)).long()


@pytest.mark.parametrize("encoder", [TinyImage, TinyVideo])
@pytest.mark.parametrize("cross_video", [False, True])
def test_the_answer_is_what_clips_and_sounds_spell(encoder, cross_video):
    task = task_of(encoder, cross_video=cross_video)
    for seed in range(3):
        data = task.augment(drawn(task, seed=seed))
        assert torch.equal(data["target"], spelled(data))
        clip, sound = clip_spells(data["inputs"])[0], sound_spells(data["audio"])[0]
        same = clip[data["picture"]] == sound[data["partner"]]
        assert torch.equal(same, torch.arange(len(same)) < 32)


def test_scrambled_answers_and_exchanged_sounds_are_noticed():
    task = task_of()
    data = task.augment(drawn(task))
    assert not torch.equal(data["target"].roll(3), spelled(data))
    exchanged = {**data, "audio": data["audio"].unflatten(0, (8, 2)).flip(1).flatten(0, 1)}
    assert torch.equal(spelled(exchanged), 1 - data["target"])


@pytest.mark.parametrize("cross_video", [False, True])
def test_every_clip_and_every_sound_weighs_as_much_in_either_answer(cross_video):
    task = task_of(cross_video=cross_video)
    data = task.augment(drawn(task))
    assert data["weight"].sum() == 32
    for side in ("picture", "partner"):
        for answer in (0, 1):
            kept = data["target"] == answer
            total = torch.zeros(16).index_add(0, data[side][kept], data["weight"][kept])
            assert torch.equal(total, torch.ones(16))
    # An answer that is always the same is right half of the time.
    assert data["weight"][data["target"] == 1].sum() == data["weight"].sum() / 2


def test_shifts_are_those_asked_for_and_stay_inside_the_file():
    task = task_of(shift_min=0.5, shift_max=2.0)
    info = medium(audio_start=0.3, audio_duration=9.0)
    shifts, starts = [], []
    for i in range(500):
        plan = task.plan(info, generator(0, 0, i))
        assert plan.audio
        early, late = plan.audio
        shifts.append(late.start - early.start)
        starts.append(early.start)
        assert early.start >= 0.3
        assert late.start + late.duration <= 9.3 + 1e-9
        # Nothing is read but the two sounds, each as long as it is asked of.
        assert early.duration == late.duration == 0.6
        assert (plan.times[0], plan.times[6]) == (early.start, late.start)
        assert plan.times[5] - plan.times[0] == pytest.approx(0.5)
    assert 0.5 <= min(shifts) < 0.52
    assert 1.98 < max(shifts) <= 2.0 + 1e-9
    assert min(starts) < 0.5
    assert max(starts) > 6.5


def test_shifts_end_where_a_short_file_does():
    task = task_of(shift_min=0.5, shift_max=2.0)
    short = medium(duration=1.5, audio_duration=1.6)
    shifts = []
    for i in range(300):
        plan = task.plan(short, generator(0, 0, i))
        assert plan.audio
        shifts.append(plan.audio[1].start - plan.audio[0].start)
        assert plan.audio[1].start + 0.6 <= 1.5 + 1e-9
    assert 0.5 <= min(shifts) < 0.51
    assert 0.89 < max(shifts) <= 0.9 + 1e-9


@pytest.mark.parametrize("fps", [24, 25, 29.97, 30, 60])
def test_clip_and_its_sound_start_together_to_the_sample(fps):
    """Seconds spelled by tones against those of the frames' own clock, at any rate of frames."""
    task = task_of(frames=6, seconds=1.0, loudness=False)

    def shown(i: int, plan: Plan) -> Sample:
        sample = coded(i, plan)
        times = (torch.tensor(plan.times).double() * fps).floor() / fps
        assert sample.frames is not None
        frames = sample.frames.clone()
        frames[:, 1] = (times / SECONDS * 250).to(torch.uint8)[:, None, None]
        return Sample(frames, times, sample.audio, sample.audio_rate)

    data = task.augment(drawn(task, info=medium(fps=fps), make=shown))
    late = sound_spells(data["audio"])[1] - 0.5 - clip_spells(data["inputs"])[1][:, 0]
    # A frame began up to 1/fps before its time; colours and tones spell seconds to 0.05.
    assert late.min() > -0.05
    assert late.max() < 1 / fps + 0.08


def half_silent(i: int, plan: Plan) -> Sample:
    """Odd videos are still and silent in the first of their two clips, and flicker in the second;
    even ones flicker and sound throughout."""
    sample = coded(i, plan)
    assert sample.frames is not None
    assert sample.audio is not None
    frames, audio = sample.frames.clone(), sample.audio.clone()
    t = len(frames) // 2
    frames[:, 2] = (torch.arange(2 * t) % 2 * 100 + 20 * i)[:, None, None].to(torch.uint8)
    if i % 2:
        frames[:t] = frames[:1].clone()
        audio[:, : round(0.6 * RATE)] = 0
    return Sample(frames, sample.times, audio, sample.audio_rate)


def score_of(task: Synchrony, guard: str, make, rounds: int = 16) -> float:
    """How well a linear classifier tells the answer from a guard's cue alone."""
    (probe,) = (g.probe for g in task.guards if g.name == guard)
    cues, answers = [], []
    for seed in range(rounds):
        data = task.augment(drawn(task, seed=seed, make=make))
        asked = data["weight"] > 0
        cues.append(probe(data)[asked])
        answers.append(data["target"][asked])
    cue, answer = torch.cat(cues).numpy(), torch.cat(answers).numpy()
    cue = cue / (cue.std(0) + 1e-9)
    return LogisticRegression(C=100).fit(cue, answer).score(cue, answer)


def test_silence_beside_movement_tells_nothing_with_the_guard():
    # Half of the pairs, those of silent videos, give themselves away.
    far = {"shift_min": 1.5, "shift_max": 2.5}
    assert score_of(task_of(silence=False, loudness=False, **far), "silence", half_silent) > 0.7
    assert score_of(task_of(silence=True, loudness=False, **far), "silence", half_silent) < 0.56


def louder(i: int, plan: Plan) -> Sample:
    """The second clip flickers, and sounds ten times as loud."""
    sample = coded(i, plan)
    assert sample.frames is not None
    assert sample.audio is not None
    frames, audio = sample.frames.clone(), sample.audio.clone()
    t = len(frames) // 2
    frames[t:, 2] = (torch.arange(t) % 2 * 100)[:, None, None].to(torch.uint8)
    audio[:, : -round(0.6 * RATE)] *= 0.1
    return Sample(frames, sample.times, audio, sample.audio_rate)


def test_loud_beside_movement_tells_nothing_with_the_guard():
    far = {"shift_min": 1.5, "shift_max": 2.5}
    assert score_of(task_of(loudness=False, **far), "loudness", louder) == 1
    # 512 pairs of 128 videos, and three weights to fit: 0.48 to 0.57 over ten sets of seeds.
    assert score_of(task_of(loudness=True, **far), "loudness", louder) < 0.63


def test_neither_sounds_nor_clips_alone_tell_anything():
    task = task_of(loudness=False)
    data = task.augment(drawn(task, make=louder))
    answer = data["target"].numpy()
    for cue in (data["inputs"].flatten(1)[data["picture"]], data["audio"][:, 0][data["partner"]]):
        small = cue.unfold(1, 99, 99).std(2).numpy()
        assert LogisticRegression().fit(small, answer).score(small, answer) == 0.5


def test_pairs_that_cannot_be_asked_do_not_count():
    task = task_of(cross_video=True)
    batch = drawn(task, 4)
    batch["index"] = torch.tensor([0, 1, 1, 2])
    batch["audio"][3, 0] = 0
    weight = task.augment(batch)["weight"].view(3, 4, 2)
    for k in (0, 1):
        assert weight[0, :, k].tolist() == [1, 1, 1, 0]
        assert weight[1, :, k].tolist() == [0.5, 0.5, 0.5, 0]
        assert weight[2, :, k].tolist() == [0.5, 0, 0, 0]


@pytest.mark.parametrize("encoder", [TinyImage, TinyVideo])
def test_the_head_is_shown_what_happens_when(encoder):
    """Turning a clip around in time changes what the head sees; with one moment of single
    frames it does not."""
    for moments in (1, 3):
        task = task_of(encoder, moments=moments).eval()
        data = task.augment(drawn(task))
        back = {**data, "inputs": data["inputs"].flip(2)}
        with torch.no_grad():
            change = abs(float(task(data).loss - task(back).loss))
        assert (change > 1e-5) == (moments > 1 or encoder is TinyVideo)


def test_impossible_options_are_refused():
    with pytest.raises(InputError, match="does not fit"):
        task_of(seconds=0.3)
    with pytest.raises(InputError, match="shift"):
        task_of(shift_min=0.0)
    with pytest.raises(InputError, match="shift"):
        task_of(shift_min=3.0)
    with pytest.raises(InputError, match="2 or more frames"):
        task_of(frames=1)
    with pytest.raises(InputError, match="moments"):
        task_of(moments=0)


@pytest.mark.slow
@pytest.mark.parametrize("coupled", [True, False])
def test_learned_in_the_synthetic_world_where_sound_follows_movement(coupled):
    """Over unseen scenes; in the decoupled world the sound is that of another motion."""
    torch.manual_seed(0)
    options = {"size": 32, "frames": 8, "frame_interval": 0.08, "seconds": 0.64, "colour": 0}
    options |= {"shift_min": 0.3, "shift_max": 1.2, "scale": (0.8, 1.0)}
    task = make_task(Synchrony, TinyImage(width=8), TinyAudio(width=8), **options)
    train(task, world("train", scenes=16, coupled=coupled), steps=120, seed=0)
    right = held_out(task, world("test", scenes=16, coupled=coupled), rounds=3)
    # 288 clips. Two seeds each: 0.63 and 0.69 coupled, 0.49 and 0.51 decoupled.
    assert right > 0.59 if coupled else right < 0.57


@pytest.mark.parametrize("name", ["test_mambaout", "efficientnet_b0", "convnext_atto"])
def test_networks_whose_maps_are_not_their_vector_train_and_leave_nothing_idle(name):
    """A parameter that only the vector needs is frozen: without gradient it would stop several
    devices at the second step."""
    encoders = TimmImage(name=name), build_encoder(TinyAudio)
    task = make_task(Synchrony, *encoders, size=32, frames=2, moments=2)
    task(task.augment(drawn(task, 2))).loss.backward()
    idle = {key for key, p in task.named_parameters() if p.requires_grad and p.grad is None}
    assert not idle
    needed = encoders[0].map_parameters()
    frozen = {key for key, p in encoders[0].named_parameters() if not p.requires_grad}
    assert frozen == set(dict(encoders[0].named_parameters())) - set(needed)
