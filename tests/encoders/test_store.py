"""Encoders on disk: what is loaded is what was saved, and damage is told apart from it."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from encoder_kit import CASES, fresh

from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.image import TimmImage, TinyImage, TorchvisionImage
from pretexto.encoders.store import (
    check_storable,
    encoders_of,
    load_encoder,
    read_card,
    run_tree,
    save_encoder,
)
from pretexto.encoders.video import TinyVideo
from pretexto.errors import InputError
from pretexto.modalities.input_spec import InputSpec

IMAGE, AUDIO = InputSpec("image", size=32, frames=1), InputSpec("audio", seconds=1.0, rate=16000)
CARD = {"task": "Rotation", "steps": 10, "seed": 0, "pretext_metric": 0.5}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a picture encoder and, beside it, a sound encoder."""
    save_encoder(tmp_path, TinyImage(width=4), IMAGE, CARD)
    save_encoder(tmp_path, TinyAudio(width=4), AUDIO, CARD, name="encoder-audio")
    return tmp_path


def edit(folder: Path, **changes: object) -> None:
    path = folder / "encoder.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("encoder", "shape"),
    [
        (TinyImage(width=4), (2, 3, 32, 32)),
        (TinyVideo(width=4), (2, 3, 4, 32, 32)),
        (TinyAudio(width=4, rate=8000), (2, 1, 8000)),
        (TorchvisionImage(small_input=True), (1, 3, 32, 32)),
        (TimmImage(name="vit_tiny_patch16_224", size=32), (1, 3, 32, 32)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_round_trip_gives_identical_outputs(encoder, shape, tmp_path: Path):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    encoder.train()(x)  # moves the running statistics, which must travel too
    save_encoder(tmp_path, encoder, IMAGE, CARD)
    loaded = load_encoder(tmp_path)
    assert type(loaded) is type(encoder)
    assert loaded.arguments == encoder.arguments
    assert not loaded.training
    assert torch.equal(loaded(x), encoder.eval()(x))


def test_a_card_from_before_an_argument_was_there_means_its_default(tmp_path: Path):
    encoder = TinyAudio(width=4)
    x = torch.rand((2, 1, 8000), generator=torch.Generator().manual_seed(0))
    save_encoder(tmp_path, encoder, AUDIO, CARD)
    edit(tmp_path, arguments={"rate": 16000, "width": 4})
    assert torch.equal(load_encoder(tmp_path)(x), encoder.eval()(x))


def test_card_holds_what_was_said_and_what_is_known(run: Path):
    card = read_card(run)
    assert CARD.items() <= card.items()
    assert card["class_path"] == "pretexto.encoders.image.TinyImage"
    assert (card["modality"], card["dim"], card["arguments"]) == (
        "image",
        32,
        {"width": 4, "weights": None},
    )
    assert InputSpec(**card["spec"]) == IMAGE
    assert InputSpec(**read_card(run, "audio")["spec"]) == AUDIO


def test_a_card_of_an_earlier_version_is_understood(run: Path, tmp_path: Path):
    shutil.copytree(run, tmp_path / "old")
    card = tmp_path / "old" / "encoder.json"
    card.write_text(card.read_text().replace('"spec": {', '"view": {'))
    assert InputSpec(**read_card(tmp_path / "old")["spec"]) == IMAGE


def test_modality_chooses_among_a_runs_encoders(run: Path):
    assert isinstance(load_encoder(run), TinyImage)
    assert isinstance(load_encoder(run, "image"), TinyImage)
    assert isinstance(load_encoder(run, "audio"), TinyAudio)
    with pytest.raises(InputError, match=r"no video encoder here, only audio, image"):
        load_encoder(run, "video")


def test_main_encoder_wins_over_another_of_its_modality(run: Path):
    save_encoder(run, TinyImage(width=2), IMAGE, CARD, name="encoder-image")
    assert load_encoder(run, "image").dim == 32


def test_nothing_but_the_files_is_left(run: Path):
    names = {f"{name}.{kind}" for name in ("encoder", "encoder-audio") for kind in ENDINGS}
    assert {path.name for path in run.iterdir()} == names


ENDINGS = ("json", "safetensors")


def test_interrupted_write_leaves_the_old_encoder(run: Path, monkeypatch: pytest.MonkeyPatch):
    before = (run / "encoder.safetensors").read_bytes()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="No space left"):
        save_encoder(run, TinyImage(width=4), IMAGE, CARD)
    assert (run / "encoder.safetensors").read_bytes() == before
    load_encoder(run)
    assert not list(run.glob(".*"))


def test_missing_folder_and_unfinished_run_are_named(tmp_path: Path):
    with pytest.raises(InputError, match="no such folder"):
        load_encoder(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no encoder\.json here"):
        load_encoder(tmp_path)


def test_damaged_weights_are_refused(run: Path):
    path = run / "encoder.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="checksums differ"):
        load_encoder(run)
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        load_encoder(run)


def test_truncated_card_is_refused(run: Path):
    path = run / "encoder.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(InputError, match="damaged"):
        read_card(run)


@pytest.mark.parametrize("content", ["[]", "null", "{}", '{"class_path": 3}'])
def test_card_without_its_fields_is_refused(run: Path, content: str):
    (run / "encoder.json").write_text(content)
    with pytest.raises(InputError, match="class_path"):
        load_encoder(run)


@pytest.mark.parametrize(
    ("class_path", "message"),
    [
        ("os; import sys", "no dotted name"),
        ("../../evil.Encoder", "no dotted name"),
        (".relative.Encoder", "no dotted name"),
        ("TinyImage", "no dotted name"),
        ("pretexto.encoders.image.TinyImage\n", "no dotted name"),
        ("nowhere.at.All", "code of the package 'nowhere'.*PRETEXTO_ENCODERS=nowhere"),
        ("pretexto.nowhere.All", "cannot import pretexto.nowhere"),
        ("pretexto.encoders.image.Nothing", "no encoder"),
        ("os.system", "no encoder"),
        ("torch.nn.Linear", "no encoder"),
        ("pretexto.encoders.encoder.Encoder", "no encoder"),
        ("pretexto.encoders.audio.TinyAudio", "encoder for audio, the card says image"),
    ],
)
def test_class_path_must_name_an_encoder(run: Path, class_path: str, message: str):
    edit(run, class_path=class_path)
    with pytest.raises(InputError, match=message):
        load_encoder(run)


def test_bad_names_are_refused_before_any_import(run: Path, monkeypatch: pytest.MonkeyPatch):
    def never(name: str) -> None:
        raise AssertionError(f"imported {name}")

    monkeypatch.setattr("importlib.import_module", never)
    edit(run, class_path="os.path;print.x")
    with pytest.raises(InputError, match="no dotted name"):
        load_encoder(run)


HOSTILE = """
from pathlib import Path
from pretexto.encoders.image import TinyImage
Path(__file__).with_name("was_here").touch()
class Net(TinyImage): pass
"""


@pytest.fixture
def hostile(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose card names a module that leaves a file behind when it is imported."""
    (tmp_path / "left_behind.py").write_text(HOSTILE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "left_behind", raising=False)
    edit(run, class_path="left_behind.Net")
    return tmp_path / "was_here"


@pytest.mark.parametrize("load", [load_encoder, run_tree])
def test_a_card_cannot_have_foreign_code_imported(run: Path, hostile: Path, load):
    with pytest.raises(InputError, match="if you trust that, import left_behind first or set"):
        load(run)
    assert not hostile.exists()
    assert "left_behind" not in sys.modules


def test_a_package_that_the_user_names_or_has_imported_may_define_encoders(
    run: Path, hostile: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PRETEXTO_ENCODERS", "other,left_behind")
    assert type(load_encoder(run)).__name__ == "Net"
    assert hostile.exists()
    monkeypatch.delenv("PRETEXTO_ENCODERS")
    assert type(load_encoder(run)).__name__ == "Net", "it is imported by now"


class AnyArguments(TinyImage):
    def __init__(self, **options):
        super().__init__(**options)


class ByPosition(TinyImage):
    def __init__(self, width=4, /):
        super().__init__(width=width)


class TakesObject(TinyImage):
    def __init__(self, *, extra=None):
        super().__init__(width=2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AnyArguments(width=4), "AnyArguments takes 'options' as variadic keyword"),
        (lambda: ByPosition(4), "ByPosition takes 'width' as positional-only"),
        (lambda: TakesObject(extra=torch.zeros(2)), r"extra=tensor\(\[0., 0.\]\) is no JSON value"),
        (lambda: TakesObject(extra=float("nan")), "extra=nan is no JSON value"),
        (lambda: TakesObject(extra={1: 2}), "no JSON value"),
        (lambda: TakesObject(extra=[{"a": {3}}]), "no JSON value"),
        (lambda: TakesObject(extra=Path("x")), "extra=x is no JSON value"),
    ],
)
def test_what_could_not_be_built_again_is_refused(make, message: str, tmp_path: Path):
    encoder = make()
    for refuse in (check_storable, lambda e: save_encoder(tmp_path / "run", e, IMAGE, CARD)):
        with pytest.raises(InputError, match=message) as error:
            refuse(encoder)
        assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_class_inside_a_function_is_refused():
    class Local(TinyImage):
        pass

    with pytest.raises(InputError, match="defined inside a function or class"):
        check_storable(Local())


@pytest.mark.parametrize("extra", [None, True, 3, 0.5, "x", (1, [2.0, "y"]), {"a": {"b": None}}])
def test_plain_arguments_are_storable_and_come_back(extra, tmp_path: Path):
    check_storable(TakesObject(extra=extra))
    save_encoder(tmp_path, TakesObject(extra=extra), IMAGE, CARD)
    back = load_encoder(tmp_path).arguments["extra"]
    assert back == json.loads(json.dumps(extra))


def test_every_encoder_of_the_package_is_storable():
    for case in CASES:
        check_storable(fresh(case))


def test_a_run_is_a_start_that_a_config_can_name(run: Path):
    tree = run_tree(run)
    assert tree["class_path"] == "pretexto.encoders.image.TinyImage"
    again = TinyImage(**tree["init_args"])
    assert torch.equal(
        again.stages["stem"][0][0].weight, load_encoder(run).stages["stem"][0][0].weight
    )
    assert list(encoders_of(run)) == ["audio", "image"]
    (run / "encoder.safetensors").write_bytes(b"other")
    with pytest.raises(InputError, match="checksums differ"):
        run_tree(run)


def test_arguments_must_fit_class_and_weights(run: Path):
    edit(run, arguments={"depth": 4})
    with pytest.raises(InputError, match="depth"):
        load_encoder(run)
    edit(run, arguments={"width": 8})
    with pytest.raises(InputError, match="not those of pretexto"):
        load_encoder(run)


def test_card_must_hold_json_values(tmp_path: Path):
    for value in (torch.zeros(2), float("nan"), {1, 2}):
        with pytest.raises(InputError, match="JSON"):
            save_encoder(tmp_path, TinyImage(width=4), IMAGE, {"task": value})
    assert not list(tmp_path.iterdir())


def test_unwritable_folder_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        save_encoder(tmp_path / "file", TinyImage(width=4), IMAGE, CARD)


def test_loading_and_saving_leave_the_global_generator_alone(run: Path):
    before = torch.get_rng_state()
    save_encoder(run / "again", load_encoder(run), IMAGE, CARD)
    assert torch.equal(torch.get_rng_state(), before)
