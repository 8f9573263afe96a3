"""Evaluation on a remote pack that is larger than its cache: shard by shard, each once."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from remote_kit import Remote, pack_pictures
from task_kit import build_encoder

from pretexto.datasets.packs.source import Packs
from pretexto.datasets.source import Subset
from pretexto.encoders.image import TinyImage
from pretexto.evaluation.features import extract
from pretexto.evaluation.finetune import Tuning, _Tuner
from pretexto.evaluation.training_clips import TrainingClips, training_loader
from pretexto.modalities.input_spec import InputSpec

SHARDS, EACH = 16, 6
VIEW = InputSpec("image", size=16, frames=1)


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    return pack_pictures(tmp_path_factory.mktemp("packed"), SHARDS, EACH, classes=2)


def encoder() -> TinyImage:
    torch.manual_seed(0)
    return build_encoder(TinyImage)


@pytest.mark.parametrize("workers", [0, 2])
def test_fine_tuning_reads_each_shard_once_an_epoch(packed, tmp_path, workers):
    remote = Remote.of(packed, tmp_path, room=SHARDS // 4)
    learnt = Subset(remote.packs(), range(3, SHARDS * EACH - 8))
    clips = TrainingClips(learnt, VIEW, 1, (0.5, 1.0), False)
    with remote.downloads() as fetched:
        loader = training_loader(clips, 3, 4, workers)
        seen = [batch.batch["label"] for batch in loader]
    assert len(seen) == len(loader) == 3 * (len(learnt) // 4)
    assert max(fetched.values()) <= 3
    # The pictures are of sixteen shards but for the last one; a quarter stays from epoch to epoch.
    assert len(fetched) == SHARDS - 1
    assert sum(fetched.values()) > 2 * SHARDS


def test_every_epoch_has_an_order_of_its_own_by_shards_and_packs_here_keep_theirs(packed):
    numbers = Packs(packed, by_shard=True).shards().numbers
    by_shard, uniform = (
        [
            [i for _, i in batch]
            for batch in training_loader(
                TrainingClips(Packs(packed, by_shard=chosen), VIEW, 1, (0.5, 1.0), False), 2, 8, 0
            ).batch_sampler
        ]
        for chosen in (True, None)
    )
    for batches in (by_shard, uniform):
        half = len(batches) // 2
        assert sorted(chain(*batches[:half])) == sorted(chain(*batches[half:]))
        assert batches[:half] != batches[half:]
    # Eight of sixteen shards are mixed.
    assert {len(set(numbers[batches])) for batches in by_shard} <= set(range(9))
    assert np.mean([len({*numbers[:96][batch]}) for batch in uniform]) > np.mean(
        [len({*numbers[batch]}) for batch in by_shard]
    )


def test_features_are_extracted_shard_by_shard_and_come_in_the_source_s_order(packed, tmp_path):
    remote = Remote.of(packed, tmp_path, room=2)
    order = np.random.default_rng(1).permutation(SHARDS * EACH)
    here, there = (Subset(packs, order) for packs in (Packs(packed), remote.packs()))
    expected = extract(encoder(), here, VIEW, device="cpu")
    with remote.downloads() as fetched:
        found = extract(encoder(), there, VIEW, batch_size=4, device="cpu")
    assert fetched == dict.fromkeys(range(SHARDS), 1)
    assert found.indices.tolist() == list(range(SHARDS * EACH))
    assert found.labels.equal(expected.labels)
    assert found.values["embedding"].allclose(expected.values["embedding"], atol=1e-6)


def test_scores_of_fine_tuning_belong_to_their_examples_in_any_order(packed, tmp_path):
    remote = Remote.of(packed, tmp_path, room=4)
    order = np.random.default_rng(1).permutation(SHARDS * EACH)
    tuning = Tuning(epochs=1, batch_size=8, lr=1e-3)
    about = (2, tuning, 0, 1, 1, 0, torch.device("cpu"))
    sources = [Subset(packs, order) for packs in (Packs(packed), remote.packs())]
    with torch.random.fork_rng():
        (model,) = _Tuner(encoder(), sources[0], VIEW, *about).fit(range(16), [1e-3])
    examples = range(5, SHARDS * EACH)
    with remote.downloads() as fetched:
        here, there = (_Tuner(encoder(), s, VIEW, *about).scores(model, examples) for s in sources)
    assert here.allclose(there, atol=1e-5)
    assert max(fetched.values()) == 1
