"""Pictures with masks: PASCAL VOC in a made-up tree of its official form, and two plain folders."""

import numpy as np
import pytest
from PIL import Image

from pretexto.datasets.open import open_source
from pretexto.datasets.public.voc import CLASSES
from pretexto.errors import InputError
from pretexto.modalities.media import MediaError, Plan

ONCE = Plan(times=(0.0,))


def picture(file, size=(20, 12), level=90):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(file)


def numbers(file, values, mode="P"):
    """A PNG of these numbers; with a palette its colours are not the numbers."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, np.uint8), "L")
    if mode == "P":
        image = image.copy()
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette([(7 * k) % 256 for k in range(768)])
    image.save(file)


def drawn(seed=0, size=(12, 20), most=21):
    out = np.random.default_rng(seed).integers(0, most, size)
    out[0] = 255
    return out


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "voc"
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000032\n2007_000039\n")
    (lists / "val.txt").write_text("2007_000033\n")
    (lists / "trainval.txt").write_text("2007_000032\n2007_000033\n2007_000039\n")
    (lists / "test.txt").write_text("2008_000006\n")
    for k, name in enumerate(("2007_000032", "2007_000039", "2007_000033", "2008_000006")):
        picture(root / "JPEGImages" / f"{name}.jpg")
        if k < 3:
            numbers(root / "SegmentationClass" / f"{name}.png", drawn(k))
    return root


@pytest.mark.parametrize("unpacked", [".", "VOCdevkit/VOC2012"])
def test_voc_has_its_parts_and_the_numbers_that_its_palettes_stand_for(tree, tmp_path, unpacked):
    if unpacked != ".":
        (tmp_path / "top" / "VOCdevkit").mkdir(parents=True)
        tree.rename(tmp_path / "top" / unpacked)
    source = open_source(f"voc:{tree if unpacked == '.' else tmp_path / 'top'}")
    assert [source.name(i) for i in range(3)] == [
        "JPEGImages/2007_000032.jpg", "JPEGImages/2007_000039.jpg", "JPEGImages/2007_000033.jpg",
    ]  # fmt: skip
    assert list(source.splits()) == ["train", "train", "val"]
    assert source.mask_classes == CLASSES
    assert len(CLASSES) == 21
    assert CLASSES[15] == "person"
    for i in range(3):
        masks = source.masks(i, ONCE)
        assert masks.dtype == np.uint8
        assert (masks == drawn(i)[None]).all()
    assert source.read(0, ONCE).frames.shape == (1, 3, 12, 20)


def test_voc_without_its_parts_is_one_line(tree, tmp_path):
    with pytest.raises(InputError, match="expected the folder JPEGImages"):
        open_source(f"voc:{tmp_path}")
    (tree / "JPEGImages" / "2007_000033.jpg").unlink()
    with pytest.raises(InputError, match=r"1 of the 3 files .* JPEGImages.2007_000033.jpg"):
        open_source(f"voc:{tree}")
    (tree / "ImageSets" / "Segmentation" / "train.txt").unlink()
    (tree / "ImageSets" / "Segmentation" / "val.txt").unlink()
    with pytest.raises(InputError, match=r"neither train.txt nor val.txt"):
        open_source(f"voc:{tree}")


@pytest.mark.parametrize("named", [True, False])
def test_two_folders_are_pictures_and_masks(tmp_path, named):
    for part in ("train", "test"):
        for k in range(2):
            picture(tmp_path / "images" / part / f"{k}.jpg")
            numbers(tmp_path / "masks" / part / f"{k}.png", drawn(k, most=3), "L")
    if named:
        (tmp_path / "classes.txt").write_text("table\ncup\nspoon\nfork\n")
    source = open_source(f"masks:{tmp_path}")
    assert [source.name(i) for i in range(4)] == [
        "images/test/0.jpg", "images/test/1.jpg", "images/train/0.jpg", "images/train/1.jpg"
    ]  # fmt: skip
    assert list(source.splits()) == ["test", "test", "train", "train"]
    assert source.mask_classes == (("table", "cup", "spoon", "fork") if named else ("0", "1", "2"))
    assert (source.masks(1, ONCE) == drawn(1, most=3)).all()


@pytest.mark.parametrize("lacking", ["images", "masks", "pictures"])
def test_folders_that_are_not_there_are_named(tmp_path, lacking):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    if lacking == "pictures":
        with pytest.raises(InputError, match="images: no pictures there"):
            open_source(f"masks:{tmp_path}")
        return
    (tmp_path / lacking).rmdir()
    with pytest.raises(InputError, match=f"no folder {lacking} there"):
        open_source(f"masks:{tmp_path}")


def test_a_mask_that_cannot_be_read_is_named_with_the_reason(tmp_path):
    for k in range(4):
        picture(tmp_path / "images" / f"{k}.jpg")
    numbers(tmp_path / "masks" / "0.png", drawn(0, most=2))
    Image.new("RGB", (20, 12)).save(tmp_path / "masks" / "1.png")
    (tmp_path / "masks" / "2.png").write_bytes(b"no picture")
    source = open_source(f"masks:{tmp_path}")
    assert source.mask_classes == ("0", "1")
    for i, why in ((1, "this one is RGB: save it in grey"), (2, "damaged"), (3, "no such file")):
        with pytest.raises(MediaError, match=why):
            source.masks(i, ONCE)


def test_options_that_do_not_apply_are_refused(tmp_path):
    with pytest.raises(InputError, match="table does not apply to pictures with masks"):
        open_source(f"masks:{tmp_path}", table="x.csv")
