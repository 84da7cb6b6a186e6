"""Which models predict together, and how their probabilities become one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bakeoff.errors import LostFileError, NotYetError, UnknownPartError, nearest
from bakeoff.report.document import Sources
from bakeoff.report.text import show_text
from bakeoff.report.votes import Ballot
from bakeoff.report.winner import Winner
from bakeoff.stats.ensembles import Votes, cast_vote
from bakeoff.stats.temperature import fit_temperature

REPLICATES = "replicates"
"""Names the ensemble of an arm's replicates: the mean of their probabilities."""


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One model, or several that vote.

    Attributes:
        trial_ids: the trials of the models.
        by: the way to vote; see `stats.ensembles.VOTES`.
        weights: one per model for the fitted ways; else None.
    """

    trial_ids: tuple[str, ...]
    by: str = "soft"
    weights: Votes | None = None

    def cast(self, probabilities_MNL: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Return the probabilities (N, L) of M models' vote."""
        if len(self.trial_ids) == 1:
            return np.asarray(probabilities_MNL[0], dtype=np.float64)
        return cast_vote(probabilities_MNL, self.by, self.weights)

    def fit_temperature(self, sources: Sources) -> float:
        """Return the temperature of least log loss on the validation images.

        Models of different replicates have different validation images; each is then fitted alone, and the geometric
        mean is returned.

        Raises:
            WorkspaceError: the validation predictions of a trial are not stored.
        """
        found = []
        for trial_id in self.trial_ids:
            predictions = sources.voted.load(trial_id, "validation")
            if predictions is None:
                raise LostFileError(f"The validation predictions of trial {trial_id} are missing.")
            found.append(fit_temperature(predictions["probabilities"], predictions["labels"]))
        return float(np.exp(np.mean(np.log(found))))


def find_vote(winner: Winner, ensemble: str | None, sources: Sources) -> Vote:
    """Return the models that predict: the winner's best, its replicates, or an ensemble of the study.

    Args:
        winner: the arm and its trials.
        ensemble: an ensemble's label, `replicates`, or None for the best trial alone.
        sources: the study.

    Raises:
        WorkspaceError: no such ensemble, or it could not vote.
    """
    if ensemble is None:
        return Vote(trial_ids=winner.trial_ids[:1])
    if ensemble == REPLICATES and REPLICATES not in sources.study.ensembles:
        return Vote(trial_ids=winner.trial_ids)
    known = [*sources.study.ensembles, REPLICATES]
    if ensemble not in known:
        raise UnknownPartError(
            f"The study has no ensemble '{show_text(ensemble)}'. It has: {', '.join(map(show_text, known))}."
            f"{nearest(ensemble, known)}"
        )
    ballot = _find_ballot(winner, ensemble, sources)
    return Vote(
        trial_ids=tuple(model.trial_id for model in ballot.models),
        by=ballot.by,
        weights=ballot.weights,
    )


def _find_ballot(winner: Winner, label: str, sources: Sources) -> Ballot:
    """Return the vote to use: of the winner's models, or, over arms, of the replicate in which the winner did best."""
    ballots = [
        each
        for each in sources.voted.ballots.values()
        if (each.block, each.label) == (winner.block, label) and each.arm in ("", winner.arm)
    ]
    if not ballots:
        reasons = [note for note in sources.voted.notes if show_text(label) in note]
        raise NotYetError(
            " ".join(reasons) or f"Ensemble '{show_text(label)}' has no vote yet: finish the study first."
        )
    best = next((each for each in sources.record.results if each.trial_id == winner.trial_ids[0]), None)
    position = None if best is None else (best.replicate, best.fold)
    return next((each for each in ballots if (each.replicate, each.fold) == position), ballots[0])
