"""Packs: the same frames, sound and flow as reading the files, whole or not at all, checked."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import child_jobs
import media_factory as media
import numpy as np
import pytest
import torch
from dataset_kit import in_this_process, without_children
from helpers import shared_data, travelled
from PIL import Image

from pretexto.cli import main
from pretexto.datasets.index.build import scan
from pretexto.datasets.index.source import Index
from pretexto.datasets.open import open_source
from pretexto.datasets.packs import write as packing
from pretexto.datasets.packs.format import NAME, verify
from pretexto.datasets.packs.source import Packs
from pretexto.datasets.packs.transcode import PackSettings, pack_job
from pretexto.datasets.packs.write import pack
from pretexto.errors import InputError
from pretexto.modalities.media import AudioSpan, MediaError, Plan

RATE = 16000
SETTINGS = PackSettings(48, 95, "444", RATE, flow="dis", flow_interval=0.1)


@pytest.fixture(autouse=True)
def _no_children(monkeypatch):
    without_children(monkeypatch)


def smooth(number: int) -> np.ndarray:
    """A picture without sharp edges, so that JPEG changes little of it."""
    y, x = np.mgrid[:48, :64] / 8.0
    waves = [128 + 60 * np.sin(x * 0.7 + y * c + number * (0.3 + 0.1 * c)) for c in range(3)]
    return np.stack(waves, -1).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A video of uneven frame times with late sound, a still one, a sound, a picture, a wreck."""
    root = tmp_path_factory.mktemp("media")
    (root / "a").mkdir()
    (root / "b").mkdir()
    gaps = np.cumsum([0.0] + [0.04, 0.04, 0.12, 0.04, 0.2] * 6)
    wave = np.random.default_rng(0).uniform(-0.6, 0.6, (2, RATE)).astype(np.float32)
    seconds = gaps.tolist()
    options = {"sound": wave, "rate": RATE, "layout": "stereo", "sound_start": 0.5}
    pictures = [smooth(k) for k in range(len(gaps))]
    media.write(root / "a" / "uneven.mkv", pictures, seconds, sound_codec="pcm_s16le", **options)
    media.write(root / "b" / "plain.mp4", pictures[:20], [k / 10 for k in range(20)])
    media.write(
        root / "b" / "sound.wav", sound=wave, rate=RATE, sound_codec="pcm_s16le", layout="stereo"
    )
    Image.fromarray(smooth(3)).save(root / "b" / "still.png")
    media.write(root / "b" / "zz.mp4", pictures[:9], [k / 10 for k in range(9)])
    return root


@pytest.fixture(scope="module")
def index(folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("index") / "index.parquet"
    with pytest.MonkeyPatch.context() as patch:
        without_children(patch)
        scan(folder, out)
    return out


@pytest.fixture(scope="module")
def packed(index, folder, tmp_path_factory) -> Path:
    """A pack of the folder, one file of which breaks between indexing and packing."""
    out = tmp_path_factory.mktemp("packs") / "pack"
    kept = (folder / "b" / "zz.mp4").read_bytes()
    (folder / "b" / "zz.mp4").write_bytes(b"broken")
    with pytest.MonkeyPatch.context() as patch:
        without_children(patch)
        pack(index, out, SETTINGS, shard_bytes=40_000)
    (folder / "b" / "zz.mp4").write_bytes(kept)
    return out


def instants(duration: float) -> tuple[float, ...]:
    draw = random.Random(5)
    exact = [0.0, 0.04, 0.08 - 5e-7, 0.08, 0.2]
    return tuple(exact + [draw.uniform(0, duration - 1e-6) for _ in range(20)])


def test_frames_are_those_that_reading_gives(packed, index):
    packs, files = Packs(packed), Index(index)
    for i in range(2):
        plan = Plan(instants(files.info(i).duration))
        ours, theirs = packs.read(i, plan), files.read(i, plan)
        assert ours.times is not None
        assert theirs.times is not None
        assert ours.times.equal(theirs.times)
        assert ours.frames.shape == theirs.frames.shape
        difference = (ours.frames.int() - theirs.frames.int()).abs()
        # Neighbouring frames differ by 17 levels and more; JPEG changed these by 0.7.
        assert difference.float().mean(dim=(1, 2, 3)).max() < 2


@pytest.mark.parametrize("past_end", ["error", "repeat", "wrap"])
def test_times_outside_mean_what_they_mean_in_files(packed, index, past_end):
    packs, files = Packs(packed), Index(index)
    duration = files.info(0).duration
    for times in ((-0.5,), (duration,), (duration + 0.3, 0.1), (3 * duration + 0.21,)):
        plan = Plan(times, past_end=past_end)
        if past_end == "error":
            for source in (packs, files):
                with pytest.raises(MediaError) as caught:
                    source.read(0, plan)
                assert caught.value.stage == "plan"
        else:
            assert packs.read(0, plan).times.equal(files.read(0, plan).times)


@pytest.mark.parametrize("past_end", ["error", "repeat", "wrap"])
@pytest.mark.parametrize("rate", [RATE, 8000, 44100])
def test_sound_is_that_of_the_files_to_one_sample(packed, index, past_end, rate):
    packs, files = Packs(packed), Index(index)
    for i in (0, 2):
        spans = [(0.1, 0.7), (0.33333, 0.5)]
        if past_end != "error":
            spans += [(-0.2, 0.6), (0.8, 1.5)]
        for start, duration in spans:
            plan = Plan(audio=AudioSpan(start, duration, rate), past_end=past_end)
            ours, theirs = packs.read(i, plan).audio, files.read(i, plan).audio
            assert ours.shape == theirs.shape == (2, round(duration * rate))
            assert (ours - theirs).abs().max() < 2e-4
    with pytest.raises(MediaError, match="without sound"):
        packs.read(1, Plan(audio=AudioSpan(0, 0.1, rate), past_end=past_end))


def test_motion_is_the_index_s(packed, index):
    packs, files = Packs(packed), Index(index)
    for i in range(2):
        assert packs.info(i).motion == files.info(i).motion
        # The waves go by 0.3 of a radian and more per frame.
        assert len(packs.info(i).motion) > 1
        assert min(packs.info(i).motion) > 1
    assert packs.info(2).motion == packs.info(3).motion == ()
    assert packs.table.facts["motion"] == files.table.facts["motion"] == "flow"


def test_pictures_and_sounds_alone_are_packed(packed, index):
    packs, files = Packs(packed), Index(index)
    assert [packs.name(i) for i in range(4)] == [files.name(i) for i in range(4)]
    assert packs.info(3).kind == "image"
    still = packs.read(3, Plan((7.0, 0.0)))
    assert (still.frames.int() - files.read(3, Plan((7.0, 0.0))).frames.int()).abs().max() < 20
    assert still.times.tolist() == [0, 0]
    assert packs.info(2).kind == "audio"
    with pytest.raises(MediaError, match="without video"):
        packs.read(2, Plan((0.0,)))


def test_flow_is_that_of_the_packed_frames(packed, index):
    packs, files = Packs(packed), Index(index)
    plan = Plan(flow=((0.0, 0.1), (0.55, 0.65), (0.3, 0.3)))
    ours, theirs = packs.read(1, plan).flow, files.read(1, plan).flow
    # Stored in 1/64 pixel.
    assert (ours - theirs)[:2].abs().max() <= 1 / 128 + 1e-6
    assert not ours[2].any()
    half = packs.read(1, Plan(flow=plan.flow, short_side=24)).flow
    assert half.shape == (3, 2, 24, 32)
    assert half[0].mean() == pytest.approx(ours[0].mean().item() / 2, abs=0.05)
    with pytest.raises(InputError, match="composes multiples of that; pack with --interval 0.25"):
        packs.read(1, Plan(flow=((0.0, 0.25),)))


def test_other_sizes_are_resized(packed):
    assert Packs(packed).read(0, Plan((0.1,), short_side=24)).frames.shape == (1, 3, 24, 32)
    assert Packs(packed).read(0, Plan((0.1,), short_side=96)).frames.shape == (1, 3, 96, 128)


def test_what_fails_is_named_and_the_rest_stands(packed):
    packs = Packs(packed)
    assert len(packs) == 4
    (bad,) = packs.manifest.quarantine
    assert bad["path"] == "b/zz.mp4"
    assert bad["stage"] == "open"
    assert len(packs.manifest.shards) >= 2
    assert open_source(str(packed)).fingerprint() == packs.fingerprint()


def test_a_lower_frame_rate_keeps_the_frames_of_its_times(folder):
    facts, blobs = pack_job(str(folder / "b" / "plain.mp4"), {"fps": 4.0})
    assert facts["times"] == pytest.approx([0.0, 0.2, 0.5, 0.7, 1.0, 1.2, 1.5, 1.7])
    assert len(blobs) == facts["jpegs"] + 1 == 9


def test_one_frame_is_read_without_the_rest(packed, tmp_path):
    """Every byte of the other frames is overwritten, and the frame is still the same."""
    copy = tmp_path / "copy"
    shutil.copytree(packed, copy)
    before = Packs(packed).read(1, Plan((1.05,)))
    packs = Packs(packed)
    row = packs.table.row(1)
    clip = packs._clip(packs._facts(1))
    shard = copy / packs.manifest.shards[row["shard"]].name
    data = bytearray(shard.read_bytes())
    for k in range(len(clip.frames)):
        if k != 10:
            at = data.index(bytes(clip.frames[k]))
            data[at : at + len(clip.frames[k])] = bytes(len(clip.frames[k]))
    shard.write_bytes(data)
    after = Packs(copy).read(1, Plan((1.05,)))
    assert after.frames.equal(before.frames)
    with pytest.raises(MediaError, match="damaged"):
        Packs(copy).read(1, Plan((0.0,)))


def test_verify_finds_any_flipped_bit(packed, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(packed, copy)
    assert main(["pack", "--verify", str(copy)]) == 0
    draw = random.Random(0)
    for path in sorted(copy.iterdir()):
        whole = path.read_bytes()
        for _ in range(6):
            data = bytearray(whole)
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            path.write_bytes(data)
            try:
                found = [name for name, fault in verify(copy) if fault]
            except InputError as error:
                found = [NAME] if NAME in str(error) else []
            assert found, f"a flipped bit in {path.name} was not found"
        path.write_bytes(whole)
    shard = sorted(copy.glob("shard-*"))[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    assert main(["pack", "--verify", str(copy)]) == 1
    assert f"{shard.name}: has" in capsys.readouterr().out
    with pytest.raises(MediaError, match="cut short"):
        Packs(copy).read(0, Plan((0.0,)))


@pytest.mark.parametrize("name", ["../shard-00000.arrow", "/etc/passwd", "shard-00001.arrow"])
def test_a_manifest_cannot_name_files_elsewhere(packed, tmp_path, name):
    copy = tmp_path / "copy"
    shutil.copytree(packed, copy)
    values = json.loads((copy / NAME).read_text())
    values["shards"][0]["name"] = name
    (copy / NAME).write_text(json.dumps(values))
    with pytest.raises(InputError, match="damaged"):
        Packs(copy)


def test_a_folder_with_another_pack_is_refused(packed, index, tmp_path):
    manifest = pack(index, packed, SETTINGS, shard_bytes=40_000)
    assert manifest == Packs(packed).manifest
    with pytest.raises(InputError, match="another folder"):
        pack(index, packed, PackSettings())


def test_interrupted_it_goes_on_and_gives_the_same_files(index, packed, folder, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    pack(index, whole, SETTINGS, shard_bytes=40_000)

    def dying(job, requests, **options):
        for count, answer in enumerate(in_this_process(job, requests)):
            if count == 3:
                raise KeyboardInterrupt
            yield answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "run_in_children", dying)
        with pytest.raises(KeyboardInterrupt):
            pack(index, halves, SETTINGS, shard_bytes=40_000)
    assert not (halves / NAME).exists()
    with pytest.raises(InputError, match="another pack"):
        pack(index, halves, PackSettings())
    pack(index, halves, SETTINGS, shard_bytes=40_000)
    ours, theirs = ({p.name: p.read_bytes() for p in d.iterdir()} for d in (halves, whole))
    assert ours == theirs


def test_killed_in_the_middle_it_goes_on(index, tmp_path):
    out = tmp_path / "pack"
    code = (
        "import sys, child_jobs; from pretexto.datasets.packs import write as packing\n"
        "from pretexto.datasets.packs.transcode import PackSettings\n"
        "packing._job = child_jobs.pack\n"
        "packing.pack(sys.argv[1], sys.argv[2], PackSettings(48), shard_bytes=1)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(child_jobs.__file__).parent)}
    command = [sys.executable, "-P", "-c", code, str(index), str(out)]
    first = subprocess.Popen(command, env={**env, "SLOWLY": "1"}, stderr=subprocess.DEVNULL)
    while not (out / "shard-00001.arrow").exists():
        assert first.poll() is None
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not (out / NAME).exists()
    kept = (out / "shard-00000.arrow").stat().st_mtime_ns
    pack(index, out, PackSettings(48), shard_bytes=1)
    assert (out / "shard-00000.arrow").stat().st_mtime_ns == kept
    assert len(Packs(out)) == 5
    assert not [name for name, fault in verify(out) if fault]
    assert not list(out.glob("*.part"))


def test_packs_are_read_without_any_media_library(packed):
    code = """
import sys
class Wall:
    def find_spec(self, name, *rest):
        if name in ("av", "cv2", "decord", "torchvision", "torchaudio", "PIL", "soundfile"):
            raise ImportError(name)
sys.meta_path.insert(0, Wall())
from pretexto.datasets.packs import Packs
from pretexto.modalities.media import AudioSpan, Plan
packs = Packs(sys.argv[1])
plan = Plan((0.1, 0.5), AudioSpan(0.2, 0.3, 16000), ((0.0, 0.1),), short_side=32)
sample = packs.read(0, plan)
print(packs.info(0).duration, sample.frames.shape, sample.audio.shape, sample.flow.shape)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(packed)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "[2, 3, 32, 43]" in done.stdout


def test_reads_leave_memory_and_descriptors_flat(packed):
    reads_stay_flat(packed, 300)


@pytest.mark.slow
def test_reads_of_real_clips_leave_memory_flat(tmp_path):
    scan(shared_data("video/jhmdb8"), tmp_path / "index.parquet")
    pack(tmp_path / "index.parquet", tmp_path / "pack", shard_bytes=1 << 20)
    reads_stay_flat(tmp_path / "pack", 10_000)


def reads_stay_flat(folder: Path, count: int) -> None:
    import psutil

    me, packs = psutil.Process(), Packs(folder)
    frames = [i for i in range(len(packs)) if packs.info(i).has_video]

    def reads():
        for k in range(count):
            i = frames[k % len(frames)]
            packs.read(i, Plan((0.1, 0.2, 0.3), past_end="repeat"))

    reads()
    memory, files = me.memory_info().rss, me.num_fds()
    reads()
    assert me.memory_info().rss - memory < 16 * 2**20
    assert me.num_fds() <= files + 64


def test_packs_travel_to_workers(packed):
    packs = Packs(packed)
    before = packs.read(0, Plan((0.1,)))
    copy = travelled(packs)
    assert copy.read(0, Plan((0.1,))).frames.equal(before.frames)
    assert torch.equal(copy.read(0, Plan((0.1,))).times, before.times)
