"""A finished comparison as one small JSON file that can be kept beside the code.

    python benchmarks/summary.py runs/temporal_tasks --out benchmarks/results/temporal_tasks.json

It holds, per entry and protocol, the mean over seeds of the mean over folds in percent, its 95 %
interval over seeds (or over folds where there is one seed), the paired difference to the untrained
network, and every single seed's mean; the plan with its budgets; the command, commit and versions.
"""

import argparse
import json
import math
import sys
from pathlib import Path

from pretexto.comparison.lines import Line, Results, load_results
from pretexto.comparison.statistics import Column, Estimate
from pretexto.errors import InputError

KEPT = ("data", "seeds", "splits", "trainer", "optimizer", "tuning", "clips", "view", "protocols")


def _percent(estimate: Estimate | None) -> dict | None:
    if estimate is None:
        return None
    return {
        "mean": round(100 * estimate.mean, 2),
        "half": None if math.isnan(estimate.half) else round(100 * estimate.half, 2),
        "over": f"{estimate.n} {estimate.over}",
        "values": [round(100 * v, 2) for v in estimate.values],
    }


def _column(line: Line, column: Column) -> dict:
    found = {"value": _percent(column.estimate(line.name))}
    if line.reference and line.reference != line.name:
        found["more than untrained"] = _percent(column.difference(line.name, line.reference))
    return found


def summary(results: Results) -> dict:
    """What the file holds."""
    protocols = {f"{c.stamp['method']} {c.stamp['metric']}": c for c in results.main}
    return {
        **results.about,
        "plan": {key: results.plan[key] for key in KEPT if key in results.plan},
        "chance": {name: round(100 * c.chance, 2) for name, c in protocols.items()},
        "entries": {
            line.name: {
                "missing": line.missing,
                "failed": len(line.failures),
                "pretext": line.pretext,
                **{name: _column(line, column) for name, column in protocols.items()},
            }
            for line in results.lines
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="of `pretexto compare`")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    try:
        text = json.dumps(summary(load_results(args.folder)), indent=1)
    except InputError as error:
        sys.exit(f"summary: {error}")
    args.out.write_text(text + "\n")
    print(args.out)


if __name__ == "__main__":
    main()
