"""Run folders of tasks that were never trained, for tests of what is done with a run."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from pretexto.commands.compare import make_task

TINY = {"class_path": "pretexto.encoders.image.TinyImage", "init_args": {"width": 4}}
CLASSES = {
    "colorization": "colorization.Colorization",
    "chroma_gan": "chroma_gan.ChromaGAN",
    "context_encoder": "context_encoder.ContextEncoder",
    "coherent_semantic_attention": "coherent_semantic_attention.CoherentSemanticAttention",
    "jigsaw": "jigsaw.Jigsaw",
    "rotation": "rotation.Rotation",
}


def run_of(name: str, folder: Path, *, size: int = 16, **options: Any) -> Path:
    """A folder with a config and a checkpoint of random weights."""
    arguments = {"video": {"encoder": TINY, "size": size}, **options}
    tree = {"class_path": f"pretexto.tasks.{CLASSES[name]}", "init_args": arguments}
    torch.manual_seed(0)
    weights = {f"task.{key}": x for key, x in make_task(tree, name).state_dict().items()}
    (folder / "checkpoints").mkdir(parents=True)
    torch.save({"state_dict": weights}, folder / "checkpoints" / "last.ckpt")
    (folder / "config.yaml").write_text(yaml.safe_dump({"task": tree, "data": "synthetic:train"}))
    return folder


def photo(path: Path, width: int = 40, height: int = 30, *, seed: int = 0) -> np.ndarray:
    """Writes a picture of random coloured squares; its pixels [H, W, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 5, width // 5, 3), np.uint8)
    pixels = coarse.repeat(5, 0).repeat(5, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))
