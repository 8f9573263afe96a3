"""Flow in files: kept exactly or to a known step, and bad files refused in one line."""

import struct
import zipfile

import cv2
import numpy as np
import pytest
import torch
from helpers import shared_data

from pretexto.errors import InputError
from pretexto.modalities.flow import read_flow, write_flow
from pretexto.modalities.media import MediaError


def field(height: int = 11, width: int = 17) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.manual_seed(0)
    flow = 40 * torch.randn(2, height, width, generator=draw)
    valid = torch.rand(height, width, generator=draw) > 0.2
    return flow * valid, valid


@pytest.mark.parametrize(("suffix", "bound"), [(".flo", 0.0), (".npz", 0.0), (".png", 1 / 128)])
def test_what_is_written_is_read(tmp_path, suffix, bound):
    flow, valid = field()
    write_flow(tmp_path / f"a{suffix}", flow, valid)
    back, known = read_flow(tmp_path / f"a{suffix}")
    assert known.equal(valid)
    assert (back - flow).abs().max() <= bound
    assert [p.name for p in tmp_path.iterdir()] == [f"a{suffix}"]


def test_files_are_laid_out_as_others_write_them(tmp_path):
    flow, _ = field()
    write_flow(tmp_path / "a.flo", flow)
    data = (tmp_path / "a.flo").read_bytes()
    assert struct.unpack("<fii", data[:12]) == (202021.25, 17, 11)
    assert cv2.readOpticalFlow(str(tmp_path / "a.flo")).transpose(2, 0, 1).tolist() == flow.tolist()
    write_flow(tmp_path / "a.png", torch.tensor([2.0, -1.0])[:, None, None].expand(2, 3, 4))
    blue, green, red = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)[0, 0]
    assert (int(red), int(green), int(blue)) == (2 * 64 + 2**15, -64 + 2**15, 1)
    np.savez(tmp_path / "b.npz", flow=flow.numpy())
    assert read_flow(tmp_path / "b.npz")[0].equal(flow)


def test_middlebury_s_own_file():
    flow, valid = read_flow(shared_data("flow") / "flow_gt.flo")
    assert flow.shape == (2, 388, 584)
    assert float(valid.float().mean()) == pytest.approx(0.984, abs=0.001)
    assert not flow[:, ~valid].any()
    assert flow.abs().max() < 10


def test_what_is_not_finite_is_not_known(tmp_path):
    flow, _ = field()
    flow[0, 3, 4], flow[1, 5, 6] = float("nan"), float("inf")
    for suffix in (".flo", ".npz", ".png"):
        write_flow(tmp_path / f"a{suffix}", flow)
        back, valid = read_flow(tmp_path / f"a{suffix}")
        assert back.isfinite().all()
        assert (~valid).nonzero().tolist() == [[3, 4], [5, 6]]


def damaged(root) -> list:
    """Files that hold no flow."""
    flow, _ = field()
    write_flow(root / "whole.flo", flow)
    write_flow(root / "whole.png", flow)
    write_flow(root / "whole.npz", flow)
    made = []

    def add(name: str, data: bytes):
        (root / name).write_bytes(data)
        made.append(root / name)

    for suffix in (".flo", ".png", ".npz"):
        data = (root / f"whole{suffix}").read_bytes()
        add(f"short{suffix}", data[: len(data) // 2])
        add(f"empty{suffix}", b"")
        add(f"text{suffix}", b"this is a line of text, and no flow at all, none")
    add("huge.flo", struct.pack("<fii", 202021.25, 2**30, 2**30) + bytes(64))
    add("minus.flo", struct.pack("<fii", 202021.25, -4, -4) + bytes(128))
    add("eight.png", cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    for name, values in (
        ("other.npz", {"u": np.zeros((3, 4))}),
        ("axes.npz", {"flow": np.zeros((3, 4, 2))}),
        ("object.npz", {"flow": np.array([{"a": 1}, None], object)}),
        ("valid.npz", {"flow": np.zeros((2, 3, 4)), "valid": np.ones((4, 3))}),
    ):
        np.savez(root / name, **values)
        made.append(root / name)
    with zipfile.ZipFile(root / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("flow.npy", bytes(50_000_000))
    return made


def test_bad_files_are_one_line_with_their_name(tmp_path):
    for path in damaged(tmp_path):
        with pytest.raises(MediaError) as caught:
            read_flow(path)
        assert str(caught.value).startswith(f"{path}: decode: "), caught.value
        assert "\n" not in str(caught.value)
    with pytest.raises(MediaError, match="open: No such file"):
        read_flow(tmp_path / "missing.flo")
    with pytest.raises(MediaError, match="decode"):
        read_flow(tmp_path / "bomb.npz")


def test_other_kinds_and_vectors_too_long_for_a_png_are_refused(tmp_path):
    for call in (lambda p: read_flow(p), lambda p: write_flow(p, torch.zeros(2, 3, 4))):
        with pytest.raises(InputError, match=r"called \.flo, \.png, \.npz"):
            call(tmp_path / "a.mat")
    with pytest.raises(InputError, match=r"600 pixels are more than a PNG holds; take \.flo"):
        write_flow(tmp_path / "a.png", torch.full((2, 3, 4), 600.0))
    assert not list(tmp_path.iterdir())
