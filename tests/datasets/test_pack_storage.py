"""Packs behind fsspec: fetched when needed, checked, and kept within a bound."""

import shutil
import signal
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from dataset_kit import without_children
from filelock import FileLock
from PIL import Image

from pretexto.datasets.index.build import scan
from pretexto.datasets.open import open_source
from pretexto.datasets.packs.format import NAME
from pretexto.datasets.packs.source import Packs
from pretexto.datasets.packs.storage import RemoteFolder
from pretexto.datasets.packs.write import pack
from pretexto.errors import InputError
from pretexto.modalities.media import MediaError, Plan

HERE = Plan((0.0,))


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    """Ten pictures in ten shards."""
    root = tmp_path_factory.mktemp("pictures")
    for k in range(10):
        pixels = np.random.default_rng(k).integers(0, 255, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"{k}.png")
    out = tmp_path_factory.mktemp("packs")
    with pytest.MonkeyPatch.context() as patch:
        without_children(patch)
        scan(root, out / "index.parquet")
        pack(out / "index.parquet", out / "pack", shard_bytes=1)
    return out / "pack"


@pytest.fixture
def remote(packed) -> str:
    """The pack in fsspec's memory."""
    import fsspec

    url = f"memory://{uuid.uuid4().hex}/pack"
    system, inside = fsspec.url_to_fs(url)
    system.put(str(packed), inside, recursive=True)
    return url


def kept(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.arrow"))


def test_a_remote_pack_gives_the_same_and_fetches_only_what_is_read(packed, remote, tmp_path):
    here, there = Packs(packed), Packs(remote, cache=tmp_path)
    assert there.fingerprint() == here.fingerprint()
    assert kept(tmp_path) == []
    assert there.read(7, HERE).frames.equal(here.read(7, HERE).frames)
    assert [p.read_bytes() for p in kept(tmp_path)] == [(packed / "shard-00007.arrow").read_bytes()]


def test_the_cache_keeps_to_its_bound_and_drops_what_was_not_used(packed, remote, tmp_path):
    shards = [(packed / f"shard-{k:05d}.arrow").stat().st_size for k in range(10)]
    limit = 3 * max(shards) + (packed / "index.parquet").stat().st_size
    for k in (0, 1, 2, 0, 3, 4):
        # Opened anew each time: a shard that is mapped is not fetched again.
        Packs(remote, cache=tmp_path, cache_bytes=limit).read(k, HERE)
        assert sum(p.stat().st_size for p in tmp_path.iterdir() if p.suffix != ".manifest") <= limit
    names = {file.sha256: k for k, file in enumerate(Packs(packed).manifest.shards)}
    assert {names[p.stem] for p in kept(tmp_path)} >= {3, 4}
    assert {names[p.stem] for p in kept(tmp_path)} <= {0, 3, 4}


def test_damage_and_loss_on_the_way_are_told(packed, remote, tmp_path):
    import fsspec

    system, inside = fsspec.url_to_fs(remote)
    packs = Packs(remote, cache=tmp_path)
    data = bytearray((packed / "shard-00002.arrow").read_bytes())
    data[len(data) // 2] ^= 1
    system.pipe_file(f"{inside}/shard-00002.arrow", bytes(data))
    system.rm(f"{inside}/shard-00003.arrow")
    with pytest.raises(MediaError, match="other content"):
        packs.read(2, HERE)
    with pytest.raises(MediaError, match="cannot be fetched"):
        packs.read(3, HERE)
    assert kept(tmp_path) == []
    assert not list(tmp_path.glob("*.part"))
    assert packs.read(4, HERE).frames.shape == (1, 3, 40, 40)


def test_a_place_without_a_pack_is_a_users_mistake(tmp_path, monkeypatch):
    monkeypatch.setenv("PRETEXTO_CACHE", str(tmp_path))
    for url in ("memory://nothing/here", "nosuch://nothing/here"):
        with pytest.raises(InputError):
            open_source(url)


def test_a_pack_on_s3(packed, tmp_path, monkeypatch):
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    server.start()
    try:
        host, port = server.get_host_and_port()
        options = {"endpoint_url": f"http://{host}:{port}", "use_listings_cache": False}
        system = s3fs.S3FileSystem(**options)
        system.mkdir("bucket")
        system.put(str(packed), "bucket/pack", recursive=True)
        packs = Packs("s3://bucket/pack", cache=tmp_path, options=options)
        here = Packs(packed)
        for k in (0, 9):
            assert packs.read(k, HERE).frames.equal(here.read(k, HERE).frames)
        assert len(kept(tmp_path)) == 2
    finally:
        server.stop()


def test_two_processes_may_share_a_cache(remote, packed, tmp_path):
    one, two = RemoteFolder(remote, cache=tmp_path), RemoteFolder(remote, cache=tmp_path)
    file = Packs(packed).manifest.shards[0]
    assert one.get(file) == two.get(file)
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    assert two.get(file).read_bytes() == (packed / file.name).read_bytes()
    assert one.fetch(NAME).read_bytes() == (packed / NAME).read_bytes()


def test_four_readers_at_once_make_one_download(remote, packed, tmp_path, monkeypatch):
    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem

    fetched, real = [], MemoryFileSystem.get_file

    def slowly(self, source, target, **rest):
        fetched.append(source)
        time.sleep(0.2)
        return real(self, source, target, **rest)

    monkeypatch.setattr(MemoryFileSystem, "get_file", slowly)
    assert fsspec.filesystem("memory") is not None
    file = Packs(packed).manifest.shards[4]
    with ThreadPoolExecutor(4) as pool:
        folders = [RemoteFolder(remote, cache=tmp_path) for _ in range(4)]
        paths = {*pool.map(lambda folder: folder.get(file), folders)}
    assert len(paths) == len(fetched) == 1
    assert paths.pop().read_bytes() == (packed / file.name).read_bytes()


def test_downloads_under_way_count_and_what_the_dead_left_goes(remote, packed, tmp_path):
    files = Packs(packed).manifest.shards
    most = max(file.bytes for file in files)
    folder = RemoteFolder(remote, cache=tmp_path, limit=3 * most)
    dead = tmp_path / f"{'0' * 64}.arrow.{50 * most}.part"
    dead.write_bytes(bytes(10))
    alive = tmp_path / f"{'1' * 64}.arrow.{most}.part"
    alive.touch()
    with FileLock(str(tmp_path / f"{'1' * 64}.arrow.lock")):
        for file in files:
            folder.get(file)
            held = sum(path.stat().st_size for path in kept(tmp_path))
            assert held + most <= 3 * most
        assert alive.exists()
    assert not dead.exists()
    assert len(kept(tmp_path)) >= 1


def test_a_reader_lets_go_of_what_the_cache_dropped(remote, packed, tmp_path):
    most = max(file.bytes for file in Packs(packed).manifest.shards)
    index = (packed / "index.parquet").stat().st_size
    packs = Packs(remote, cache=tmp_path, cache_bytes=index + 2 * most)
    for k in range(10):
        packs.read(k, HERE)
        assert len(packs._shards) <= 3
    assert all(shard.path.exists() for shard in packs._shards.values())


def test_an_idle_reader_lets_go_too(remote, packed, tmp_path):
    most = max(file.bytes for file in Packs(packed).manifest.shards)
    index = (packed / "index.parquet").stat().st_size
    bound = index + 2 * most
    idle, busy = (Packs(remote, cache=tmp_path, cache_bytes=bound) for _ in range(2))
    idle.read(0, HERE)
    for k in range(1, 10):
        busy.read(k, HERE)
    deadline = time.monotonic() + 60
    while idle._shards and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not idle._shards
    assert idle.read(0, HERE).frames.equal(Packs(packed).read(0, HERE).frames)


def test_the_index_stays_while_shards_can_be_dropped(remote, packed, tmp_path):
    most = max(file.bytes for file in Packs(packed).manifest.shards)
    index = (packed / "index.parquet").stat().st_size
    packs = Packs(remote, cache=tmp_path, cache_bytes=index + 2 * most)
    for k in range(10):
        packs.read(k, HERE)
    assert len(list(tmp_path.glob("*.parquet"))) == 1
    assert packs.labels().tolist() == [-1] * 10  # read out of the file anew


def test_what_is_claimed_goes_last(remote, packed, tmp_path):
    files = Packs(packed).manifest.shards
    index = (packed / "index.parquet").stat().st_size
    bound = index + 3 * max(file.bytes for file in files)
    shards = Packs(remote, cache=tmp_path, cache_bytes=bound).shards()
    assert shards.room == 3
    assert shards.shared(2).room == 1
    assert Packs(remote, cache=tmp_path, cache_bytes=1).shards().room == 0
    assert shards.numbers.tolist() == list(range(10))
    names = {file.sha256: k for k, file in enumerate(files)}
    with shards.claiming() as claim, shards.claiming() as other:
        claim([9])  # which is not there yet, and then is
        other([0])
        for k in (9, 0, *range(1, 9)):
            shards.fetch(k)
        assert {names[path.stem] for path in kept(tmp_path)} == {0, 8, 9}
        other([7])
        shards.fetch(7)
        assert {names[path.stem] for path in kept(tmp_path)} == {7, 8, 9}
    for k in range(4):
        shards.fetch(k)
    assert {names[path.stem] for path in kept(tmp_path)} == {1, 2, 3}
    assert not list(tmp_path.glob("*.claim*"))


def test_what_a_dead_process_claimed_may_go(remote, packed, tmp_path):
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from pretexto.datasets.packs.claims import claiming\n"
        "with claiming(Path(sys.argv[1])) as claim:\n"
        "    claim(sys.argv[2:])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    files = Packs(packed).manifest.shards
    names = [f"{file.sha256}.arrow" for file in files]
    dead = subprocess.run([sys.executable, "-P", "-c", code, str(tmp_path), *names[:3]])
    assert dead.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("*.claim"))) == 1
    folder = RemoteFolder(remote, cache=tmp_path, limit=3 * max(file.bytes for file in files))
    for file in files:
        folder.get(file)
    assert {path.name for path in kept(tmp_path)} == {*names[-3:]}
    assert not list(tmp_path.glob("*.claim*"))


def test_a_shard_that_is_dropped_before_it_is_opened_is_fetched_again(
    remote, packed, tmp_path, monkeypatch
):
    packs, real, lost = Packs(remote, cache=tmp_path), RemoteFolder.get, [1, 1]

    def robbed(self, file):
        path = real(self, file)
        if lost and lost.pop():
            path.unlink()
        return path

    monkeypatch.setattr(RemoteFolder, "get", robbed)
    assert packs.read(3, HERE).frames.equal(Packs(packed).read(3, HERE).frames)
    lost[:] = [1] * 9
    with pytest.raises(MediaError, match="dropped as soon as"):
        packs.read(4, HERE)


def test_the_order_goes_by_shards_where_a_pack_is_remote_or_asked_to(remote, packed, tmp_path):
    assert Packs(packed).shards() is None
    assert Packs(packed, by_shard=True).shards().room is None
    assert Packs(remote, cache=tmp_path).shards() is not None
    assert Packs(remote, cache=tmp_path, by_shard=False).shards() is None


def test_killed_while_downloading_it_starts_anew(packed, tmp_path):
    code = (
        "import os, signal, sys\n"
        "from fsspec.implementations.local import LocalFileSystem\n"
        "def torn(self, source, target, **rest):\n"
        "    open(target, 'wb').write(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "from pretexto.datasets.packs.source import Packs\n"
        "from pretexto.modalities.media import Plan\n"
        "packs = Packs('file://' + sys.argv[1], cache=sys.argv[2])\n"
        "LocalFileSystem.get_file = torn\n"
        "packs.read(0, Plan((0.0,)))\n"
    )
    dead = subprocess.run([sys.executable, "-P", "-c", code, str(packed), str(tmp_path)])
    assert dead.returncode == -signal.SIGKILL
    assert kept(tmp_path) == []
    packs = Packs(f"file://{packed}", cache=tmp_path)
    assert packs.read(0, HERE).frames.equal(Packs(packed).read(0, HERE).frames)
    assert not list(tmp_path.glob("*.part"))
