"""The numeric mode: asked of a probe once, remembered, and float32 in doubt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bakeoff.data.source import DataSource
from bakeoff.execution.cohorts import group_trials
from bakeoff.execution.executor import Report
from bakeoff.execution.facts import ImageFacts
from bakeoff.execution.numeric import PROBE_MEMBERS, choose_numeric
from bakeoff.ledger.store import Ledger
from bakeoff.study.plan import Plan
from bakeoff.training.task import ProbeTask, TaskDone

Choose = Callable[..., tuple[str, list[ProbeTask]]]


@pytest.fixture
def choose(ledger: Ledger, facts: ImageFacts, script: Any) -> Choose:
    """Choose the mode for a plan; return it with the probes that were run."""

    def make(plan: Plan, behave: Any = script.succeed, *, trickle: bool = False) -> tuple[str, list[ProbeTask]]:
        executor = script.Executor(behave, trickle=trickle)
        datasets = {DataSource(name="digits"): facts}
        mode = choose_numeric(group_trials(plan.trials, datasets), datasets, ledger, executor)
        assert executor.poll(0.0) == []  # nothing of a probe is left for the driver to stumble over
        return mode, executor.submitted

    return make


@pytest.mark.parametrize(
    ("fast", "agrees", "mode"),
    [(0.5, True, "bfloat16"), (0.5, False, "float32"), (0.99, True, "float32"), (2.0, True, "float32")],
    ids=["faster", "wrong", "hardly faster", "slower"],
)
def test_bfloat16_has_to_be_faster_and_to_agree(
    choose: Choose, make_plan: Callable[..., Plan], script: Any, fast: float, agrees: bool, mode: str
) -> None:
    def behave(task: ProbeTask, attempt: int) -> Sequence[Report]:
        return [script.probe_done(task, fast=fast, agrees=agrees), TaskDone(task_id=task.probe_id)]

    assert choose(make_plan(2), behave, trickle=True)[0] == mode


def test_every_network_is_probed_once_with_few_members(choose: Choose, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(9, replicates=3, blocks=[{"batch_size": [16, 32]}])
    _, probes = choose(plan)
    assert [len(probe.members) for probe in probes] == [PROBE_MEMBERS] * 2
    assert {probe.members[0].recipe.batch_size for probe in probes} == {16, 32}


def test_one_network_that_disagrees_decides_for_all(
    choose: Choose, make_plan: Callable[..., Plan], script: Any
) -> None:
    def behave(task: ProbeTask, attempt: int) -> Sequence[Report]:
        agrees = task.members[0].recipe.batch_size == 16
        return [script.probe_done(task, agrees=agrees), TaskDone(task_id=task.probe_id)]

    assert choose(make_plan(2, blocks=[{"batch_size": [16, 32]}]), behave)[0] == "float32"


def test_the_sum_over_all_networks_decides(choose: Choose, make_plan: Callable[..., Plan], script: Any) -> None:
    def behave(task: ProbeTask, attempt: int) -> Sequence[Report]:
        fast = {16: 0.2, 32: 1.1}[task.members[0].recipe.batch_size]
        return [script.probe_done(task, fast=fast), TaskDone(task_id=task.probe_id)]

    assert choose(make_plan(2, blocks=[{"batch_size": [16, 32]}]), behave)[0] == "bfloat16"


def test_what_was_measured_is_not_measured_again(choose: Choose, make_plan: Callable[..., Plan]) -> None:
    first, probes = choose(make_plan(2))
    assert len(probes) == 1
    assert choose(make_plan(2)) == (first, [])
    _, probes = choose(make_plan(2, blocks=[{"batch_size": [32, 64]}]))
    assert [probe.members[0].recipe.batch_size for probe in probes] == [64]


def test_a_longer_study_needs_no_new_probe(choose: Choose, make_plan: Callable[..., Plan]) -> None:
    choose(make_plan(2))
    assert choose(make_plan(2, replicates=4, recipe={"epochs": 9}))[1] == []


@pytest.mark.parametrize("died", [True, False])
def test_a_lost_probe_means_float32(
    choose: Choose, make_plan: Callable[..., Plan], ledger: Ledger, lose: Any, died: bool
) -> None:
    mode, probes = choose(make_plan(2), lambda task, attempt: lose(task, died=died, reason="boom"))
    assert mode == "float32"
    assert len(probes) == 1
    assert ledger.connection.execute("SELECT kind, message FROM incidents").fetchall() == [("error", "probe: boom")]
