"""From trial results to the study's answer: scores of every arm, verdicts on every pair, one answer per block."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.baseline import write_against_baseline, write_overall_against_baseline
from bakeoff.stats.failures import count_as_chance, write_failures
from bakeoff.stats.family import list_family
from bakeoff.stats.judging import Judging, judge_pairs, write_pooled
from bakeoff.stats.looks import LineLook, describe_looks
from bakeoff.stats.measure import Measure, Split
from bakeoff.stats.metrics import MetricError
from bakeoff.stats.results import (
    ArmSummary,
    BlockAnswer,
    MeanSd,
    Rules,
    Summary,
    TrialResult,
    Verdict,
    rank_arms,
)
from bakeoff.stats.wording import Standing, write_answer, write_overall

Run = tuple[int, int]
"""Replicate and fold; fold 0 where there are none."""

__all__ = [
    "ArmSummary",
    "BlockAnswer",
    "MeanSd",
    "Rules",
    "StudyDesign",
    "Summary",
    "TrialResult",
    "Verdict",
    "rank_arms",
    "summarise",
]


@dataclass(frozen=True, kw_only=True)
class StudyDesign:
    """What a study compares, and on what.

    Attributes:
        blocks: all block labels, in order.
        arms: all arm labels, in order; an arm without a trial done appears with zero replicates.
        num_folds: 2 or more where every replicate consists of folds (every result then has its `fold`): pairs are
            compared fold by fold, by the corrected resampled t.
        test_shares: with folds, by block: images scored in a fold over images trained on; 1 / (num_folds - 1), which
            is all others trained on, for blocks that are not here.
        num_classes: by block; where it is unknown, failed trials are left out.
        same: block -> groups of arms that are the same training: pairs within one get no verdict.

    Raises:
        ValueError: a single fold.
    """

    blocks: Sequence[str]
    arms: Sequence[str]
    num_folds: int | None = None
    test_shares: Mapping[str, float] = field(default_factory=dict)
    num_classes: Mapping[str, int] = field(default_factory=dict)
    same: Mapping[str, Sequence[Collection[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.num_folds is not None and self.num_folds < 2:
            raise ValueError(f"num_folds must be at least 2, not {self.num_folds}")

    @property
    def all_test_shares(self) -> dict[str, float]:
        """Return `test_shares` of every block; none without folds."""
        if self.num_folds is None:
            return {}
        return dict.fromkeys(self.blocks, 1 / (self.num_folds - 1)) | dict(self.test_shares)

    def find_same(self, block: str, arm: str) -> Collection[str]:
        """Return the arms that are the same training as this one, itself among them; none where it stands alone."""
        return next((group for group in self.same.get(block, ()) if arm in group), ())


def summarise(
    results: Sequence[TrialResult],
    design: StudyDesign,
    rules: Rules | None = None,
    *,
    by_image: Mapping[str, NDArray[Any]] | None = None,
    groups: Mapping[str, NDArray[Any]] | None = None,
    looks: Sequence[LineLook] = (),
    caveat: str = "",
) -> Summary:
    """Say what the results of a study show.

    Verdicts rest on the images of the final test when every trial done was scored on them, else on the validation
    split. Those are the test split or, with folds, each trial's held-out fold: the models of all folds share the test
    split, so scores on it are shown and no verdict rests on them. Pairs are compared on the replicates both arms have;
    a failed trial counts as chance level, unless these are excluded. The family is all pairs of arms in every block, or
    with a baseline every other arm against it.

    Args:
        results: trials done or failed, in any order; those not yet run are simply absent.
        design: what was compared.
        rules: what decides; None for the defaults.
        by_image: trial id -> what each test image contributes to its score, [N]; see `contribute`. New images can only
            be spoken of on the test split, and where all that is compared is in it.
        groups: block -> the group of every test image, where they come in groups: only groups are then independent.
        looks: at the question so far, as `trace_line` gives them; verdicts on the test split pay for all of them.
        caveat: a sentence that every block's answer ends with.

    Raises:
        MetricError: unknown metric, or a trial done with a value that is not finite.
        ValueError: a result of an undeclared block or arm or without its fold, two of the same replicate and fold, a
            baseline that is no arm, a margin of a whole share.
    """
    rules = rules or Rules()
    by_cell = _group(results, design)
    judging = _set_up(results, design, rules, looks)
    _count_failed(by_cell, design.num_classes if rules.failed == "worst" else {})
    by_block = _summarise_arms(by_cell, design, judging.measure, by_image or {})
    if groups:
        by_block = {block: [replace(arm, groups=groups.get(block)) for arm in arms] for block, arms in by_block.items()}
    verdicts = _judge(by_block, design, judging)
    answers = [_answer(block, found, verdicts, judging, design, caveat) for block, found in by_block.items()]
    arms = tuple(arm for found in by_block.values() for arm in found)
    overall = _write_overall(answers, arms, judging)
    # A posterior needs no correction for looks, and one arm has no p value to correct.
    told = describe_looks(judging.looks) if rules.method != "bayes" and len(design.arms) > 1 else ""
    if told and len(answers) == 1:
        answers = [replace(answers[0], sentence=f"{answers[0].sentence} {told}")]
    return Summary(
        **vars(rules),
        split=judging.measure.split,
        blocks=tuple(design.blocks),
        arm_labels=tuple(design.arms),
        arms=arms,
        verdicts=tuple(verdict for verdict in verdicts if verdict.replicates),
        answers=tuple(answers),
        overall=" ".join(filter(None, [overall, told])) if len(answers) > 1 else overall,
        num_folds=design.num_folds,
        test_shares=judging.test_shares,
        looks=judging.looks,
    )


def _set_up(results: Sequence[TrialResult], design: StudyDesign, rules: Rules, looks: Sequence[LineLook]) -> Judging:
    """Choose the deciding split, and return what decides there."""
    measure = Measure(rules.metric_record, _deciding_split(results, rules.metric, design.num_folds))
    margin = rules.margin
    if margin is not None and measure.record.is_share and margin >= 1:
        raise ValueError(f"{rules.metric} is a share, from 0 to 1: a margin of {margin:g} is {100 * margin:g} points")
    return Judging(
        measure=measure,
        rules=rules,
        num_folds=design.num_folds,
        looks=tuple(looks) if measure.split != "validation" else (),
        test_shares=design.all_test_shares,
    )


def _group(results: Iterable[TrialResult], design: StudyDesign) -> dict[tuple[str, str], dict[Run, TrialResult]]:
    cells: dict[tuple[str, str], dict[Run, TrialResult]] = {
        (block, arm): {} for block in design.blocks for arm in design.arms
    }
    for result in results:
        cell = cells.get((result.block, result.arm))
        if cell is None:
            raise ValueError(f"trial {result.trial_id} belongs to no declared block and arm")
        if (result.fold is None) != (design.num_folds is None):
            raise ValueError(f"trial {result.trial_id} has fold {result.fold} in a study of {design.num_folds} folds")
        run = (result.replicate, result.fold or 0)
        if run in cell:
            fold = "" if result.fold is None else f", fold {result.fold}"
            raise ValueError(
                f"two results of block {result.block}, arm {result.arm}, replicate {result.replicate}{fold}"
            )
        _check_finite(result)
        cell[run] = result
    return cells


def _check_finite(result: TrialResult) -> None:
    for split, metrics in result.metrics.items():
        for name, value in metrics.items():
            if result.state == "done" and not math.isfinite(value):
                raise MetricError(
                    f"trial {result.trial_id} is recorded as done with {split} {name} = {value}; "
                    "a trial without a finite score should be recorded as failed"
                )


def _deciding_split(results: Iterable[TrialResult], metric: str, num_folds: int | None) -> Split:
    locked: Split = "test" if num_folds is None else "held-out"
    done = [result for result in results if result.state == "done"]
    tested = bool(done) and all(metric in result.metrics.get(locked, {}) for result in done)
    return locked if tested else "validation"


def _count_failed(by_cell: Mapping[tuple[str, str], dict[Run, TrialResult]], num_classes: Mapping[str, int]) -> None:
    """Give failed trials chance level on every split that their block's trials were scored on; else no score at all.

    An arm that crashed in every trial has no score either: an error in its code says nothing of the recipe.
    """
    splits: dict[str, dict[str, None]] = {}
    for (block, _), cell in by_cell.items():
        for result in cell.values():
            if result.state == "done":
                splits.setdefault(block, {}).update(dict.fromkeys(result.metrics))
    for (block, _), cell in by_cell.items():
        known = None if _crashed(cell) else num_classes.get(block)
        scored = tuple(splits.get(block, ())) if known else ()
        for run, result in cell.items():
            if result.state == "failed":
                cell[run] = count_as_chance(result, known or 1, scored)


def _crashed(cell: Mapping[Run, TrialResult]) -> bool:
    return bool(cell) and all(result.crashed for result in cell.values())


def _contribute_failed(
    by_cell: Mapping[tuple[str, str], dict[Run, TrialResult]], by_image: Mapping[str, NDArray[Any]], measure: Measure
) -> dict[str, NDArray[Any]]:
    """Return what each image contributes to failed trials that count as chance level: chance level, on all alike."""
    found: dict[str, NDArray[Any]] = {}
    for block in dict.fromkeys(block for block, _ in by_cell):
        results = [result for (of, _), cell in by_cell.items() if of == block for result in cell.values()]
        known = next((by_image[result.trial_id] for result in results if result.trial_id in by_image), None)
        for result in results:
            chance = result.metrics.get(measure.split, {}).get(measure.record.name)
            if known is not None and result.state == "failed" and chance is not None:
                found[result.trial_id] = np.full(len(known), chance, dtype=np.float32)
    return found


def _summarise_arms(
    by_cell: Mapping[tuple[str, str], dict[Run, TrialResult]],
    design: StudyDesign,
    measure: Measure,
    by_image: Mapping[str, NDArray[Any]],
) -> dict[str, list[ArmSummary]]:
    """Return all arms of every block, with what images contribute where verdicts may speak of other images."""
    # Validation images are other ones in every replicate, and have chosen the epochs: they stand for no others.
    known = dict(by_image) if measure.split == "test" else {}
    known |= _contribute_failed(by_cell, known, measure)
    return {
        block: [_summarise_arm(block, arm, by_cell[block, arm], measure, known) for arm in design.arms]
        for block in design.blocks
    }


def _summarise_arm(
    block: str, arm: str, by_run: Mapping[Run, TrialResult], measure: Measure, by_image: Mapping[str, NDArray[Any]]
) -> ArmSummary:
    metric, split = measure.record.name, measure.split
    runs = {run: by_run[run] for run in sorted(by_run)}
    done = {run: result for run, result in runs.items() if result.state == "done"}
    scores = {run: v.metrics[split][metric] for run, v in runs.items() if metric in v.metrics.get(split, {})}
    has_folds = any(result.fold is not None for result in runs.values())
    return ArmSummary(
        block=block,
        arm=arm,
        replicates=len(done),
        failed=len(by_run) - len(done),
        train=_average_metrics(runs.values(), "train"),
        validation=_average_metrics(runs.values(), "validation"),
        test=_average_metrics(runs.values(), "test"),
        held_out=_average_metrics(runs.values(), "held-out"),
        crashed=_crashed(by_run),
        failed_runs=frozenset(run for run, result in runs.items() if result.state == "failed"),
        scores=_average_folds(scores),
        epochs=_average([float(result.epochs_trained) for result in done.values()]),
        seconds=_average([result.seconds for result in done.values()]),
        fold_scores=scores if has_folds else {},
        by_image={run[0]: by_image[runs[run].trial_id] for run in scores if runs[run].trial_id in by_image},
        trial_ids={run: result.trial_id if run in done else "" for run, result in by_run.items()},
    )


def _average_folds(scores: Mapping[Run, float]) -> dict[int, float]:
    by_replicate: dict[int, list[float]] = {}
    for (replicate, _), score in scores.items():
        by_replicate.setdefault(replicate, []).append(score)
    return {
        replicate: values[0] if len(values) == 1 else float(np.mean(values))
        for replicate, values in by_replicate.items()
    }


def _average_metrics(results: Iterable[TrialResult], split: str) -> dict[str, MeanSd]:
    values: dict[str, list[float]] = {}
    for result in results:
        for name, value in result.metrics.get(split, {}).items():
            values.setdefault(name, []).append(value)
    return {name: average for name, listed in values.items() if (average := _average(listed))}


def _average(values: Sequence[float]) -> MeanSd | None:
    if not values:
        return None
    return MeanSd(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


def _judge(by_block: Mapping[str, Sequence[ArmSummary]], design: StudyDesign, judging: Judging) -> list[Verdict]:
    """Judge the pairs of all blocks as one family, or block by block, but those of arms that are the same training."""
    pairs = {}
    for block, arms in by_block.items():
        by_label = {arm.arm: arm for arm in arms}
        family = list_family(list(by_label), judging.rules.baseline)
        pairs[block] = [(by_label[a], by_label[b]) for a, b in family if b not in design.find_same(block, a)]
    families = [list(chain(*pairs.values()))] if judging.rules.family == "study" else pairs.values()
    return [verdict for family in families for verdict in judge_pairs(family, judging)]


def _answer(
    block: str,
    arms: Sequence[ArmSummary],
    verdicts: Sequence[Verdict],
    judging: Judging,
    design: StudyDesign,
    caveat: str,
) -> BlockAnswer:
    measure, rules = judging.measure, judging.rules
    verdicts = [verdict for verdict in verdicts if verdict.block == block]
    ranked = rank_arms(arms, measure)
    best = _best(ranked, verdicts)
    reference = best if rules.baseline is None else next((arm for arm in ranked if arm.arm == rules.baseline), None)
    alike = design.find_same(block, reference.arm) if reference else ()
    others = tuple(arm for arm in ranked if arm is not reference)
    losses = write_failures(arms, rules.failed, measure, design.num_classes.get(block), rules.confidence)
    standing = Standing(
        block=block,
        measure=measure,
        rules=rules,
        best=reference,
        others=tuple(arm for arm in others if arm.arm not in alike),
        missing=tuple(arm.arm for arm in arms if not arm.scores),
        against=_against(reference, verdicts),
        caveats=tuple(filter(None, (losses, caveat))),
        runs="replicates" if design.num_folds is None else "folds",
        elsewhere=[v for v in verdicts if reference and reference.arm not in (v.a, v.b)],
    )
    worse = tuple(arm.arm for arm in standing.those("better"))
    better = () if rules.baseline is None else tuple(arm.arm for arm in standing.those("worse"))
    return BlockAnswer(
        block=block,
        best=best.arm if best else None,
        score=best.score(measure) if best else None,
        not_worse=tuple(arm.arm for arm in others if reference and arm.arm not in (*worse, *better)),
        equivalent=tuple(arm.arm for arm in standing.those("equivalent")),
        worse=worse,
        missing=tuple(standing.missing),
        sentence=write_answer(standing) if rules.baseline is None else write_against_baseline(standing, rules.baseline),
        baseline=rules.baseline,
        better=better,
    )


def _write_overall(answers: Sequence[BlockAnswer], arms: Sequence[ArmSummary], judging: Judging) -> str:
    baseline = judging.rules.baseline
    counted = write_overall(answers) if baseline is None else write_overall_against_baseline(answers, baseline)
    labels = list(dict.fromkeys(arm.arm for arm in arms))
    pooled = write_pooled(arms, list_family(labels, baseline), judging) if judging.rules.method == "bayes" else ""
    return f"{counted} {pooled}".strip()


def _best(ranked: Sequence[ArmSummary], verdicts: Sequence[Verdict]) -> ArmSummary | None:
    """Return the best mean among arms not shown to be worse than another.

    With failed trials an arm can have the best mean over its own replicates and still lose on the common ones.
    """
    beaten = {v.a for v in verdicts if v.verdict == "worse"} | {v.b for v in verdicts if v.verdict == "better"}
    unbeaten = [arm for arm in ranked if arm.arm not in beaten]
    return next(iter(unbeaten or ranked), None)


def _against(best: ArmSummary | None, verdicts: Sequence[Verdict]) -> dict[str, Verdict]:
    if best is None:
        return {}
    seen = [verdict.seen_from(best.arm) for verdict in verdicts if best.arm in (verdict.a, verdict.b)]
    return {verdict.b: verdict for verdict in seen}
