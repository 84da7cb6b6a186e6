"""The driver has networks and weights tried out once each, and stops at what cannot be trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bakeoff.driver.context import RunContext
from bakeoff.driver.executors.base import Report, TaskLost
from bakeoff.driver.facts import open_datasets
from bakeoff.driver.preflight import check_networks
from bakeoff.driver.run import run_plan
from bakeoff.errors import NetworkError
from bakeoff.messages import CheckDone, CheckTask, Notice, Task, TaskDone
from bakeoff.study.plan import Plan
from bakeoff.workspace import Folders

MakePlan = Callable[..., Plan]


@pytest.fixture
def plan(make_plan: MakePlan) -> Plan:
    networks = ["timm:resnet18", "timm:resnet18x", {"name": "mlp", "units": [4]}]
    return make_plan(2, replicates=2, blocks=[{"network": networks}])


def refuse(task: Task, attempt: int = 0) -> Sequence[Report]:
    assert isinstance(task, CheckTask)
    name = task.members[0].recipe.network.name
    problem = "timm cannot make resnet18x." if name.endswith("x") else ""
    notice = Notice(task_id=task.check_id, text=f"trying {name}")
    return [notice, CheckDone(check_id=task.check_id, problem=problem), TaskDone(task_id=task.check_id)]


def test_each_network_is_tried_once_and_what_is_wrong_is_named(plan: Plan, script: Any) -> None:
    executor, said = script.Executor(refuse), list[str]()
    with pytest.raises(NetworkError) as caught:
        check_networks(plan.trials, open_datasets(plan.blocks, None), executor, say=said.append)
    assert [task.members[0].recipe.network.name for task in executor.submitted] == ["timm:resnet18", "timm:resnet18x"]
    assert said == ["trying timm:resnet18", "trying timm:resnet18x"]
    assert executor.num_prepared == len(plan.trials)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("block 'timm:resnet18x', arm '")
    assert str(caught.value).endswith(" resnet18x.")


def test_a_worker_that_is_lost_over_it_is_named(plan: Plan, script: Any) -> None:
    def lose(task: Any, attempt: int) -> Sequence[Report]:
        return [TaskLost(task_id=task.check_id, died=True, reason="the worker process died of SIGSEGV")]

    with pytest.raises(NetworkError, match="SIGSEGV"):
        check_networks(plan.trials, open_datasets(plan.blocks, None), script.Executor(lose), say=print)


def test_a_worker_that_was_killed_is_replaced(plan: Plan, script: Any) -> None:
    def lose_once(task: Any, attempt: int) -> Sequence[Report]:
        lost = TaskLost(task_id=task.check_id, died=True, reason="the worker process died of SIGKILL")
        return [CheckDone(check_id=task.check_id, problem=""), TaskDone(task_id=task.check_id)] if attempt else [lost]

    executor = script.Executor(lose_once)
    check_networks(plan.trials, open_datasets(plan.blocks, None), executor, say=print)
    assert len(executor.submitted) == 4


def test_nothing_is_trained_and_no_test_split_opened(plan: Plan, script: Any, folders: Folders) -> None:
    executor = script.Executor(refuse)
    with pytest.raises(NetworkError):
        run_plan(plan, RunContext(workspace=folders.root, executor=executor, observer=script.Watcher()))
    assert {type(task) for task in executor.submitted} == {CheckTask}
