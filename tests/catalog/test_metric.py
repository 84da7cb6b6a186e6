from __future__ import annotations

from pydantic import TypeAdapter

from bakeoff.catalog.metric import Metric, improvement
from bakeoff.stats.metrics import METRICS


def test_names_are_those_that_are_measured() -> None:
    assert TypeAdapter(Metric).json_schema()["enum"] == list(METRICS.names)


def test_improvement_goes_the_way_of_the_metric() -> None:
    for record in METRICS:
        sign = 1 if record.higher_is_better else -1
        assert improvement(record.name, 0.75, 0.5) == sign * 0.25
        assert improvement(record.name, 0.5, 0.75) == sign * -0.25
