"""What packs once got wrong: files from outside, pictures made anew."""

import json
from pathlib import Path

import media_factory as media
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_kit import without_children
from PIL import Image

from pretexto import cli
from pretexto.datasets.index.build import scan
from pretexto.datasets.index.source import Index
from pretexto.datasets.packs.source import Packs
from pretexto.datasets.packs.write import pack
from pretexto.errors import InputError
from pretexto.modalities.media import Plan

STILL = Plan((0.0,))


@pytest.fixture(autouse=True)
def _no_children(monkeypatch):
    without_children(monkeypatch)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png"])
def test_a_file_outside_the_folder_is_not_packed(tmp_path, name):
    (tmp_path / "media").mkdir()
    for place in ("media/a.png", "secret.png"):
        Image.fromarray(media.card(3)).save(tmp_path / place)
    scan(tmp_path / "media", tmp_path / "index.parquet")
    table = pq.read_table(tmp_path / "index.parquet")
    paths = table.schema.get_field_index("path")
    pq.write_table(table.set_column(paths, "path", pa.array([name])), tmp_path / "index.parquet")
    with pytest.raises(InputError, match="leaves the folder"):
        pack(tmp_path / "index.parquet", tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """300 pictures of 32 by 32 pixels as JPEG, PNG and WebP; one JPEG is turned by its Exif."""
    root = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(0)
    for k in range(300):
        pixels = draw.integers(0, 255, (32, 32, 3), np.uint8)
        suffix = ("jpg", "png", "webp")[k % 3] if k < 60 else "jpg"
        exif = Image.Exif()
        exif[0x0112] = 6 if k == 0 else 1
        Image.fromarray(pixels).save(root / f"{k:03d}.{suffix}", exif=exif)
    return root


def test_small_pictures_keep_their_bytes_and_lie_many_to_a_batch(pictures, tmp_path):
    scan(pictures, tmp_path / "index.parquet")
    pack(tmp_path / "index.parquet", tmp_path / "pack")
    files, packs = Index(tmp_path / "index.parquet"), Packs(tmp_path / "pack")
    for i in range(len(files)):
        assert packs.read(i, STILL).frames.equal(files.read(i, STILL).frames), files.name(i)
        assert packs.info(i).codec.endswith(files.info(i).codec)
    (shard,) = (tmp_path / "pack").glob("*.arrow")
    assert pa.ipc.open_file(pa.memory_map(str(shard))).num_record_batches == 1
    size = sum(path.stat().st_size for path in pictures.iterdir())
    assert shard.stat().st_size < 1.1 * size
    assert packs.info(0).codec == "original jpeg"  # its pixels are turned


def test_shards_with_further_columns_are_read(pictures, tmp_path):
    scan(pictures, tmp_path / "index.parquet")
    pack(tmp_path / "index.parquet", tmp_path / "pack")
    before = Packs(tmp_path / "pack").read(5, STILL).frames
    (path,) = (tmp_path / "pack").glob("*.arrow")
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    table = table.append_column("tokens", pa.array([[1, 2]] * len(table))).drop(["flow_back"])
    with pa.ipc.new_file(str(path), table.schema) as out:
        out.write_table(table)
    packs = Packs(tmp_path / "pack")
    object.__setattr__(packs.manifest.shards[0], "bytes", path.stat().st_size)
    assert packs.read(5, STILL).frames.equal(before)


@pytest.fixture
def changed(pictures, tmp_path):
    """Rewrites the manifest of a pack, as another version might have written it."""
    scan(pictures, tmp_path / "index.parquet")
    pack(tmp_path / "index.parquet", tmp_path / "pack")
    file = tmp_path / "pack" / "manifest.json"

    def change(edit) -> Path:
        values = json.loads(file.read_text())
        edit(values)
        file.write_text(json.dumps(values))
        return file.parent

    return change


def test_manifests_of_later_versions_are_read_for_what_is_known(changed, tmp_path):
    before = Packs(tmp_path / "pack").read(5, STILL).frames

    def later(values):
        shards = [{"name": "tokens-00000.arrow", "bytes": 9, "sha256": "0" * 64}]
        flow = {"method": "raft", "preset": "large", "iterations": 12}
        values.update(
            format="pretexto-packs-9", tokens={"vocabulary": 64, "shards": shards}, flow=flow
        )

    packs = Packs(changed(later))
    assert packs.read(5, STILL).frames.equal(before)
    assert packs.manifest.flow["method"] == "raft"


@pytest.mark.parametrize("kind", ["tokens", "flow"])
def test_shards_of_unknown_kinds_are_refused_in_one_line(changed, kind, capsys):
    def more(values):
        values["shards"].append({**values["shards"][0], "name": f"{kind}-00001.arrow"})

    folder = changed(more)
    assert cli.main(["pack", "--verify", str(folder)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"names {kind}-00001.arrow, a shard of a kind that this version does not know" in line


@pytest.mark.parametrize(
    ("key", "value"), [("flow", 3), ("shards", 3), ("shards", [3]), ("shards", [{}]), ("index", [])]
)
def test_a_manifest_that_holds_something_else_is_damaged(changed, key, value):
    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        Packs(changed(lambda values: values.update({key: value})))
