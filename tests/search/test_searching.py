"""Searching, with a proposer that follows a script: candidates, equal recipes, the baseline, the finals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bakeoff.driver.facts import ImageFacts
from bakeoff.search.candidate import Candidate
from bakeoff.search.proposal import Proposal, Score
from bakeoff.search.searching import Searching
from bakeoff.search.strategy import TrialOutcome
from bakeoff.study.plan import PlannedTrial, derive_seed, expand
from bakeoff.study.schema import Study
from bakeoff.study.search import OptunaSearch, SearchRecord

FACTS = ImageFacts(shape_HWC=(8, 8, 1), class_names=tuple("0123456789"), num_images=1_438)
RATES = {"optimizer.learning_rate": [0.5, 0.25, 0.125]}


class Scripted:
    """Proposes the groups it was given, each a list of changes, and remembers what it is told."""

    def __init__(self, groups: Sequence[Sequence[dict[str, Any]]]) -> None:
        self._groups = list(groups)
        self._num_proposed = 0
        self.scores: list[Score] = []

    def propose(self) -> Sequence[Proposal]:
        group = self._groups.pop(0) if self._groups else []
        start, self._num_proposed = self._num_proposed, self._num_proposed + len(group)
        return [Proposal(number=start + n, changes=changes) for n, changes in enumerate(group)]

    def judge(self, score: Score) -> None:
        self.scores.append(score)


class Bench:
    """One search in one block, whose trials are answered with the learning rate as accuracy."""

    def __init__(self, groups: Any, baseline: Any = None, study: dict[str, Any] | None = None, **fields: Any) -> None:
        search = {"name": "optuna", "space": RATES, "baseline": "random" if baseline else None, **fields}
        self.study = Study(
            question="Which?",
            recipe={"network": {"name": "mlp", "units": [8]}, "epochs": 8},
            search=search,
            **{"replicates": 2, **(study or {})},
        )
        self.plan = expand(self.study)
        self.proposer, self.budgets = Scripted(groups), list[int]()
        self.baseline = Scripted(baseline or [])

        def make_baseline(search: Any, setting: Any, budget: int) -> Scripted:
            self.budgets.append(budget)
            return self.baseline

        record = SearchRecord(
            "optuna",
            "scripted",
            "this test",
            OptunaSearch,
            make=lambda search, setting: self.proposer,
            make_baseline=make_baseline,
        )
        facts = {block.data.source: FACTS for block in self.plan.blocks}
        self.searching = Searching(self.plan, facts, lambda name: record)
        self.asked: list[list[PlannedTrial]] = []
        self.told: list[TrialOutcome] = []

    def play(self, *, fail: Sequence[float] = ()) -> Bench:
        while asked := list(self.searching.ask()):
            self.asked.append(asked)
            for trial in asked:
                told = answer(trial)
                rate = trial.recipe.model_dump()["optimizer"]["learning_rate"]
                self.told.append(replace(told, state="diverged", validation={}) if rate in fail else told)
                self.searching.tell(self.told[-1])
        return self

    @property
    def finals(self) -> list[tuple[str, int, float]]:
        return [
            (trial.arm, trial.replicate, trial.recipe.model_dump()["optimizer"]["learning_rate"])
            for trial in self.asked[-1]
        ]

    def find(self, label: str) -> Candidate:
        return next(candidate for candidate in self.searching.candidates if candidate.label == label)


def answer(trial: PlannedTrial) -> TrialOutcome:
    rate = trial.recipe.model_dump()["optimizer"]["learning_rate"] + trial.replicate / 100
    return TrialOutcome(
        trial=trial, state="done", validation={"accuracy": rate, "loss": rate}, num_parameters=9, seconds=2.0
    )


def rate(value: float) -> dict[str, float]:
    return {"optimizer.learning_rate": value}


def test_the_best_candidate_and_the_default_meet_on_fresh_seeds() -> None:
    bench = Bench([[rate(0.25), rate(0.5)], [rate(0.125)]]).play()
    assert [[trial.arm for trial in asked] for asked in bench.asked] == [
        ["candidate 0", "candidate 1"],
        ["candidate 2"],
        ["default", "winner", "default", "winner"],
    ]
    assert bench.finals == [("default", 0, 0.001), ("winner", 0, 0.5), ("default", 1, 0.001), ("winner", 1, 0.5)]
    assert bench.find("candidate 1").is_winner
    searched = {trial.seed for asked in bench.asked[:-1] for trial in asked}
    assert searched == {derive_seed(0, 0, "search")}
    assert [trial.seed for trial in bench.asked[-1]] == [derive_seed(0, r) for r in (0, 0, 1, 1)]
    assert searched.isdisjoint(derive_seed(0, r) for r in range(1_000))
    assert {trial.stage for trial in bench.asked[-1]} == {"final"}


def test_a_proposer_is_told_the_mean_over_replicates_and_folds() -> None:
    bench = Bench([[rate(0.25)]], replicates=3, study={"data": {"folds": 2}}).play()
    assert len(bench.asked[0]) == 6
    (score,) = bench.proposer.scores
    assert score == Score(number=0, values=(pytest.approx(0.26),))  # type: ignore[arg-type]
    assert len({(trial.replicate, trial.fold) for trial in bench.asked[0]}) == 6


def test_an_equal_recipe_is_trained_once_and_its_score_stands_again() -> None:
    bench = Bench([[rate(0.25), rate(0.25)], [rate(0.25), rate(0.5)]]).play()
    assert [[trial.arm for trial in asked] for asked in bench.asked[:2]] == [["candidate 0"], ["candidate 3"]]
    assert [score.values for score in bench.proposer.scores] == [(0.25,), (0.25,), (0.25,), (0.5,)]
    assert bench.find("candidate 2").same_as == "candidate 0"


def test_a_group_of_known_recipes_only_needs_no_training() -> None:
    bench = Bench([[rate(0.25)], [rate(0.25)], [rate(0.25)]]).play()
    assert [len(asked) for asked in bench.asked] == [1, 4]
    assert len(bench.proposer.scores) == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"optimizer.learning_rat": 1}, "optimizer.learning_rat: unknown field"),
        ({"optimizer.learning_rate": -1}, "optimizer.learning_rate: given -1, allowed a number above 0"),
        ({"network": {"layers": [{"type": "conv", "filters": 3, "kernel": 30}]}}, "network: "),
        ({"network.units.9": 3}, "no '9' in network.units"),
    ],
)
def test_what_does_not_fit_scores_nothing_and_is_not_trained(changes: dict[str, Any], reason: str) -> None:
    bench = Bench([[changes, rate(0.5)]]).play()
    assert [trial.arm for trial in bench.asked[0]] == ["candidate 1"]
    assert bench.proposer.scores[0] == Score(number=0, values=None)
    assert bench.find("candidate 0").state == "unfit"
    assert bench.find("candidate 0").reason.startswith(reason)


def test_a_diverged_candidate_scores_nothing() -> None:
    bench = Bench([[rate(0.5), rate(0.25)]]).play(fail=[0.5])
    assert [score.values for score in bench.proposer.scores] == [None, (0.25,)]
    assert (bench.find("candidate 0").state, bench.find("candidate 0").reason) == ("failed", "diverged")
    assert bench.find("candidate 1").is_winner


def test_where_all_fail_the_default_is_trained_alone() -> None:
    bench = Bench([[rate(0.5)]]).play(fail=[0.5])
    assert bench.finals == [("default", 0, 0.001), ("default", 1, 0.001)]
    assert not any(candidate.is_winner for candidate in bench.searching.candidates)


def test_the_baseline_has_as_many_candidates_as_the_search_trained() -> None:
    bench = Bench([[rate(0.25), rate(0.25), {"nonsense": 1}, rate(0.125)]], [[rate(0.5)]]).play()
    assert bench.budgets == [2]
    assert [trial.arm for trial in bench.asked[1]] == ["random 0"]
    assert {(arm, value) for arm, _, value in bench.finals} == {("default", 0.001), ("winner", 0.25), ("random", 0.5)}
    assert bench.baseline.scores == [Score(number=0, values=(0.5,))]


def test_the_baseline_s_equal_recipes_are_not_trained_again() -> None:
    bench = Bench([[rate(0.25)]], [[rate(0.25)]]).play()
    assert [len(asked) for asked in bench.asked] == [1, 6]
    assert bench.find("random 0").same_as == "candidate 0"
    assert bench.find("random 0").is_winner


def test_a_loss_is_best_when_it_is_small() -> None:
    bench = Bench([[rate(0.5), rate(0.125)]], study={"decide": {"metric": "loss"}}).play()
    assert bench.find("candidate 1").is_winner


def test_several_objectives_are_told_in_their_order_and_units() -> None:
    bench = Bench([[rate(0.5)]], objectives=["parameters", "loss", "seconds"]).play()
    assert bench.proposer.scores == [Score(number=0, values=(9.0, 0.5, 2.0))]


def test_blocks_search_apart_and_take_turns() -> None:
    study = {"blocks": [{"data.validation": [0.1, 0.2]}]}
    search = {"name": "optuna", "space": RATES, "trials": 2, "group": 2, "sampler": "random"}
    plan = expand(Study(question="?", recipe={"network": "mlp"}, search=search, replicates=1, **study))
    searching = Searching(plan, {block.data.source: FACTS for block in plan.blocks})
    asks = [list(searching.ask()) for _ in range(3)]
    assert [{trial.block for trial in asked} for asked in asks] == [{"0.1"}, {"0.2"}, set()]
    for trial in asks[1]:
        searching.tell(answer(trial))
    assert {(trial.block, trial.stage) for trial in searching.ask()} == {("0.2", "final")}


def test_a_block_may_change_the_search() -> None:
    blocks = [{"a": {"search.trials": 1}, "b": {"search": {"group": 3, "trials": 3}}}]
    search = {"name": "optuna", "space": RATES, "trials": 2, "group": 2, "sampler": "random"}
    plan = expand(Study(question="?", recipe={"network": "mlp"}, search=search, replicates=1, blocks=blocks))
    searching = Searching(plan, {block.data.source: FACTS for block in plan.blocks})
    assert [len(searching.ask()) for _ in range(2)] == [1, 3]
