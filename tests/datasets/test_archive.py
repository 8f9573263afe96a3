"""Zip and tar archives read in place: classes of their folders, nothing outside them."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fakes import fake_task
from helpers import shared_data, travelled
from PIL import Image

from pretexto.datasets.archive import Archive
from pretexto.datasets.folder import Folder
from pretexto.datasets.open import open_source
from pretexto.errors import InputError
from pretexto.modalities.decode.reader import read
from pretexto.modalities.media import MediaError, Plan
from pretexto.training.data import Examples, make_loader
from pretexto.training.sampler import Schedule

HERE = Plan((0.0,))
CLASSES = ("n01440764", "n01443537")


def picture(grey: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((8, 9, 3), grey, np.uint8)).save(out, "png")
    return out.getvalue()


MEMBERS = {f"{c}/{c}_{k}.png": picture(100 * n + k) for n, c in enumerate(CLASSES) for k in (1, 2)}


def zipped(path: Path, members: dict[str, bytes], method=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return path


def tarred(path: Path, members: dict[str, bytes], *links: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as out:
        for name, data in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            out.addfile(about, io.BytesIO(data))
        for link in links:
            out.addfile(link)
    return path


def of_tars(path: Path) -> Path:
    """As ILSVRC2012_img_train.tar is: one tar for each class."""
    inner = {}
    for name in CLASSES:
        mine = {k.split("/")[1]: v for k, v in MEMBERS.items() if k.startswith(name)}
        inner[f"{name}.tar"] = tarred(path.with_name(f"{name}.part"), mine).read_bytes()
    return tarred(path, inner)


MADE = {
    "stored.zip": lambda path: zipped(path, MEMBERS, zipfile.ZIP_STORED),
    "deflated.zip": lambda path: zipped(path, MEMBERS),
    "within.zip": lambda path: zipped(path, {f"imagenet/{k}": v for k, v in MEMBERS.items()}),
    "plain.tar": lambda path: tarred(path, {f"./{k}": v for k, v in MEMBERS.items()}),
    "classes.tar": of_tars,
}


@pytest.mark.parametrize("name", MADE)
def test_an_archive_is_read_as_the_folder_that_it_holds(name, tmp_path):
    source = open_source(str(MADE[name](tmp_path / name)))
    there = tmp_path / "unpacked"
    for member, data in MEMBERS.items():
        (there / member).parent.mkdir(parents=True, exist_ok=True)
        (there / member).write_bytes(data)
    folder = Folder(there)
    assert source.fingerprint() == folder.fingerprint()
    assert source.classes == folder.classes == CLASSES
    for i in range(4):
        assert source.read(i, HERE).frames.equal(folder.read(i, HERE).frames)
        assert (source.info(i).height, source.info(i).width) == (8, 9)
    assert not (tmp_path / "n01440764").exists()


def test_splits_are_folders_too_and_hidden_members_are_left_out(tmp_path):
    members = {f"{part}/{k}": v for part in ("train", "val") for k, v in MEMBERS.items()}
    hidden = {"__MACOSX/train/x.png": b"", "train/.DS_Store": b"", "train/._a.png": b""}
    source = open_source(str(zipped(tmp_path / "x.zip", {**members, **hidden})), "val")
    assert len(source) == 4
    assert source.classes == CLASSES
    assert source.name(0) == "val/n01440764/n01440764_1.png"


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "C:\\evil.png"])
@pytest.mark.parametrize("make", [zipped, tarred])
def test_members_that_lead_out_are_refused(name, make, tmp_path):
    path = make(tmp_path / ("x.zip" if make is zipped else "x.tar"), {**MEMBERS, name: b"x"})
    with pytest.raises(InputError, match="leads out of it"):
        Archive(path)


def test_links_in_a_tar_are_not_followed(tmp_path):
    link = tarfile.TarInfo("n01440764/link.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
    source = Archive(tarred(tmp_path / "x.tar", MEMBERS, link))
    assert len(source) == 4


def test_damage_is_one_line(tmp_path):
    (tmp_path / "no.zip").write_bytes(b"no archive")
    (tmp_path / "no.tar").write_bytes(b"no archive" * 100)
    for name in ("no.zip", "no.tar"):
        with pytest.raises(InputError, match=r"no (zip|tar) archive, or damaged"):
            open_source(str(tmp_path / name))
    whole = tarred(tmp_path / "x.tar", MEMBERS)
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole.read_bytes()[:1600])
    with pytest.raises(InputError, match=r"cut short|damaged"):
        Archive(cut)
    packed = zipped(tmp_path / "x.zip", MEMBERS, zipfile.ZIP_STORED)
    data = bytearray(packed.read_bytes())
    data[60] ^= 1  # within the first picture
    packed.write_bytes(data)
    source = Archive(packed)
    with pytest.raises(MediaError, match=r"x\.zip/n01440764/n01440764_1\.png.*checksum"):
        source.read(0, HERE)
    assert source.read(1, HERE).frames.unique().tolist() == [2]
    bare = zipped(tmp_path / "bare.zip", {"readme.txt": b"x"})
    with pytest.raises(InputError, match="no media in the archive"):
        Archive(bare)
    with pytest.raises(InputError, match="table does not apply to an archive"):
        open_source(str(whole), table="x.csv")


def test_workers_read_it_side_by_side_and_after_being_sent(tmp_path):
    pictures = {f"{c}/{k}.png": picture(k + 20 * (c == "b")) for c in "ab" for k in range(16)}
    source = Archive(zipped(tmp_path / "x.zip", pictures))
    sent = travelled(source)
    assert (
        sent.read(3, HERE).frames.unique().tolist() == source.read(3, HERE).frames.unique().tolist()
    )
    loader = make_loader(Examples(source, Grey(), 0), Schedule(32, 4, 8), workers=3)
    found = {}
    for loaded in loader:
        assert not loaded.lost
        found |= dict(zip(*(loaded.batch[k].tolist() for k in ("index", "grey")), strict=True))
    assert found == {
        i: int(read(pictures[source.name(i)], HERE).frames[0, 0, 0, 0]) for i in range(32)
    }


class Grey(type(fake_task())):
    """Gives the grey of a picture."""

    def __init__(self):
        super().__init__(*fake_task().encoders.values())

    def plan(self, info, rng):
        return HERE

    def example(self, sample, rng):
        return {"grey": sample.frames[0, 0, 0, 0].long()}


def test_cifar_as_a_zip_of_pictures():
    path = shared_data("images") / "cifar10_jpeg.zip"
    source = open_source(str(path), "train")
    assert len(source.classes) == 10
    counts = np.bincount(source.labels())
    assert len(set(counts)) == 1
    with zipfile.ZipFile(path) as opened:
        for i in (0, len(source) // 2, len(source) - 1):
            expected = read(opened.read(source.name(i)), HERE).frames
            assert source.read(i, HERE).frames.equal(expected)
