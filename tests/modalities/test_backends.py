"""decord and torchcodec give av's frames, or refuse the file in words."""

from fractions import Fraction

import media_factory as make
import numpy as np
import pytest
from helpers import shared_data

from pretexto.modalities.decode.reader import probe, read
from pretexto.modalities.media import MediaError, Plan

BACKENDS = ("decord", "torchcodec")
GAPS = [k / 25 for k in range(50) if k % 4 != 3 and not 20 < k < 30]


@pytest.fixture(params=BACKENDS)
def backend(request) -> str:
    if request.param == "decord":
        pytest.importorskip("decord")
    else:
        # Installed without the FFmpeg libraries it needs, torchcodec raises RuntimeError.
        pytest.importorskip("torchcodec.decoders", exc_type=(ImportError, OSError, RuntimeError))
    return request.param


def compared(path, backend, count=8, **options) -> float | None:
    """Largest mean difference in grey levels from av's frames, None if the file is refused."""
    duration = probe(path).duration
    times = tuple(np.random.default_rng(0).uniform(0, duration, count).tolist())
    plan = Plan(times=times, **options)
    ours = read(path, plan, "av")
    try:
        theirs = read(path, plan, backend)
    except MediaError:
        return None
    assert theirs.times.equal(ours.times)
    return float((ours.frames.float() - theirs.frames.float()).abs().mean((1, 2, 3)).max())


@pytest.mark.parametrize("folder", ["video/jhmdb8", "av/grid", "av/talkers", "odd"])
def test_real_and_odd_files(backend, folder):
    files = sorted(p for p in shared_data(folder).rglob("*") if p.is_file())
    found = {}
    for path in files[:: max(len(files) // 40, 1)]:
        try:
            watched = probe(path).has_video
        except MediaError:
            continue  # what av refuses is another test's affair
        if watched:
            found[path.name] = compared(path, backend)
    read_at_all = {name: worst for name, worst in found.items() if worst is not None}
    # The same frames through other versions of swscale differ by 2.9 levels at most here.
    assert not {name: worst for name, worst in read_at_all.items() if worst >= 3}
    if folder == "video/jhmdb8":
        assert len(read_at_all) == len(found) > 30
    elif folder != "odd":
        assert not read_at_all  # both lose the first 12 frames of program streams


@pytest.mark.parametrize("bframes", ["0", "3"])
def test_inside_gaps_the_frame_before_stays(backend, tmp_path, bframes):
    options = {"g": "12", "crf": "12", "bf": bframes}
    path = make.write(
        tmp_path / "x.mp4", [make.card(k) for k in range(len(GAPS))], GAPS, options=options
    )
    assert compared(path, backend, 20) == pytest.approx(0, abs=2)


@pytest.mark.parametrize("short_side", [None, 24])
def test_colours_are_the_same_or_refused(backend, tmp_path, short_side):
    picture = np.full((48, 64, 3), (40, 180, 90), np.uint8)
    for colours in ((1, 1), (1, 2), (5, 1), (5, 2)):
        for pixels in ("yuv420p", "yuv444p", "yuv420p10le"):
            path = make.write(
                tmp_path / f"{colours}{pixels}.mkv",
                [picture] * 6,
                [k / 10 for k in range(6)],
                colours=colours,
                pixels=pixels,
            )
            worst = compared(path, backend, 3, short_side=short_side)
            assert worst is None or worst < 3
            if colours == (5, 1) and pixels == "yuv420p":
                assert worst is not None


def test_geometry_is_the_same_or_refused(backend, tmp_path):
    pictures = [np.repeat(make.card(k)[:, :, :1], 3, 2) for k in range(12)]
    seconds = [k / 10 for k in range(12)]
    for name, options in {
        "turned": {"rotation": 90},
        "wide": {"aspect": Fraction(4, 3)},
        "late": {},
    }.items():
        starts = [s + 1.4 for s in seconds] if name == "late" else seconds
        path = make.write(tmp_path / f"{name}.mp4", pictures, starts, **options)
        worst = compared(path, backend)
        assert worst is None or worst < 3, name


def test_refusals_say_so(backend, tmp_path):
    path = make.write(
        tmp_path / "x.mp4", [make.card(1)] * 5, [k / 10 for k in range(5)], rotation=90
    )
    with pytest.raises(MediaError, match=f"open: unsupported by {backend} .*use the backend av"):
        read(path, Plan(times=(0.1,)), backend)
    assert read(path, Plan(times=(0.1,)), "auto").frames.shape == (1, 3, 64, 48)


def test_an_unknown_backend_is_named(tmp_path):
    (tmp_path / "x.mp4").touch()
    with pytest.raises(
        MediaError, match="no such backend as 'magic': auto, av, decord, torchcodec"
    ):
        read(tmp_path / "x.mp4", Plan(times=(0.0,)), "magic")  # type: ignore[arg-type]
