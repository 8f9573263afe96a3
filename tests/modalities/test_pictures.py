"""Pictures of unusual kinds: each right, or refused in one clear line."""

import media_factory as make
import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from pretexto.modalities.decode import demuxer
from pretexto.modalities.decode.reader import probe, read
from pretexto.modalities.media import MediaError, Plan

STILL = Plan(times=(0.0,))


def cards(count: int = 3) -> list[Image.Image]:
    return [Image.fromarray(make.card(k + 1)) for k in range(count)]


def shown(path, *times: float) -> list[int]:
    """The numbers that the cards at these times spell."""
    frames = read(path, Plan(times=times)).frames
    return [make.spelled(x.permute(1, 2, 0).numpy()) for x in frames]


@pytest.mark.parametrize("suffix", ["gif", "png", "avif"])
def test_pictures_that_move_are_films(tmp_path, suffix):
    first, *rest = cards()
    path = tmp_path / f"moving.{suffix}"
    first.save(path, save_all=True, append_images=rest, duration=100)
    info = probe(path)
    assert (info.kind, info.frames) == ("video", 3)
    assert info.duration == pytest.approx(0.3, abs=0.05)
    assert shown(path, 0.0, 0.15, 0.25) == [1, 2, 3]


def test_a_webp_that_moves_is_refused_in_one_line(tmp_path):
    first, *rest = cards()
    path = tmp_path / "moving.webp"
    first.save(path, save_all=True, append_images=rest, duration=100)
    with pytest.raises(MediaError, match="WebP picture that moves.*convert it"):
        probe(path)
    first.save(tmp_path / "still.webp", lossless=True)
    assert shown(tmp_path / "still.webp", 0.0) == [1]


def test_pages_are_no_film(tmp_path):
    first, *rest = cards()
    path = tmp_path / "pages.tif"
    first.save(path, save_all=True, append_images=rest)
    assert probe(path).kind == "image"
    assert shown(path, 0.0) == [1]


@pytest.fixture
def without_pillow(monkeypatch):
    """Pillow that knows no picture of the HEIF family."""

    def refuse(*_, **__):
        raise UnidentifiedImageError("cannot identify image file")

    monkeypatch.setattr(Image, "open", refuse)


@pytest.mark.parametrize("brand", [b"avif", b"mif1"])
def test_avif_is_read_by_ffmpeg_where_pillow_cannot(tmp_path, brand, without_pillow):
    path = tmp_path / "card.avif"
    cards(1)[0].save(path, quality=100)
    data = bytearray(path.read_bytes())
    data[8:12] = brand
    path.write_bytes(data)
    info = probe(path)
    assert (info.kind, info.height, info.width, info.frames) == ("image", 48, 64, 1)
    assert shown(path, 0.0) == [1]


def test_a_broken_picture_of_that_family_is_one_line(tmp_path, without_pillow):
    path = tmp_path / "card.avif"
    cards(1)[0].save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(MediaError) as caught:
        read(path, STILL)
    assert "\n" not in str(caught.value)


def test_a_picture_of_tiles_is_not_taken_for_one_of_them(tmp_path, without_pillow, monkeypatch):
    from av.stream import Disposition

    path = tmp_path / "tiles.avif"
    cards(1)[0].save(path)

    class Tile:
        disposition = Disposition.dependent
        index = 0

    real = demuxer.Medium.__init__

    def first_is_a_tile(self, *args, **kwargs):
        real(self, *args, **kwargs)
        self.video = Tile()

    monkeypatch.setattr(demuxer.Medium, "__init__", first_is_a_tile)
    with pytest.raises(MediaError, match="tiles; convert it"):
        read(path, STILL)


def test_floats_from_0_to_1_are_brightness(tmp_path):
    values = np.linspace(0, 1, 40 * 60, dtype=np.float32).reshape(40, 60)
    path = tmp_path / "float.tif"
    Image.fromarray(values).save(path)
    picture = read(path, STILL).frames[0]
    assert np.abs(picture.numpy() - values * 255).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("values", [np.full((8, 8), 200.0), np.full((8, 8), np.nan)])
def test_other_floats_are_refused_in_one_line(tmp_path, values):
    path = tmp_path / "float.tif"
    Image.fromarray(values.astype(np.float32)).save(path)
    with pytest.raises(MediaError, match="only 0 … 1 mean a brightness"):
        read(path, STILL)


def test_integers_of_32_bits_are_refused_in_one_line(tmp_path):
    path = tmp_path / "deep.tif"
    Image.fromarray(np.arange(64, dtype=np.int32).reshape(8, 8)).save(path)
    with pytest.raises(MediaError, match="32 bits.*save it with 8 or 16"):
        read(path, STILL)


def test_16_bits_keep_their_upper_byte(tmp_path):
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "deep.tif")
    assert np.array_equal(read(tmp_path / "deep.tif", STILL).frames[0, 0].numpy(), values >> 8)
