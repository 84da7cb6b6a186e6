"""Computes ensembles from stored predictions: every vote becomes a result beside those of the trained arms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bakeoff.errors import BakeoffError, LostFileError, WorkspaceError
from bakeoff.report.evidence import Load, Predictions
from bakeoff.report.text import name_run
from bakeoff.stats.ensembles import Votes, cast_vote, find_vote
from bakeoff.stats.measure import Split, join_names
from bakeoff.stats.metrics import classification_metrics, find_metric, score_by
from bakeoff.stats.results import TrialResult
from bakeoff.stats.vote_fits import cross_vote, fit_vote
from bakeoff.study.ensembles import Ensemble, list_ensemble_arms
from bakeoff.study.schema import Study

_SPLITS: tuple[Split, ...] = ("validation", "test", "held-out")


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """One vote: its models and their weights.

    Attributes:
        trial_id: of the vote's result; not in the ledger.
        label: the ensemble.
        by: the kind of vote.
        over: arms, replicates or folds.
        arm: the arm whose models vote; empty for a vote over arms.
        replicate, fold: those that all models share; None if they differ.
        models: the trials whose models vote.
        weights: one per model; None if not fitted.
        fitted: the deciding metric on the validation images used to fit the weights, for the vote and for its best
            model there; None if not fitted. Too high to compare with other scores.
    """

    trial_id: str
    block: str
    label: str
    by: str
    over: str
    arm: str = ""
    replicate: int | None
    fold: int | None
    models: tuple[TrialResult, ...]
    weights: Votes | None = None
    fitted: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Voted:
    """A study's results with its votes.

    Attributes:
        results: the trials, then the votes of ensembles that are arms.
        arms: labels of the trained arms, then of these ensembles.
        ballots: all votes by the id of their result; those over replicates or folds have no result.
        notes: a sentence for each vote that could not be computed, and why.
        load: reads predictions of trials and votes.
    """

    results: tuple[TrialResult, ...]
    arms: tuple[str, ...]
    ballots: Mapping[str, Ballot]
    notes: tuple[str, ...]
    load: Load


def add_ensembles(results: Sequence[TrialResult], study: Study, arms: Sequence[str], load: Load) -> Voted:
    """Compute the votes of a study's ensembles.

    A vote needs all its members to be done, with stored predictions of the same images. If a member failed, so has the
    vote: leaving it out would judge it only on replicates that went well. Epochs and seconds are the sums over members.
    Fitted weights come from the validation images; the vote's own validation result is cross-fitted, so that no image
    is scored with weights it helped to choose.

    Args:
        results: the trials of the compared arms.
        study: the study.
        arms: labels of the trained arms.
        load: reads one trial's predictions.
    """
    counter = _Counter(study.decide.metric, load)
    votes: list[TrialResult] = []
    for label, ensemble in study.ensembles.items():
        for ballot in _list_ballots(label, ensemble, results, arms):
            failed = [model for model in ballot.models if model.state == "failed"]
            result = counter.fail(ballot, failed) if failed else counter.count(ballot)
            votes += [result] if result is not None and ensemble.is_arm else []
    return Voted(
        results=(*results, *votes),
        arms=(*arms, *list_ensemble_arms(study.ensembles)),
        ballots=counter.ballots,
        notes=tuple(dict.fromkeys(counter.notes)),
        load=counter.load,
    )


def read_models(models: Sequence[TrialResult], split: str, load: Load) -> tuple[npt.NDArray[Any], Predictions]:
    """Return the probabilities [M, N, C] of several models, and the first one's predictions for labels and indices.

    Raises:
        WorkspaceError: predictions are missing, or of different images.
    """
    found = [load(model.trial_id, split) for model in models]
    first = found[0]
    for model, predictions in zip(models, found, strict=True):
        if predictions is None or first is None:
            lost = model if predictions is None else models[0]
            raise LostFileError(f"the {split} predictions of trial {lost.trial_id} ({lost.arm}) are missing")
        if any(not np.array_equal(predictions[name], first[name]) for name in ("labels", "indices")):
            names = f"{models[0].trial_id} and {model.trial_id}"
            raise LostFileError(f"the {split} predictions of trials {names} are of different images")
    kept = [predictions["probabilities"] for predictions in found if predictions is not None]
    assert first is not None
    return np.stack(kept), first


def shared_splits(models: Iterable[TrialResult]) -> list[Split]:
    """Return the splits, other than train, on which all of some trials were evaluated."""
    listed = list(models)
    return [split for split in _SPLITS if all(split in model.metrics for model in listed)]


@dataclass
class _Counter:
    """Computes votes and caches what is slow to compute again.

    Attributes:
        metric: what greedy selection improves.
        source: reads trials' predictions.
    """

    metric: str
    source: Load
    ballots: dict[str, Ballot] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _cross_votes: dict[str, Predictions] = field(default_factory=dict)

    def load(self, trial_id: str, split: str) -> Predictions | None:
        """Read a trial's predictions on one split, or compute a vote's."""
        ballot = self.ballots.get(trial_id)
        if ballot is None:
            return self.source(trial_id, split)
        if split not in ("train", *shared_splits(ballot.models)):
            return None
        if split == "validation" and trial_id in self._cross_votes:
            return self._cross_votes[trial_id]
        return self._cast(ballot, split)

    def count(self, ballot: Ballot) -> TrialResult | None:
        """Compute a vote on every split its models share and keep its ballot, or note why that is not possible."""
        splits = shared_splits(ballot.models)
        if ballot.arm and "test" in splits:
            splits = ["test"]  # replicates and folds mostly have different validation images
        try:
            fitted = self._fit(ballot)
            found = {split: self._cast(fitted, split) for split in splits}
        except BakeoffError as error:
            reason = str(error).rstrip(".")
            if ballot.arm and splits == ["validation"]:
                reason = "its models have different validation images, so it is computed in the final test"
            self._note(ballot, reason)
            return None
        if not found:
            return None
        self.ballots[ballot.trial_id] = fitted
        return self._make_result(fitted, self._add_train(fitted, found))

    def _add_train(self, ballot: Ballot, found: dict[Split, Predictions]) -> dict[Split, Predictions]:
        """Add a vote's predictions on the training images, if all its members stored theirs."""
        if ballot.arm or any("train" not in model.metrics for model in ballot.models):
            return found  # models of different replicates and folds have different training images
        try:
            return {"train": self._cast(ballot, "train"), **found}
        except WorkspaceError:
            self.notes.append(
                f"Vote {ballot.label} has no train scores: its members were trained before the study had votes, so "
                "their predictions on training images were not stored."
            )
            return found

    def fail(self, ballot: Ballot, failed: Sequence[TrialResult]) -> TrialResult:
        """Return the failed result of a vote with failed members, and note it."""
        reason = f"{join_names([model.arm for model in failed])} failed"
        self._note(ballot, reason)
        return replace(self._make_result(ballot, {}), state="failed", reason=reason)

    def _fit(self, ballot: Ballot) -> Ballot:
        if not find_vote(ballot.by).is_fitted:
            return ballot
        probabilities_MNC, first = read_models(ballot.models, "validation", self.source)
        labels_N = first["labels"]
        weights_M = fit_vote(probabilities_MNC, labels_N, ballot.by, self.metric)
        vote_NC = cast_vote(probabilities_MNC, ballot.by, weights_M)
        alone = [score_by(self.metric, model_NC, labels_N) for model_NC in probabilities_MNC]
        best = max(alone) if find_metric(self.metric).higher_is_better else min(alone)
        together = score_by(self.metric, vote_NC, labels_N)
        return replace(ballot, weights=weights_M, fitted=(together, best))

    def _cast(self, ballot: Ballot, split: str) -> Predictions:
        probabilities_MNC, first = read_models(ballot.models, split, self.source)
        if split == "validation" and ballot.weights is not None:
            votes_NC = cross_vote(probabilities_MNC, first["labels"], ballot.by, self.metric)
            self._cross_votes[ballot.trial_id] = {**first, "probabilities": votes_NC}
        else:
            votes_NC = cast_vote(probabilities_MNC, ballot.by, ballot.weights)
        return {**first, "probabilities": votes_NC}

    def _make_result(self, ballot: Ballot, found: Mapping[Split, Predictions]) -> TrialResult:
        metrics: dict[str, Mapping[str, float]] = {
            split: classification_metrics(predictions["probabilities"], predictions["labels"], (self.metric,))
            for split, predictions in found.items()
        }
        return TrialResult(
            trial_id=ballot.trial_id,
            block=ballot.block,
            arm=ballot.label,
            replicate=ballot.replicate or 0,
            fold=ballot.fold,
            state="done",
            metrics=metrics,
            epochs_trained=sum(model.epochs_trained for model in ballot.models),
            best_epoch=None,
            seconds=sum(model.seconds for model in ballot.models),
        )

    def _note(self, ballot: Ballot, reason: str) -> None:
        where = "" if ballot.replicate is None else f" in {name_run(ballot.replicate, ballot.fold)}"
        arm = f" of {ballot.arm}" if ballot.arm else ""
        self.notes.append(f"No vote {ballot.label}{arm}{where} on {ballot.block}: {reason}.")


def _list_ballots(
    label: str, ensemble: Ensemble, results: Sequence[TrialResult], arms: Sequence[str]
) -> Iterator[Ballot]:
    """Yield the votes of one ensemble, in the order of the results; models of one arm that failed are left out."""
    members = ensemble.members(arms)
    mine = [result for result in results if result.arm in members]
    groups: dict[tuple[str, str, int | None, int | None], list[TrialResult]] = {}
    for result in mine:
        groups.setdefault(_position(result, ensemble), []).append(result)
    for (block, arm, replicate, fold), found in groups.items():
        if ensemble.is_arm:
            models = sorted(found, key=lambda result: members.index(result.arm))
        else:
            models = [result for result in found if result.state == "done"]
        if len(models) < (len(members) if ensemble.is_arm else 2):
            continue
        yield Ballot(
            trial_id=f"vote {(label, block, arm, replicate, fold)}",
            block=block,
            label=label,
            by=ensemble.by,
            over=ensemble.over,
            arm=arm,
            replicate=replicate,
            fold=fold,
            models=tuple(models),
        )


def _position(result: TrialResult, ensemble: Ensemble) -> tuple[str, str, int | None, int | None]:
    """Return what the models of one vote share: block, arm, replicate and fold."""
    if ensemble.over == "arms":
        return result.block, "", result.replicate, result.fold
    return result.block, result.arm, (result.replicate if ensemble.over == "folds" else None), None
