"""The importance of every field in a search, and the candidates' scores by its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.shared import (
    draw_points,
    list_some,
    objective_axis,
    objective_format,
    round_all,
    row_axis,
    spread,
)
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import NEUTRAL, PALETTE, label_text, make_layout
from bakeoff.report.importance import FieldImportance, SearchImportance
from bakeoff.report.search import SearchReport
from bakeoff.report.text import count, show_text

MAX_FIELDS = 20
MAX_SLICES = 6
MAX_CHOICES = 12
_DECADES = 100


def draw_importance(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw the importance of the fields in one block's search, most important first, with the level of chance.

    None without a search, or if there are too few candidates. Of more than MAX_FIELDS, the most important are shown.
    """
    search, found = _find(report, block)
    if search is None or found is None:
        return None
    fields = found.fields[:MAX_FIELDS]
    return FigureSpec(
        title=f"What mattered in the search: {search.objectives[0]}",
        alt=_describe(found, block),
        data=[*_draw_bars(fields), *_draw_chance(fields)],
        layout=make_layout(
            150 + 30 * len(fields),
            xaxis={"title": {"text": "importance, fraction of the total"}, "tickformat": ".0%", "rangemode": "tozero"},
            yaxis=row_axis([label_text(field.field) for field in fields]),
            barmode="overlay",
        ),
    )


def _draw_bars(fields: Sequence[FieldImportance]) -> list[dict[str, Any]]:
    rows = list(range(len(fields)))
    names = {True: "more than chance", False: "not distinguishable from chance"}
    return [
        {
            "type": "bar",
            "orientation": "h",
            "name": names[is_shown],
            "x": round_all([field.share for field in fields if field.is_shown == is_shown]),
            "y": [row for row in rows if fields[row].is_shown == is_shown],
            "text": [label_text(field.field) for field in fields if field.is_shown == is_shown],
            "textposition": "none",
            "hovertemplate": "%{text}: %{x:.1%} of all importance<extra></extra>",
            "marker": {"color": color, "pattern": {"shape": pattern}},
            "width": 0.6,
        }
        for is_shown, color, pattern in ((True, PALETTE[0], ""), (False, NEUTRAL, "/"))
        if any(field.is_shown == is_shown for field in fields)
    ]


def _draw_chance(fields: Sequence[FieldImportance]) -> list[dict[str, Any]]:
    return draw_points(
        "reached by chance",
        [(field.chance, row, label_text(field.field)) for row, field in enumerate(fields)],
        {"symbol": "line-ns-open", "size": 20, "color": PALETTE[1], "line": {"width": 3}},
        hover="%{text}: up to %{x:.1%} with scores shuffled",
    )


def draw_slices(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw the scores of one block's candidates against each of the MAX_SLICES most important fields.

    None as for the importance. Pruned candidates have no final score and are left out, as are choices beyond
    MAX_CHOICES. The search's candidates are circles, those of its random baseline crosses.
    """
    search, found = _find(report, block)
    if search is None or found is None:
        return None
    fields = found.fields[:MAX_SLICES]
    objective = search.objectives[0]
    num_rows = -(-len(fields) // 2)
    axes = [_place_axes(number, field, num_rows, objective) for number, field in enumerate(fields)]
    traces = [trace for number, field in enumerate(fields) for trace in _draw_slice(search, found, field, number)]
    return FigureSpec(
        title=f"Every candidate's {objective}, field by field",
        alt=(
            f"{count(len(fields), 'scatter plot')} of {objective} against the most important fields of the search in "
            f"{show_text(block)}: {', '.join(show_text(field.field) for field in fields)}. "
            f"{count(sum(score is not None for score in found.scores), 'candidate')} are drawn."
        ),
        data=traces,
        layout=make_layout(90 + 230 * num_rows, **{name: axis for pair in axes for name, axis in pair.items()}),
    )


def _place_axes(number: int, field: FieldImportance, num_rows: int, objective: str) -> dict[str, Any]:
    """Return the two axes of a small plot; plots are two in a row and share their y axis."""
    axis = objective_axis(objective, objective)
    row, column = divmod(number, 2)
    top, suffix = 1 - row / num_rows, _suffix(number)
    return {
        f"yaxis{suffix}": {
            **axis,
            "domain": [round(top - 0.66 / num_rows, 4), round(top, 4)],
            "anchor": f"x{suffix}",
            **({"matches": "y"} if number else {}),
            **({"title": None, "showticklabels": False} if column else {}),
        },
        f"xaxis{suffix}": {
            **_scale(field),
            "domain": [0.54, 1.0] if column else [0.0, 0.46],
            "anchor": f"y{suffix}",
            "title": {"text": label_text(field.field, 26)},
        },
    }


def _suffix(number: int) -> str:
    return str(number + 1) if number else ""


def _find(report: ReportInput, block: str) -> tuple[SearchReport | None, SearchImportance | None]:
    search = report.search_of(block)
    return search, None if search is None else search.importance


def _list_choices(field: FieldImportance) -> list[str]:
    """Return the names of a field's choices, at most MAX_CHOICES; empty if its values are numbers."""
    return sorted({value for value in field.values if isinstance(value, str)})[:MAX_CHOICES]


def _scale(field: FieldImportance) -> dict[str, Any]:
    choices = _list_choices(field)
    if choices:
        ticks = [label_text(choice, 14) for choice in choices]
        return {
            "tickvals": list(range(len(choices))),
            "ticktext": ticks,
            "range": [-0.5, len(choices) - 0.5],
            "showgrid": False,
        }
    if not field.is_log:
        return {"nticks": 6}
    numbers = [value for value in field.values if isinstance(value, float)]
    # If there are two decades or more, only they are labelled, because the plots are narrow.
    return {"type": "log", "tickformat": "~g", "dtick": 1 if max(numbers) > _DECADES * min(numbers) else "D2"}


def _draw_slice(
    search: SearchReport, found: SearchImportance, field: FieldImportance, plot: int
) -> list[dict[str, Any]]:
    looks = {"candidate": ("search", PALETTE[0], "circle"), "random": ("random baseline", PALETTE[1], "x")}
    objective = search.objectives[0]
    traces = []
    for kind, (name, color, symbol) in looks.items():
        candidates = [
            (number, value, score)
            for (own, number), value, score in zip(found.numbers, field.values, found.scores, strict=True)
            if own == kind and value is not None and score is not None
        ]
        xs = _place(field, [value for _, value, _ in candidates])
        traces += draw_points(
            name,
            [
                (x, score, f"{kind} {number}: {label_text(str(value))}")
                for x, (number, value, score) in zip(xs, candidates, strict=True)
                if x is not None
            ],
            {"color": color, "symbol": symbol, "size": 6, "opacity": 0.75},
            hover=f"%{{text}}<br>{objective} %{{y:{objective_format(objective)}}}",
            legendgroup=kind,
            showlegend=plot == 0,
            xaxis=f"x{_suffix(plot)}",
            yaxis=f"y{_suffix(plot)}",
        )
    return traces


def _place(field: FieldImportance, values: Sequence[float | str]) -> list[float | None]:
    """Return the positions of values on their axis, those of one choice side by side; None for a choice left out."""
    choices = _list_choices(field)
    if not choices:
        return [value if isinstance(value, float) else None for value in values]
    offsets = spread(len(values), 0.5)
    return [
        choices.index(str(value)) + offset if str(value) in choices else None
        for value, offset in zip(values, offsets, strict=True)
    ]


def _describe(found: SearchImportance, block: str) -> str:
    fields = [
        f"{show_text(field.field)} {field.share:.0%}, {'more than' if field.is_shown else 'no more than'} chance"
        for field in found.fields
    ]
    of = " of the random baseline" if found.kind == "random" else ""
    return (
        f"Bar chart of how much each field mattered in the search in {show_text(block)}, over "
        f"{count(found.num_candidates, 'candidate')}{of}, by PED-ANOVA: {list_some(fields, 'field')}."
    )
