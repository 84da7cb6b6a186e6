"""Whether a study's metrics can be used on its images."""

from __future__ import annotations

from collections.abc import Mapping

from bakeoff.catalog.function_metric import check_function
from bakeoff.catalog.packages import list_monitored
from bakeoff.data.source import DataSource
from bakeoff.registry import bind
from bakeoff.stats.metrics import FUNCTION_METRIC, MetricError, find_metric
from bakeoff.study.plan import Plan


def check_metrics(plan: Plan, num_classes: Mapping[DataSource, int]) -> None:
    """Check before training that a study's metrics can tell arms apart on its images; call users' functions once.

    Raises:
        MetricError, NetworkError: a top-k accuracy that is always 1, or a function that cannot be used.
    """
    named = (
        (name, trial.data.source) for trial in plan.trials for name in (*trial.metrics, *list_monitored(trial.recipe))
    )
    for name, source in dict.fromkeys(named):
        record, number = find_metric(name), num_classes[source]
        if record.higher_is_better and record.is_share and bind(record.chance)(number) >= 1:
            raise MetricError(f"{name} is always 1 on the {number} classes of {source.label}: choose a smaller k.")
        function = FUNCTION_METRIC.fullmatch(name)
        if function is not None:
            check_function(function[1], number)
