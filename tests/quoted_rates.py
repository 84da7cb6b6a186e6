"""Simulated error rates that the documents quote in their text, and the rows of the result files they come from."""

from __future__ import annotations

from typing import Any

Quote = tuple[str, str, str, str, dict[str, Any]]
"""Page, a text with the lowest {0} and the highest {1} of a table's columns, and the rows it is about."""

LENT = "borrowed variance, "
LEAD_4, LEAD_1 = ({"lead, sd of one score": lead, "replicates": n} for lead, n in ((4.0, 3), (1.5, 10)))
SHORT, DESIGNS, POWER = "error-rates", "statistics-of-designs", "statistics-of-power"
COMMON = {"judged on": "common test set", "test images": 359}
WORST_FAIL = {"failed": "a's worst 30%"}
AT_RANDOM = {"failed": ("10% of both, at random", "30% of both, at random")}
STRAIGHT = {"errors": ("normal", "one arm 5x noisier", "t with 3 degrees of freedom", "one effect differs by seed")}
CROSSED = {"errors": "an interaction of the first two"}
DROPPED, CHANCE = "false winner, failures dropped", "false winner, failures chance level"
NORMAL_5 = {"scores": "normal", "replicates": 5, "family": "all 28 pairs"}
BARS = {"way": "mean +- sd"}
AT_2 = {"true difference": "2.07", "replicates": 5, "images": 359}
SHARED = "variance shared with validation"
QUOTED: list[Quote] = [
    (SHORT, "is called better in {0:.1f}% to {1:.1f}% of", "8 equal arms", "false winner, uncorrected", {}),
    (SHORT, "for all pairs it is {0:.1f}% to {1:.1f}%", "8 equal arms", "false winner", {}),
    (SHORT, "a false winner in at most {1:.1f}%", LENT + "equal arms", "moderated", {"arms": (4, 9, 20)}),
    (SHORT, "far away, it is up to {1:.1f}%", LENT + "some equal arms", "* x sd", {}),
    (SHORT, "against a baseline up to {1:.1f}%", LENT + "other families", "moderated", {}),
    (SHORT, "they miss in {1:.1f}% of studies", LENT + "intervals", "* x sd", {}),
    (SHORT, "found in {0:.1f}% of studies of 4 arms", LENT + "power", "moderated", LEAD_4 | {"arms": 4}),
    (SHORT, "of 4 arms, in {0:.1f}% of 9 and", LENT + "power", "moderated", LEAD_4 | {"arms": 9}),
    (SHORT, "of 9 and in {0:.1f}% of 20.", LENT + "power", "moderated", LEAD_4 | {"arms": 20}),
    (SHORT, "`paired` it is {1:.1f}%", LENT + "power", "paired", LEAD_4 | {"arms": (4, 9, 20)}),
    (SHORT, "{0:.1f}% (4 arms)", LENT + "power", "moderated", LEAD_1 | {"arms": 4}),
    (SHORT, "and {0:.1f}% (9)", LENT + "power", "moderated", LEAD_1 | {"arms": 9}),
    *(
        (SHORT, text, LENT + "power beside wild arms", way, LEAD_4 | {"others": "half of 10 x sd"})
        for text, way in (
            ("ordinary ones is found in {0:.1f}% (9 arms) or {1:.1f}% (4)", "moderated"),
            ("by `paired` it is {0:.1f}% or {1:.1f}%", "paired"),
        )
    ),
    (SHORT, "{0:.2f} to {1:.2f} times as large", "effects", "exaggerated, plain", {"true difference, sd": 1.0}),
    (SHORT, "come out at {0:.2f} to {1:.2f}", "effects", "corrected", {"true difference, sd": 1.0}),
    (SHORT, "found at all, up to {1:.2f} times", "effects", "exaggerated, plain", {"true difference, sd": 0.2}),
    (SHORT, "at up to {1:.2f} times their size", "effects", "corrected", {"true difference, sd": 0.2}),
    (SHORT, "3 replicates, up to {1:.2f} times", "effects in families", "corrected", {}),
    (SHORT, "was detected in {0:.1f}% to {1:.1f}%", "power, normal effects", "detected", {}),
    (SHORT, "truly needed in {0:.1f}% to {1:.1f}%", "replicates needed", "range holds it", {}),
    (SHORT, "seven others in {0:.1f}% to {1:.1f}%", "equivalence", "any false equivalent", {}),
    (SHORT, "borrowed variances in up to {1:.1f}%", LENT + "false equivalent", "* x sd", {}),
    (SHORT, "in up to {1:.1f}% where arms differ on", "equivalence without spread", "false", {}),
    (SHORT, "{0:.1f}% of the pairs", "equivalence", "true equivalents found", {"replicates": 10}),
    (SHORT, "{0:.1f}% at 20", "equivalence", "true equivalents found", {"replicates": 20}),
    (SHORT, "winner in up to {1:.1f}% of studies of two", "new images, equal arms", "false winner, before", {}),
    (SHORT, "images it is up to {1:.1f}%", "new images, equal arms", "false winner", {}),
    (SHORT, "and {0:.1f}% or more of the intervals hold", "new images, equal arms", "covers", {}),
    (SHORT, "intervals held in {0:.1f}% or more", "real images", "covers", {}),
    (SHORT, "instead of {0:.1f}%", "new images, power", "found, before", AT_2),
    (SHORT, "found in {0:.1f}% instead", "new images, power", "found", AT_2),
    (SHORT, "in up to {1:.1f}% of studies; judged", "groups, equal arms", "false winner, before", {}),
    (SHORT, "judged by groups it is up to {1:.1f}%", "groups, equal arms", "false winner", {}),
    (SHORT, "or fewer it is at most {1:.1f}%", "groups, equal arms", "false winner", {"groups": (6, 10, 20)}),
    (SHORT, "winner in {0:.1f}% to {1:.1f}% of studies, the", "real folds", "false winner, plain t", {}),
    (SHORT, "the corrected one in up to {1:.1f}%", "folds as assumed", "false winner", {}),
    (SHORT, "would name one in {0:.1f}% to {1:.1f}%", "a common test set", "false winner", COMMON),
    (
        SHORT,
        "a false winner in {0:.1f}% to {1:.1f}% of races",
        "racing 8 equal arms",
        "false winner, plain tests at every look",
        {},
    ),
    (SHORT, "own levels in {0:.1f}% to {1:.1f}%", "racing 8 equal arms", "false winner", {}),
    (SHORT, "1 sd takes {0:.1f}%", "racing against a fixed number", "runs, of 34", {"true difference, sd": 1.0}),
    (SHORT, "one of 2 sd {0:.1f}%", "racing against a fixed number", "runs, of 34", {"true difference, sd": 2.0}),
    (SHORT, "the exception: {1:.1f}%", "racing, not normal", "false winner, racing", {}),
    (SHORT, "Where variances are borrowed, it is up to {1:.1f}%", LENT + "races", "rise 0.5", {}),
    (SHORT, "in up to {1:.1f}% of studies, if nobody", "Looking again", "false, normal, unpaid", {}),
    (SHORT, "keeps count, and it is up to {1:.1f}%", "Looking again", "false, normal, paid", {}),
    (SHORT, "lead that would be found is found in {0:.1f}%", "Looking again", "found, d = 1.5, paid", {}),
    (SHORT, "in {1:.1f}% of studies; with `study`", "Many blocks", "decide.family: block", {}),
    (SHORT, "with `study` in {1:.1f}%", "Many blocks", "decide.family: study", {"blocks": 20}),
    (
        SHORT,
        "all found in {0:.1f}%",
        "screening",
        "all planted named",
        {"arms": 12, "errors": "normal", "replicates": 3, "planted": "3 of 2 sd"},
    ),
    (SHORT, "another one is named in at most {1:.1f}%", "screening", "another named", STRAIGHT),
    (SHORT, "then in up to {1:.1f}%", "screening", "another named", CROSSED),
    (SHORT, "a false main effect in up to {1:.1f}%", "full factorials", "false main effect, *", {}),
    (SHORT, "a false interaction in up to {1:.1f}%", "full factorials", "false interaction", {}),
    (SHORT, "on new images it is up to {1:.1f}%", "choices on new images", "false main effect", {}),
    (SHORT, "false winner in {0:.1f}% (5 replicates) to {1:.1f}% (20)", "failed replicates", DROPPED, WORST_FAIL),
    (SHORT, "does, in up to {1:.1f}%", "failed replicates", CHANCE, WORST_FAIL),
    (SHORT, "counting them makes false winners in up to {1:.1f}%", "failed replicates", CHANCE, AT_RANDOM),
    (SHORT, "the arm equivalent in {0:.1f}%", "rare collapses", "equivalent", {"replicates": 3}),
    (SHORT, "or better in {0:.1f}%", "rare collapses", "better", {"replicates": 3}),
    (SHORT, "`moderated` makes false winners in up to {1:.1f}%", "unpaired, equal arms", "moderated, false", {}),
    (SHORT, "`paired` (Welch) in up to {1:.1f}%", "unpaired, equal arms", "paired, false", {}),
    *(
        (SHORT, text, "runs to a verdict", "runs, median", {"arms": arms, "lead, sd": 4.0, "way": way})
        for text, arms, way in (
            ("takes {0:.0f} runs by borrowed variances", 4, "moderated, fixed"),
            ("variances and {0:.0f} by the arms' own", 4, "paired t, fixed"),
            ("one of nine arms {0:.0f} and", 9, "moderated, fixed"),
            ("and {0:.0f} ([table](error-rate-tables.md#time-to-a-verdict", 9, "paired t, fixed"),
            ("by itself, takes {0:.0f} and", 4, "moderated, race"),
            ("and {0:.0f}. A lead of 1 sd", 9, "moderated, race"),
        )
    ),
    (SHORT, "in {0:.1f}% and {1:.1f}% at 4 sd", "runs to a verdict", "answered", BARS | {"lead, sd": 4.0}),
    (SHORT, "in at most {1:.1f}% at 1 sd", "runs to a verdict", "answered", BARS | {"lead, sd": 1.0}),
    ("few-replicates", "(`paired`: up to {1:.1f}% with 3 and 10", "unpaired, equal arms", "paired, false", {}),
    ("statistics", "false winner ({0:.0f}% at 5", "8 equal arms", "false winner, uncorrected", NORMAL_5),
    ("verdicts", "in {0:.0f}% of studies of eight", "8 equal arms", "false winner, uncorrected", NORMAL_5),
    ("statistics", "equivalent in up to {1:.1f}%", "equivalence, margin by margin", "symmetric, up to", {}),
    (DESIGNS, "winner in {0:.0f}% to {1:.0f}% of [null", "real folds", "false winner, plain t", {}),
    (DESIGNS, "[{0:.0f}% to {1:.0f}% of studies]", "a common test set", "false winner", COMMON),
    (DESIGNS, "equal arm in {0:.0f}%, ", "failed replicates", DROPPED, WORST_FAIL | {"replicates": 5}),
    (DESIGNS, "and {1:.0f}% of studies with 5, 10 and 20", "failed replicates", DROPPED, WORST_FAIL),
    (
        DESIGNS,
        "in {0:.1f}% of studies even with Holm",
        "racing 8 equal arms",
        "false winner, plain tests at every look",
        {"scores": "normal", "replicates": "3 to 20"},
    ),
    (
        DESIGNS,
        "equivalent in {1:.1f}% and",
        "racing to equivalence",
        "called equivalent",
        {"true difference, sd": 0.5, "margin, sd": 0.5},
    ),
    (
        DESIGNS,
        "and {1:.1f}% of races",
        "racing to equivalence",
        "called equivalent",
        {"true difference, sd": 1.0, "margin, sd": 1.0},
    ),
    *(
        (POWER, text, "power, replicates chosen by a pilot", "false winner", {"arms": 2, SHARED: share})
        for text, share in (
            ("arms were {0:.1f}% to {1:.1f}% if half", "50.0%"),
            ("and {0:.1f}% to {1:.1f}% if all is", "100.0%"),
        )
    ),
]
