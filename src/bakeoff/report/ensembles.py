"""What voting changed: each ensemble beside its members, by score and by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bakeoff.report.averages import average, mean_defined
from bakeoff.report.evidence import Load
from bakeoff.report.text import count
from bakeoff.report.votes import Ballot, Voted, shared_splits
from bakeoff.stats.ensembles import find_vote, score_classes
from bakeoff.stats.measure import Measure, Split, join_names
from bakeoff.stats.metrics import score_by
from bakeoff.stats.results import MeanSd, Summary

Scores = npt.NDArray[np.float64]

CLASS_SCORES = ("precision", "recall", "f1")
_MOST_NAMED = 4


@dataclass(frozen=True, kw_only=True)
class ClassChange:
    """One class before and after the vote, (before, after): means over votes, None if undefined."""

    name: str
    precision: tuple[float | None, float | None]
    recall: tuple[float | None, float | None]
    f1: tuple[float | None, float | None]


@dataclass(frozen=True, kw_only=True)
class EnsembleReport:
    """One ensemble in one block; a vote over replicates or folds combines the models of one arm.

    Attributes:
        by: the kind of vote.
        over: arms, replicates or folds.
        members: the arms whose models vote.
        split: the split of all scores except `fitted`.
        metric: the deciding metric.
        num_votes: number of votes, one per replicate and fold.
        num_models: maximum number of models in a vote.
        score: mean and sd over votes; a single vote has no sd, and so no interval.
        before: what the classes are compared with: the member with the best mean score, or the arm whose models vote.
        before_score: its mean score without voting.
        mean_score: mean score of all models without voting.
        weights: member -> mean weight; empty if no weights are fitted.
        fitted: mean score on the validation images used to fit the weights: of the votes, and of each vote's best model
            there; None if no weights are fitted.
        sentence: the same in words.
    """

    block: str
    label: str
    by: str
    over: str
    members: tuple[str, ...]
    split: Split
    metric: str
    num_votes: int
    num_models: int
    score: MeanSd
    before: str
    before_score: float
    mean_score: float
    weights: Mapping[str, float]
    fitted: tuple[float, float] | None
    classes: tuple[ClassChange, ...]
    sentence: str


def describe_ensembles(
    voted: Voted, summary: Summary, class_names: Mapping[str, Sequence[str]]
) -> tuple[EnsembleReport, ...]:
    """Compare every ensemble with its members, on the deciding split if the votes have scores on it."""
    groups: dict[tuple[str, str, str], list[Ballot]] = {}
    for ballot in voted.ballots.values():
        groups.setdefault((ballot.block, ballot.label, ballot.arm), []).append(ballot)
    order = {block: position for position, block in enumerate(summary.blocks)}
    keys = sorted(groups, key=lambda key: order[key[0]])
    return tuple(_describe(groups[key], voted.load, summary.measure, class_names[key[0]]) for key in keys)


def name_members(report: EnsembleReport) -> str:
    """Return the members of an ensemble in words."""
    if report.over == "arms":
        return _list_members(report)
    return f"{report.members[0]}, {report.num_models} {report.over}"


@dataclass(frozen=True)
class _Reading:
    """Scores of one trial's predictions: the deciding metric, and precision, recall and F1 by class."""

    value: float
    classes_C3: Scores


def _describe(ballots: Sequence[Ballot], load: Load, wanted: Measure, names: Sequence[str]) -> EnsembleReport:
    first = ballots[0]
    measure = Measure(wanted.record, _choose_split(ballots, wanted.split))
    members = tuple(dict.fromkeys(model.arm for ballot in ballots for model in ballot.models))
    alone = {arm: [m for ballot in ballots for m in ballot.models if m.arm == arm] for arm in members}
    scores = {arm: [m.metrics[measure.split][measure.record.name] for m in alone[arm]] for arm in members}
    means = {arm: _mean(own) for arm, own in scores.items()}
    best = (max if measure.record.higher_is_better else min)(means, key=means.__getitem__)
    votes = _read([ballot.trial_id for ballot in ballots], measure, load)
    before = _read([model.trial_id for model in alone[best]], measure, load)
    report = EnsembleReport(
        block=first.block,
        label=first.label,
        by=first.by,
        over=first.over,
        members=members,
        split=measure.split,
        metric=measure.record.name,
        num_votes=len(ballots),
        num_models=max(len(ballot.models) for ballot in ballots),
        score=average([vote.value for vote in votes]),
        before=best,
        before_score=means[best],
        mean_score=_mean([score for own in scores.values() for score in own]),
        weights=_average_weights(ballots, members),
        fitted=_average_fits(ballots),
        classes=_compare_classes(names, before, votes),
        sentence="",
    )
    return replace(report, sentence=_write_sentence(report, measure))


def _choose_split(ballots: Sequence[Ballot], wanted: Split) -> Split:
    """Return the deciding split if all votes have it, else validation. Models of one arm share only the test split."""
    shared = [shared_splits(ballot.models) for ballot in ballots]
    if ballots[0].arm:
        wanted = "test"
    return wanted if all(wanted in splits for splits in shared) else "validation"


def _read(trial_ids: Sequence[str], measure: Measure, load: Load) -> list[_Reading]:
    readings = []
    for trial_id in trial_ids:
        found = load(trial_id, measure.split)
        if found is not None:
            value = score_by(measure.record.name, found["probabilities"], found["labels"])
            readings.append(_Reading(value, score_classes(found["probabilities"], found["labels"])))
    return readings


def _average_weights(ballots: Sequence[Ballot], members: Sequence[str]) -> dict[str, float]:
    if any(ballot.weights is None for ballot in ballots):
        return {}
    shares = [
        {model.arm: float(weight) for model, weight in zip(ballot.models, ballot.weights, strict=True)}
        for ballot in ballots
        if ballot.weights is not None
    ]
    return {arm: _mean([share[arm] for share in shares]) for arm in members}


def _average_fits(ballots: Sequence[Ballot]) -> tuple[float, float] | None:
    fits = [ballot.fitted for ballot in ballots if ballot.fitted is not None]
    return (_mean([vote for vote, _ in fits]), _mean([best for _, best in fits])) if fits else None


def _compare_classes(
    names: Sequence[str], before: Sequence[_Reading], after: Sequence[_Reading]
) -> tuple[ClassChange, ...]:
    def compare(number: int, column: int) -> tuple[float | None, float | None]:
        old, new = (mean_defined([each.classes_C3[number, column] for each in side]) for side in (before, after))
        return old, new

    return tuple(
        ClassChange(name=name, **{score: compare(number, column) for column, score in enumerate(CLASS_SCORES)})
        for number, name in enumerate(names)
    )


def _write_sentence(report: EnsembleReport, measure: Measure) -> str:
    reached = f"reaches {measure.value(report.score.mean)} {measure.label}"
    how = find_vote(report.by).label
    if report.over != "arms":
        models = f"the {report.num_models} models of {report.before} ({report.over})"
        number = "one value" if report.num_votes == 1 else f"{report.num_votes} values"
        return (
            f"{report.label}, the {how} of {models}, {reached}, compared with {measure.value(report.before_score)} for "
            f"one of them on average. This is {number} without an interval or a verdict, because there is no other "
            "vote to pair it with."
        )
    text = (
        f"{report.label}, the {how} of {_list_members(report)}, {reached} (mean of {count(report.num_votes, 'vote')}), "
        f"compared with {measure.value(report.before_score)} for its best member, {report.before}, alone."
    )
    if report.weights:
        listed = [f"{arm} {100 * weight:.0f}%" for arm, weight in report.weights.items() if weight >= 0.005]
        text += f" Weights: {join_names(listed)}."
    if report.fitted is not None:
        vote, best = (Measure(measure.record, "validation").value(value) for value in report.fitted)
        text += (
            f" On the validation images used to fit the weights it scores {vote}, and its best member there {best}; "
            "elsewhere its validation scores are cross-fitted."
        )
    return text


def _list_members(report: EnsembleReport) -> str:
    return join_names(list(report.members)) if len(report.members) <= _MOST_NAMED else f"{len(report.members)} arms"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
