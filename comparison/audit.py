"""Can a pretext task be solved by a trivial cue on this data? Probes of cues, guards on and off.

A probe sees nothing but one cue of each question. It is fitted on some sources and tested on
others, so that it cannot know a medium again; what it gets right beyond chance, a network can get
right without learning what it should.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from ..datasets.source import Source
from ..errors import InputError
from ..modalities.media import MediaError
from ..tasks.task import Audit, Batch, Guard, Task
from ..training.data import Examples
from .generic_cues import Cue, generic_cues

LEVEL = 0.99  # of the intervals: a dozen cues are looked at, and few should raise a false alarm
FOLDS = 5
TREES = 100  # of the forest, for each fold
FEWEST = 40  # questions below which nothing is said

Probe = Callable[[Batch], Tensor]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one cue is worth.

    Attributes:
        name: of the guard, the audit or the generic cue.
        kind: "guard", "audit" or "generic".
        cue: in words.
        guard: "on" or "off" for a guard, "" else.
        accuracy: mean over the answers of the share that the probe gets right, nan where too few
            questions are asked.
        low, high: its interval over sources.
        chance: what a probe that sees nothing gets.
        questions: how many were asked.
        sources: of how many groups of media.
        verdict: in words.
        remedy: what to do, "" where nothing is to be done.
        seen: whether a network could see the cue.
    """

    name: str
    kind: str
    cue: str
    guard: str
    accuracy: float
    low: float
    high: float
    chance: float
    questions: int
    sources: int
    verdict: str = ""
    remedy: str = ""
    seen: bool = True

    @property
    def known(self) -> bool:
        """Whether enough was asked to say anything."""
        return not math.isnan(self.accuracy)

    @property
    def leaks(self) -> bool:
        """Whether the answer follows from the cue, as far as can be told."""
        return self.known and self.low > self.chance

    def row(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {k: None if v != v else v for k, v in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Questions:
    """Augmented examples of a task, batch by batch, with what is known of the media.

    Attributes:
        batches: as the task's `augment` gives them.
        media: for each batch, which medium each example is of.
    """

    batches: list[Batch]
    media: list[Tensor]


def audit(
    task: Task,
    switched: Callable[[str, bool], Task],
    source: Source,
    *,
    examples: int = 600,
    seed: int = 0,
) -> Iterator[Finding]:
    """Looks at every guard of a task on and off, at its audits, and at cues that no task names.

    Args:
        task: as the user would train it.
        switched: builds it anew with one guard, by name, on or off.
        source: media.
        examples: how many are drawn for each look.
        seed: of the draws.

    Raises:
        InputError: a task on text, of which nothing here tells; media of which none can serve, or
            of fewer than five sources.
    """
    if any(spec.modality == "text" for spec in task.specs.values()):
        raise InputError(
            f"{type(task).__name__}: an audit looks for cues in pictures, motion and sound, and "
            "has none for text; compare with counted models instead (docs/tasks)"
        )
    return _findings(task, switched, source, examples, seed)


def _findings(
    task: Task, switched: Callable[[str, bool], Task], source: Source, examples: int, seed: int
) -> Iterator[Finding]:
    own = draw(task, source, examples, seed)
    groups = group_numbers(source)
    for guard in task.guards:
        yield from _guard(guard, switched, own, source, groups, examples, seed)
    for found in task.audits:
        yield _judged(measure(own, found.probe, groups, (found.name, "audit", found.cue)), found)
    for found in generic_cues(own.batches[0], source):
        about = (found.name, "generic", found.cue)
        finding = measure(own, found.probe, groups, about, of_media=found.of_media)
        yield _judged(replace(finding, seen=found.seen), found)


def _guard(
    guard: Guard,
    switched: Callable[[str, bool], Task],
    own: Questions,
    source: Source,
    groups: NDArray[np.int64],
    examples: int,
    seed: int,
) -> Iterator[Finding]:
    """The guard as it is in the task, and the other way round."""
    about = (guard.name, "guard", guard.cue)
    other = draw(switched(guard.name, not guard.enabled), source, examples, seed)
    looks = {guard.enabled: own, not guard.enabled: other}
    found = {
        state: replace(
            measure(looks[state], guard.probe, groups, about), guard="on" if state else "off"
        )
        for state in (True, False)
    }
    for state in (True, False):
        yield _guard_verdict(found[state], found[True], found[False], guard.enabled)


def draw(task: Task, source: Source, examples: int, seed: int) -> Questions:
    """So many augmented examples as a loader makes them, media by media, epoch by epoch.

    Raises:
        InputError: not one medium can serve, with the first one's reason.
    """
    made, first = Examples(source, task, seed), None
    batches, media, block = [], [], []
    count = len(source)
    # Media stand in any order in a source; a stride spreads few examples over all of it.
    order = np.random.default_rng(seed).permutation(count).tolist()
    for number in range(max(examples, 1)):
        epoch, index = number // count, order[number % count]
        try:
            block.append(made.example(epoch, index))
        except MediaError as error:
            first = first or str(error)
        if len(block) == 32 or (number == examples - 1 and block):
            batch = default_collate(block)
            with torch.no_grad():
                batches.append(task.augment(batch))
            media.append(batch["index"])
            block = []
    if not batches:
        raise InputError(f"no medium can serve this task: {first}")
    return Questions(batches, media)


def group_numbers(source: Source) -> NDArray[np.int64]:
    """Of which group each medium is, as numbers; a medium without one is its own."""
    names = [source.group(i) or f"medium {i}" for i in range(len(source))]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def measure(
    questions: Questions,
    probe: Probe | Callable[[Tensor], Tensor],
    groups: NDArray[np.int64],
    about: tuple[str, str, str],
    *,
    of_media: bool = False,
) -> Finding:
    """What a probe of one cue gets right.

    Args:
        probe: of a batch; with `of_media` of the numbers of media, [R] → [R, F].
        about: name, kind and words of the cue.
    """
    cues, answers, media = [], [], []
    for batch, index in zip(questions.batches, questions.media, strict=True):
        x, y, m = _asked(batch, index, probe, of_media)
        cues.append(x)
        answers.append(y)
        media.append(m)
    x, y, m = np.concatenate(cues), np.concatenate(answers), np.concatenate(media)
    group = groups[m]
    classes = np.unique(y)
    sources, chance = len(np.unique(group)), 1 / max(len(classes), 1)
    accuracy = low = high = math.nan
    if len(y) >= FEWEST and len(classes) > 1 and sources >= FOLDS:
        said, known = predict(x, y, group)
        y, right, group = y[known], (said == y)[known], group[known, 0]
        if len(y) >= FEWEST and len(np.unique(y)) == len(classes):
            low, high = interval(right, y, group)
            accuracy = float(np.mean([right[y == k].mean() for k in classes]))
    return Finding(*about, "", accuracy, low, high, chance, len(y), sources)


def _asked(
    batch: Batch, index: Tensor, probe: Callable, of_media: bool
) -> tuple[NDArray, NDArray, NDArray]:
    """Cue, answer and media [N, S] of every question of a batch that has an answer."""
    if "target" not in batch:
        return _pairs(probe(batch), index)
    target, media = batch["target"], _media_of_questions(batch, index)
    keep = batch["weight"] > 0 if "weight" in batch else torch.ones_like(target, dtype=torch.bool)
    x = probe(media[:, 0]) if of_media else probe(batch)
    return x[keep].float().numpy(), target[keep].numpy(), media[keep].numpy()


def _media_of_questions(batch: Batch, index: Tensor) -> Tensor:
    """Which media each question is of, [N, S]: several may be asked of one, side by side."""
    if "partner" not in batch:
        return index.repeat_interleave(len(batch["target"]) // len(index))[:, None]
    sides = [("inputs", "picture"), ("audio" if "audio" in batch else "flow", "partner")]
    return torch.stack(
        [
            index.repeat_interleave(len(batch[media]) // len(index))[batch[chosen]]
            for media, chosen in sides
        ],
        1,
    )


def _pairs(sides: Tensor, index: Tensor) -> tuple[NDArray, NDArray, NDArray]:
    """Of [B, 2, F] the pairs that belong together and as many that do not, as questions."""
    first, second = sides.float().unbind(1)
    other = torch.arange(len(index)).roll(-1)
    apart = index != index[other]
    own, strange = _beside(first, second), _beside(first, second[other])[apart]
    x = torch.cat([own, strange])
    y = torch.cat([torch.ones(len(own)), torch.zeros(len(strange))]).long()
    media = torch.cat([index, index[apart]]), torch.cat([index, index[other][apart]])
    return x.numpy(), y.numpy(), torch.stack(media, 1).numpy()


def _beside(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat([a, b, (a - b).abs(), a * b], 1)


def predict(x: NDArray, y: NDArray, group: NDArray) -> tuple[NDArray, NDArray]:
    """Each question's answer by a probe that has seen nothing of its groups.

    The probe is the mean of a random forest and of logistic regression: one finds what is crooked,
    the other what is straight. A question about two media is asked where both are unknown to the
    probe: each sound belongs to one picture and is strange to another, so that whoever knows it
    from a question about its own would say of every other that it belongs there too.

    Args:
        x: cues [N, F].
        y: answers [N].
        group: int [N, S], of each medium that a question is about.

    Returns:
        answers [N], and bool [N], which of them were asked.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probes = (
        RandomForestClassifier(
            TREES, min_samples_leaf=3, class_weight="balanced", random_state=0, n_jobs=1
        ),
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, class_weight="balanced")),
    )
    classes, fold = np.unique(y), folds(y, group)
    votes, known = np.zeros((len(y), len(classes))), np.zeros(len(y), bool)
    for k in range(FOLDS):
        taught, asked = (fold != k).all(1), (fold == k).all(1)
        if not asked.any() or len(np.unique(y[taught])) < 2:
            continue
        known |= asked
        for probe in probes:
            probe.fit(x[taught], y[taught])
            columns = np.searchsorted(classes, probe.classes_)
            votes[np.ix_(asked, columns)] += probe.predict_proba(x[asked])
    return classes[votes.argmax(1)], known


def folds(y: NDArray, group: NDArray) -> NDArray:
    """In which fold each medium [N, S] of each question is, the same for all of its group."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    flat = group.ravel()
    found = np.zeros(len(flat), int)
    answers = np.repeat(y, group.shape[1])
    for k, (_, part) in enumerate(splitter.split(flat, answers, groups=flat)):
        found[part] = k
    return found.reshape(group.shape)


def interval(right: NDArray, y: NDArray, group: NDArray, draws: int = 2000) -> tuple[float, float]:
    """Bootstrap interval of the mean accuracy over the answers, over whole groups.

    Questions on media of one source go right or wrong together. Percentiles of few groups are too
    narrow; they are widened as Student's t is beside the normal distribution.
    """
    from scipy.stats import norm, t

    _, number = np.unique(group, return_inverse=True)
    classes, answer = np.unique(y, return_inverse=True)
    shape = (number.max() + 1, len(classes))
    asked, hits = np.zeros(shape), np.zeros(shape)
    np.add.at(asked, (number, answer), 1)
    np.add.at(hits, (number, answer), right)
    rng = np.random.default_rng(0)
    weights = rng.multinomial(shape[0], np.full(shape[0], 1 / shape[0]), size=draws)
    shares = (weights @ hits) / np.maximum(weights @ asked, 1e-9)
    tails = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    middle = (hits.sum(0) / np.maximum(asked.sum(0), 1e-9)).mean()
    wider = t.ppf(tails[1], max(shape[0] - 1, 1)) / norm.ppf(tails[1])
    low, high = middle + wider * (np.quantile(shares.mean(1), tails) - middle)
    return float(max(low, 0.0)), float(min(high, 1.0))


def _judged(finding: Finding, about: Audit | Cue) -> Finding:
    if not finding.known:
        return replace(finding, verdict="too few questions to tell")
    if not finding.leaks:
        return replace(finding, verdict="at chance")
    return replace(finding, verdict="tells the answer", remedy=about.remedy)


def _guard_verdict(own: Finding, on: Finding, off: Finding, enabled: bool) -> Finding:
    """What a guard's state is worth, beside its other state."""
    if not own.known:
        asked = f"{own.questions} questions are left: " if own.guard == "on" else ""
        return replace(own, verdict=f"{asked}too few questions to tell")
    if own.guard == "on":
        if on.leaks:
            return replace(
                own, verdict="tells the answer in spite of the guard", remedy="choose other data"
            )
        works = "the guard hides it" if off.leaks else "at chance"
        return replace(own, verdict=works)
    if not off.leaks:
        return replace(own, verdict="at chance without the guard too")
    hidden = on.known and not on.leaks
    remedy = f"turn it on: --task.guards.{own.name} true" if hidden and not enabled else ""
    return replace(own, verdict="tells the answer", remedy=remedy)


def leaks(findings: Sequence[Finding], enabled: dict[str, bool]) -> list[Finding]:
    """The findings that concern the task as it is: cues that a network could see and that tell the
    answer in its own state."""
    return [
        f
        for f in findings
        if f.leaks and f.seen and (f.kind != "guard" or enabled[f.name] is (f.guard == "on"))
    ]
