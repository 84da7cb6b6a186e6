"""The records that analysis reads and writes: a trial's result, and what a study's results say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from numpy.typing import NDArray

from bakeoff.stats.family import FamilyOf, VerdictWord
from bakeoff.stats.looks import LineLook
from bakeoff.stats.measure import Measure, Split
from bakeoff.stats.metrics import MetricRecord, find_metric
from bakeoff.stats.needed import Needed
from bakeoff.stats.sequential import SequentialDesign
from bakeoff.stats.unpaired import Pairing
from bakeoff.stats.variance import Scope, Spread

Method = Literal["moderated", "paired", "bayes"]
"""How pairs are decided: by tests and their error rates, with variances that the arms of a block lend each other or by
each pair's own, or by posterior probabilities."""

DEFAULT_METHOD: Method = "moderated"

FailedMode = Literal["worst", "exclude"]
"""What a failed trial counts as: chance level, or nothing, so that its pairs are dropped."""

_OPPOSITE: dict[VerdictWord, VerdictWord] = {
    "better": "worse",
    "worse": "better",
    "equivalent": "equivalent",
    "inconclusive": "inconclusive",
}


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """How one trial ended.

    Attributes:
        reason: why it failed; empty when done.
        crashed: it failed for another reason than a diverging loss: that is no result of its recipe, and the next run
            trains it again.
        metrics: split -> metric -> value, finite; a split that was not evaluated is absent. Ignored when failed.
        epochs_trained: epochs finished.
        best_epoch: 1-based epoch whose weights were kept; None when none was.
        seconds: training time of this trial, its share of its cohort's and of a frozen body's features.
        fold: 0-based, where the study has folds.
    """

    trial_id: str
    block: str
    arm: str
    replicate: int
    state: Literal["done", "failed"]
    reason: str = ""
    metrics: Mapping[str, Mapping[str, float]]
    epochs_trained: int
    best_epoch: int | None
    seconds: float
    fold: int | None = None
    crashed: bool = False


@dataclass(frozen=True)
class MeanSd:
    """Mean and sample standard deviation (n - 1) over trials; the latter None for a single one."""

    mean: float
    sd: float | None


@dataclass(frozen=True, kw_only=True)
class ArmSummary:
    """One arm in one block over its replicates, and with folds over the folds of each.

    Attributes:
        replicates: trials done.
        failed: trials failed. `crashed`: every trial did, and none by a diverging loss: it has no score.
        train, validation, test, held_out: metric -> mean and sd; empty for a split that was not evaluated. Failed
            trials are in them at chance level where the study counts them so.
        scores: replicate -> value of the deciding metric on the deciding split; with folds their mean.
        epochs: epochs trained, early stopping included; None without a trial done.
        seconds: training time per trial; None without a trial done.
        fold_scores: (replicate, fold) -> value of the deciding metric; empty without folds.
        failed_runs: (replicate, fold) of failed trials, fold 0 without folds; a score of one is chance level.
        by_image: replicate -> what each test image contributes to its score; empty where it is not known.
        trial_ids: (replicate, fold) -> the trial, fold 0 where there are none; empty text for a failed one.
        groups: the group of every test image; None where every image stands alone.
    """

    block: str
    arm: str
    replicates: int
    failed: int
    train: Mapping[str, MeanSd]
    validation: Mapping[str, MeanSd]
    test: Mapping[str, MeanSd]
    scores: Mapping[int, float]
    epochs: MeanSd | None
    seconds: MeanSd | None
    fold_scores: Mapping[tuple[int, int], float] = field(default_factory=dict)
    held_out: Mapping[str, MeanSd] = field(default_factory=dict)
    crashed: bool = False
    failed_runs: frozenset[tuple[int, int]] = frozenset()
    by_image: Mapping[int, NDArray[Any]] = field(default_factory=dict, repr=False, compare=False)
    trial_ids: Mapping[tuple[int, int], str] = field(default_factory=dict)
    groups: NDArray[Any] | None = field(default=None, repr=False, compare=False)

    def as_seen_at(self, look: LineLook) -> ArmSummary:
        """Return the arm with the scores that an earlier look saw; failed replicates were failed then."""
        seen = {
            run
            for run, trial_id in self.trial_ids.items()
            if trial_id in look.trials or (not trial_id and run[0] in look.replicates)
        }
        whole = {run[0] for run in self.trial_ids} - {run[0] for run in self.trial_ids if run not in seen}
        return replace(
            self,
            scores={replicate: score for replicate, score in self.scores.items() if replicate in whole},
            fold_scores={run: score for run, score in self.fold_scores.items() if run in seen},
        )

    @property
    def members(self) -> tuple[ArmSummary, ...]:
        """The arms that it is the average of: itself."""
        return (self,)

    def on(self, split: Split) -> Mapping[str, MeanSd]:
        """Return the metrics on one split."""
        found = {"train": self.train, "validation": self.validation, "test": self.test, "held-out": self.held_out}
        return found[split]

    @property
    def trained_scores(self) -> Mapping[tuple[int, int], float]:
        """Scores of the trials that did not fail, by replicate and fold."""
        scores = self.fold_scores or {(replicate, 0): score for replicate, score in self.scores.items()}
        return {run: score for run, score in scores.items() if run not in self.failed_runs}

    def score(self, measure: Measure) -> MeanSd | None:
        """Return mean and sd of one metric on one split, or None without a trial done."""
        return self.on(measure.split).get(measure.record.name)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the evidence says of arm `a` relative to arm `b` in one block.

    Attributes:
        replicates: those both arms have; with folds the folds of all replicates; unpaired, those of the arm with fewer.
        difference: mean of a - b, in the metric's unit (shares: 0..1, not points); None without a common replicate.
        interval: of the difference at `confidence`, in `scope`, not adjusted for the family; None where undefined.
        p: two-sided, unadjusted. `p_adjusted`: over the family; see `decide_family`.
        p_equivalence_adjusted: adjusted p of the equivalence test; None without a margin.
        effect_size: Cohen's d_z. `correlation`: of the paired values.
        needed: further replicates for 80% power; None where settled or meaningless.
        reason: what the verdict word rests on, as a clause.
        margin: as declared by the study.
        num_folds: of every replicate; None without folds.
        scope: what interval, p values and verdict speak of. `num_images`: test images that they rest on; None where not
            known.
        beyond_margin: the difference is shown to be larger than the margin, not only not zero.
            `p_margin_adjusted`: adjusted p of that not being so; None without a margin.
        p_behind_adjusted: adjusted p of the arm that is ahead being truly behind by the margin or more, with "bayes"
            its probability; None without a margin.
        difference_corrected: of a pair shown to differ, corrected for being a winner; see `correct_winner`.
        superiority: probability that a is better than b in one more run of `scope`; `superiority_interval`: of it.
        spread: over replicates and images; None where not known.
        borrowed: its variance rests on those of other arms, too.
        unpaired: replicates of a and of b, if they are not the same ones and were not paired; else None.
    """

    block: str
    a: str
    b: str
    metric: str
    split: Split
    replicates: int
    difference: float | None
    interval: tuple[float, float] | None
    sd: float | None
    p: float | None
    p_adjusted: float | None
    p_equivalence_adjusted: float | None
    effect_size: float | None
    correlation: float | None
    verdict: VerdictWord
    reason: str
    margin: float | None = None
    num_folds: int | None = None
    needed: Needed | None = None
    scope: Scope = "seeds"
    num_images: int | None = None
    beyond_margin: bool = False
    p_margin_adjusted: float | None = None
    p_behind_adjusted: float | None = None
    difference_corrected: float | None = None
    superiority: float | None = None
    superiority_interval: tuple[float, float] | None = None
    spread: Spread | None = field(default=None, repr=False)
    borrowed: bool = False
    unpaired: tuple[int, int] | None = None

    def dump(self) -> dict[str, Any]:
        """Return the verdict as plain values, for JSON."""
        document = asdict(self)
        for name in ("interval", "superiority_interval", "unpaired"):
            document[name] = None if document[name] is None else list(document[name])
        return document

    def is_not_worse(self, level: float, *, higher_is_better: bool) -> bool:
        """Return whether `a` is shown, at this error rate, not to be worse by the margin or more."""
        if self.verdict in ("better", "equivalent"):
            return True
        sign = 1 if higher_is_better else -1
        is_ahead = self.difference is not None and sign * self.difference > 0
        return is_ahead and self.p_behind_adjusted is not None and self.p_behind_adjusted <= level

    def seen_from(self, arm: str) -> Verdict:
        """Return this verdict with `arm` as its `a`: the same evidence, read from the other side."""
        if arm == self.a:
            return self
        return replace(
            self,
            a=self.b,
            b=self.a,
            difference=_mirror(self.difference, 0.0),
            interval=_mirror_interval(self.interval, 0.0),
            effect_size=_mirror(self.effect_size, 0.0),
            verdict=_OPPOSITE[self.verdict],
            difference_corrected=_mirror(self.difference_corrected, 0.0),
            superiority=_mirror(self.superiority, 1.0),
            superiority_interval=_mirror_interval(self.superiority_interval, 1.0),
            unpaired=None if self.unpaired is None else self.unpaired[::-1],
        )


@dataclass(frozen=True, kw_only=True)
class BlockAnswer:
    """The answer to the study's question in one block.

    Attributes:
        best: the arm with the best mean score among those not shown to be worse than another; None when no trial is
            done.
        score: its mean and sd.
        not_worse: the other arms that are not shown to be worse than `best`, best mean first, those that are the same
            training among them. With a baseline, those
            that are shown to be neither better nor worse than the baseline.
        equivalent: those of them shown to be equivalent to it (with a baseline, to the baseline).
        worse: the arms shown to be worse than `best` (than the baseline).
        missing: the arms without a trial done.
        sentence: the answer in plain words. Holds names as the user wrote them: escape before printing.
        baseline: the arm that all others are compared with, where the study declares one; else None.
        better: the arms shown to be better than the baseline, best mean first; empty without one.
    """

    block: str
    best: str | None
    score: MeanSd | None
    not_worse: tuple[str, ...]
    equivalent: tuple[str, ...]
    worse: tuple[str, ...]
    missing: tuple[str, ...]
    sentence: str
    baseline: str | None = None
    better: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a study's verdicts are decided by.

    Attributes:
        metric: the deciding metric.
        margin: largest difference that does not matter, in the metric's unit; None for no equivalence verdicts.
        confidence: of intervals, 0..1; 1 - confidence is the family-wise error rate of the verdicts.
        baseline: the arm all others are compared with; None for all pairs.
        race: how a race looked, where the number of replicates was left to one: pairs are then compared by p values and
            intervals that hold wherever it stopped.
        failed: what a failed trial counts as.
        scope: what verdicts are to speak of: new seeds and new images, or new seeds on these images alone. Each verdict
            has what it does speak of.
        family: whether verdicts are corrected over all blocks, or within each.
        method: how pairs are decided. "bayes" corrects for no family, and adds to `overall` what the blocks together
            say of a new one, from 3 blocks on.
        pairing: how replicates of two arms are paired; in our own studies by number, for arms share their seeds.
        record: of a metric that is none of METRICS, such as a column of another tool's results; None for those.
    """

    metric: str = "accuracy"
    margin: float | None = None
    confidence: float = 0.95
    baseline: str | None = None
    race: SequentialDesign | None = None
    failed: FailedMode = "worst"
    scope: Scope = "images"
    family: FamilyOf = "study"
    method: Method = DEFAULT_METHOD
    pairing: Pairing = "common"
    record: MetricRecord | None = None

    @property
    def metric_record(self) -> MetricRecord:
        """The deciding metric.

        Raises:
            MetricError: unknown metric.
        """
        return self.record or find_metric(self.metric)


@dataclass(frozen=True, kw_only=True)
class Summary(Rules):
    """What the results of a study say, and the rules it was decided by.

    Attributes:
        split: what verdicts rest on.
        blocks: block labels in the study's order.
        arm_labels: arm labels in the study's order.
        arms: every arm of every block, in that order.
        verdicts: every pair of the family of every block, in that order, less those without a replicate in common:
            they are not compared.
        answers: one per block.
        overall: one sentence over all blocks; empty for a single block. A count, not a test.
        num_folds: of every replicate; None without folds.
        test_shares: with folds, by block: images scored in a fold over images trained on.
        looks: at the question so far, the present one last; empty where verdicts rest on no test split on record.
    """

    split: Split
    blocks: tuple[str, ...]
    arm_labels: tuple[str, ...]
    arms: tuple[ArmSummary, ...]
    verdicts: tuple[Verdict, ...]
    answers: tuple[BlockAnswer, ...]
    overall: str
    num_folds: int | None = None
    test_shares: Mapping[str, float] = field(default_factory=dict)
    looks: tuple[LineLook, ...] = ()

    @property
    def measure(self) -> Measure:
        """The deciding metric on the deciding split."""
        return Measure(self.metric_record, self.split)

    @property
    def runs(self) -> str:
        """What scores are averaged over and pairs are compared by: replicates, or the folds of all of them."""
        return "replicates" if self.num_folds is None else "folds"

    def arms_of(self, block: str) -> tuple[ArmSummary, ...]:
        """Return the arms of one block, in the study's order."""
        return tuple(arm for arm in self.arms if arm.block == block)

    def verdicts_of(self, block: str) -> tuple[Verdict, ...]:
        """Return the verdicts of one block, in the study's order of pairs."""
        return tuple(verdict for verdict in self.verdicts if verdict.block == block)


def _mirror(value: float | None, whole: float) -> float | None:
    return None if value is None else whole - value


def _mirror_interval(interval: tuple[float, float] | None, whole: float) -> tuple[float, float] | None:
    return None if interval is None else (whole - interval[1], whole - interval[0])


def rank_arms(arms: Iterable[ArmSummary], measure: Measure) -> list[ArmSummary]:
    """Return the arms that have a score, best mean first; equal means keep their order."""
    scored = [(score.mean, arm) for arm in arms if (score := arm.score(measure)) is not None]
    scored.sort(key=lambda pair: pair[0], reverse=measure.record.higher_is_better)
    return [arm for _, arm in scored]
