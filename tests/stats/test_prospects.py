"""What is said of what a study can show."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bakeoff.stats.expected import ExpectedSpread
from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.prospect import Aim, Prospect, look_ahead
from bakeoff.stats.prospects import (
    Prospects,
    describe_more,
    describe_prospect,
    format_difference,
    group_blocks,
    list_detectable,
    warn_of_margin,
)
from bakeoff.stats.sources import VarianceSource

ACCURACY, LOSS = (Measure(find_metric(name), "test") for name in ("accuracy", "loss"))
SPREAD = ExpectedSpread(sd=0.006, images=0.06 / 2_000, num_images=2_000)
DECLARED = VarianceSource(kind="declared", spread=SPREAD, images_from="accuracy")


def aim(**fields: Any) -> Aim:
    values: dict[str, Any] = {"measure": ACCURACY, "replicates": 5, "level": 0.015, "num_pairs": 3, "num_images": 2_000}
    return Aim(**{**values, **fields})


def look(source: VarianceSource = DECLARED, block: str = "digits", **fields: Any) -> Prospect:
    return look_ahead(block, aim(**fields), source)


@pytest.mark.parametrize(
    ("difference", "measure", "text"),
    [
        (0.01903, ACCURACY, "1.9 points"),
        (0.0004, ACCURACY, "0.04 points"),
        (0.123, ACCURACY, "12 points"),
        (0.0351, LOSS, "0.035"),
    ],
)
def test_differences_have_two_digits(difference: float, measure: Measure, text: str) -> None:
    assert format_difference(difference, measure) == text


def test_sentences() -> None:
    prospect = look(margin=0.01)
    assert list(describe_prospect(prospect)) == [
        "5 replicates can show differences of 2.3 points or more between two arms (80% power, corrected for 3 pairs; "
        "new seeds and new images: 2,000 test images alone limit it to 1.8 points)",
        "a margin of 1 points cannot be settled by replicates alone; to show less than 1.8 points takes more test "
        "images",
        "the standard deviation of a difference over seeds is 0.6 points, as declared by expect; the images' part is "
        "from the accuracy",
    ]
    (first, second, *_) = describe_prospect(look(margin=0.02, scope="seeds", num_pairs=1, look=2, is_race=True))
    assert "80% power, corrected for look 2 at the question, a race's own test is stricter; new seeds on these" in first
    assert "needs 4 replicates to show a difference that large, and 4 replicates to show equal arms" in second
    assert "limit" not in first


def test_under_three_replicates_there_is_no_verdict() -> None:
    prospect = look(replicates=2, margin=0.01)
    assert prospect.detectable is None
    assert prospect.settles  # nothing to warn of that is not said: it has no verdict
    assert next(iter(describe_prospect(prospect))).startswith("under 3 replicates no pair gets a verdict; 3 can show")


def test_what_is_measured_has_a_range() -> None:
    ends = (replace(SPREAD, sd=0.003), replace(SPREAD, sd=0.02))
    source = VarianceSource(
        kind="pilot", spread=SPREAD, ends=ends, num_trials=6, split="validation", images_from="predictions", degrees=2.0
    )
    prospect = look(source)
    low, high = prospect.detectable_range or (0.0, 0.0)
    assert low < (prospect.detectable or 0.0) < high
    (first, last) = describe_prospect(prospect)
    assert " points at 80% confidence) between two arms" in first
    assert last.endswith(
        "from validation scores of 6 trials of this study; the images' part is from stored predictions"
    )


def test_nothing_known_names_both_remedies_and_the_bound() -> None:
    prospect = look(VarianceSource(kind="none"), margin=0.01)
    (line,) = describe_prospect(prospect)
    assert "expect: {sd: 0.5 points, accuracy: 0.9}" in line
    assert "--pilot 2" in line
    assert "2,000 test images cannot show a difference under 0.57 points if it is the same for every seed" in line
    assert list_detectable(prospect) == ""
    (line,) = describe_prospect(look(VarianceSource(kind="none"), measure=LOSS, allows_pilot=False))
    assert line.endswith("declare it (expect: {sd: 0.05})")


def test_a_margin_out_of_reach_has_remedies() -> None:
    assert warn_of_margin([look(margin=0.03), look(), look(VarianceSource(kind="none"), margin=0.001)]) == ""
    few = look(margin=0.02, baseline_level=0.022)
    assert few.to_show is not None
    line = warn_of_margin([few])
    assert line.startswith("5 replicates are unlikely to settle the margin of 2 points: a difference that large is")
    assert f"{max(few.to_show or 0, few.to_equate or 0)} replicates" in line
    assert f"{few.images_needed:,} test images (2,000 now)" in line
    assert few.margin_shown is not None
    assert few.margin_shown > 0.02
    settled = look(margin=few.margin_shown)
    assert settled.settles
    assert settled.images_needed is None
    assert "1 of 2 blocks (worst: digits)" in warn_of_margin([few, look(margin=0.03)])
    with_baseline = look(replicates=3, margin=0.022, level=0.05 / 36, baseline_level=0.05, num_pairs=36, scope="seeds")
    assert with_baseline.suffices_with_baseline
    assert "one baseline instead of all pairs (decide.against)" in warn_of_margin([with_baseline])
    assert Prospects(blocks=(few,), is_quick=True).warning == ""


def test_remedies_are_enough() -> None:
    prospect = look(margin=0.012)
    assert prospect.to_show is None
    assert prospect.images_needed is None
    replicates, images = prospect.both_needed or (0, 0)
    more = replace(DECLARED, spread=SPREAD.with_images(images))
    assert look(more, margin=0.012, replicates=replicates).settles
    assert not look(more, margin=0.012).settles


def test_blocks_alike_are_told_once_and_of_many_the_extremes() -> None:
    alike = [look(block=name) for name in "abcd"]
    assert group_blocks(alike) == [("", alike[0])]
    wide = look(replace(DECLARED, spread=replace(SPREAD, sd=0.02)), block="wide")
    assert [label for label, _ in group_blocks([*alike, wide])] == ["a and 3 more: ", "wide: "]
    several = [
        look(replace(DECLARED, spread=replace(SPREAD, sd=sd)), block=f"{sd:g}") for sd in (0.01, 0.04, 0.02, 0.03)
    ]
    assert [label for label, _ in group_blocks(several)] == ["0.01: ", "0.04: "]


def test_after_a_test_more_replicates_are_told_of_alone() -> None:
    prospect = look(replace(DECLARED, kind="trials", num_trials=10), num_tested=12, look=2, margin=0.02)
    assert [n for n, _ in prospect.curve] == [20, 24, 48]
    first, *rest = describe_more(prospect)
    assert first.startswith("another look can show differences of 1.9 points with 20 replicates in all, ")
    assert len(rest) == 2


def test_the_document_is_plain() -> None:
    for prospect in (look(margin=0.01), look(), look(VarianceSource(kind="none"), replicates=2)):
        document = json.loads(json.dumps(Prospects(blocks=(prospect,)).dump(), allow_nan=False))
        (block,) = document["blocks"]
        assert block["curve"] == [{"replicates": n, "detectable": each} for n, each in prospect.curve]
        assert block["source"]["kind"] == prospect.source.kind
        assert block["settles_margin"] is (None if prospect.aim.margin is None else prospect.settles)


def test_a_pilot_alone_is_never_advised() -> None:
    sure = replace(DECLARED, kind="pilot", spread=ExpectedSpread(sd=1e-4), num_trials=8, num_replicates=4)
    prospect = look(sure, margin=0.02)
    assert (prospect.to_show, prospect.to_equate) == (7, 7)
    declared = look(replace(sure, kind="declared"), margin=0.02)
    assert (declared.to_show, declared.to_equate) == (3, 3)
