"""Racing asks for what is still open, and for the same whatever order results come in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from bakeoff.search.racing import AHEAD, Racing
from bakeoff.search.strategy import TrialOutcome
from bakeoff.study.plan import PlannedTrial, expand
from bakeoff.study.schema import Study

Score = Callable[[PlannedTrial], float | None]
AT_MOST = 12


@pytest.fixture(scope="module")
def trials() -> tuple[PlannedTrial, ...]:
    study = Study(
        question="Which?",
        blocks=[{"data.name": ["digits", "mnist"]}],
        recipe={"network": "mlp"},
        arms=[{"batch_size": [16, 32, 64]}],
        replicates=AT_MOST,
    )
    return expand(study).trials


def noise(trial: PlannedTrial) -> float:
    rng = np.random.default_rng([trial.replicate, trial.recipe.batch_size, len(trial.block)])
    return float(0.01 * rng.standard_normal())


def level(trial: PlannedTrial) -> float:
    return 0.9 + noise(trial)


def one_bad_on_digits(trial: PlannedTrial) -> float:
    bad = "digits" in trial.block and trial.recipe.batch_size == 64
    return level(trial) - (0.4 if bad else 0.0)


def one_fails(trial: PlannedTrial) -> float | None:
    return None if trial.recipe.batch_size == 16 else level(trial)


def tell(racing: Racing, trial: PlannedTrial, score: Score) -> None:
    value = score(trial)
    if value is None:
        racing.tell(TrialOutcome(trial=trial, state="failed"))
    else:
        racing.tell(TrialOutcome(trial=trial, state="done", validation={"accuracy": value}))


def play(racing: Racing, score: Score, seed: int | None = None) -> list[PlannedTrial]:
    """Drive a race to its end; with a seed, tell results in a random order, some of them between two asks."""
    chance = random.Random(seed)
    asked: list[PlannedTrial] = []
    running: list[PlannedTrial] = []
    while (due := racing.ask()) or running:
        asked += due
        running += due
        if seed is not None:
            chance.shuffle(running)
        for _ in range(len(running) if seed is None else chance.randint(1, len(running))):
            tell(racing, running.pop(), score)
    return asked


def count(asked: list[PlannedTrial]) -> Counter[tuple[str, str]]:
    return Counter((trial.block, trial.arm) for trial in asked)


def test_first_it_asks_for_the_least_of_all_arms(trials: tuple[PlannedTrial, ...]) -> None:
    asked = Racing(trials, at_least=4).ask()
    assert set(asked) == {trial for trial in trials if trial.replicate < 4}
    assert len(asked) == 24


def test_then_for_one_replicate_more_at_a_time(trials: tuple[PlannedTrial, ...]) -> None:
    racing = Racing(trials[: 3 * AT_MOST], at_least=3)
    due = list(racing.ask())
    for trial in due:
        tell(racing, trial, level)
    due = list(racing.ask())
    assert [trial.replicate for trial in due] == [3, 3, 3, 4, 4, 4]
    assert AHEAD == 1
    for trial in due[:3]:
        assert not racing.ask()
        tell(racing, trial, level)
    assert [trial.replicate for trial in racing.ask()] == [5, 5, 5]


def test_an_arm_that_is_beaten_is_not_asked_for_again(trials: tuple[PlannedTrial, ...]) -> None:
    racing = Racing(trials, at_least=3)
    counts = count(play(racing, one_bad_on_digits))
    for (block, arm), number in counts.items():
        exit_ = racing.standings[block].exits[arm]
        assert number == (3 if exit_.replicates == 3 else min(AT_MOST, exit_.replicates + AHEAD))
    digits = {arm: number for (block, arm), number in counts.items() if "digits" in block}
    assert min(digits, key=digits.__getitem__).endswith("64")
    assert len(set(digits.values())) > 1


def test_blocks_race_apart(trials: tuple[PlannedTrial, ...]) -> None:
    together = Racing(trials, at_least=3)
    play(together, one_bad_on_digits)
    for block, standing in together.standings.items():
        alone = Racing([trial for trial in trials if trial.block == block], at_least=3)
        play(alone, one_bad_on_digits)
        assert alone.standings == {block: standing}
        assert standing.settled


@pytest.mark.parametrize("score", [level, one_bad_on_digits, one_fails])
def test_timing_changes_nothing(trials: tuple[PlannedTrial, ...], score: Score) -> None:
    plain = Racing(trials, at_least=3)
    expected = play(plain, score)
    for seed in range(25):
        racing = Racing(trials, at_least=3)
        asked = play(racing, score, seed)
        assert set(asked) == set(expected)
        assert len(asked) == len(expected)
        assert racing.standings == plain.standings


def test_later_only_one_block_is_asked_for_at_a_time(trials: tuple[PlannedTrial, ...]) -> None:
    racing = Racing(trials, at_least=3)
    first = racing.ask()
    assert len({trial.block for trial in first}) == 2
    for trial in first:
        tell(racing, trial, level)
    blocks = [{trial.block for trial in racing.ask()} for _ in range(3)]
    assert [len(block) for block in blocks] == [1, 1, 0]
    assert blocks[0] != blocks[1]


def test_failed_trials_leave_their_replicate_out(trials: tuple[PlannedTrial, ...]) -> None:
    racing = Racing(trials, at_least=3)
    counts = count(play(racing, one_fails))
    for (block, arm), number in counts.items():
        if arm.endswith("16"):
            assert number == 3
            assert racing.standings[block].exits[arm].reason.endswith("last 3 trials failed")
        else:
            assert number > 3


def test_a_metric_where_lower_is_better(trials: tuple[PlannedTrial, ...]) -> None:
    racing = Racing(trials[: 3 * AT_MOST], at_least=3, metric="loss", higher_is_better=False)
    while due := racing.ask():
        for trial in due:
            loss = trial.recipe.batch_size + noise(trial)
            racing.tell(TrialOutcome(trial=trial, state="done", validation={"loss": loss, "accuracy": 0.5}))
    (standing,) = racing.standings.values()
    beaten = [arm for arm, left in standing.exits.items() if left.reason.startswith("worse")]
    assert [arm[-2:] for arm in beaten] == ["32", "64"]


def test_too_few_replicates_are_refused(trials: tuple[PlannedTrial, ...]) -> None:
    with pytest.raises(ValueError, match="at_least"):
        Racing(trials, at_least=AT_MOST + 1)


def test_folds_are_refused(trials: tuple[PlannedTrial, ...]) -> None:
    with pytest.raises(ValueError, match="folds"):
        Racing([*trials, trials[0]])
