"""Plans, failures, geometry, colour, pictures, flow and leaks."""

import os
from fractions import Fraction

import media_factory as make
import numpy as np
import pytest
import torch
from PIL import Image

from pretexto.modalities.decode.analyze import analyze
from pretexto.modalities.decode.reader import probe, read
from pretexto.modalities.image import resize
from pretexto.modalities.media import AudioSpan, MediaError, Plan


def stripes(height=48, width=64) -> np.ndarray:
    """Left half red, right half blue, a white bar on top: every orientation differs."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2, 0] = 200
    picture[:, width // 2 :, 2] = 200
    picture[: height // 6] = 235
    return picture


def close(frame, picture, tolerance=6.0):
    found = frame.permute(1, 2, 0).numpy().astype(float)
    assert found.shape == picture.shape
    # The edges of 4:2:0 chroma are soft: interiors must agree.
    assert np.median(np.abs(found - picture)) < tolerance
    assert np.abs(found - picture).mean() < tolerance


def clip(tmp_path, picture=None, name="clip.mp4", count=6, **options):
    pictures = [stripes() if picture is None else picture] * count
    return make.write(tmp_path / name, pictures, [k / 10 for k in range(count)], **options)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_is_applied(tmp_path, degrees):
    info = probe(path := clip(tmp_path, rotation=degrees))
    expected = np.rot90(stripes(), degrees // 90)
    assert (info.rotation, info.height, info.width) == (degrees, *expected.shape[:2])
    close(read(path, Plan(times=(0.1,))).frames[0], expected)


def test_pixel_aspect_is_applied(tmp_path):
    path = clip(tmp_path, aspect=Fraction(4, 3))
    assert (probe(path).height, probe(path).width) == (48, 85)
    assert read(path, Plan(times=(0.1,))).frames.shape == (1, 3, 48, 85)
    assert read(path, Plan(times=(0.1,), short_side=24)).frames.shape == (1, 3, 24, 42)


# Matrix and range as H.273 and FFmpeg number them: BT.709, BT.601; limited, full.
@pytest.mark.parametrize("colours", [(1, 1), (1, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("short_side", [None, 24])
def test_colours_survive_matrix_range_and_depth(tmp_path, colours, pixels, short_side):
    picture = np.full((48, 64, 3), (40, 180, 90), np.uint8)
    path = clip(tmp_path, picture, "c.mkv", colours=colours, pixels=pixels)
    frame = read(path, Plan(times=(0.1,), short_side=short_side)).frames[0]
    expected = torch.tensor([40, 180, 90])
    # Taking one matrix or range for the other is off by 8 levels and more.
    assert (frame.float().mean((1, 2)) - expected).abs().max() <= 3


@pytest.mark.parametrize("size", [(47, 63), (48, 63), (47, 64)])
def test_odd_sides(tmp_path, size):
    picture = stripes(*size)
    path = clip(tmp_path, picture, "odd.mkv", codec="ffv1", options={})
    close(read(path, Plan(times=(0.1,))).frames[0], picture)


@pytest.mark.parametrize("junk", [b"", b"no media at all" * 100, b"\xff\xd8\xff" + b"x" * 50])
def test_what_is_no_medium_is_refused(tmp_path, junk):
    path = tmp_path / "junk.mp4"
    path.write_bytes(junk)
    for call in (probe, lambda p: read(p, Plan(times=(0.0,)))):
        with pytest.raises(MediaError, match=r"junk\.mp4: \w+: "):
            call(path)


def test_what_is_not_there_is_refused(tmp_path):
    silent = clip(tmp_path)
    with pytest.raises(MediaError, match="open: No such file"):
        probe(tmp_path / "absent.mp4")
    with pytest.raises(MediaError, match="without sound"):
        read(silent, Plan(audio=AudioSpan(0, 0.1, 8000)))
    with pytest.raises(MediaError, match="no readable video stream 3"):
        read(silent, Plan(times=(0.0,)), video=3)
    sound = make.write(
        tmp_path / "x.wav", sound=np.zeros((1, 4800), np.float32), sound_codec="pcm_s16le"
    )
    with pytest.raises(MediaError, match="without video"):
        read(sound, Plan(times=(0.0,)))


def test_a_truncated_file_is_refused_or_ends_early(tmp_path):
    whole = clip(tmp_path, count=40)
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) // 2])  # the index of an MP4 lies at its end
    with pytest.raises(MediaError, match="open"):
        probe(whole)


def test_strict_reading_refuses_damage(tmp_path):
    pictures = [np.random.default_rng(k).integers(0, 256, (48, 64, 3), np.uint8) for k in range(30)]
    path = make.write(tmp_path / "x.mp4", pictures, [k / 30 for k in range(30)])
    plan = Plan(times=(0.0, 0.5, 0.95))
    read(path, plan, strict=True)
    for deaf in ("decord", "torchcodec"):
        with pytest.raises(MediaError, match="unsupported"):
            read(path, plan, deaf, strict=True)
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    data[third : third + 4000] = np.random.default_rng(0).bytes(4000)
    path.write_bytes(data)
    read(path, plan)  # its timeline is known now: strict reading must listen for itself
    for _ in range(2):
        with pytest.raises(MediaError, match="damaged"):
            read(path, plan, strict=True)


def test_a_complaint_is_heard_of_every_file_that_gives_it(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    data = clip(tmp_path, noise, "x.mkv", 20, codec="ffv1", options={}).read_bytes()
    for name in ("a.mkv", "b.mkv"):
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    first, second = (analyze(tmp_path / name).errors for name in ("a.mkv", "b.mkv"))
    assert first == second != ()


PICTURES = {"a.png": {}, "a.jpg": {"quality": 95}, "a.webp": {"quality": 95}, "a.bmp": {}}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(tmp_path, name):
    Image.fromarray(stripes()).save(tmp_path / name, **PICTURES[name])
    info = probe(tmp_path / name)
    assert (info.kind, info.height, info.width) == ("image", 48, 64)
    sample = read(tmp_path / name, Plan(times=(0.0, 3.0)))
    assert sample.frames.shape == (2, 3, 48, 64)
    close(sample.frames[0], stripes())


def test_pictures_stand_upright_and_are_rgb(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    Image.fromarray(stripes()).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    info = probe(tmp_path / "turned.jpg")
    assert (info.height, info.width, info.rotation) == (64, 48, 270)
    close(read(tmp_path / "turned.jpg", Plan(times=(0.0,))).frames[0], np.rot90(stripes(), -1))
    Image.fromarray(stripes()).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    close(read(tmp_path / "cmyk.jpg", Plan(times=(0.0,))).frames[0], stripes())
    deep = (np.arange(48 * 64).reshape(48, 64) * 21).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    frame = read(tmp_path / "deep.png", Plan(times=(0.0,))).frames[0]
    assert np.array_equal(frame[0].numpy(), deep >> 8)


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png"])
def test_a_truncated_picture_is_refused(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(MediaError, match="decode"):
        read(tmp_path / name, Plan(times=(0.0,)))


def test_damage_that_pillow_passes_over_is_told(tmp_path):
    path = tmp_path / "a.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for mode in ("RGB", "L", "CMYK"):
        Image.fromarray(noise).convert(mode).save(path, quality=90, progressive=mode == "L")
        assert analyze(path).errors == ()
        read(path, Plan(times=(0.0,)), strict=True)
    Image.fromarray(noise).save(path, quality=90)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff\xd3" * 20  # restarts that were not agreed
    path.write_bytes(data)
    read(path, Plan(times=(0.0,)))
    assert "Corrupt JPEG" in analyze(path).errors[0]
    with pytest.raises(MediaError, match="damaged: Corrupt JPEG"):
        read(path, Plan(times=(0.0,)), strict=True)


def test_an_animated_gif_is_video(tmp_path):
    frames = [Image.fromarray(make.card(k)) for k in range(5)]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    assert (probe(path).kind, probe(path).frames) == ("video", 5)
    sample = read(path, Plan(times=(0.05, 0.25, 0.45)))
    assert [make.spelled(x) for x in sample.frames.permute(0, 2, 3, 1).numpy()] == [0, 2, 4]


def test_resize_is_antialiased():
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 255
    frames = board.to(torch.uint8).expand(2, 3, 64, 64)
    small = resize(frames, 16)
    assert small.shape == (2, 3, 16, 16)
    assert (small.float() - 127.5).abs()[..., 2:-2, 2:-2].max() < 3
    assert resize(torch.rand(3, 40, 60), 20).shape == (3, 20, 30)


def test_flow_is_the_displacement_at_the_returned_size(tmp_path):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
    world = np.asarray(coarse.resize((256, 192), Image.Resampling.BICUBIC))
    pictures = [np.roll(world, (2 * k, 4 * k), (0, 1)) for k in range(4)]
    path = make.write(tmp_path / "m.mp4", pictures, [k / 10 for k in range(4)])
    for short_side, scale in ((None, 1.0), (96, 0.5)):
        plan = Plan(flow=((0.0, 0.1), (0.2, 0.1)), short_side=short_side)
        flow = read(path, plan).flow
        middle = flow[:, :, 20:-20, 20:-20].median(-1).values.median(-1).values
        assert torch.allclose(middle[0], torch.tensor([4.0, 2.0]) * scale, atol=0.25)
        assert torch.allclose(middle[1], -torch.tensor([4.0, 2.0]) * scale, atol=0.25)


def test_opening_leaks_no_descriptors(tmp_path):
    path = clip(tmp_path, sound=np.zeros((1, 28_800), np.float32))
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(path.read_bytes()[:600])
    before = None
    for k in range(150):
        read(path, Plan(times=(0.1 + k * 1e-3,), audio=AudioSpan(0, 0.2, 8000)))
        with pytest.raises(MediaError):
            probe(bad)
        if k == 20:
            before = len(os.listdir("/proc/self/fd"))
    assert len(os.listdir("/proc/self/fd")) <= before
