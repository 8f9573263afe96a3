"""Configs become objects: what is shipped works, what is wrong is refused with the nearest name."""

import pytest
import yaml
from config_toys import Clips, Crop, Guards, Puzzle

from pretexto.build import SHIPPED, build, find_config, load_tree, parse, resolved
from pretexto.commands.pretrain import schema
from pretexto.encoders.encoder import Encoder
from pretexto.errors import InputError

TINY = {"class_path": "pretexto.encoders.image.TinyImage"}


def write(folder, tree) -> str:
    path = folder / "c.yaml"
    path.write_text(yaml.safe_dump(tree))
    return str(path)


def test_overrides_reach_into_objects(tmp_path):
    config = write(tmp_path, {"task": {"class_path": "a.B", "init_args": {"size": 1}}})
    tree = load_tree(config, [("task.size", "96"), ("task.init_args.flip", "false"), ("seed", "3")])
    assert tree["task"]["init_args"] == {"size": 96, "flip": False}
    assert tree["seed"] == 3


@pytest.mark.parametrize(
    "key", ["task", "task.class_path", "task.encoder", "task.encoder.class_path"]
)
def test_a_class_is_not_swapped_beside_a_config(tmp_path, key):
    config = write(tmp_path, {"task": {"class_path": "a.B", "init_args": {"encoder": dict(TINY)}}})
    with pytest.raises(InputError, match="cannot be swapped"):
        load_tree(config, [(key, "x.Y")])


def test_shipped_names_and_files_are_found(tmp_path):
    assert find_config("rotation") == SHIPPED / "rotation.yaml"
    assert find_config(write(tmp_path, {})).name == "c.yaml"
    with pytest.raises(InputError, match="rotation"):
        find_config("rotatoin")


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "just words"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="c.yaml"):
        load_tree(str(path))


def test_yaml_cannot_run_code(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(f"seed: !!python/object/apply:pathlib.Path.touch ['{tmp_path}/pwned']\n")
    with pytest.raises(InputError):
        load_tree(str(path))
    assert not (tmp_path / "pwned").exists()


def rotation(**changes):
    return {
        "class_path": "pretexto.tasks.rotation.Rotation",
        "init_args": {"video": {"encoder": TINY, **changes}},
    }


REFUSED = [
    ({"tasck": rotation()}, "did you mean task"),
    ({"task": rotation(sizee=3)}, "did you mean size"),
    ({"task": rotation(size="big")}, "task.video.size: 'big' is not a whole number"),
    ({"task": rotation(encoder={"class_path": "pretexto.encoders.image.TinyImag"})}, "TinyImage"),
    ({"task": rotation(encoder={"class_path": "os.system"})}, "os.system"),
    (
        {"task": rotation(encoder={"class_path": "pathlib.Path"})},
        "Path is no subclass of Encoder",
    ),
    (
        {"task": {"class_path": "pretexto.tasks.rotation.Rotation"}},
        "Rotation requires video",
    ),
    ({"task": rotation(), "trainer": {"step": 5}}, "did you mean steps"),
    ({"task": rotation(), "trainer": {"steps": "x"}}, "trainer.steps"),
    ({"task": rotation(), "optimizer": {"name": "adam"}}, "optimizer.name: 'adam' is not one of"),
    ({"task": rotation(), "seed": -1}, "seed: -1 is not a whole number from 0"),
    ({"task": rotation(), "kind": "smell"}, "kind: 'smell' is not one of .*or null"),
    ({"data": "x"}, "a config of this command requires task"),
    ({"task": rotation(), "data": {"class_path": "pathlib.Path"}}, "no subclass of Source"),
]


@pytest.mark.parametrize(("tree", "hint"), REFUSED, ids=lambda v: v if isinstance(v, str) else "")
def test_what_does_not_fit_the_signatures_is_refused_in_one_line(tree, hint):
    with pytest.raises(InputError, match=hint) as refusal:
        parse(tree, schema(), "c.yaml")
    assert len(str(refusal.value).splitlines()) == 1
    assert str(refusal.value).startswith("c.yaml: ")


def test_build_makes_the_objects_that_the_tree_names():
    tree = {"encoder": {**TINY, "init_args": {"width": 8}}}
    encoder = build(tree, {"encoder": Encoder}, "c.yaml")["encoder"]
    assert type(encoder).__name__ == "TinyImage"
    assert encoder.arguments["width"] == 8


def test_an_encoder_of_the_wrong_modality_is_named(tmp_path):
    tree = {"task": rotation(encoder={"class_path": "pretexto.encoders.audio.TinyAudio"})}
    with pytest.raises(InputError, match="TinyAudio"):
        build(tree, schema(), "c.yaml")


def test_the_resolved_tree_replays_to_itself():
    once = resolved({"task": rotation()}, schema(), "c.yaml")
    assert once["task"]["init_args"]["video"]["size"]
    assert resolved(once, schema(), "c.yaml") == once


def order(**changes):
    video = {"encoder": {"class_path": "config_toys.Small"}, "size": 32}
    return {"class_path": "config_toys.Order", "init_args": {"video": video, **changes}}


def make(tmp_path, overrides=(), **changes):
    config = write(tmp_path, {"task": order(**changes)})
    tree = load_tree(config, list(overrides))
    return build(tree, {"task": Puzzle}, "c.yaml")["task"]


def test_final_classes_and_dataclasses_are_given_by_their_keys(tmp_path):
    assert make(tmp_path, second=None).second is None
    task = make(tmp_path, guards={"crop": {"flip": False}}, second=order()["init_args"]["video"])
    assert isinstance(task.video, Clips)
    assert task.video.size == task.second.size == 32
    # What the mapping does not name keeps the default of the signature, not of the dataclass.
    assert task.guards == Guards(noise=0.7, crop=Crop(flip=False))


def test_overrides_reach_into_dataclasses_and_final_classes(tmp_path):
    overrides = [
        ("task.guards.exposure", "false"),
        ("task.guards.crop.scale", "[0.2, 0.5]"),
        ("task.video.size", "16"),
        ("task.video.encoder.width", "8"),
    ]
    task = make(tmp_path, overrides)
    assert task.guards == Guards(exposure=False, noise=0.7, crop=Crop(scale=(0.2, 0.5)))
    assert (task.video.size, task.video.encoder.width) == (16, 8)


def test_nested_keys_replay_to_themselves():
    once = resolved({"task": order()}, {"task": Puzzle}, "c.yaml")
    assert once["task"]["init_args"]["guards"]["noise"] == 0.7
    assert once["task"]["init_args"]["video"]["encoder"]["init_args"]["width"] == 4
    assert resolved(once, {"task": Puzzle}, "c.yaml") == once


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("guards.exposur", "false", "task.guards.exposur: Guards .* did you mean exposure"),
        ("guards.crop.flipp", "1", "task.guards.crop.flipp: Crop .* did you mean flip"),
        ("guards.noise", "loud", "task.guards.noise: 'loud' is not a number"),
        ("guards.crop.scale", "[1]", r"scale: \[1\] is not a list of \(a number, a number\)"),
        ("guards", "true", "task.guards: True is not a mapping of Guards's keys"),
        ("guards", "null", "task.guards: None is not a mapping of Guards's keys"),
        ("video.sizes", "3", "task.video.sizes: Clips .* did you mean size"),
        ("video.size", "x", "task.video.size: 'x' is not a whole number"),
        ("video.encoder.wdth", "8", "task.video.encoder.wdth: Small .* did you mean width"),
        ("video.encoder.width", "x", "task.video.encoder.width: 'x' is not a whole number"),
        ("second.size", "8", "task.second: Clips requires encoder"),
        ("second.encoder.width", "8", "task.second.encoder: needs class_path"),
        ("table", "3", "task.table: 3 is not a mapping"),
    ],
)
def test_a_slip_in_nested_keys_is_named_with_its_whole_path(tmp_path, key, value, words):
    with pytest.raises(InputError, match=words) as refusal:
        make(tmp_path, [(f"task.{key}", value)])
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("key", ["task.video", "task.parts"])
def test_what_holds_a_class_is_not_replaced_beside_a_config(tmp_path, key):
    with pytest.raises(InputError, match="cannot be swapped"):
        make(tmp_path, [(key, "{}")], parts=[{"class_path": "config_toys.Small"}])


PATH = {"class_path": "pathlib.Path", "init_args": {}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"extra": PATH}, "task.extra: .* no object"),
        ({"extra": [PATH]}, "task.extra: takes no object"),
        ({"table": {"a": PATH}}, "task.table.a: .* no object"),
        ({"guards": {"noise": PATH}}, "task.guards.noise: takes no object"),
        ({"guards": PATH}, "task.guards: takes no object"),
        ({"parts": [PATH]}, "task.parts.0: pathlib.Path is no subclass of Network"),
        ({"parts": ["pathlib.Path"]}, "task.parts.0: pathlib.Path is no subclass of Network"),
        ({"second": {"encoder": PATH}}, "task.second.encoder: pathlib.Path is no subclass"),
    ],
)
def test_a_config_builds_only_what_the_annotations_name(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        make(tmp_path, **changes)


def test_members_of_a_typed_list_are_built(tmp_path):
    small = {"class_path": "config_toys.Small", "init_args": {"width": 2}}
    assert [part.width for part in make(tmp_path, parts=[small, small]).parts] == [2, 2]
