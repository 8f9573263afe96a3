"""What every task on sound promises, whether it hears it alone or beside a picture."""

import pytest
import torch
from spelled_media import drawn, medium, recording
from task_kit import build_encoder, make_task

from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.video import TinyVideo
from pretexto.modalities.media import MediaError
from pretexto.modalities.rng import generator
from pretexto.tasks.audio_simclr import AudioSimCLR
from pretexto.tasks.audio_visual import AudioVisual
from pretexto.tasks.cola import COLA
from pretexto.tasks.cross_modal import CrossModal
from pretexto.tasks.synchrony import Synchrony
from pretexto.tasks.task import Task

ALONE = {
    "audio_simclr": (AudioSimCLR, {"seconds": 1.0}),
    "cola": (COLA, {"outputs": 32, "seconds": 0.96, "equalise": True}),
}
PAIRED = {
    "audio_visual": (AudioVisual, {"frames": 2}),
    "audio_visual_exchanged": (AudioVisual, {"frames": 2, "negatives": "exchanged"}),
    "audio_visual_same_video": (AudioVisual, {"frames": 2, "negatives": "same_video"}),
    "cross_modal": (CrossModal, {"within_audio": 1.0}),
    "synchrony": (Synchrony, {"frames": 6, "seconds": 0.6}),
}


def task_of(name: str) -> Task:
    if name in ALONE:
        cls, options = ALONE[name]
        return make_task(cls, build_encoder(TinyAudio), **options)
    cls, options = PAIRED[name]
    encoders = build_encoder(TinyVideo), build_encoder(TinyAudio)
    return make_task(cls, *encoders, **({"size": 32, "colour": 0} | options))


@pytest.mark.parametrize("name", [*ALONE, *PAIRED])
def test_silence_alone_gives_neither_loss_nor_nan(name):
    task = task_of(name)
    batch = drawn(task, 4)
    batch["audio"] = torch.zeros_like(batch["audio"])
    data = task.augment(batch)
    step = task(data)
    step.loss.backward()
    assert float(step.loss.detach()) == 0
    assert float(step.metrics["rejected"]) == 1
    assert all(p.grad.isfinite().all() for p in task.parameters() if p.grad is not None)
    assert all(guard.probe(data).isfinite().all() for guard in task.guards)


def refused(name: str, **changes) -> str:
    """Why a task does not plan on a medium that is changed like this, in one line with its name."""
    about = (recording if name in ALONE else medium)(**changes)
    with pytest.raises(MediaError) as error:
        task_of(name).plan(about, generator(0, 0, 0))
    assert error.value.stage == "plan"
    said = str(error.value)
    assert "\n" not in said
    assert said.startswith(f"{about.path}: plan: ")
    return said


@pytest.mark.parametrize("name", [*ALONE, *PAIRED])
def test_media_without_sound_are_refused_by_name(name):
    assert "no sound track" in refused(name, audio_rate=0, audio_channels=0, audio_duration=0.0)


@pytest.mark.parametrize("name", ALONE)
def test_a_picture_is_refused_by_a_task_on_sound_alone(name):
    assert "no sound track" in refused(name, kind="image", audio_rate=0)


@pytest.mark.parametrize("kind", ["audio", "image"])
@pytest.mark.parametrize("name", PAIRED)
def test_media_without_video_are_refused_beside_a_picture(name, kind):
    assert "no video" in refused(name, kind=kind)


@pytest.mark.parametrize(
    ("name", "there", "reason"),
    [
        ("audio_simclr", 0.5, "the sound lasts 0.50 s, less than 1 s: lower seconds"),
        ("cola", 0.5, "the sound lasts 0.50 s, less than 0.96 s: lower seconds"),
        ("audio_visual", 0.5, "overlap for 0.50 s, less than 1 s: lower seconds"),
        ("audio_visual_exchanged", 0.5, "overlap for 0.50 s, less than 1 s: lower seconds"),
        ("audio_visual_same_video", 1.5, "overlap for 1.50 s, less than 2 s: lower seconds"),
        ("cross_modal", 0.5, "overlap for 0.50 s, less than 1 s: lower seconds"),
        ("synchrony", 1.0, "overlap for 1.00 s, less than 1.1 s: lower seconds or shift_min"),
    ],
)
def test_media_with_too_little_sound_are_refused_by_name(name, there, reason):
    assert reason in refused(name, audio_duration=there)


@pytest.mark.parametrize("name", PAIRED)
def test_sound_that_starts_as_the_picture_ends_is_refused_by_name(name):
    assert "overlap for 0.20 s" in refused(name, audio_start=9.8, audio_duration=5.0)
