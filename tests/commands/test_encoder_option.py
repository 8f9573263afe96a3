"""`--encoder`: the network that the user means to use, in the place of a config's."""

from pathlib import Path

import torch
import yaml

from pretexto import cli
from pretexto.build import load_tree
from pretexto.encoders.store import load_encoder, read_card

SHORT = ["--data", "synthetic:train", "--trainer.steps", "2", "--trainer.batch_size", "4"]


def test_overrides_reach_the_encoder_that_was_named():
    tree = load_tree("rotation_clips", [("task.video.encoder.depth", "2")], "vit_tiny")
    encoder = tree["task"]["init_args"]["video"]["encoder"]
    assert encoder["class_path"] == "pretexto.encoders.video_transformer.VideoTransformer"
    assert (encoder["init_args"]["width"], encoder["init_args"]["depth"]) == (192, 2)


def test_a_run_trains_the_named_encoder_and_another_starts_from_it(tmp_path: Path):
    first, second = tmp_path / "first", tmp_path / "second"
    words = ["pretrain", "--config", "rotation", *SHORT, "--trainer.workers", "0"]
    assert cli.main([*words, "--encoder", "timm/test_resnet", "--out", str(first)]) == 0
    assert read_card(first)["class_path"] == "pretexto.encoders.image.TimmImage"
    stored = yaml.safe_load((first / "config.yaml").read_text())
    assert stored["task"]["init_args"]["video"]["encoder"]["init_args"]["name"] == "test_resnet"
    again = [*words, "--encoder", str(first), "--out", str(second), "--optimizer.lr", "1e-12"]
    assert cli.main([*again, "--optimizer.weight_decay", "0"]) == 0
    kernels = [load_encoder(run).net.conv1[0].weight for run in (first, second)]
    # Two steps of next to no length: it is where it started.
    torch.testing.assert_close(*kernels, atol=1e-6, rtol=0)
