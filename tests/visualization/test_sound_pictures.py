"""Pictures of where a sound is: the map peaks on the thing that sounds, and on nothing else."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from report_fakes import fill
from small_world import train
from spelled_media import medium
from task_kit import make_task
from torch import Tensor

from pretexto import cli
from pretexto.comparison.grid import Run
from pretexto.datasets.source import Source
from pretexto.datasets.synthetic.source import Synthetic
from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.image import TinyImage
from pretexto.errors import InputError
from pretexto.modalities.media import Plan, Sample
from pretexto.modalities.rng import generator
from pretexto.reporting.html import write_report
from pretexto.tasks.audio_visual import AudioVisual
from pretexto.tasks.cross_modal import CrossModal
from pretexto.tasks.parts.audio_input import AudioInput
from pretexto.tasks.parts.clip_input import ClipInput
from pretexto.tasks.parts.pairing import PairingTask
from pretexto.tasks.parts.sound_changes import SoundGuards
from pretexto.tasks.parts.transforms import Colour, Crop
from pretexto.tasks.rotation import Rotation
from pretexto.tasks.synchrony import Synchrony
from pretexto.tasks.task import Task
from pretexto.visualization.sound_localization import (
    Scene,
    pair_task,
    ranks,
    read_scene,
    read_scenes,
    sound_map,
)
from pretexto.visualization.sound_plots import (
    draw_matches,
    draw_sounds,
    overlay,
    save_sounds,
    strip,
)

SIDE, RATE = 32, 16000
RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


class Known(PairingTask):
    """Red things hum low and blue ones whistle high: a pair task that needs no training."""

    def __init__(self, frames: int = 1):
        video = ClipInput(TinyImage(width=4), size=SIDE, frames=frames, frame_interval=0.05)
        audio = AudioInput(TinyAudio(width=4), seconds=0.5)
        super().__init__(video, audio, crop=Crop(), colour=Colour(), guards=SoundGuards())

    def plan(self, info, rng):
        raise NotImplementedError

    def example(self, sample, rng):
        raise NotImplementedError

    def forward(self, batch, phase=None):
        raise NotImplementedError

    def encode_video(self, clips: Tensor) -> Tensor:
        redder = clips[:, 0] - clips[:, 2]
        # A disc is 3 % of the picture.
        return torch.stack([redder, -redder], 1).clamp_min(0).mean((2, 3, 4)) / 0.03

    def encode_audio(self, sounds: Tensor) -> Tensor:
        power = torch.fft.rfft(sounds[:, 0]).abs()
        return F.one_hot((power.argmax(1) > 500).long(), 2).float()

    def score(self, clips: Tensor, sounds: Tensor) -> Tensor:
        return (clips * sounds).sum(1)


def pair_task_of(cls: type[Task] = AudioVisual, **options) -> Task:
    encoders = TinyImage(width=4), TinyAudio(width=4)
    return make_task(cls, *encoders, **({"size": SIDE} | options))


def tone(hertz: float) -> Tensor:
    return 0.3 * torch.sin(2 * math.pi * hertz * torch.arange(RATE // 2) / RATE)[None]


def blob(frame: Tensor, y: float, x: float, colour: tuple[float, float, float]) -> None:
    """Paints a disc at shares of the sides."""
    at = (torch.arange(SIDE) + 0.5) / SIDE
    near = (at[:, None] - y) ** 2 + (at[None] - x) ** 2 < 0.01
    frame[:, near] = torch.tensor(colour)[:, None]


def scene(hertz: float, red: list[tuple[float, float]], blue: list[tuple[float, float]]) -> Scene:
    """A red and a blue disc, each at its place in every frame, and one tone."""
    clip = torch.full((3, len(red), SIDE, SIDE), 0.4)
    for k, (at_red, at_blue) in enumerate(zip(red, blue, strict=True)):
        blob(clip[:, k], *at_red, RED)
        blob(clip[:, k], *at_blue, BLUE)
    times = 0.1 * torch.arange(len(red)).double()
    return Scene("x.mp4", clip, times, tone(hertz), 0.0, RATE)


def peak(heat: Tensor) -> tuple[float, float]:
    place = int(heat.argmax())
    return (place // 8 + 0.5) / 8, (place % 8 + 0.5) / 8


@pytest.mark.parametrize("frames", [1, 8])
@pytest.mark.parametrize(("hertz", "which"), [(300.0, 0), (4000.0, 1)])
def test_the_map_peaks_on_the_thing_that_sounds_and_follows_it(frames, hertz, which):
    across = [0.2, 0.2, 0.4, 0.4, 0.6, 0.6, 0.8, 0.8] if frames == 8 else [0.2, 0.4, 0.6, 0.8]
    red, blue = [(0.25, x) for x in across], [(0.75, 1 - x) for x in across]
    other = tone(4000.0 if which == 0 else 300.0)[None]
    heat = sound_map(Known(frames), scene(hertz, red, blue), other)
    assert heat.shape == (4, 8, 8)
    for part, (y, x) in zip(heat, (red, blue)[which][:: len(across) // 4], strict=True):
        assert peak(part) == pytest.approx((y, x), abs=0.11)
        # The other thing, as plain to see, has no part in it: covering it never hurts.
        assert part[int(8 * (1 - y)), int(8 * (1 - x))] < 0.1 * part.max()


def test_what_matters_to_every_sound_is_nowhere():
    """Measured alone, a thing that any sound asks for would be marked."""
    found = scene(300.0, [(0.25, 0.25)] * 4, [(0.75, 0.75)] * 4)
    alike = sound_map(Known(), found, tone(320.0)[None])
    assert alike.abs().max() < 1e-6
    assert sound_map(Known(), found, tone(4000.0)[None]).max() > 0.2


def test_agreement_ranks_pictures_for_each_sound():
    red, blue = [(0.5, 0.5)] * 4, [(2.0, 2.0)] * 4
    scenes = [scene(300.0, red, blue), scene(4000.0, blue, red)]
    score = ranks(Known(), scenes)
    assert score[0, 0] > score[0, 1]
    assert score[1, 1] > score[1, 0]


def test_a_map_is_laid_over_its_frame_in_warm_colours():
    frame, heat = torch.full((3, 32, 32), 0.5), torch.zeros(8, 8)
    assert overlay(frame, heat).std(0).max() < 1e-6, "where nothing is, the frame is grey"
    heat[2, 5] = 1.0
    warm = overlay(frame, heat)
    redness = warm[0] - warm[2]
    assert peak(F.avg_pool2d(redness[None], 4)[0]) == pytest.approx((2.5 / 8, 5.5 / 8))
    assert warm.min() >= 0
    assert warm.max() <= 1


def test_a_strip_is_scaled_by_the_greatest_of_its_parts():
    heat = torch.zeros(4, 8, 8)
    heat[1, 4, 4], heat[2, 4, 4] = 2.0, 0.5
    frames, times = strip(scene(300.0, [(0.5, 0.5)] * 4, [(0.5, 0.5)] * 4), heat)
    plain, _ = strip(scene(300.0, [(0.5, 0.5)] * 4, [(0.5, 0.5)] * 4))
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.3])
    grey = overlay(plain[0], torch.zeros(8, 8))
    change = [float((f - grey).abs().max()) for f in frames]
    assert change[0] == change[3] == 0
    assert change[1] > change[2] > 0.05


@pytest.mark.parametrize("cls", [AudioVisual, Synchrony, CrossModal])
def test_pair_tasks_score_what_their_forward_pass_does(cls):
    task = pair_task_of(cls, frames=4).eval()
    source = Synthetic("test", train_scenes=4, test_scenes=2)
    found = read_scenes(task, source, 6)
    score = ranks(pair_task(task), found)
    assert score.shape == (6, 6)
    clip, sound = found[2].clip[None], found[4].sound[None]
    with torch.no_grad():
        one = task.score(task.encode_video(clip), task.encode_audio(sound))
    torch.testing.assert_close(score[4, 2], one[0], atol=1e-4, rtol=1e-4)


def test_a_scene_is_read_where_the_task_looks_and_listens():
    task = pair_task_of(frames=4)
    source = Synthetic("test", train_scenes=4, test_scenes=2)
    found = read_scene(task, source, 3, seed=5)
    plan = task.plan(source.info(3), generator(5, 0, 3))
    assert plan.audio
    assert found.start == plan.audio[0].start
    assert found.seconds == 1
    assert found.clip.shape == (3, 4, SIDE, SIDE)
    assert found.times.tolist() == pytest.approx(list(plan.times))
    single = pair_task_of()
    four = read_scene(single, source, 3, seed=5)
    assert ((four.times - four.start) * 8).tolist() == pytest.approx([1, 3, 5, 7])


def test_other_tasks_are_refused():
    with pytest.raises(InputError, match="Rotation pairs no pictures with sounds"):
        pair_task(make_task(Rotation, TinyImage(width=4), size=SIDE))


class Mute(Source):
    """Media that cannot serve."""

    def __len__(self):
        return 3

    def name(self, i):
        return f"{i}.mp4"

    def info(self, i):
        return medium(audio_rate=0, audio_channels=0, audio_duration=0.0)

    def read(self, i, plan):
        raise AssertionError("nothing is to be read")


def test_media_that_cannot_serve_are_named():
    task = pair_task_of()
    with pytest.raises(InputError, match="x.mp4: plan: no sound track"):
        read_scenes(task, Mute(), 4)


def test_sheets_are_drawn(tmp_path):
    task = pair_task_of(seconds=0.5)
    source = Synthetic("test", train_scenes=4, test_scenes=2)
    for name, draw in (("where", draw_sounds), ("found", draw_matches)):
        draw(task, source, tmp_path / f"{name}.png", count=2)
        picture = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert min(picture.shape[:2]) > 250
        assert picture.std() > 20
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000


def test_the_command_draws_both_for_a_run(tmp_path, capsys):
    tiny = ["--trainer.steps", "2", "--trainer.batch_size", "4", "--trainer.workers", "0"]
    data, run = str(Synthetic("all", train_scenes=4, test_scenes=2).folder), str(tmp_path / "run")
    words = ["pretrain", "--config", "audio_visual", "--data", data, "--out", run]
    assert cli.main([*words, *tiny, "--task.video.size", "32"]) == 0
    for flag in ("--sound", "--matches"):
        out = tmp_path / f"{flag}.png"
        assert cli.main(["show", flag, run, "--out", str(out), "--count", "2"]) == 0
        assert Image.open(out).width > 400
    assert cli.main(["show", "--out", str(tmp_path / "x.png")]) == 2
    assert "--sound RUN" in capsys.readouterr().err


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Evidence of an untrained pair task, as a run of a comparison leaves it."""
    folder = tmp_path_factory.mktemp("run") / "evidence"
    task = pair_task_of(seconds=0.5)
    save_sounds(task, Synthetic("test", train_scenes=4, test_scenes=2), folder)
    return folder


def test_evidence_holds_maps_and_matches(run):
    found = json.loads((run / "sounds.json").read_text())
    assert found["of"] == 16
    assert len(found["maps"]) == len(found["matches"]) == 4
    for one in found["maps"]:
        assert len(one["images"]) == len(one["captions"]) == 5
        assert 1 <= one["rank"] <= 16
    for row in found["matches"]:
        assert [cell.get("rank") for cell in row["cells"]] == [None, 1, 2, 3, 4, 5]
        own = [cell["caption"] for cell in row["cells"] if cell["own"]]
        assert own in ([], [row["name"]])
    for one in [*found["maps"], *found["matches"]]:
        for image in one.get("images", one.get("cells")):
            assert (run / image["file"]).is_file()


def test_tasks_without_sound_leave_no_such_evidence(tmp_path):
    save_sounds(make_task(Rotation, TinyImage(width=4), size=SIDE), Mute(), tmp_path)
    assert not (tmp_path / "sounds.json").exists()
    save_sounds(pair_task_of(), Mute(), tmp_path)
    found = json.loads((tmp_path / "sounds.json").read_text())
    assert "no sound track" in found["note"]
    assert found["maps"] == []


def test_the_report_embeds_them_and_says_why_there_are_none(run, tmp_path):
    out = fill(tmp_path)
    assert 'id="sounds"' not in write_report(out).read_text()
    alpha, beta = (Run(name, "test", 0).folder(out) / "evidence" for name in ("alpha", "beta"))
    shutil.copytree(run, alpha, dirs_exist_ok=True)
    note = {"note": "x.mp4: no sound", "of": 0, "maps": [], "matches": []}
    (beta / "sounds.json").write_text(json.dumps(note))
    page = write_report(out).read_text()
    part = page[page.index('id="sounds"') : page.index('id="neighbours"')]
    assert part.count("<img") == 4 * 5 + 4 * 6
    assert part.count("data:image/webp") == 4 * 5 + 4 * 6
    assert part.count("its own ranks") == 4
    assert "x.mp4: no sound" in part


class Coloured:
    """A square of some shade from red to blue sounds from low to high; two green ones are mute."""

    def __init__(self, seed: int, count: int):
        rng = torch.Generator().manual_seed(seed)
        self.blue = torch.rand(count, generator=rng)
        self.places = torch.randint(0, 3, (count, 3, 2), generator=rng) * 12
        self.infos, self.labels = [medium()] * count, [0] * count

    def __len__(self) -> int:
        return len(self.infos)

    def read(self, i: int, plan: Plan) -> Sample:
        assert plan.audio
        side, rng = plan.short_side or 36, generator(i, 0, 1)
        frame = 0.4 + 0.1 * torch.rand(3, 36, 36, generator=rng)
        blue = float(self.blue[i])
        shades = ((0.2, 0.9, 0.2), (0.2, 0.5, 0.2), (1 - blue, 0.2, blue))
        for (y, x), shade in zip(self.places[i].tolist(), shades, strict=True):
            frame[:, y : y + 12, x : x + 12] = torch.tensor(shade)[:, None, None]
        frames = F.interpolate(frame[None], (side, side))
        t = torch.arange(plan.audio[0].samples) / plan.audio[0].rate
        sound = 0.3 * torch.sin(2 * math.pi * 200 * 2 ** (4 * blue) * t)[None]
        times = torch.tensor(plan.times).double()
        pixels = (255 * frames).byte().expand(len(times), -1, -1, -1)
        return Sample(pixels, times, sound, plan.audio[0].rate)


@pytest.mark.slow
def test_a_trained_task_finds_the_square_that_sounds():
    torch.manual_seed(0)
    options = {"size": 36, "seconds": 0.5, "colour": 0, "scale": (0.8, 1.0)}
    encoders = TinyImage(width=8), TinyAudio(width=8)
    task = make_task(AudioVisual, *encoders, negatives_per_clip=8, **options)
    train(task, Coloured(0, 256), steps=120, seed=0)
    assert right_places(task, Coloured(1, 24)) > 0.6


def right_places(task: AudioVisual, world: Coloured) -> float:
    """Share of unseen scenes whose map peaks inside the square that sounds; it covers 1/9."""
    task.eval()
    rows = []
    for i in range(len(world)):
        plan = Plan(times=(0.1, 0.2), audio=task.plan(medium(), generator(0, 0, i)).audio)
        sample = world.read(i, plan)
        assert sample.frames is not None
        assert sample.audio is not None
        clip = sample.frames.float().div(255).transpose(0, 1)
        rows.append(Scene(str(i), clip, torch.tensor([0.1, 0.2]), sample.audio, 0.0, RATE))
    right = []
    for i, one in enumerate(rows):
        others = torch.stack([r.sound for k, r in enumerate(rows) if k != i])
        y, x = peak(sound_map(task, one, others)[0])
        top, left = (world.places[i, 2] / 36).tolist()
        right.append(top <= y <= top + 1 / 3 and left <= x <= left + 1 / 3)
    return sum(right) / len(right)
