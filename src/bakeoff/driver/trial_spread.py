"""How the scores of trials in a ledger spread: over seeds by their scores, over images by their stored predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bakeoff.stats.contributions import contribute
from bakeoff.stats.expected import ExpectedSpread
from bakeoff.stats.family import list_family
from bakeoff.stats.metrics import MetricRecord
from bakeoff.stats.results import TrialResult
from bakeoff.stats.sources import (
    SourceKind,
    ValidationPair,
    VarianceSource,
    count_pooled_degrees,
    list_factors,
    measure_validation,
    pool_scores,
    pool_spreads,
    scale_variance,
)
from bakeoff.stats.variance import Spread, measure_spread, sum_groups

MAX_TRIALS = 30
"""Trials of a block whose predictions are read for the images' part: planning is to take a moment."""

Predictions = Mapping[str, npt.NDArray[Any]]
Load = Callable[[str, str], Predictions | None]
"""(trial id, split) -> probabilities, labels, indices; None if they are not on disk."""

ScoredSplit: TypeAlias = Literal["test", "validation"]
"""Where trials were scored."""

LEAST_SD = 1e-12
"""A smaller standard deviation is that of rounding."""

Scores = Mapping[str, Mapping[int, TrialResult]]
"""Arm -> replicate -> trial done."""


def measure_trials(
    results: Sequence[TrialResult],
    record: MetricRecord,
    split: ScoredSplit,
    *,
    baseline: str | None,
    num_images: int | None,
    load: Load,
    kind: SourceKind,
    study: str,
) -> VarianceSource | None:
    """Return the spread that the trials of one block show; None without two arms with two replicates in common.

    None also where no difference varies: nothing follows from that for other replicates.

    Args:
        results: of one block, in any order.
        record: the deciding metric.
        split: of the scores: test, or validation.
        baseline: the arm that all others are compared with.
        num_images: independent test images of the planned study: groups, if they come in these; of tested trials their
            predictions tell.
        load: reads one trial's predictions.
        kind: of the source.
        study: whose trials they are.
    """
    scores = _group(results, record.name, split)
    arms = list(scores)
    pairs = list_family(arms, baseline if baseline in arms else None)
    pairs = [(a, b) for a, b in pairs if _count_distinct(scores, a, b) >= 2]
    if not pairs:
        return None
    known = {arm for pair in pairs for arm in pair}
    scores = {arm: of_arm for arm, of_arm in scores.items() if arm in known}
    fewest = min(len(scores[a].keys() & scores[b].keys()) for a, b in pairs)
    degrees = count_pooled_degrees(len(scores), fewest, against_baseline=len(pairs) < len(scores))
    measured = _pool(scores, pairs, record, split, num_images, load)
    expected = measured.expect(1.0, None)
    if max(expected.sd, expected.images**0.5) < LEAST_SD:
        return None
    ends = (measured.expect(factor, end) for factor in list_factors(degrees) for end in (0, 1))
    return VarianceSource(
        spread=expected,
        ends=tuple(dict.fromkeys(ends)),
        num_trials=sum(map(len, scores.values())),
        num_replicates=fewest,
        split=split,
        degrees=degrees,
        images_from=measured.images_from,
        kind=kind,
        study=study,
    )


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """A measured spread.

    Attributes:
        expect: called with the factor by which the variance over seeds may be larger than it was seen to be, and the
            end (0, 1; None for neither) of the interval of the images' part, where it has one.
        images_from: what the images' part rests on.
    """

    expect: Callable[[float, int | None], ExpectedSpread]
    images_from: Literal["predictions", "accuracy", "nothing"]


def _count_distinct(scores: Scores, a: str, b: str) -> int:
    """Return the replicates that both arms have; 0 for arms that are the same trials."""
    common = scores[a].keys() & scores[b].keys()
    is_same = all(scores[a][replicate].trial_id == scores[b][replicate].trial_id for replicate in common)
    return 0 if is_same else len(common)


def _group(results: Sequence[TrialResult], metric: str, split: str) -> Scores:
    scores: dict[str, dict[int, TrialResult]] = {}
    for each in results:
        if each.state == "done" and metric in each.metrics.get(split, {}) and each.fold is None:
            scores.setdefault(each.arm, {})[each.replicate] = each
    return scores


def _pool(
    scores: Scores,
    pairs: Sequence[tuple[str, str]],
    record: MetricRecord,
    split: ScoredSplit,
    num_images: int | None,
    load: Load,
) -> _Measured:
    """Return the mean spread of the pairs: over seeds by scores, over images by predictions, if they are stored."""
    by_scores = _pool_scores(scores, pairs, record, split, num_images)
    found = _Reader(record.name, split, load).read_pairs(scores, _keep_few(scores, pairs))
    if found is None:
        return by_scores
    sd = by_scores.expect(1.0, None).sd
    if split == "validation":
        validated = replace(measure_validation([each.compare_validation() for each in found]), between=sd**2)
        expect = partial(validated.expect, num_images)
        return _Measured(
            expect=lambda factor, end: expect(
                factor=factor, lasting=None if end is None else validated.lasting_ends[end]
            ),
            images_from="predictions",
        )
    spreads = [spread for each in found if (spread := each.measure(1.0 if record.is_share else None)) is not None]
    if not spreads:
        return by_scores
    pooled = replace(pool_spreads(spreads), sd=sd)
    return _Measured(expect=lambda factor, _: scale_variance(pooled, factor), images_from="predictions")


def _keep_few(scores: Scores, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the first pairs, as many as their trials may be read."""
    kept: list[tuple[str, str]] = []
    arms: set[str] = set()
    for pair in pairs:
        wanted = arms | set(pair)
        if kept and sum(len(scores[arm]) for arm in wanted) > MAX_TRIALS:
            continue
        arms, kept = wanted, [*kept, pair]
    return kept


def _pool_scores(
    scores: Scores, pairs: Sequence[tuple[str, str]], record: MetricRecord, split: ScoredSplit, num_images: int | None
) -> _Measured:
    def read(arm: str, replicate: int) -> float:
        return scores[arm][replicate].metrics[split][record.name]

    differences = [
        np.array([read(a, r) - read(b, r) for r in sorted(scores[a].keys() & scores[b].keys())]) for a, b in pairs
    ]
    accuracy = None
    if record.counts_images:
        accuracy = float(np.mean([read(arm, r) for arm, of_arm in scores.items() for r in of_arm]))
    spread = pool_scores(differences, accuracy=accuracy, num_images=num_images)
    return _Measured(
        expect=lambda factor, _: scale_variance(spread, factor),
        images_from="nothing" if accuracy is None or num_images is None else "accuracy",
    )


@dataclass(frozen=True, kw_only=True)
class _Contributions:
    """What images contribute to the score of one trial, their indices in their source, and their groups, if any."""

    values: npt.NDArray[Any]
    indices: npt.NDArray[np.integer]
    groups: npt.NDArray[np.integer] | None


@dataclass(frozen=True, kw_only=True)
class _PairScores:
    """What images contribute to the scores of two arms.

    Attributes:
        ours, theirs: by replicate, of the same images.
    """

    ours: list[_Contributions]
    theirs: list[_Contributions]

    def measure(self, unit: float | None) -> Spread | None:
        """Measure the spread over replicates and images, which must be the same in all replicates."""
        a_RN, b_RN = (np.stack([each.values for each in arm]) for arm in (self.ours, self.theirs))
        return measure_spread(a_RN, b_RN, unit=unit, groups_N=self.ours[0].groups)

    def compare_validation(self) -> ValidationPair:
        """Return the differences on images, or groups of images, of every replicate's own."""
        differences, indices = [], []
        for ours, theirs in zip(self.ours, self.theirs, strict=True):
            d_N = ours.values.astype(np.float64) - theirs.values.astype(np.float64)
            if ours.groups is not None:
                d_N = sum_groups(d_N[None], ours.groups)[0]
            differences.append(d_N)
            indices.append(ours.indices if ours.groups is None else np.unique(ours.groups))
        return ValidationPair(differences=differences, indices=indices)


@dataclass(frozen=True)
class _Reader:
    """Reads what images contribute to scores, each trial once."""

    metric: str
    split: str
    load: Load
    _known: dict[str, _Contributions | None] = field(default_factory=dict)

    def read_pairs(self, scores: Scores, pairs: Sequence[tuple[str, str]]) -> list[_PairScores] | None:
        """Return what images contribute to the scores of the pairs; None if any are missing, or of other images."""
        found = []
        for a, b in pairs:
            common = sorted(scores[a].keys() & scores[b].keys())
            rows = [(self._read(scores[a][r].trial_id), self._read(scores[b][r].trial_id)) for r in common]
            known = [(ours, theirs) for ours, theirs in rows if ours is not None and theirs is not None]
            is_alike = all(np.array_equal(ours.indices, theirs.indices) for ours, theirs in known)
            if len(known) < len(rows) or not is_alike or not self._has_one_size([ours for ours, _ in known]):
                return None
            found.append(_PairScores(ours=[ours for ours, _ in known], theirs=[theirs for _, theirs in known]))
        return found

    def _has_one_size(self, replicates: Sequence[_Contributions]) -> bool:
        """Return whether all replicates have as many images; splits by groups may differ in that."""
        is_split_by_groups = self.split == "validation" and all(each.groups is not None for each in replicates)
        return is_split_by_groups or len({len(each.indices) for each in replicates}) == 1

    def _read(self, trial_id: str) -> _Contributions | None:
        if trial_id not in self._known:
            predictions = self.load(trial_id, self.split)
            values = None
            if predictions is not None:
                values = contribute(self.metric, predictions["probabilities"], predictions["labels"])
            self._known[trial_id] = None
            if values is not None and predictions is not None:
                indices, groups = predictions["indices"], predictions.get("groups")
                self._known[trial_id] = _Contributions(values=values, indices=indices, groups=groups)
        return self._known[trial_id]
