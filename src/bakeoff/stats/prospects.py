"""What a study can show, block by block and in sentences, before or after it is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bakeoff.stats.expected import ExpectedSpread
from bakeoff.stats.measure import Measure, whole_percent
from bakeoff.stats.needed import LIKELY
from bakeoff.stats.pairs import MIN_REPLICATES
from bakeoff.stats.power import POWER
from bakeoff.stats.prospect import Aim, Prospect
from bakeoff.stats.sources import VarianceSource

MAX_BLOCKS_IN_FULL = 3
"""Of more blocks only the extremes are told in words."""


@dataclass(frozen=True, kw_only=True)
class Prospects:
    """What a study can show, block by block.

    Attributes:
        blocks: empty if nothing can be said, for the `reason`.
        reason: a clause; empty if all can be said.
        is_quick: whether the study is the small version of another, of which nobody expects an answer.
    """

    blocks: tuple[Prospect, ...] = ()
    reason: str = ""
    is_quick: bool = False

    @property
    def warning(self) -> str:
        """One line on a margin that cannot be settled as planned, with remedies; empty if it can."""
        return "" if self.is_quick else warn_of_margin(self.blocks)

    def dump(self) -> dict[str, Any]:
        """Return the figures as plain values, for JSON."""
        return {
            "blocks": [each.dump() for each in self.blocks],
            "reason": self.reason or None,
            "warning": self.warning or None,
        }


def format_difference(difference: float, measure: Measure) -> str:
    """Format a difference to two digits with its unit, such as "1.9 points", "0.035"."""
    scale = 100 if measure.record.is_share else 1
    return f"{_round(scale * difference)}{measure.unit_of_difference}"


def _round(value: float) -> str:
    return f"{float(f'{value:.2g}'):g}"


def _round_up(value: float) -> float:
    """Round up to two digits."""
    digit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / digit - 1e-9) * digit


def describe_prospect(prospect: Prospect) -> Iterator[str]:
    """Yield what a block can show, a sentence each: detectable difference, margin, source."""
    yield _say_detectable(prospect)
    yield from _say_margin_and_source(prospect)


def describe_more(prospect: Prospect) -> Iterator[str]:
    """Yield what more replicates than those tested can show, a sentence each; before a test, what all can."""
    if not prospect.aim.num_tested or not prospect.curve:
        yield from describe_prospect(prospect)
        return
    yield (
        f"another look can show differences of {_say_curve(prospect)} "
        f"({POWER:.0%} power{_say_correction(prospect.aim)}; {_say_scope(prospect)})"
    )
    yield from _say_margin_and_source(prospect)


def _say_margin_and_source(prospect: Prospect) -> Iterator[str]:
    yield from _say_margin(prospect)
    if prospect.source.spread is not None:
        yield _say_source(prospect.source, prospect.source.spread, prospect.aim)


def _say_curve(prospect: Prospect) -> str:
    """Return detectable differences in words, such as "1.9 points with 5 replicates in all, 1.3 with 10"."""
    measure = prospect.aim.measure
    unit = measure.unit_of_difference
    (n, first), *rest = prospect.curve
    later = [f", {format_difference(each, measure).removesuffix(unit)} with {more:,}" for more, each in rest]
    return f"{format_difference(first, measure)} with {n:,} replicates in all{''.join(later)}"


def _say_detectable(prospect: Prospect) -> str:
    aim, measure = prospect.aim, prospect.aim.measure
    if prospect.source.spread is None:
        return _say_bound(prospect)
    conditions = f"{POWER:.0%} power{_say_correction(aim)}; {_say_scope(prospect)}"
    if prospect.detectable is None:
        (n, detectable), *_ = prospect.curve
        return (
            f"under {MIN_REPLICATES} replicates no pair gets a verdict; {n} can show differences of "
            f"{format_difference(detectable, measure)} or more between two arms ({conditions})"
        )
    return (
        f"{aim.replicates} replicates can show differences of {format_difference(prospect.detectable, measure)} or "
        f"more{_say_range(prospect)} between two arms ({conditions})"
    )


def _say_correction(aim: Aim) -> str:
    pairs = "" if aim.num_pairs == 1 else f", corrected for {aim.num_pairs:,} pairs"
    if aim.look > 1:
        looks = f"look {aim.look} at the question"
        pairs = f"{pairs} and for {looks}" if pairs else f", corrected for {looks}"
    return f"{pairs}, a race's own test is stricter" if aim.is_race else pairs


def _say_bound(prospect: Prospect) -> str:
    aim = prospect.aim
    bound = ""
    if prospect.limit:
        bound = (
            f"; {aim.images} cannot show a difference under "
            f"{format_difference(prospect.limit, aim.measure)} if it is the same for every seed"
        )
    example = "0.5 points" if aim.measure.record.is_share else "0.05"
    accuracy = ", accuracy: 0.9" if aim.measure.record.counts_images else ""
    pilot = " or find out with bakeoff run --pilot 2" if aim.allows_pilot else ""
    return (
        f"nothing is known yet of how scores vary over seeds: declare it (expect: {{sd: {example}{accuracy}}})"
        f"{pilot}{bound}"
    )


def _say_range(prospect: Prospect) -> str:
    if prospect.detectable_range is None:
        return ""
    low, high = (format_difference(end, prospect.aim.measure) for end in prospect.detectable_range)
    return f" ({low.removesuffix(prospect.aim.measure.unit_of_difference)} to {high} at {LIKELY:.0%} confidence)"


def _say_scope(prospect: Prospect) -> str:
    aim = prospect.aim
    if aim.scope == "seeds":
        return "new seeds on these test images"
    if prospect.source.images_from == "nothing":
        return "new seeds; of new images nothing is known, so this is a lower bound"
    new = "images" if aim.num_grouped is None else "groups"
    return f"new seeds and new {new}: {aim.images} alone limit it to {format_difference(prospect.limit, aim.measure)}"


def _say_margin(prospect: Prospect) -> Iterator[str]:
    aim = prospect.aim
    if aim.margin is None or prospect.source.spread is None:
        return
    margin = format_difference(aim.margin, aim.measure)
    shown, equal = (_say_number(number) for number in (prospect.to_show, prospect.to_equate))
    if prospect.to_show is None and prospect.to_equate is None:
        yield f"a margin of {margin} cannot be settled by replicates alone{_say_limit(prospect)}"
    else:
        yield (
            f"a margin of {margin} needs {shown} to show a difference that large, and {equal} to show equal arms "
            f"equivalent{_say_limit(prospect)}"
        )


def _say_number(number: int | None) -> str:
    return "more than 1,000 replicates" if number is None else f"{number:,} replicates"


def _say_limit(prospect: Prospect) -> str:
    if prospect.aim.scope != "images" or not prospect.limit:
        return ""
    limit = format_difference(prospect.limit, prospect.aim.measure)
    return f"; to show less than {limit} takes more test images"


def _say_source(source: VarianceSource, spread: ExpectedSpread, aim: Aim) -> str:
    sd = f"the standard deviation of a difference over seeds is {format_difference(spread.sd, aim.measure)}"
    images = {
        "predictions": "the images' part is from stored predictions",
        "accuracy": "the images' part is from the accuracy",
        "nothing": "the images' part is unknown",
    }[source.images_from]
    basis = {
        "trials": f"from {source.num_trials:,} trials of this study",
        "earlier": f"from {source.num_trials:,} trials of the earlier study {source.study}, {source.split} scores",
        "pilot": f"from validation scores of {source.num_trials:,} trials of this study",
        "declared": "as declared by expect",
        "none": "",
    }[source.kind]
    return f"{sd}, {basis}{f'; {images}' if aim.scope == 'images' else ''}"


def group_blocks(prospects: Sequence[Prospect]) -> list[tuple[str, Prospect]]:
    """Return the blocks to be told in words, each with its label: those alike together, of many the two extremes."""
    alike: dict[tuple[str, ...], list[Prospect]] = {}
    for each in prospects:
        alike.setdefault((*describe_prospect(each), list_detectable(each)), []).append(each)
    groups = list(alike.values())
    if len(groups) > MAX_BLOCKS_IN_FULL:
        groups.sort(key=lambda group: group[0].curve[0][1] if group[0].curve else math.inf)
        groups = [groups[0], groups[-1]]
    return [("" if len(group) == len(prospects) else _label_blocks(group), group[0]) for group in groups]


def _label_blocks(group: Sequence[Prospect]) -> str:
    rest = "" if len(group) == 1 else f" and {len(group) - 1} more"
    return f"{group[0].block}{rest}: "


def list_detectable(prospect: Prospect) -> str:
    """Return detectable differences over replicates on one line, such as "3: 1.9, 5: 1.3, 10: 1.1 points"."""
    measure = prospect.aim.measure
    unit = measure.unit_of_difference
    values = ", ".join(
        f"{n}: {format_difference(difference, measure).removesuffix(unit)}" for n, difference in prospect.curve
    )
    return f"{values}{unit}" if values else ""


def warn_of_margin(prospects: Sequence[Prospect]) -> str:
    """Return one line on blocks whose margin cannot be settled as planned, with remedies; empty if there are none."""
    open_blocks = [each for each in prospects if not each.settles]
    if not open_blocks:
        return ""
    worst = min(open_blocks, key=lambda each: min(each.power_to_show or 0.0, each.power_to_equate or 0.0))
    aim = worst.aim
    assert aim.margin is not None, "without a margin all is settled"
    where = "" if len(prospects) == 1 else f" in {len(open_blocks)} of {len(prospects)} blocks (worst: {worst.block})"
    remedies = list(_list_remedies(worst))
    advice = f" {'Remedy' if len(remedies) == 1 else 'Remedies'}: {', or '.join(remedies)}." if remedies else ""
    if worst.margin_shown is not None:
        settled = format_difference(_round_up(worst.margin_shown), aim.measure)
        advice += f" As planned, a margin of {settled} would be settled."
    return (
        f"{aim.replicates} replicates are unlikely to settle the margin of {format_difference(aim.margin, aim.measure)}"
        f"{where}: a difference that large is shown in {whole_percent(worst.power_to_show or 0.0)}% of studies, equal "
        f"arms to be equivalent in {whole_percent(worst.power_to_equate or 0.0)}% ({POWER:.0%} is usual)."
        f"{advice}"
    )


def _list_remedies(prospect: Prospect) -> Iterator[str]:
    aim = prospect.aim
    if prospect.to_show is not None and prospect.to_equate is not None:
        yield f"{max(prospect.to_show, prospect.to_equate):,} replicates"
    if prospect.images_needed is not None and aim.num_images:
        yield f"{prospect.images_needed:,} {aim.unit} ({aim.num_images:,} now)"
    if prospect.both_needed is not None:
        replicates, images = prospect.both_needed
        yield f"{replicates:,} replicates and {images:,} {aim.unit} ({aim.num_images:,} now)"
    if prospect.suffices_with_baseline:
        yield "one baseline instead of all pairs (decide.against)"
