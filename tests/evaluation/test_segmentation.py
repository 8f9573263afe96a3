"""Segmentation by frozen features: exact identities, independent references, and the command."""

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation_fakes import IMAGE, SOUND, MeanWave
from PIL import Image
from sklearn.metrics import confusion_matrix, jaccard_score
from torch import Tensor, nn

from pretexto import cli
from pretexto.datasets.array import ArraySource
from pretexto.datasets.synthetic.source import Synthetic
from pretexto.encoders.encoder import Encoder, Level
from pretexto.encoders.flow import TinyFlow
from pretexto.encoders.image import TinyImage
from pretexto.encoders.places import at_places, grid_places, middle_maps
from pretexto.encoders.store import save_encoder
from pretexto.encoders.video import TinyVideo
from pretexto.errors import InputError
from pretexto.evaluation.baselines import PixelFloor
from pretexto.evaluation.kmeans_segmentation import (
    agreement,
    columns,
    pair_auc,
    renumbered,
    resized,
)
from pretexto.evaluation.linear import Classifier
from pretexto.evaluation.linear_segmentation import SegmentationProbe, counts, ious, mean_iou
from pretexto.evaluation.results import read_rows
from pretexto.evaluation.segmentation import evaluate_segmentation
from pretexto.evaluation.statistics import bootstrap
from pretexto.modalities.input_spec import InputSpec
from pretexto.modalities.media import Plan
from pretexto.tasks.flow_similarity import FlowSimilarity
from pretexto.tasks.parts.clip_input import ClipInput
from pretexto.tasks.parts.embedded_pixels import EmbeddedPixels

BOTH = ("kmeans_segmentation", "linear_segmentation")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


class Painted(ArraySource):
    """Pictures of blocks of four classes, whose red says which; some pixels of a mask say nothing.

    Args:
        count: of pictures.
        size: of each, height and width.
        ignored: share of pixels of which nothing is said.
        lie: whether red says nothing of the class.
    """

    mask_classes = ("a", "b", "c", "d")

    def __init__(self, count=12, size=(16, 24), ignored=0.0, lie=False):
        rng = np.random.default_rng(1)
        blocks = rng.integers(0, 4, (count, 4, 6))
        blocks[:, 0, :4] = np.arange(4)  # every class is in every picture
        self.truth = blocks.repeat(size[0] // 4, 1).repeat(size[1] // 6, 2).astype(np.uint8)
        shown = rng.permutation(self.truth.ravel()).reshape(self.truth.shape) if lie else self.truth
        pictures = np.zeros((*self.truth.shape, 3), np.uint8)
        pictures[..., 0] = 20 + 60 * shown
        super().__init__(pictures)
        self.title = "painted"
        if ignored:
            wrong = rng.random(self.truth.shape) < ignored
            self.truth = np.where(wrong, 255, self.truth)
        self.parts = ["train", "train", "val", "test"]

    def name(self, i):
        return f"picture {i:02}"

    def split(self, i):
        return self.parts[i % 4]

    def masks(self, i, plan):
        return np.repeat(self.truth[i : i + 1], len(plan.times), 0)


class Reader(Encoder):
    """Maps of one-hot classes, as red spells them, at the input's size and at half of it."""

    modality = "image"

    def __init__(self):
        super().__init__()
        self.dim, self.levels = 4, {"half": Level(4, (2, 2)), "whole": Level(4, (1, 1))}
        self.anchor = nn.Parameter(torch.zeros(1))

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        said = ((255 * x[:, 0] - 20) / 60).round().long().clamp(0, 3)
        one_hot = nn.functional.one_hot(said, 4).movedim(3, 1).float()
        return {"half": 100 * one_hot[:, :, ::2, ::2], "whole": one_hot}


def by_metric(rows, level="hypercolumn"):
    return {r.stamp.metric: r for r in rows if r.level == level}


def test_agreement_does_not_depend_on_what_segments_are_called(rng):
    truth = rng.integers(0, 4, (9, 11))
    assert agreement(truth, truth).rand == agreement(truth, truth).iou == 1
    found = rng.integers(0, 4, (9, 11))
    told = agreement(truth, found)
    names = np.array([7, 3, 0, 5])
    assert agreement(names[truth], found) == told == agreement(truth, names[found])
    assert (renumbered(truth, names[truth]) == truth).all()


def test_the_matching_is_the_best_of_all(rng):
    for _ in range(20):
        truth, found = rng.integers(0, 4, (2, 60))
        each = jaccard_of_each(truth, found)
        best = max(sum(each[k, p] for k, p in enumerate(order)) for order in permutations(range(4)))
        assert agreement(truth, found).iou == pytest.approx(best / 4)


def jaccard_of_each(truth, found):
    pairs = [[(truth == a, found == b) for b in range(4)] for a in range(4)]
    return np.array([[(x & y).sum() / (x | y).sum() for x, y in line] for line in pairs])


def test_segments_that_are_too_few_or_too_many_are_matched_one_to_one():
    truth = np.array([0, 0, 0, 0, 1, 1])
    one = agreement(truth, np.zeros(6, int))
    assert (one.rand, one.iou) == (0, pytest.approx(4 / 6 / 2))
    assert one.iou == one.blind
    split = agreement(truth, np.array([0, 0, 2, 3, 1, 1]))
    assert split.iou == pytest.approx((2 / 4 + 1) / 2)
    assert (renumbered(truth, np.array([0, 0, 2, 3, 1, 1])) == [0, 0, 255, 255, 1, 1]).all()


def test_what_a_mask_does_not_say_changes_nothing(rng):
    truth, found = rng.integers(0, 3, (2, 300))
    known = rng.random(300) < 0.7
    masked, nonsense = np.where(known, truth, 255), np.where(known, found, rng.integers(0, 9, 300))
    assert agreement(masked, nonsense) == agreement(truth[known], found[known])
    assert (
        counts(masked, np.minimum(nonsense, 2), 3) == counts(truth[known], found[known], 3)
    ).all()


def test_intersection_over_union_is_that_of_scikit_learn(rng):
    truth, found = rng.integers(0, 5, (2, 400))
    table = counts(truth, found, 7)
    assert (table == confusion_matrix(truth, found, labels=range(7))).all()
    each = jaccard_score(truth, found, labels=range(5), average=None)
    assert ious(table)[:5] == pytest.approx(list(each))
    assert ious(table)[5:] == [None, None]  # classes that are nowhere have no part in the mean
    assert mean_iou(table) == pytest.approx(each.mean())


def test_segments_at_another_size_lie_where_they_lay(rng):
    labels = rng.integers(0, 9, (4, 4))
    assert (resized(labels, (8, 12)) == labels.repeat(2, 0).repeat(3, 1)).all()
    assert (resized(resized(labels, (8, 12)), (4, 4)) == labels).all()


def test_levels_have_a_like_say_whatever_their_size_and_number_of_channels():
    one, two = torch.randn(3, 4, 4), torch.randn(30, 8, 8)
    x = columns([one, two], 8)
    assert x.shape == (64, 33)
    assert torch.allclose(columns([1000 * one + 5, two / 7], 8), x, atol=1e-5)
    spread = x.square().sum(0)
    assert torch.allclose(spread[:3].sum(), spread[3:].sum())


def test_a_convolution_on_maps_is_a_classifier_of_pixels():
    torch.manual_seed(0)
    maps = {"a": torch.randn(2, 3, 5, 5), "b": torch.randn(2, 4, 2, 2)}
    bias = torch.tensor([0.1, -torch.inf, 0.3])
    found = Classifier(torch.randn(7), torch.rand(7) + 0.5, torch.randn(3, 7), bias)
    size = (6, 9)
    shown = SegmentationProbe(found, ("b", "a"), 1.0, None).classes(maps, size)
    y, x = ((torch.arange(n) + 0.5) / n for n in size)
    places = torch.cartesian_prod(y, x).expand(2, -1, 2)
    pixels = torch.cat([at_places(maps[k], places) for k in ("b", "a")], 2)
    expected = found.scores(pixels.flatten(0, 1)).argmax(1).view(2, *size)
    assert (shown == expected.numpy()).all()
    assert set(np.unique(shown)) == {0, 2}


def by_method(rows):
    return ({r.stamp.metric: r for r in rows if r.stamp.method == method} for method in BOTH)


def test_features_that_say_the_class_give_the_true_segments():
    source, spec = Painted(size=(24, 24)), InputSpec("image", 24, 1)
    rows = evaluate_segmentation(BOTH, Reader(), source, spec, levels=True)
    kmeans, linear = by_method([r for r in rows if r.level == "whole"])
    assert kmeans["adjusted_rand"].value == kmeans["mean_iou"].value == 1
    assert kmeans["pair_auc"].value == 1
    assert linear["mean_iou"].value == 1
    assert (linear["mean_iou"].n_train, linear["mean_iou"].n_val) == (6, 3)
    assert {r.n_test for r in rows} == {3}
    assert {r.stamp.split for r in rows} == {"test"}
    assert {r.classes for r in rows} == {4}
    assert linear["mean_iou"].per_class == dict.fromkeys("abcd", 1)
    assert sum(map(sum, linear["mean_iou"].confusion)) == 3 * 24 * 24


def test_pictures_of_any_shape_are_seen_whole():
    rows = evaluate_segmentation(BOTH, Reader(), Painted(size=(32, 48)), InputSpec("image", 48, 1))
    kmeans, linear = by_method(rows)
    # Measured: 0.89, 0.91 and 0.95. Pixels at the edges of blocks are mixtures once a picture is
    # squashed; a part cut away, or masks that are not where pictures are, would cost far more.
    assert kmeans["adjusted_rand"].value > 0.8
    assert linear["mean_iou"].value > 0.9
    assert sum(map(sum, linear["mean_iou"].confusion)) == 3 * 32 * 48


def test_features_that_say_nothing_are_at_chance():
    source = Painted(count=24, lie=True)
    rows = evaluate_segmentation(BOTH, Reader(), source, InputSpec("image", 16, 1))
    kmeans, linear = by_method(rows)
    assert abs(kmeans["adjusted_rand"].value) < 0.05
    assert kmeans["adjusted_rand"].chance == 0
    assert abs(kmeans["pair_auc"].value - kmeans["pair_auc"].chance) < 0.05
    assert kmeans["pair_auc"].chance == 0.5
    assert linear["mean_iou"].value < linear["mean_iou"].chance + 0.15
    low, high = kmeans["adjusted_rand"].interval
    assert low <= kmeans["adjusted_rand"].value <= high


def test_pairs_of_pixels_are_ranked_by_how_far_their_features_lie_apart():
    """Pair by pair, at the place of each pixel, of a picture of which all pixels are drawn."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(16, 3))).float()
    truth = np.repeat(np.repeat(rng.integers(0, 3, (4, 4)), 2, 0), 2, 1)
    truth[0, 0] = 255
    kept = [(i, j) for i in range(8) for j in range(8) if truth[i, j] != 255]
    near, far = [], []
    for a, (i, j) in enumerate(kept):
        for k, m in kept[:a]:
            apart = float((x[i // 2 * 4 + j // 2] - x[k // 2 * 4 + m // 2]).norm())
            (near if truth[i, j] == truth[k, m] else far).append(apart)
    want = np.mean([(n < f) + (n == f) / 2 for n in near for f in far])
    assert pair_auc(x, truth, 0) == pytest.approx(want)


def test_of_each_segment_as_many_pixels_are_ranked():
    """Of two segments one is nine times as large, and half of it looks like the other."""
    truth, x = np.zeros((40, 40), int), torch.zeros(1600, 1)
    truth[:4] = 1
    x[:880] = 1.0
    # Alike are all pairs within the small one, and half of those within the large one and across.
    same, different = (1 + 0.5) / 2, 0.5
    found = np.mean([pair_auc(x, truth, seed) for seed in range(10)])
    assert found == pytest.approx(0.5 + (same - different) / 2, abs=0.03)


def test_pixels_that_are_ignored_are_neither_learnt_from_nor_tested():
    source = Painted(size=(24, 24), ignored=0.4)
    how = {"spec": InputSpec("image", 24, 1), "levels": True}
    rows = [r for r in evaluate_segmentation(BOTH, Reader(), source, **how) if r.level == "whole"]
    assert {r.value for r in rows} == {1}
    tested = sum(int((source.truth[i] != 255).sum()) for i in range(3, 12, 4))
    confusion = next(r.confusion for r in rows if r.confusion)
    assert sum(map(sum, confusion)) == tested


def test_the_mean_is_over_all_pixels_of_the_part_and_not_over_pictures():
    class Rare(Painted):
        """One test picture is of class a alone; the others are as ever."""

        def masks(self, i, plan):
            return super().masks(i, plan) * (i != 3)

    source = Rare(lie=True)
    kept = []
    rows = evaluate_segmentation(
        "linear_segmentation", Reader(), source, InputSpec("image", 16, 1), watch=kept.append
    )
    tables = [counts(one.truth, one.found, 4) for one in kept]
    assert len(tables) == 3
    assert rows[0].value == pytest.approx(mean_iou(sum(tables)))
    assert rows[0].value != pytest.approx(np.mean([mean_iou(table) for table in tables]), abs=1e-3)


def test_without_named_parts_groups_are_dealt_into_folds():
    source = Painted(count=10)
    source.parts = [""] * 4
    rows = evaluate_segmentation(BOTH, Reader(), source, InputSpec("image", 24, 1))
    assert {r.stamp.split for r in rows if r.stamp.method == BOTH[0]} == {"all"}
    folds = [r for r in rows if r.stamp.method == BOTH[1]]
    assert [r.stamp.split for r in folds] == [
        *(f"fold{k}" for k in range(1, 6)),
        "mean of 5 splits",
    ]
    assert folds[-1].n_test == 10
    assert folds[-1].value == pytest.approx(np.mean([r.value for r in folds[:-1]]))
    # Of a mean of independent folds the deviations add up as squares.
    below = np.array([r.value - r.interval[0] for r in folds[:-1]])
    above = np.array([r.interval[1] - r.value for r in folds[:-1]])
    found = folds[-1].value - folds[-1].interval[0], folds[-1].interval[1] - folds[-1].value
    assert found == pytest.approx([np.linalg.norm(below) / 5, np.linalg.norm(above) / 5])
    assert found[0] > 0
    assert folds[-1].per_class.keys() == {"a", "b", "c", "d"}


def test_levels_have_rows_of_their_own_and_untrained_networks_the_same_stamp():
    how = {"source": Painted(), "spec": InputSpec("image", 24, 1), "levels": True}
    trained = evaluate_segmentation(BOTH, Reader(), card={"task": "x"}, **how)
    again = evaluate_segmentation(BOTH, Reader(), **how)
    assert {r.level for r in trained} == {"half", "whole", "hypercolumn"}
    assert [r.stamp_hash for r in trained] == [r.stamp_hash for r in again]
    assert [r.value for r in trained] == [r.value for r in again]
    assert {r.task for r in again} == {"random-init"}
    best = [r.level for r in trained if r.best]
    assert len(best) == 1


def test_the_number_of_segments_can_be_given():
    how = {"source": Painted(), "spec": InputSpec("image", 24, 1)}
    rows = by_metric(evaluate_segmentation("kmeans_segmentation", Reader(), segments=2, **how))
    assert rows["mean_iou"].value < 0.6
    assert "segments: 2" in rows["mean_iou"].stamp.recipe


def test_what_cannot_be_read_is_left_out_and_named():
    class Broken(Painted):
        def masks(self, i, plan):
            found = super().masks(i, plan)
            return {3: found[:, :-1], 7: found + 1}.get(i, found)

    rows = evaluate_segmentation("kmeans_segmentation", Reader(), Broken(), IMAGE)
    assert rows[0].n_test == 1
    assert rows[0].unreadable_names == [
        "picture 03: mask: its mask has 24x15 pixels, the picture 24x16",
        "picture 07: mask: its mask has the number 4, of 4 classes",
    ]


def test_a_mistake_is_one_line():
    grey = ArraySource(np.zeros((2, 8, 8, 3), np.uint8), title="grey squares")
    with pytest.raises(InputError, match="grey squares has no masks .* take synthetic, voc:PATH"):
        evaluate_segmentation(BOTH, Reader(), grey, IMAGE)
    with pytest.raises(InputError, match="looks at the places of a picture; .* is for audio"):
        evaluate_segmentation(BOTH, MeanWave(), Painted(), SOUND)
    with pytest.raises(InputError, match="no method 'linear' on masks"):
        evaluate_segmentation("linear", Reader(), Painted(), IMAGE)
    source = Painted()
    source.truth[:] = 2
    with pytest.raises(InputError, match="none of the masks has two segments"):
        evaluate_segmentation(BOTH[0], Reader(), source, IMAGE)
    with pytest.raises(InputError, match="training part: their masks know 1 class"):
        evaluate_segmentation(BOTH[1], Reader(), source, IMAGE)


@pytest.mark.parametrize(
    ("encoder", "spec"),
    [
        (TinyImage(width=4), InputSpec("image", 32, 4, frame_interval=0.1)),
        (TinyVideo(width=4), InputSpec("video", 32, 4, frame_interval=0.1)),
        (TinyFlow(width=4), InputSpec("flow", 32, 2, frame_interval=0.1)),
    ],
    ids=["image", "video", "flow"],
)
def test_encoders_of_every_spatial_modality_are_compared_with_the_middle_of_a_clip(encoder, spec):
    source = Synthetic("test", train_scenes=1, test_scenes=1)
    for network in (encoder, PixelFloor(modality=spec.modality)):
        kept = []
        rows = evaluate_segmentation(BOTH[0], network, source, spec, watch=kept.append)
        assert {r.n_test for r in rows} == {8}
        start = spec.starts(source.info(0), 1)[0] + (spec.frames // 2) * 0.1
        assert (kept[0].truth == source.masks(0, Plan(times=(start,)))[0]).all()
        assert kept[0].frame.shape == (2 if spec.modality == "flow" else 3, 32, 32)


def test_the_middle_of_a_clip_is_what_an_encoder_of_pictures_sees():
    encoder, x = Reader(), torch.rand(2, 3, 5, 8, 8)
    assert middle_maps(encoder, x)["whole"].equal(encoder.maps(x[:, :, 2])["whole"])


def test_of_the_maps_of_a_clip_the_one_in_the_middle_is_looked_at():
    encoder, x = TinyVideo(width=4).eval(), torch.rand(2, 3, 6, 32, 32)
    maps, found = encoder.maps(x), middle_maps(encoder, x)
    deep = [level for level, m in maps.items() if m.shape[2] > 1]
    assert deep
    for level in deep:
        steps = maps[level].shape[2]
        assert found[level].equal(maps[level][:, :, steps // 2])
        assert not found[level].equal(maps[level][:, :, 0])


def test_the_floor_is_colour_or_flow_and_position():
    x = torch.rand(2, 3, 8, 8)
    maps = PixelFloor().maps(x)
    assert {k: m.shape[1] for k, m in maps.items()} == {"colour": 3, "position": 2}
    places = grid_places(8, 2, x.device)
    assert torch.allclose(at_places(maps["position"], places), places, atol=1e-6)
    flow = torch.randn(2, 2, 3, 8, 8)
    assert middle_maps(PixelFloor(modality="flow"), flow)["flow"].equal(flow[:, :, 1])


def test_the_embedding_of_pixels_is_what_the_task_makes_of_them():
    torch.manual_seed(0)
    video = ClipInput(TinyImage(width=4), size=32)
    task = FlowSimilarity(video, pixels=16, outputs=5).eval()
    embedded, x = EmbeddedPixels(task.video, task.columns), torch.rand(2, 3, 32, 32)
    places = torch.rand(2, 7, 2)
    with torch.no_grad():
        m = embedded.maps(x)["pixel embedding"]
        whole = task.columns(task.video, x[:, :, None], grid_places(32, 2, x.device))
    assert m.shape == (2, 5, 32, 32)
    assert torch.allclose(m.flatten(2).transpose(1, 2), nn.functional.normalize(whole, dim=2))
    assert at_places(m, places).shape == (2, 7, 5)
    rows = evaluate_segmentation(BOTH[0], embedded, Painted(), InputSpec("image", 32, 1))
    assert {r.level for r in rows} == {"pixel embedding"}


def test_bootstrap_is_over_whole_groups(rng):
    values = rng.normal(size=200)
    parts = np.stack([values, np.ones(200)], 1)

    def mean(s):
        return s[0] / s[1]

    low, high = bootstrap(parts, [str(k) for k in range(200)], mean, (-9, 9))
    half = 1.96 * values.std() / 200**0.5
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)
    # A hundred copies of two values know no more than two.
    same = np.stack([np.repeat([0.0, 1.0], 100), np.ones(200)], 1)
    assert bootstrap(same, ["a"] * 100 + ["b"] * 100, mean) == (0, 1)
    assert bootstrap(parts, ["a"] * 200, mean, (-9, 9)) == (-9, 9)


@pytest.fixture
def run(tmp_path):
    torch.manual_seed(0)
    save_encoder(tmp_path / "run", TinyImage(width=4), InputSpec("image", 32, 1), {"task": "x.y"})
    return tmp_path / "run"


@pytest.fixture
def folder(tmp_path):
    source, root = Painted(count=8, size=(32, 48)), tmp_path / "painted"
    for i in range(8):
        for name, pixels in (("images", source.frames(i)), ("masks", source.truth[i])):
            file = root / name / source.split(i) / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    return root


def test_the_command_writes_rows_of_the_run_the_untrained_and_the_floor(run, folder, capsys):
    out = run / "seen.png"
    call = ["evaluate", *BOTH, "--encoder", str(run), "--data", f"masks:{folder}", "--workers", "0"]
    assert cli.main([*call, "--picture", str(out)]) == 0
    rows = read_rows(run / "results.jsonl")
    assert [r.task for r in rows if r.stamp.metric == "adjusted_rand"] == [
        "x.y", "random-init", "colour floor"
    ]  # fmt: skip
    assert [r.task for r in rows if r.stamp.method == BOTH[1]] == [
        "x.y", "random-init", "colour floor"
    ]  # fmt: skip
    for method, metrics in zip(BOTH, (3, 1), strict=True):
        assert len({r.stamp_hash for r in rows if r.stamp.method == method}) == metrics
    # Red alone tells the class: the floor knows it.
    assert rows[-1].value > 0.9
    text = capsys.readouterr().out
    assert "kmeans_segmentation on painted, test: 1 clips" in text
    assert "adjusted_rand" in text
    with Image.open(out) as picture:
        assert picture.width > 500
    assert all(json.loads(line) for line in (run / "results.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["linear", "--picture", "x.png"], "--picture: linear makes no segments; add kmeans"),
        (["kmeans_segmentation", "--picture", "x.jpg"], "--picture x.jpg: name a .png file"),
        (["linear_segmentation", "--segments", "3"], "--segments is of kmeans_segmentation"),
        (["kmeans_segmentation", "--segments", "1"], "take 2 or more"),
        (["kmeans_segmentation", "--crops", "3"], "--crops: segmentation looks at whole pictures"),
        (["kmeans_segmentation", "linear", "--embedding"], "--embedding is of pixels: name kmeans"),
        (["kmeans_segmentation"], "has no masks to compare segments with"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(run, tmp_path, options, message, capsys):
    plain = tmp_path / "plain"
    plain.mkdir()
    Image.new("RGB", (8, 8)).save(plain / "a.png")
    call = ["evaluate", *options, "--encoder", str(run), "--data", str(plain), "--workers", "0"]
    assert cli.main(call) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path(run / "results.jsonl").exists()
