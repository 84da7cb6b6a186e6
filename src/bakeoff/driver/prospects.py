"""What a study can show before it is trained: from trials in the workspace, or from what it declares. No torch."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from bakeoff.data.files import list_source
from bakeoff.data.group_draws import number_groups
from bakeoff.data.registry import find_dataset
from bakeoff.data.source import DataSource
from bakeoff.driver.trial_spread import ScoredSplit, measure_trials
from bakeoff.errors import BakeoffError
from bakeoff.ledger.looks import read_line
from bakeoff.ledger.read import open_reading, read_study
from bakeoff.ledger.values import read_mapping
from bakeoff.stats.borrowed import ExpectedDegrees
from bakeoff.stats.expected import Degrees
from bakeoff.stats.looks import share_of_look
from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.prospects import Aim, Prospect, Prospects, look_ahead
from bakeoff.stats.results import TrialResult
from bakeoff.stats.sources import SourceKind, VarianceSource, expect_declared, guess_disagreement
from bakeoff.study.ensembles import list_ensemble_arms
from bakeoff.study.plan import Block, Plan, recipe_content, study_id
from bakeoff.study.schema import RECORDED, Study
from bakeoff.study.settings import Race
from bakeoff.workspace import Folders

MAX_STUDIES = 30
"""Earlier studies that are looked at, newest first."""

MIN_PILOT = 2
"""Replicates of a pilot, at least: one says nothing of their spread."""


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
        return "with folds nothing can be said of power: they share training images, which sets a limit of its own"
    if plan.study.decide.method == "bayes":
        return "posterior probabilities have no error rate at which power could be computed"
    return ""


def _list_arms(plan: Plan) -> tuple[str, ...]:
    return (*plan.arms, *list_ensemble_arms(plan.study.ensembles))


def _look_at(block: Block, plan: Plan, past: _Past, data_dir: Path | None) -> Prospect:
    num_images, num_groups = count_test_images(block.data.source, data_dir)
    num_grouped = None if num_groups is None else num_images
    num_images = num_images if num_groups is None else num_groups
    source = past.find_source(block, num_images) or _read_declared(plan.study, num_images)
    spread = source.spread
    if spread is not None and spread.num_images is not None:
        num_images = spread.num_images
    aim = replace(_make_aim(plan, block, past, num_images), num_grouped=num_grouped)
    if plan.study.decide.method == "moderated":
        source = source.judge_by(_expect_degrees(plan, aim))
    return look_ahead(block.label, aim, source)


def _expect_degrees(plan: Plan, aim: Aim) -> Degrees:
    """Return the degrees of freedom of a pair whose arms lend each other variances, by the number of replicates."""
    num_blocks = 1 if plan.study.decide.family == "block" else len(plan.blocks)
    return ExpectedDegrees(
        num_arms=len(_list_arms(plan)),
        num_pairs=aim.num_pairs // num_blocks,
        num_blocks=num_blocks,
        level=aim.level,
    )


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
        allows_pilot=study.search is None and isinstance(study.replicates, int) and study.replicates > MIN_PILOT,
        is_race=isinstance(study.replicates, Race),
    )


def count_test_images(source: DataSource, data_dir: Path | None) -> tuple[int | None, int | None]:
    """Return the number of test images without opening any, and of their groups; None for what is not known, or none.

    Of some classes of a registered dataset it is a proportional estimate.
    """
    try:
        if source.registered is None:
            files = list_source(source, data_dir).select("test")
            groups = number_groups([file.group for file in files])
            return len(files) or None, None if groups is None else int(groups.max()) + 1
        record = find_dataset(source.registered)
    except BakeoffError:
        return None, None
    share = 1.0 if source.classes is None else len(source.classes) / record.num_classes
    return round(record.num_test * share), None


def _read_declared(study: Study, num_images: int | None) -> VarianceSource:
    expect = study.expect
    if expect is None:
        return VarianceSource(kind="none")
    disagreement = expect.disagreement
    if disagreement is None and expect.accuracy is not None:
        disagreement = guess_disagreement(expect.accuracy)
    return VarianceSource(
        kind="declared",
        spread=expect_declared(expect.sd, disagreement=disagreement, num_images=num_images),
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
        """Return the best source for a block: its own trials, tested or else validated, then those of others.

        Those of others only if the study does not declare what to expect.
        """
        own = [each for each in self.recorded if each.study_id == self.own_id]
        others = [each for each in self.recorded if each.study_id != self.own_id and not self.is_run]
        if self.plan.study.expect is not None:  # its author knows these arms better than another study does
            others = []
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
        kind: SourceKind = "earlier" if recorded.study_id != self.own_id else "trials" if split == "test" else "pilot"
        return measure_trials(
            results,
            find_metric(self.plan.study.decide.metric),
            split,
            baseline=recorded.study.decide.against,
            num_images=num_images,
            load=load,
            kind=kind,
            study=recorded.study.name,
        )
