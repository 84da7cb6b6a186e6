"""Estimates rest on steps timed by a worker, kept for the next time; a plan of weeks says what takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bakeoff.data.source import DataSource
from bakeoff.driver import estimate
from bakeoff.driver.devices import CPU_DEVICE
from bakeoff.driver.estimate import estimate_plan
from bakeoff.driver.executors.base import Report, TaskLost
from bakeoff.driver.facts import ImageFacts
from bakeoff.driver.timing import StepTime
from bakeoff.errors import DataError, NetworkError
from bakeoff.messages import CheckDone, CheckTask, TaskDone, TimingDone, TimingTask, task_id
from bakeoff.study.plan import Plan

MakePlan = Callable[..., Plan]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: Any) -> Callable[..., Any]:
    """Estimate a plan whose steps take `seconds`; return the estimate and the tasks that a worker was given."""
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))

    def make(plan: Plan, seconds: float | None = 0.5, problem: str = "", **options: Any) -> tuple[Any, list[Any]]:
        def behave(task: Any, attempt: int) -> Sequence[Report]:
            if isinstance(task, CheckTask):
                return [CheckDone(check_id=task.check_id, problem=problem), TaskDone(task_id=task.check_id)]
            assert isinstance(task, TimingTask)
            if seconds is None:
                return [TaskLost(task_id=task_id(task), died=True, reason="died")]
            count = len(task.members)
            done = TimingDone(
                timing_id=task.timing_id,
                seconds_per_step=seconds * (1 + 0.5 * (count - 1)),
                seconds_alone=seconds,
                num_members=count,
            )
            return [done, TaskDone(task_id=task.timing_id)]

        executor = script.Executor(behave)
        monkeypatch.setattr(estimate, "LocalExecutor", lambda *arguments: executor)
        found = estimate_plan(plan, 1, None, CPU_DEVICE, probe=True, **options)
        return found, executor.submitted

    return make


def test_a_timed_step_makes_the_estimate_and_is_kept(ask: Any, make_plan: MakePlan) -> None:
    plan = make_plan(3, recipe={"epochs": 10, "batch_size": 100})
    said: list[str] = []
    found, tasks = ask(plan, say=said.append)
    assert [len(task.members) for task in tasks] == [3]
    assert found.is_measured
    # digits: of 1,437 images 1,293 train, in 13 steps; three members take 1.0 s a step; evaluation a third of that.
    steps = 10 * (13 + 144 / 100 / 3)
    assert found.seconds == pytest.approx(steps * 1.0 + estimate.START_SECONDS)
    least, most = found.range_seconds
    assert least < found.seconds < most
    assert ["mlp" in line for line in said] == [True]
    again, tasks = ask(plan, seconds=99.0, say=said.append)
    assert (tasks, again.seconds, len(said)) == ([], found.seconds, 1)


def test_what_cannot_be_timed_is_a_guess(ask: Any, make_plan: MakePlan) -> None:
    found, _ = ask(make_plan(2), seconds=None)
    assert not found.is_measured
    assert found.range_seconds[1] > 5 * found.range_seconds[0] > 0


def test_what_nothing_else_tells_the_cost_of_is_timed_first(ask: Any, make_plan: MakePlan) -> None:
    networks = [{"name": "mlp", "units": [8]}, "timm:resnet18", "torchvision:resnet18"]
    found, tasks = ask(make_plan(1, blocks=[{"network": networks}]))
    timed = [task.members[0].recipe.network.name for task in tasks if isinstance(task, TimingTask)]
    assert timed == ["timm:resnet18", "torchvision:resnet18", "mlp"]
    assert not any("not included" in note for note in found.notes)


def test_a_plan_of_weeks_says_what_takes_them(ask: Any, make_plan: MakePlan) -> None:
    plan = make_plan(1, blocks=[{"short": {"epochs": 10}, "long": {"epochs": 2_000}}])
    found, _ = ask(plan, seconds=30.0)
    (note,) = (note for note in found.notes if "100%" in note)
    assert note.index("'long' 100%") < note.index("'short' 0%")
    assert "replicates or epochs" in note
    assert not any("%" in note for note in ask(make_plan(1))[0].notes)


def test_what_cannot_be_built_is_an_error(ask: Any, make_plan: MakePlan) -> None:
    with pytest.raises(NetworkError, match="no network"):
        ask(make_plan(1, blocks=[{"network": ["timm:resnet18x"]}]), problem="no network.")


def test_images_are_looked_at(ask: Any, make_plan: MakePlan, tmp_path: Path) -> None:
    for number in range(4):
        for name in ("cat", "dog"):
            (tmp_path / "pets" / name).mkdir(parents=True, exist_ok=True)
            Image.new("L", (6, 6)).save(tmp_path / "pets" / name / f"{number}.png")
    plan = make_plan(2, data={"folder": str(tmp_path / "pets")})
    found, tasks = ask(plan)
    assert (found.num_cohorts, tasks[0].shape_HWC) == (1, (6, 6, 1))
    for number in range(1, 4):
        (tmp_path / "pets/dog" / f"{number}.png").unlink()
    with pytest.raises(DataError, match=r"'dog' .*one image"):
        ask(plan)
    with pytest.raises(DataError, match="no folder"):
        ask(make_plan(1, data={"folder": str(tmp_path / "none")}))


def test_more_members_take_more_but_never_longer_than_one_by_one() -> None:
    step = StepTime(fused=2.0, alone=1.0, num_members=3)
    assert [step.of(count) for count in (1, 3, 5)] == [1.0, 2.0, 3.0]
    assert StepTime(fused=9.0, alone=1.0, num_members=3).of(3) == 3.0
    assert StepTime(fused=1.0, alone=1.0, num_members=1).of(1) == 1.0


def test_a_frozen_body_counts_once_for_all_images_and_once_for_every_draw(ask: Any, make_plan: MakePlan) -> None:
    def measure(replicates: int, **transfer: Any) -> float:
        recipe = {
            "epochs": 10,
            "batch_size": 100,
            "transfer": {"weights": "imagenet", "freeze": "always", **transfer},
            "network": "torchvision:resnet18",
            "augmentation": ["horizontal_flip"] if transfer else [],
        }
        found, _ = ask(make_plan(3, replicates, recipe=recipe))
        return float(found.seconds)

    # A step of 100 images takes 0.5 s, the second replicate's heads 13 steps an epoch.
    heads = 10 * 13 * (estimate.STEP_SECONDS + 3 * estimate.MEMBER_STEP_SECONDS)
    assert measure(2) == pytest.approx(measure(1) + heads, abs=1e-6)
    facts = ImageFacts.of_source(DataSource(name="digits"))
    assert facts is not None
    draws = 4 * facts.count_train(make_plan(1).trials[0]) / 100 * 0.5
    assert measure(1, feature_draws=4) == pytest.approx(measure(1) + draws, abs=1e-6)
    assert measure(2, feature_draws=4) == pytest.approx(measure(2) + 2 * draws, abs=1e-6)
    assert measure(1, feature_draws=40) == pytest.approx(measure(1) + 10 / 4 * draws, abs=1e-6)
