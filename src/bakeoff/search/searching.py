"""Searching: in every block a proposer's candidates, group by group; then finals between the best and the default.

Candidates are trained on replicates reserved for the search and judged on the validation split. The best of many
validation scores is biased upwards by selection, so the finals retrain the default recipe, the winner and, if there is
a baseline, its best candidate, on seeds that the search has never used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from bakeoff.catalog.augmentation.records import trace_augmentation
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.shape import Shape
from bakeoff.data.source import DataSource
from bakeoff.errors import BakeoffError
from bakeoff.registry import bind
from bakeoff.search.candidate import Candidate, CandidateState, Kind, find_direction, measure, measure_so_far
from bakeoff.search.front import choose_winner
from bakeoff.search.halving import Attempt, GroupTraining
from bakeoff.search.proposal import Proposal, Proposer
from bakeoff.search.proposers import Setting
from bakeoff.search.strategy import Pruned, TrialOutcome
from bakeoff.study.candidates import make_recipe, name_recipe
from bakeoff.study.fit import check_fit
from bakeoff.study.plan import Plan, PlannedTrial, derive_search_seed, derive_seed
from bakeoff.study.search import RANDOM, SEARCHES, WINNER, AnySearch, SearchRecord
from bakeoff.study.search_settings import Objective


class Facts(Protocol):
    """What a search needs to know about its images."""

    @property
    def shape_HWC(self) -> Shape:
        """Height, width and channels."""

    @property
    def num_classes(self) -> int:
        """Number of classes."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """One per class, in label order."""


class Searching:
    """Requests one group of candidates at a time in every block, then the block's finals.

    Requests are a function of the study and of the trials' results, never of their order or of the machine: the same
    results lead to the same requests, which is how a search resumes after a kill. Equal recipes of one block are
    trained once.

    Args:
        plan: the plan of a study with a search; its trials are those of the default arm.
        facts: facts about the images of all blocks, by source.
        find: returns the record of the algorithm for a search's settings.
    """

    def __init__(
        self,
        plan: Plan,
        facts: Mapping[DataSource, Facts],
        find: Callable[[str], SearchRecord] = SEARCHES.find,
    ) -> None:
        self._lanes: dict[str, _Lane] = {}
        for block in plan.blocks:
            trials = tuple(trial for trial in plan.trials if trial.block == block.label)
            if block.search is not None and trials:
                record = find(block.search.name)
                self._lanes[block.label] = _Lane(plan, block.search, trials, facts[block.data.source], record)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All candidates so far, block by block, the baseline's after the search's own."""
        return tuple(candidate for lane in self._lanes.values() for candidate in lane.candidates)

    def ask(self) -> Sequence[PlannedTrial]:
        """Return the group that is due in the first block that has one.

        One block at a time: trials requested together may be fused, and which are due at the same time depends on
        timing.
        """
        return next(filter(None, (lane.take() for lane in self._lanes.values())), ())

    def tell(self, told: TrialOutcome) -> None:
        """Receive a trial's end or pause."""
        self._lanes[told.trial.block].tell(told)

    def prune(self) -> Sequence[Pruned]:
        """Return the paused trials that were pruned since the last call."""
        return [pruned for lane in self._lanes.values() for pruned in lane.take_pruned()]


class _Lane:
    """One block's search: the search itself, then its baseline if it has one, then the finals."""

    def __init__(
        self, plan: Plan, search: AnySearch, trials: Sequence[PlannedTrial], facts: Facts, record: SearchRecord
    ) -> None:
        self._plan, self._search, self._trials, self._facts, self._record = plan, search, trials, facts, record
        self._objectives = search.list_objectives(plan.study.decide.metric)
        default = trials[0].recipe
        self._setting = Setting(
            image_shape_HWC=trace_augmentation(default.augmentation, facts.shape_HWC),
            seed=derive_search_seed(plan.study.seed),
            directions=tuple(find_direction(objective) for objective in self._objectives),
        )
        self.candidates: list[Candidate] = []
        self._attempts: dict[str, tuple[str, Attempt]] = {}
        self._group = GroupTraining((), None, self._judge)
        self._kind: Kind = "candidate"
        self._num_groups = self._group_start = 0
        self._proposer: Proposer | None = bind(record.make)(search, self._setting)
        self._pruned: list[Pruned] = []
        self._finals: list[PlannedTrial] = []
        self._advance()

    def take(self) -> list[PlannedTrial]:
        """Return the trials that are due, once."""
        finals, self._finals = self._finals, []
        return self._group.take() or finals

    def take_pruned(self) -> list[Pruned]:
        pruned, self._pruned = self._pruned, []
        return pruned

    def tell(self, told: TrialOutcome) -> None:
        if told.trial.stage == "final":
            return
        self._group.tell(told)
        self._pruned += self._group.take_pruned()
        if self._group.is_done:
            self._close_group()
            self._advance()

    def _advance(self) -> None:
        """Open groups until one has something to train; if there are no more, plan the finals."""
        while self._proposer is not None:
            proposals = self._proposer.propose()
            if not proposals:
                self._end_search()
                continue
            self._open_group(proposals)
            if not self._group.is_done:
                return
            self._close_group()

    def _open_group(self, proposals: Sequence[Proposal]) -> None:
        self._group_start = len(self.candidates)
        opened = [self._make_candidate(proposal) for proposal in proposals]
        self.candidates += opened
        new = [each.attempt for each in opened if each.attempt is not None and each.same_as is None]
        halving = self._search.find_halving()
        self._group = GroupTraining(new, halving, self._judge)
        self._num_groups += 1

    def _judge(self, attempt: Attempt) -> float:
        return measure_so_far(attempt, self._objectives[0])

    def _make_candidate(self, proposal: Proposal) -> Candidate:
        first = self._trials[0]
        candidate = Candidate(block=first.block, kind=self._kind, proposal=proposal, group=self._num_groups)
        try:
            recipe = make_recipe(first.recipe, proposal.changes)
            faults = [f"{part}: {why}" for part, why in self._check_fit(recipe)]
        except BakeoffError as error:
            faults = [str(error)]
        if faults:
            return replace(candidate, state="unfit", reason="; ".join(faults))
        name = name_recipe(recipe)
        if name in self._attempts:
            same_as, attempt = self._attempts[name]
            return replace(candidate, attempt=attempt, same_as=same_as)
        attempt = Attempt(number=proposal.number, trials=self._plan_trials(candidate.label, recipe))
        self._attempts[name] = (candidate.label, attempt)
        return replace(candidate, attempt=attempt)

    def _check_fit(self, recipe: Recipe) -> list[tuple[str, str]]:
        return list(check_fit(recipe, self._facts.shape_HWC, self._facts.class_names, self._trials[0].data.source))

    def _plan_trials(self, label: str, recipe: Recipe) -> tuple[PlannedTrial, ...]:
        """Plan a candidate's trials, on replicates that the finals never use."""
        folds = dict.fromkeys(trial.fold for trial in self._trials)
        return tuple(
            replace(
                self._trials[0],
                arm=label,
                recipe=recipe,
                replicate=replicate,
                seed=derive_seed(self._plan.study.seed, replicate, "search"),
                fold=fold,
                stage="search",
            )
            for replicate in range(self._search.replicates)
            for fold in folds
        )

    def _close_group(self) -> None:
        """Score the open candidates, and report the scores to their proposer in order of number."""
        assert self._proposer is not None
        for position in range(self._group_start, len(self.candidates)):
            self.candidates[position] = _score(self.candidates[position], self._objectives)
            self._proposer.judge(self.candidates[position].score)

    def _end_search(self) -> None:
        """Determine the winner of the search or of its baseline; continue with the baseline, or plan the finals."""
        own = [candidate for candidate in self.candidates if candidate.kind == self._kind]
        best = choose_winner([candidate.score for candidate in own], self._setting.directions)
        for position, candidate in enumerate(self.candidates):
            if best is not None and candidate.kind == self._kind and candidate.proposal.number == best.number:
                self.candidates[position] = replace(candidate, is_winner=True)
        budget = sum(candidate.attempt is not None and candidate.same_as is None for candidate in own)
        if self._kind == "candidate" and self._search.baseline is not None and budget:
            self._kind, self._num_groups = "random", 0
            self._proposer = bind(self._record.make_baseline)(self._search, self._setting, budget)
            return
        self._proposer = None
        self._finals = self._plan_finals()

    def _plan_finals(self) -> list[PlannedTrial]:
        arms = {self._trials[0].arm: self._trials[0].recipe}
        for candidate in self.candidates:
            if candidate.is_winner and candidate.attempt is not None:
                arms[_FINAL_ARMS[candidate.kind]] = candidate.attempt.trials[0].recipe
        return [replace(trial, arm=arm, recipe=recipe) for trial in self._trials for arm, recipe in arms.items()]


_FINAL_ARMS: Mapping[Kind, str] = {"candidate": WINNER, "random": RANDOM}


def _score(candidate: Candidate, objectives: Sequence[Objective]) -> Candidate:
    attempt = candidate.attempt
    if attempt is None:
        return candidate
    values = measure(attempt, objectives)
    state: CandidateState = attempt.state if values is not None else "failed"
    return replace(candidate, state=state, reason=attempt.reason, values=values)
