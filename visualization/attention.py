"""How far a transformer of text looks: mean attention by distance, block by block."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..datasets.source import Source
from ..encoders.text import Memory, TextTransformer
from ..encoders.text_blocks import Attention
from ..errors import InputError
from ..modalities.media import MediaError
from ..tasks.parts.text_input import TextInput
from ..tasks.task import Task
from ..training.data import fitted

_TEXTS = 16


class Reach(NamedTuple):
    """Where the attention of each block goes.

    Attributes:
        weights: float [blocks, S], the mean weight of a key by its distance from 0 on; NaN where
            no query has such a key.
        remembered: float [blocks], the share of attention that goes into memory.
        length: tokens of a segment: what is as far away or farther is memory.
    """

    weights: Tensor
    remembered: Tensor
    length: int


def reach(task: Task, source: Source, *, count: int = _TEXTS) -> Reach:
    """Where attention goes in so many texts spread over a source, heads averaged.

    Of a task with memory, in segments whose memory is full.

    Raises:
        InputError: a task without text, or no text that it could read.
    """
    text = getattr(task, "text", None) or getattr(task, "input", None)
    if not isinstance(text, TextInput):
        raise InputError(f"{type(task).__name__} reads no text; give a run of a task on text")
    memory = int(getattr(task, "memory", 0))
    segments = 1 + -(-memory // text.length)
    rows = _texts(fitted(source, task), text, segments, count)
    home, training = next(task.parameters()).device, task.training
    task.eval()
    try:
        with torch.no_grad():
            return _measured(text.encoder, rows.to(home), memory, getattr(task, "same_length", 0))
    finally:
        task.train(training)


def _texts(source: Source, text: TextInput, segments: int, count: int) -> Tensor:
    """Tokens int64 [texts, segments, T] of examples that follow one another."""
    found = []
    last = len(source) - segments + 1
    for i in range(0, max(last, 0), max(1, last // count)):
        try:
            about = [text.about(source.info(k)) for k in range(i, i + segments)]
            plans = [text.spec.plan(a.first) for a in about]
            reads = [source.read(i + k, plan).tokens for k, plan in enumerate(plans)]
        except MediaError:
            continue
        found.append(torch.stack([r for r in reads if r is not None]))
        if len(found) == count:
            break
    if not found:
        raise InputError(
            f"no text of {segments * text.length} tokens in a row here, which a look needs; give "
            "longer text with --data"
        )
    return torch.stack(found)


def _measured(encoder: TextTransformer, x: Tensor, memory: int, same_length: int) -> Reach:
    kept: Memory | None = None
    for part in x[:, :-1].unbind(1):
        kept = encoder.remember(
            kept, encoder.states(part, memory=kept, same_length=same_length), memory
        )
    with _recorded(encoder) as weights:
        encoder.states(x[:, -1], memory=kept, same_length=same_length)
    t, s = weights[0].shape[2:]
    far = (s - t + torch.arange(t)[:, None] - torch.arange(s)).abs().to(x.device)
    asked = (x[:, -1] >= 0)[:, None, :, None]  # behind a text's end nobody asks
    by_distance, remembered = [], []
    for w in weights:
        seen = (w > 0) & asked
        sums, pairs = (
            torch.zeros(s, device=x.device).index_add_(0, far.flatten(), v.sum((0, 1)).flatten())
            for v in (w * seen, seen.float())
        )
        by_distance.append(sums / pairs)  # 0 / 0 where there are none
        remembered.append((w * seen)[..., : s - t].sum() / (w * seen).sum())
    return Reach(torch.stack(by_distance).cpu(), torch.stack(remembered).cpu(), t)


@contextmanager
def _recorded(encoder: TextTransformer) -> Iterator[list[Tensor]]:
    """Collects the attention of each block while it computes."""
    found: list[Tensor] = []

    def record(module: torch.nn.Module, args: tuple, kwargs: dict) -> None:
        assert isinstance(module, Attention)
        found.append(module.weights(*args, **kwargs))

    hooks = [m.register_forward_pre_hook(record, with_kwargs=True)
             for m in encoder.modules() if isinstance(m, Attention)]  # fmt: skip
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def draw_reach(found: Reach, path: Path) -> Path:
    """Draws one line per block into a PNG, weights on a logarithmic axis, memory shaded."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.0), dpi=200, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    blocks, size = found.weights.shape
    recalls = bool((found.remembered > 0).any())
    if recalls:
        axes.axvspan(found.length, size - 1, color="#f3ead3", lw=0, label="memory alone")
    for k in range(blocks):
        shade = 0.15 + 0.7 * k / max(blocks - 1, 1)
        share = f", {100 * found.remembered[k]:.0f} % in memory" if recalls else ""
        colour = (0.1, 0.55 - 0.35 * shade, 0.95 - 0.6 * shade)
        axes.plot(found.weights[k].numpy(), color=colour, lw=1.6, label=f"block {k + 1}{share}")
    axes.set_yscale("log")
    axes.set_xlim(0, size - 1)
    axes.set_xlabel("distance in tokens")
    axes.set_ylabel("mean weight of a token")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, framealpha=0.8, edgecolor="none")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")
    return path


def in_words(found: Reach) -> str:
    """What the picture shows, for those who cannot see it."""
    near = found.weights[:, 1:9].nan_to_num().mean(1)
    told = ", ".join(f"block {k} {100 * w:.1f} %" for k, w in enumerate(near.tolist(), 1))
    recalled = ", ".join(f"{100 * r:.0f} %" for r in found.remembered.tolist())
    memory = f"; in memory block by block {recalled}" if (found.remembered > 0).any() else ""
    return f"mean weight of a token 1 to 8 tokens away: {told}{memory}"
