"""Tasks for workers and events they report: plain records sent between processes. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bakeoff.catalog.numeric_modes import Numeric
from bakeoff.catalog.recipe import Recipe
from bakeoff.data.source import DataSource

ENGINE_VERSION = 3
"""Part of every trial's id. Increase it when a change alters training results beyond rounding."""


@dataclass(frozen=True, kw_only=True)
class DataView:
    """The images of a cohort, and how they are split.

    Attributes:
        source: where the images come from.
        validation: fraction of the training images used for early stopping and selection, 0 < validation < 1 (with
            folds: of those outside the held-out fold); or `own`, those reserved by the source (not with folds); or
            `none`: all images train, and validation metrics are of these too (not with folds).
        fingerprint: hash of the decoded training images; a worker refuses different ones.
        seed: the replicate's seed; it determines split, order, initial weights and dropout.
        folds: number of folds, or None.
        fold: the held-out fold, counted from 0: locked until the final test.
    """

    source: DataSource
    validation: float | Literal["own", "none"]
    fingerprint: str
    seed: int
    folds: int | None = None
    fold: int | None = None


@dataclass(frozen=True, kw_only=True)
class Member:
    """One trial of a cohort.

    Attributes:
        view: its own images and split, if the cohort's members belong to several replicates; None: the task's.
        code: hash of the code of the user's own network; a worker with different code refuses it. None: unchecked.
        refit_of: the trial that it trains anew, on training and validation images together; None: it is a trial itself.
    """

    trial_id: str
    recipe: Recipe
    view: DataView | None = None
    code: str | None = None
    refit_of: str | None = None


@dataclass(frozen=True, kw_only=True)
class CohortTask:
    """Trials to train fused: they share images, batches and network shape.

    Attributes:
        cohort_id: names the checkpoint; a function of the members planned together.
        label: display name: block and replicate.
        finished: trial ids that the ledger already holds; never trained again, even if a checkpoint has them.
        resume_from: cohorts whose checkpoints to resume from if this one has no checkpoint; each member resumes from
            its latest one. All start from scratch if a member has none, or if their epochs differ.
        until: the epoch to pause after; members that end earlier end as usual. None: train to the end.
        keep_train: whether predictions on the training images are stored too, because ensembles are scored on them.
        metrics: metrics that members are scored by besides those that are always computed.
        features: keys of the features of a frozen body that it reads; on a cluster they are sent with it.
        in_turn: whether convolutional layers are computed member by member.
        num_threads: threads of the worker while it trains; results depend on it, to rounding.
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
    metrics: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    in_turn: bool = False
    num_threads: int = 1


@dataclass(frozen=True, kw_only=True)
class FinalTestTask:
    """Finished trials of one cohort to be evaluated once on the test split; the last three as in `CohortTask`."""

    final_test_id: str
    label: str
    members: tuple[Member, ...]
    data: DataView
    numeric: Numeric
    metrics: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    in_turn: bool = False


@dataclass(frozen=True, kw_only=True)
class FeatureFile:
    """One file of features of a frozen body.

    Attributes:
        key: hash of everything that determines the features.
        split: the source's split that the images are from.
        draw: 0: all images of the split as they are evaluated. Above: the training images of one replicate, augmented
            as in this epoch.
        num_rows: number of images.
        part_rows: number of images per part: a part is computed by one worker, and kept.
    """

    key: str
    split: Literal["train", "test"]
    draw: int
    num_rows: int
    part_rows: int

    @property
    def starts(self) -> range:
        """The first row of every part."""
        return range(0, self.num_rows, self.part_rows)


@dataclass(frozen=True, kw_only=True)
class FeaturesTask:
    """One part of a file of features.

    Attributes:
        members: the single member, whose recipe has the frozen body.
        data: its images; for augmented ones, also their split and draws.
        start: the part's first row.
    """

    label: str
    members: tuple[Member, ...]
    data: DataView
    numeric: Numeric
    file: FeatureFile
    start: int

    @property
    def features_id(self) -> str:
        """The id under which it is tracked."""
        return f"{self.file.key}-{self.start}"


@dataclass(frozen=True, kw_only=True)
class ProbeTask:
    """A few steps of real training in each numeric mode, to choose one.

    Attributes:
        members: the members to time, enough to see the effect of fusing.
        cohort: all members that will train together, if they are more.
    """

    probe_id: str
    label: str
    members: tuple[Member, ...]
    data: DataView
    cohort: tuple[Member, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CheckTask:
    """Build a recipe's network and load its pretrained weights, before anything is trained.

    Attributes:
        members: the single member with the recipe.
        shape_HWC: shape of the images before augmentation; `num_classes`: number of their classes.
        may_fetch: whether to download published weights now.
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
    """A few training steps on random images, for an estimate.

    Attributes:
        members: fused; all have the same network shape.
        shape_HWC: shape of the images before augmentation; `class_names`: names of their classes.
        numeric: the mode, or auto: the faster one counts.
        budget_seconds: time limit for starting further steps.
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
    """One trial finished one epoch, and the epoch is saved on disk.

    Attributes:
        epoch: counted from 1.
        train: loss (nats) and accuracy averaged over the epoch's training steps.
        validation: metrics on the validation split after the epoch.
        seconds: wall time of the epoch for the whole cohort, including evaluation.
        images_per_second: training images per second in this epoch's steps, summed over the cohort's members.
        replayed: read from a checkpoint, not just trained.
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
    """One trial is trained, and its weights and validation predictions are on disk.

    Attributes:
        best_epoch: the epoch whose weights were stored.
        stop: why training ended.
        features: key of its frozen body's features, if they were computed in advance; otherwise empty.
        features_seconds: time taken to compute them, for all trials that use them; not part of `seconds`.
        metrics: split -> metric -> value, of the stored weights, on train and validation.
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
    """One trial has paused at the requested epoch, and is saved in its cohort's checkpoint."""

    trial_id: str
    epoch: int


@dataclass(frozen=True, kw_only=True)
class TrialFailed:
    """One trial cannot be finished.

    Attributes:
        diverged: its loss became non-finite. That is the trial's result: it is never retried.
    """

    trial_id: str
    reason: str
    diverged: bool
    num_epochs: int = 0


@dataclass(frozen=True, kw_only=True)
class FinalTestDone:
    """One trial was evaluated on the test split, with folds also on its held-out fold; its predictions are on disk.

    Attributes:
        metrics: on the test split. `fingerprint`: hash of its images.
        held_out: metrics on the held-out fold; None without folds.
    """

    trial_id: str
    metrics: Mapping[str, float]
    fingerprint: str
    held_out: Mapping[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class ProbeDone:
    """The probe's result: seconds per step in each mode, and whether bfloat16 agrees with float32.

    Attributes:
        relative_difference: the largest relative distance of a member's bfloat16 gradient to its float32 gradient.
        num_members: number of fused members in those steps.
        seconds_alone: seconds per step of the first member alone, in each mode; empty if there was only one member.
        seconds_in_turn: seconds per step with convolutional layers computed member by member; only in the mode that
            suits this network better, and only if that may be faster.
    """

    probe_id: str
    seconds_per_step: Mapping[str, float]
    relative_difference: float
    agrees: bool
    num_members: int = 1
    seconds_alone: Mapping[str, float] = field(default_factory=dict)
    seconds_in_turn: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CheckDone:
    """The problem with a recipe, in one line; empty if there is none."""

    check_id: str
    problem: str


@dataclass(frozen=True, kw_only=True)
class TimingDone:
    """Seconds per training step on a whole batch: of all members fused, and of the first alone."""

    timing_id: str
    seconds_per_step: float
    seconds_alone: float
    num_members: int


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A problem that the worker could fix, reported to the user."""

    task_id: str
    text: str


@dataclass(frozen=True, kw_only=True)
class TaskDone:
    """All of a task's work is done and reported."""

    task_id: str


Event = (
    EpochDone
    | TrialDone
    | TrialPaused
    | TrialFailed
    | FinalTestDone
    | ProbeDone
    | CheckDone
    | TimingDone
    | Notice
    | TaskDone
)
Task = CohortTask | FinalTestTask | FeaturesTask | ProbeTask | CheckTask | TimingTask


def count_threads(task: Task) -> int:
    """Return how many threads a worker uses for a task."""
    return task.num_threads if isinstance(task, CohortTask) else 1


def task_id(task: Task) -> str:
    """Return the id under which a task is tracked."""
    if isinstance(task, CohortTask):
        return task.cohort_id
    if isinstance(task, CheckTask):
        return task.check_id
    if isinstance(task, TimingTask):
        return task.timing_id
    if isinstance(task, FeaturesTask):
        return task.features_id
    return task.final_test_id if isinstance(task, FinalTestTask) else task.probe_id
