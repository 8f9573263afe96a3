"""Flow in packs: of true pairs of frames, within its bound, composed or refused, of any clip."""

import json
from pathlib import Path

import media_factory as media
import numpy as np
import pyarrow as pa
import pytest
import torch
from dataset_kit import without_children
from helpers import shared_data

from pretexto import cli
from pretexto.datasets.index.build import scan
from pretexto.datasets.index.source import Index
from pretexto.datasets.packs.format import shard_schema
from pretexto.datasets.packs.source import Packs
from pretexto.datasets.packs.transcode import PackSettings
from pretexto.datasets.packs.write import pack
from pretexto.errors import InputError
from pretexto.modalities.flow.compression import compress, expand
from pretexto.modalities.media import Plan


@pytest.fixture(autouse=True)
def _no_children(monkeypatch):
    without_children(monkeypatch)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """The index of films of 20 frames a second: one drifts by a pixel a frame, a still one, one
    with a cut, one of a single frame, one of two."""
    root = tmp_path_factory.mktemp("films")

    def write(name: str, pictures: list):
        media.write(root / "media" / name, pictures, [k / 20 for k in range(len(pictures))])

    (root / "media").mkdir()
    drift = media.drifting([k / 1.28 for k in range(24)], height=96, width=128)
    other = media.drifting([k / 1.28 for k in range(12)], seed=5, height=96, width=128)
    write("a_drift.mp4", drift)
    write("b_still.mp4", drift[:1] * 12)
    write("c_cut.mp4", drift[:12] + other)
    write("d_one.mp4", drift[:1])
    write("e_two.mp4", drift[:2])
    with pytest.MonkeyPatch.context() as patch:
        without_children(patch)
        scan(root / "media", root / "index.parquet")
    return root / "index.parquet"


def packed(index: Path, out: Path, **settings) -> Packs:
    settings = {"short_side": 96, "quality": 95, "flow": "dis", "flow_interval": 0.05, **settings}
    pack(index, out, PackSettings(**settings))
    return Packs(out)


def bound(field: torch.Tensor, bits: int) -> float:
    """What the format promises of one field, and float32's last digits."""
    return max(1 / 128, float(field.abs().max()) / (2**bits - 2)) + 1e-4


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("longest", [0.01, 1.0, 30.0, 5000.0])
def test_the_error_of_a_stored_field_is_bounded(bits, longest):
    field = torch.randn(2, 23, 31, generator=torch.manual_seed(0))
    field *= longest / field.abs().max()
    field[0, 0, 0] = -longest
    data = compress(field, bits)
    back = expand(data, 23, 31, bits)
    assert (back - field).abs().max() <= max(1 / 128, longest / (2**bits - 2)) * 1.001
    assert compress(torch.zeros(2, 23, 31), bits) == b""
    assert not expand(b"", 23, 31, bits).any()
    for bad in (data[:3], data[:20], b"abcdefghijkl", compress(field[:, :20], bits)):
        with pytest.raises(ValueError, match="a field of flow is"):
            expand(bad, 23, 31, bits)


@pytest.mark.parametrize("bits", [8, 16])
def test_the_bound_holds_on_real_clips(bits, tmp_path):
    """Stored flow against the same method's on the same frames, of frames at any time."""
    import shutil

    (tmp_path / "media").mkdir()
    for path in sorted(shared_data("video/jhmdb8").glob("*/*.avi"))[::120]:
        shutil.copy(path, tmp_path / "media")
    scan(tmp_path / "media", tmp_path / "index.parquet")
    files = Index(tmp_path / "index.parquet")
    packs = packed(
        tmp_path / "index.parquet", tmp_path / "pack", flow_bits=bits, flow_interval=0.08
    )
    assert len(files) == 3
    for i in range(3):
        end = files.info(i).duration
        # Starts of frames: 0.08 s are two of theirs, so that files and packs mean the same pair.
        shown = files.read(i, Plan((0.1, 0.4 * end, 0.7 * end), short_side=96)).times.tolist()
        plan = Plan(flow=tuple((t, t + 0.08) for t in shown), short_side=96)
        for ours, theirs in zip(packs.read(i, plan).flow, files.read(i, plan).flow, strict=True):
            assert theirs.abs().max() > 0.1
            assert (ours - theirs).abs().max() <= bound(theirs, bits)


def test_a_thinned_pack_has_the_flow_of_true_pairs(films, tmp_path):
    packs, files = packed(films, tmp_path / "pack", fps=4.0), Index(films)
    assert packs.info(0).frames == 5
    for time in (0.0, 0.25, 0.5, 1.0):
        plan = Plan(flow=((time, time + 0.05),))
        ours, theirs = packs.read(0, plan).flow[0], files.read(0, plan).flow[0]
        assert theirs.norm(dim=0).mean() == pytest.approx(1.0, rel=0.3)
        assert (ours - theirs).abs().max() <= bound(theirs, 16)
    with pytest.raises(InputError, match=r"leaves out the frames in between; pack with --fps all"):
        packs.read(0, Plan(flow=((0.0, 0.1),)))


def test_multiples_compose_and_other_intervals_are_refused_by_name(films, tmp_path):
    packs, files = packed(films, tmp_path / "pack", flow_backward=True), Index(films)
    for pair in ((0.2, 0.3), (0.2, 0.35), (0.35, 0.2), (0.5, 0.45)):
        plan = Plan(flow=(pair,))
        ours, theirs = packs.read(0, plan).flow[0], files.read(0, plan).flow[0]
        inner = (slice(None), slice(12, -12), slice(12, -12))
        assert (ours - theirs)[inner].norm(dim=0).mean() < 0.12
        assert theirs[inner].norm(dim=0).mean() > 0.8
    for wanted in (0.03, 0.07, 0.12):
        with pytest.raises(InputError, match=rf"over {wanted} s .* holds it over 0\.05 s and comp"):
            packs.read(0, Plan(flow=((0.1, 0.1 + wanted),)))


def test_what_a_pack_lacks_is_a_mistake_in_one_line(films, tmp_path):
    plain = packed(films, tmp_path / "plain", flow=None)
    with pytest.raises(InputError, match="holds no flow; pack with --flow dis"):
        plain.read(0, Plan(flow=((0.0, 0.05),)))
    assert plain.manifest.flow == {}
    packs = packed(films, tmp_path / "pack")
    with pytest.raises(InputError, match="no flow back; pack with --flow-backward"):
        packs.read(0, Plan(flow=((0.05, 0.0),)))
    with pytest.raises(InputError, match="by farneback is asked of a pack that holds it by dis, m"):
        packs.read(0, Plan(flow=((0.0, 0.05),), flow_method="farneback"))
    assert packs.read(0, Plan(flow=((0.0, 0.05),), flow_method="dis")).flow.any()


def test_one_frame_a_still_and_the_end_have_no_flow_and_a_cut_has_some(films, tmp_path):
    packs, files = packed(films, tmp_path / "pack"), Index(films)
    assert packs.manifest.flow == {
        "method": "dis",
        "preset": "medium",
        "interval": 0.05,
        "unit": "seconds",
        "bits": 16,
        "scale": 64,
        "backward": False,
        "pairs": 23 + 11 + 23 + 0 + 1,
        "clips_without": 1,
    }
    for i in range(5):
        end = files.info(i).duration
        for start in (0.0, 0.5 * end, end - 0.01, end + 1):
            plan = Plan(flow=((start, start + 0.05),), past_end="repeat")
            ours, theirs = packs.read(i, plan).flow, files.read(i, plan).flow
            assert ours.isfinite().all()
            assert theirs.isfinite().all()
            if i in (1, 3) or start > end - 0.02:  # still, one frame, past the last one
                assert ours.abs().max() < 0.05
                assert theirs.abs().max() < 0.05
            if i in (0, 4) and start == 0:
                assert ours.norm(dim=1).mean() == pytest.approx(1.0, rel=0.3)
    cut = packs.read(2, Plan(flow=((0.55, 0.6),))).flow
    assert cut.isfinite().all()


def test_the_middle_of_a_frame_means_that_frame_s_flow(films, tmp_path):
    packs = packed(films, tmp_path / "pack")
    at_start = packs.read(0, Plan(flow=((0.3, 0.35),))).flow
    assert packs.read(0, Plan(flow=((0.345, 0.395),))).flow.equal(at_start)


def older(folder: Path, thinned: bool) -> Packs:
    """The pack as versions wrote it whose flow leads from a packed frame to the next."""
    (path,) = folder.glob("*.arrow")
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    fields = []
    for number, times in enumerate(table["times"].to_pylist()):
        values = (np.arange(2 * 96 * 128).reshape(2, 96, 128) % 50 + number).astype("<i2")
        data = pa.compress(values, codec="zstd", asbytes=True)
        fields.append([data] * (len(times) - 1))
    schema = shard_schema()
    column = pa.array(fields, schema.field("flow").type)
    table = table.set_column(table.schema.get_field_index("flow"), "flow", column)
    table = table.drop(["flow_to", "flow_back"])
    with pa.ipc.new_file(str(path), table.schema) as out:
        out.write_table(table)
    file = folder / "manifest.json"
    values = json.loads(file.read_text())
    values["flow"] = {"method": "dense inverse search", "preset": "medium", "interval": 1}
    values["flow"] |= {"scale": 64, "backward": False}
    values["settings"] |= {"flow": True, "flow_interval": 1, "fps": 4.0 if thinned else None}
    values["shards"][0]["bytes"] = path.stat().st_size
    file.write_text(json.dumps(values))
    return Packs(folder)


@pytest.mark.parametrize("thinned", [False, True])
def test_older_packs_are_read_as_before(films, tmp_path, thinned):
    packed(films, tmp_path / "pack", flow=None)
    packs = older(tmp_path / "pack", thinned)
    flow = packs.read(0, Plan(flow=((0.1, 0.15),), flow_method="dis")).flow
    assert flow[0, 0, 0, :3].tolist() == [0, 1 / 64, 2 / 64]
    with pytest.raises(InputError, match="pack anew with --flow dis --interval"):
        packs.read(0, Plan(flow=((0.1, 0.25),)))


def test_a_pack_without_flow_is_the_same_whatever_version_wrote_it(films, tmp_path):
    packed(films, tmp_path / "pack", flow=None)
    file = tmp_path / "pack" / "manifest.json"
    values = json.loads(file.read_text())
    values["settings"] |= {"flow": False, "flow_interval": 1}
    del values["settings"]["flow_bits"]
    file.write_text(json.dumps(values))
    assert packed(films, tmp_path / "pack", flow=None, flow_interval=0.2).manifest.flow == {}
    with pytest.raises(InputError, match="with other settings"):
        packed(films, tmp_path / "pack")


def test_the_command(films, tmp_path, capsys):
    options = ["pack", str(films), "--out", str(tmp_path / "pack"), "--jobs", "1"]
    flow = ["--flow", "dis-ultrafast", "--interval", "0.1", "--flow-bits", "8", "--flow-backward"]
    assert cli.main([*options, *flow]) == 0
    said = capsys.readouterr().out
    assert "flow: dis (ultrafast) over 0.1 s: 54 pairs of frames; clips without any: 2" in said
    about = Packs(tmp_path / "pack").manifest.flow
    assert (about["bits"], about["interval"], about["backward"]) == (8, 0.1, True)
    for wrong, said in (
        (["--flow", "diss"], "did you mean dis?"),
        (["--flow", "raft_small"], "needs weights"),
        (["--flow", "dis", "--interval", "0"], "--interval must be more than 0"),
    ):
        assert cli.main([*options[:3], str(tmp_path / "other"), *wrong]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert said in line
    assert not (tmp_path / "other").exists()
