"""Successive halving inside a group: who goes on, who is given up, and where."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bakeoff.catalog.recipe import Recipe
from bakeoff.search.candidate import measure_so_far
from bakeoff.search.halving import Attempt, GroupTraining
from bakeoff.search.strategy import Ending, TrialOutcome
from bakeoff.study.plan import PlannedTrial
from bakeoff.study.search_settings import Halving
from bakeoff.study.settings import DataSettings


def make_trial(number: int, *, epochs: int = 20, replicate: int = 0) -> PlannedTrial:
    recipe = Recipe.model_validate({"network": "mlp", "epochs": epochs})
    arm = f"candidate {number}"
    return PlannedTrial(
        block="b", arm=arm, replicate=replicate, seed=replicate, recipe=recipe, data=DataSettings(), stage="search"
    )


def make_attempts(num: int, *, replicates: int = 1, **fields: int) -> list[Attempt]:
    return [
        Attempt(number=number, trials=tuple(make_trial(number, replicate=r, **fields) for r in range(replicates)))
        for number in range(num)
    ]


def start(attempts: list[Attempt], halving: Halving | None = None) -> GroupTraining:
    return GroupTraining(attempts, halving, lambda attempt: measure_so_far(attempt, "accuracy"))


def tell(group: GroupTraining, trial: PlannedTrial, value: float, state: Ending | None = None) -> None:
    paused = trial.until is not None and trial.until < trial.recipe.epochs
    validation = {} if paused else {"accuracy": value}
    curve = ({"accuracy": value},)
    group.tell(
        TrialOutcome(trial=trial, state=state or ("paused" if paused else "done"), validation=validation, curve=curve)
    )


def play(group: GroupTraining, values: Mapping[str, float]) -> list[tuple[int | None, list[str]]]:
    """Drive a group to its end; return the epoch and the arms of every round."""
    rounds = []
    while due := group.take():
        rounds.append((due[0].until, [trial.arm for trial in due]))
        for trial in reversed(due):
            tell(group, trial, values[trial.arm])
    assert group.is_done
    return rounds


def arms(*numbers: int) -> list[str]:
    return [f"candidate {number}" for number in numbers]


def test_without_halving_all_train_to_their_end() -> None:
    attempts = make_attempts(3)
    assert play(start(attempts), dict.fromkeys(arms(0, 1, 2), 0.5)) == [(None, arms(0, 1, 2))]
    assert [attempt.state for attempt in attempts] == ["done"] * 3


def test_the_best_third_goes_on_from_rung_to_rung() -> None:
    attempts = make_attempts(9)
    group = start(attempts, Halving(first=2, factor=3))
    values = {arm: number / 10 for number, arm in enumerate(arms(*range(9)))}
    assert play(group, values) == [(2, arms(*range(9))), (6, arms(6, 7, 8)), (None, arms(8))]
    assert [attempt.state for attempt in attempts] == ["pruned"] * 8 + ["done"]
    assert attempts[0].reason.endswith(" 3 of 9 after epoch 2")
    assert attempts[7].reason.endswith(" 1 of 3 after epoch 6")


def test_those_given_up_are_named_where_they_paused() -> None:
    group = start(make_attempts(4), Halving(first=1, factor=2))
    for trial in group.take():
        tell(group, trial, 0.5 - int(trial.arm[-1]) / 10)
    assert [(pruned.trial.arm, pruned.trial.until) for pruned in group.take_pruned()] == [
        ("candidate 2", 1),
        ("candidate 3", 1),
    ]
    assert group.take_pruned() == []


def test_ties_go_to_the_smaller_number() -> None:
    attempts = make_attempts(4)
    play(start(attempts, Halving(first=1, factor=4)), dict.fromkeys(arms(0, 1, 2, 3), 0.5))
    assert [attempt.state for attempt in attempts] == ["done", "pruned", "pruned", "pruned"]


def test_somebody_always_goes_on() -> None:
    attempts = make_attempts(2)
    assert play(start(attempts, Halving(first=1, factor=5)), {"candidate 0": 0.1, "candidate 1": 0.2}) == [
        (1, arms(0, 1)),
        (None, arms(1)),
    ]


def test_one_candidate_alone_never_pauses() -> None:
    assert play(start(make_attempts(1), Halving()), {"candidate 0": 0.1}) == [(None, arms(0))]


def test_nobody_pauses_at_a_rung_beyond_all_epochs() -> None:
    assert play(start(make_attempts(3, epochs=2), Halving(first=2)), dict.fromkeys(arms(0, 1, 2), 0.1)) == [
        (None, arms(0, 1, 2))
    ]


def test_who_ended_before_a_rung_takes_nobody_s_place() -> None:
    short = Attempt(number=0, trials=(make_trial(0, epochs=1),))
    attempts = [short, *make_attempts(3)[1:]]
    values = {arm: 0.9 - number / 10 for number, arm in enumerate(arms(0, 1, 2))}
    rounds = play(start(attempts, Halving(first=2, factor=2)), values)
    assert rounds == [(2, arms(0, 1, 2)), (None, arms(1))]
    assert [attempt.state for attempt in attempts] == ["done", "done", "pruned"]


def test_replicates_are_judged_by_their_mean() -> None:
    attempts = make_attempts(2, replicates=2)
    group = start(attempts, Halving(first=1, factor=2))
    values = {(0, 0): 0.9, (0, 1): 0.1, (1, 0): 0.6, (1, 1): 0.6}
    for trial in group.take():
        tell(group, trial, values[int(trial.arm[-1]), trial.replicate])
    assert [attempt.state for attempt in attempts] == ["pruned", "open"]
    assert len(group.take()) == 2


@pytest.mark.parametrize("state", ["failed", "diverged"])
def test_a_candidate_fails_whole_and_its_other_trials_do_not_go_on(state: Ending) -> None:
    attempts = make_attempts(2, replicates=2)
    group = start(attempts, Halving(first=1, factor=2))
    first, *others = group.take()
    tell(group, first, 0.0, state)
    for trial in others:
        tell(group, trial, 0.5)
    assert (attempts[0].state, attempts[0].reason) == ("failed", state)
    assert [(pruned.trial.arm, pruned.trial.replicate) for pruned in group.take_pruned()] == [("candidate 0", 1)]
    assert {trial.arm for trial in group.take()} == {"candidate 1"}


def test_what_is_not_waited_for_changes_nothing() -> None:
    group = start(make_attempts(2))
    first, second = group.take()
    tell(group, first, 0.5)
    tell(group, first, 0.7)
    assert not group.is_done
    tell(group, second, 0.5)
    assert group.is_done


@pytest.mark.parametrize(("epoch", "rung"), [(0, 2), (1, 2), (2, 6), (5, 6), (6, 18), (100, 162)])
def test_rungs_grow_by_the_factor(epoch: int, rung: int) -> None:
    assert Halving(first=2, factor=3).next_rung(epoch) == rung
