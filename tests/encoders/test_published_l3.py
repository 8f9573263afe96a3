"""Look, Listen and Learn as published: its sound tower, its head, its recipe; and MFCC's front."""

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from helpers import shared_data
from task_kit import build_encoder, make_task
from torch import nn

from pretexto.build import build, load_tree
from pretexto.datasets.open import open_source
from pretexto.encoders.audio import CEPSTRUM_STD, AudioResNet, SpectrogramCNN, TinyAudio, front_end
from pretexto.encoders.audio_transformer import AudioTransformer
from pretexto.encoders.blocks import run_stages
from pretexto.encoders.image import L3Image, TinyImage
from pretexto.encoders.spectrogram import MFCC
from pretexto.errors import InputError
from pretexto.modalities.media import AudioSpan, Plan
from pretexto.modalities.rng import generator
from pretexto.tasks.audio_visual import AudioVisual
from pretexto.tasks.parts.heads import Fusion
from pretexto.tasks.parts.sound_changes import SoundGuards
from pretexto.tasks.parts.transforms import Colour, Crop
from pretexto.tasks.task import Task


def noise(seconds: float = 1.0, rate: int = 48000, batch: int = 1):
    return 0.1 * torch.randn(batch, 1, round(seconds * rate), generator=generator(0, 0, 0))


@torch.no_grad()
def test_the_sound_tower_is_the_papers():
    torch.manual_seed(0)
    encoder, x = SpectrogramCNN().eval(), noise()
    spectrum = encoder.spectrogram(x)
    assert spectrum.shape == (1, 1, 257, 200)
    # A window of 10 ms: 480 samples in a transform of 512, centred on multiples of 5 ms.
    assert int((encoder.spectrogram[0].taper > 0).sum()) == 479, "a periodic window begins with 0"
    levels = encoder.maps(x)
    assert {k: tuple(v.shape[1:]) for k, v in levels.items()} == {
        "block1": (64, 257, 200),
        "block2": (128, 128, 100),
        "block3": (256, 64, 50),
        "block4": (512, 32, 25),
    }
    kernels = [m.weight.shape for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    widths = [1, 64, 64, 128, 128, 256, 256, 512, 512]
    assert kernels == [(b, a, 3, 3) for a, b in pairwise(widths)]
    deepest = run_stages(encoder.stages, spectrum)["block4"]
    assert torch.equal(encoder(x), deepest.amax((2, 3)))


def test_the_head_is_the_papers():
    task = make_task(AudioVisual, L3Image(), SpectrogramCNN(), size=224, compare=False)
    assert isinstance(task.head, Fusion)
    first, relu, last = task.head.classifier
    assert (first.in_features, first.out_features, last.out_features) == (1024, 128, 2)
    assert isinstance(relu, nn.ReLU)
    a, b = torch.randn(2, 3, 512, generator=generator(0, 0, 0))
    want = F.linear(F.linear(torch.cat([a, b], 1), first.weight, first.bias).relu(),
                    last.weight, last.bias)  # fmt: skip
    torch.testing.assert_close(task.head(a, b), want)
    plain = make_task(AudioVisual, build_encoder(TinyImage), build_encoder(TinyAudio))
    assert not isinstance(plain.head, Fusion)


def test_the_recipe_is_the_papers():
    tree = load_tree("audio_visual_l3")
    task = build({"task": tree["task"]}, {"task": Task}, "audio_visual_l3")["task"]
    assert (task.video.size, task.video.frames) == (224, 1)
    assert (task.audio.seconds, task.audio.rate) == (1.0, 48000)
    assert (task.video.dim, task.audio.dim) == (512, 512)
    assert isinstance(task.video.encoder, L3Image)
    assert isinstance(task.audio.encoder, SpectrogramCNN)
    assert isinstance(task.head, Fusion)
    assert (task.negatives, task.gain) == ("exchanged", 0.1)
    assert task.colour == Colour(brightness=1 / 8, saturation=1 / 2)
    assert task.sound_guards == SoundGuards(loudness=False, equalise=False, silence=True)
    # 224 of 256 pixels in every direction.
    assert task.crop == Crop(scale=(0.765625, 0.765625), ratio=(1.0, 1.0), flip=True)
    assert math.sqrt(task.crop.scale[0]) == 224 / 256
    assert tree["trainer"]["batch_size"] == 64
    assert (tree["optimizer"]["lr"], tree["optimizer"]["weight_decay"]) == (1e-4, 1e-5)


@pytest.mark.parametrize("mels", [64, 48])
def test_mfcc_fronts_are_normalised_coefficient_by_coefficient(mels):
    x = noise(rate=16000, batch=3)
    front, plain = front_end("mfcc", 16000, mels), MFCC(rate=16000, mels=mels)(x)
    found = front(x)
    assert found.shape == plain.shape == (3, 1, 20, 100)
    by_row = [
        v.transpose(1, 2).flatten(2).transpose(0, 1).flatten(1).std(1) for v in (plain, found)
    ]
    scale = math.sqrt(mels / 64) * torch.tensor(CEPSTRUM_STD)
    torch.testing.assert_close(by_row[1], by_row[0] / scale, rtol=1e-3, atol=0)
    # Twice as loud: 2 sqrt(mels) ln 2 more in the first coefficient, and nothing in the others.
    louder = front(2 * x) - found
    torch.testing.assert_close(louder[:, 0, 0], torch.full((3, 100), 16 * math.log(2) / 51),
                               rtol=1e-3, atol=1e-4)  # fmt: skip
    assert louder[:, 0, 1:].abs().max() < 1e-3


@pytest.mark.parametrize("front", ["log-mel", "mfcc"])
def test_fronts_give_numbers_about_one_on_real_sounds(front):
    """40 sounds of ESC-10, all classes and folds: silence and the sea, dogs and saws."""
    source = open_source(f"esc10:{shared_data('audio/esc10')}")
    net = front_end(front, 16000, 64)
    plan = Plan(audio=AudioSpan(0.0, 5.0, 16000), past_end="repeat")
    sounds = [source.read(i, plan).audio for i in range(0, 400, 10)]
    x = net(torch.stack([s.mean(0, keepdim=True) for s in sounds if s is not None]))
    rows = x.transpose(1, 2).flatten(2).transpose(0, 1).flatten(1)
    # Over ten such subsets each row's deviation is 0.79 to 1.26, and its mean 0.41 from 0 at most.
    assert rows.mean(1).abs().max() < 0.5
    assert 0.7 < rows.std(1).min() < rows.std(1).max() < 1.35


def test_fronts_change_what_the_network_sees_and_wrong_ones_are_refused():
    x = noise(rate=16000)
    for kind in (TinyAudio, AudioResNet):
        torch.manual_seed(0)
        one, other = kind(), kind(front="mfcc")
        assert one.spectrogram(x).shape[2:] == (64, 100)
        assert other.spectrogram(x).shape[2:] == (20, 100)
        with pytest.raises(InputError, match="front is log-mel or mfcc, not 'mel'"):
            kind(front="mel")
    with pytest.raises(InputError, match="mel filters"):
        AudioResNet(front="mfcc", mels=10)


@pytest.mark.parametrize("kind", [TinyAudio, AudioResNet, SpectrogramCNN, AudioTransformer])
@pytest.mark.parametrize("rate", [0, -8000, 100])
def test_rates_without_sound_are_refused(kind, rate):
    with pytest.raises(InputError, match=f"rate is that of the sound in Hz.*{rate}"):
        kind(rate=rate)
