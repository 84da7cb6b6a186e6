"""ROC curves of an arm: every class against the rest, and their mean, averaged over trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.stats.classes import ClassReport
from bakeoff.stats.curves import RocCurve, average_roc_curves, thin_roc_curve

MAX_POINTS = 100
MOST_CURVES = 100
"""Maximum number of classes whose curves are kept, those with the smallest areas, so that the page stays readable."""

_DIGITS = 5


@dataclass(frozen=True, kw_only=True)
class RocLine:
    """One curve as it is drawn, from (0, 0) to (1, 1), with at most MAX_POINTS points.

    Attributes:
        rates: false positive rates, ascending.
        heights: true positive rates.
        auc: area under the whole curve, averaged over trials.
    """

    rates: tuple[float, ...]
    heights: tuple[float, ...]
    auc: float


@dataclass(frozen=True, kw_only=True)
class RocLines:
    """All curves of an arm.

    Attributes:
        macro: the mean of the classes' curves, each with equal weight.
        classes: one per class; None if no image or every image belongs to it, and for those beyond MOST_CURVES.
        error: the largest distance between a curve and its drawn version, in the unit of the axes.
        left_out: number of curves that are not kept.
    """

    macro: RocLine
    classes: tuple[RocLine | None, ...]
    error: float
    left_out: int = 0

    @property
    def num_classes(self) -> int:
        """Number of classes that have a curve, kept or not."""
        return self.left_out + sum(line is not None for line in self.classes)


def describe_roc(reports: Sequence[ClassReport]) -> RocLines | None:
    """Average the curves of an arm's trials, by class and over classes; None if no class has any."""
    means = [_average([report.curves[number] for report in reports]) for number in range(len(reports[0].classes))]
    defined = [mean for mean in means if mean is not None]
    if not defined:
        return None
    smallest = sorted((mean.auc, number) for number, mean in enumerate(means) if mean is not None)[:MOST_CURVES]
    kept = {number for _, number in smallest}
    thinned = [
        thin_roc_curve(mean, MAX_POINTS) if mean is not None and number in kept else None
        for number, mean in enumerate(means)
    ]
    macro, error = thin_roc_curve(average_roc_curves(defined), MAX_POINTS)
    return RocLines(
        macro=_round(macro),
        classes=tuple(None if each is None else _round(each[0]) for each in thinned),
        error=max(error, *(each[1] for each in thinned if each is not None)) + 10.0**-_DIGITS,
        left_out=len(defined) - len(kept),
    )


def _average(curves: Sequence[RocCurve | None]) -> RocCurve | None:
    defined = [curve for curve in curves if curve is not None]
    return average_roc_curves(defined) if defined else None


def _round(curve: RocCurve) -> RocLine:
    return RocLine(
        rates=tuple(curve.false_positive_rates.round(_DIGITS).tolist()),
        heights=tuple(curve.true_positive_rates.round(_DIGITS).tolist()),
        auc=curve.auc,
    )
