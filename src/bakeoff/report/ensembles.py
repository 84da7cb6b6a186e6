"""What votes changed: each ensemble beside its members, score by score and class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bakeoff.report.evidence import Load
from bakeoff.report.text import count
from bakeoff.report.votes import Ballot, Voted, shared_splits
from bakeoff.stats.ensembles import find_vote, score_classes
from bakeoff.stats.measure import Measure, Split, join_names
from bakeoff.stats.metrics import classification_metrics
from bakeoff.stats.results import MeanSd, Summary

Scores = npt.NDArray[np.float64]

CLASS_SCORES = ("precision", "recall", "f1")
_MOST_NAMED = 4


@dataclass(frozen=True, kw_only=True)
class ClassChange:
    """One class before and after the vote: (before, after) each, means over votes; None where nothing defines it."""

    name: str
    precision: tuple[float | None, float | None]
    recall: tuple[float | None, float | None]
    f1: tuple[float | None, float | None]


@dataclass(frozen=True, kw_only=True)
class EnsembleReport:
    """One ensemble in one block; for a vote over replicates or folds, of one arm's models.

    Attributes:
        label: the ensemble's; `by`: how it votes; `over`: arms, replicates or folds.
        members: the arms whose models vote.
        split: the one that all figures are of, but `fitted`.
        metric: the deciding metric, which all scores are of.
        num_votes: votes counted: the replicates and folds; `num_models`: voices in each, at most.
        score: of the votes, mean and sd over them. Of a single vote there is no sd, and so no interval.
        before: what the classes are compared with: the member with the best mean score, or the arm whose models vote.
        before_score: its mean score when its models stand alone.
        mean_score: of all models alone.
        weights: member -> mean share of the voices; empty where nothing is fitted.
        fitted: means of the score on the validation images that the weights were fitted on, of the votes and of each
            one's best model there; None where nothing is fitted.
        classes: before and after, class by class.
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
    """Set every ensemble beside its members, on the split the verdicts rest on where its votes have that.

    Args:
        voted: the votes.
        summary: what the results say, votes included.
        class_names: block -> names of its classes.
    """
    groups: dict[tuple[str, str, str], list[Ballot]] = {}
    for ballot in voted.ballots.values():
        groups.setdefault((ballot.block, ballot.label, ballot.arm), []).append(ballot)
    order = {block: position for position, block in enumerate(summary.blocks)}
    keys = sorted(groups, key=lambda key: order[key[0]])
    return tuple(_describe(groups[key], voted.load, summary.measure, class_names[key[0]]) for key in keys)


def name_members(report: EnsembleReport) -> str:
    """Name whose models vote."""
    if report.over == "arms":
        return _list_members(report)
    return f"{report.members[0]}, {report.num_models} {report.over}"


@dataclass(frozen=True)
class _Reading:
    """Predictions of one split, scored: the deciding metric, and every class."""

    value: float
    classes_C3: Scores


def _describe(ballots: Sequence[Ballot], load: Load, wanted: Measure, names: Sequence[str]) -> EnsembleReport:
    first = ballots[0]
    measure = Measure(wanted.record, _choose_split(ballots, wanted.split))
    members = tuple(dict.fromkeys(model.arm for ballot in ballots for model in ballot.models))
    alone = {arm: [m for ballot in ballots for m in ballot.models if m.arm == arm] for arm in members}
    means = {arm: _mean([m.metrics[measure.split][measure.record.name] for m in alone[arm]]) for arm in members}
    best = (max if measure.record.higher_is_better else min)(means, key=means.__getitem__)
    votes = _read([ballot.trial_id for ballot in ballots], measure, load)
    before = _read([model.trial_id for model in alone[best]], measure, load)
    values = [vote.value for vote in votes]
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
        score=MeanSd(_mean(values), float(np.std(values, ddof=1)) if len(values) > 1 else None),
        before=best,
        before_score=means[best],
        mean_score=_mean([m.metrics[measure.split][measure.record.name] for arm in members for m in alone[arm]]),
        weights=_average_weights(ballots, members),
        fitted=_average_fits(ballots),
        classes=_compare_classes(names, before, votes),
        sentence="",
    )
    return replace(report, sentence=_write_sentence(report, measure))


def _choose_split(ballots: Sequence[Ballot], wanted: Split) -> Split:
    """Return the split the verdicts rest on; of models that share the test images only, the test split."""
    shared = [shared_splits(ballot.models) for ballot in ballots]
    if ballots[0].arm:
        wanted = "test"
    return wanted if all(wanted in splits for splits in shared) else "validation"


def _read(trial_ids: Sequence[str], measure: Measure, load: Load) -> list[_Reading]:
    readings = []
    for trial_id in trial_ids:
        found = load(trial_id, measure.split)
        if found is not None:
            value = classification_metrics(found["probabilities"], found["labels"])[measure.record.name]
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
    changes = []
    for number, name in enumerate(names):
        fields = {
            score: (
                _mean_defined([reading.classes_C3[number, column] for reading in before]),
                _mean_defined([reading.classes_C3[number, column] for reading in after]),
            )
            for column, score in enumerate(CLASS_SCORES)
        }
        changes.append(ClassChange(name=name, **fields))
    return tuple(changes)


def _write_sentence(report: EnsembleReport, measure: Measure) -> str:
    reached = f"reaches {measure.value(report.score.mean)} {measure.label}"
    how = find_vote(report.by).label
    if report.over != "arms":
        models = f"the {report.num_models} models of {report.before} ({report.over})"
        number = "one value" if report.num_votes == 1 else f"{report.num_votes} values"
        return (
            f"{report.label}, the {how} of {models}, {reached}, against {measure.value(report.before_score)} for one "
            f"of them on average. This is {number} without an interval or a verdict: no other vote is left to pair it "
            "with."
        )
    text = (
        f"{report.label}, the {how} of {_list_members(report)}, {reached} (mean of {count(report.num_votes, 'vote')}), "
        f"against {measure.value(report.before_score)} for its best member, {report.before}, alone."
    )
    if report.weights:
        shares = join_names([f"{arm} {100 * share:.0f}%" for arm, share in report.weights.items() if share >= 0.005])
        text += f" Voices: {shares}."
    if report.fitted is not None:
        vote, best = (Measure(measure.record, "validation").value(value) for value in report.fitted)
        text += (
            f" On the validation images that chose the weights it scores {vote}, its best member there {best}; "
            "validation scores of it elsewhere are cross-fitted."
        )
    return text


def _list_members(report: EnsembleReport) -> str:
    return join_names(list(report.members)) if len(report.members) <= _MOST_NAMED else f"{len(report.members)} arms"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _mean_defined(values: Sequence[float]) -> float | None:
    defined = [value for value in values if not np.isnan(value)]
    return _mean(defined) if defined else None
