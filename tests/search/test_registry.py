"""What every strategy holds to, whichever it is."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from bakeoff.search.registry import STRATEGIES, StrategyRecord
from bakeoff.search.strategy import Strategy, Told
from bakeoff.study.plan import PlannedTrial, expand
from bakeoff.study.schema import Study

EVERY_STRATEGY = pytest.mark.parametrize("record", STRATEGIES, ids=lambda record: record.name)
MOST_ASKS = 1_000


@pytest.fixture(scope="module")
def trials() -> tuple[PlannedTrial, ...]:
    study = Study(
        question="Which?",
        recipe={"network": "mlp"},
        arms=[{"optimizer.learning_rate": [0.1, 0.01]}, {"batch_size": [16, 32]}],
        replicates=3,
    )
    return expand(study).trials


def told(trial: PlannedTrial, *, done: bool = True) -> Told:
    """Answer an asked trial, the same way every time."""
    accuracy = 1.0 / (1 + trial.replicate + trial.recipe.batch_size)
    return Told(trial=trial, done=done, validation={"accuracy": accuracy} if done else {})


def play(strategy: Strategy, *, shuffle: int | None = None, failing: bool = False) -> list[PlannedTrial]:
    """Drive a strategy to its end as the driver does, telling the trials of each ask in some order."""
    asked: list[PlannedTrial] = []
    for _ in range(MOST_ASKS):
        trials = list(strategy.ask())
        if not trials:
            return asked
        asked += trials
        if shuffle is not None:
            random.Random(shuffle).shuffle(trials)
        for number, trial in enumerate(trials):
            strategy.tell(told(trial, done=not (failing and number % 2)))
    pytest.fail(f"no end after {MOST_ASKS} asks")


@EVERY_STRATEGY
def test_asking_is_deterministic(record: StrategyRecord, trials: Sequence[PlannedTrial]) -> None:
    assert play(record.kind(trials)) == play(record.kind(trials))


@EVERY_STRATEGY
def test_the_order_of_telling_does_not_matter(record: StrategyRecord, trials: Sequence[PlannedTrial]) -> None:
    first = play(record.kind(trials))
    assert all(play(record.kind(trials), shuffle=seed) == first for seed in range(3))


@EVERY_STRATEGY
def test_it_ends_when_trials_fail(record: StrategyRecord, trials: Sequence[PlannedTrial]) -> None:
    assert play(record.kind(trials), failing=True)


@EVERY_STRATEGY
def test_nothing_is_asked_before_it_is_needed_again(record: StrategyRecord, trials: Sequence[PlannedTrial]) -> None:
    strategy = record.kind(trials)
    assert strategy.ask()
    assert not strategy.ask()  # nothing was told in between


@EVERY_STRATEGY
def test_it_has_nothing_to_ask_of_nothing(record: StrategyRecord) -> None:
    assert not record.kind(()).ask()


@EVERY_STRATEGY
def test_it_is_described_in_a_line(record: StrategyRecord) -> None:
    assert record.name == record.name.lower().strip()
    assert record.summary.strip()
    assert "\n" not in record.summary


def test_names_are_unique() -> None:
    assert len({record.name for record in STRATEGIES}) == len(STRATEGIES)
