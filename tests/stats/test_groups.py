"""Groups of arms: every arm against every arm, and averages against SciPy's paired t test."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from scipy import stats

from bakeoff.stats.family import adjust_holm
from bakeoff.stats.groups import dump_lead, judge_groups, write_lead
from bakeoff.stats.summary import Rules, StudyDesign, Summary, TrialResult, summarise

GROUPS = {"pretrained": ("p1", "p2"), "scratch": ("s1", "s2", "s3")}


def make_summary(
    means: Mapping[str, float], rules: Rules | None = None, *, sd: float = 0.002, without: Sequence[str] = ()
) -> Summary:
    rng = np.random.default_rng(1)
    results = [
        TrialResult(
            trial_id=f"{arm} {replicate}",
            block="digits",
            arm=arm,
            replicate=replicate,
            state="done",
            metrics={"test": {"accuracy": mean + float(rng.normal(0, sd))}},
            epochs_trained=1,
            best_epoch=None,
            seconds=1.0,
        )
        for arm, mean in means.items()
        for replicate in range(6)
        if arm not in without
    ]
    return summarise(results, StudyDesign(blocks=("digits",), arms=list(means)), rules)


APART = {"p1": 0.92, "p2": 0.95, "s1": 0.64, "s2": 0.7, "s3": 0.66, "other": 0.5}
MIXED = {**APART, "s2": 0.93}


def test_every_arm_leads_every_arm_if_all_pairs_are_settled() -> None:
    summary = make_summary(APART)
    (lead,) = judge_groups(summary, GROUPS)
    means = {arm.arm: np.mean(list(arm.scores.values())) for arm in summary.arms}
    leads = [means[p] - means[s] for p, s in itertools.product(*GROUPS.values())]
    assert (lead.leader, lead.least, lead.most) == ("pretrained", pytest.approx(min(leads)), pytest.approx(max(leads)))
    text = write_lead(lead, summary.measure, 0.95)
    assert text.startswith("Every arm of pretrained leads every arm of scratch, by 22.02 to 31.08")
    assert text.endswith(" points on these test images.")


def test_the_worse_group_may_stand_first() -> None:
    summary = make_summary(APART)
    (lead,) = judge_groups(summary, dict(reversed(GROUPS.items())))
    assert (lead.a, lead.leader) == ("scratch", "pretrained")
    assert write_lead(lead, summary.measure, 0.95).startswith(
        "Every arm of pretrained leads every arm of scratch, by 2"
    )


def test_else_the_averages_are_compared() -> None:
    summary = make_summary(MIXED)
    (lead,) = judge_groups(summary, GROUPS)
    assert lead.leader == ""
    text = write_lead(lead, summary.measure, 0.95)
    assert text.startswith("On average over its arms, pretrained leads scratch by 19.")
    assert "not every arm of " in text
    scores = {arm.arm: np.array(list(arm.scores.values())) for arm in summary.arms}
    averages = [np.mean([scores[arm] for arm in arms], axis=0) for arms in GROUPS.values()]
    test = stats.ttest_rel(*averages)
    assert lead.verdict is not None
    assert lead.verdict.difference == pytest.approx(np.mean(averages[0]) - np.mean(averages[1]))
    assert lead.verdict.p == pytest.approx(test.pvalue)
    assert lead.verdict.interval == pytest.approx(tuple(test.confidence_interval(0.95)))


def test_averages_of_all_groups_are_one_family() -> None:
    groups = {**GROUPS, "rest": ("other",)}
    leads = judge_groups(make_summary(MIXED, Rules(method="paired"), sd=0.2), groups)
    verdicts = [lead.verdict for lead in leads if lead.verdict is not None]
    assert [(v.a, v.b) for v in verdicts] == [("pretrained", "scratch"), ("pretrained", "rest"), ("scratch", "rest")]
    assert [v.p_adjusted for v in verdicts] == pytest.approx(adjust_holm([v.p or 1.0 for v in verdicts]))


def test_averages_that_are_not_told_apart_or_are_equivalent_say_so() -> None:
    level = dict.fromkeys(APART, 0.9)
    plain, margin = make_summary(level), make_summary(level, Rules(margin=0.02))
    assert "no difference of" in write_lead(judge_groups(plain, GROUPS)[0], plain.measure, 0.95)
    assert "are equivalent" in write_lead(judge_groups(margin, GROUPS)[0], margin.measure, 0.95)


def test_with_a_baseline_pairs_between_groups_are_judged_among_themselves() -> None:
    (lead,) = judge_groups(make_summary(APART, Rules(baseline="other")), GROUPS)
    assert lead.leader == "pretrained"


def test_an_arm_without_a_score_leaves_its_group_out() -> None:
    summary = make_summary(APART, without=("s3",))
    (lead,) = judge_groups(summary, GROUPS)
    assert (lead.verdict, lead.missing, lead.leader) == (None, ("s3",), "")
    assert write_lead(lead, summary.measure, 0.95) == "pretrained and scratch are not compared: s3 without a score."


def test_groups_name_arms_of_the_study() -> None:
    with pytest.raises(ValueError, match="no arm of the study"):
        judge_groups(make_summary(APART), {"a": ("p1",), "b": ("nobody",)})


def test_leads_as_plain_values() -> None:
    document = json.loads(json.dumps(dump_lead(judge_groups(make_summary(APART), GROUPS)[0]), allow_nan=False))
    assert document["leader"] == "pretrained"
    assert document["verdict"]["a"] == "pretrained"
