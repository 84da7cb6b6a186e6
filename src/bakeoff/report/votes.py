"""Ensembles counted from stored predictions: every vote becomes a result beside those of the trained arms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bakeoff.errors import BakeoffError, WorkspaceError
from bakeoff.report.evidence import Load, Predictions
from bakeoff.report.text import name_run
from bakeoff.stats.ensembles import Votes, cast_vote, find_vote
from bakeoff.stats.measure import Split, join_names
from bakeoff.stats.metrics import classification_metrics, find_metric
from bakeoff.stats.results import TrialResult
from bakeoff.stats.vote_fits import cross_vote, fit_vote
from bakeoff.study.ensembles import Ensemble, list_ensemble_arms
from bakeoff.study.schema import Study

_SPLITS: tuple[Split, ...] = ("validation", "test", "held-out")


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """One vote: who votes, where, and with what weights.

    Attributes:
        trial_id: of the vote's own, made-up result; no trial of the ledger has it.
        label: the ensemble's; `by`: a name of VOTES.
        over: arms, replicates or folds.
        arm: whose models they are, where these are of one arm; empty for a vote over arms.
        replicate, fold: where all models share them; None where they do not.
        models: the trials whose models vote.
        weights: one per model; None where nothing is fitted.
        fitted: the deciding metric on the validation images that the weights were fitted on, for the vote and for the
            best of its models there; None where nothing is fitted. Too good to be compared with other scores.
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
        results: the trials, then a result for each vote of an ensemble that is an arm.
        arms: labels of the trained arms, then of these ensembles.
        ballots: every vote that could be counted, by the id of its result; those over replicates or folds included,
            which have no result.
        notes: which votes could not be counted and why, a sentence each.
        load: reads predictions, of trials and of votes alike.
    """

    results: tuple[TrialResult, ...]
    arms: tuple[str, ...]
    ballots: Mapping[str, Ballot]
    notes: tuple[str, ...]
    load: Load


def add_ensembles(results: Sequence[TrialResult], study: Study, arms: Sequence[str], load: Load) -> Voted:
    """Count the votes of a study's ensembles.

    A vote is counted where all its members are done and their stored predictions are of the same images. Where a member
    failed the vote has failed, too: left out, it would be judged on the replicates that went well. Its results are
    those of its predictions; its epochs and seconds are the sums of its members'. Fitted weights come from the
    validation images; the vote's own validation result is cross-fitted, so that nobody is judged by what he chose.

    Args:
        results: the trials whose arms are compared.
        study: what was asked.
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
    """Return the probabilities [M, N, C] of several models, and the predictions of the first for labels and indices.

    Raises:
        WorkspaceError: predictions are not on disk, or not of the same images.
    """
    found = [load(model.trial_id, split) for model in models]
    first = found[0]
    for model, predictions in zip(models, found, strict=True):
        if predictions is None or first is None:
            lost = model if predictions is None else models[0]
            raise WorkspaceError(f"the {split} predictions of trial {lost.trial_id} ({lost.arm}) are not on disk")
        if any(not np.array_equal(predictions[name], first[name]) for name in ("labels", "indices")):
            names = f"{models[0].trial_id} and {model.trial_id}"
            raise WorkspaceError(f"the {split} predictions of trials {names} are of different images")
    kept = [predictions["probabilities"] for predictions in found if predictions is not None]
    assert first is not None
    return np.stack(kept), first


def shared_splits(models: Iterable[TrialResult]) -> list[Split]:
    """Return the splits, other than the training split, on which all of some trials were evaluated."""
    listed = list(models)
    return [split for split in _SPLITS if all(split in model.metrics for model in listed)]


@dataclass
class _Counter:
    """Counts votes, and remembers what takes long to count again.

    Attributes:
        metric: what greedy selection raises.
        source: reads trials' predictions.
    """

    metric: str
    source: Load
    ballots: dict[str, Ballot] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _cross_votes: dict[str, Predictions] = field(default_factory=dict)

    def load(self, trial_id: str, split: str) -> Predictions | None:
        """Read a trial's predictions on one split, or count a vote's."""
        ballot = self.ballots.get(trial_id)
        if ballot is None:
            return self.source(trial_id, split)
        if split not in ("train", *shared_splits(ballot.models)):
            return None
        if split == "validation" and trial_id in self._cross_votes:
            return self._cross_votes[trial_id]
        return self._cast(ballot, split)

    def count(self, ballot: Ballot) -> TrialResult | None:
        """Count one vote on every split its models share, or note why that cannot be; keep its ballot."""
        splits = shared_splits(ballot.models)
        if ballot.arm and "test" in splits:
            splits = ["test"]  # most often replicates and folds have validation images of their own
        try:
            fitted = self._fit(ballot)
            found = {split: self._cast(fitted, split) for split in splits}
        except BakeoffError as error:
            reason = str(error).rstrip(".")
            if ballot.arm and splits == ["validation"]:
                reason = "its models have validation images of their own, so it is counted in the final test"
            self._note(ballot, reason)
            return None
        if not found:
            return None
        self.ballots[ballot.trial_id] = fitted
        return _make_result(fitted, self._add_train(fitted, found))

    def _add_train(self, ballot: Ballot, found: dict[Split, Predictions]) -> dict[Split, Predictions]:
        """Add a vote's predictions on the training images, where all its members kept theirs."""
        if ballot.arm or any("train" not in model.metrics for model in ballot.models):
            return found  # of replicates and folds each model has training images of its own
        try:
            return {"train": self._cast(ballot, "train"), **found}
        except WorkspaceError:
            self.notes.append(
                f"Vote {ballot.label} has no train scores: its members were trained without keeping predictions on "
                "training images, before the study had votes."
            )
            return found

    def fail(self, ballot: Ballot, failed: Sequence[TrialResult]) -> TrialResult:
        """Return the result of a vote of which some members failed, and note it."""
        reason = f"{join_names([model.arm for model in failed])} failed"
        self._note(ballot, reason)
        return replace(_make_result(ballot, {}), state="failed", reason=reason)

    def _fit(self, ballot: Ballot) -> Ballot:
        if not find_vote(ballot.by).is_fitted:
            return ballot
        probabilities_MNC, first = read_models(ballot.models, "validation", self.source)
        labels_N = first["labels"]
        weights_M = fit_vote(probabilities_MNC, labels_N, ballot.by, self.metric)
        vote_NC = cast_vote(probabilities_MNC, ballot.by, weights_M)
        alone = [classification_metrics(model_NC, labels_N)[self.metric] for model_NC in probabilities_MNC]
        best = max(alone) if find_metric(self.metric).higher_is_better else min(alone)
        together = classification_metrics(vote_NC, labels_N)[self.metric]
        return replace(ballot, weights=weights_M, fitted=(together, best))

    def _cast(self, ballot: Ballot, split: str) -> Predictions:
        probabilities_MNC, first = read_models(ballot.models, split, self.source)
        if split == "validation" and ballot.weights is not None:
            votes_NC = cross_vote(probabilities_MNC, first["labels"], ballot.by, self.metric)
            self._cross_votes[ballot.trial_id] = {**first, "probabilities": votes_NC}
        else:
            votes_NC = cast_vote(probabilities_MNC, ballot.by, ballot.weights)
        return {**first, "probabilities": votes_NC}

    def _note(self, ballot: Ballot, reason: str) -> None:
        where = "" if ballot.replicate is None else f" in {name_run(ballot.replicate, ballot.fold)}"
        arm = f" of {ballot.arm}" if ballot.arm else ""
        self.notes.append(f"No vote {ballot.label}{arm}{where} on {ballot.block}: {reason}.")


def _make_result(ballot: Ballot, found: Mapping[Split, Predictions]) -> TrialResult:
    metrics: dict[str, Mapping[str, float]] = {
        split: classification_metrics(predictions["probabilities"], predictions["labels"])
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


def _list_ballots(
    label: str, ensemble: Ensemble, results: Sequence[TrialResult], arms: Sequence[str]
) -> Iterator[Ballot]:
    """Yield the votes of one ensemble, in the order of the results; of one arm's models those that did not fail."""
    members = ensemble.members(arms)
    mine = [result for result in results if result.arm in members]
    by_place: dict[tuple[str, str, int | None, int | None], list[TrialResult]] = {}
    for result in mine:
        by_place.setdefault(_place(result, ensemble), []).append(result)
    for (block, arm, replicate, fold), found in by_place.items():
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


def _place(result: TrialResult, ensemble: Ensemble) -> tuple[str, str, int | None, int | None]:
    """Return what all models of one vote have in common: block, arm, replicate and fold."""
    if ensemble.over == "arms":
        return result.block, "", result.replicate, result.fold
    return result.block, result.arm, (result.replicate if ensemble.over == "folds" else None), None
