"""Sources over arrays and over other libraries' data sets."""

import io
import sys
import tarfile

import media_factory as media
import numpy as np
import pytest
from helpers import ROOT
from PIL import Image

from pretexto.datasets.adapters import HuggingFace, Lance, TarShard
from pretexto.datasets.array import ArraySource
from pretexto.errors import InputError
from pretexto.modalities.media import AudioSpan, MediaError, Plan

STILL = Plan((0.0,))
LABELS = [2, 0, 1, 1]


def encoded(number: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(media.card(number)).save(out, "png")
    return out.getvalue()


def check(source) -> None:
    """Four cards, numbered from 10 on, with their labels."""
    assert len(source) == 4
    assert [source.label(i) for i in range(4)] == LABELS
    for i in range(4):
        assert (source.info(i).kind, source.info(i).width) == ("image", 64)
        (frame,) = source.read(i, STILL).frames
        assert media.spelled(frame.permute(1, 2, 0).numpy()) == 10 + i


def test_arrays_of_pictures():
    source = ArraySource(np.stack([media.card(10 + i) for i in range(4)]), LABELS)
    check(source)
    assert source.classes == ("0", "1", "2")
    assert source.read(0, Plan((0.0, 5.0), short_side=24)).frames.shape == (2, 3, 24, 32)
    assert source.fingerprint() == ArraySource([media.card(0)] * 4, LABELS).fingerprint()


def test_arrays_of_films_are_read_by_time():
    films = [np.stack([media.card(i * 10 + k) for k in range(10)]) for i in range(2)]
    source = ArraySource(films, fps=5.0)
    info = source.info(1)
    assert (info.kind, info.duration, info.frames, info.fps) == ("video", 2.0, 10, 5.0)
    sample = source.read(1, Plan((0.0, 0.39, 0.4 - 5e-7, 1.99)))
    shown = [media.spelled(x.permute(1, 2, 0).numpy()) for x in sample.frames]
    assert shown == [10, 11, 12, 19]
    assert sample.times.tolist() == pytest.approx([0.0, 0.2, 0.4, 1.8])
    with pytest.raises(MediaError, match="plan"):
        source.read(0, Plan((2.0,)))
    ends = {"repeat": [0, 9], "wrap": [9, 1]}
    for past_end, expected in ends.items():
        frames = source.read(0, Plan((-0.2, 2.2), past_end=past_end)).frames
        assert [media.spelled(x.permute(1, 2, 0).numpy()) for x in frames] == expected


def test_mistakes_in_arrays_are_named():
    with pytest.raises(InputError, match="4 media, but 2 labels"):
        ArraySource(np.zeros((4, 8, 8, 3), np.uint8), [0, 1])
    with pytest.raises(InputError, match="label 3, but only 2 classes"):
        ArraySource(np.zeros((1, 8, 8, 3), np.uint8), [3], classes=["a", "b"])
    with pytest.raises(InputError, match="uint8"):
        ArraySource(np.zeros((1, 8, 8, 3))).read(0, STILL)
    with pytest.raises(MediaError, match="no sound"):
        ArraySource(np.zeros((1, 8, 8, 3), np.uint8)).read(0, Plan(audio=AudioSpan(0, 1, 8000)))


def test_a_hugging_face_data_set(monkeypatch):
    # The project's own folder `datasets` must not stand in for the library.
    here = {"", str(ROOT)}
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in here])
    library = pytest.importorskip("datasets", reason="Hugging Face datasets is not installed")
    features = library.Features(
        {"image": library.Image(), "label": library.ClassLabel(names=["a", "b", "c"])}
    )
    rows = {"image": [{"bytes": encoded(10 + i), "path": None} for i in range(4)], "label": LABELS}
    dataset = library.Dataset.from_dict(rows, features=features)
    source = HuggingFace(dataset)
    check(source)
    assert source.classes == ("a", "b", "c")
    with pytest.raises(InputError, match="no column 'film'; there are image, label"):
        HuggingFace(dataset, "film")


def test_a_lance_data_set(tmp_path):
    lance = pytest.importorskip("lance", reason="Lance (pylance) is not installed")
    import pyarrow as pa

    table = pa.table({"image": [encoded(10 + i) for i in range(4)], "label": LABELS})
    lance.write_dataset(table, str(tmp_path / "cards.lance"))
    source = Lance(lance.dataset(str(tmp_path / "cards.lance")))
    check(source)
    with pytest.raises(InputError, match="no column 'film'"):
        Lance(lance.dataset(str(tmp_path / "cards.lance")), "film")


@pytest.mark.parametrize("kind", ["cls", "json"])
def test_a_webdataset_shard(tmp_path, kind):
    pytest.importorskip("webdataset", reason="webdataset is not installed")
    path = tmp_path / "shard.tar"
    with tarfile.open(path, "w") as out:
        for i, label in enumerate(LABELS):
            text = str(label) if kind == "cls" else f'{{"label": {label}}}'
            for suffix, data in (("png", encoded(10 + i)), (kind, text.encode())):
                member = tarfile.TarInfo(f"cards/{i}.{suffix}")
                member.size = len(data)
                out.addfile(member, io.BytesIO(data))
    check(TarShard(str(path)))
