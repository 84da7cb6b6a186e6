"""What every figure keeps: plain data, text that stays text, a template for light and dark, None without anything."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from bakeoff.errors import BakeoffError
from bakeoff.report.document import ReportInput
from bakeoff.report.figures.calibration import draw_calibration
from bakeoff.report.figures.confusion import draw_confusion
from bakeoff.report.figures.cost import draw_cost
from bakeoff.report.figures.curves import draw_curves
from bakeoff.report.figures.methods import Plots, to_plotly
from bakeoff.report.figures.scores import draw_scores
from bakeoff.report.figures.search import draw_search
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import MODES, NEUTRAL, PALETTE, label_text, make_template, style_of

DRAWERS = (draw_calibration, draw_confusion, draw_cost, draw_curves, draw_scores, draw_search)
SOURCE = Path(__file__).resolve().parents[3] / "src"
Draw = Callable[[ReportInput, str], FigureSpec | None]


def list_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from list_texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from list_texts(part)


def draw(drawer: Draw, report: ReportInput) -> FigureSpec:
    spec = drawer(report, "digits")
    assert spec is not None
    return spec


@pytest.mark.parametrize("drawer", DRAWERS)
def test_a_figure_is_plain_data_with_words(drawer: Draw, full_report: ReportInput) -> None:
    spec = draw(drawer, full_report)
    text = json.dumps([spec.data, spec.layout], allow_nan=False)
    assert json.loads(text) == [spec.data, spec.layout]
    assert spec.title
    assert spec.alt.endswith(".")
    assert len(spec.alt) > 60
    assert "template" not in spec.layout
    assert "title" not in spec.layout


@pytest.mark.parametrize("drawer", DRAWERS)
def test_user_text_never_becomes_markup(drawer: Draw, full_report: ReportInput) -> None:
    spec = draw(drawer, full_report)
    texts = list(list_texts([spec.data, spec.layout]))
    # `<br>` and `<extra>` are ours; a legendgroup is a key that plotly never shows.
    shown = [text.replace("<br>", "").replace("<extra></extra>", "") for text in texts]
    groups = {trace.get("legendgroup") for trace in spec.data}
    assert not [text for text in shown if "<" in text and text not in groups]
    assert not [trace["hovertemplate"] for trace in spec.data if "script" in trace.get("hovertemplate", "")]


@pytest.mark.parametrize("drawer", DRAWERS)
@pytest.mark.parametrize("mode", MODES)
def test_plotly_accepts_every_figure(drawer: Draw, mode: Any, full_report: ReportInput) -> None:
    figure = to_plotly(draw(drawer, full_report), mode)
    assert isinstance(figure, go.Figure)
    assert figure.layout.template.layout.paper_bgcolor == make_template(mode)["layout"]["paper_bgcolor"]
    assert figure.layout.meta["alt"]
    assert figure.to_json()


@pytest.mark.parametrize("drawer", [draw_calibration, draw_confusion, draw_curves, draw_search])
def test_without_anything_to_draw_there_is_no_figure(drawer: Draw, make_report: Callable[..., ReportInput]) -> None:
    assert drawer(make_report(), "digits") is None


def test_a_figure_of_a_study_without_results_is_none(make_report: Callable[..., ReportInput]) -> None:
    failed = make_report(arms=("a", "b"), num_replicates=1, failed=[("a", 0), ("b", 0)])
    assert draw_scores(failed, "digits") is None
    assert draw_cost(failed, "digits") is None
    assert draw_cost(make_report(arms=("only",)), "digits") is None


def test_labels_are_shown_as_they_are() -> None:
    assert label_text("<b>&lt;</b> $x$") == "&lt;b&gt;&amp;lt;&lt;/b&gt; &#36;x&#36;"
    assert label_text("bell\x07") == "bell\\x07"
    assert label_text("a" * 30 + "b" * 30, 21) == "a" * 9 + "..." + "b" * 9


def test_the_first_ten_arms_differ_by_more_than_colour() -> None:
    styles = [style_of(position) for position in range(10)]
    assert len({style.symbol for style in styles}) == 10
    assert len({(style.color, style.dash) for style in styles}) == 10


def luminance(color: str) -> float:
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", MODES)
def test_text_and_marks_stand_out_from_their_ground(mode: Any) -> None:
    layout = make_template(mode)["layout"]
    assert contrast(layout["font"]["color"], layout["paper_bgcolor"]) > 7  # WCAG AAA for text
    assert min(contrast(color, layout["paper_bgcolor"]) for color in (*PALETTE, NEUTRAL)) >= 3  # WCAG AA for graphics


def test_methods_plot_the_first_block_and_name_what_is_missing(full_report: ReportInput) -> None:
    plots = Plots()
    plots.report = full_report
    for name in ("scores", "curves", "confusion", "calibration", "search", "cost"):
        assert isinstance(getattr(plots, f"plot_{name}")(mode="dark"), go.Figure)
    with pytest.raises(BakeoffError, match=r"no block 'digit'.*Did you mean 'digits'"):
        plots.plot_scores("digit")
    with pytest.raises(BakeoffError, match="holds no curves of accuracy"):
        plots.plot_curves(metric="accuracy")
    with pytest.raises(BakeoffError, match="light or dark, not 'pink'"):
        plots.plot_scores(mode="pink")  # type: ignore[arg-type]


def test_importing_the_api_imports_no_plotly() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(SOURCE)!r}); import bakeoff.api, bakeoff.cli; "
        "sys.exit('plotly' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
