"""What each of two gloo processes runs for tests that compare two processes with one."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from pretexto.encoders.encoder import Encoder, Level
from pretexto.encoders.text import TextTransformer
from pretexto.tasks.parts.audio_input import AudioInput
from pretexto.tasks.parts.clip_input import ClipInput
from pretexto.tasks.parts.flow_input import FlowInput
from pretexto.tasks.parts.losses import info_nce, nt_xent
from pretexto.tasks.parts.text_input import TextInput
from pretexto.tasks.task import Task
from pretexto.training.batch_norm import synchronised

SIZES = ([4, 4], [5, 3])
PARTS = ([3, 3], [4, 2])
LOSSES = {"nt_xent": nt_xent, "info_nce": info_nce}
SHAPES = {"1d": (), "2d": (3, 2), "3d": (2, 2, 3), "plain": (), "act": (3, 2), "mean": (2, 2)}


def in_two(job: Callable[[int, str], None], folder: Path) -> None:
    """Runs a job in two processes, which need not import everything once more."""
    mp.start_processes(job, (str(folder),), nprocs=2, start_method="fork")


@contextmanager
def meeting(rank: int, folder: str) -> Iterator[None]:
    """Two processes that share a batch."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    yield
    dist.destroy_process_group()


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Eight pairs of inputs, and the weight of a linear encoder; all float64."""
    rng = torch.Generator().manual_seed(0)
    first = torch.randn(8, 5, generator=rng, dtype=torch.float64)
    second = first + torch.randn(8, 5, generator=rng, dtype=torch.float64)
    weight = torch.linspace(-1, 1, 20, dtype=torch.float64).view(5, 4)
    return first, second, weight.requires_grad_()


def run(rank: int, folder: str) -> None:
    with meeting(rank, folder):
        for (name, contrast), (k, sizes) in product(LOSSES.items(), enumerate(SIZES)):
            first, second, weight = batch()
            mine = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
            loss, _ = contrast(first[mine] @ weight, second[mine] @ weight, 0.2)
            (grad,) = torch.autograd.grad(loss, weight)
            # What DistributedDataParallel makes of the processes' losses and gradients: their mean.
            both = {"loss": loss.detach().reshape(1), "grad": grad}
            for x in both.values():
                dist.all_reduce(x)
                x /= 2
            torch.save(both, f"{folder}/{name}-{k}-{rank}.pt")


def cases() -> dict[str, Callable[[], Task]]:
    """Every task, as it is by default, and the other ways to choose what it is asked."""
    from task_kit import TASKS

    from pretexto.tasks.audio_simclr import AudioSimCLR
    from pretexto.tasks.audio_visual import AudioVisual
    from pretexto.tasks.cross_modal import CrossModal
    from pretexto.tasks.flow_contrast import FlowContrast
    from pretexto.tasks.flow_correspondence import FlowCorrespondence
    from pretexto.tasks.flow_similarity import FlowSimilarity
    from pretexto.tasks.masked_language import MaskedLanguage
    from pretexto.tasks.segment_recurrence import SegmentRecurrence
    from pretexto.tasks.synchrony import Synchrony

    made = {cls.__name__: partial(small, cls) for cls in TASKS}
    others: list[tuple[type[Task], dict[str, Any]]] = [
        (AudioSimCLR, {"mix": 0.0}),
        (AudioVisual, {"negatives_per_clip": 3, "compare": False}),
        (AudioVisual, {"negatives": "exchanged"}),
        (AudioVisual, {"negatives": "same_video"}),
        (Synchrony, {"cross_video": True}),
        (CrossModal, {"within_video": 1.0, "within_audio": 1.0}),
        (FlowContrast, {"co_training": 2}),
        (FlowCorrespondence, {"negatives": "other_video"}),
        (FlowSimilarity, {"position": True, "learn_sigma": True}),
        (FlowSimilarity, {"loss": "alignment"}),
        (MaskedLanguage, {"selection": "bernoulli", "whole_word": True}),
        (MaskedLanguage, {"next_sentence": True}),
        (SegmentRecurrence, {"cutoffs": (10, 20)}),
    ]
    for cls, options in others:
        words = ", ".join(f"{name}={value}" for name, value in options.items())
        made[f"{cls.__name__}({words})"] = partial(small, cls, **options)
    return made


class Sights(Encoder):
    """A clip through one layer with batch norm: each of its statistics is a message."""

    modality = "video"

    def __init__(self):
        super().__init__()
        self.dim, self.levels = 6, {"only": Level(6, (1, 4, 4))}
        self.layer = nn.Sequential(
            nn.Conv3d(3, 6, (3, 4, 4), (1, 4, 4), (1, 0, 0)), nn.BatchNorm3d(6)
        )

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return {"only": self.layer(x).relu()}


class Motions(Encoder):
    """The same of a field of optical flow."""

    modality = "flow"

    def __init__(self):
        super().__init__()
        self.fields, self.dim, self.levels = 1, 6, {"only": Level(6, (4, 4))}
        self.layer = nn.Sequential(nn.Conv2d(2, 6, 4, 4), nn.BatchNorm2d(6))

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return {"only": self.layer(x).relu()}


class Sounds(Encoder):
    """The same of a sound's frames of 10 ms."""

    modality = "audio"

    def __init__(self):
        super().__init__()
        self.rate, self.dim, self.levels = 16000, 6, {"only": Level(6, (1, 160))}
        self.layer = nn.Sequential(nn.Conv1d(1, 6, 160, 160), nn.BatchNorm1d(6))

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return {"only": self.layer(x).relu()[:, :, None]}


def reader() -> TextTransformer:
    """A transformer of text that has no statistics to share."""
    return TextTransformer(vocabulary=40, context=16, width=8, depth=2, heads=2)


def small(cls: type[Task], **options: Any) -> Task:
    """A task around encoders of one layer, in float64."""
    from task_kit import OPTIONS, make_task, wanted

    torch.manual_seed(0)
    made = {ClipInput: Sights, FlowInput: Motions, AudioInput: Sounds, TextInput: reader}
    encoders = [
        next(make() for kind, make in made.items() if kind in kinds)
        for kinds in wanted(cls).values()
    ]
    names = inspect.signature(cls).parameters
    options |= {name: value for name, value in OPTIONS.items() if name in names}
    if Sights in map(type, encoders):
        options |= {"size": 32, "frames": 4}
    if TextTransformer in map(type, encoders):
        options |= {"length": 16}
    return make_task(cls, *encoders, **options).double()


@cache
def examples(name: str) -> dict[str, Tensor]:
    """Six media of which one stands twice, one is mute, and one, where there is a choice, is not
    asked; processes so hold unlike numbers of questions.

    Whoever makes those of a case before processes fork makes them for both.
    """
    import task_kit

    made = task_kit.batch(cases()[name](), 6)
    made["index"][4] = made["index"][1]
    if "audio" in made:
        made["audio"][5] = 0
    if "weight" in made:
        made["weight"][2] = 0
    return made


def step(task: Task, part: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Loss, metrics, gradients, and statistics after one step on some examples."""
    data = {
        name: value.double() if value.is_floating_point() and value.ndim > 2 else value
        for name, value in task.augment(part).items()
    }
    task.train()
    made = task(data)
    made.loss.backward()
    return {
        "loss": {"": made.loss.detach().reshape(1)},
        "metrics": made.metrics,
        "grads": {k: p.grad for k, p in task.named_parameters() if p.grad is not None},
        "buffers": dict(task.named_buffers()),
    }


def pretext(rank: int, folder: str) -> None:
    """Every case on either part of its examples, halves and others."""
    found = {}
    with meeting(rank, folder):
        for (name, make), (k, sizes) in product(cases().items(), enumerate(PARTS)):
            task = synchronised(make())
            part = {key: x.split(sizes)[rank] for key, x in examples(name).items()}
            one = step(task, part)
            # What DistributedDataParallel makes of the processes' losses and gradients: their mean.
            for x in (*one["loss"].values(), *one["grads"].values()):
                dist.all_reduce(x)
                x /= 2
            found |= {f"{k}/{name}/{kind}/{key}": x for kind in one for key, x in one[kind].items()}
    torch.save(found, f"{folder}/pretext-{rank}.pt")


def norms() -> dict[str, nn.Module]:
    """Batch norms of every kind, in float64, with weights of their own."""
    made = {
        "1d": nn.BatchNorm1d(4),
        "2d": nn.BatchNorm2d(4, momentum=0.3, eps=0.01),
        "3d": nn.BatchNorm3d(4),
        "plain": nn.BatchNorm1d(4, affine=False),
        "act": BatchNormAct2d(4),
        "mean": nn.BatchNorm2d(4, momentum=None),
    }
    rng = torch.Generator().manual_seed(1)
    for norm in made.values():
        norm.double()
        for parameter in norm.parameters():
            parameter.data = torch.rand(4, generator=rng, dtype=torch.float64) + 0.5
    return made


def rows(name: str) -> Tensor:
    """Eight rows, the first ones greater, far from zero beside their spread."""
    rng = torch.Generator().manual_seed(2)
    x = torch.randn(8, 4, *SHAPES[name], generator=rng, dtype=torch.float64)
    return x + 100 + 10 * (torch.arange(8) < 3).view(8, *[1] * (x.ndim - 1))


def loss(out: Tensor, first: int) -> Tensor:
    """A sum over rows, each with weights of its own; `first` is the number of the first."""
    rng = torch.Generator().manual_seed(3)
    weight = torch.randn(8, *out.shape[1:], generator=rng, dtype=torch.float64)
    return (out.square() * weight[first : first + len(out)]).sum()


def normalise(rank: int, folder: str) -> None:
    found = {}
    with meeting(rank, folder):
        sizes = SIZES[1]
        first = sum(sizes[:rank])
        for name, norm in norms().items():
            norm = synchronised(norm)
            x = rows(name)[first : first + sizes[rank]].requires_grad_()
            for _ in range(2):
                out = norm(x)
            loss(out, first).backward()
            grads = {f"grad of {key}": p.grad for key, p in norm.named_parameters()}
            found[name] = {"out": out.detach(), "grad": x.grad, **grads, **norm.state_dict()}
    torch.save(found, f"{folder}/norms-{rank}.pt")
