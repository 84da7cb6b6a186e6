from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from bakeoff.catalog.function_metric import check_function, contribute
from bakeoff.catalog.metric import Metric, improvement
from bakeoff.errors import BakeoffError
from bakeoff.stats.contributions import contribute as contribute_to
from bakeoff.stats.metrics import METRICS, MetricError, Predictions, find_metric, score_by

METRIC: TypeAdapter[str] = TypeAdapter(Metric)
COSTS = """
import numpy as np

def cost(labels, probabilities):
    return np.abs(labels - probabilities.argmax(1)).mean()

def fails(labels, probabilities):
    return [][0]

def none(labels, probabilities):
    return float("nan")
"""


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, which holds the module `own_costs`."""
    (tmp_path / "own_costs.py").write_text(COSTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "own_costs", raising=False)
    return tmp_path


def name_cost(function: str = "cost") -> str:
    return METRIC.validate_python({"function": f"own_costs:{function}", "higher_is_better": False, "chance": 3})


def test_editors_are_offered_the_names() -> None:
    assert METRIC.json_schema()["anyOf"][0]["enum"] == list(METRICS.names)


def test_improvement_goes_the_way_of_the_metric() -> None:
    for record in METRICS:
        sign = 1 if record.higher_is_better else -1
        assert improvement(record.name, 0.75, 0.5) == sign * 0.25
        assert improvement(record.name, 0.5, 0.75) == sign * -0.25


def test_top_k_accuracy_has_any_k() -> None:
    assert METRIC.validate_python({"name": "top_k", "k": 3}) == "top_3_accuracy"
    assert METRIC.validate_python("top_12_accuracy") == "top_12_accuracy"
    for wrong in ("top_1_accuracy", {"name": "top_k", "k": 1}, {"name": "top_k"}, "acuracy", 3):
        with pytest.raises(ValidationError):
            METRIC.validate_python(wrong)


def test_a_function_is_a_metric_known_by_its_code(in_folder: Path) -> None:
    name = name_cost()
    assert METRIC.validate_python(name) == name
    record = find_metric(name)
    assert (record.higher_is_better, record.always, record.column) == (False, False, f"own_costs_cost_{name[-17:-13]}")
    labels, probabilities = np.array([0, 1, 2, 0]), np.eye(3)[[0, 2, 2, 2]]
    assert score_by(name, probabilities, labels) == pytest.approx(0.75)
    (in_folder / "own_costs.py").write_text(f"{COSTS}# changed")
    assert name_cost() != name
    with pytest.raises(MetricError, match="code"):
        score_by(name.replace("code ", "code 0")[:-2] + ")", probabilities, labels)


def test_images_contribute_to_a_function_as_to_the_mean_that_it_is(in_folder: Path) -> None:
    rng = np.random.default_rng(0)
    labels, probabilities = rng.integers(0, 5, 40), rng.dirichlet(np.ones(5), 40)
    found = contribute_to(name_cost(), probabilities, labels)
    assert found is not None
    np.testing.assert_allclose(found, np.abs(labels - probabilities.argmax(1)), atol=1e-5)
    many = Predictions(np.full((2_001, 2), 0.5), np.zeros(2_001, dtype=int))
    assert contribute(many, "own_costs:cost", "unused") is None


def test_a_function_that_cannot_be_used_is_named_in_one_line(in_folder: Path) -> None:
    with pytest.raises(MetricError, match=r"own_costs:fails failed: IndexError"):
        check_function("own_costs:fails", 3)
    with pytest.raises(MetricError, match="own_costs:none returned nan"):
        check_function("own_costs:none", 3)
    with pytest.raises(BakeoffError, match="own_costs has no absent"):
        check_function("own_costs:absent", 3)
    with pytest.raises(ValidationError, match="no module nowhere"):
        METRIC.validate_python({"function": "nowhere:f", "higher_is_better": True, "chance": 0.0})
