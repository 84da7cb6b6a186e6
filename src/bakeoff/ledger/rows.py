"""Typed rows of the ledger: how a trial ended, and what a search proposed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bakeoff.ledger.values import check_row, read_list, read_mapping, read_numbers

TrialState = Literal["done", "diverged", "failed", "pruned"]
Stage = Literal["search", "final"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a trial in the ledger ended.

    Attributes:
        validation: metrics of the stored weights; empty unless done.
        num_parameters: None unless done.
        seconds: its training time, including the full time for a frozen body's features; None unless done.
    """

    state: TrialState
    num_epochs: int
    validation: Mapping[str, float]
    num_parameters: int | None
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class CandidateRow:
    """A search's candidate as recorded in the ledger.

    Attributes:
        block: the block in which it was tried.
        kind: `candidate` of the search itself, or of its baseline (`random`).
        number: counted from 0 within its kind.
        group: counted from 0: candidates of one group were proposed together.
        generation: counted from 0; always 0 for searches without generations.
        parents: numbers of the candidates it was derived from.
        changes: dotted field of the recipe -> value.
        notes: how it was made.
        trial_ids: its trials, or those of the earlier identical candidate.
        state: open, done, pruned, failed, or unfit (no valid recipe for these images).
        reason: why it has no score, or at which rung it was pruned.
        scores: objective -> value; empty without a score.
        same_as: the label of the earlier candidate with the same recipe; empty if there is none.
        is_winner: whether it won among its kind in its block.
    """

    block: str
    kind: str
    number: int
    group: int
    generation: int
    parents: tuple[int, ...]
    changes: Mapping[str, Any]
    notes: tuple[str, ...]
    trial_ids: tuple[str, ...]
    state: str
    reason: str
    scores: Mapping[str, float]
    same_as: str
    is_winner: bool

    def dump(self) -> tuple[str | int, ...]:
        """Return the columns of its row, without the study's id."""
        return (
            self.block,
            self.kind,
            self.number,
            self.group,
            self.generation,
            json.dumps(self.parents),
            json.dumps(dict(self.changes), allow_nan=False),
            json.dumps(self.notes),
            json.dumps(self.trial_ids),
            self.state,
            self.reason,
            json.dumps(dict(self.scores), allow_nan=False),
            self.same_as,
            int(self.is_winner),
        )

    @classmethod
    def read(cls, row: Sequence[Any]) -> CandidateRow:
        """Return what `dump` wrote."""
        row = check_row(row, "ttiiittttttttb")
        block, kind, number, group, generation, parents, changes, notes, ids, state, reason, scores, same, won = row
        return cls(
            block=block,
            kind=kind,
            number=number,
            group=group,
            generation=generation,
            parents=read_list(parents, int),
            changes=read_mapping(changes),
            notes=read_list(notes, str),
            trial_ids=read_list(ids, str),
            state=state,
            reason=reason,
            scores=read_numbers(scores),
            same_as=same,
            is_winner=bool(won),
        )
