"""results.csv and results.tex: the numbers for spreadsheets and for papers."""

import csv
import io
import math
from typing import Any

from ..comparison.results import Results
from .formatting import column_name, percent
from .frames import estimates

_FIELDS = ("entry", "kind", "protocol", "metric", "mean", "half", "seeds", "gain", "gain_half", "p")
_FORMS = {**dict.fromkeys(("mean", "half", "gain", "gain_half"), ".2f"), "p": ".3g"}


def as_csv(results: Results) -> str:
    """One line per entry and column of the table, in percent; p is corrected for its family."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_FIELDS)
    for row in estimates(results, results.main).iter_rows(named=True):
        writer.writerow([_cell(row[field], _FORMS.get(field, "")) for field in _FIELDS])
    return file.getvalue()


def _cell(value: Any, form: str) -> str:
    return "" if value is None else f"{value:{form}}"


def as_latex(results: Results) -> str:
    """The table for a paper with the booktabs package; bold: above the untrained network, after
    correction."""
    heads = ["", *(" ".join(column_name(column)) for column in results.main)]
    gains = [results.gains(column) for column in results.main]
    body = []
    for line in results.lines:
        cells = [line.name]
        for column, gain in zip(results.main, gains, strict=True):
            own = column.estimate(line.name)
            sure = line.name in gain and gain[line.name].sign > 0
            cells.append("--" if own is None else _latex_cell(own.mean, own.half, sure))
        body.append(cells)
    chance = ["chance", *(percent(column.chance) for column in results.main)]
    begin = f"\\begin{{tabular}}{{l{'r' * len(results.main)}}}"
    rows = [_latex_row(row) for row in body]
    parts = [begin, "\\toprule", _latex_row(heads), "\\midrule", *rows, "\\midrule"]
    return "\n".join([*parts, _latex_row(chance), "\\bottomrule", "\\end{tabular}", ""])


def _latex_cell(mean: float, half: float, sure: bool) -> str:
    value = f"\\textbf{{{percent(mean)}}}" if sure else percent(mean)
    return value if math.isnan(half) else f"{value} $\\pm$ {percent(half)}"


def _latex_row(cells: list[str]) -> str:
    return " & ".join(cell.replace("_", "\\_") for cell in cells) + " \\\\"
