"""`pretexto apply`: what trained runs make of media, and how mistakes are told."""

import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import torchvision
from applied_runs import photo, pixels_of, run_of
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pretexto import cli
from pretexto.commands.run_task import trained_task
from pretexto.datasets.folder import Folder
from pretexto.encoders.image import TinyImage
from pretexto.errors import InputError
from pretexto.modalities.lab import rgb_to_lab
from pretexto.tasks.colorization import Colorization
from pretexto.tasks.parts.clip_input import ClipInput
from pretexto.training.pretrain import TrainerArgs, pretrain
from pretexto.visualization.fidelity import fidelity
from pretexto.visualization.film import FilmWriter
from pretexto.visualization.inpaint import drawn_hole, fill_hole, window
from pretexto.visualization.lpips import Lpips
from pretexto.visualization.unshuffle import tiles_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run folders by the name of their task, each made when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def of(name: str):
        if name not in made:
            made[name] = run_of(name, folder / name, **({"classes": 9} if name == "jigsaw" else {}))
        return made[name]

    return of


def applied(run, data, out, *more):
    """The exit code and the rows of one command."""
    words = ["apply", "--encoder", run, "--data", data, "--out", out, *more]
    code = cli.main([str(word) for word in words])
    path = out / "results.jsonl"
    rows = path.read_text().splitlines() if path.exists() else []
    return code, [json.loads(row) for row in rows]


def refusal(capsys, *words):
    capsys.readouterr()
    code, _ = applied(*words)
    error = capsys.readouterr().err.strip()
    assert code == 2, error
    assert error.startswith("pretexto: ")
    assert "\n" not in error
    return error


def test_a_run_of_a_call_from_python_is_applied_like_any_other(tmp_path):
    for name in "ab":
        photo(tmp_path / "in" / f"{name}.png")
    torch.manual_seed(0)
    task = Colorization(ClipInput(TinyImage(width=4), size=16))
    trainer = TrainerArgs(steps=1, batch_size=2, workers=0, logger="csv")
    run = pretrain(task, Folder(tmp_path / "in"), tmp_path / "run", trainer=trainer)
    again = trained_task(str(run))
    assert again.arguments == task.arguments
    code, _ = applied(run, tmp_path / "in", tmp_path / "out")
    assert code == 0


@pytest.mark.parametrize("name", ["colorization", "chroma_gan"])
def test_a_grey_picture_gets_colours_and_keeps_its_lightness(runs, tmp_path, name):
    photo(tmp_path / "in" / "a.png")
    grey = Image.open(tmp_path / "in" / "a.png").convert("L")
    grey.save(tmp_path / "in" / "a.png")
    code, (row,) = applied(runs(name), tmp_path / "in", tmp_path / "out")
    assert code == 0
    assert row == {"name": "a.png", "file": "a.png"}
    made = torch.from_numpy(pixels_of(tmp_path / "out" / "a.png").copy()).permute(2, 0, 1)[None]
    was = torch.from_numpy(np.asarray(grey).copy()).expand(1, 3, -1, -1)
    found, given = rgb_to_lab(made / 255.0)[0], rgb_to_lab(was / 255.0)[0]
    assert found[1:].norm(dim=0).mean() > 0.5
    # What sRGB has no place for is clipped, which moves the lightness; most of it stays.
    assert (found[0] - given[0]).abs().median() < 1


def test_a_colourful_picture_is_its_own_truth(runs, tmp_path):
    real = photo(tmp_path / "in" / "a.png")
    _, (row,) = applied(runs("colorization"), tmp_path / "in" / "a.png", tmp_path / "out")
    made = pixels_of(tmp_path / "out" / "a.png")
    assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(real, made), abs=0.05)
    assert row["l1"] == pytest.approx(np.abs(real / 255 - made / 255).mean(), abs=2e-3)


def test_a_grey_picture_among_others_takes_no_measure_from_them(runs, tmp_path, capsys):
    photo(tmp_path / "in" / "a.png")
    Image.open(tmp_path / "in" / "a.png").convert("L").save(tmp_path / "in" / "b.png")
    _, rows = applied(runs("colorization"), tmp_path / "in", tmp_path / "out")
    assert ["psnr" in row for row in rows] == [True, False]
    assert f"all (2): l1 {rows[0]['l1']:.3f}, psnr {rows[0]['psnr']:.3f}" in capsys.readouterr().out


def test_the_measures_are_those_of_scikit_image():
    rng = np.random.default_rng(0)
    real = rng.random((3, 24, 20)).astype(np.float32)
    made = np.clip(real + 0.1 * rng.standard_normal(real.shape).astype(np.float32), 0, 1)
    hole = np.zeros((24, 20), bool)
    hole[3:9, 4:12] = True
    found = fidelity(*(torch.from_numpy(x) for x in (made, real, hole)))
    expected = structural_similarity(
        real, made, channel_axis=0, data_range=1.0, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False,
    )  # fmt: skip
    assert found["ssim"] == pytest.approx(expected, abs=0.02)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(real, made), abs=1e-3)
    assert found["l1"] == pytest.approx(np.abs(real - made).mean(), abs=1e-5)
    inside = real[:, hole], made[:, hole]
    assert found["psnr_hole"] == pytest.approx(peak_signal_noise_ratio(*inside), abs=1e-3)
    assert found["l1_hole"] == pytest.approx(np.abs(inside[0] - inside[1]).mean(), abs=1e-5)


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory):
    """A file of what AlexNet sees with, drawn at random."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "alexnet.safetensors"
    state = torchvision.models.alexnet().features.state_dict()
    save_file({f"features.{key}": value for key, value in state.items()}, file)
    return file


def test_lpips_is_the_weighed_distance_of_unit_features(alexnet):
    made, real = torch.rand(2, 3, 40, 44, generator=torch.Generator().manual_seed(0))
    lpips, net = Lpips(str(alexnet)), torchvision.models.alexnet()
    net.load_state_dict(load_file(alexnet), strict=False)
    file = Path(sys.modules["torchmetrics.functional.image"].__path__[0]) / "lpips_models/alex.pth"
    lines = torch.load(file, map_location="cpu", weights_only=True)
    # The published scaling, to inputs in [-1, 1].
    shift, scale = (torch.tensor(x).view(3, 1, 1) for x in
                    ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))  # fmt: skip
    x = (torch.stack([made, real]) * 2 - 1 - shift) / scale
    expected, depth = 0.0, 0
    for layer in net.features[:12]:
        x = layer(x)
        if isinstance(layer, torch.nn.ReLU):
            unit = torch.nn.functional.normalize(x.detach(), dim=1)
            far = (unit[0] - unit[1]).square() * lines[f"lin{depth}.model.1.weight"][0]
            expected += float(far.sum(0).mean())
            depth += 1
    assert depth == 5
    assert lpips(made, real) == pytest.approx(expected, rel=1e-4)
    assert lpips(real, real) == 0
    assert fidelity(made, real, lpips=lpips)["lpips"] == lpips(made, real)
    assert "lpips" not in fidelity(made[:, :30], real[:, :30], lpips=lpips)


def test_lpips_needs_the_weights_of_alexnet(tmp_path):
    with pytest.raises(InputError, match=r"none.safetensors: weights must be a local"):
        Lpips(str(tmp_path / "none.safetensors"))
    save_file({"features.0.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"not the weights of torchvision's AlexNet"):
        Lpips(str(tmp_path / "other.safetensors"))


def test_pictures_are_told_by_lpips(runs, alexnet, tmp_path):
    photo(tmp_path / "in" / "a.png", 40, 35)
    for name in ("colorization", "context_encoder"):
        out = tmp_path / name
        _, (row,) = applied(runs(name), tmp_path / "in", out, "--lpips", alexnet)
        assert row["lpips"] > 0


@pytest.mark.parametrize("name", ["context_encoder", "coherent_semantic_attention"])
def test_a_box_is_filled_and_all_else_stays_bit_for_bit(runs, tmp_path, name):
    real = photo(tmp_path / "in" / "a.png")
    box = ["--box", 8, 5, 12, 9]
    more = [*box, "--truth", tmp_path / "in" / "a.png"]
    code, (row,) = applied(runs(name), tmp_path / "in", tmp_path / "out", *more)
    assert code == 0
    made, hole = pixels_of(tmp_path / "out" / "a.png"), np.zeros(real.shape[:2], bool)
    hole[5:14, 8:20] = True
    np.testing.assert_array_equal(made[~hole], real[~hole])
    assert (made[hole] != real[hole]).any()
    assert row["hole"] == pytest.approx(hole.mean())
    assert row["psnr_hole"] < row["psnr"]


def test_a_mask_says_the_same_as_a_box(runs, tmp_path, capsys):
    photo(tmp_path / "in" / "a.png")
    mask = np.zeros((30, 40), np.uint8)
    mask[5:14, 8:20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / "a.bmp")
    for out, more in {
        "box": ["--box", 8, 5, 12, 9],
        "mask": ["--hole", tmp_path / "mask.png"],
        "folder": ["--hole", tmp_path / "masks"],
    }.items():
        _, (row,) = applied(runs("context_encoder"), tmp_path / "in", tmp_path / out, *more)
        # Without a truth nothing is said of how near it comes.
        assert set(row) == {"name", "file", "hole"}
    box, mask, folder = (pixels_of(tmp_path / x / "a.png") for x in ("box", "mask", "folder"))
    np.testing.assert_array_equal(mask, box)
    np.testing.assert_array_equal(folder, box)
    assert "hole 0-10 % (1): written" in capsys.readouterr().out


def test_what_lay_in_a_hole_has_no_part_in_what_fills_it(runs):
    task = trained_task(str(runs("coherent_semantic_attention")))
    rng = torch.Generator().manual_seed(0)
    picture, hole = torch.rand(3, 50, 41, generator=rng), torch.zeros(50, 41, dtype=torch.bool)
    hole[20:33, 7:30] = True
    other = torch.where(hole, torch.rand(3, 50, 41, generator=rng), picture)
    with torch.inference_mode():
        torch.testing.assert_close(
            fill_hole(task, picture, hole), fill_hole(task, other, hole), rtol=0, atol=0
        )


def test_the_network_sees_a_square_around_the_hole():
    hole = torch.zeros(100, 120, dtype=torch.bool)
    hole[50:60, 70:90] = True
    assert window(hole, 16) == (35, 60, 40, 40)
    assert window(hole, 64) == (23, 48, 64, 64)
    hole[0:100, 0:3] = True
    assert window(hole, 16) == (0, 0, 100, 100)
    assert window(torch.ones(10, 30, dtype=torch.bool), 4) == (0, 0, 10, 30)


def test_drawn_holes_have_the_picture_for_truth_and_are_told_by_share(runs, tmp_path, capsys):
    for k in range(2):
        photo(tmp_path / "in" / f"{k}.png", 35, 30, seed=k)
    _, rows = applied(runs("context_encoder"), tmp_path / "in", tmp_path / "out")
    assert [row["hole"] for row in rows] == pytest.approx([225 / 1050] * 2)
    assert all(0 < row["psnr_hole"] < row["psnr"] < 100 for row in rows)
    assert "hole 20-30 % (2): l1 " in capsys.readouterr().out
    task = trained_task(str(runs("context_encoder")))
    assert int(drawn_hole(task, (30, 35), 0, 0).sum()) == 225


def test_a_shuffled_picture_is_laid_out_in_the_order_that_is_told(runs, tmp_path):
    real = photo(tmp_path / "in" / "a.png", 45, 30)[:, 7:37]
    code, (row,) = applied(runs("jigsaw"), tmp_path / "in", tmp_path / "out")
    assert code == 0
    tiles, shown, laid = (
        tiles_of(torch.from_numpy(x.copy()).permute(2, 0, 1))
        for x in (real, *(pixels_of(tmp_path / "out" / f"a{end}.png") for end in (".shuffled", "")))
    )
    first = [next(k for k in range(9) if torch.equal(tiles[k], tile)) for tile in shown]
    assert sorted(first) == list(range(9))
    said = [int(k) - 1 for k in row["order"].split("-")]
    for place, tile in enumerate(said):
        assert torch.equal(laid[tile], shown[place])
    assert row["right"] == (said == first)
    # The same tiles, shuffled by somebody else, have the same answer.
    again = tmp_path / "again"
    _, (row2,) = applied(runs("jigsaw"), tmp_path / "out" / "a.shuffled.png", again, "--shuffled")
    assert row2["order"] == row["order"]
    assert "right" not in row2


def film_of(path, frames, rate=0):
    with FilmWriter(path, frames.shape[1:3], 12.5, rate) as film:
        film.frames(torch.from_numpy(frames).permute(0, 3, 1, 2))
        film.sound(torch.sin(torch.arange(rate) / 20)[None] if rate else None)


def test_a_film_gets_steady_colours_at_its_own_times_and_keeps_its_sound(runs, tmp_path):
    rng = np.random.default_rng(0)
    still = photo(tmp_path / "x.png", 45, 35)
    noise = rng.integers(-6, 7, (10, *still.shape))
    film_of(tmp_path / "in" / "a.mp4", np.clip(still + noise, 0, 255).astype(np.uint8), 8000)
    outs = {}
    for share in (0.0, 0.8):
        out = tmp_path / str(share)
        code, (row,) = applied(
            runs("colorization"), tmp_path / "in", out, "--steady", share, "--kind", "video"
        )
        assert code == 0
        outs[share] = row
    assert outs[0.0]["flicker"] == outs[0.0]["flicker_alone"] > 0
    assert outs[0.8]["flicker"] < 0.6 * outs[0.8]["flicker_alone"]
    assert outs[0.8]["flicker_true"] > 0
    with av.open(str(tmp_path / "0.8" / "a.mp4")) as made:
        assert made.streams.video[0].average_rate == 12.5
        assert sum(1 for _ in made.decode(video=0)) == 10
    with av.open(str(tmp_path / "0.8" / "a.mp4")) as made:
        assert sum(frame.samples for frame in made.decode(audio=0)) >= 6000


def test_mistakes_are_told_in_one_line(runs, tmp_path, capsys):
    photo(tmp_path / "in" / "a.png")
    data, out = tmp_path / "in", tmp_path / "out"
    Image.new("L", (9, 9)).save(tmp_path / "mask.png")
    Image.new("L", (40, 30)).save(tmp_path / "black.png")
    paints, colours = runs("context_encoder"), runs("colorization")
    cases = {
        "makes nothing": (runs("rotation"), data, out),
        "no run there": (tmp_path, data, out),
        "--box does not apply to Colorization": (colours, data, out, "--box", 1, 1, 2, 2),
        "--steady does not apply": (paints, data, out, "--steady", 0.5),
        "share, 0 … 1": (colours, data, out, "--steady", 2),
        "give one": (paints, data, out, "--hole", data, "--box", 1, 1, 2, 2),
        "leaves its 40×30 pixels": (paints, data, out, "--box", 30, 1, 20, 2),
        "1 pixel or more": (paints, data, out, "--box", 3, 1, 0, 2),
        "9×9 pixels": (paints, data, out, "--hole", tmp_path / "mask.png"),
        "is empty": (paints, data, out, "--hole", tmp_path / "black.png"),
        "leaves nothing": (paints, data, out, "--box", 0, 0, 40, 30),
        "no such file": (paints, data, out, "--hole", tmp_path / "none.png"),
        "called a.*": (paints, data, out, "--hole", tmp_path / "out"),
        "have the picture itself": (paints, data, out, "--truth", data),
        "lie the media themselves": (paints, data, data),
    }
    out.mkdir()
    for words, case in cases.items():
        assert words in refusal(capsys, *case)
    assert sorted(p.name for p in data.iterdir()) == ["a.png"]


def test_what_cannot_be_read_is_told_and_the_rest_is_made(runs, tmp_path, capsys):
    photo(tmp_path / "in" / "b.png")
    (tmp_path / "in" / "a.png").write_bytes(b"no picture")
    photo(tmp_path / "in" / "b.bmp", seed=1)
    code, rows = applied(runs("colorization"), tmp_path / "in", tmp_path / "out")
    assert code == 1
    assert sorted(row["file"] for row in rows) == ["b.png", "b.png.png"]
    assert "FAILED" in capsys.readouterr().err
