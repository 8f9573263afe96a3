"""Where benchmarks find the shared media, and what each of their results says of its run."""

import json
import os
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "results"


def shared_data() -> Path:
    """The folder of real media: PRETEXTO_SHARED_DATA, or the one beside the repository."""
    beside = RESULTS.parents[2] / "shared" / "data"
    return Path(os.environ.get("PRETEXTO_SHARED_DATA", beside))


def about_run() -> dict[str, Any]:
    """Command, commit and versions, for the head of a result."""
    from pretexto.evaluation.stamp import environment

    commit, versions = environment()
    script, *words = sys.argv
    command = " ".join(["python", f"benchmarks/{Path(script).name}", *words])
    return {"command": command, "commit": commit, "versions": dict(versions)}


def write_result(out: Path, result: dict[str, Any]) -> None:
    """Writes a result, and prints where."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(out)
