"""An index that another tool has rewritten is believed row by row."""

import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from dataset_kit import without_children
from PIL import Image

from pretexto.cli import main
from pretexto.datasets.folder import Folder
from pretexto.datasets.index import build
from pretexto.datasets.index.build import scan
from pretexto.datasets.index.source import Index
from pretexto.datasets.index.table import Rows
from pretexto.datasets.open import only_split, open_source
from pretexto.datasets.source import Source
from pretexto.errors import InputError
from pretexto.modalities.decode.sandbox import Limits
from pretexto.modalities.media import MediaError, Plan


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    without_children(monkeypatch)


def picture(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), grey, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Six pictures of two classes, one that is broken, and a copy."""
    root = tmp_path / "media"
    for k in range(3):
        picture(root / "walk" / f"{k}.png", k)
        picture(root / "run" / f"{k}.png", 10 + k)
    (root / "run" / "broken.png").write_bytes(b"no picture")
    (root / "walk" / "copy.png").write_bytes((root / "run" / "1.png").read_bytes())
    return root


@pytest.fixture
def index(folder, tmp_path) -> Path:
    out = tmp_path / "index.parquet"
    scan(folder, out)
    return out


def names(source):
    return [source.name(i) for i in range(len(source))]


def labels(source):
    return {source.name(i): source.classes[source.label(i)] for i in range(len(source))}


def rewritten(index: Path, change, name="new.parquet") -> Path:
    out = index.with_name(name)
    pq.write_table(change(pq.read_table(index)), out)
    return out


def test_a_sorted_index_still_leaves_the_quarantine_out(index):
    for order in ("ascending", "descending"):
        out = rewritten(index, lambda t, o=order: t.sort_by([("sha256", o)]))
        source = Index(out)
        assert sorted(names(source)) == sorted(names(Index(index)))
        assert "run/broken.png" not in names(source)
        for i in range(len(source)):
            assert source.read(i, Plan((0.0,))).frames is not None


def test_a_new_label_is_a_class(index):
    def relabel(table):
        new = pc.if_else(pc.equal(table["path"], "walk/0.png"), "stroll", table["label"])
        return table.set_column(table.schema.get_field_index("label"), "label", new)

    source = Index(rewritten(index, relabel))
    assert source.classes == ("run", "stroll", "walk")
    assert labels(source)["walk/0.png"] == "stroll"
    assert labels(source)["walk/1.png"] == "walk"
    assert source.labels().min() == 0


def test_written_classes_that_the_rows_contradict_are_not_believed(folder, tmp_path):
    lists = tmp_path / "media" / "train.txt"
    lists.write_text("walk/0.png 2\nrun/0.png 0\n")
    scan(lists, tmp_path / "i.parquet")
    assert Index(tmp_path / "i.parquet").classes == ("0", "1", "2")

    def relabel(table):
        at = table.schema.get_field_index("label")
        return table.set_column(at, "label", pa.array(["walk", "run"]))

    assert Index(rewritten(tmp_path / "i.parquet", relabel)).classes == ("run", "walk")


def test_unknown_columns_and_missing_ones_and_other_types_are_taken(index, folder):
    pictures = names(Index(index))
    more = rewritten(index, lambda t: t.append_column("mine", pa.array(range(len(t)))))
    assert names(Index(more)) == pictures

    # As data frames write them: gaps make floats of whole numbers, texts are coded.
    def frame(table):
        columns = {}
        for field in table.schema:
            column = table[field.name]
            if pa.types.is_integer(field.type):
                column = column.cast(pa.float64(), safe=False)
            if field.name in ("path", "label"):
                column = column.dictionary_encode()
            if field.name == "status":
                column = column.cast(pa.large_string())
            columns[field.name] = column
        return pa.table(columns)

    source = Index(rewritten(index, frame))
    assert names(source) == pictures
    assert source.info(0) == Index(index).info(0)
    assert source.fingerprint() == Index(index).fingerprint()
    few = Index(rewritten(index, lambda t: t.select(["path", "label"])), root=folder)
    assert len(few) == 8
    assert few.classes == ("run", "walk")
    assert few.info(0).height == 8
    assert few.read(0, Plan((0.0,))).frames is not None
    with pytest.raises(MediaError, match=r"broken\.png"):
        few.info(names(few).index("run/broken.png"))
    with pytest.raises(InputError, match=r"no column 'path'"):
        Index(rewritten(index, lambda t: t.select(["label"])))
    with pytest.raises(InputError, match=r"column 'label' holds .* and an index has string"):
        Index(rewritten(index, lambda t: t.drop(["label"]).append_column("label", t["motion"])))


def test_rows_that_a_tool_adds_without_facts_are_probed(index, folder):
    picture(folder / "walk" / "new.png", 200)
    row = pa.table({"path": ["walk/new.png"], "label": ["walk"], "root": [str(folder)]})
    both = rewritten(index, lambda t: pa.concat_tables([t, row], promote_options="default"))
    source = Index(both)
    at = names(source).index("walk/new.png")
    assert source.info(at).width == 8
    assert source.read(at, Plan((0.0,))).frames.unique().tolist() == [200]


def test_the_root_stands_in_the_rows(index, folder, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    out = tmp_path / "elsewhere" / "deep" / "new.parquet"
    out.parent.mkdir(parents=True)
    duckdb.sql(f"select * from '{index}' order by path desc").write_parquet(str(out))
    source = Index(out)
    assert source.root == folder.resolve()
    assert source.read(0, Plan((0.0,))).frames is not None
    duckdb.sql(f"select * exclude root from '{index}'").write_parquet(str(out))
    with pytest.raises(InputError, match="says nothing of its folder of media; give root="):
        Index(out)
    folder.rename(tmp_path / "gone")
    with pytest.raises(InputError, match=r"its folder of media .*media is gone; give root="):
        Index(index)


def test_an_index_that_moves_with_its_media_finds_them(index, folder, tmp_path):
    (tmp_path / "new").mkdir()
    index.rename(tmp_path / "new" / "index.parquet")
    folder.rename(tmp_path / "new" / "media")
    assert Index(tmp_path / "new" / "index.parquet").root == tmp_path / "new" / "media"


def test_rows_of_two_indexes_are_read_from_two_folders(index, tmp_path):
    picture(tmp_path / "other" / "x" / "1.png", 99)
    scan(tmp_path / "other", tmp_path / "other.parquet")
    other = pq.read_table(tmp_path / "other.parquet")
    source = Index(rewritten(index, lambda t: pa.concat_tables([other, t])))
    found = dict(zip(names(source), range(len(source)), strict=True))
    assert source.read(found["x/1.png"], Plan((0.0,))).frames.unique().tolist() == [99]
    assert source.read(found["walk/2.png"], Plan((0.0,))).frames.unique().tolist() == [2]


def test_copies_are_left_out_on_request(index):
    assert "walk/copy.png" in names(Index(index))
    assert names(Index(index, unique=True)) == [
        name for name in names(Index(index)) if name != "walk/copy.png"
    ]
    # Without the row that it is a copy of, a copy is the only one of its content.
    without = rewritten(index, lambda t: t.filter(pc.not_equal(t["path"], "run/1.png")))
    assert "walk/copy.png" in names(Index(without, unique=True))
    assert len(Index(without, unique=True)) == len(Index(without))
    with pytest.raises(InputError, match="no column 'duplicate_of'"):
        Index(rewritten(index, lambda t: t.drop(["duplicate_of"])), unique=True)


def test_copies_are_left_out_by_the_option_unique(index, folder, tmp_path, monkeypatch, capsys):
    assert "walk/copy.png" not in names(open_source(str(index), unique=True))
    with pytest.raises(InputError, match="unique does not apply to a folder; index it first"):
        open_source(str(folder), unique=True)
    with pytest.raises(InputError, match="unique does not apply to the synthetic world"):
        open_source("synthetic", unique=True)
    asked = []

    def train(task, source, out, **rest):
        asked.append((names(source), rest["config"].get("unique")))
        return out

    monkeypatch.setattr("pretexto.training.pretrain.pretrain", train)
    command = ["pretrain", "--config", "rotation", "--data", str(index), "--out", str(tmp_path)]
    assert main(command) == main([*command, "--unique"]) == 0
    (everything, off), (some, on) = asked
    assert (off, on) == (None, True)
    assert set(everything) - set(some) == {"walk/copy.png"}
    monkeypatch.setattr("pretexto.datasets.packs.write.run_in_children", build.run_in_children)
    out = tmp_path / "packed"
    assert main(["pack", str(index), "--out", str(out), "--unique"]) == 0
    assert names(open_source(str(out))) == some
    assert main(["pack", str(index), "--out", str(out)]) == 2  # a pack of other media
    assert "holds a pack of other media" in capsys.readouterr().err


def test_folder_and_index_agree(folder, tmp_path):
    (folder / "run" / "broken.png").unlink()
    picture(folder / "intro.png", 77)
    picture(folder / "run" / unicodedata.normalize("NFD", "é.png"), 78)
    scan(folder, tmp_path / "i.parquet")
    plain, indexed = Folder(folder), open_source(str(tmp_path / "i.parquet"))
    assert names(plain) == names(indexed)
    assert unicodedata.normalize("NFC", "run/é.png") in names(indexed)
    assert plain.classes == indexed.classes
    assert plain.fingerprint() == indexed.fingerprint()
    assert plain.labels().tolist() == indexed.labels().tolist()
    assert plain.groups().tolist() == indexed.groups().tolist()
    for i in range(len(plain)):
        assert plain.info(i).kind == indexed.info(i).kind
        assert plain.read(i, Plan((0.0,))).frames.equal(indexed.read(i, Plan((0.0,))).frames)


def test_folder_and_index_agree_on_a_table(folder, tmp_path):
    rows = "walk/0.png,a,f,train\nrun/1.png,b,,test\nrun/0.png,a,f,train\n"
    (folder / "groups.csv").write_text(f"path,label,group,fold9\n{rows}")
    report = scan(folder, tmp_path / "i.parquet")
    plain, indexed = Folder(folder), open_source(str(tmp_path / "i.parquet"))
    assert names(plain) == names(indexed) == ["run/0.png", "run/1.png", "walk/0.png"]
    assert plain.fingerprint() == indexed.fingerprint()
    train = only_split(indexed, "train")
    assert names(train) == ["run/0.png", "walk/0.png"]
    assert train.fingerprint() == only_split(plain, "train").fingerprint()
    assert len(report.unmatched) == 0


@pytest.mark.parametrize("option", [{"table": "t.csv"}, {"fold": "fold1"}])
def test_options_that_do_not_apply_to_an_index_are_refused(index, option):
    with pytest.raises(InputError, match=f"{next(iter(option))} does not apply to an index"):
        open_source(str(index), **option)


def test_a_backend_beside_isolation_is_refused(index):
    with pytest.raises(InputError, match="isolated files are read by av"):
        Index(index, backend="decord", isolated=Limits())


def test_one_kind_is_chosen_or_refused(index):
    assert names(open_source(str(index), kind="image")) == names(Index(index))
    with pytest.raises(InputError, match=r"no video files; it holds 7 image"):
        open_source(str(index), kind="video")


def test_columns_are_the_same_row_by_row_and_at_once(index):
    source = Index(index)
    order = np.array([4, 0, 5, 0, 2])
    for rows in (None, np.array([1, 3]), order):
        found = next(source.columns(rows))
        one_by_one = next(Source.columns(source, rows))
        assert [str(name) for name in found.names] == one_by_one.names
        assert found.labels.tolist() == one_by_one.labels.tolist()
        assert [str(group) for group in found.groups] == one_by_one.groups


def test_a_packet_timeline_goes_through_the_journal_into_the_rows(folder, tmp_path, monkeypatch):
    def job(path, old_hash, name):
        row, _ = build.scan_job(path, old_hash)
        return row, [] if row.get("same") else [b"\x00\xff" + name.encode()]

    monkeypatch.setattr(build, "_with_name", job)
    out = tmp_path / "timed.parquet"
    scan(folder, out)
    rows = Rows(out)
    assert [rows.timeline(i) for i in range(2)] == [b"\x00\xffrun/0.png", b"\x00\xffrun/1.png"]
    first = out.read_bytes()
    scan(folder, out)
    assert out.read_bytes() == first
