"""Running a plan: what is locked, chosen, registered, trained and examined, with an executor that follows a script."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from bakeoff.driver.context import RunContext
from bakeoff.driver.devices import Device
from bakeoff.driver.executors.base import GOES_ON, Report
from bakeoff.driver.run import RunCounts, run_plan
from bakeoff.errors import WorkspaceError
from bakeoff.ledger.read import StudyRecord, open_reading, read_study
from bakeoff.messages import CohortTask, FinalTestTask, ProbeTask, TaskDone, TrialFailed
from bakeoff.report.gather import gather_report
from bakeoff.study.plan import Plan
from bakeoff.workspace import Folders


@pytest.fixture
def go(folders: Folders, script: Any) -> Callable[..., Any]:
    """Run a plan; return the counts, the submitted tasks and the observer."""

    def make(plan: Plan, behave: Any = script.succeed, **options: Any) -> tuple[RunCounts, list[Any], Any]:
        executor, watcher = script.Executor(behave), options.pop("watcher", None) or script.Watcher()
        counts = run_plan(
            plan,
            RunContext(
                workspace=options.pop("workspace", folders.root),
                executor=executor,
                observer=watcher,
                command="bakeoff run tiny",
                **options,
            ),
        )
        return counts, executor.submitted, watcher

    return make


def kinds(tasks: Sequence[object]) -> list[str]:
    return [type(task).__name__.removesuffix("Task") for task in tasks]


def read(folders: Folders, counts: RunCounts) -> StudyRecord:
    with open_reading(folders) as connection:
        return read_study(connection, counts.study_id)


def test_a_study_is_trained_examined_and_on_record(go: Any, make_plan: Callable[..., Plan], folders: Folders) -> None:
    counts, tasks, watcher = go(make_plan(3, replicates=2))
    assert kinds(tasks) == ["Cohort", "Cohort", "FinalTest", "FinalTest"]
    assert (counts.num_reused, counts.final_test_complete) == (0, True)
    assert watcher.started["trials"] == 6
    record = read(folders, counts)
    assert (record.numeric, record.command, record.num_planned) == ("float32", "bakeoff run tiny", 6)
    assert [result.state for result in record.results] == ["done"] * 6
    assert record.num_tested == 6
    assert record.seconds > 0


def test_arms_that_are_one_training_are_named_first_and_not_judged(
    go: Any, make_plan: Callable[..., Plan], folders: Folders
) -> None:
    plan = make_plan(arms=[{"initializer": ["he_normal", "orthogonal"]}, {"batch_size": [16, 32]}], replicates=3)
    counts, _, watcher = go(plan)
    *said, final_test = watcher.messages
    for size, text in zip((16, 32), said, strict=True):
        assert text.startswith(f"digits: arms 'he_normal / {size}' and 'orthogonal / {size}' ")
    assert final_test.startswith("final test: ")
    report = gather_report(counts.study_id, folders)
    pairs = [(verdict.a, verdict.b) for verdict in report.summary.verdicts]
    assert len(pairs) == 6 - 2
    assert not {("he_normal / 16", "orthogonal / 16"), ("he_normal / 32", "orthogonal / 32")} & set(pairs)
    assert set(said) <= set(report.notes)


def test_arms_of_one_recipe_share_their_trials_and_are_not_judged(
    go: Any, make_plan: Callable[..., Plan], folders: Folders
) -> None:
    counts, *_ = go(make_plan(arms=[{"a": {}, "b": {"batch_size": 32}}], replicates=3))
    report = gather_report(counts.study_id, folders)
    assert report.summary.verdicts == ()
    assert any("'a' and 'b'" in note and "one recipe" in note for note in report.notes)


def test_again_there_is_nothing_to_do(go: Any, make_plan: Callable[..., Plan]) -> None:
    go(make_plan(3))
    counts, tasks, watcher = go(make_plan(3))
    assert tasks == []
    assert (counts.num_reused, counts.final_test_complete) == (3, True)
    assert watcher.started == {"trials": 0, "images": 0, "reused": 3}


def test_a_larger_study_reuses_what_it_shares(go: Any, make_plan: Callable[..., Plan]) -> None:
    go(make_plan(2, replicates=2))
    counts, tasks, _ = go(make_plan(3, replicates=3))
    assert counts.num_reused == 4
    trained = [len(task.members) for task in tasks if isinstance(task, CohortTask)]
    assert sorted(trained) == [1, 1, 3]


def test_without_an_exam_the_test_split_stays_closed_until_one_is_held(
    go: Any, make_plan: Callable[..., Plan], folders: Folders
) -> None:
    counts, tasks, _ = go(make_plan(2), final_test=False)
    assert kinds(tasks) == ["Cohort"]
    assert not counts.final_test_complete
    assert read(folders, counts).final_tests == ()
    counts, tasks, _ = go(make_plan(2))
    assert kinds(tasks) == ["FinalTest"]
    assert len(read(folders, counts).final_tests) == 1


def test_what_failed_is_not_examined(go: Any, make_plan: Callable[..., Plan], script: Any) -> None:
    def behave(task: Any, attempt: int) -> Sequence[Report]:
        if not isinstance(task, CohortTask):
            return script.succeed(task)
        first, second = task.members
        failed = TrialFailed(trial_id=first.trial_id, reason="diverged: NaN", diverged=True, num_epochs=1)
        return [failed, script.trial_done(second), TaskDone(task_id=task.cohort_id)]

    counts, tasks, _ = go(make_plan(2), behave)
    (final_test,) = (task for task in tasks if isinstance(task, FinalTestTask))
    assert len(final_test.members) == 1
    assert counts.final_test_complete


def test_a_trial_in_two_places_counts_once(go: Any, make_plan: Callable[..., Plan], folders: Folders) -> None:
    plan = make_plan(2, blocks=[{"one": {"batch_size": 32}, "same": {"batch_size": 32}}])
    counts, _, watcher = go(plan)
    assert watcher.started["trials"] == 2
    assert len(read(folders, counts).results) == 4


def test_the_mode_named_in_the_study_needs_no_probe(go: Any, make_plan: Callable[..., Plan], folders: Folders) -> None:
    counts, tasks, _ = go(make_plan(2, numeric="bfloat16"))
    assert "Probe" not in kinds(tasks)
    assert read(folders, counts).numeric == "bfloat16"


def test_the_mode_chosen_at_first_stays(go: Any, make_plan: Callable[..., Plan], folders: Folders, script: Any) -> None:
    """A probe could decide otherwise the next time: a study is finished in the mode it was begun in."""
    counts, tasks, _ = go(make_plan(2, numeric="auto"))
    assert kinds(tasks) == ["Probe", "Cohort", "FinalTest"]
    assert read(folders, counts).numeric == "bfloat16"
    with closing(sqlite3.connect(folders.ledger)) as connection, connection:
        connection.execute("DELETE FROM probes")
    counts, tasks, _ = go(make_plan(2, numeric="auto"))
    assert tasks == []
    assert read(folders, counts).numeric == "bfloat16"


def test_all_trials_of_a_study_are_trained_in_its_mode(go: Any, make_plan: Callable[..., Plan], script: Any) -> None:
    def behave(task: Any, attempt: int) -> Sequence[Report]:
        if isinstance(task, ProbeTask):
            return [script.probe_done(task, agrees=False), TaskDone(task_id=task.probe_id)]
        return script.succeed(task)

    _, tasks, _ = go(make_plan(2, replicates=2, numeric="auto"), behave)
    assert {task.numeric for task in tasks[1:]} == {"float32"}


def test_a_second_run_is_kept_out_of_the_workspace(go: Any, make_plan: Callable[..., Plan], folders: Folders) -> None:
    folders.root.mkdir()
    with FileLock(folders.root / "driver.lock"), pytest.raises(WorkspaceError, match="--workspace") as raised:
        go(make_plan(2), wait=False)
    assert str(raised.value).startswith(f"{folders.root}: another ")
    go(make_plan(2))


def test_an_interrupted_run_leaves_the_workspace_free_and_its_time_on_record(
    go: Any, make_plan: Callable[..., Plan], folders: Folders, script: Any
) -> None:
    class Interrupting(script.Watcher):
        def cohort_started(self, label: str, num_members: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(make_plan(2), watcher=Interrupting())
    with open_reading(folders) as connection:
        assert connection.execute("SELECT seconds > 0 FROM studies").fetchone() == (1,)
    counts, _, _ = go(make_plan(2))
    assert len(read(folders, counts).results) == 2


@pytest.mark.parametrize("below", [".", "deeper/still"])
def test_a_workspace_that_cannot_be_made_is_one_clear_line(
    go: Any, make_plan: Callable[..., Plan], tmp_path: Path, below: str
) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / below
    reason = "File exists" if below == "." else "Not a directory"
    with pytest.raises(WorkspaceError, match=rf"\({reason}\).*--workspace") as raised:
        go(make_plan(2), workspace=place)
    assert str(raised.value).startswith(f"{place}: ")
    assert "\n" not in str(raised.value)


def test_an_error_of_the_run_is_not_taken_for_one_of_the_workspace(
    go: Any, make_plan: Callable[..., Plan], script: Any
) -> None:
    class Broken(script.Watcher):
        def start(self, **numbers: int) -> None:
            raise OSError("standard error is closed")

    with pytest.raises(OSError, match="is closed"):
        go(make_plan(2), watcher=Broken())


def test_a_full_disk_is_one_clear_line(go: Any, make_plan: Callable[..., Plan], folders: Folders, script: Any) -> None:
    class Filling(script.Watcher):
        def start(self, **numbers: int) -> None:
            raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(WorkspaceError) as raised:
        go(make_plan(2), watcher=Filling())
    assert str(raised.value).startswith(f"{folders.ledger}: ")
    assert "disk is full" in str(raised.value)
    assert str(raised.value).endswith(GOES_ON)
    assert "\n" not in str(raised.value)


def test_half_written_files_of_killed_workers_are_removed(
    go: Any, make_plan: Callable[..., Plan], folders: Folders
) -> None:
    counts, _, _ = go(make_plan(1))
    trial_id = read(folders, counts).results[0].trial_id
    leftovers = [
        folders.checkpoint("c" * 64).with_name(f"{'c' * 64}.pt.123.part"),
        folders.checkpoint("c" * 64).with_name(".tmpAbCdEf"),  # safetensors' own
        folders.weights(trial_id).with_name("weights.safetensors.123.part"),
    ]
    for path in leftovers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    folders.weights(trial_id).write_bytes(b"whole")
    go(make_plan(1))
    assert not any(path.exists() for path in leftovers)
    assert folders.weights(trial_id).exists()


def test_an_observer_sees_where_every_trial_stands_and_on_resuming_those_in_the_ledger(
    go: Any, make_plan: Callable[..., Plan]
) -> None:
    plan = make_plan(2)
    _, _, watcher = go(plan)
    assert {(arm, state) for arm, state, _, _ in watcher.seen} == {
        (arm, state) for arm in plan.arms for state in ("training", "done")
    }
    assert all(0 < validation["accuracy"] < 1 for _, _, _, validation in watcher.seen)
    _, _, again = go(plan)
    assert {(arm, state, epoch) for arm, state, epoch, _ in again.seen} == {(arm, "done", 0) for arm in plan.arms}


def fail_first(script: Any) -> Any:
    """Train all but the first member of the first cohort, which fails."""

    def behave(task: Any, attempt: int) -> Sequence[Report]:
        if not isinstance(task, CohortTask) or len(task.members) < 2:
            return script.succeed(task)
        first, *rest = task.members
        failed = TrialFailed(trial_id=first.trial_id, reason="CUDA error.", diverged=False)
        return [failed, *map(script.trial_done, rest), TaskDone(task_id=task.cohort_id)]

    return behave


def test_the_test_split_stays_closed_while_an_arm_is_missing(
    go: Any, make_plan: Callable[..., Plan], script: Any, folders: Folders
) -> None:
    plan = make_plan(2)
    counts, tasks, watcher = go(plan, fail_first(script))
    assert kinds(tasks) == ["Cohort"]
    assert not counts.final_test_complete
    assert counts.missing in watcher.messages
    name = plan.arms[0]
    assert f"'{name}' lacks 1 of 1 trials" in counts.missing
    assert "CUDA error" in counts.missing
    assert "--allow-missing" in counts.missing
    assert read(folders, counts).num_tested == 0
    # Run again, it is tried afresh, and the test split is opened once for all.
    counts, tasks, _ = go(plan)
    assert kinds(tasks) == ["Cohort", "FinalTest"]
    assert (counts.final_test_complete, counts.missing) == (True, "")
    assert read(folders, counts).num_tested == 2


def test_the_test_split_is_opened_without_an_arm_where_that_is_asked_for(
    go: Any, make_plan: Callable[..., Plan], script: Any, folders: Folders
) -> None:
    counts, tasks, _ = go(make_plan(2), fail_first(script), allow_missing=True)
    assert kinds(tasks) == ["Cohort", "FinalTest"]
    assert (counts.final_test_complete, counts.missing) == (True, "")
    assert read(folders, counts).num_tested == 1


def test_cohorts_stay_those_of_the_machine_where_the_study_was_begun(
    go: Any, make_plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(task: Any, attempt: int) -> Sequence[Report]:
        failed = [TrialFailed(trial_id=each.trial_id, reason="no", diverged=False) for each in task.members]
        return [*failed, TaskDone(task_id=task.cohort_id)]

    def train(num_cores: int, **options: Any) -> list[str]:
        monkeypatch.setattr("bakeoff.driver.numeric.count_cores", lambda: num_cores)
        plan = make_plan(9, replicates=5, recipe={"network": {"name": "mlp", "units": [4096, 1024]}})
        return sorted(task.cohort_id for task in go(plan, fail, **options)[1])

    begun = train(2)
    assert len(begun) == 6
    assert train(8) == train(1) == begun
    assert len(train(8, workspace=tmp_path / "another")) > 6
    assert len(train(1, workspace=tmp_path / "a third")) == 5


def test_a_device_that_trains_one_cohort_at_a_time_is_given_whole_ones(
    go: Any, make_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bakeoff.driver.numeric.count_cores", lambda: 8)
    plan = make_plan(9, replicates=1, recipe={"network": {"name": "mlp", "units": [4096, 1024]}})
    _, tasks, _ = go(plan, device=Device("mps", (), "Apple", 0))
    assert kinds(tasks) == ["Cohort", "FinalTest"]
