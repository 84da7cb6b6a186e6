from __future__ import annotations

import io
import math
import re
from typing import Any

import pytest
from rich.console import Console

from bakeoff.driver.searches import SearchProgress
from bakeoff.report.live_table import describe_search_progress, tabulate_standing
from bakeoff.report.standing import RunStanding
from bakeoff.study.plan import Plan, expand
from bakeoff.study.schema import Study

ARMS = ("plain", "odd <b>[red]", "third")


def make_plan(arms: tuple[str, ...] = ARMS, metric: str = "accuracy", **fields: Any) -> Plan:
    document: dict[str, Any] = {
        "question": "Which?",
        "data": {"name": "digits"},
        "recipe": {"network": "mlp", "epochs": 10},
        "blocks": [{"small": {"batch_size": 32}, "large": {"batch_size": 64}}],
        "arms": [{arm: {"optimizer.learning_rate": 0.01 * (n + 1)} for n, arm in enumerate(arms)}],
        "replicates": 2,
        "decide": {"metric": metric},
        **fields,
    }
    document["recipe"]["optimizer"] = "sgd"
    return expand(Study.model_validate(document))


def see(standing: RunStanding, plan: Plan, state: Any, scores: dict[tuple[str, str, int], float]) -> None:
    for trial in plan.trials:
        score = scores.get((trial.block, trial.arm, trial.replicate))
        if score is not None:
            standing.see(trial, state=state, epoch=3, validation={"accuracy": score, "loss": 1 - score})


def show(rows: list[Any], width: int) -> list[str]:
    stream = io.StringIO()
    console = Console(width=width, force_terminal=True, color_system=None, file=stream)
    for row in rows:
        console.print(row)
    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())  # bold and dim
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def test_the_lead_compares_arms_on_the_same_seeds_and_images() -> None:
    """An arm with easy blocks alone has the best mean and is not ahead."""
    plan = make_plan(("good", "easy", "other"))
    standing = RunStanding(plan)
    scores = {("small", "good", 0): 0.6, ("small", "other", 0): 0.5}
    scores |= {("large", "good", 0): 0.95, ("large", "easy", 0): 0.94, ("large", "other", 0): 0.93}
    see(standing, plan, "done", scores)
    first, second, third = standing.rank()
    assert [first.arm, second.arm, third.arm] == ["good", "easy", "other"]
    assert first.lead == pytest.approx((0.05 + 0.01) / 2)
    assert second.lead == pytest.approx(0.0)
    assert second.mean == pytest.approx(0.94)
    assert first.mean == pytest.approx(0.775)
    assert (first.num_done, first.num_planned, first.epoch) == (2, 4, None)


@pytest.mark.parametrize(("metric", "best"), [("accuracy", 0.9), ("loss", pytest.approx(0.1))])
def test_less_loss_is_better(metric: str, best: float) -> None:
    plan = make_plan(("a", "b"), metric)
    standing = RunStanding(plan)
    see(standing, plan, "done", {("small", "a", 0): 0.7, ("small", "b", 0): 0.8, ("small", "b", 1): 0.9})
    first, second = standing.rank()
    assert (first.arm, first.best, second.arm) == ("b", best, "a")
    assert first.lead == pytest.approx(0.05)


def test_what_is_done_outweighs_what_still_trains() -> None:
    plan = make_plan(("a", "b"))
    standing = RunStanding(plan)
    see(standing, plan, "training", {("small", "a", 0): 0.2, ("small", "b", 0): 0.3})
    first = standing.rank()[0]
    assert (first.arm, first.mean, first.epoch, first.num_epochs) == ("b", 0.3, 3, 10)
    see(standing, plan, "done", {("large", "a", 0): 0.9, ("large", "b", 0): 0.8})
    first = standing.rank()[0]
    assert (first.arm, first.mean) == ("a", 0.9)
    assert first.lead == pytest.approx(0.05)


def test_a_failed_trial_has_no_score_and_a_candidate_no_place() -> None:
    plan = make_plan(("a", "b"))
    standing = RunStanding(plan)
    see(standing, plan, "training", {("small", "a", 0): math.nan, ("small", "b", 0): 0.3})
    assert all(each.lead is None for each in standing.rank())
    standing.see(plan.trials[0], state="diverged", epoch=0, validation={})
    (failed,) = [each for each in standing.rank() if each.arm == "a"]
    assert (failed.num_failed, failed.num_done, failed.mean, failed.epoch) == (1, 0, None, None)
    assert standing.rank()[-1] == failed


@pytest.mark.parametrize("width", [36, 40, 60, 80, 120])
def test_the_table_fits_every_width_and_shows_hostile_names_as_text(width: int) -> None:
    plan = make_plan()
    standing = RunStanding(plan)
    values = {(block, arm, 0): 0.9 + 0.01 * n for block in ("small", "large") for n, arm in enumerate(ARMS)}
    see(standing, plan, "done", values)
    lines = show(tabulate_standing(standing.rank(), standing.measure, width=width, most_rows=12), width)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("validation accuracy so far, best")
    assert "92.00%" in next(line for line in lines if "third" in line)
    assert "odd <b>[red]" in text
    assert "\x1b" not in text
    assert ("+1.00" in text) == (width >= 80)


def test_many_arms_are_capped() -> None:
    plan = make_plan(tuple(f"arm {number}" for number in range(30)))
    standing = RunStanding(plan)
    lines = show(tabulate_standing(standing.rank(), standing.measure, width=80, most_rows=5), 80)
    assert sum(line.startswith(" arm ") for line in lines) == 6  # with the head
    assert lines[-1] == "and 25 more arms"


def test_a_search_is_one_line() -> None:
    progress = SearchProgress(
        block="x\x1b",
        num_candidates=12,
        num_most=40,
        num_open=4,
        generation=3,
        objective="accuracy",
        best=0.961,
        best_label="candidate 7",
    )
    expected = r"search on x\x1b: 12 of 40 candidates, best accuracy 96.10% (candidate 7), generation 3, 4 open"
    assert describe_search_progress(progress) == expected
