"""Downloads from a server of our own: resumed, checked, unpacked, and nowhere but in the folder."""

import json
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from archive_server import rar, serving, zipped

from pretexto import cli
from pretexto.datasets.open import open_source
from pretexto.datasets.public import download as module
from pretexto.datasets.public.archive import unpack
from pretexto.datasets.public.download import CATALOGUE, download, fetch, sha256
from pretexto.errors import InputError

VIDEOS = {
    f"UCF-101/{c}/v_{c}_g0{g}_c01.avi": "film " * g for c in ("Archery", "YoYo") for g in (1, 8)
}
LISTS = {"ucfTrainTestlist/classInd.txt": "1 Archery\n2 YoYo\n"}
for _k in (1, 2, 3):
    for _part, _g in (("train", 8), ("test", 1)):
        _rows = "".join(f"{c}/v_{c}_g0{_g}_c01.avi\n" for c in ("Archery", "YoYo"))
        LISTS[f"ucfTrainTestlist/{_part}list0{_k}.txt"] = _rows
BIG = os.urandom(3_000_000)


@pytest.fixture
def site():
    with serving() as found:
        yield found


@pytest.fixture
def ucf(site):
    """UCF101 as the catalogue has it, offered by this machine; zips stand for the rars."""
    return offered(site, "ucf101", [zipped(LISTS), zipped(VIDEOS)])


def offered(site, name, contents, checksum=None):
    archives = [
        replace(a, url=site.offer(a.name, data), sha256=checksum or "", source="the makers")
        for a, data in zip(CATALOGUE[name].archives, contents, strict=True)
    ]
    return replace(CATALOGUE[name], archives=tuple(archives))


def everything(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_ucf101_lies_where_it_is_read(ucf, tmp_path):
    said = fetch(ucf, tmp_path)
    source = open_source(f"ucf101-2:{tmp_path}")
    assert len(source) == 4
    assert {source.split(i) for i in range(4)} == {"train", "test"}
    assert (tmp_path / "UCF-101/YoYo/v_YoYo_g08_c01.avi").read_text() == VIDEOS[
        "UCF-101/YoYo/v_YoYo_g08_c01.avi"
    ]
    assert sum("could not be compared" in line for line in said) == 2
    assert said[-2].startswith("4 videos of split 1 are there: --data ucf101:")
    assert said[-1].endswith(ucf.page)


def test_hmdb51_is_an_archive_of_archives(site, tmp_path):
    clips = {c: {f"{c}/a #{k} [x].avi": f"{c}{k}" for k in range(3)} for c in ("run", "sit")}
    splits = {f"testTrainMulti_7030_splits/{c}_test_split{k}.txt": "".join(
        f"a #{n} [x].avi {n} \n" for n in range(3)) for c in clips for k in (1, 2, 3)}  # fmt: skip
    whole = {f"{c}.rar": zipped(files).decode("latin-1") for c, files in clips.items()}
    # Contents of a zip's members are text in these helpers; these are bytes.
    inner = {name: text.encode("latin-1") for name, text in whole.items()}
    published = offered(site, "hmdb51", [zipped(splits), zipped_bytes(inner)])
    fetch(published, tmp_path)
    assert len(open_source(f"hmdb51:{tmp_path}")) == 4
    assert (tmp_path / "hmdb51_org/sit/a #2 [x].avi").read_text() == "sit2"
    assert not list(tmp_path.rglob("hmdb51_org/*.rar"))


def zipped_bytes(members):
    import io
    import zipfile

    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return held.getvalue()


def test_hmdb51_goes_on_among_its_classes(site, tmp_path, monkeypatch):
    """Stopped after a class was unpacked, but before its archive was deleted."""
    inner = {f"{c}.rar": zipped({f"{c}/x.avi": c}) for c in ("run", "sit")}
    published = offered(site, "hmdb51", [zipped({}), zipped_bytes(inner)])
    real, calls = Path.unlink, []

    def stopped(path, **keywords):
        if path.name == "run.rar" and not calls:
            calls.append(path)
            raise KeyboardInterrupt
        real(path, **keywords)

    monkeypatch.setattr(Path, "unlink", stopped)
    archive = published.archives[1]
    with pytest.raises(KeyboardInterrupt):
        module._bring(published, archive, tmp_path)
    assert not (tmp_path / "hmdb51_org").exists()
    module._bring(published, archive, tmp_path)
    assert everything(tmp_path / "hmdb51_org") == {"run/x.avi", "sit/x.avi"}


def test_a_second_call_does_nothing_and_asks_for_nothing(ucf, site, tmp_path):
    fetch(ucf, tmp_path)
    before = len(site.asked)
    said = fetch(ucf, tmp_path)
    assert len(site.asked) == before
    assert sum("is there already" in line for line in said) == 2


def test_an_archive_put_there_by_hand_is_taken(ucf, site, tmp_path):
    (tmp_path / "archives").mkdir()
    site.files.clear()
    for archive, members in zip(ucf.archives, (LISTS, VIDEOS), strict=True):
        (tmp_path / "archives" / archive.name).write_bytes(zipped(members))
    fetch(ucf, tmp_path)
    assert site.asked == []


def test_what_the_server_does_not_have_is_named_with_the_remedy(ucf, site, tmp_path):
    site.files.clear()
    with pytest.raises(InputError, match=r"404 Not Found; or get it by hand from https.*archives"):
        fetch(ucf, tmp_path)


# Checksums


def test_a_wrong_checksum_stops_before_anything_is_unpacked(site, tmp_path):
    published = offered(site, "ucf101", [zipped(LISTS), zipped(VIDEOS)], checksum="0" * 64)
    with pytest.raises(InputError, match="but the makers says 0000"):
        fetch(published, tmp_path)
    (left,) = everything(tmp_path)
    assert left == f"archives/{published.archives[0].name}.wrong"


def test_a_right_checksum_is_named(site, tmp_path):
    published = offered(site, "ucf101", [zipped(LISTS), zipped(VIDEOS)])
    sums = []
    for archive in published.archives:
        download(archive.url, tmp_path / "sum")
        sums.append(sha256(tmp_path / "sum"))
    archives = tuple(replace(a, sha256=s) for a, s in zip(published.archives, sums, strict=True))
    said = fetch(replace(published, archives=archives), tmp_path / "out")
    assert sum(line.endswith("sha256 as in the makers") for line in said) == 2


def test_what_was_recorded_at_first_holds_from_then_on(ucf, site, tmp_path):
    fetch(ucf, tmp_path)
    name = ucf.archives[1].name
    record = json.loads((tmp_path / "archives" / "checksums.json").read_text())
    assert record[name]["sha256"] == sha256(tmp_path / "archives" / name)
    shutil.rmtree(tmp_path / "UCF-101")
    (tmp_path / "archives" / name).unlink()
    site.offer(name, zipped(VIDEOS | {"UCF-101/other.avi": "x"}))
    with pytest.raises(InputError, match=r"checksums\.json, of 2"):
        fetch(ucf, tmp_path)
    assert not (tmp_path / "UCF-101").exists()
    site.offer(name, zipped(VIDEOS))
    assert "sha256 as in checksums.json" in fetch(ucf, tmp_path)[1]


# Downloads


def test_a_broken_connection_is_taken_up_where_it_broke(site, tmp_path):
    url = site.offer("big", BIG)
    site.cut = [1_200_000, 900_000]
    download(url, tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == BIG
    assert [r for _, r in site.asked] == [None, "bytes=1200000-", "bytes=2100000-"]
    assert everything(tmp_path) == {"big"}


def test_a_later_call_goes_on_and_a_changed_file_starts_anew(site, tmp_path):
    url = site.offer("big", BIG)
    site.cut = [1_000_000, 0]
    with pytest.raises(InputError, match=r"early after 1\.0 MiB; the same command goes on"):
        download(url, tmp_path / "big")
    assert not (tmp_path / "big").exists()
    other = os.urandom(2_000_000)
    site.offer("big", other, tag='"v2"')
    download(url, tmp_path / "big")
    assert site.asked[-1][1] == "bytes=1000000-"
    assert (tmp_path / "big").read_bytes() == other


def test_parts_are_joined_only_if_the_server_names_the_version(site, tmp_path):
    for tag in (None, 'W/"weak"'):
        url = site.offer("big", BIG, tag=tag)
        # What was fetched cannot be trusted, so no attempt has more than the one before.
        site.asked, site.cut = [], [1_000_000, 0]
        with pytest.raises(InputError):
            download(url, tmp_path / "big")
        download(url, tmp_path / "big")
        assert {r for _, r in site.asked} == {None}
        assert (tmp_path / "big").read_bytes() == BIG
        (tmp_path / "big").unlink()


def test_a_part_that_is_whole_already_is_finished(site, tmp_path):
    url = site.offer("big", BIG)
    (tmp_path / "big.part").write_bytes(BIG)
    (tmp_path / "big.tag").write_text('"v1"')
    download(url, tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == BIG


def test_only_https_is_followed(site, tmp_path):
    with pytest.raises(InputError, match="only https"):
        download("http://example.org/x.zip", tmp_path / "x")
    with pytest.raises(InputError, match="only https"):
        download("file:///etc/passwd", tmp_path / "x")
    site.moved["a"] = "http://example.org/x.zip"
    with pytest.raises(InputError, match="only https"):
        download(f"{site.address}/a", tmp_path / "x")
    assert not everything(tmp_path)
    assert all(a.url.startswith("https://") for p in CATALOGUE.values() for a in p.archives)


# Archives that nobody should trust

EVIL = {
    "up": {"../evil.txt": "x"},
    "up inside": {"a/../../evil.txt": "x"},
    "backslash": {"..\\evil.txt": "x"},
    "absolute": {"/tmp/pretexto-evil.txt": "x"},
    "drive": {"C:/evil.txt": "x"},
    "link": {"a/link": "LINK:/etc/passwd"},
    "through a link": {"a": "LINK:..", "a/evil.txt": "x"},
}


@pytest.mark.parametrize("kind", EVIL)
@pytest.mark.parametrize("pack", [zipped, rar])
def test_nothing_leaves_the_folder(tmp_path, kind, pack):
    if pack is rar and not (shutil.which("bsdtar") or shutil.which("unrar")):
        pytest.skip("neither bsdtar nor unrar: apt install libarchive-tools")
    archive = tmp_path / "archive"
    archive.write_bytes(pack({"good/file.txt": "x", **EVIL[kind]}))
    with pytest.raises(InputError, match=r"leads out of the folder|is a link"):
        unpack(archive, tmp_path / "out" / "data")
    assert everything(tmp_path) == {"archive"}
    assert not Path("/tmp/pretexto-evil.txt").exists()


def test_rar_is_unpacked_by_a_tool(tmp_path):
    if not (shutil.which("bsdtar") or shutil.which("unrar")):
        pytest.skip("neither bsdtar nor unrar: apt install libarchive-tools")
    (tmp_path / "a.rar").write_bytes(rar({"UCF-101/a b/c #1 [x].avi": "hello", "UCF-101/d": "1"}))
    unpack(tmp_path / "a.rar", tmp_path / "out")
    assert everything(tmp_path / "out") == {"UCF-101/a b/c #1 [x].avi", "UCF-101/d"}
    assert (tmp_path / "out/UCF-101/a b/c #1 [x].avi").read_text() == "hello"


def test_without_a_tool_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a.rar").write_bytes(rar({"x": "y"}))
    with pytest.raises(InputError, match="need bsdtar or unrar on the PATH; install") as caught:
        unpack(tmp_path / "a.rar", tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_links_that_a_tool_brings_unannounced_are_refused(tmp_path, monkeypatch):
    """A tool whose list says nothing of the link that it makes."""
    tool = tmp_path / "bin" / "unrar"
    tool.parent.mkdir()
    listing = "printf '        Name: a\\n        Type: File\\n'"
    tool.write_text(f'#!/bin/sh\ncase $1 in lt) {listing};; x) /bin/ln -s /etc "$7a";; esac\n')
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tool.parent))
    (tmp_path / "a.rar").write_bytes(rar({"a": "y"}))
    with pytest.raises(InputError, match="member 'a' is a link"):
        unpack(tmp_path / "a.rar", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_damaged_or_foreign_files_and_things_in_the_way_are_named(tmp_path):
    whole = zipped({"a/x": "hello " * 900})
    (tmp_path / "page").write_text("<html>please log in</html>")
    with pytest.raises(InputError, match="neither zip nor rar; the server may have sent a page"):
        unpack(tmp_path / "page", tmp_path / "out")
    at = whole.index(b"a/x") + 8
    (tmp_path / "torn").write_bytes(whole[:at] + b"\0\0\0\0" + whole[at + 4 :])
    with pytest.raises(InputError, match="damaged"):
        unpack(tmp_path / "torn", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    (tmp_path / "good").write_bytes(whole)
    unpack(tmp_path / "good", tmp_path / "out")
    with pytest.raises(InputError, match="is there already; remove it"):
        unpack(tmp_path / "good", tmp_path / "out")


def test_the_command(ucf, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(module.CATALOGUE, "ucf101", ucf)
    assert cli.main(["fetch", "ucf101", "--out", str(tmp_path)]) == 0
    assert f"--data ucf101:{tmp_path}" in capsys.readouterr().out
    assert cli.main(["fetch", "ucf10", "--out", str(tmp_path)]) == 2
    assert "did you mean ucf101?" in capsys.readouterr().err
