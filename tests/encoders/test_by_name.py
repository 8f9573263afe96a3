"""One short name, one encoder, in every modality."""

import copy
import inspect
from importlib import import_module
from pathlib import Path

import pytest
import torch

import pretexto
from pretexto.encoders import audio, audio_transformer, cnn14
from pretexto.encoders.audio import TinyAudio
from pretexto.encoders.by_name import NAMES, encoder_by_name, encoder_tree, replace_encoders
from pretexto.encoders.encoder import Encoder
from pretexto.encoders.store import save_encoder
from pretexto.encoders.video import TinyVideo
from pretexto.errors import InputError
from pretexto.modalities.input_spec import InputSpec

EVERY = [(modality, name) for modality, names in NAMES.items() for name in names]


@pytest.mark.parametrize(("modality", "name"), EVERY)
def test_every_name_is_an_encoder_of_its_modality_that_takes_these_arguments(modality, name):
    tree = encoder_tree(name, modality)
    module, _, kind = tree["class_path"].rpartition(".")
    encoder = getattr(import_module(module), kind)
    assert issubclass(encoder, Encoder)
    assert encoder.modality == modality
    inspect.signature(encoder.__init__).bind(None, **tree["init_args"])


@pytest.mark.parametrize(
    ("name", "modality", "dim"),
    [
        ("tiny", "image", 128),
        ("tiny", "video", 128),
        ("tiny", "audio", 128),
        ("tiny", "flow", 128),
        ("resnet18", "image", 512),
        ("resnet18", "video", 512),
        ("resnet18", "audio", 512),
        ("resnet18", "flow", 512),
        ("vit_tiny", "flow", 192),
        ("tiny_3d", "flow", 128),
        ("x3d_s", "flow", 432),
        ("x3d_s", "video", 432),
        ("vit_tiny", "image", 192),
        ("vit_tiny", "video", 192),
        ("vit_tiny", "audio", 192),
        ("timm/test_efficientnet", "image", 256),
        ("timm/test_efficientnet", "audio", 256),
    ],
)
def test_names_are_built(name, modality, dim):
    encoder = encoder_by_name(name, modality)
    assert (encoder.modality, encoder.dim) == (modality, dim)


def test_the_names_of_the_design_are_there():
    assert {"tiny", "resnet18", "resnet50", "vit_base"} <= NAMES["image"].keys()
    assert {"tiny", "r2plus1d_18", "r3d_18", "mc3_18", "slow_r50", "x3d_s"} <= NAMES["video"].keys()
    assert {"vit_small", "vit_base", "mvit_v2_s", "swin3d_t"} <= NAMES["video"].keys()
    assert {"tiny", "resnet18", "cnn14"} <= NAMES["audio"].keys()
    assert {"tiny", "vit_base", "r3d_18", "resnet18_3d"} <= NAMES["flow"].keys()
    over_time = {f"{name}_3d" if name in NAMES["image"] else name for name in NAMES["video"]}
    assert NAMES["flow"].keys() == NAMES["image"].keys() | over_time


@pytest.mark.parametrize(
    ("name", "modality", "message"),
    [
        ("r2plus1_18", "video", "did you mean r2plus1d_18"),
        ("resnet81", "audio", "did you mean resnet18"),
        ("zzz", "flow", "there are tiny, resnet18"),
        ("cnn14", "video", "'cnn14' is for audio, not for video"),
        ("r3d_18", "image", "'r3d_18' is for video, flow, not for image"),
        ("timm/resnet18", "flow", "'timm/resnet18' is for image, audio, not for flow"),
        ("timm/resnet81", "image", "timm has no model 'resnet81'; did you mean resnet"),
        ("runs/nowhere", "video", "no such folder of a run"),
    ],
)
def test_a_name_that_does_not_fit_is_refused_with_the_nearest(name, modality, message):
    with pytest.raises(InputError, match=message) as error:
        encoder_by_name(name, modality)
    assert "\n" not in str(error.value)


def test_published_weights_are_asked_for_only_where_there_are_some():
    assert encoder_tree("resnet50", "video", pretrained=True)["init_args"] == {
        "name": "resnet50",
        "pretrained": True,
    }
    with pytest.raises(
        InputError, match="'cnn14' for audio has no published weights.*give weights"
    ):
        encoder_tree("cnn14", "audio", pretrained=True)


def test_arguments_go_to_the_constructor():
    assert encoder_by_name("tiny", "audio", rate=8000).rate == 8000
    with pytest.raises(InputError, match="encoder 'tiny' for image.*depth"):
        encoder_by_name("tiny", "image", depth=3)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    save_encoder(folder, TinyVideo(width=4), InputSpec("video", size=32, frames=4), {})
    audio = InputSpec("audio", seconds=1.0, rate=8000)
    save_encoder(folder, TinyAudio(width=4, rate=8000), audio, {}, name="encoder-audio")
    return folder


def test_a_run_is_a_name_too(run: Path):
    video, audio = encoder_by_name(str(run), "video"), encoder_by_name(str(run), "audio")
    assert (type(video), video.dim, type(audio), audio.rate) == (TinyVideo, 32, TinyAudio, 8000)
    again = encoder_by_name(str(run), "video")
    assert all(map(torch.equal, video.state_dict().values(), again.state_dict().values()))
    with pytest.raises(InputError, match="no image encoder here, only audio, video"):
        encoder_by_name(str(run), "image")


def config() -> dict:
    """Encoders at several depths, as tasks of now and of later have them."""
    video = {"class_path": "pretexto.encoders.video.TinyVideo", "init_args": {"width": 4}}
    audio = {"class_path": "pretexto.encoders.audio.TinyAudio"}
    return {
        "task": {
            "class_path": "pretexto.tasks.audio_visual.AudioVisual",
            "init_args": {"video": {"encoder": video, "size": 64}, "audio_encoder": audio},
        },
        "tasks": [{"encoder": {"class_path": "pretexto.encoders.image.TinyImage"}}],
        "data": "synthetic",
    }


def test_encoders_are_replaced_wherever_they_stand():
    tree, untouched = config(), config()
    new = replace_encoders(tree, "resnet18")
    arguments = new["task"]["init_args"]
    assert arguments["video"]["encoder"] == encoder_tree("resnet18", "video")
    assert arguments["audio_encoder"] == encoder_tree("resnet18", "audio")
    assert new["tasks"][0]["encoder"] == encoder_tree("resnet18", "image")
    assert (arguments["video"]["size"], new["data"]) == (64, "synthetic")
    assert new["task"]["class_path"] == untouched["task"]["class_path"]
    assert tree == untouched


def test_only_encoders_of_the_names_modality_are_replaced():
    new, old = replace_encoders(config(), "r3d_18"), config()
    assert new["task"]["init_args"]["video"]["encoder"] == encoder_tree("r3d_18", "video")
    assert new["task"]["init_args"]["audio_encoder"] == old["task"]["init_args"]["audio_encoder"]
    assert new["tasks"] == old["tasks"]
    both = replace_encoders(config(), "r3d_18, cnn14")
    assert both["task"]["init_args"]["video"]["encoder"] == encoder_tree("r3d_18", "video")
    assert both["task"]["init_args"]["audio_encoder"] == encoder_tree("cnn14", "audio")


def test_a_name_that_replaces_nothing_is_refused():
    tree = copy.deepcopy(config())
    with pytest.raises(InputError, match="did you mean r3d_18"):
        replace_encoders(tree, "r3d18")
    del tree["task"]
    with pytest.raises(InputError, match="'cnn14' is for audio, not for image"):
        replace_encoders(tree, "cnn14")
    with pytest.raises(InputError, match="not for any input"):
        replace_encoders({"task": {"class_path": "nowhere.Task"}}, "tiny")


def test_a_run_replaces_the_encoders_that_it_has(run: Path):
    new = replace_encoders(config(), str(run))
    encoder = new["task"]["init_args"]["video"]["encoder"]
    assert encoder["init_args"]["weights"] == str(run / "encoder.safetensors")
    assert new["tasks"] == config()["tasks"]


def test_the_page_on_encoders_tells_class_size_and_dim_of_each_name(monkeypatch):
    for module in (audio, audio_transformer, cnn14):  # a mel scale needs numbers, not shapes
        monkeypatch.setattr(module, "front_end", lambda *arguments: torch.nn.Identity())
    page = (Path(pretexto.__file__).parent / "docs" / "encoders.md").read_text().splitlines()
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in page if line.startswith("| ")]
    head, *rows = rows
    told = {(m, row[0].strip("`")): c for row in rows for m, c in zip(head, row, strict=True) if c}
    for modality, name in EVERY:
        with torch.device("meta"):
            encoder = encoder_by_name(name, modality)
        millions = sum(p.numel() for p in encoder.parameters()) / 1e6
        cell = f"`{type(encoder).__name__}` {millions:.1f} M, {encoder.dim}"
        assert told.pop((modality, name)) == cell
    assert {modality for modality, _ in told} == {"name"}, "a row without an encoder"


@pytest.mark.parametrize("name", ["alexnet", "context_free", "network_in_network"])
def test_the_first_networks_of_pictures_see_flow_too(name):
    encoder = encoder_by_name(name, "flow")
    assert encoder(torch.rand(2, 2, 32, 32)).shape == (2, encoder.dim)
