"""Configs become objects: what is shipped works, what is wrong is refused with the nearest name."""

import pytest
import yaml

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
        "init_args": {"encoder": TINY, **changes},
    }


REFUSED = [
    ({"tasck": rotation()}, "did you mean task"),
    ({"task": rotation(sizee=3)}, "did you mean size"),
    ({"task": rotation(size="big")}, "task.size"),
    ({"task": rotation(encoder={"class_path": "pretexto.encoders.image.TinyImag"})}, "TinyImage"),
    ({"task": rotation(encoder={"class_path": "os.system"})}, "os.system"),
    ({"task": rotation(encoder={"class_path": "pathlib.Path"})}, "not correspond to a subclass"),
    ({"task": {"class_path": "pretexto.tasks.rotation.Rotation"}}, "required: encoder"),
    ({"task": rotation(), "trainer": {"step": 5}}, "did you mean steps"),
    ({"task": rotation(), "trainer": {"steps": "x"}}, "trainer.steps"),
    ({"task": rotation(), "optimizer": {"name": "adam"}}, "optimizer.name"),
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
    assert once["task"]["init_args"]["size"]
    assert resolved(once, schema(), "c.yaml") == once
