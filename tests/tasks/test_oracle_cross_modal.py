"""Cross-modal contrast on colours and tones that spell the video and the time."""

import math

import pytest
import torch
import torch.nn.functional as F
from small_world import held_out, train
from spelled_media import clip_spells, drawn, medium, sound_spells
from spelled_media import task_of as pair_task
from task_kit import make_task
from torch import Tensor

from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.image import TinyImage
from pretexto.encoders.video import TinyVideo
from pretexto.errors import InputError
from pretexto.modalities.media import Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.tasks.cross_modal import CrossModal
from pretexto.tasks.parts.losses import info_nce, match, nt_xent

RATE = 16000


def task_of(encoder=TinyVideo, **options) -> CrossModal:
    """Clips and sounds that stay as they are, so that they can be read."""
    return pair_task(encoder, CrossModal, **({"masks": 0, "equalise": False} | options))


def vectors(n: int, dim: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    first = torch.randn(n, dim, generator=rng, dtype=torch.float64)
    return first, first + torch.randn(n, dim, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("encoder", [TinyImage, TinyVideo])
def test_clip_and_sound_of_a_row_spell_the_same_video_and_second(encoder):
    task = task_of(encoder)
    for seed in range(3):
        data = task.augment(drawn(task, seed=seed))
        assert torch.equal(clip_spells(data["inputs"])[0], torch.arange(8))
        assert torch.equal(sound_spells(data["audio"])[0], torch.arange(8))
        shown, middle = clip_spells(data["inputs"])[1], sound_spells(data["audio"])[1]
        # Half a second either way; tones and colours spell seconds to about 0.05.
        assert (shown - middle[:, None]).abs().max() <= 0.5 + 0.06


def test_the_loss_asks_for_that_video():
    """Vectors that spell the video solve the task; with scrambled sounds they fail."""
    task = task_of()
    data = task.augment(drawn(task))
    a = F.one_hot(clip_spells(data["inputs"])[0], 8).float()
    b = F.one_hot(sound_spells(data["audio"])[0], 8).float()
    loss, found = info_nce(a, b, 0.1)
    worse, lost = info_nce(a, b.roll(3, 0), 0.1)
    assert float(found) == 1
    assert float(lost) == 0
    assert worse > loss + 5


def test_loss_is_the_mean_of_two_cross_entropies():
    first, second = vectors(9)
    a, b = first / first.norm(dim=1)[:, None], second / second.norm(dim=1)[:, None]
    score = torch.exp(a @ b.T / 0.2)
    own = score.diag()
    want = -(torch.log(own / score.sum(1)) + torch.log(own / score.sum(0))).mean() / 2
    loss, _ = info_nce(first, second, 0.2)
    torch.testing.assert_close(loss, want, atol=1e-12, rtol=0)
    logits = F.cosine_similarity(first[:, None], second[None], dim=2) / 0.2
    row = F.cross_entropy(logits, torch.arange(9))
    column = F.cross_entropy(logits.T, torch.arange(9))
    torch.testing.assert_close(loss, (row + column) / 2, atol=1e-12, rtol=0)


def test_loss_has_the_known_values():
    same = torch.ones(6, 4, dtype=torch.float64)
    assert float(info_nce(same, 2 * same, 0.1)[0]) == pytest.approx(math.log(6))
    basis = torch.eye(6, dtype=torch.float64)
    least = -1 / 0.3 + math.log(math.exp(1 / 0.3) + 5)
    assert float(info_nce(basis, basis, 0.3)[0]) == pytest.approx(least)
    one = torch.ones(1, 3)
    assert float(info_nce(one, -one, 0.1)[0]) == 0


def test_rows_of_one_side_are_not_compared():
    """NT-Xent pushes rows of one side apart; this loss does not care how near they are."""
    basis = torch.eye(4, dtype=torch.float64)
    crossed = torch.cat([basis, basis])
    a, b = crossed[[0, 0, 1, 1]], crossed[[0, 0, 1, 1]]
    want = -10 + math.log(2 * math.exp(10) + 2)
    assert float(info_nce(a, b, 0.1)[0]) == pytest.approx(want)
    assert float(nt_xent(a, b, 0.1)[0]) > want + 0.3


def test_half_precision_is_compared_in_full():
    first, second = (x.float() for x in vectors(8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = info_nce(first, second, 0.1)[0]
        product = match(first, second)[0]
    assert torch.equal(inside, info_nce(first, second, 0.1)[0])
    assert torch.equal(product, match(first, second)[0])


@pytest.mark.parametrize(("video", "audio"), [(0.0, 0.0), (0.5, 0.0), (0.0, 2.0), (1.0, 1.0)])
def test_terms_within_a_modality_add_with_their_weights(video, audio):
    task = task_of(within_video=video, within_audio=audio, temperature=0.3).eval()
    data = task.augment(drawn(task, 5))
    assert ("inputs_again" in data) == (video > 0)
    assert ("audio_again" in data) == (audio > 0)
    with torch.no_grad():
        a = task.video_projector(task.video.encoder(data["inputs"]))
        b = task.audio_projector(task.audio.encoder(data["audio"]))
        want = info_nce(a, b, 0.3)[0]
        if video:
            again = task.video_projector(task.video.encoder(data["inputs_again"]))
            want = want + video * nt_xent(a, again, 0.3)[0]
        if audio:
            again = task.audio_projector(task.audio.encoder(data["audio_again"]))
            want = want + audio * nt_xent(b, again, 0.3)[0]
        torch.testing.assert_close(task(data).loss, want)


def test_two_views_of_a_clip_and_of_a_sound_differ_but_spell_the_same():
    task = task_of(within_video=1.0, within_audio=1.0, scale=(0.3, 0.5))
    data = task.augment(drawn(task))
    assert torch.equal(clip_spells(data["inputs_again"])[0], torch.arange(8))
    assert torch.equal(sound_spells(data["audio_again"])[0], torch.arange(8))
    assert ((data["audio"] - data["audio_again"]).abs().amax((1, 2)) > 1e-3).all()
    batch = drawn(task)
    assert batch["box"].shape == (8, 2, 4)
    assert not torch.equal(batch["box"][:, 0], batch["box"][:, 1])


def test_level_guard_draws_loudness_without_regard_to_the_recording():
    loud = torch.linspace(0.02, 1, 8)[:, None, None]
    cues = {}
    for on in (True, False):
        task = task_of(loudness=on)
        batch = drawn(task)
        batch["audio"] = batch["audio"] * loud
        cues[on] = task.guards[0].probe(task.augment(batch))[:, 1, 0]
    own = loud[:, 0, 0].log() + cues[False][-1]
    torch.testing.assert_close(cues[False], own, atol=1e-3, rtol=0)
    same = task_of()
    untouched = same.guards[0].probe(same.augment(drawn(same)))[:, 1, 0]
    torch.testing.assert_close(untouched, cues[True], atol=1e-3, rtol=0)


def test_equalise_guard_changes_the_room_tone():
    noise = 0.1 * torch.randn(8, 1, RATE, generator=torch.Generator().manual_seed(0))
    spread = {}
    for on in (True, False):
        task = task_of(equalise=on)
        data = task.augment({**drawn(task), "audio": noise})
        spread[on] = float(task.guards[1].probe(data)[:, 1].std(0).mean())
    # Eight recordings of one white noise: 0.06 apart in nats, and 1.1 with colouring.
    assert spread[False] < 0.2
    assert spread[True] > 0.6


def test_impossible_options_are_refused():
    with pytest.raises(InputError, match="does not fit"):
        task_of(frames=12, frame_interval=0.1)
    with pytest.raises(InputError, match="within_audio"):
        task_of(within_audio=-1.0)
    with pytest.raises(InputError, match="temperature"):
        task_of(temperature=0.0)


class Tinted:
    """Noisy videos from red to blue; the bluer, the higher the tone, if they are coupled."""

    def __init__(self, seed: int, count: int, coupled: bool):
        rng = torch.Generator().manual_seed(seed)
        self.blue = torch.rand(count, generator=rng)
        self.pitch = self.blue if coupled else torch.rand(count, generator=rng)
        self.infos, self.labels = [medium()] * count, [0] * count

    def __len__(self) -> int:
        return len(self.infos)

    def read(self, i: int, plan: Plan) -> Sample:
        (span,), side = plan.audio, plan.short_side
        assert side is not None
        rng = generator(i, 0, int(1000 * span.start))
        tint = torch.tensor([1 - self.blue[i], 0.3, self.blue[i]])[:, None, None]
        frames = 0.1 + 0.6 * tint + 0.2 * torch.rand(len(plan.times), 3, side, side, generator=rng)
        t = torch.arange(span.samples) / span.rate
        tone = 0.5 * torch.sin(2 * math.pi * 200 * 2 ** (4 * self.pitch[i]) * t)
        times = torch.tensor(plan.times).double()
        return Sample((255 * frames).byte(), times, tone[None], span.rate)


@pytest.mark.slow
@pytest.mark.parametrize("coupled", [True, False])
def test_learned_from_coupled_pairs_only(coupled):
    """Colour tells the pitch, or does not; scores are over unseen videos, 24 in a batch."""
    torch.manual_seed(0)
    options = {"size": 32, "seconds": 0.5, "colour": 0, "temperature": 0.2}
    task = make_task(CrossModal, TinyImage(width=8), TinyAudio(width=8), **options)
    train(task, Tinted(0, 96, coupled), steps=60, seed=0)
    found = held_out(task, Tinted(1, 48, coupled), rounds=2)
    # One in 24 is chance. Over three seeds: 0.48 to 0.51 coupled, 0.02 to 0.05 decoupled.
    assert found > 0.25 if coupled else found < 0.15
