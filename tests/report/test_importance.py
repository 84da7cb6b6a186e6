"""What mattered in a search: known truths are found, chance is told apart, too few candidates say nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import pytest

from bakeoff.ledger.rows import CandidateRow
from bakeoff.report.importance import LEAST_CANDIDATES, SearchImportance, describe_importance, measure_importance
from bakeoff.study.dimensions import Categorical, FloatRange, IntRange

SPACE = {
    "optimizer.learning_rate": FloatRange(low=1e-5, high=0.1, log=True),
    "epochs": IntRange(low=1, high=9),
    "optimizer": Categorical(values=("adam", {"name": "sgd", "momentum": 0.9})),
}


def make_row(
    number: int, changes: Mapping[str, Any], score: float, kind: str = "candidate", state: str = "done", same: str = ""
) -> CandidateRow:
    return CandidateRow(
        block="b",
        kind=kind,
        number=number,
        group=0,
        generation=0,
        parents=(),
        changes=changes,
        notes=(),
        trial_ids=(),
        state=state,
        reason="",
        scores={"accuracy": score},
        same_as=same,
        is_winner=False,
    )


def draw_rows(num_rows: int, kind: str = "candidate", sign: float = -1.0) -> list[CandidateRow]:
    """Return candidates whose score rests on the learning rate alone."""
    rng = np.random.default_rng(1)
    rows = []
    for number in range(num_rows):
        rate = 10 ** rng.uniform(-5, -1)
        optimizer = ("adam", {"name": "sgd", "momentum": 0.9})[rng.integers(2)]
        changes = {"optimizer.learning_rate": rate, "epochs": int(rng.integers(1, 10)), "optimizer": optimizer}
        rows.append(make_row(number, changes, sign * abs(math.log10(rate) + 3), kind))
    return rows


def need(found: SearchImportance | None) -> SearchImportance:
    assert found is not None
    return found


@pytest.mark.parametrize(("sign", "is_rising"), [(-1.0, True), (1.0, False)])
def test_what_decides_is_found_and_what_does_not_is_chance(sign: float, is_rising: bool) -> None:
    found = need(measure_importance(draw_rows(60, sign=sign), "accuracy", is_rising=is_rising, space=SPACE))
    first, *others = found.fields
    assert (first.field, first.is_shown, first.is_log) == ("optimizer.learning_rate", True, True)
    assert first.share > 0.6
    assert math.isclose(sum(field.share for field in found.fields), 1)
    assert not any(field.is_shown for field in others)
    assert (found.num_candidates, found.num_good, found.kind) == (60, 15, "candidate")
    assert set(others[0].values) | set(others[1].values) >= {"adam", "sgd(momentum=0.9)", 1.0, 9.0}
    sentence = describe_importance(found)
    assert sentence.startswith("Mattered more than chance would explain: optimizer.learning_rate (")
    assert "the best 15 of 60 candidates" in sentence


def test_importance_is_optunas_own() -> None:
    rows = draw_rows(40)
    found = need(measure_importance(rows, "accuracy", is_rising=True, space=SPACE))
    study = optuna.create_study(direction="minimize")
    rates = [row.changes["optimizer.learning_rate"] for row in rows]
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        "optimizer.learning_rate": optuna.distributions.FloatDistribution(min(rates), max(rates), log=True),
        "epochs": optuna.distributions.IntDistribution(1, 9),
        "optimizer": optuna.distributions.CategoricalDistribution((0, 1)),
    }
    for row in rows:
        params = {**row.changes, "optimizer": int(row.changes["optimizer"] != "adam")}
        trial = optuna.trial.create_trial(params=params, distributions=distributions, value=-row.scores["accuracy"])
        study.add_trial(trial)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
    expected = optuna.importance.get_param_importances(study, evaluator=evaluator)
    assert {field.field: pytest.approx(field.share) for field in found.fields} == expected


def test_too_few_or_too_alike_candidates_say_nothing() -> None:
    few = draw_rows(LEAST_CANDIDATES - 1)
    assert measure_importance(few, "accuracy", is_rising=True, space=SPACE) is None
    assert measure_importance((), "accuracy", is_rising=True) is None
    repeated = [make_row(99, few[0].changes, 0.5, same="candidate 1"), make_row(98, few[0].changes, math.nan)]
    assert measure_importance([*few, *repeated], "accuracy", is_rising=True, space=SPACE) is None
    late = [*draw_rows(9), *(make_row(n + 9, row.changes, 0, state="pruned") for n, row in enumerate(draw_rows(31)))]
    assert measure_importance(late, "accuracy", is_rising=True, space=SPACE) is None  # a quarter of 40 is ten
    level = [make_row(row.number, row.changes, 0.5) for row in draw_rows(40)]
    assert measure_importance(level, "accuracy", is_rising=True, space=SPACE) is None
    single = [make_row(n, {"epochs": n}, n / 40) for n in range(40)]
    assert measure_importance(single, "accuracy", is_rising=True, space=SPACE) is None


def test_the_random_baseline_is_measured_where_it_is_large_enough() -> None:
    rows = [*draw_rows(30), *draw_rows(25, "random")]
    found = need(measure_importance(rows, "accuracy", is_rising=True, space=SPACE))
    assert (found.kind, found.num_candidates, len(found.numbers)) == ("random", 25, 55)
    assert "random baseline, which are evenly distributed" in describe_importance(found)
    assert need(measure_importance(rows[:40], "accuracy", is_rising=True, space=SPACE)).kind == "candidate"


def test_those_given_up_early_count_as_worst_and_have_no_score() -> None:
    rows = draw_rows(60)
    middle = sorted(row.scores["accuracy"] for row in rows)[30]
    pruned = [
        row
        if row.scores["accuracy"] > middle
        else make_row(row.number, row.changes, 9.0, state="pruned")  # their values at a rung compare with nothing
        for row in rows
    ]
    found = need(measure_importance(pruned, "accuracy", is_rising=True, space=SPACE))
    plain = need(measure_importance(rows, "accuracy", is_rising=True, space=SPACE))
    assert [field.share for field in found.fields] == [field.share for field in plain.fields]
    assert found.scores.count(None) == 31


def test_fields_chosen_only_sometimes_take_part() -> None:
    rng = np.random.default_rng(2)
    rows = []
    for number in range(60):
        is_sgd = bool(rng.integers(2))
        changes: dict[str, Any] = {"optimizer": "sgd" if is_sgd else "adam", "epochs": int(rng.integers(1, 9))}
        if is_sgd:
            changes["optimizer.momentum"] = float(rng.uniform())
        rows.append(make_row(number, changes, float(is_sgd) + 0.01 * number))
    space = {
        "optimizer": Categorical(values=("sgd", "adam")),
        "epochs": IntRange(low=1, high=9),
        "optimizer.momentum": FloatRange(low=0, high=1, when={"optimizer": "sgd"}),
    }
    found = need(measure_importance(rows, "accuracy", is_rising=True, space=space))
    by_name = {field.field: field for field in found.fields}
    assert by_name["optimizer"].is_shown
    assert None in by_name["optimizer.momentum"].values


def test_genomes_are_told_apart_by_counts_and_means() -> None:
    rng = np.random.default_rng(3)
    rows = []
    for number in range(40):
        num_convolutions = int(rng.integers(1, 4))
        layers: list[dict[str, Any]] = [{"type": "conv", "filters": 8 * (n + 1), "kernel": 3} for n in range(3)]
        layers = [*layers[:num_convolutions], {"type": "pool"}, {"type": "dropout", "rate": float(rng.uniform(0, 0.5))}]
        epochs = int(rng.integers(1, 5))
        changes = {"network": {"layers": layers}, "optimizer": "adam", "epochs": epochs}
        rows.append(make_row(number, changes, float(epochs) + 0.001 * number))
    found = need(measure_importance(rows, "accuracy", is_rising=True))
    by_name = {field.field: field for field in found.fields}
    assert found.fields[0].field == "epochs"
    assert set(by_name["convolutions"].values) == {1.0, 2.0, 3.0}
    assert set(by_name["filters a convolution, mean"].values) == {8.0, 12.0, 16.0}
    assert "optimizer" not in by_name  # all the same
