from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from bakeoff.stats.looks import LineLook
from bakeoff.stats.measure import Measure, whole_percent
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.results import Summary, TrialResult
from bakeoff.stats.sampling_error import SamplingError, describe_error
from bakeoff.stats.summary import Rules, StudyDesign, summarise
from bakeoff.stats.variance import Scope

ACCURACY = Measure(find_metric("accuracy"), "test")


def make_summary(
    a_RN: np.ndarray, b_RN: np.ndarray, looks: Sequence[LineLook] = (), scope: Scope = "images"
) -> Summary:
    arms = {"a": a_RN, "b": b_RN}
    results = [
        TrialResult(
            trial_id=f"{arm}{replicate}",
            block="d",
            arm=arm,
            replicate=replicate,
            state="done",
            metrics={"test": {"accuracy": float(row.mean())}},
            epochs_trained=1,
            best_epoch=1,
            seconds=1.0,
        )
        for arm, right_RN in arms.items()
        for replicate, row in enumerate(right_RN)
    ]
    by_image = {f"{arm}{r}": row for arm, right_RN in arms.items() for r, row in enumerate(right_RN)}
    design = StudyDesign(blocks=["d"], arms=["a", "b"])
    return summarise(results, design, Rules(scope=scope), by_image=by_image, looks=looks)


def explain(summary: Summary) -> SamplingError:
    found = describe_error(summary.verdicts[0], ACCURACY, summary)
    assert found is not None
    return found


def draw(seed_sd: float, image_sd: float, rest_sd: float, lead: float = 0.004) -> np.ndarray:
    rng = np.random.default_rng(0)
    d_RN = rng.normal(0, seed_sd, (5, 1)) + rng.normal(0, image_sd, 1_000) + rng.normal(0, rest_sd, (5, 1_000))
    return 0.9 + d_RN - d_RN.mean() + lead


def test_one_interval_and_it_is_the_verdict_s() -> None:
    summary = make_summary(draw(0.02, 0.2, 0.2), np.full((5, 1_000), 0.9))
    found, verdict = explain(summary), summary.verdicts[0]
    assert (found.interval, found.difference) == (verdict.interval, verdict.difference)
    assert found.sentence.count("interval ") == 1
    assert verdict.scope == "images"
    assert "new images" in found.sentence
    assert verdict.spread is not None
    assert found.standard_error == pytest.approx(sum(verdict.spread.parts) ** 0.5)


def test_the_share_of_the_images_states_its_own_uncertainty() -> None:
    for seed_sd, image_sd in ((0.0, 0.2), (0.05, 0.0)):
        found = explain(make_summary(draw(seed_sd, image_sd, 0.02), np.full((5, 1_000), 0.9)))
        assert found.image_share is not None
        assert found.image_share_interval is not None
        low, high = found.image_share_interval
        assert low <= found.image_share <= high
        assert (high < 0.1) == (image_sd == 0.0)


def test_few_images_that_agree_do_not_rule_out_the_images() -> None:
    right_RN = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 1, 1]], dtype=bool)
    found = explain(make_summary(right_RN, np.zeros((5, 3), dtype=bool)))
    assert found.image_share == 0
    assert found.image_share_interval is not None
    assert found.image_share_interval[0] == 0
    assert found.image_share_interval[1] > 0.5
    assert "(0% to 9" in found.sentence


def test_what_changed_nothing_leaves_no_share_to_bound() -> None:
    by_image_RN = np.tile(np.arange(200) < 30, (5, 1))
    by_seed_RN = np.tile(np.array([[True], [False], [False], [True], [False]]), 200)
    for right_RN, share, source, other in (
        (by_image_RN, 1, "test images", "seeds"),
        (by_seed_RN, 0, "seeds", "test images"),
    ):
        found = explain(make_summary(right_RN, np.zeros((5, 200), dtype=bool)))
        assert (found.image_share, found.image_share_interval) == (share, None)
        assert found.sentence.index(f"the {source}") < found.sentence.index(f"the {other} changed nothing")


def test_no_share_is_rounded_to_all_or_nothing() -> None:
    formatted = [whole_percent(share) for share in (0.0, 0.001, 0.02, 0.994, 0.996, 1.0)]
    assert formatted == ["0", "<1", "2", "99", ">99", "100"]


def test_the_interval_of_the_share_holds_the_truth() -> None:
    rng, held = np.random.default_rng(1), 0
    truth = (0.4**2 / 100) / (0.4**2 / 100 + 0.04**2 / 5 + 0.4**2 / 500)
    for _ in range(200):
        d_RN = rng.normal(0, 0.04, (5, 1)) + rng.normal(0, 0.4, 100) + rng.normal(0, 0.4, (5, 100))
        found = explain(make_summary(0.5 + d_RN, np.full((5, 100), 0.5)))
        assert found.image_share_interval is not None
        held += found.image_share_interval[0] <= truth <= found.image_share_interval[1]
    assert held / 200 > 0.91


def test_more_images_are_asked_for_where_replicates_cannot_help() -> None:
    found = explain(make_summary(draw(0.0, 0.2, 0.02, lead=0.01), np.full((5, 1_000), 0.9)))
    assert "up to 100 " in found.sentence
    assert found.images_needed is not None
    least, most = found.images_needed
    assert least is not None
    # At z 1.96 + 0.84 a difference of 0.01 + 1.28 se takes (2.8 x 0.2 / 0.018)^2 images, about 950; one of 0.01, 3,140.
    assert 1_000 < least < 1_400
    assert most is None or most > 3_140


def test_on_these_images_nothing_is_said_of_others() -> None:
    summary = make_summary(draw(0.02, 0.2, 0.02), np.full((5, 1_000), 0.9), scope="seeds")
    found = explain(summary)
    assert summary.verdicts[0].scope == "seeds"
    assert "new images" not in found.sentence
    assert (found.images, found.image_share_interval, found.images_needed) == (0, None, None)


def test_few_images_that_tell_the_arms_apart_are_said_to_be_few() -> None:
    right = np.ones((5, 300), dtype=bool)
    assert re.search(r"No image .* 300 images", explain(make_summary(right, right)).sentence)
    other = right.copy()
    other[:, 0] = False
    assert re.search(r"\b1 image of 300", explain(make_summary(right, other)).sentence)
    summary = make_summary(right, other)
    assert re.search(r"only 1 test image\b", summary.answers[0].sentence)


def test_without_contributions_there_is_nothing_to_say() -> None:
    summary = make_summary(draw(0.02, 0.2, 0.02), np.full((5, 1_000), 0.9))
    assert describe_error(replace(summary.verdicts[0], spread=None), ACCURACY, summary) is None


def test_images_needed_pay_for_the_next_look_as_replicates_do() -> None:
    d_RN, level_RN = draw(0.0, 0.2, 0.02, lead=0.01), np.full((5, 1_000), 0.9)
    looks = [
        LineLook(
            number=number, study_id="s", study="s", looked_at="", trials=frozenset(), replicates=frozenset(range(5))
        )
        for number in (1, 2)
    ]
    least, later = (explain(make_summary(d_RN, level_RN, looks=each)).images_needed for each in ((), looks))
    assert least is not None
    assert later is not None
    assert (later[0] or 10**6) > 1.5 * (least[0] or 0)


def test_what_is_no_remedy_beside_replicates_is_not_called_one_more() -> None:
    found = explain(make_summary(draw(0.02, 0.02, 0.02, lead=0.006), np.full((5, 1_000), 0.9)))
    assert "100 times" in found.sentence
    assert "not suffice" in found.sentence


def test_images_needed_are_those_for_the_whole_family() -> None:
    summary = make_summary(draw(0.001, 0.2, 0.02, lead=0.008), np.full((5, 1_000), 0.9))
    others = tuple(replace(summary.verdicts[0], block=f"d{number}") for number in range(20))
    alone, apart = (
        explain(each).images_needed
        for each in (summary, replace(summary, verdicts=summary.verdicts + others, family="block"))
    )
    together = explain(replace(summary, verdicts=summary.verdicts + others)).images_needed
    assert alone is not None
    assert alone == apart
    assert together is not None
    assert alone[0] is not None
    assert together[0] is not None
    assert together[0] > 1.3 * alone[0]


def test_the_number_of_images_at_hand_is_no_advice() -> None:
    summary = make_summary(draw(0.02, 0.2, 0.02, lead=0.014), np.full((5, 1_000), 0.9))
    found = explain(summary)
    assert found.images_needed == (1_100, None)
    assert "1,100" not in found.sentence
    assert "(1,000 now)" in found.sentence
