"""The report's charts, as Vega-Lite specifications by Altair.

Colours are the page's CSS variables, so that a chart follows the page from light to dark. Every
chart is as wide as its container. Channels are given as Altair's classes: for words it would go
through its whole schema to find the class, which takes three times as long as all the rest.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import altair as alt
import polars as pl

Spec = dict[str, Any]

_ROW = 31  # pixels of an entry's row
_LABEL = 17  # pixels that the label of a point needs
_KINDS = {
    "task": "circle",
    "supervised": "diamond",
    "random": "circle",
    "start": "square",
    "floor": "triangle-up",
}
_INK, _FAINT, _CONTROL, _CARD = "var(--soft)", "var(--faint)", "var(--random)", "var(--card)"
# What all charts share; the page hands it to each of them.
CONFIG: Spec = {
    "background": "transparent",
    "font": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "domain": False,
        "ticks": False,
        "gridColor": "var(--hair)",
        "labelColor": _INK,
        "labelFontSize": 12,
        "labelPadding": 7,
        "labelFlush": False,
        "titleColor": _INK,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    "axisBand": {"grid": False},
    "padding": {"left": 2, "right": 8, "top": 6, "bottom": 2},
}


def _spec(layers: Sequence[alt.Chart], height: float) -> Spec:
    """The layers' specification, as wide as its container, without the data named in it."""
    # Checked against the schema by the tests: here that would cost more than all else.
    found = alt.layer(*layers).properties(width="container", height=height).to_dict(validate=False)
    found["autosize"] = {"type": "fit-x", "contains": "padding"}
    return {key: value for key, value in found.items() if key not in ("config", "$schema")}


def _with(spec: Spec, frame: pl.DataFrame) -> Spec:
    """The same with its data."""
    rounded = frame.with_columns(pl.col(pl.Float64).round_sig_figs(6))
    return spec | {"datasets": {_DATA: rounded.to_dicts()}}


_DATA = "rows"
_ROWS = alt.Chart(alt.NamedData(name=_DATA))


def intervals(frame: pl.DataFrame, chance: float, reference: str | None) -> Spec:
    """Dots with whiskers, one row per entry; the untrained network and chance as lines.

    Args:
        frame: rows of one column of `frames.estimates`.
        chance: in percent.
        reference: the untrained control that stands as a line, where there is one for all.
    """
    low, high = percent_range(frame, [chance])
    shown = _within(frame, low, high)
    scale = alt.Scale(domain=[low, high], nice=True, zero=False)
    x = alt.X("mean:Q", scale=scale, axis=alt.Axis(tickCount=5, title=None))
    y = alt.Y("entry:N", sort=None, axis=alt.Axis(title=None, labelColor="var(--ink)"))
    base = _ROWS.encode(y=y)
    layers = [
        *_bounds(shown, chance, reference, "x"),
        _whisker(base).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q")),
        base.transform_flatten(["values"], ["single"])
        .mark_circle(size=24, opacity=0.45)
        .encode(x=alt.X("single:Q"), color=_hue()),
        _points(base).encode(x=x),
        # All of an entry's row answers to the pointer.
        base.mark_bar(opacity=0, height={"band": 1}).encode(
            x=alt.XDatum(low), x2=alt.X2Datum(high), tooltip=_tooltip()
        ),
    ]
    return _with(_spec(layers, _ROW * len(shown)), shown)


def _within(frame: pl.DataFrame, low: float, high: float) -> pl.DataFrame:
    """The frame with whiskers that end where the axis does: Vega makes room for those it hides."""
    return frame.with_columns(pl.col("low", "high").cast(pl.Float64).clip(low, high))


def percent_range(frame: pl.DataFrame, more: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis in percent that shows all single values, and whiskers up to 10 beyond them.

    The whiskers of two or three seeds may be longer than the whole scale; tooltips have their
    length where the axis ends earlier.
    """
    single = [*frame["mean"], *chain.from_iterable(frame["values"]), *more] or [0.0, 100.0]
    low = max(min(single) - 10, min([*frame["low"].drop_nulls(), *single]))
    high = min(max(single) + 10, max([*frame["high"].drop_nulls(), *single]))
    return max(0.0, 5 * math.floor(low / 5 - 0.2)), min(100.0, 5 * math.ceil(high / 5 + 0.2))


def _hue() -> alt.Color:
    return alt.Color("hue:N", scale=None, legend=None)


def _whisker(base: alt.Chart, *, faint: bool = False) -> alt.Chart:
    width, opacity = (1.5, 0.35) if faint else (2.5, 0.6)
    line = base.mark_rule(strokeCap="round", clip=True, strokeWidth=width, opacity=opacity)
    return line.encode(color=_hue())


def _points(base: alt.Chart) -> alt.Chart:
    """An entry's mark: its colour and the shape of its kind; untrained ones are hollow."""
    scale = alt.Scale(domain=list(_KINDS), range=list(_KINDS.values()))
    unlearned = "datum.kind == 'random'"
    fill = alt.Fill("hue:N", scale=None, legend=None)
    stroke: Spec = {"test": unlearned, "field": "hue", "type": "nominal"}
    return base.mark_point(size=120, strokeWidth=2, opacity=1, filled=True).encode(
        shape=alt.Shape("kind:N", scale=scale, legend=None),
        fill=alt.condition(unlearned, alt.value(_CARD), fill),
        stroke=alt.StrokeValue(_CARD, condition={**stroke, "scale": None, "legend": None}),
    )


def _tooltip(*more: alt.Tooltip) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("entry:N", title="entry"),
        alt.Tooltip("text:N", title="percent"),
        alt.Tooltip("gain_text:N", title="difference to control"),
        alt.Tooltip("seeds:Q", title="seeds"),
        *more,
    ]


def _bounds(
    frame: pl.DataFrame, chance: float, reference: str | None, axis: str
) -> list[alt.Chart]:
    """Lines across the plot: chance, dotted, and the untrained control, dashed, with its band."""
    one = alt.Data(values=[{}])
    kinds = (alt.XDatum, alt.X2Datum) if axis == "x" else (alt.YDatum, alt.Y2Datum)

    def at(first: float, *last: float) -> Spec:
        """The channels of a place on the axis, or of where something begins and ends."""
        names = axis, f"{axis}2"
        return {name: kind(x) for name, kind, x in zip(names, kinds, (first, *last), strict=False)}

    found = [
        alt.Chart(one)
        .mark_rule(strokeDash=[2, 3], color=_FAINT, strokeWidth=1.5)
        .encode(**at(chance))
    ]
    for row in frame.filter(pl.col("entry") == (reference or "")).to_dicts():
        if row["half"] is not None:
            band = alt.Chart(one).mark_rect(color=_CONTROL, opacity=0.13)
            found.append(band.encode(**at(row["low"], row["high"])))
        line = alt.Chart(one).mark_rule(strokeDash=[6, 4], color=_CONTROL, strokeWidth=1.5)
        found.append(line.encode(**at(row["mean"])))
    return found


@dataclass(frozen=True, slots=True)
class Cost:
    """One way to count what pretraining costs.

    Attributes:
        field: the frame's column; name: what people call it; unit: of the axis.
        clock: it is seconds, which ticks name as people do.
    """

    field: str
    name: str
    unit: str
    clock: bool = False


COSTS = (
    Cost("seconds", "Time", "time of one run", clock=True),
    Cost("flops", "FLOPs", "floating-point operations of one run"),
    Cost("examples", "Examples", "examples shown in one run"),
    Cost("parameters", "Parameters", "parameters of the encoder"),
)
_CLOCK = (
    "datum.value < 60 ? format(datum.value, '~r') + ' s' : datum.value < 3600 ? "
    "format(datum.value / 60, '~r') + ' min' : format(datum.value / 3600, '~r') + ' h'"
)
_TIMES = [unit * k for unit in (1, 60, 3600) for k in (1, 2, 5, 10, 20, 40)] + [360000, 720000]
_FEW = 8  # entries up to which names stand beside their points, on a narrow page too
_COLUMN = 0.84  # of the plot's width: where the column of many names begins


def cost(frame: pl.DataFrame, by: Cost, chance: float, reference: str | None) -> Spec:
    """Accuracy against one kind of cost, on a logarithmic axis, each point with its name.

    Args:
        frame: rows of one column of `frames.estimates`, joined with what `by` names.
        by: what the axis counts.
        chance, reference: see `intervals`.
    """
    spent = frame.drop_nulls(by.field)
    many = len(spent) > _FEW
    ends = (min(spent[by.field]) / 1.6, max(spent[by.field]) * 1.6)
    if many:  # room for the names on the right
        ends = (ends[0], ends[0] * (ends[1] / ends[0]) ** (1 / _COLUMN))
    control = frame.filter(pl.col("entry") == (reference or ""))
    up = percent_range(spent, [chance, *control["mean"]])
    spent = _within(spent, *up)
    height = max(260, _LABEL * (len(spent) + 1))
    base = _ROWS.encode(x=_cost_axis(by, ends))
    y = alt.Y("mean:Q", scale=alt.Scale(domain=list(up), zero=False), axis=_up())
    tips = _tooltip(alt.Tooltip(f"{by.field}:Q", title=by.unit, format=".3~s"))
    layers = [
        *_bounds(frame, chance, reference, "y"),
        _whisker(base, faint=many).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        *_names(base, many=many),
        _points(base).encode(y=y, tooltip=tips),
    ]
    return _with(_spec(layers, height), _labelled(spent, by.field, ends, up, height))


def _cost_axis(by: Cost, ends: tuple[float, float]) -> alt.X:
    times = [time for time in _TIMES if ends[0] <= time <= ends[1]]
    ticks: Spec = {"values": times, "labelExpr": _CLOCK} if by.clock else {"tickCount": 5}
    axis = alt.Axis(title=by.unit, grid=False, labelOverlap="greedy", format="~s", **ticks)
    # "Nice" ends of a logarithmic axis are powers of ten, which would crowd the points together.
    scale = alt.Scale(type="log", domain=list(ends), nice=False)
    return alt.X(f"{by.field}:Q", scale=scale, axis=axis)


def _names(base: alt.Chart, *, many: bool) -> Iterator[alt.Chart]:
    """The entries' names, and lines to those that do not stand beside their points."""
    # Many names have no room on a narrow page, where tooltips tell.
    shown = alt.OpacityValue(alt.expr("width < 600 ? 0 : 1") if many else 1)
    line = alt.OpacityValue(alt.expr("width < 600 ? 0 : 0.4") if many else 1)
    ends: Spec = {
        "x2": alt.X2("label_x:Q"),
        "y2": alt.Y2("label_y:Q"),
        "color": _hue(),
        "opacity": line,
    }
    yield base.transform_filter("datum.moved").mark_rule().encode(y=alt.Y("mean:Q"), **ends)
    for left in (True, False):
        side: Spec = {"align": "right", "dx": -9} if left else {"align": "left", "dx": 9}
        text = base.transform_filter(f"datum.left == {str(left).lower()}")
        yield text.mark_text(fontWeight=600, fontSize=12.5, **side).encode(
            x=alt.X("label_x:Q"),
            y=alt.Y("label_y:Q"),
            text=alt.Text("entry:N"),
            color=_hue(),
            opacity=shown,
        )


def _up(ticks: int = 5) -> alt.Axis:
    return alt.Axis(title=None, tickCount=ticks)


def _labelled(
    frame: pl.DataFrame,
    field: str,
    across: tuple[float, float],
    up: tuple[float, float],
    height: float,
) -> pl.DataFrame:
    """Where each point's name stands: beside it, inwards, and apart from the others' names; many
    names stand one below the other on the right."""
    width = math.log(across[1] / across[0])
    many = len(frame) > _FEW
    at = [math.log(value / across[0]) / width for value in frame[field]]
    left = [x > 0.55 and not many for x in at]
    # A name is as wide as a third of a narrow page's plot.
    reach = 2.0 if many else 0.34
    starts = [x - reach if to_left else x for x, to_left in zip(at, left, strict=True)]
    heights = [(value - up[0]) / (up[1] - up[0]) for value in frame["mean"]]
    apart = spread(heights, starts, gap=_LABEL / height, reach=reach)
    moved = [many or abs(a - b) > 0.01 for a, b in zip(apart, heights, strict=True)]
    aside = [_COLUMN - x if many else 0.0 if not far else -0.02 if to_left else 0.02
             for x, to_left, far in zip(at, left, moved, strict=True)]  # fmt: skip
    return frame.with_columns(
        left=pl.Series(left),
        moved=pl.Series(moved),
        label_x=pl.Series(
            [across[0] * math.exp((x + d) * width) for x, d in zip(at, aside, strict=True)]
        ),
        label_y=pl.Series([up[0] + y * (up[1] - up[0]) for y in apart]),
    )


def spread(
    heights: Sequence[float], starts: Sequence[float], *, gap: float, reach: float
) -> list[float]:
    """Heights 0 … 1 at which labels are at least `gap` apart where they are side by side.

    Args:
        heights: where each would stand by itself.
        starts: where each begins across, 0 … 1.
        reach: how wide each is.
    """
    found = list(heights)
    for sign in (-1, 1):  # pushes downwards, then whoever is below the floor upwards again
        placed: list[int] = []
        for k in sorted(range(len(found)), key=lambda k: sign * found[k]):
            if sign > 0:
                found[k] = max(found[k], gap / 2)
            for other in placed:
                near = abs(starts[other] - starts[k]) < reach
                if near and abs(found[other] - found[k]) < gap - 1e-9:
                    found[k] = found[other] + sign * gap
            placed.append(k)
    return found


def curve(frame: pl.DataFrame, *, share: bool) -> Spec:
    """One line per run over the steps, in the colour of the text around it; dragging moves it, Ctrl
    and the wheel zoom.

    Args:
        frame: of `frames.curve`.
        share: the values are shares of 1, shown as percent.
    """
    shown = frame.with_columns((pl.col("value") * (100 if share else 1)).round_sig_figs(4))
    # As CSV, which takes a fifth of the room: curves are most of a page's numbers.
    text = shown.write_csv()
    kinds = {"type": "csv", "parse": {"step": "number", "value": "number"}}
    return _curve() | {"data": {"values": text, "format": kinds}}


_STEPS = alt.Axis(title=None, grid=False, tickCount=3, labelExpr="format(datum.value, '~s')")


@cache
def _curve() -> Spec:
    # Made once: a report has two of each entry, and Altair takes a while for each.
    zoom = alt.selection_interval(bind="scales", zoom="wheel![event.ctrlKey || event.metaKey]")
    base = _ROWS.encode(
        x=alt.X("step:Q", axis=_STEPS),
        y=alt.Y("value:Q", scale=alt.Scale(zero=False), axis=_up(4)),
        detail=alt.Detail("run:N"),
    )
    tips = [
        alt.Tooltip("run:N"),
        alt.Tooltip("step:Q", format=",.0f"),
        alt.Tooltip("value:Q", format=".3~g"),
    ]
    lines = base.mark_line(color="currentColor", strokeWidth=1.8, opacity=0.75, clip=True)
    dots = base.mark_circle(size=60, opacity=0, clip=True).encode(tooltip=tips)
    return _spec([lines, dots.add_params(zoom)], 128)


def along(frame: pl.DataFrame, field: str, title: str, order: Sequence[Any] | None) -> Spec:
    """Accuracy of all entries along something: the steps of pretraining, the layers.

    Args:
        frame: `field`, and `entry`, `hue`, `mean`, `low`, `high`, `text` as `frames.estimates` has.
        field: the frame's column along which.
        title: of the axis.
        order: its values, where they are names; None where they are numbers.
    """
    low, high = percent_range(frame, [])
    numbers: Spec = {"tickCount": 6, "labelExpr": "format(datum.value, '~s')"}
    axis = alt.Axis(title=title, grid=False, labelAngle=0, **(numbers if order is None else {}))
    scale = alt.Scale(domain=[low, high], zero=False)
    kind = "Q" if order is None else "N"
    near = alt.selection_point(on="pointerover", fields=["entry"], nearest=True, empty=True)
    faded = alt.OpacityValue(0.25, condition={"param": near.name, "empty": True, "value": 1})
    base = _ROWS.encode(
        x=alt.X(f"{field}:{kind}", sort=order, axis=axis),
        y=alt.Y("mean:Q", scale=scale, axis=_up()),
        color=_hue(),
        detail=alt.Detail("entry:N"),
        opacity=faded,
    )
    tips = [alt.Tooltip("entry:N"), alt.Tooltip(f"{field}:{kind}", title=title),
            alt.Tooltip("text:N", title="percent")]  # fmt: skip
    dots = base.mark_circle(size=60).encode(tooltip=tips).add_params(near)
    return _with(_spec([base.mark_line(strokeWidth=1.8), dots], 280), frame)
