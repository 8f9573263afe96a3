"""The charts' own software, for a page that loads nothing: Vega, Vega-Lite and Vega-Embed."""

import gzip
from base64 import b64encode
from functools import cache
from importlib.metadata import version
from pathlib import Path

from ..datasets.cache import made_once

_FILE = "vega.js.gz"


@cache
def vega_bundle() -> str:
    """All three as one script, gzip as base64: what defines `vegaEmbed` once it is run."""
    # Bundling takes seconds, so it is done once for all reports of this version.
    folder = made_once(f"vega-{version('vl-convert-python')}", _bundle)
    return b64encode((folder / _FILE).read_bytes()).decode()


def _bundle(folder: Path) -> None:
    import vl_convert

    script = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    (folder / _FILE).write_bytes(gzip.compress(script.encode(), mtime=0))
