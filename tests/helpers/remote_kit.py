"""Packs of pictures behind fsspec, with caches that hold a part of them."""

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from dataset_kit import without_children
from PIL import Image

from pretexto.datasets.index.build import scan
from pretexto.datasets.packs.claims import alone
from pretexto.datasets.packs.source import Packs
from pretexto.datasets.packs.storage import RemoteFolder
from pretexto.datasets.packs.write import pack


def pack_pictures(root: Path, shards: int, each: int, classes: int = 1) -> Path:
    """So many shards with so many pictures each, of classes in turn; their pack's folder."""
    rng = np.random.default_rng(0)
    for k in range(shards * each):
        pixels = rng.integers(0, 255, (24, 24, 3), np.uint8)
        file = root / "pictures" / f"class{k % classes}" / f"{k:04}.bmp"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    with pytest.MonkeyPatch.context() as patch:
        without_children(patch)
        scan(root / "pictures", root / "index.parquet")
        found = pack(root / "index.parquet", root / "pack", shard_bytes=each * 1800)
    assert len(found.shards) == shards
    return root / "pack"


class Remote(NamedTuple):
    """A pack in fsspec's memory, the same one here, and a cache of so many bytes."""

    url: str
    here: Packs
    cache: Path
    limit: int

    @classmethod
    def of(cls, packed: Path, cache: Path, room: int) -> "Remote":
        """A cache for so many shards beside the index."""
        import fsspec

        url = f"memory://{uuid.uuid4().hex}/pack"
        system, inside = fsspec.url_to_fs(url)
        system.put(str(packed), inside, recursive=True)
        here = Packs(packed, by_shard=True)
        most = max(file.bytes for file in here.manifest.shards)
        return cls(url, here, cache, here.manifest.index.bytes + room * most)

    def packs(self) -> Packs:
        return Packs(self.url, cache=self.cache, cache_bytes=self.limit)

    @contextmanager
    def downloads(self) -> Iterator[Counter]:
        """How often each shard is downloaded, by any process, is known afterwards.

        The bound is looked after at each of them.
        """
        found: Counter[int] = Counter()
        log = self.cache / "downloads"

        def download(folder: RemoteFolder, name: str, *rest: Any) -> None:
            real(folder, name, *rest)
            if name.startswith("shard"):
                with log.open("a") as lines:
                    lines.write(f"{int(name[6:11])}\n")
            with alone(folder.cache):
                held = [p for p in folder.cache.iterdir() if p.suffix in (".arrow", ".parquet")]
                assert sum(p.stat().st_size for p in held) <= self.limit

        real = RemoteFolder._download
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RemoteFolder, "_download", download)
            yield found
        found.update(map(int, log.read_text().split()))
