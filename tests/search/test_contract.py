"""What every strategy and every proposer holds to, whichever it is."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from bakeoff.execution.facts import ImageFacts
from bakeoff.registry import bind
from bakeoff.search.proposal import Proposal, Proposer, Score
from bakeoff.search.proposers import Setting
from bakeoff.search.registry import StrategyRecord, choose_strategy, list_strategies
from bakeoff.search.strategy import Strategy, Told
from bakeoff.study.genome_settings import EvolutionSearch
from bakeoff.study.plan import Plan, PlannedTrial, expand
from bakeoff.study.schema import Study
from bakeoff.study.search import SEARCHES, AnySearch, OptunaSearch, SearchRecord

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
EVERY_PROPOSER = pytest.mark.parametrize("record", SEARCHES, ids=lambda record: record.name)
EITHER = pytest.mark.parametrize("baseline", [False, True], ids=["search", "baseline"])


def make_plan(name: str) -> Plan:
    recipe = {"network": {"name": "mlp", "units": [8]}, "epochs": 4}
    return expand(Study(question="Which?", recipe=recipe, blocks=[{"data.validation": [0.1, 0.2]}], **STUDIES[name]))


def start(record: StrategyRecord) -> Strategy:
    plan = make_plan(record.name)
    return record.make(plan, {block.data.source: FACTS for block in plan.blocks})


def draw(*what: object) -> float:
    """Return a number from 0 to 1 that is a function of `what` alone."""
    return random.Random(repr(what)).random()


def answer(trial: PlannedTrial, *, fail: Callable[[PlannedTrial], bool] = lambda trial: False) -> Told:
    """Answer an asked trial as training it would, the same way every time."""
    if fail(trial):
        return Told(trial=trial, state="failed")
    last = trial.recipe.epochs if trial.until is None else min(trial.until, trial.recipe.epochs)
    curve = tuple({"accuracy": draw(trial.recipe, trial.block, trial.seed, epoch)} for epoch in range(last))
    if last < trial.recipe.epochs:
        return Told(trial=trial, state="paused", curve=curve)
    return Told(trial=trial, state="done", validation=curve[-1], curve=curve, num_parameters=7, seconds=1.0)


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
    assert set(Told.__dataclass_fields__) == {"trial", "state", "validation", "curve", "num_parameters", "seconds"}


@EVERY_STRATEGY
def test_it_is_described_in_a_line(record: StrategyRecord) -> None:
    assert record.name == record.name.lower().strip()
    assert record.summary.strip()
    assert "\n" not in record.summary


def test_names_are_unique() -> None:
    assert len({record.name for record in list_strategies()}) == len(list_strategies())


# --- proposers -------------------------------------------------------------------------------------------------------


def make_search(name: str) -> AnySearch:
    kind: type[Any] = {"optuna": OptunaSearch, "evolution": EvolutionSearch}[name]
    search: AnySearch = kind(**SEARCH_FIELDS[name])
    return search


def make_proposer(record: SearchRecord, *, baseline: bool = False, seed: int = 5) -> Proposer:
    search = make_search(record.name)
    setting = Setting(image_shape_HWC=(8, 8, 1), seed=seed, directions=("maximize",))
    return bind(record.make_baseline)(search, setting, 7) if baseline else bind(record.make)(search, setting)


def judge(proposal: Proposal, share_failing: float = 0.0) -> Score:
    if draw("fails", proposal.number) < share_failing:
        return Score(number=proposal.number, values=None)
    pruned = draw("pruned", proposal.number) < 0.3
    return Score(number=proposal.number, values=(draw(dict(proposal.changes)),), pruned=pruned)


def run(proposer: Proposer, *, shuffle: int | None = None, share_failing: float = 0.0) -> list[Proposal]:
    proposed: list[Proposal] = []
    for _ in range(MOST_ASKS):
        group = list(proposer.propose())
        if not group:
            return proposed
        assert not proposer.propose()  # one group at a time
        proposed += group
        scores = [judge(proposal, share_failing) for proposal in group]
        if shuffle is not None:
            random.Random(shuffle).shuffle(scores)
        for score in scores:
            proposer.judge(score)
    pytest.fail(f"no end after {MOST_ASKS} groups")


@EVERY_PROPOSER
@EITHER
def test_proposing_is_deterministic_under_its_seed(record: SearchRecord, baseline: bool) -> None:
    first = run(make_proposer(record, baseline=baseline))
    assert run(make_proposer(record, baseline=baseline)) == first
    assert run(make_proposer(record, baseline=baseline, seed=6)) != first


@EVERY_PROPOSER
@EITHER
def test_the_order_of_judging_does_not_matter(record: SearchRecord, baseline: bool) -> None:
    first = run(make_proposer(record, baseline=baseline))
    assert all(run(make_proposer(record, baseline=baseline), shuffle=seed) == first for seed in range(3))


@EVERY_PROPOSER
@EITHER
@pytest.mark.parametrize("share_failing", [0.0, 0.5, 1.0])
def test_numbers_run_on_and_nothing_is_proposed_twice(
    record: SearchRecord, baseline: bool, share_failing: float
) -> None:
    proposed = run(make_proposer(record, baseline=baseline), share_failing=share_failing)
    assert [proposal.number for proposal in proposed] == list(range(len(proposed)))
    changes = [repr(proposal.changes) for proposal in proposed]
    assert len(set(changes)) == len(changes)
    assert all(parent < proposal.number for proposal in proposed for parent in proposal.parents)


@EVERY_PROPOSER
@EITHER
def test_the_budget_is_kept(record: SearchRecord, baseline: bool) -> None:
    most = 7 if baseline else make_search(record.name).most_candidates
    assert 0 < len(run(make_proposer(record, baseline=baseline))) <= most


@EVERY_PROPOSER
def test_after_a_kill_it_proposes_the_same_again(record: SearchRecord) -> None:
    whole = run(make_proposer(record))
    stopped = make_proposer(record)
    first = list(stopped.propose())
    stopped.judge(judge(first[0]))
    assert run(make_proposer(record)) == whole
