"""How values, differences and intervals are formatted: percentages and points for shares, plain otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bakeoff.stats.metrics import MetricRecord

Split = Literal["train", "validation", "test", "held-out"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test", "held-out")
"""Held-out: the fold that a trial has not seen. The test split is then one more set of images, common to all folds."""


@dataclass(frozen=True)
class Measure:
    """A metric on a split, with the figures a person reads.

    Shares (0..1) are shown as percentages and their differences as percentage points; other metrics as they are, with
    two decimals more than asked for. All texts are ASCII.
    """

    record: MetricRecord
    split: Split

    @property
    def label(self) -> str:
        """Such as "test accuracy"."""
        return self.record.label if self.record.is_column else f"{self.split} {self.record.label}"

    @property
    def images(self) -> str:
        """The images that it is of, such as "test images"; of another tool's column no more is said than is known."""
        return "images" if self.record.is_column and self.split == "test" else f"{self.split} images"

    def value(self, value: float, decimals: int = 2) -> str:
        """Format a value with its unit, such as "97.92%" or "0.0812"."""
        return f"{self.number(value, decimals)}{'%' if self.record.is_share else ''}"

    def number(self, value: float, decimals: int = 2) -> str:
        """Format a value, a spread or a signed difference without its unit, such as "97.92" or "0.0812"."""
        text = f"{100 * value:.{decimals}f}" if self.record.is_share else f"{value:.{decimals + 2}f}"
        return text.removeprefix("-") if float(text) == 0 else text

    def distance(self, difference: float, decimals: int = 2) -> str:
        """Format the size of a difference with its unit, such as "0.12 points"."""
        return f"{self.number(abs(difference), decimals)}{self.unit_of_difference}"

    def signed(self, difference: float, decimals: int = 2) -> str:
        """Format a difference with its sign and without its unit, such as "+0.12"."""
        text = self.number(difference, decimals)
        return text if text.startswith("-") or float(text) == 0 else f"+{text}"

    def interval(self, interval: tuple[float, float], decimals: int = 2) -> str:
        """Format an interval of a difference without its unit, such as "-0.30 to 0.50"."""
        return f"{self.number(interval[0], decimals)} to {self.number(interval[1], decimals)}"

    @property
    def unit_of_difference(self) -> str:
        """The word after a difference: points for shares, nothing for others."""
        return " points" if self.record.is_share else ""


def percent(confidence: float) -> str:
    """Format a confidence, such as "95%"."""
    return f"{100 * confidence:.6g}%"


def whole_percent(share: float) -> str:
    """Format a share in whole percent, without the sign; what is neither 0 nor 1 is not rounded to it: "<1", ">99"."""
    if 0 < share < 0.005:
        return "<1"
    return ">99" if 0.995 <= share < 1 else f"{100 * share:.0f}"


def join_names(names: list[str]) -> str:
    """Join names as in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
