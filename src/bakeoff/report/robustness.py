"""How the arms of a study do on corrupted test images: read from what `bakeoff stress` stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from bakeoff.data.corruptions import Condition, list_conditions
from bakeoff.errors import WorkspaceError
from bakeoff.ledger.corrupted import load_corrupted, read_stress
from bakeoff.report.averages import average
from bakeoff.report.document import Sources
from bakeoff.stats.results import MeanSd, Rules, Summary, TrialResult
from bakeoff.stats.summary import StudyDesign, summarise

Hits = Mapping[Condition, npt.NDArray[np.bool_]]
"""Which test images a trial classified rightly, by condition."""


@dataclass(frozen=True, kw_only=True)
class ArmRobustness:
    """One arm on corrupted test images: accuracies over its finished trials.

    Attributes:
        clean: on the test images as they are.
        corrupted: mean over corruptions, and within each over its severities.
        by_condition: on each condition.
    """

    arm: str
    num_trials: int
    clean: MeanSd
    corrupted: MeanSd
    by_condition: Mapping[Condition, MeanSd]

    @property
    def lost(self) -> float:
        """The mean corruption error less the error on clean images."""
        return self.clean.mean - self.corrupted.mean

    def average_corruption(self, corruption: str) -> float:
        """Return the mean accuracy over the severities of a corruption."""
        return float(np.mean([each.mean for key, each in self.by_condition.items() if key.corruption == corruption]))

    def average_severity(self, severity: int) -> float:
        """Return the mean accuracy over the corruptions at a severity."""
        return float(np.mean([each.mean for key, each in self.by_condition.items() if key.severity == severity]))


@dataclass(frozen=True, kw_only=True)
class BlockRobustness:
    """The arms of one block on corrupted test images.

    Attributes:
        conditions: those that every finished trial of the block has predicted.
        arms: best mean accuracy on corrupted images first.
        looked_at: when this study looked, ISO times.
    """

    block: str
    conditions: tuple[Condition, ...]
    num_images: int
    arms: tuple[ArmRobustness, ...]
    looked_at: tuple[str, ...]

    @property
    def corruptions(self) -> tuple[str, ...]:
        """Names of the corruptions."""
        return tuple(dict.fromkeys(condition.corruption for condition in self.conditions))

    @property
    def severities(self) -> tuple[int, ...]:
        """The severities, mildest first."""
        return tuple(sorted({condition.severity for condition in self.conditions}))


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """What corrupted test images show of a study.

    Attributes:
        blocks: those with stored results.
        summary: scores and verdicts by the study's own method, whose "test accuracy" is the mean over corrupted test
            images; None with folds, whose verdicts rest on no test images.
        is_asked: whether the user asked for just this, not for a whole report.
    """

    blocks: tuple[BlockRobustness, ...]
    summary: Summary | None
    is_asked: bool = False

    def find(self, block: str) -> BlockRobustness | None:
        """Return what there is of a block."""
        return next((each for each in self.blocks if each.block == block), None)


def gather_robustness(sources: Sources, chosen: Collection[Condition] | None = None) -> Robustness | None:
    """Read a study's scores on corrupted test images; None if no block has any for all its finished trials.

    Args:
        sources: the study.
        chosen: conditions to consider; None for all that are stored.
    """
    blocks: list[BlockRobustness] = []
    scores: dict[str, float] = {}
    by_image: dict[str, npt.NDArray[np.float32]] = {}
    for block in (each.label for each in sources.plan.blocks):
        done = [each for each in sources.record.results if (each.block, each.state) == (block, "done")]
        hits = _read_hits(block, done, sources, chosen)
        if not hits:
            continue
        conditions = tuple(next(iter(hits.values())))
        weights = weigh_conditions(conditions)
        for trial_id, of_trial in hits.items():
            shares = sum(weight * of_trial[each] for weight, each in zip(weights, conditions, strict=True))
            by_image[trial_id] = np.asarray(shares, dtype=np.float32)
            scores[trial_id] = float(np.mean(shares))
        blocks.append(_describe_block(block, done, hits, scores, sources))
    if not blocks:
        return None
    summary = None if sources.summary.num_folds else _judge([each.block for each in blocks], scores, by_image, sources)
    return Robustness(blocks=tuple(blocks), summary=summary)


def weigh_conditions(conditions: Sequence[Condition]) -> list[float]:
    """Return weights with sum 1 that count every corruption the same, and within it every severity."""
    names = [condition.corruption for condition in conditions]
    return [1 / (len(set(names)) * names.count(name)) for name in names]


def _read_hits(
    block: str, done: Sequence[TrialResult], sources: Sources, chosen: Collection[Condition] | None
) -> dict[str, Hits]:
    """Return by trial what it classified rightly, on the conditions that all trials have; empty if there is none."""
    fingerprints = sources.tested.get(block, frozenset())
    if len(fingerprints) != 1 or not done or not all("test" in each.metrics for each in done):
        return {}
    (fingerprint,) = fingerprints
    wanted = [each for each in list_conditions() if chosen is None or each in chosen]
    found: dict[str, dict[Condition, npt.NDArray[np.bool_]]] = {}
    for trial in done:
        paths = {each: sources.folders.corrupted(trial.trial_id, *each) for each in wanted}
        loaded = {each: load_corrupted(path, fingerprint) for each, path in paths.items() if path.is_file()}
        found[trial.trial_id] = {each: hits for each, hits in loaded.items() if hits is not None}
        wanted = [each for each in wanted if each in found[trial.trial_id]]
        if not wanted:
            return {}
    return {trial_id: {each: hits[each] for each in wanted} for trial_id, hits in found.items()}


def _describe_block(
    block: str, done: Sequence[TrialResult], hits: Mapping[str, Hits], scores: Mapping[str, float], sources: Sources
) -> BlockRobustness:
    conditions = tuple(next(iter(hits.values())))
    arms = []
    for arm in sources.plan.arms:
        mine = [each for each in done if each.arm == arm]
        if not mine:
            continue
        arms.append(
            ArmRobustness(
                arm=arm,
                num_trials=len(mine),
                clean=average([each.metrics["test"]["accuracy"] for each in mine]),
                corrupted=average([scores[each.trial_id] for each in mine]),
                by_condition={
                    key: average([float(np.mean(hits[each.trial_id][key])) for each in mine]) for key in conditions
                },
            )
        )
    return BlockRobustness(
        block=block,
        conditions=conditions,
        num_images=len(next(iter(hits.values()))[conditions[0]]),
        arms=tuple(sorted(arms, key=lambda each: -each.corrupted.mean)),
        looked_at=_list_looks(block, sources),
    )


def _list_looks(block: str, sources: Sources) -> tuple[str, ...]:
    try:
        looks = read_stress(sources.folders, sources.study_id)
    except WorkspaceError:  # the next `bakeoff stress` reports it
        return ()
    return tuple(look.looked_at for look in looks if look.block == block)


def _judge(
    blocks: Sequence[str],
    scores: Mapping[str, float],
    by_image: Mapping[str, npt.NDArray[np.float32]],
    sources: Sources,
) -> Summary:
    """Judge the arms by the study's own method, on their mean accuracy over corrupted test images."""
    study = {field.name: getattr(sources.summary, field.name) for field in fields(Rules)}
    rules = Rules(**{**study, "metric": "accuracy", "margin": study["margin"] if _is_accuracy(sources) else None})
    results = [
        replace(each, metrics={"test": {"accuracy": scores[each.trial_id]}}) if each.state == "done" else each
        for each in sources.record.results
        if each.block in blocks
    ]
    design = StudyDesign(
        blocks=blocks,
        arms=sources.plan.arms,
        num_classes={block: len(sources.class_names[block]) for block in blocks if sources.class_names[block]},
        same={block: [each.arms for each in sources.same if each.block == block] for block in blocks},
    )
    return summarise(
        results, design, rules, by_image=by_image, groups=_find_groups(blocks, sources), looks=sources.looks
    )


def _is_accuracy(sources: Sources) -> bool:
    return sources.summary.metric == "accuracy"


def _find_groups(blocks: Sequence[str], sources: Sources) -> dict[str, npt.NDArray[np.int64]]:
    """Return the group of every test image, by block, where images come in groups."""
    found = {}
    for block in blocks:
        first = next(each for each in sources.record.results if (each.block, each.state) == (block, "done"))
        predictions = sources.voted.load(first.trial_id, "test")
        if predictions is not None and "groups" in predictions:
            found[block] = predictions["groups"]
    return found
