"""The figures of ROC curves and of classes: what they draw, where they are cut, what they leave out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from bakeoff.errors import BakeoffError
from bakeoff.report.document import ReportInput
from bakeoff.report.evidence import BlockEvidence, ClassRow
from bakeoff.report.figures.classes import MAX_CLASSES, draw_classes
from bakeoff.report.figures.methods import Plots, to_plotly
from bakeoff.report.figures.roc import MOST_NAMED, draw_roc, draw_whole_roc, find_frame
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.roc import RocLines, describe_roc
from bakeoff.stats.classes import class_report

NASTY = "<script>alert(1)</script> $x$ &amp;"
MakeReport = Callable[..., ReportInput]


def trace_curves(num_classes: int, skill: float) -> RocLines:
    rng = np.random.default_rng(0)
    labels = np.arange(100 * num_classes) % num_classes
    scores = rng.random((len(labels), num_classes)) + skill * np.eye(num_classes)[labels]
    names = [str(number) for number in range(num_classes)]
    roc = describe_roc([class_report(scores / scores.sum(axis=1, keepdims=True), labels, names)])
    assert roc is not None
    return roc


def make(make_report: MakeReport, num_classes: int = 10, skill: float = 0.9) -> ReportInput:
    rows = tuple(
        ClassRow(
            name=f"{NASTY} {number}",
            occurring=100,
            precision=None if number == 0 else 0.5 + number / 1000,
            recall=0.0 if number == 0 else 0.6,
            f1=0.0 if number == 0 else 0.9 - number / 1000,
            auc=0.9,
        )
        for number in range(num_classes)
    )
    evidence = BlockEvidence(
        block="digits",
        split="test",
        arm=NASTY,
        num_trials=3,
        classes=rows,
        averages={},
        accuracy_interval=(0, 1),
        confusion=(),
        roc=trace_curves(num_classes, skill),
    )
    return make_report(evidence=(evidence,))


def need(spec: FigureSpec | None) -> FigureSpec:
    assert spec is not None
    text = json.dumps([spec.data, spec.layout], allow_nan=False)
    assert "<script" not in text
    assert "$x$" not in text
    assert isinstance(to_plotly(spec, "dark"), go.Figure)
    return spec


@pytest.mark.parametrize("num_classes", [2, 10, 36])
def test_every_class_has_a_curve_and_the_worst_have_names(make_report: MakeReport, num_classes: int) -> None:
    report = make(make_report, num_classes)
    (evidence,) = report.evidence
    spec = need(draw_roc(report, "digits", whole=True))
    assert evidence.roc is not None
    *classes, macro, chance = spec.data
    assert (macro["x"], macro["y"]) == (list(evidence.roc.macro.rates), list(evidence.roc.macro.heights))
    assert chance["name"] == "chance"
    assert len(classes) == num_classes
    areas = sorted(line.auc for line in evidence.roc.classes if line is not None)
    named = [trace for trace in classes if "legendgroup" not in trace]
    assert len(named) == min(MOST_NAMED, num_classes)
    assert [float(trace["name"].rpartition(" ")[2]) for trace in reversed(named)] == pytest.approx(
        areas[:MOST_NAMED], abs=1e-4
    )
    shown = [trace["name"] for trace in classes if trace.get("showlegend", True) and trace not in named]
    assert shown == ([f"the other {num_classes - MOST_NAMED} classes"] if num_classes > MOST_NAMED else [])
    assert len({(trace["line"]["color"], trace["line"].get("dash")) for trace in (*named, macro)}) == len(named) + 1
    assert "smallest for" in spec.alt
    assert "Drawn to within" in spec.alt


def test_good_curves_are_shown_close_up_and_say_so(make_report: MakeReport) -> None:
    good, poor = make(make_report), make(make_report, skill=0.2)
    (evidence,) = good.evidence
    assert evidence.roc is not None
    frame = find_frame(evidence.roc)
    assert frame is not None
    spec = need(draw_roc(good, "digits"))
    assert spec.title.endswith("close up")
    assert spec.layout["xaxis"]["range"][1] == pytest.approx(frame[0], rel=0.05)
    assert spec.layout["yaxis"]["range"][0] == pytest.approx(frame[1], rel=0.05)
    assert f"cut to 0 to {frame[0]:.0%} and {frame[1]:.0%} to 100%" in spec.alt
    assert need(draw_whole_roc(good, "digits")).layout["xaxis"]["range"] == [-0.02, 1.02]
    assert draw_whole_roc(poor, "digits") is None  # the figure itself is whole
    assert need(draw_roc(poor, "digits")).layout["xaxis"]["range"] == [-0.02, 1.02]


def test_classes_stand_hardest_first(make_report: MakeReport) -> None:
    report = make(make_report)
    spec = need(draw_classes(report, "digits"))
    _, recall, precision, f1 = spec.data
    assert [trace["name"] for trace in (recall, precision, f1)] == ["recall", "precision", "F1"]
    assert f1["x"] == sorted(f1["x"])
    assert f1["x"][0] == 0  # never found
    assert precision["x"][0] is None  # and never predicted
    assert f1["x"][1] == pytest.approx(0.9 - 9 / 1000)
    assert recall["y"] == list(range(10))
    assert spec.layout["yaxis"]["range"] == [9.5, -0.5]
    assert len({trace["marker"]["symbol"] for trace in (recall, precision, f1)}) == 3
    assert "Lowest F1" in spec.alt


def test_of_many_classes_the_hardest_are_drawn(make_report: MakeReport) -> None:
    spec = need(draw_classes(make(make_report, 60), "digits"))
    assert len(spec.data[-1]["x"]) == MAX_CLASSES
    assert f"the {MAX_CLASSES} hardest of 60 classes" in spec.title


def test_without_predictions_there_is_nothing(make_report: MakeReport) -> None:
    report = make_report()
    assert draw_roc(report, "digits") is None
    assert draw_whole_roc(report, "digits") is None
    assert draw_classes(report, "digits") is None
    (evidence,) = make(make_report).evidence
    assert draw_roc(make_report(evidence=(replace(evidence, roc=None),)), "digits") is None
    unmet = replace(evidence, classes=tuple(replace(row, f1=None) for row in evidence.classes))
    assert draw_classes(make_report(evidence=(unmet,)), "digits") is None


def test_both_are_methods(make_report: MakeReport) -> None:
    class Plotted(Plots):
        def __init__(self, report: ReportInput) -> None:
            self.report = report

    plots = Plotted(make(make_report))
    assert plots.plot_roc().layout.xaxis.range[1] < 1
    assert plots.plot_roc(whole=True).layout.xaxis.range[1] > 1
    assert len(plots.plot_classes(mode="dark").data) == 4
    with pytest.raises(BakeoffError, match="no ROC curves"):
        Plotted(make_report()).plot_roc()
