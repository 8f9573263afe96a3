"""Folders of extracted optical flow: two JPEGs for each field, one of x and one of y."""

import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import InputError, some
from ..modalities.flow import geometry
from ..modalities.flow.method import check_method
from ..modalities.flow.warping import compose
from ..modalities.image import resize
from ..modalities.media import MediaError, MediaInfo, Plan, Sample
from .annotations import Table, read_table
from .array import frame_number
from .class_list import classes_of, name_classes
from .folder import from_folders, nearest, table_file
from .source import Entry, Files

PREFIX = "flow_images:"
_X, _Y, _PICTURES = (rf"({name})(\d+)(\.jpe?g)" for name in ("flow_x_", "flow_y_", "img_"))
_BARE = r"(frame)(\d+)(\.jpe?g)"
_LAYOUTS = "flow_x_00001.jpg and flow_y_00001.jpg, or u/VIDEO/frame000001.jpg and v/VIDEO/…"
_TOLERANCE = 0.02  # share of a frame's time by which an asked interval may differ


class FlowImages(Files):
    """Videos of which optical flow was extracted into JPEGs, read as flow of packs is.

    Two layouts: folders VIDEO with `flow_x_00001.jpg` and `flow_y_00001.jpg`, and perhaps the
    frames as `img_00001.jpg`; or `u/VIDEO/frame000001.jpg` and `v/VIDEO/frame000001.jpg`. Field k
    leads from frame k to the next one. Values 0 … 255 mean -bound … +bound pixels at the images'
    size: their error is bound / 255 at most, besides what JPEG adds and what was longer than the
    bound. Flow over several frames is composed. Classes come from the folders above the videos, or
    from a table, whose paths may be those of the videos: `CLASS/v_01.avi` means `CLASS/v_01`.

    Args:
        path: the folder.
        fps: frames per second of the videos, which the images do not say.
        bound: pixels that 255 stands for.
        method: what the flow was computed by, for those who ask for one; see `check_method`.
        table: a list, see `Folder`; by default `groups.csv` in the folder.
        fold: its column that names the splits.
        title: a name for reports; None: the folder's.

    Raises:
        InputError: no such folder, no images of flow in it, numbers that make no sense, or a table
            that does not fit.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float,
        *,
        bound: float = 20.0,
        method: str | None = None,
        table: str | Path | None = None,
        fold: str | None = None,
        title: str | None = None,
    ):
        root = Path(path)
        if not (0 < fps < 1e6 and 0 < bound < 1e6):
            raise InputError(f"{root}: fps and bound are above 0, got {fps:g} and {bound:g}")
        if method is not None:
            check_method(method)
        if not root.is_dir():
            raise InputError(f"{root}: no such folder{nearest(root)}")
        self.fps, self.bound, self.method = fps, bound, method
        self._apart = (root / "u").is_dir() and (root / "v").is_dir()
        videos = sorted(_videos(root, self._apart))
        if not videos:
            raise InputError(f"{root}: no images of flow in it; they are called {_LAYOUTS}")
        entries, classes = from_folders(videos), None
        if file := table_file(root, table):
            entries, classes = _from_table(read_table(file, fold), videos, root)
        elif fold is not None:
            raise InputError(f"{root}: fold={fold!r} needs a table with that column")
        super().__init__(root, entries, classes or classes_of(entries), title=title)

    def _probe(self, name: str) -> MediaInfo:
        film = self._film(name)
        count = film.x.count + 1
        return MediaInfo(
            self._file(name),
            "video",
            duration=count / self.fps,
            fps=self.fps,
            frames=count,
            height=film.height,
            width=film.width,
            codec="images of flow",
        )

    def _film(self, name: str) -> "_Film":
        from ..modalities.decode.reader import probe

        if self._apart:
            folders, patterns = (self.path / "u" / name, self.path / "v" / name), (_BARE, _BARE)
        else:
            folders, patterns = (self.path / name,) * 2, (_X, _Y)
        x, y = (_numbered(*place) for place in zip(folders, patterns, strict=True))
        _check_pair(x, y, self._file(name))
        assert x is not None
        assert y is not None
        pictures = None if self._apart else _numbered(self.path / name, _PICTURES)
        if pictures and pictures.count not in (x.count, x.count + 1):
            reason = f"{pictures.count} pictures img_… stand beside {x.count} fields of flow"
            raise MediaError(self._file(name), "probe", f"{reason}; extract both anew")
        first = probe(str((pictures or x).path(0)))
        return _Film(x, y, pictures, first.height, first.width)

    def _read(self, name: str, plan: Plan) -> Sample:
        if plan.audio:
            raise MediaError(self._file(name), "plan", "images of flow have no sound")
        film, out = self._film(name), {}
        numbers = [self._number(time, film, plan, name) for time in plan.times]
        if numbers:
            out["times"] = torch.tensor([n / self.fps for n in numbers], dtype=torch.float64)
            if film.pictures or plan.frames_needed:
                out["frames"] = self._pictures(film, numbers, plan, name)
        if plan.flow:
            self._check_asked(plan)
            fields = torch.stack([self._field(film, pair, plan, name) for pair in plan.flow])
            fields = geometry.resize(fields, (film.height, film.width))
            out["flow"] = geometry.resize(fields, plan.short_side) if plan.short_side else fields
        return Sample(**out, note=plan.note)

    def _number(self, time: float, film: "_Film", plan: Plan, name: str) -> int:
        return frame_number(time, film.x.count + 1, self.fps, plan, self._file(name))

    def _pictures(self, film: "_Film", numbers: list[int], plan: Plan, name: str) -> Tensor:
        from ..modalities.decode.reader import read

        if film.pictures is None:
            reason = "frames are asked of a folder that holds flow alone"
            raise MediaError(self._file(name), "plan", f"{reason}; put img_00001.jpg … beside it")
        last = film.pictures.count - 1
        found = [read(str(film.pictures.path(min(n, last))), Plan((0.0,))).frames for n in numbers]
        frames = torch.cat([frame for frame in found if frame is not None])
        return resize(frames, plan.short_side) if plan.short_side else frames

    def _check_asked(self, plan: Plan) -> None:
        if plan.flow_method is None or plan.flow_method == self.method:
            return
        held = f"by {self.method}" if self.method else "by a method that nobody has named"
        raise InputError(
            f"{self.path}: flow by {plan.flow_method} is asked of images of flow {held}; ask for "
            f"no method, or name it: {PREFIX}DIR,fps=25,method={plan.flow_method}"
        )

    def _field(self, film: "_Film", asked: tuple[float, float], plan: Plan, name: str) -> Tensor:
        """float32 [2, H, W] from the frame shown at the first time, in pixels of the images."""
        first, last = (self._number(time, film, plan, name) for time in asked)
        steps = self._steps(asked[1] - asked[0])
        if last < first and plan.past_end == "wrap":
            last = film.x.count
        wanted = range(first, min(first + steps, film.x.count, max(last, first) + 1))
        flow = None
        for k in wanted:
            step = self._image_pair(film, k)
            flow = step if flow is None else compose(flow[None], step[None])[0]
        return self._image_pair(film, 0) * 0 if flow is None else flow

    def _steps(self, wanted: float) -> int:
        steps = round(wanted * self.fps)
        if wanted < 0:
            raise InputError(f"{self.path}: flow back in time is asked of images of flow forwards")
        if abs(wanted * self.fps - steps) > _TOLERANCE or (wanted > 0 and not steps):
            raise InputError(
                f"{self.path}: flow over {wanted:.4g} s is asked of images of flow over "
                f"{1 / self.fps:.4g} s, of which only multiples are composed; set frame_interval"
            )
        return steps

    def _image_pair(self, film: "_Film", k: int) -> Tensor:
        x, y = (_grey(run.path(k)) for run in (film.x, film.y))
        if x.shape != y.shape:
            sizes = " and ".join(f"{part.shape[1]}x{part.shape[0]}" for part in (x, y))
            raise MediaError(str(film.x.path(k)), "decode", f"x and y have unlike sizes: {sizes}")
        return (torch.stack([x, y]).float() / 127.5 - 1) * self.bound


@dataclass(frozen=True, slots=True)
class _Numbered:
    """Files of a folder whose names count on without a gap."""

    folder: Path
    prefix: str
    digits: int
    suffix: str
    first: int
    count: int

    def path(self, k: int) -> Path:
        return self.folder / f"{self.prefix}{self.first + k:0{self.digits}d}{self.suffix}"


class _Film(NamedTuple):
    """Its fields, its frames if there are any, and the size in pixels at which it is given."""

    x: _Numbered
    y: _Numbered
    pictures: _Numbered | None
    height: int
    width: int


def open_flow_images(spec: str, **options: Any) -> FlowImages:
    """`FlowImages` as "flow_images:DIR,fps=25", with bound=, method= and table= where needed.

    Raises:
        InputError: an unknown option, none for the frame rate, or what `FlowImages` raises.
    """
    path, *words = spec.removeprefix(PREFIX).split(",")
    while words and "=" not in words[0]:  # a comma of the folder's own
        path += "," + words.pop(0)
    given = {name: value for name, _, value in (word.partition("=") for word in words)}
    known = ("fps", "bound", "method", "table")
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"take {', '.join(known)}"
            raise InputError(f"{spec}: no option {name!r}: {hint}")
    if "fps" not in given:
        raise InputError(f"{spec}: images of flow say no frame rate; add it: {PREFIX}{path},fps=25")
    for name in ("fps", "bound"):
        if name in given:
            options[name] = _positive(given[name], f"{spec}: {name}")
    options |= {name: given[name] for name in ("method", "table") if name in given}
    return FlowImages(Path(path).expanduser(), **options)


def _positive(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{what} is a number, got {text!r}") from None


def _videos(root: Path, apart: bool) -> set[str]:
    """Names of the folders that hold images of flow, x or y."""
    tops = (root / "u", root / "v") if apart else (root,)
    pattern = re.compile(_BARE if apart else f"{_X}|{_Y}")
    found = set()
    for top in tops:
        for folder, folders, files in os.walk(top):
            folders[:] = [name for name in folders if not name.startswith(".")]
            if any(pattern.fullmatch(name) for name in files):
                found.add(Path(folder).relative_to(top).as_posix())
    return found


def _from_table(
    table: Table, videos: list[str], root: Path
) -> tuple[list[Entry], tuple[str, ...] | None]:
    """The videos that a table names. Raises InputError for those that are not there."""
    last: dict[str, list[str]] = {}
    for name in videos:
        last.setdefault(name.rpartition("/")[2], []).append(name)
    there, entries, lost = set(videos), [], []
    for entry in table.entries:
        ways = (entry.path, os.path.splitext(entry.path)[0])
        alone = [last[way.rpartition("/")[2]] for way in ways if way.rpartition("/")[2] in last]
        found = [way for way in ways if way in there] or [a[0] for a in alone if len(a) == 1]
        if found:
            values = {k: getattr(entry, k) for k in Entry.__slots__}
            entries.append(Entry(**{**values, "path": found[0]}))
        else:
            lost.append(entry.path)
    if lost:
        count = f"{len(lost)} videos have no images of flow in {root}"
        raise InputError(f"{table.file}: {count}: {some(lost)}; remove the rows")
    return name_classes(entries, table, root)


def _numbered(folder: Path, pattern: str) -> _Numbered | None:
    """The files of this name, None if there are none. Raises MediaError for a gap."""
    names = os.listdir(folder) if folder.is_dir() else []
    found = [match for name in names if (match := re.fullmatch(pattern, name))]
    if not found:
        return None
    prefix, digits, suffix = min(found, key=lambda match: int(match[2])).groups()
    run = _Numbered(folder, prefix, len(digits), suffix, int(digits), len(found))
    there = {match[0] for match in found}
    if lost := [run.path(k).name for k in range(run.count) if run.path(k).name not in there]:
        raise MediaError(str(folder), "probe", f"{lost[0]} is missing: extract the flow anew")
    return run


def _check_pair(x: _Numbered | None, y: _Numbered | None, name: str) -> None:
    """Raises MediaError where one of two images of a field is missing."""
    if x is None or y is None:
        there, lost = ("y", "x") if x is None else ("x", "y")
        raise MediaError(name, "probe", f"images of flow in {there}, but none in {lost}")
    if (x.first, x.count) != (y.first, y.count):
        more, less = (x, y) if x.count >= y.count else (y, x)
        reason = f"{more.count} images in one direction, {less.count} in the other"
        raise MediaError(name, "probe", f"{reason}: extract the flow anew")


def _grey(path: Path) -> Tensor:
    """uint8 [H, W]. Raises MediaError if the JPEG cannot be read whole."""
    from simplejpeg import decode_jpeg

    try:
        return torch.from_numpy(decode_jpeg(path.read_bytes(), "GRAY", strict=True)[:, :, 0])
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(str(path), "decode", f"damaged or no JPEG ({reason})") from error
