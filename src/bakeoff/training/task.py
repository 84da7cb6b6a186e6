"""What a worker is handed and what it reports: plain records that travel between processes. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bakeoff.data.source import DataSource
from bakeoff.training.recipe import Recipe

ENGINE_VERSION = 3
"""Part of every trial's identity. Raise it when a change alters what training computes beyond rounding."""

Numeric = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class DataView:
    """The images a cohort sees, and how they are split.

    Attributes:
        source: where the images come from.
        validation: share of the training images that early stopping and selection see, 0 < validation < 1, with folds
            of those outside the held-out fold; or `own`, those that the source sets apart (not with folds).
        fingerprint: hash of the decoded training images; a worker that finds others refuses them.
        seed: the replicate's seed; it draws split, order, initial weights and dropout.
        folds: number of folds, or None.
        fold: the one held out, counted from 0: locked until the final test.
    """

    source: DataSource
    validation: float | Literal["own"]
    fingerprint: str
    seed: int
    folds: int | None = None
    fold: int | None = None


@dataclass(frozen=True, kw_only=True)
class Member:
    """One trial of a cohort.

    Attributes:
        view: its own images and split, where the cohort's members are of several replicates; None: the task's.
        code: hash of the code of a network of the user's own; a worker that has other code refuses it. None: unchecked.
    """

    trial_id: str
    recipe: Recipe
    view: DataView | None = None
    code: str | None = None


@dataclass(frozen=True, kw_only=True)
class CohortTask:
    """Trials to train fused: they share images, batches and network shape.

    Attributes:
        cohort_id: names the checkpoint; a function of the members planned together.
        label: for people: block and replicate.
        finished: trial ids that the ledger already holds; never trained again, even where a checkpoint has them.
        resume_from: the cohorts whose checkpoints to go on from where this one has none of its own; each member goes
            on from where it has come furthest. All from the start where one has none, or they have come to different
            epochs.
        until: the epoch to pause after; members that end before it end as they always do. None: train to the end.
        keep_train: whether predictions on the training images are kept too: votes are scored on them.
    """

    cohort_id: str
    label: str
    members: tuple[Member, ...]
    data: DataView
    numeric: Numeric
    finished: frozenset[str] = frozenset()
    resume_from: tuple[str, ...] = ()
    until: int | None = None
    keep_train: bool = False


@dataclass(frozen=True, kw_only=True)
class ExamTask:
    """Finished trials of one cohort to be evaluated once on the test split."""

    exam_id: str
    label: str
    members: tuple[Member, ...]
    data: DataView
    numeric: Numeric


@dataclass(frozen=True, kw_only=True)
class ProbeTask:
    """A few steps of real training in each numeric mode, to choose one."""

    probe_id: str
    label: str
    members: tuple[Member, ...]
    data: DataView


@dataclass(frozen=True, kw_only=True)
class CheckTask:
    """A recipe whose network is to be built, and its weights fitted to it, before anything is trained.

    Attributes:
        members: the one whose recipe it is.
        shape_HWC: of the images before augmentation; `num_classes`: theirs.
        may_fetch: whether published weights are fetched now.
    """

    check_id: str
    label: str
    members: tuple[Member, ...]
    data: DataView
    shape_HWC: tuple[int, int, int]
    num_classes: int
    may_fetch: bool


@dataclass(frozen=True, kw_only=True)
class TimingTask:
    """A few training steps on images of noise, to estimate from.

    Attributes:
        members: fused; all of one network shape.
        shape_HWC: of the images before augmentation; `class_names`: theirs.
        numeric: the mode, or auto: the faster one counts.
        budget_seconds: after which nothing more is begun.
    """

    timing_id: str
    label: str
    members: tuple[Member, ...]
    data: DataView
    shape_HWC: tuple[int, int, int]
    class_names: tuple[str, ...]
    numeric: Numeric | Literal["auto"]
    budget_seconds: float

    @property
    def num_classes(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)


@dataclass(frozen=True, kw_only=True)
class EpochDone:
    """One trial finished one epoch, and the epoch is safe on disk.

    Attributes:
        epoch: counted from 1.
        train: loss (nats) and accuracy averaged over the epoch's own steps, as the weights moved.
        validation: metrics on the validation split after the epoch.
        seconds: wall time of the epoch for the whole cohort, its evaluation included.
        images_per_second: model-images trained per second by the whole cohort in this epoch's training steps.
        replayed: read back from a checkpoint, not trained just now.
    """

    trial_id: str
    epoch: int
    train: Mapping[str, float]
    validation: Mapping[str, float]
    seconds: float
    images_per_second: float
    replayed: bool = False


@dataclass(frozen=True, kw_only=True)
class TrialDone:
    """One trial is trained, its weights and validation predictions are on disk.

    Attributes:
        best_epoch: the epoch whose weights were kept.
        stop: why training ended.
        features: what the features of its frozen body are kept under, where they were computed once; empty elsewhere.
        features_seconds: what computing these took, for all trials that use them; not in `seconds`.
        metrics: split -> metric -> value, of the kept weights, on train and validation.
    """

    trial_id: str
    num_epochs: int
    best_epoch: int
    stop: Literal["epochs", "early_stopping"]
    seconds: float
    num_parameters: int
    metrics: Mapping[str, Mapping[str, float]]
    features: str = ""
    features_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TrialPaused:
    """One trial has come to the epoch it was to pause after, and its cohort's checkpoint holds it."""

    trial_id: str
    epoch: int


@dataclass(frozen=True, kw_only=True)
class TrialFailed:
    """One trial cannot be finished.

    Attributes:
        diverged: its own numbers left the finite range. That is the trial's result: it is never tried again.
    """

    trial_id: str
    reason: str
    diverged: bool
    num_epochs: int = 0


@dataclass(frozen=True, kw_only=True)
class ExamDone:
    """One trial was evaluated on the test split, with folds also on its held-out fold; its predictions are on disk.

    Attributes:
        metrics: on the test split. `fingerprint`: of its images.
        held_out: metrics on the held-out fold; None without folds.
    """

    trial_id: str
    metrics: Mapping[str, float]
    fingerprint: str
    held_out: Mapping[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class ProbeDone:
    """What the probe measured: seconds per step in each mode, and whether the fast one agrees with float32.

    Attributes:
        relative_difference: worst member's relative distance of the bfloat16 gradient to the float32 one.
        num_members: that took those steps fused.
        seconds_alone: per step of the first of them by itself, in each mode; empty where there was only one.
    """

    probe_id: str
    seconds_per_step: Mapping[str, float]
    relative_difference: float
    agrees: bool
    num_members: int = 1
    seconds_alone: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CheckDone:
    """What is wrong with a recipe, in one line; empty where nothing is."""

    check_id: str
    problem: str


@dataclass(frozen=True, kw_only=True)
class TimingDone:
    """Seconds of a training step on a whole batch: of all members fused, and of the first alone."""

    timing_id: str
    seconds_per_step: float
    seconds_alone: float
    num_members: int


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something went wrong that the worker could mend; people should know."""

    task_id: str
    text: str


@dataclass(frozen=True, kw_only=True)
class TaskDone:
    """Everything a task was to do is done and reported."""

    task_id: str


Event = (
    EpochDone
    | TrialDone
    | TrialPaused
    | TrialFailed
    | ExamDone
    | ProbeDone
    | CheckDone
    | TimingDone
    | Notice
    | TaskDone
)
Task = CohortTask | ExamTask | ProbeTask | CheckTask | TimingTask


def task_id(task: Task) -> str:
    """Return the id under which a task is tracked."""
    if isinstance(task, CohortTask):
        return task.cohort_id
    if isinstance(task, CheckTask):
        return task.check_id
    if isinstance(task, TimingTask):
        return task.timing_id
    return task.exam_id if isinstance(task, ExamTask) else task.probe_id
