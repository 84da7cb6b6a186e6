"""A search's record: every change is written, and what has not changed is not looked at again."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from bakeoff.driver import searches
from bakeoff.driver.facts import ImageFacts
from bakeoff.driver.searches import SearchRecorder
from bakeoff.ledger.rows import CandidateRow
from bakeoff.search.searching import Searching
from bakeoff.search.strategy import TrialOutcome
from bakeoff.study.plan import expand
from bakeoff.study.schema import Study

NUM_CANDIDATES = 40


def test_a_candidate_is_written_when_it_opens_and_when_it_ends_and_then_left_alone(
    facts: ImageFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {"optimizer.learning_rate": {"low": 0.01, "high": 1.0}}
    search = {"name": "optuna", "sampler": "random", "trials": NUM_CANDIDATES, "space": space}
    recipe = {"network": {"name": "mlp", "units": [8]}}
    plan = expand(Study(question="Which?", recipe=recipe, search=search, replicates=2))
    searching = Searching(plan, {block.data.source: facts for block in plan.blocks})
    written: dict[int, list[CandidateRow]] = {}

    def keep(study_id: str, placements: Any, rows: Any) -> None:
        for row in rows:
            written.setdefault(row.number, []).append(row)

    made: Counter[int] = Counter()
    write = SearchRecorder._write
    monkeypatch.setattr(
        searches.SearchRecorder, "_write", lambda self, each: made.update([each.proposal.number]) or write(self, each)
    )
    settings = {block.label: block.search for block in plan.blocks if block.search is not None}
    ledger: Any = SimpleNamespace(place=keep)
    recorder = SearchRecorder(searching, ledger, "s", searches=settings, metric="accuracy", placed=plan.trials)
    while asked := searching.ask():
        recorder.take([SimpleNamespace(planned=trial, trial_id=f"{trial.arm}") for trial in asked])  # type: ignore[misc]
        for trial in asked:
            rate = trial.recipe.model_dump()["optimizer"]["learning_rate"]
            searching.tell(TrialOutcome(trial=trial, state="done", validation={"accuracy": 1 - rate}))
    assert [row[-1].state for row in written.values()] == ["done"] * NUM_CANDIDATES
    assert all(row[-1].trial_ids == (f"candidate {number}",) for number, row in written.items())
    assert sum(row[-1].is_winner for row in written.values()) == 1
    assert max(made.values()) <= 3  # open, ended, and chosen as the winner
