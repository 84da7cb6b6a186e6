"""What every strategy and every search holds to, whichever it is."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from bakeoff.driver.facts import ImageFacts
from bakeoff.search.registry import StrategyRecord, choose_strategy, list_strategies
from bakeoff.search.strategy import Strategy, TrialOutcome
from bakeoff.study.plan import Plan, PlannedTrial, expand
from bakeoff.study.schema import Study
from bakeoff.study.search import SEARCHES, SearchRecord
from bakeoff.testing import check_search

SPACE = {"optimizer.learning_rate": {"low": 1e-4, "high": 0.1, "log": True}, "batch_size": [16, 32, 64]}
GENOME = {"convolutions": 1, "dense": {"low": 0, "high": 1}, "epochs": {"low": 2, "high": 4}}

SEARCH_FIELDS: dict[str, dict[str, Any]] = {
    "optuna": {"space": SPACE, "trials": 9, "group": 4, "halving": {"first": 1, "factor": 2}, "baseline": "random"},
    "evolution": {"genome": GENOME, "population": 5, "generations": 3},
}
"""Small settings of every search."""

STUDIES: dict[str, dict[str, Any]] = {
    "grid": {"arms": [{"optimizer.learning_rate": [0.1, 0.01]}, {"batch_size": [16, 32]}], "replicates": 3},
    "racing": {"arms": [{"batch_size": [16, 32, 64]}], "replicates": {"at_least": 3, "at_most": 6}},
    **{name: {"search": {"name": name, **fields}, "replicates": 2} for name, fields in SEARCH_FIELDS.items()},
}
"""A study that asks for each strategy."""

MOST_ASKS = 1_000
FACTS = ImageFacts(shape_HWC=(8, 8, 1), class_names=tuple("0123456789"), num_images=1_438, fingerprint="f")

EVERY_STRATEGY = pytest.mark.parametrize("record", list_strategies(), ids=lambda record: record.name)


def make_plan(name: str) -> Plan:
    recipe = {"network": {"name": "mlp", "units": [8]}, "epochs": 4}
    return expand(Study(question="Which?", recipe=recipe, blocks=[{"data.validation": [0.1, 0.2]}], **STUDIES[name]))


def start(record: StrategyRecord) -> Strategy:
    plan = make_plan(record.name)
    return record.make(plan, {block.data.source: FACTS for block in plan.blocks})


def draw(*what: object) -> float:
    """Return a number from 0 to 1 that is a function of `what` alone."""
    return random.Random(repr(what)).random()


def answer(trial: PlannedTrial, *, fail: Callable[[PlannedTrial], bool] = lambda trial: False) -> TrialOutcome:
    """Answer an asked trial as training it would, the same way every time."""
    if fail(trial):
        return TrialOutcome(trial=trial, state="failed")
    last = trial.recipe.epochs if trial.until is None else min(trial.until, trial.recipe.epochs)
    curve = tuple({"accuracy": draw(trial.recipe, trial.block, trial.seed, epoch)} for epoch in range(last))
    if last < trial.recipe.epochs:
        return TrialOutcome(trial=trial, state="paused", curve=curve)
    return TrialOutcome(trial=trial, state="done", validation=curve[-1], curve=curve, num_parameters=7, seconds=1.0)


def play(strategy: Strategy, *, shuffle: int | None = None, **options: Any) -> list[PlannedTrial]:
    """Drive a strategy to its end, telling the trials of each ask in some order; return what it asked, block by block.

    Blocks are independent of each other: which is asked first is a matter of timing.
    """
    asked: list[PlannedTrial] = []
    waiting: list[PlannedTrial] = []
    chance = random.Random(shuffle)
    for _ in range(MOST_ASKS):
        trials = list(strategy.ask())
        asked += trials
        waiting += trials
        strategy.prune()
        if not waiting:
            return sorted(asked, key=lambda trial: trial.block)
        number = len(waiting) if shuffle is None else chance.randint(1, len(waiting))
        if shuffle is not None:
            chance.shuffle(waiting)
        for trial in waiting[:number]:
            strategy.tell(answer(trial, **options))
        waiting = waiting[number:]
    pytest.fail(f"no end after {MOST_ASKS} asks")


def identity(trial: PlannedTrial) -> tuple[object, ...]:
    return (trial.block, trial.stage, trial.seed, trial.fold, trial.recipe.model_dump_json())


# --- strategies ------------------------------------------------------------------------------------------------------


def test_every_strategy_and_search_is_examined_here() -> None:
    assert {record.name for record in list_strategies()} == STUDIES.keys()
    assert set(SEARCHES.names) == SEARCH_FIELDS.keys()


@EVERY_STRATEGY
def test_a_study_finds_its_strategy(record: StrategyRecord) -> None:
    assert choose_strategy(make_plan(record.name)) == record


@EVERY_STRATEGY
def test_asking_is_deterministic(record: StrategyRecord) -> None:
    assert play(start(record)) == play(start(record))


@EVERY_STRATEGY
def test_the_order_of_telling_does_not_matter(record: StrategyRecord) -> None:
    first = play(start(record))
    assert all(play(start(record), shuffle=seed) == first for seed in range(4))


@EVERY_STRATEGY
def test_no_trial_is_asked_for_twice(record: StrategyRecord) -> None:
    asked = play(start(record))
    whole = [identity(trial) for trial in asked if trial.until is None and trial.stage == "search"]
    assert len(set(whole)) == len(whole)
    paused = [(identity(trial), trial.until) for trial in asked if trial.stage == "search"]
    assert len(set(paused)) == len(paused)
    finals = [(trial.arm, trial.replicate, trial.block) for trial in asked if trial.stage == "final"]
    assert len(set(finals)) == len(finals)


@EVERY_STRATEGY
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_failures_are_tolerated(record: StrategyRecord, share: float) -> None:
    def fail(trial: PlannedTrial) -> bool:
        return trial.stage == "search" and draw("fails", identity(trial)) < share

    first = play(start(record), fail=fail)
    assert first
    assert play(start(record), fail=fail, shuffle=1) == first
    assert any(trial.stage == "final" and trial.arm != "winner" for trial in first)


@EVERY_STRATEGY
def test_it_ends_when_everything_fails(record: StrategyRecord) -> None:
    assert play(start(record), fail=lambda trial: True)


@EVERY_STRATEGY
@pytest.mark.parametrize("num_told", [0, 1, 3, 7])
def test_told_again_what_was_known_it_goes_on_where_it_stopped(record: StrategyRecord, num_told: int) -> None:
    """As after a kill: a new strategy is told what the ledger has, and asks for the rest."""
    before = start(record)
    known: list[PlannedTrial] = []
    while len(known) < num_told and (asked := list(before.ask())):
        for trial in asked[: num_told - len(known)]:
            before.tell(answer(trial))
            known.append(trial)
    after = play(start(record))
    assert all(trial in after for trial in known)
    assert after == play(start(record), shuffle=num_told)


@EVERY_STRATEGY
def test_nothing_is_asked_before_something_is_told(record: StrategyRecord) -> None:
    strategy = start(record)
    while strategy.ask():
        pass
    assert not strategy.ask()
    assert not strategy.prune()


@EVERY_STRATEGY
def test_what_is_told_holds_no_test_metric(record: StrategyRecord) -> None:
    assert set(TrialOutcome.__dataclass_fields__) == {
        "trial",
        "state",
        "validation",
        "curve",
        "num_parameters",
        "seconds",
    }


@EVERY_STRATEGY
def test_it_is_described_in_a_line(record: StrategyRecord) -> None:
    assert record.name == record.name.lower().strip()
    assert record.summary.strip()
    assert "\n" not in record.summary


def test_names_are_unique() -> None:
    assert len({record.name for record in list_strategies()}) == len(list_strategies())


@pytest.mark.parametrize("record", SEARCHES, ids=lambda record: record.name)
def test_every_search_keeps_its_contract(record: SearchRecord) -> None:
    check_search(record, record.settings.model_validate(SEARCH_FIELDS[record.name]))
