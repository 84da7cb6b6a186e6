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


NARROWED = " It says nothing of other images: what single images contribute is not stored for all trials."
CLEAR = " This holds for replicates that do not collapse: none of 5 did, but a rate of up to 45% is not ruled out."


def answer(scores: dict[str, Sequence[float]], **options: Any) -> str:
    return summarise_scores(scores, **options).answers[0].sentence


def summarise_scores(
    scores: dict[str, Sequence[float]], block: str = "digits", metric: str = "accuracy", margin: float | None = None
) -> Summary:
    results = [
        TrialResult(
            trial_id=f"{arm}{replicate}",
            block=block,
            arm=arm,
            replicate=replicate,
            state="done",
            metrics={"test": {metric: float(value)}},
            epochs_trained=1,
            best_epoch=1,
            seconds=1.0,
        )
        for arm, values in scores.items()
        for replicate, value in enumerate(values)
    ]
    return summarise(results, StudyDesign(blocks=[block], arms=list(scores)), Rules(metric=metric, margin=margin))


def test_clear_winner() -> None:
    scores = {"glorot_uniform": 0.972 + OTHER, "he_normal": 0.979 + NOISE, "random_normal": 0.968 - NOISE}
    assert answer(scores) == (
        "On digits, he_normal is better than glorot_uniform and random_normal on these test images "
        f"(test accuracy 97.9% against 97.2% and 96.8%).{NARROWED}{CLEAR}"
    )


def test_clear_winner_over_many() -> None:
    scores = {f"arm{i}": 0.979 - 0.02 * i + np.roll(NOISE, i % 5) * (1 + i / 9) for i in range(6)}
    assert answer(scores) == (
        "On digits, arm0 is better than all 5 other arms on these test images (test accuracy 97.9% against 87.9% to "
        f"95.9%).{NARROWED}{CLEAR}"
    )


def test_no_winner_states_lead_and_interval() -> None:
    sentence = answer({"X": 0.9792 + NOISE, "Y": 0.9788 + OTHER})
    assert sentence.startswith(
        "On digits, no arm is shown to be best on these test images: X (97.92% test accuracy) leads Y by "
    )
    assert "0.04 points (95% interval -0.1" in sentence


def test_partly() -> None:
    sentence = answer({"X": 0.979 + NOISE, "Y": 0.978 + OTHER, "Z": 0.940 - NOISE})
    assert sentence.startswith("On digits, X is ahead with 97.9% test accuracy. It is better than Z (94.0%) on ")
    assert "but not shown to be better than Y (97.8%): it leads Y by 0.10 points (95% interval" in sentence


def test_lead_that_looks_certain_only_alone_says_so() -> None:
    rivals = {f"Y{i}": 0.9770 - 0.0001 * i + np.roll(OTHER, i) for i in range(1, 4)}
    assert "X is better than Y1" in answer({"X": 0.9790 + OTHER, "Y1": rivals["Y1"]})
    assert "for this pair alone, but p " in answer({"X": 0.9790 + OTHER, **rivals})


def test_lead_without_spread_says_why_it_is_not_enough() -> None:
    sentence = answer({"X": 0.9790 + NOISE, "Y": 0.9690 + NOISE})
    assert "leads Y by 1.00 points (the same in all 5 replicates, so not testable by spread)" in sentence


def test_equivalent_to_some_is_said_beside_the_doubt() -> None:
    scores = {"X": 0.979 + NOISE / 10, "Y": 0.9789 + OTHER / 10, "Z": 0.977 - 20 * NOISE}
    sentence = answer(scores, margin=0.005)
    assert "leads Z by" in sentence
    assert "It is equivalent to Y (97.89%)." in sentence


def test_equivalent() -> None:
    scores = {"X": 0.979 + NOISE / 10, "Y": 0.979 + OTHER / 10, "Z": 0.979 - NOISE / 10}
    assert answer(scores, margin=0.005).startswith(
        "On digits, all arms are equivalent on these test images: within 0.50 points of the best, "
    )
    pair = {"X": 0.9791 + NOISE / 10, "Y": 0.979 + OTHER / 10}
    assert answer(pair, margin=0.005).startswith("On digits, X and Y are equivalent on these test images: within 0.50")


def test_loss_leads_downwards() -> None:
    sentence = answer({"X": 0.085 + OTHER * 10, "Y": 0.079 + NOISE * 10}, metric="loss")
    assert "Y (0.079 test loss) leads X by 0.0060 (95% interval -0.0" in sentence
    low, high = re.findall(r"interval (-?[0-9.]+) to (-?[0-9.]+)", sentence)[0]
    assert (float(low) + float(high)) / 2 == pytest.approx(0.006, abs=0.001)


def test_single_arm_says_its_score() -> None:
    assert answer({"X": 0.979 + NOISE}) == (
        "On digits, X reaches 97.9% test accuracy (mean of 5 replicates); there is nothing to compare it with."
    )


def test_arm_name_keeps_its_case_at_the_start() -> None:
    assert answer({"he_normal": 0.979 + NOISE, "b": 0.90 + OTHER}, block="").startswith("he_normal is better than b")
    assert answer({"X": 0.979 + NOISE, "Y": 0.979 + NOISE}, block="").startswith("No arm is shown")


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
    assert write_pairing(paired.verdicts) == (
        f"Over replicates, the scores of two arms correlate by {correlation:.2f}: pairing them narrows "
        f"intervals by {100 - 100 * (1 - correlation) ** 0.5:.0f}%."
    )
    apart = summarise_scores({"X": 0.979 + NOISE, "Y": 0.975 - NOISE, "Z": 0.97 + OTHER})
    correlations = sorted(v.correlation or 0.0 for v in apart.verdicts)
    assert write_pairing(apart.verdicts).endswith(
        f"the median of 3 pairs ({correlations[0]:.2f} to {correlations[-1]:.2f}): pairing such arms gains nothing."
    )
    assert write_pairing(summarise_scores({"X": [0.9, 0.9], "Y": [0.8, 0.9]}).verdicts) == ""
    assert write_pairing([]) == ""


def test_validation_is_no_final_test_and_says_so() -> None:
    results = [
        TrialResult(
            trial_id=f"{arm}{replicate}",
            block="digits",
            arm=arm,
            replicate=replicate,
            state="done",
            metrics={"validation": {"accuracy": float(value)}},
            epochs_trained=1,
            best_epoch=1,
            seconds=1.0,
        )
        for arm, values in {"X": 0.979 + NOISE, "Y": 0.940 + OTHER}.items()
        for replicate, value in enumerate(values)
    ]
    images = {result.trial_id: np.ones(50, dtype=bool) for result in results}
    summary = summarise(results, StudyDesign(blocks=["digits"], arms=["X", "Y"]), by_image=images)
    assert summary.verdicts[0].scope == "seeds"
    assert "X is better than Y on these validation images" in summary.answers[0].sentence
    assert "This is no final test: the validation images also chose which epochs to keep" in summary.answers[0].sentence


def test_better_and_better_by_more_than_the_margin_are_told_apart() -> None:
    pair = {"X": 0.9790 + NOISE, "Y": 0.9690 + OTHER}
    assert "The lead is shown to exceed the margin of 0.50 points." in answer(pair, margin=0.005)
    assert "The lead is not shown to exceed the margin of 0.95 points." in answer(pair, margin=0.0095)
    three = {**pair, "Z": 0.9400 - NOISE}
    assert "exceed the margin of 0.95 points over Z (94.0%) only." in answer(three, margin=0.0095)
    # Of the rival that is not shown to be worse, nothing is said.
    partly = {"X": 0.9790 + NOISE, "Y": 0.9788 + OTHER, "Z": 0.9400 - NOISE}
    assert "The lead over Z is shown to exceed the margin of 0.50 points." in answer(partly, margin=0.005)


def result(arm: str, replicate: int, value: float | None) -> TrialResult:
    return TrialResult(
        trial_id=f"{arm}{replicate}",
        block="digits",
        arm=arm,
        replicate=replicate,
        state="failed" if value is None else "done",
        metrics={} if value is None else {"test": {"accuracy": value}},
        epochs_trained=1,
        best_epoch=1,
        seconds=1.0,
    )


def test_an_arm_that_failed_in_whole_narrows_no_verdict_on_the_others() -> None:
    images = {
        f"{arm}{replicate}": np.arange(200) >= wrong + replicate
        for arm, wrong in {"X": 10, "Y": 60}.items()
        for replicate in range(3)
    }
    results = [result(name[0], int(name[1]), float(right.mean())) for name, right in images.items()]
    results += [result("Z", replicate, None) for replicate in range(3)]
    design = StudyDesign(blocks=["digits"], arms=["X", "Y", "Z"], num_classes={"digits": 10})
    sentence = summarise(results, design, Rules(failed="exclude"), by_image=images).answers[0].sentence
    assert "on new images of this kind" in sentence
    assert "nothing of other images" not in sentence
    assert "No trial of Z has a score." in sentence


def test_collapsed_replicates_are_counted_with_the_interval_of_their_rate() -> None:
    good = 0.979 + np.tile(NOISE, 2)
    sentence = answer({"X": good, "Y": good - 0.3 - np.tile(OTHER, 2)}, margin=0.005)
    assert (
        "This holds for replicates that do not collapse: none of 10 did, but a rate of up to 26% is not ruled out."
        in sentence
    )
    many = 0.979 + np.tile(NOISE, 8)
    one = np.where(np.arange(40) == 3, 0.1, many)
    sentence = answer({"X": one, "Y": one - 0.3 - np.tile(OTHER, 8)})
    # Clopper and Pearson: 1 of 40.
    assert "X in 1 of 40 (95% interval of the rate 0% to 13%)" in sentence


def test_beside_an_arm_that_failed_it_is_said_whose_replicates_did_not_collapse() -> None:
    results = [result("X", number, 0.9 + noise / 100) for number, noise in enumerate(NOISE)]
    results += [result("Y", number, None) for number in range(len(NOISE))]
    design = StudyDesign(blocks=["digits"], arms=["X", "Y"], num_classes={"digits": 10})
    sentence = summarise(results, design).answers[0].sentence
    assert "This holds for replicates of X that do not collapse: none of 5 did" in sentence


def test_a_leader_that_beats_nobody_does_not_deny_what_others_were_shown_to_beat() -> None:
    """With Y better than Z, "no arm is shown to be better" was false."""
    spread = np.array([3.0, -3.0, 2.0, -2.0, 0.0]) / 100
    summary = summarise_scores({"X": 0.93 + spread, "Y": 0.92 + NOISE / 100, "Z": 0.90 + NOISE / 90})
    words = {(v.a, v.b): v.verdict for v in summary.verdicts}
    assert (words["X", "Y"], words["X", "Z"], words["Y", "Z"]) == ("inconclusive", "inconclusive", "better")
    assert "shown to be better" not in summary.answers[0].sentence
    assert "no arm is shown to be best" in summary.answers[0].sentence
