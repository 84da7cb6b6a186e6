"""Accuracy on corrupted test images over severity, one line per arm."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.shared import list_some, metric_axis, metric_format, round_all, scatter
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import label_text, make_layout, style_of
from bakeoff.report.robustness import ArmRobustness, Robustness
from bakeoff.report.text import show_text
from bakeoff.stats.metrics import find_metric

MAX_ARMS = 10


def draw_robustness(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw the mean accuracy over corruptions at every severity, from clean images on; None if none is stored.

    Of more than MAX_ARMS arms, those that are best on corrupted images are shown.
    """
    found = report.facts.get("robustness")
    robustness = found.find(block) if isinstance(found, Robustness) else None
    if robustness is None:
        return None
    best = {arm.arm: arm for arm in robustness.arms[:MAX_ARMS]}
    shown = [best[arm] for arm in report.summary.arm_labels if arm in best]
    severities = robustness.severities
    traces = []
    for position, arm in enumerate(shown):
        style = style_of(position)
        traces.append(
            scatter(
                "lines+markers",
                [0, *severities],
                round_all(_list_means(arm, severities)),
                name=label_text(arm.arm),
                hover=f"{label_text(arm.arm)}<br>severity %{{x}}: %{{y:{metric_format(find_metric('accuracy'))}}}",
                line={"color": style.color, "width": 2.5, "dash": style.dash},
                marker={"symbol": style.symbol, "size": 8, "color": style.color},
            )
        )
    return FigureSpec(
        title="Accuracy on corrupted images by severity",
        alt=_describe(shown, len(robustness.arms), severities, block),
        data=traces,
        layout=make_layout(
            380,
            xaxis={
                "title": {"text": "severity"},
                "tickvals": [0, *severities],
                "ticktext": ["clean", *map(str, severities)],
            },
            yaxis=metric_axis(find_metric("accuracy"), "test accuracy, mean over corruptions"),
        ),
    )


def _list_means(arm: ArmRobustness, severities: Sequence[int]) -> list[float]:
    return [arm.clean.mean, *map(arm.average_severity, severities)]


def _describe(shown: Sequence[ArmRobustness], num_arms: int, severities: Sequence[int], block: str) -> str:
    lines = [
        f"{show_text(arm.arm)} {arm.clean.mean:.1%} clean, {arm.average_severity(severities[-1]):.1%}" for arm in shown
    ]
    return (
        f"Line chart of test accuracy in {show_text(block)} by severity of corruption. At severity {severities[-1]}: "
        f"{list_some(lines, 'arm', total=num_arms)}."
    )
