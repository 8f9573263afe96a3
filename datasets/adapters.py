"""Sources out of other libraries' data sets, whose media are bytes, files or pictures in a row."""

import json
from abc import abstractmethod
from typing import Any, BinaryIO

from ..errors import InputError, some
from ..modalities.decode.origin import Readable
from ..modalities.decode.reader import probe, read
from ..modalities.media import MediaInfo, Plan, Sample
from .source import Source


class ByteSource(Source):
    """A source whose examples are encoded media. A subclass gives the `medium` of each."""

    @abstractmethod
    def medium(self, i: int) -> Readable:
        """The bytes of example i, or whatever else `read` takes."""

    def name(self, i: int) -> str:
        return str(i)

    def info(self, i: int) -> MediaInfo:
        return probe(self.medium(i))

    def read(self, i: int, plan: Plan) -> Sample:
        return read(self.medium(i), plan)


class HuggingFace(ByteSource):
    """A `datasets.Dataset` (map-style) with a column of images, sounds or films."""

    def __init__(self, dataset: Any, column: str = "image", label: str = "label"):
        if column not in dataset.features:
            raise InputError(f"no column {column!r}; there are {', '.join(dataset.features)}")
        self._labels = dataset[label] if label in dataset.features else None
        self.classes = tuple(getattr(dataset.features.get(label), "names", ()))
        self._rows, self._column = dataset.select_columns(column).with_format("arrow"), column

    def __len__(self) -> int:
        return len(self._rows)

    def medium(self, i: int) -> Readable:
        held = self._rows[i][self._column][0].as_py()
        return held["bytes"] or held["path"] if isinstance(held, dict) else held

    def label(self, i: int) -> int:
        return -1 if self._labels is None else int(self._labels[i])


class Lance(ByteSource):
    """A `lance.LanceDataset` with a column of bytes, plain or as blobs, and one of numbers."""

    def __init__(self, dataset: Any, column: str = "image", label: str = "label"):
        if missing := {column, label} - set(dataset.schema.names):
            raise InputError(f"no column {missing.pop()!r}; there are {dataset.schema.names}")
        self._rows, self._column = dataset, column
        self._labels = dataset.to_table([label])[label].to_pylist()

    def __len__(self) -> int:
        return len(self._labels)

    def medium(self, i: int) -> Readable:
        return self._rows.take([i], [self._column])[self._column][0].as_py()

    def label(self, i: int) -> int:
        return -1 if self._labels[i] is None else int(self._labels[i])


class TarShard(ByteSource):
    """A webdataset shard: members KEY.SUFFIX, labels in KEY.cls or as "label" in KEY.json."""

    def __init__(self, file: str | BinaryIO, suffixes: tuple[str, ...] = ("jpg", "png", "mp4")):
        from webdataset.tariterators import group_by_keys, tar_file_expander

        stream = open(file, "rb") if isinstance(file, str) else file  # noqa: SIM115
        with stream:
            opened = [{"stream": stream, "url": str(file)}]
            self._rows = list(group_by_keys(tar_file_expander(opened)))
        self._media = [next((s for s in suffixes if s in row), "") for row in self._rows]
        if bare := [row["__key__"] for row in self._rows if not row.keys() & {*suffixes}]:
            raise InputError(f"{file}: no {', '.join(suffixes)} of {some(bare)}; name suffixes=")

    def __len__(self) -> int:
        return len(self._rows)

    def medium(self, i: int) -> Readable:
        return self._rows[i][self._media[i]]

    def label(self, i: int) -> int:
        row = self._rows[i]
        return int(row.get("cls") or json.loads(row.get("json", "{}")).get("label", -1))
