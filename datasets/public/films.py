"""Sets whose lists name films of a video site, some of which are lost or cut out already."""

import logging
from pathlib import Path

from ...errors import InputError, some
from ...modalities.decode.sandbox import Limits
from ..class_list import in_order
from ..lookup import find_media
from ..paths import nfc
from ..source import Entry, Files

_log = logging.getLogger(__name__)


class Films:
    """Collects the rows of lists whose media are there.

    A row with a segment means a file that is cut out already, as ID_START_END or ID_START (whole
    seconds in six digits, as they are, or in milliseconds), or else these seconds of the film ID.

    Args:
        root: the folder of media, which may lie in sub-folders.
        title: of the set.

    Raises:
        InputError: no such folder.
    """

    def __init__(self, root: Path, title: str):
        if not root.is_dir():
            raise InputError(f"{root}: no such folder; give the one that holds the media")
        self.root, self.title = root, title
        names = [name for name, kind in find_media(root)[0].items() if kind != "image"]
        self._names = {nfc(name.rsplit("/", 1)[-1].rsplit(".", 1)[0]): name for name in names}
        self._entries: dict[tuple, Entry] = {}
        self._lost: list[str] = []

    def add(
        self,
        film: str,
        start: float | None = None,
        end: float | None = None,
        label: str = "",
        group: str = "",
        split: str = "",
        caption: str = "",
        labels: tuple[str, ...] = (),
    ) -> None:
        """Takes a row, if its medium is there; of one that is listed twice, what it says first."""
        cut_out = [film + "_" + ending for ending in _endings(start, end)]
        found = next((self._names[name] for name in cut_out if name in self._names), None)
        if found is not None:
            start = end = None
        elif (found := self._names.get(nfc(film))) is None:
            self._lost.append(cut_out[0] if cut_out else film)
            return
        entry = Entry(found, label, group, split, start, end, labels, caption)
        self._entries.setdefault((found, start, end), entry)

    def source(self, isolated: Limits | None = None, classes: tuple[str, ...] | None = None):
        """The media of the rows; what is not there is counted and named in a warning.

        Args:
            isolated: see `Files`.
            classes: None: the labels that occur.

        Raises:
            InputError: nothing is there.
        """
        entries = [*self._entries.values()]
        if not entries:
            count = len(self._lost)
            raise InputError(f"{self.root}: holds none of the {count} listed media of {self.title}")
        if self._lost:
            text = "%s: %d listed media are not there: %s"
            _log.warning(text, self.root, len(self._lost), some(self._lost))
        occurring = {name for e in entries for name in (e.label, *e.labels) if name}
        names = in_order(occurring) if classes is None else classes
        return Files(self.root, entries, names, title=self.title, isolated=isolated)


def _endings(start: float | None, end: float | None) -> list[str]:
    """How the names of files that are cut out end."""
    if start is None:
        return []
    pairs = [(f"{int(x):06}", f"{int(x)}", f"{round(x * 1000)}") for x in (start, end or 0.0)]
    both = ["_".join(pair) for pair in zip(*pairs, strict=True)] if end is not None else []
    return [*both, *pairs[0]]
