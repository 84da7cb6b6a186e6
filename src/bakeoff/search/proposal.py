"""What a search proposes and how it learns what became of it: propose and judge. No torch.

A proposer knows nothing of trials, blocks, replicates or rungs: `search.searching` turns its proposals into trials, and
their results into scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """One candidate recipe.

    Attributes:
        number: 0 and up, in the order of proposing.
        changes: dotted field of the recipe -> value, as an arm of a study file would write them.
        generation: 0 and up; 0 throughout where a search has none.
        parents: numbers of the candidates it was made from.
        notes: what was done to make it, for its lineage, a short phrase each.
    """

    number: int
    changes: Mapping[str, Any]
    generation: int = 0
    parents: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Score:
    """What became of one candidate.

    Attributes:
        number: the proposal's.
        values: one per objective, in the study's order, on the validation split, averaged over its replicates; None
            where it failed, diverged or does not fit the images.
        pruned: given up before its last epoch; `values` are those of the last epoch it had.
    """

    number: int
    values: tuple[float, ...] | None
    pruned: bool = False


class Proposer(Protocol):
    """A search algorithm. `propose` and `judge` are its only verbs."""

    def propose(self) -> Sequence[Proposal]:
        """Return the next group, to be tried together; empty while one is open, and for good at the end.

        What is proposed is a function of the settings, the seed and the scores alone: never of the order in which one
        group's scores came, of the time, or of the machine. So a search is rebuilt from its scores after a kill.
        """
        ...

    def judge(self, score: Score) -> None:
        """Take in what became of one proposal. Called once for each, in any order within its group."""
        ...
