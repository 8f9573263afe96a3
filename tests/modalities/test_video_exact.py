"""The frame at a time is the one a full decode shows then."""

from fractions import Fraction

import av
import media_factory as make
import numpy as np
import pytest
from helpers import shared_data

from pretexto.modalities.decode import packet_index
from pretexto.modalities.decode.reader import probe, read
from pretexto.modalities.media import MediaError, Plan


def full_decode(path) -> tuple[list[Fraction], list[np.ndarray]]:
    """Start times from the first frame on and pictures, in order of presentation."""
    shown = {}
    with av.open(str(path), metadata_errors="replace") as container:
        for frame in container.decode(container.streams.best("video")):
            shown.setdefault(frame.pts * frame.time_base, frame.to_ndarray(format="rgb24"))
    starts = sorted(shown)
    return [s - starts[0] for s in starts], [shown[s] for s in starts]


def assert_exact(path, count=10, backend="av", tolerance=3.0):
    """Random times, asked for together and one by one, give what the full decode gives."""
    starts, pictures = full_decode(path)
    info = probe(path)
    assert info.frames == len(starts)
    times = np.random.default_rng(0).uniform(0, info.duration, count).tolist()
    expected = [max(k for k, s in enumerate(starts) if s <= t) for t in times]
    together = read(path, Plan(times=tuple(times)), backend)
    alone = [read(path, Plan(times=(t,)), backend) for t in times]
    for k, number in enumerate(expected):
        for sample, row in ((together, k), (alone[k], 0)):
            assert float(sample.times[row]) == pytest.approx(float(starts[number]), abs=1e-6)
            picture = sample.frames[row].permute(1, 2, 0).numpy().astype(float)
            # Converters differ by a mean of 1.2 grey levels at most on the real clips.
            assert np.abs(picture - pictures[number]).mean() < tolerance


def cards(tmp_path, seconds, name="clip.mp4", **options):
    pictures = [make.card(k) for k in range(len(seconds))]
    return make.write(tmp_path / name, pictures, seconds, **options)


def numbers(sample) -> list[int]:
    return [make.spelled(x) for x in sample.frames.permute(0, 2, 3, 1).numpy()]


EVEN = [k / 25 for k in range(50)]
GAPS = [k / 25 for k in range(50) if k % 4 != 3 and not 20 < k < 30]
VARYING = np.cumsum([0.0, *(0.01 + 0.07 * ((7 * k) % 5) / 5 for k in range(49))]).tolist()


@pytest.mark.parametrize("seconds", [EVEN, GAPS, VARYING], ids=["even", "gaps", "varying"])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.mov"])
@pytest.mark.parametrize("bframes", ["0", "3"])
def test_generated_files_give_the_frame_that_is_shown(tmp_path, seconds, name, bframes):
    options = {"g": "12", "crf": "12", "bf": bframes}
    path = cards(tmp_path, seconds, name, options=options)
    times = np.random.default_rng(1).uniform(0, seconds[-1], 12)
    # Containers with ticks of a millisecond move a frame by up to half of one.
    times = [t for t in times if min(abs(t - s) for s in seconds) > 1e-3]
    expected = [max(k for k, s in enumerate(seconds) if s <= t) for t in times]
    assert numbers(read(path, Plan(times=tuple(times)))) == expected
    assert [numbers(read(path, Plan(times=(t,))))[0] for t in times] == expected


def test_a_frames_own_start_time_gives_that_frame(tmp_path):
    path = cards(tmp_path, [k * 1001 / 30000 for k in range(40)])
    everything = read(path, Plan(times=tuple(k * 1001 / 30000 for k in range(40))))
    assert numbers(everything) == list(range(40))
    again = read(path, Plan(times=tuple(everything.times.tolist())))
    assert again.times.equal(everything.times)


def test_order_and_repeats_are_kept(tmp_path):
    path = cards(tmp_path, EVEN)
    assert numbers(read(path, Plan(times=(1.0, 0.2, 1.0, 0.04)))) == [25, 5, 25, 1]


def test_zero_is_the_first_frame_wherever_the_container_starts(tmp_path):
    path = cards(tmp_path, [s + 1.4 for s in EVEN], "late.mkv")
    assert probe(path).duration == pytest.approx(2.0, abs=0.05)
    assert numbers(read(path, Plan(times=(0.0, 0.5)))) == [0, 12]


def test_past_the_end(tmp_path):
    path = cards(tmp_path, EVEN)
    times = (-0.1, 1.99, 2.0, 2.1)
    with pytest.raises(MediaError, match="plan"):
        read(path, Plan(times=times))
    assert numbers(read(path, Plan(times=times, past_end="repeat"))) == [0, 49, 49, 49]
    assert numbers(read(path, Plan(times=(-0.09, 2.01, 2.1), past_end="wrap"))) == [47, 0, 2]


def test_far_seeks_in_a_long_file_land_on_the_frame(tmp_path):
    seconds = [k / 50 for k in range(1500)]
    pictures = [make.card(k % 256) for k in range(1500)]
    options = {"g": "250", "crf": "20", "bf": "3", "preset": "ultrafast"}
    path = make.write(tmp_path / "long.mp4", pictures, seconds, options=options)
    probe(path)
    for k in (0, 249, 250, 251, 777, 1499):
        assert numbers(read(path, Plan(times=(k / 50 + 0.001,)))) == [k % 256]


def test_packets_without_frames_are_noticed(tmp_path, monkeypatch):
    """A decoder that skips a frame which the packets promise: the frame before it stays."""
    path = cards(tmp_path, EVEN, options={"g": "12", "bf": "0", "crf": "12"})
    real = packet_index.Medium.decode

    def lossy(medium, packet):
        return [f for f in real(medium, packet) if round(f.time * 25) != 30]

    monkeypatch.setattr(packet_index.Medium, "decode", lossy)
    assert numbers(read(path, Plan(times=(1.21, 1.25)))) == [29, 31]


def test_a_changed_file_is_looked_at_again(tmp_path):
    path = cards(tmp_path, EVEN)
    assert probe(path).frames == 50
    cards(tmp_path, EVEN[:20])
    assert probe(path).frames == 20


@pytest.mark.parametrize("folder", ["video/jhmdb8", "av/grid", "av/talkers"])
def test_real_clips_equal_the_full_decode(folder):
    files = sorted(p for p in shared_data(folder).rglob("*") if p.suffix in (".avi", ".mpg"))
    for path in files[:: max(len(files) // 20, 1)][: 20 if "jhmdb" in folder else 4]:
        assert_exact(path)
