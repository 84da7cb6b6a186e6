from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from bakeoff.stats.measure import Measure, join_names, percent
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.summary import Rules, StudyDesign, Summary, TrialResult, summarise
from bakeoff.stats.wording import write_pairing

NOISE = np.array([0.0010, -0.0012, 0.0004, -0.0002, 0.0])
OTHER = np.array([-0.0006, 0.0011, 0.0007, -0.0012, 0.0])


def result(
    arm: str,
    replicate: int,
    value: float | None,
    *,
    block: str = "digits",
    split: str = "test",
    metric: str = "accuracy",
) -> TrialResult:
    return TrialResult(
        trial_id=f"{arm}{replicate}",
        block=block,
        arm=arm,
        replicate=replicate,
        state="failed" if value is None else "done",
        metrics={} if value is None else {split: {metric: float(value)}},
        epochs_trained=1,
        best_epoch=1,
        seconds=1.0,
    )


def answer(scores: dict[str, Sequence[float]], **options: Any) -> str:
    return summarise_scores(scores, **options).answers[0].sentence


def summarise_scores(
    scores: dict[str, Sequence[float]], block: str = "digits", metric: str = "accuracy", margin: float | None = None
) -> Summary:
    results = [
        result(arm, replicate, value, block=block, metric=metric)
        for arm, values in scores.items()
        for replicate, value in enumerate(values)
    ]
    return summarise(results, StudyDesign(blocks=[block], arms=list(scores)), Rules(metric=metric, margin=margin))


def test_clear_winner() -> None:
    scores = {"glorot_uniform": 0.972 + OTHER, "he_normal": 0.979 + NOISE, "random_normal": 0.968 - NOISE}
    sentence = answer(scores)
    assert "he_normal is better than glorot_uniform and random_normal " in sentence
    assert "97.9% against 97.2% and 96.8%" in sentence
    assert "none of 5 " in sentence
    assert "45%" in sentence


def test_clear_winner_over_many() -> None:
    scores = {f"arm{i}": 0.979 - 0.02 * i + np.roll(NOISE, i % 5) * (1 + i / 9) for i in range(6)}
    assert "arm0 is better than all 5 " in answer(scores)
    assert "97.9% against 87.9% to 95.9%" in answer(scores)


def test_no_winner_states_lead_and_interval() -> None:
    sentence = answer({"X": 0.9792 + NOISE, "Y": 0.9788 + OTHER})
    assert "no arm" in sentence
    assert "X (97.92% test accuracy) leads Y by 0.04 points (95% interval -0.1" in sentence


def test_partly() -> None:
    sentence = answer({"X": 0.979 + NOISE, "Y": 0.978 + OTHER, "Z": 0.940 - NOISE})
    assert sentence.index("97.9%") < sentence.index("better than Z (94.0%)") < sentence.index("not shown")
    assert "Y (97.8%): it leads Y by 0.10 points (95% interval" in sentence


def test_lead_that_looks_certain_only_alone_says_so() -> None:
    rivals = {f"Y{i}": 0.9770 - 0.0001 * i + np.roll(OTHER, i) for i in range(1, 4)}
    assert "better than Y1" in answer({"X": 0.9790 + OTHER, "Y1": rivals["Y1"]})
    assert "pair alone" in answer({"X": 0.9790 + OTHER, **rivals})


def test_lead_without_spread_says_why_it_is_not_enough() -> None:
    sentence = answer({"X": 0.9790 + NOISE, "Y": 0.9690 + NOISE})
    assert "leads Y by 1.00 points" in sentence
    assert "all 5 replicates" in sentence
    assert "interval" not in sentence


def test_equivalent_to_some_is_said_beside_the_doubt() -> None:
    scores = {"X": 0.979 + NOISE / 10, "Y": 0.9789 + OTHER / 10, "Z": 0.977 - 20 * NOISE}
    (found,) = summarise_scores(scores, margin=0.005).answers
    assert (found.best, found.equivalent, found.not_worse) == ("X", ("Y",), ("Y", "Z"))
    assert "leads Z by" in found.sentence
    assert "equivalent to Y (97.89%)" in found.sentence


def test_equivalent() -> None:
    scores = {"X": 0.979 + NOISE / 10, "Y": 0.979 + OTHER / 10, "Z": 0.979 - NOISE / 10}
    sentence = answer(scores, margin=0.005)
    assert "all arms are equivalent" in sentence
    assert "0.50 points" in sentence
    pair = {"X": 0.9791 + NOISE / 10, "Y": 0.979 + OTHER / 10}
    assert "X and Y are equivalent" in answer(pair, margin=0.005)


def test_loss_leads_downwards() -> None:
    sentence = answer({"X": 0.085 + OTHER * 10, "Y": 0.079 + NOISE * 10}, metric="loss")
    assert "Y (0.079 test loss) leads X by 0.0060 " in sentence
    low, high = re.findall(r"interval (-?[0-9.]+) to (-?[0-9.]+)", sentence)[0]
    assert (float(low) + float(high)) / 2 == pytest.approx(0.006, abs=0.001)


def test_single_arm_says_its_score() -> None:
    (found,) = summarise_scores({"X": 0.979 + NOISE}).answers
    assert (found.best, found.not_worse, found.worse) == ("X", (), ())
    assert "97.9%" in found.sentence
    assert " 5 replicates" in found.sentence


def test_arm_name_keeps_its_case_at_the_start() -> None:
    assert answer({"he_normal": 0.979 + NOISE, "b": 0.90 + OTHER}, block="").startswith("he_normal ")
    assert answer({"X": 0.979 + NOISE, "Y": 0.979 + NOISE}, block="").startswith("No arm ")


@pytest.mark.parametrize(
    ("metric", "value", "difference"), [("accuracy", "12.35%", "1.23 points"), ("loss", "0.1235", "0.0123")]
)
def test_figures(metric: str, value: str, difference: str) -> None:
    measure = Measure(find_metric(metric), "test")
    assert measure.value(0.12346) == value
    assert measure.distance(-0.01234) == difference


def test_signs() -> None:
    measure = Measure(find_metric("accuracy"), "test")
    assert [measure.signed(x) for x in (0.01, -0.01, 0.0, -0.000001)] == ["+1.00", "-1.00", "0.00", "0.00"]
    assert measure.interval((-0.001, 0.02)) == "-0.10 to 2.00"
    assert percent(0.95) == "95%"
    assert join_names(["a"]) == "a"
    assert join_names(["a", "b", "c"]) == "a, b and c"


def test_pairing_is_said_to_pay_only_where_it_does() -> None:
    shared = np.array([0.003, -0.002, 0.0, 0.004, -0.005])
    paired = summarise_scores({"X": 0.979 + shared + NOISE, "Y": 0.975 + shared + OTHER})
    correlation = paired.verdicts[0].correlation
    assert correlation is not None
    assert f" {correlation:.2f}" in write_pairing(paired.verdicts)
    assert write_pairing(paired.verdicts).endswith(f" {100 - 100 * (1 - correlation) ** 0.5:.0f}%.")
    apart = summarise_scores({"X": 0.979 + NOISE, "Y": 0.975 - NOISE, "Z": 0.97 + OTHER})
    correlations = sorted(v.correlation or 0.0 for v in apart.verdicts)
    assert f"3 pairs ({correlations[0]:.2f} to {correlations[-1]:.2f})" in write_pairing(apart.verdicts)
    assert write_pairing(apart.verdicts).endswith("nothing.")
    assert write_pairing(summarise_scores({"X": [0.9, 0.9], "Y": [0.8, 0.9]}).verdicts) == ""
    assert write_pairing([]) == ""


def test_validation_is_no_final_test_and_says_so() -> None:
    results = [
        result(arm, replicate, value, split="validation")
        for arm, values in {"X": 0.979 + NOISE, "Y": 0.940 + OTHER}.items()
        for replicate, value in enumerate(values)
    ]
    images = {result.trial_id: np.ones(50, dtype=bool) for result in results}
    summary = summarise(results, StudyDesign(blocks=["digits"], arms=["X", "Y"]), by_image=images)
    assert summary.verdicts[0].scope == "seeds"
    assert "these validation images" in summary.answers[0].sentence
    assert "no final test" in summary.answers[0].sentence


def test_better_and_better_by_more_than_the_margin_are_told_apart() -> None:
    pair = {"X": 0.9790 + NOISE, "Y": 0.9690 + OTHER}
    beyond, within = (summarise_scores(pair, margin=margin) for margin in (0.005, 0.0095))
    assert [each.verdicts[0].verdict for each in (beyond, within)] == ["better", "better"]
    assert [each.verdicts[0].beyond_margin for each in (beyond, within)] == [True, False]
    assert "lead is shown" in beyond.answers[0].sentence
    assert "lead is not shown" in within.answers[0].sentence
    three = {**pair, "Z": 0.9400 - NOISE}
    assert "0.95 points over Z (94.0%) only" in answer(three, margin=0.0095)
    # Of the rival that is not shown to be worse, nothing is said.
    partly = {"X": 0.9790 + NOISE, "Y": 0.9788 + OTHER, "Z": 0.9400 - NOISE}
    assert "lead over Z" in answer(partly, margin=0.005)


def test_an_arm_that_failed_in_whole_narrows_no_verdict_on_the_others() -> None:
    images = {
        f"{arm}{replicate}": np.arange(200) >= wrong + replicate
        for arm, wrong in {"X": 10, "Y": 60}.items()
        for replicate in range(3)
    }
    results = [result(name[0], int(name[1]), float(right.mean())) for name, right in images.items()]
    results += [result("Z", replicate, None) for replicate in range(3)]
    design = StudyDesign(blocks=["digits"], arms=["X", "Y", "Z"], num_classes={"digits": 10})
    summary = summarise(results, design, Rules(failed="exclude"), by_image=images)
    assert {verdict.scope for verdict in summary.verdicts} == {"images"}
    assert summary.answers[0].missing == ("Z",)
    assert "new images" in summary.answers[0].sentence
    assert "other images" not in summary.answers[0].sentence


def test_collapsed_replicates_are_counted_with_the_interval_of_their_rate() -> None:
    good = 0.979 + np.tile(NOISE, 2)
    sentence = answer({"X": good, "Y": good - 0.3 - np.tile(OTHER, 2)}, margin=0.005)
    assert "none of 10 " in sentence
    assert "26%" in sentence
    many = 0.979 + np.tile(NOISE, 8)
    one = np.where(np.arange(40) == 3, 0.1, many)
    sentence = answer({"X": one, "Y": one - 0.3 - np.tile(OTHER, 8)})
    # Clopper and Pearson: 1 of 40.
    assert "X in 1 of 40 " in sentence
    assert "0% to 13%" in sentence


def test_beside_an_arm_that_failed_it_is_said_whose_replicates_did_not_collapse() -> None:
    results = [result("X", number, 0.9 + noise / 100) for number, noise in enumerate(NOISE)]
    results += [result("Y", number, None) for number in range(len(NOISE))]
    design = StudyDesign(blocks=["digits"], arms=["X", "Y"], num_classes={"digits": 10})
    sentence = summarise(results, design).answers[0].sentence
    assert "replicates of X" in sentence
    assert "none of 5 " in sentence


def test_a_leader_that_beats_nobody_does_not_deny_what_others_were_shown_to_beat() -> None:
    """With Y better than Z, "no arm is shown to be better" was false."""
    spread = np.array([3.0, -3.0, 2.0, -2.0, 0.0]) / 100
    summary = summarise_scores({"X": 0.93 + spread, "Y": 0.92 + NOISE / 100, "Z": 0.90 + NOISE / 90})
    words = {(v.a, v.b): v.verdict for v in summary.verdicts}
    assert (words["X", "Y"], words["X", "Z"], words["Y", "Z"]) == ("inconclusive", "inconclusive", "better")
    assert "to be better" not in summary.answers[0].sentence
    assert "to be best" in summary.answers[0].sentence
