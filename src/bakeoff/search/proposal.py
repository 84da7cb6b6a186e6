"""The interface of search algorithms: propose and judge. No torch.

A proposer knows nothing about trials, blocks, replicates or rungs: `search.searching` turns its proposals into trials,
and their results into scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """One candidate recipe.

    Attributes:
        number: counted from 0, in order of proposal.
        changes: dotted field of the recipe -> value, in the form of an arm in a study file.
        generation: counted from 0; always 0 for searches without generations.
        parents: numbers of the candidates it was derived from.
        notes: how it was made, as short phrases for its ancestry.
    """

    number: int
    changes: Mapping[str, Any]
    generation: int = 0
    parents: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Score:
    """The outcome of one candidate.

    Attributes:
        number: the number of the proposal.
        values: one per objective, in the study's order, on the validation split, averaged over its replicates; None
            if it failed, diverged or does not fit the images.
        pruned: stopped before its last epoch; `values` are those of the last epoch it trained.
    """

    number: int
    values: tuple[float, ...] | None
    pruned: bool = False


class Proposer(Protocol):
    """A search algorithm."""

    def propose(self) -> Sequence[Proposal]:
        """Return the next group, to be tried together; empty while one is open, and at the end.

        Proposals are a function of the settings, the seed and the scores alone: never of the order in which one
        group's scores arrive, of time, or of the machine. So a search can be rebuilt from its scores after a kill.
        """
        ...

    def judge(self, score: Score) -> None:
        """Receive the outcome of one proposal. Called once for each, in any order within its group."""
        ...
