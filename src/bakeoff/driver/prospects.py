"""What a study can show before it is trained: from trials in the workspace, or from what it declares. No torch."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bakeoff.data.files import list_source
from bakeoff.data.registry import find_dataset
from bakeoff.data.source import DataSource
from bakeoff.errors import BakeoffError
from bakeoff.ledger.looks import read_line
from bakeoff.ledger.read import open_reading, read_study
from bakeoff.ledger.values import read_mapping
from bakeoff.stats.contributions import contribute
from bakeoff.stats.expected import ExpectedSpread
from bakeoff.stats.family import list_family
from bakeoff.stats.looks import share_of_look
from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import MetricRecord, find_metric
from bakeoff.stats.prospects import Aim, Prospect, Prospects, look_ahead
from bakeoff.stats.results import TrialResult
from bakeoff.stats.sources import (
    ValidationPair,
    VarianceSource,
    count_pooled_degrees,
    expect_declared,
    guess_disagreement,
    list_factors,
    measure_validation,
    pool_scores,
    pool_spreads,
    scale_variance,
)
from bakeoff.stats.variance import Spread, measure_spread
from bakeoff.study.ensembles import list_ensemble_arms
from bakeoff.study.plan import Block, Plan, recipe_content, study_id
from bakeoff.study.schema import RECORDED, Study
from bakeoff.study.settings import Race
from bakeoff.workspace import Folders

MAX_STUDIES = 30
"""Earlier studies that are looked at, newest first."""

MAX_TRIALS = 60
"""Trials whose predictions are read: planning takes a moment, and more would not change the figures."""

Predictions = Mapping[str, npt.NDArray[Any]]
Load = Callable[[str, str], Predictions | None]
"""(trial id, split) -> probabilities, labels, indices; None if they are not on disk."""

ScoredSplit: TypeAlias = Literal["test", "validation"]
"""Where trials were scored."""

Scores = Mapping[str, Mapping[int, TrialResult]]
"""Arm -> replicate -> trial done."""


def find_prospects(
    plan: Plan,
    *,
    workspace: Path | None = None,
    data_dir: Path | None = None,
    connection: sqlite3.Connection | None = None,
    is_run: bool = False,
) -> Prospects:
    """Return what a study can show, block by block. Never an error: what cannot be read is as if it were not there.

    Args:
        plan: the study's, with resolved paths.
        workspace: where trials are looked up; it need not exist.
        data_dir: searched first for images.
        connection: to the workspace's ledger, if it is open already.
        is_run: whether the study has been run, and it is asked what more replicates would show: by the spread of its
            own trials, at the next look.
    """
    reason = find_obstacle(plan)
    if reason:
        return Prospects(reason=reason)
    with ExitStack() as opened:
        folders = None if workspace is None else Folders(workspace)
        try:
            if connection is None and folders is not None and folders.ledger.is_file():
                connection = opened.enter_context(open_reading(folders))
            past = _Past(plan, connection, folders, is_run)
            blocks = tuple(_look_at(block, plan, past, data_dir) for block in plan.blocks)
        except (BakeoffError, sqlite3.Error, OSError, ValueError, KeyError, TypeError):
            past = _Past(plan, None, None, is_run)
            blocks = tuple(_look_at(block, plan, past, None) for block in plan.blocks)
    return Prospects(blocks=blocks, is_quick=plan.study.quick_of is not None)


def find_obstacle(plan: Plan) -> str:
    """Return why nothing can be said; empty if it can."""
    if len(_list_arms(plan)) < 2:
        return "there is nothing to compare"
    if plan.blocks[0].data.folds is not None:
        return "with folds it cannot be told: they share training images, which sets a limit that seeds do not show"
    if plan.study.decide.method == "bayes":
        return "posterior probabilities have no error rate that power could be counted at"
    return ""


def _list_arms(plan: Plan) -> tuple[str, ...]:
    return (*plan.arms, *list_ensemble_arms(plan.study.ensembles))


def _look_at(block: Block, plan: Plan, past: _Past, data_dir: Path | None) -> Prospect:
    num_images = count_test_images(block.data.source, data_dir)
    source = past.find_source(block, num_images) or _read_declared(plan.study, num_images)
    spread = source.spread
    if spread is not None and spread.num_images is not None:
        num_images = spread.num_images
    return look_ahead(block.label, _make_aim(plan, block, past, num_images), source)


def _make_aim(plan: Plan, block: Block, past: _Past, num_images: int | None) -> Aim:
    study, num_arms = plan.study, len(_list_arms(plan))
    decide = study.decide
    families = 1 if decide.family == "block" else len(plan.blocks)
    all_pairs, against_one = num_arms * (num_arms - 1) // 2, num_arms - 1
    num_pairs = families * (all_pairs if decide.against is None else against_one)
    rate = (1 - decide.confidence) * share_of_look(past.num_looks + 1)
    return Aim(
        measure=Measure(find_metric(decide.metric), "test"),
        replicates=study.most_replicates,
        level=rate / num_pairs,
        num_pairs=num_pairs,
        margin=decide.margin,
        scope=decide.scope,
        num_images=num_images,
        baseline_level=rate / (families * against_one) if decide.against is None and num_arms > 2 else None,
        num_tested=past.count_tested(block) if past.is_run else 0,
        look=past.num_looks + 1,
        is_race=isinstance(study.replicates, Race),
    )


def count_test_images(source: DataSource, data_dir: Path | None) -> int | None:
    """Return the number of test images without opening any; None if it is not known.

    Of some classes of a registered dataset it is a proportional estimate.
    """
    try:
        if source.name is None:
            return len(list_source(source, data_dir).select("test")) or None
        record = find_dataset(source.name)
    except BakeoffError:
        return None
    share = 1.0 if source.classes is None else len(source.classes) / record.num_classes
    return round(record.num_test * share)


def _read_declared(study: Study, num_images: int | None) -> VarianceSource:
    expect, record = study.expect, find_metric(study.decide.metric)
    if expect is None:
        return VarianceSource(kind="none")
    disagreement = expect.disagreement
    if disagreement is None and expect.accuracy is not None:
        disagreement = guess_disagreement(expect.accuracy)
    return VarianceSource(
        kind="declared",
        spread=expect_declared(
            expect.sd, disagreement=disagreement, num_images=num_images, is_counted=record.counts_images
        ),
        images_from="nothing" if disagreement is None or num_images is None else "accuracy",
    )


SPLITS: tuple[ScoredSplit, ...] = ("test", "validation")
"""Test scores first: they are what verdicts rest on."""


@dataclass(frozen=True, kw_only=True)
class _Recorded:
    """A study of the ledger with the planned study's metric."""

    study_id: str
    study: Study

    @cached_property
    def places(self) -> dict[DataSource, list[str]]:
        """Image source -> labels of the blocks that use it, without folds."""
        found: dict[DataSource, list[str]] = {}
        for each in self.study.combine().combinations:
            labels = found.setdefault(each.data.source, []) if each.data.folds is None else []
            if each.block not in labels:
                labels.append(each.block)
        return found

    @cached_property
    def recipes(self) -> set[tuple[DataSource, str]]:
        """What its arms are trained with, on which images."""
        return {
            (each.data.source, json.dumps(recipe_content(each.recipe), sort_keys=True))
            for each in self.study.combine().combinations
        }


@dataclass(frozen=True)
class _Past:
    """What the workspace holds that says something of a study.

    Attributes:
        plan: the study's.
        connection: to the ledger; None if there is none. `folders`: of the workspace.
        is_run: whether the study has been run.
    """

    plan: Plan
    connection: sqlite3.Connection | None
    folders: Folders | None
    is_run: bool = False
    _results: dict[str, tuple[TrialResult, ...]] = field(default_factory=dict)

    @cached_property
    def own_id(self) -> str:
        """The study's own id."""
        return study_id(self.plan.study)

    @cached_property
    def recorded(self) -> tuple[_Recorded, ...]:
        """Studies with the same metric: the study itself first, then the newest."""
        return tuple(self._read_recorded())

    @cached_property
    def num_looks(self) -> int:
        """Looks at the question before the one that this study will take."""
        if self.connection is None:
            return 0
        planned = {
            (trial.data.source, json.dumps(recipe_content(trial.recipe), sort_keys=True)) for trial in self.plan.trials
        }
        most = 0
        for each in self.recorded:
            if each.study_id == self.own_id or len(each.recipes & planned) >= 2:
                line = read_line(self.connection, each.study_id)
                is_own = not self.is_run and each.study_id == self.own_id and line and self._is_complete(each)
                most = max(most, len(line) - (1 if is_own else 0))
        return most

    def find_source(self, block: Block, num_images: int | None) -> VarianceSource | None:
        """Return the best source for a block: its own trials, tested or else validated, then those of others."""
        own = [each for each in self.recorded if each.study_id == self.own_id]
        others = [each for each in self.recorded if each.study_id != self.own_id and not self.is_run]
        for studies in (own, others):
            for split in SPLITS:
                for each in studies:
                    for label in each.places.get(block.data.source, ()) if studies is others else [block.label]:
                        found = self._measure(each, label, split, num_images)
                        if found is not None:
                            return found
        return None

    def _read_recorded(self) -> Iterator[_Recorded]:
        if self.connection is None:
            return
        rows = self.connection.execute(
            "SELECT id, document FROM studies ORDER BY created_at DESC, rowid DESC"
        ).fetchall()
        rows.sort(key=lambda row: row[0] != self.own_id)
        num_found, metric = 0, self.plan.study.decide.metric
        for each_id, text in rows:
            document = read_mapping(text)
            if (document.get("decide") or {}).get("metric", "accuracy") != metric or num_found >= MAX_STUDIES:
                continue
            try:
                study = Study.model_validate(dict(document), context={RECORDED: True})
            except BakeoffError:
                continue  # of another version
            num_found += 1
            yield _Recorded(study_id=str(each_id), study=study)

    def count_tested(self, block: Block) -> int:
        """Return the replicates of a block that were tested for this study."""
        results = () if self.connection is None else self._read_results(self.own_id)
        return len({each.replicate for each in results if each.block == block.label and "test" in each.metrics})

    def _is_complete(self, recorded: _Recorded) -> bool:
        results = self._read_results(recorded.study_id)
        return bool(results) and all("test" in each.metrics for each in results if each.state == "done")

    def _read_results(self, each_id: str) -> tuple[TrialResult, ...]:
        assert self.connection is not None, "there are no results without a ledger"
        if each_id not in self._results:
            self._results[each_id] = read_study(self.connection, each_id).results
        return self._results[each_id]

    def _measure(
        self, recorded: _Recorded, label: str, split: ScoredSplit, num_images: int | None
    ) -> VarianceSource | None:
        load = (lambda trial_id, split: None) if self.folders is None else self.folders.load_predictions
        results = [each for each in self._read_results(recorded.study_id) if each.block == label]
        kind = "earlier" if recorded.study_id != self.own_id else "trials" if split == "test" else "pilot"
        return measure_trials(
            results,
            find_metric(self.plan.study.decide.metric),
            split,
            baseline=recorded.study.decide.against,
            num_images=num_images,
            load=load,
            about={"kind": kind, "study": recorded.study.name},
        )


def measure_trials(
    results: Sequence[TrialResult],
    record: MetricRecord,
    split: ScoredSplit,
    *,
    baseline: str | None,
    num_images: int | None,
    load: Load,
    about: Mapping[str, Any],
) -> VarianceSource | None:
    """Return the spread that the trials of one block show; None without two arms with two replicates in common.

    Args:
        results: of one block, in any order.
        record: the deciding metric.
        split: of the scores: test, or validation.
        baseline: the arm that all others are compared with.
        num_images: test images of the planned study; of tested trials their predictions tell.
        load: reads one trial's predictions.
        about: kind and study of the source.
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
    ends = (measured.expect(factor, end) for factor in list_factors(degrees) for end in (0, 1))
    return VarianceSource(
        spread=measured.expect(1.0, None),
        ends=tuple(dict.fromkeys(ends)),
        num_trials=sum(map(len, scores.values())),
        num_replicates=fewest,
        split=split,
        degrees=degrees,
        images_from=measured.images_from,
        **about,
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
    """Return the mean spread of the pairs: image by image if predictions are stored, else from scores."""
    found = _Reader(record.name, split, load).read_pairs(scores, _keep_few(scores, pairs))
    is_counted = record.counts_images
    if found is not None and split == "validation":
        validated = measure_validation([each.compare_validation() for each in found])
        expect = partial(validated.expect, num_images, is_counted=is_counted)
        return _Measured(
            expect=lambda factor, end: expect(
                factor=factor, lasting=None if end is None else validated.lasting_ends[end]
            ),
            images_from="predictions",
        )
    spreads = [] if found is None else [each.measure(1.0 if record.is_share else None) for each in found]
    whole = [spread for spread in spreads if spread is not None]
    if whole:
        pooled = pool_spreads(whole, is_counted=is_counted)
        return _Measured(expect=lambda factor, _: scale_variance(pooled, factor), images_from="predictions")
    return _pool_scores(scores, pairs, record, split, num_images)


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
    spread = pool_scores(differences, accuracy=accuracy, num_images=num_images, is_counted=record.counts_images)
    return _Measured(
        expect=lambda factor, _: scale_variance(spread, factor),
        images_from="nothing" if accuracy is None or num_images is None else "accuracy",
    )


@dataclass(frozen=True, kw_only=True)
class _PairScores:
    """What images contribute to the scores of two arms.

    Attributes:
        a_RN, b_RN: by replicate and image.
        indices: by replicate, of the images in their source.
    """

    a_RN: npt.NDArray[Any]
    b_RN: npt.NDArray[Any]
    indices: list[npt.NDArray[np.integer]]

    def measure(self, unit: float | None) -> Spread | None:
        """Measure the spread over replicates and images, which must be the same in all replicates."""
        return measure_spread(self.a_RN, self.b_RN, unit=unit)

    def compare_validation(self) -> ValidationPair:
        """Return the differences on images of every replicate's own."""
        d_RN = self.a_RN.astype(np.float64) - self.b_RN.astype(np.float64)
        return ValidationPair(differences=list(d_RN), indices=self.indices)


@dataclass(frozen=True)
class _Reader:
    """Reads what images contribute to scores, each trial once."""

    metric: str
    split: str
    load: Load
    _known: dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]] | None] = field(default_factory=dict)

    def read_pairs(self, scores: Scores, pairs: Sequence[tuple[str, str]]) -> list[_PairScores] | None:
        """Return what images contribute to the scores of the pairs; None if any are missing, or of other images."""
        found = []
        for a, b in pairs:
            common = sorted(scores[a].keys() & scores[b].keys())
            rows = [(self._read(scores[a][r].trial_id), self._read(scores[b][r].trial_id)) for r in common]
            known = [(ours, theirs) for ours, theirs in rows if ours is not None and theirs is not None]
            is_alike = all(np.array_equal(ours[1], theirs[1]) for ours, theirs in known)
            if len(known) < len(rows) or not is_alike or len({len(ours[1]) for ours, _ in known}) != 1:
                return None
            found.append(
                _PairScores(
                    a_RN=np.stack([ours[0] for ours, _ in known]),
                    b_RN=np.stack([theirs[0] for _, theirs in known]),
                    indices=[ours[1] for ours, _ in known],
                )
            )
        return found

    def _read(self, trial_id: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
        if trial_id not in self._known:
            predictions = self.load(trial_id, self.split)
            values = None
            if predictions is not None:
                values = contribute(self.metric, predictions["probabilities"], predictions["labels"])
            self._known[trial_id] = None if values is None or predictions is None else (values, predictions["indices"])
        return self._known[trial_id]
