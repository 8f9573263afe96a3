"""Write a comparison's report anew from what it has so far.

    pretexto report runs/comparison

Writes report.html, results.md, results.csv, results.tex and table.json into the folder; works while
the comparison runs, and without its media.
"""

from pathlib import Path


def arguments(parser) -> None:
    parser.add_argument("folder", metavar="DIR", help="folder of a comparison")


def run(args) -> int:
    from ..comparison.plan_file import planned, read_plan
    from ..comparison.rows import collect
    from ..reporting.html import write_report

    out = Path(args.folder)
    collect(planned(read_plan(out)), out)
    print(f"report: {write_report(out)}")
    return 0
