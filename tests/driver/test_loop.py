"""The driver's loop: what it asks for, retries, records and tells, with an executor that follows a script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from bakeoff.catalog.numeric_modes import Modes, name_shape
from bakeoff.data.source import DataSource
from bakeoff.driver.cohorts import group_trials, name_cohort
from bakeoff.driver.executors.base import Report
from bakeoff.driver.facts import ImageFacts
from bakeoff.driver.identity import identify
from bakeoff.messages import CohortTask, TaskDone, TrialFailed, TrialPaused
from bakeoff.search.strategy import Pruned, TrialOutcome
from bakeoff.study.plan import Plan, PlannedTrial
from bakeoff.workspace import Folders

MakePlan = Callable[..., Plan]


def ids(task: CohortTask) -> list[str]:
    return [member.trial_id for member in task.members]


def checkpoint(folders: Folders, cohort_id: str) -> None:
    path = folders.checkpoint(cohort_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"checkpoint")


def left(folders: Folders) -> set[str]:
    return {path.stem for path in folders.checkpoints.glob("*.safetensors")}


# --- all goes well ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trickle", [False, True], ids=["at once", "one by one"])
def test_every_cohort_is_one_task_and_every_trial_is_told_once(
    drive: Any, make_plan: MakePlan, facts: ImageFacts, trickle: bool
) -> None:
    trials = make_plan(3, replicates=2).trials
    tasks, told = drive(trials, trickle=trickle)
    assert [len(task.members) for task in tasks] == [3, 3]
    assert Counter(each.trial for each in told) == Counter(trials)
    assert all(each.done and each.validation == {"accuracy": 0.5} for each in told)
    expected = {identify(trial, {DataSource(name="digits"): facts}, "float32").trial_id for trial in trials}
    assert drive.states() == dict.fromkeys(expected, "done")
    assert drive.watcher.ended == [True] * 6
    assert drive.watcher.running == []
    assert drive.incidents() == []


def test_a_task_says_all_that_a_worker_needs(drive: Any, make_plan: MakePlan, facts: ImageFacts) -> None:
    trials = make_plan(2).trials
    ((task,), _) = drive(trials)
    assert task.data.source == DataSource(name="digits")
    assert task.data.seed == trials[0].seed
    assert task.data.validation == trials[0].data.validation
    assert task.data.fingerprint == facts.fingerprint
    assert task.numeric == "float32"
    assert [member.recipe for member in task.members] == [trial.recipe for trial in trials]
    assert (task.finished, task.resume_from) == (frozenset(), ())
    assert task.cohort_id == name_cohort(ids(task))


def test_a_task_says_whether_its_shape_takes_turns(drive: Any, make_plan: MakePlan, facts: ImageFacts) -> None:
    trials = make_plan([{"network.units": [[4], [5]]}]).trials
    first = group_trials(trials[:1], {DataSource(name="digits"): facts})[0]
    modes = Modes(common="float32", in_turn=frozenset({name_shape(first.shape)}))
    tasks, _ = drive(trials, modes=modes)
    assert {task.members[0].recipe == trials[0].recipe: task.in_turn for task in tasks} == {True: True, False: False}


def test_a_trial_s_record_says_what_it_was(drive: Any, make_plan: MakePlan) -> None:
    ((task,), _) = drive(make_plan(1).trials)
    query = "SELECT content, cohort_id, machine, num_epochs, best_epoch, stop FROM trials"
    content, cohort, machine, *rest = drive.ledger.connection.execute(query).fetchone()
    assert '"numeric": "float32"' in content
    assert '"processor"' in machine
    assert '"torch"' in machine
    assert (cohort, *rest) == (task.cohort_id, 2, 2, "epochs")


# --- what is in the ledger already -----------------------------------------------------------------------------------


def test_a_second_run_submits_nothing_and_tells_all(drive: Any, make_plan: MakePlan) -> None:
    trials = make_plan(3, replicates=2).trials
    drive(trials)
    tasks, told = drive(trials)
    assert tasks == []
    assert Counter(each.trial for each in told) == Counter(trials)
    assert all(each.done and each.validation == {"accuracy": 0.5} for each in told)


def test_a_cohort_that_was_begun_keeps_its_name(drive: Any, make_plan: MakePlan, script: Any) -> None:
    """One member is done, then the run is interrupted: the cohort's checkpoint must be found again."""

    trials = make_plan(3).trials
    (whole,), _ = drive(trials, stop_after_one(script))
    (again,), told = drive(trials)
    assert again.cohort_id == whole.cohort_id
    assert ids(again) == ids(whole)[1:]
    assert again.finished == {ids(whole)[0]}
    assert len(told) == 3


def stop_after_one(script: Any) -> Callable[[CohortTask, int], Sequence[Report]]:
    """Finish the first member only; the others are left open though the task ends, as an interruption leaves them."""

    def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
        return [script.trial_done(task.members[0]), TaskDone(task_id=task.cohort_id)]

    return behave


def test_a_failed_trial_is_tried_again_in_the_next_run_and_a_diverged_one_is_not(
    drive: Any, make_plan: MakePlan, script: Any, lose: Any
) -> None:
    def diverge(task: CohortTask, attempt: int) -> Sequence[Report]:
        if len(task.members) == 1:
            return lose(task, died=False, reason="ValueError: boom")
        first, second, _ = task.members
        failed = TrialFailed(trial_id=first.trial_id, reason="diverged: NaN", diverged=True, num_epochs=1)
        return [failed, script.trial_done(second), *lose(task, died=False, reason="ValueError: boom")]

    trials = make_plan(3).trials
    (whole, *_), told = drive(trials, diverge)
    first, second, third = ids(whole)
    assert drive.states() == {first: "diverged", second: "done", third: "failed"}
    assert [each.done for each in sorted(told, key=lambda each: each.trial.arm)] == [False, True, False]
    tasks, told = drive(trials)
    assert [ids(task) for task in tasks] == [[third]]
    assert drive.states()[third] == "done"
    assert sorted(each.done for each in told) == [False, True, True]


# --- the same trial in two places ------------------------------------------------------------------------------------


def test_a_trial_in_two_places_is_trained_once_and_both_are_told(drive: Any, make_plan: MakePlan) -> None:
    blocks = [{"one": {"batch_size": 32}, "same": {"batch_size": 32}}]
    trials = make_plan(2, blocks=blocks).trials
    tasks, told = drive(trials, trickle=True)
    assert [len(task.members) for task in tasks] == [2]
    assert Counter(each.trial for each in told) == Counter(trials)
    assert len(drive.states()) == 2


def test_a_trial_in_two_cohorts_is_trained_once(drive: Any, make_plan: MakePlan) -> None:
    """Cut into cohorts of at most twelve, 2 x 8 equal trials would meet in two cohorts."""
    blocks = [{"one": {"batch_size": 32}, "same": {"batch_size": 32}}]
    trials = make_plan(8, blocks=blocks).trials
    tasks, told = drive(trials, trickle=True)
    trained = [trial_id for task in tasks for trial_id in ids(task)]
    assert sorted(trained) == sorted(set(trained))
    assert len(trained) == 8
    assert Counter(each.trial for each in told) == Counter(trials)
    counts = drive.ledger.connection.execute("SELECT DISTINCT times_trained FROM epochs").fetchall()
    assert counts == [(1,)]


def test_a_trial_asked_for_twice_at_once_is_trained_once(drive: Any, make_plan: MakePlan) -> None:
    trials = make_plan(2).trials
    tasks, told = drive([*trials, *trials])
    assert [len(task.members) for task in tasks] == [2]
    assert len(told) == 4


def test_a_trial_asked_for_again_is_told_without_training(drive: Any, make_plan: MakePlan) -> None:
    class Insisting:
        def __init__(self, trials: Sequence[PlannedTrial]) -> None:
            self.asks = [list(trials[:2]), list(trials[1:3])]
            self.told: list[TrialOutcome] = []

        def ask(self) -> Sequence[PlannedTrial]:
            return self.asks.pop(0) if self.asks and len(self.told) in (0, 2) else ()

        def tell(self, told: TrialOutcome) -> None:
            self.told.append(told)

        def prune(self) -> Sequence[Pruned]:
            return ()

    trials = make_plan(3).trials
    tasks, told = drive(trials, strategy=Insisting(trials))
    assert [len(task.members) for task in tasks] == [2, 1]
    assert Counter(each.trial.arm for each in told) == {trials[0].arm: 1, trials[1].arm: 2, trials[2].arm: 1}


def test_a_trial_asked_for_while_it_is_trained_waits_for_it(drive: Any, make_plan: MakePlan) -> None:
    class Impatient:
        def __init__(self, trials: Sequence[PlannedTrial]) -> None:
            self.asks = [list(trials), list(trials)]
            self.told: list[TrialOutcome] = []

        def ask(self) -> Sequence[PlannedTrial]:
            return self.asks.pop(0) if self.asks else ()

        def tell(self, told: TrialOutcome) -> None:
            self.told.append(told)

        def prune(self) -> Sequence[Pruned]:
            return ()

    trials = make_plan(2).trials
    tasks, told = drive(trials, strategy=Impatient(trials), trickle=True)
    assert [len(task.members) for task in tasks] == [2]
    assert len(told) == 4


# --- losses ----------------------------------------------------------------------------------------------------------


def test_a_cohort_whose_worker_died_once_is_tried_whole(
    drive: Any, make_plan: MakePlan, script: Any, lose: Any
) -> None:
    def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
        return lose(task, died=True) if attempt == 0 else script.succeed(task)

    tasks, told = drive(make_plan(3).trials, behave)
    assert [ids(task) for task in tasks] == [ids(tasks[0])] * 2
    assert tasks[0].cohort_id == tasks[1].cohort_id
    assert sorted(drive.states().values()) == ["done"] * 3
    assert len(told) == 3
    assert drive.incidents() == ["lost"]
    (message,) = drive.watcher.messages
    assert message.startswith("digits, replicate 1: gone")


def test_what_was_finished_before_the_loss_is_not_trained_again(
    drive: Any, make_plan: MakePlan, script: Any, lose: Any
) -> None:
    def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
        return lose(task, died=True, finished=task.members[:1]) if attempt == 0 else script.succeed(task)

    (first, second), told = drive(make_plan(3).trials, behave)
    assert ids(second) == ids(first)[1:]
    assert second.finished == {ids(first)[0]}
    assert second.cohort_id == first.cohort_id
    assert len(told) == 3


def test_a_cohort_lost_after_its_last_member_is_done(
    drive: Any, make_plan: MakePlan, folders: Folders, lose: Any
) -> None:
    def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
        checkpoint(folders, task.cohort_id)
        return lose(task, died=True, finished=task.members)

    tasks, told = drive(make_plan(2).trials, behave)
    assert len(tasks) == 1
    assert len(told) == 2
    assert left(folders) == set()


def test_a_cohort_whose_worker_died_twice_is_taken_apart(
    drive: Any, make_plan: MakePlan, script: Any, lose: Any
) -> None:
    """The culprit takes down whoever trains with it; alone, it is found."""

    def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
        if whole[0] in ids(task) or not whole[0]:
            whole[0] = whole[0] or ids(task)[0]
            return lose(task, died=True, reason="SIGSEGV")
        return script.succeed(task)

    whole = [""]
    tasks, told = drive(make_plan(3).trials, behave)
    assert [len(task.members) for task in tasks] == [3, 3, 1, 1, 1, 1]
    parent = tasks[0].cohort_id
    for task in tasks[2:]:
        assert task.resume_from == (parent,)
        assert task.cohort_id == name_cohort([parent, ids(task)[0]])
        assert task.data == tasks[0].data
    assert drive.states() == {ids(tasks[0])[0]: "failed", ids(tasks[0])[1]: "done", ids(tasks[0])[2]: "done"}
    reason = drive.ledger.connection.execute("SELECT reason FROM trials WHERE state = 'failed'").fetchone()[0]
    assert reason == "SIGSEGV"
    assert [each.done for each in sorted(told, key=lambda each: each.trial.arm)] == [False, True, True]
    assert drive.incidents() == ["lost", "lost", "split", "lost", "lost"]
    again, apart, alone, failed = drive.watcher.messages
    assert again == alone == "digits, replicate 1: SIGSEGV; retrying"
    assert apart.startswith(again)
    assert apart.endswith(" alone")
    assert failed == "0.001, digits, replicate 1: SIGSEGV"
    assert drive.watcher.running == []


def test_a_cohort_that_gets_on_may_lose_any_number_of_workers(
    drive: Any, make_plan: MakePlan, script: Any, lose: Any
) -> None:
    """Kills from outside, nodes that leave: alone, its members would be trained to other last digits."""

    def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
        epochs = [script.epoch_done(member, epoch=attempt + 1) for member in task.members]
        return [*epochs, *lose(task, died=True)] if attempt < 5 else script.succeed(task)

    tasks, _ = drive(make_plan(2, recipe={"epochs": 9}).trials, behave)
    assert [len(task.members) for task in tasks] == [2] * 6
    assert sorted(drive.states().values()) == ["done", "done"]


def test_an_exception_takes_a_cohort_apart_at_once(drive: Any, make_plan: MakePlan, script: Any, lose: Any) -> None:
    def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
        return lose(task, died=False, reason="RuntimeError: boom") if len(task.members) > 1 else script.succeed(task)

    tasks, _ = drive(make_plan(2).trials, behave)
    assert [len(task.members) for task in tasks] == [2, 1, 1]
    assert sorted(drive.states().values()) == ["done", "done"]
    assert drive.incidents() == ["error", "split"]


def test_alone_there_is_no_third_time(drive: Any, make_plan: MakePlan, lose: Any) -> None:
    tasks, told = drive(make_plan(2).trials, lambda task, attempt: lose(task, died=True))
    assert [len(task.members) for task in tasks] == [2, 2, 1, 1, 1, 1]
    assert sorted(drive.states().values()) == ["failed", "failed"]
    assert [each.done for each in told] == [False, False]
    assert drive.watcher.ended == [False, False]


@pytest.mark.parametrize(("died", "num_tasks"), [(True, 2), (False, 1)])
def test_a_cohort_of_one(drive: Any, make_plan: MakePlan, lose: Any, died: bool, num_tasks: int) -> None:
    tasks, told = drive(make_plan(1).trials, lambda task, attempt: lose(task, died=died, reason="why"))
    assert len(tasks) == num_tasks
    assert len({task.cohort_id for task in tasks}) == 1
    assert list(drive.states().values()) == ["failed"]
    assert len(told) == 1


def test_a_cohort_taken_apart_stays_apart_in_the_next_run(
    drive: Any, make_plan: MakePlan, script: Any, lose: Any
) -> None:
    """Who trains alone has a checkpoint of its own: going back into the cohort would train its epochs again."""
    trials = make_plan(2).trials
    (whole, *alone), _ = drive(trials, lambda task, attempt: lose(task, died=False))
    again, _ = drive(trials)
    assert [(task.cohort_id, ids(task), task.resume_from) for task in again] == [
        (task.cohort_id, ids(task), (whole.cohort_id,)) for task in alone
    ]
    assert sorted(drive.states().values()) == ["done", "done"]
    assert drive.incidents().count("split") == 1


# --- checkpoints -----------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_deleted_when_its_cohort_has_ended(
    drive: Any, make_plan: MakePlan, folders: Folders, script: Any
) -> None:
    def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
        checkpoint(folders, task.cohort_id)
        return script.succeed(task)

    drive(make_plan(2, replicates=2).trials, behave)
    assert left(folders) == set()


def test_a_checkpoint_is_kept_until_the_ledger_holds_the_results(
    drive: Any, make_plan: MakePlan, folders: Folders, script: Any
) -> None:
    seen: list[tuple[set[str], set[str]]] = []

    def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
        checkpoint(folders, task.cohort_id)
        return script.succeed(task)

    class Looking(script.Watcher):
        def cohort_done(self, label: str) -> None:
            seen.append((left(folders), set(drive.states())))

    drive.watcher = Looking()
    drive(make_plan(2).trials, behave, trickle=True)
    (kept, ended), *_ = seen
    assert len(kept) == 1
    assert len(ended) == 2


def test_a_failed_trial_keeps_its_checkpoints_for_a_later_run(
    drive: Any, make_plan: MakePlan, folders: Folders, script: Any, lose: Any
) -> None:
    def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
        checkpoint(folders, task.cohort_id)
        culprit = not task.resume_from or ids(task)[0] == parts[0]
        parts[:] = parts or ids(task)
        return lose(task, died=False) if culprit else script.succeed(task)

    parts: list[str] = []
    trials = make_plan(3).trials
    tasks, _ = drive(trials, behave)
    parent = tasks[0].cohort_id
    assert left(folders) == {parent, name_cohort([parent, parts[0]])}
    drive(trials)
    assert left(folders) == set()


def test_the_parent_s_checkpoint_stays_until_every_part_has_ended(
    drive: Any, make_plan: MakePlan, folders: Folders, script: Any, lose: Any
) -> None:
    kept: list[bool] = []

    def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
        checkpoint(folders, task.cohort_id)
        return script.succeed(task) if task.resume_from else lose(task, died=False)

    class Looking(script.Watcher):
        def trial_done(self, *, failed: bool = False, num_images_spared: int = 0) -> None:
            kept.append(any(len(path) for path in left(folders) & {name_cohort(all_ids)}))

    trials = make_plan(3).trials
    drive.watcher = Looking()
    all_ids = [identify(trial, {DataSource(name="digits"): drive.facts}, "float32").trial_id for trial in trials]
    drive(trials, behave, trickle=True)
    assert kept == [True] * 3
    assert left(folders) == set()


@pytest.mark.parametrize("apart", [False, True], ids=["whole", "apart"])
def test_checkpoints_left_by_a_kill_are_deleted_by_the_next_run(
    drive: Any, make_plan: MakePlan, folders: Folders, lose: Any, script: Any, apart: bool
) -> None:
    """The driver was killed after the last result was written and before the checkpoint was deleted."""

    def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
        return lose(task, died=False) if apart and len(task.members) > 1 else script.succeed(task)

    trials = make_plan(2).trials
    tasks, _ = drive(trials, behave)
    for task in tasks:
        checkpoint(folders, task.cohort_id)
    drive(trials)
    assert left(folders) == set()


# --- what reaches the observer and the ledger ------------------------------------------------------------------------


def test_epochs_read_back_are_recorded_but_not_trained_again(drive: Any, make_plan: MakePlan, script: Any) -> None:
    def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
        replayed = [script.epoch_done(member, 1, replayed=True) for member in task.members]
        return [*replayed, *replayed, *script.succeed(task)[2:]]

    drive(make_plan(2).trials, behave)
    rows = drive.ledger.connection.execute("SELECT epoch, times_trained FROM epochs").fetchall()
    assert Counter(rows) == {(1, 1): 2, (2, 1): 2}
    assert drive.watcher.replayed == 2


def test_an_epoch_is_shown_once_and_what_is_not_seen_is_spared(
    drive: Any, make_plan: MakePlan, script: Any, lose: Any
) -> None:
    """What is trained and what is spared add up, so that the display ends at 100%: also after a loss."""

    def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
        if attempt == 0:
            return [script.epoch_done(task.members[0]), *lose(task, died=True)]
        return [script.epoch_done(task.members[0], replayed=True), *lose(task, died=True)]

    drive(make_plan(1, recipe={"epochs": 5}).trials, behave)
    assert drive.watcher.epochs == [("digits, replicate 1", 1)]
    assert drive.watcher.spared == 4 * drive.facts.count_train(make_plan(1).trials[0])


def test_a_result_reported_again_is_held_and_told_once(drive: Any, make_plan: MakePlan, script: Any) -> None:
    def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
        return [script.trial_done(task.members[0]), *script.succeed(task)]

    _, told = drive(make_plan(2).trials, behave)
    assert len(told) == 2
    assert drive.watcher.ended == [True, True]


def test_a_result_is_written_with_all_that_was_polled_or_not_at_all(
    drive: Any, make_plan: MakePlan, script: Any
) -> None:
    class Interrupting(script.Watcher):
        def trial_done(self, *, failed: bool = False, num_images_spared: int = 0) -> None:
            raise KeyboardInterrupt

    drive.watcher = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        drive(make_plan(2).trials)
    assert drive.states() == {}
    assert drive.ledger.connection.execute("SELECT COUNT(*) FROM epochs").fetchone() == (0,)
    drive.watcher = script.Watcher()
    _, told = drive(make_plan(2).trials)
    assert len(told) == 2


# --- pauses ----------------------------------------------------------------------------------------------------------


class Halfway:
    """Asks for trials up to epoch 1; when all are told, the first goes on and the others are given up."""

    def __init__(self, trials: Sequence[PlannedTrial]) -> None:
        searched = [replace(trial, stage="search") for trial in trials]
        self.asks: list[list[PlannedTrial]] = [[replace(trial, until=1) for trial in searched], [searched[0]]]
        self.told: list[TrialOutcome] = []
        self.given_up = [Pruned(trial=trial, reason="behind") for trial in self.asks[0][1:]]
        self.num_first = len(searched)

    def ask(self) -> Sequence[PlannedTrial]:
        is_due = len(self.told) in (0, self.num_first)
        return self.asks.pop(0) if self.asks and is_due and (self.told or len(self.asks) == 2) else ()

    def tell(self, told: TrialOutcome) -> None:
        self.told.append(told)

    def prune(self) -> Sequence[Pruned]:
        given_up = self.given_up if len(self.told) >= self.num_first else []
        self.given_up = self.given_up if given_up == [] else []
        return given_up


def pause(script: Any, folders: Folders) -> Callable[[CohortTask, int], Sequence[Report]]:
    """Pause where a task says so, else finish; leave checkpoints as the engine does."""

    def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
        checkpoint(folders, task.cohort_id)
        if task.until is None:
            return list(script.succeed(task))
        reports: list[Report] = [script.epoch_done(member, 1) for member in task.members]
        reports += [TrialPaused(trial_id=member.trial_id, epoch=task.until) for member in task.members]
        return [*reports, TaskDone(task_id=task.cohort_id)]

    return behave


def test_a_paused_trial_goes_on_from_its_cohort_and_the_others_are_pruned(
    drive: Any, make_plan: MakePlan, script: Any, folders: Folders
) -> None:
    trials = make_plan(3).trials
    (first, second), told = drive(trials, pause(script, folders), strategy=Halfway(trials))
    assert (first.until, first.cohort_id) == (1, name_cohort(ids(first), 1))
    assert (second.until, second.resume_from, ids(second)) == (None, (first.cohort_id,), ids(first)[:1])
    assert [each.state for each in told] == ["paused", "paused", "paused", "done"]
    assert [each.curve for each in told[:3]] == [({"accuracy": 0.5},)] * 3
    assert len(told[3].curve) == 2
    assert drive.states() == {ids(first)[0]: "done", ids(first)[1]: "pruned", ids(first)[2]: "pruned"}
    query = "SELECT reason, num_epochs FROM trials WHERE state = 'pruned'"
    assert drive.ledger.connection.execute(query).fetchall() == [("behind", 1)] * 2
    assert left(folders) == set()
    assert len(drive.watcher.ended) == 3


def test_the_ledger_answers_as_the_training_did(drive: Any, make_plan: MakePlan, script: Any, folders: Folders) -> None:
    trials = make_plan(3).trials
    _, told = drive(trials, pause(script, folders), strategy=Halfway(trials))
    tasks, again = drive(trials, strategy=Halfway(trials))
    assert tasks == []
    assert again == told


def test_a_checkpoint_stays_while_somebody_waits_in_it(
    drive: Any, make_plan: MakePlan, script: Any, folders: Folders
) -> None:
    class Waiting(Halfway):
        def __init__(self, trials: Sequence[PlannedTrial]) -> None:
            super().__init__(trials)
            self.asks, self.given_up = [*self.asks[:1], []], []

    trials = make_plan(2).trials
    (task,), _ = drive(trials, pause(script, folders), strategy=Waiting(trials))
    assert left(folders) == {task.cohort_id}
    assert drive.states() == {}


def test_a_pruned_trial_that_is_asked_for_whole_is_trained(
    drive: Any, make_plan: MakePlan, script: Any, folders: Folders
) -> None:
    trials = make_plan(3).trials
    drive(trials, pause(script, folders), strategy=Halfway(trials))
    (task,), told = drive(trials)
    assert len(task.members) == 2
    assert [each.state for each in told] == ["done"] * 3
    assert set(drive.states().values()) == {"done"}


def test_a_trial_trained_whole_answers_for_its_pause(
    drive: Any, make_plan: MakePlan, script: Any, folders: Folders
) -> None:
    trials = make_plan(3).trials
    drive(trials)
    tasks, told = drive(trials, strategy=Halfway(trials))
    assert tasks == []
    assert [(each.state, len(each.curve)) for each in told] == [("paused", 1)] * 3 + [("done", 2)]
    assert set(drive.states().values()) == {"done"}  # it was given up, but it had been trained


def test_a_candidate_that_failed_is_not_tried_again(drive: Any, make_plan: MakePlan, lose: Any, script: Any) -> None:
    trials = [replace(trial, stage="search") for trial in make_plan(1).trials]
    drive(trials, lambda task, attempt: lose(task, died=False))
    tasks, told = drive(trials)
    assert tasks == []
    assert [each.state for each in told] == ["failed"]
    (task,), _ = drive(make_plan(1).trials)
    assert len(task.members) == 1


def test_a_trial_in_training_to_another_epoch_waits_for_it(
    drive: Any, make_plan: MakePlan, script: Any, folders: Folders
) -> None:
    """Two blocks that ask for the same trial, one of them further: neither is forgotten, no epoch is trained twice."""

    class Both(Halfway):
        def __init__(self, trials: Sequence[PlannedTrial]) -> None:
            super().__init__(trials)
            self.asks = [[replace(trials[0], stage="search")], [replace(trials[0], stage="search", until=1)]]

        def ask(self) -> Sequence[PlannedTrial]:
            return self.asks.pop(0) if self.asks else ()

        def prune(self) -> Sequence[Pruned]:
            return ()

    trials = make_plan(1).trials
    tasks, told = drive(trials, pause(script, folders), strategy=Both(trials), trickle=True)
    assert [task.until for task in tasks] == [None]
    assert [each.state for each in told] == ["paused", "done"] or [each.state for each in told] == ["done", "paused"]
