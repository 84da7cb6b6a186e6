"""Shares run from 0 to 1: a margin of 5 is 500 points, and nobody means that."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.errors import StudyError
from bakeoff.study.plan import expand, study_id
from bakeoff.study.schema import Study

FIELDS: dict[str, Any] = {"question": "?", "recipe": {"network": "mlp"}, "arms": [{"epochs": [1, 2]}]}


def find_problem(**fields: Any) -> str:
    with pytest.raises(StudyError) as caught:
        Study(**{**FIELDS, **fields})
    (problem,) = caught.value.problems
    return f"{problem.field}: {problem.message}"


@pytest.mark.parametrize("margin", [1, 1.0, 5, 0.5e3])
@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "macro_precision", "macro_recall"])
def test_a_margin_of_a_whole_share_is_refused_with_what_was_meant(metric: str, margin: float) -> None:
    found = find_problem(decide={"metric": metric, "margin": margin})
    assert found.startswith(f"decide.margin: given {margin:g}, but {metric} goes from 0 to 1")
    assert f"write {margin / 100:g}" in found


def test_a_margin_of_loss_may_be_any_size() -> None:
    assert Study(**FIELDS, decide={"metric": "loss", "margin": 5.0}).decide.margin == 5.0


@pytest.mark.parametrize(
    ("points", "share"), [("0.5 points", 0.005), ("0.7 points", 0.007), ("1 point", 0.01), (" 2points ", 0.02)]
)
def test_points_are_another_spelling_of_the_same_study(points: str, share: float) -> None:
    formatted = Study(**FIELDS, decide={"margin": points})
    plain = Study(**FIELDS, decide={"margin": share})
    assert formatted.decide.margin == share
    assert study_id(formatted) == study_id(plain)
    assert Study.model_validate(formatted.model_dump(mode="json")) == formatted


@pytest.mark.parametrize(
    ("decide", "message"),
    [
        ({"margin": "150 points"}, "decide.margin: given 150 points, allowed fewer than 100 points"),
        ({"margin": "100points "}, "decide.margin: given 100points, allowed fewer than 100 points"),
        ({"margin": "0 points"}, "decide.margin: given 0.0, allowed a number above 0."),
        ({"margin": "some points"}, "decide.margin: given 'some points', allowed a number."),
        ({"metric": "loss", "margin": "1 point"}, "decide.margin: loss does not go from 0 to 1"),
    ],
)
def test_what_is_no_margin_is_said(decide: dict[str, Any], message: str) -> None:
    assert find_problem(decide=decide).startswith(message)


def test_a_wide_margin_is_warned_of() -> None:
    def notes(**decide: Any) -> tuple[str, ...]:
        return expand(Study(**FIELDS, decide=decide)).notes

    assert notes(margin=0.25) == ("decide.margin is 25 points: arms that differ by less are called equivalent.",)
    assert notes(margin=0.2) == notes(margin=0.25, metric="loss") == notes() == ()


@pytest.mark.parametrize("field", ["early_stopping", "schedule"])
def test_an_improvement_is_a_share_too(field: str) -> None:
    def recipe(**settings: Any) -> dict[str, Any]:
        named = {"name": "plateau"} if field == "schedule" else {}
        return {"network": "mlp", field: {**named, "patience": 2, "min_delta": 1.0, **settings}}

    found = find_problem(recipe=recipe(monitor="accuracy"))
    assert found.startswith(f"recipe.{field}.min_delta: given 1, but accuracy goes from 0 to 1")
    assert Study(**{**FIELDS, "recipe": recipe(monitor="loss")})


@pytest.mark.parametrize("value", [97.2, -0.1])
def test_a_published_share_is_one(value: float) -> None:
    def published(metric: str) -> dict[str, Any]:
        return {"source": "me", "figures": [{"arm": "1", "metric": metric, "value": value}]}

    found = find_problem(published=published("accuracy"))
    assert found.startswith(f"published.figures.0.value: given {value:g}, but accuracy goes from 0 to 1")
    assert Study(**FIELDS, published=published("loss"))
