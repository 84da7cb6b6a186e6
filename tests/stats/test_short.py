"""The verdict of a study in a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from bakeoff.stats.results import TrialResult
from bakeoff.stats.short import write_short
from bakeoff.stats.summary import Rules, StudyDesign, summarise

GOOD, FAIR, POOR = [0.980, 0.978, 0.981, 0.979], [0.970, 0.969, 0.970, 0.970], [0.930, 0.927, 0.932, 0.928]
NOISY = [0.99, 0.95, 0.985, 0.96]


def shorten(blocks: Mapping[str, Mapping[str, Sequence[float]]], split: str = "test", **rules: Any) -> str:
    results = [
        TrialResult(
            trial_id=f"{block}-{arm}-{replicate}",
            block=block,
            arm=arm,
            replicate=replicate,
            state="done",
            metrics={"validation": {"accuracy": score}, split: {"accuracy": score}},
            epochs_trained=1,
            best_epoch=1,
            seconds=1.0,
        )
        for block, arms in blocks.items()
        for arm, scores in arms.items()
        for replicate, score in enumerate(scores)
    ]
    arms = list(dict.fromkeys(arm for own in blocks.values() for arm in own))
    return write_short(summarise(results, StudyDesign(blocks=list(blocks), arms=arms), Rules(**rules)))


@pytest.mark.parametrize(
    ("arms", "rules", "expected"),
    [
        ({"adam": GOOD, "sgd": POOR}, {}, "adam better than sgd"),
        ({"adam": GOOD, "sgd": NOISY}, {}, "adam or sgd: not settled"),
        ({"adam": GOOD, "sgd": NOISY, "lion": POOR}, {}, "adam or sgd, 1 other worse"),
        ({"adam": GOOD, "sgd": NOISY, "lion": GOOD[::-1]}, {}, "any of the 3 arms"),
        ({"adam": GOOD, "sgd": [0.979, 0.980, 0.979, 0.980]}, {"margin": 0.05}, "both equivalent"),
        ({"adam": GOOD, "a": POOR, "b": POOR[::-1], "c": FAIR, "d": FAIR[::-1]}, {}, "adam better than all 4 others"),
        ({"adam": GOOD}, {}, "nothing to compare"),
        ({"adam": GOOD[:2], "sgd": POOR[:2]}, {}, "no verdict: fewer than 3 replicates"),
        ({"adam": [], "sgd": []}, {}, "no trial has a score"),
        ({"sgd": FAIR, "adam": GOOD, "lion": NOISY}, {"baseline": "sgd"}, "adam better than sgd"),
        ({"sgd": GOOD, "adam": FAIR, "lion": POOR}, {"baseline": "sgd"}, "sgd better than adam and lion"),
        ({"sgd": GOOD, "adam": NOISY}, {"baseline": "sgd"}, "none shown to be better than sgd"),
    ],
)
def test_one_block(arms: dict[str, list[float]], rules: dict[str, Any], expected: str) -> None:
    assert shorten({"digits": arms}, **rules) == expected


def test_scores_that_chose_the_epochs_are_named() -> None:
    assert shorten({"digits": {"adam": GOOD, "sgd": POOR}}, split="validation").endswith("(validation only)")


def test_blocks_that_agree_and_blocks_that_do_not() -> None:
    first = {"adam": GOOD, "sgd": POOR}
    assert shorten({"a": first, "b": first}) == "adam better than sgd in both blocks"
    assert shorten({"a": first, "b": {"adam": POOR, "sgd": GOOD}}).startswith("differs by block")
    assert shorten({"a": first, "b": {"adam": GOOD, "sgd": NOISY}}) == "among the best in both blocks: adam"
    baseline = {"baseline": "sgd"}
    assert shorten({"a": first, "b": {"adam": NOISY, "sgd": GOOD}}, **baseline) == "better than sgd: adam in 1 of 2"
