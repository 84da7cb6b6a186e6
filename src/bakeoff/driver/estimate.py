"""Estimates the time of a study before anything is trained."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from bakeoff.catalog.networks.outside import names_class
from bakeoff.catalog.networks.user_code import hash_code
from bakeoff.catalog.numeric_modes import (
    ENOUGH_PROBE_SECONDS,
    FEWEST_PROBE_STEPS,
    NUM_PROBE_STEPS,
    NUM_WARM_UP_STEPS,
    Modes,
    Numeric,
)
from bakeoff.catalog.shape import body_key, caches_features, count_feature_draws, is_fusable
from bakeoff.catalog.transfer import FileWeights, StudyWeights, TrialWeights
from bakeoff.cgroups import count_cores
from bakeoff.data.files import list_once
from bakeoff.data.peek import Peek, peek
from bakeoff.data.source import DataSource, show_text
from bakeoff.driver.balance import measure_span
from bakeoff.driver.capacity import count_fitting
from bakeoff.driver.cohorts import Group, group_trials, limits_of
from bakeoff.driver.devices import CPU_DEVICE, Device
from bakeoff.driver.executors.base import Executor
from bakeoff.driver.executors.local import LocalExecutor
from bakeoff.driver.facts import Datasets, ImageFacts, check_split, describe_datasets
from bakeoff.driver.paths import describe_parts, resolve_paths
from bakeoff.driver.preflight import check_networks
from bakeoff.driver.pretrained import describe_preparation, resolve_trial
from bakeoff.driver.prospects import find_prospects
from bakeoff.driver.run import check_plan
from bakeoff.driver.timing import StepTime, Timings, is_known
from bakeoff.driver.transfer import locate_weights
from bakeoff.errors import UserCodeError, WeightsFileError
from bakeoff.stats.prospects import Prospects, describe_prospect
from bakeoff.study.notebook import describe_study, write_rows
from bakeoff.study.plan import Plan, PlannedTrial
from bakeoff.study.sameness import check_race, describe_same_arms

_MOST_SHOWN = 6
"""Sentences on what a study can show, in a notebook."""

OPERATIONS_PER_SECOND = 4e10
STEP_SECONDS = 0.0008
MEMBER_STEP_SECONDS = 0.0003
START_SECONDS = 4.0
"""For estimates before anything has run: multiply-adds per second and core, the overhead per step and per member, and
the start-up time. Fitted to LeNet and ModNet1 on CIFAR-10 and LeNet on digits, on AMD EPYC 9005.
"""

WORKERS_PER_CARD = 4
"""Processes per GPU if each of them trains one network at a time."""


MEASURED_RANGE = (0.7, 1.6)
GUESSED_RANGE = (0.3, 3.0)
"""Range of actual times relative to estimates: from measured steps, and from multiply-adds alone."""

LONG_SECONDS = 2 * 86_400.0
"""Above this, the estimate names what takes the most time."""

MAX_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The estimated cost of a study.

    Attributes:
        num_cohorts: number of cohorts; 0 if no images are known, and for a search, whose recipes are not chosen yet.
        seconds: time without early stopping; 0 if unknown.
        range_seconds: range of the time, from and to.
        is_measured: whether it is based on steps timed on this machine.
        notes: what the figures leave out, one sentence each.
        prospects: what the study can show.
    """

    plan: Plan = field(repr=False)
    num_cohorts: int
    num_workers: int
    seconds: float
    range_seconds: tuple[float, float] = (0.0, 0.0)
    is_measured: bool = False
    notes: tuple[str, ...] = ()
    prospects: Prospects = field(default_factory=Prospects, repr=False)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        least, most = (seconds / 60 for seconds in self.range_seconds)
        blocks = self.prospects.blocks
        power = [f"{each.block}: {text}" for each in blocks for text in describe_prospect(each)] or [
            self.prospects.reason
        ]
        cohorts = f" in {self.num_cohorts:,} cohorts" if self.num_cohorts else ""
        rows = [
            *describe_study(self.plan.study, self.plan.arms),
            ("trials", f"{self.plan.most_trials:,}{cohorts}"),
            ("time", f"{least:.1f} to {most:.1f} minutes on {self.num_workers} workers" if self.seconds else ""),
            *(("power", text) for text in power[:_MOST_SHOWN]),
            *(("note", note) for note in (*self.plan.notes, *self.notes)),
        ]
        return write_rows(rows)


@list_once()
def estimate_plan(
    plan: Plan,
    workers: int | None,
    data_dir: Path | None,
    device: Device = CPU_DEVICE,
    *,
    probe: bool = False,
    say: Callable[[str], object] = lambda text: None,
    workspace: Path | None = None,
) -> Estimate:
    """Check a plan as far as possible without training, and estimate its time.

    For folders and manifests that are not decoded yet, a few training images are opened, but no test image. On a GPU no
    time is estimated.

    Args:
        plan: the trials.
        workers: the requested number of workers.
        data_dir: searched first for images.
        device: the device for training.
        probe: whether a worker may build networks, check that their weights exist and fit, and time a few steps.
        say: called with progress messages.
        workspace: where trials that tell what the study can show are looked up; it need not exist.

    Raises:
        BakeoffError: images are missing or cannot be split, or a network or its weights are unavailable or do not fit.
    """
    plan = resolve_paths(plan)
    known = describe_datasets(plan.blocks, data_dir)
    num_workers, shortage = count_workers(workers, device, plan, known)
    datasets, peeks = _peek(plan, known, data_dir)
    check_plan(plan, datasets)
    check_race(plan, datasets)
    num_lanes = count_cores() if device.kind == "cpu" else 1
    # Until a probe has chosen the mode: the one that uses one thread.
    mode: Numeric = "float32" if plan.study.numeric == "float32" else "bfloat16"
    modes = Modes(common=mode, num_lanes=num_lanes, max_threads=min(num_lanes, num_workers))
    limits = replace(limits_of(device), modes=modes)
    preparation = describe_preparation(plan, datasets)
    trials = map(resolve_trial, plan.trials) if probe else plan.trials
    groups = group_trials([trial for trial in trials if trial.data.source in datasets], datasets, limits)
    times = _try_out(plan, groups, datasets, data_dir, device, say, probe=probe)
    seconds = _estimate_groups(groups, datasets, times)
    total = 0.0
    if groups and device.kind == "cpu":
        features = _estimate_features(groups, datasets, times) / num_workers  # parts keep all workers busy
        total = features + _estimate_all(plan, groups, seconds, times, num_workers)
    if total:
        total += sum(each.decode_seconds for each in peeks.values())
    least, most = MEASURED_RANGE if _is_measured(groups, seconds, times) else GUESSED_RANGE
    return Estimate(
        plan=plan,
        num_cohorts=0 if plan.study.search is not None else len(groups),
        num_workers=num_workers,
        seconds=total,
        range_seconds=(least * total, most * total),
        is_measured=_is_measured(groups, seconds, times),
        prospects=find_prospects(plan, workspace=workspace, data_dir=data_dir),
        notes=(
            *describe_same_arms(plan, datasets),
            *preparation,
            *_describe_candidates(plan),
            *describe_parts(plan, data_dir),
            *_list_unknown(plan, datasets, times, groups),
            *_name_costliest(groups, seconds, total),
            *_describe_threads(groups),
            *filter(None, [shortage]),
        ),
    )


def _try_out(
    plan: Plan,
    groups: Sequence[Group],
    datasets: Datasets,
    data_dir: Path | None,
    device: Device,
    say: Callable[[str], object],
    *,
    probe: bool,
) -> dict[str, StepTime]:
    """Let a worker check networks and weights and time steps, if allowed; return the known step times."""
    with ExitStack() as opened:

        @cache
        def start() -> Executor:
            folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="bakeoff-plan-"))
            return opened.enter_context(closing(LocalExecutor(1, Path(folder), data_dir)))

        if probe:
            _check_networks(plan, datasets, data_dir, start, say)
        if device.kind != "cpu":  # the rates are those of a CPU
            return {}
        timed = [group for group in groups if not _runs_code(group.trials[0])]
        return Timings(start if probe else None, say).measure(timed, datasets, plan.study.numeric)


def _peek(
    plan: Plan, known: Datasets, data_dir: Path | None
) -> tuple[dict[DataSource, ImageFacts], dict[DataSource, Peek]]:
    """Return facts about known or previewed images, and the previews; check that they can be split."""
    datasets = dict(known)
    peeks: dict[DataSource, Peek] = {}
    for block in plan.blocks:
        source = block.data.source
        if source.path is None:
            continue
        found = peeks.get(source) or peek(source, data_dir)
        check_split(block, found.class_counts, found.class_names, found.class_groups)
        peeks[source] = found
        if source not in datasets and found.shape_HWC is not None:
            datasets[source] = ImageFacts(
                shape_HWC=found.shape_HWC,
                class_names=found.class_names,
                num_images=sum(found.class_counts),
                num_own_validation=found.num_own_validation,
                num_groups=found.num_groups,
            )
        elif source in datasets:
            peeks[source] = replace(found, decode_seconds=0.0)
    return datasets, peeks


def _check_networks(
    plan: Plan,
    datasets: Datasets,
    data_dir: Path | None,
    start: Callable[[], Executor],
    say: Callable[[str], object],
) -> None:
    """Build networks and load weights where that needs neither a workspace nor the user's code."""
    trials = [found for trial in plan.trials if (found := _place_weights(trial, data_dir)) is not None]
    trials = [trial for trial in trials if not _runs_code(trial)]
    check_networks(trials, datasets, start, say=say, may_fetch=False)


def _runs_code(trial: PlannedTrial) -> bool:
    """Return whether a trial's network is the user's own, which planning does not run; check that its module exists.

    Raises:
        NetworkError: Python cannot find the module.
    """
    name = str(trial.recipe.network.name)
    if not names_class(name):
        return False
    if hash_code(name) is None:
        module = name.partition(":")[0]
        raise UserCodeError(f"{name}: there is no module {module}: start bakeoff in its folder, or install it.")
    return True


def _place_weights(trial: PlannedTrial, data_dir: Path | None) -> PlannedTrial | None:
    """Return a trial with the path of its weights file resolved; None if it uses an earlier trial's weights."""
    weights = None if trial.recipe.transfer is None else trial.recipe.transfer.weights
    if isinstance(weights, TrialWeights | StudyWeights):
        return None
    if not isinstance(weights, FileWeights):
        return trial
    found = locate_weights(weights.file, data_dir)
    if found is None:
        raise WeightsFileError(f"transfer: no weights file {show_text(weights.file)}.")
    placed = weights.model_copy(update={"file": str(found.absolute())})
    return replace(trial, recipe=trial.recipe.start_from(placed))


def _estimate_all(
    plan: Plan,
    groups: Sequence[Group],
    seconds: Sequence[float],
    times: Mapping[str, StepTime],
    num_workers: int,
) -> float:
    if plan.study.search is None:
        span = measure_span(seconds, num_workers, [group.num_threads for group in groups])
    else:  # candidates follow one another, so that no core waits for the last
        span = plan.most_trials / len(plan.trials) * sum(seconds) / max(1, min(num_workers, len(groups)))
    steps = [each.fused + (each.alone if each.num_members > 1 else 0.0) for each in times.values()]
    most, fewest = (2 * (NUM_WARM_UP_STEPS + number) for number in (NUM_PROBE_STEPS, FEWEST_PROBE_STEPS))  # two modes
    probes = sum(min(most * each, max(ENOUGH_PROBE_SECONDS, fewest * each)) for each in steps)
    return START_SECONDS + span + (probes if plan.study.numeric == "auto" else 0.0)


def _is_measured(groups: Sequence[Group], seconds: Sequence[float], times: Mapping[str, StepTime]) -> bool:
    """Return whether most of the estimated time is based on measured steps."""
    measured = sum(own for group, own in zip(groups, seconds, strict=True) if group.shape in times)
    return bool(groups) and measured >= 0.8 * sum(seconds)


def _name_costliest(groups: Sequence[Group], seconds: Sequence[float], total: float) -> Iterator[str]:
    """For a plan that takes days, say what takes the time and how to shorten it."""
    if total < LONG_SECONDS:
        return
    shares: Counter[tuple[str, str]] = Counter()
    for group, own in zip(groups, seconds, strict=True):
        epochs = sum(trial.recipe.epochs for trial in group.trials)
        for trial in group.trials:
            shares[trial.block, trial.arm] += round(1_000 * own * trial.recipe.epochs / epochs)
    named = ", ".join(
        f"'{show_text(arm)}' in '{show_text(block)}' {share / sum(shares.values()):.0%}"
        for (block, arm), share in shares.most_common(MAX_NAMED)
    )
    yield (
        f"most of the time goes to {named}. Leave these out, or use fewer replicates or epochs, smaller images "
        "(image_size, resize) or fewer of them (data.subset): each reduces it proportionally."
    )


def _describe_threads(groups: Sequence[Group]) -> Iterator[str]:
    threads = [group.num_threads for group in groups if group.num_threads > 1]
    if threads:
        yield (
            f"of {len(groups):,} cohort{'s' if len(groups) > 1 else ''}, {len(threads):,} will train on "
            f"{max(threads)} threads, because cores would be idle otherwise; --workers 1 keeps to one core."
        )


def _describe_candidates(plan: Plan) -> Iterator[str]:
    if plan.most_candidate_trials:
        finals = plan.most_trials - plan.most_candidate_trials
        yield (
            f"a search: at most {plan.most_candidate_trials:,} trials of candidates, then {finals:,} of the finals; "
            "the estimate assumes that every candidate costs as much as the default recipe."
        )


def _list_unknown(
    plan: Plan, datasets: Datasets, times: Mapping[str, StepTime], groups: Sequence[Group]
) -> Iterator[str]:
    """Say what an estimate leaves out before images are opened or networks built."""
    closed = dict.fromkeys(block.data.source.label for block in plan.blocks if block.data.source not in datasets)
    if closed:
        yield (
            f"not included in cohorts and time, because the image size is unknown: {', '.join(closed)}. Images that "
            "differ in size need data.image_size."
        )
    unknown = dict.fromkeys(
        str(group.trials[0].recipe.network.name)
        for group in groups
        if group.shape not in times and not is_known(group, datasets)
    )
    if unknown:
        yield f"not included in the time, because the cost is unknown before building: {', '.join(unknown)}."


def _estimate_groups(groups: Sequence[Group], datasets: Datasets, times: Mapping[str, StepTime]) -> list[float]:
    """Return the seconds of every group; untimed groups are estimated from the rate of timed ones."""
    guessed = [_estimate_group(group, datasets, None) for group in groups]
    timed = {
        number: _estimate_group(group, datasets, times[group.shape])
        for number, group in enumerate(groups)
        if group.shape in times
    }
    # If a network's cost is unknown before it is built, its guess says nothing about the rate.
    known = [number for number in timed if is_known(groups[number], datasets)]
    rate = sum(timed[number] for number in known) / sum(guessed[number] for number in known) if known else 1.0
    return [timed.get(number, seconds * rate) for number, seconds in enumerate(guessed)]


def _estimate_group(group: Group, datasets: Datasets, step: StepTime | None) -> float:
    """Return the seconds of a group on one core without early stopping."""
    first = group.trials[0]
    num_epochs = max(trial.recipe.epochs for trial in group.trials)
    overhead = num_epochs * group.cost.num_steps * (STEP_SECONDS + MEMBER_STEP_SECONDS * len(group.trials))
    if step is None:
        return group.most_operations / OPERATIONS_PER_SECOND + overhead
    facts = datasets[first.data.source]
    num_train = facts.count_train(first)
    if caches_features(first.recipe):
        return overhead  # the timed step includes the body, but only the heads train
    seconds = step.of(len(group.trials))
    evaluation = (facts.num_images - num_train) / first.recipe.batch_size * seconds / 3  # forward only
    return num_epochs * (group.cost.num_steps * seconds + evaluation)


def _estimate_features(groups: Sequence[Group], datasets: Datasets, times: Mapping[str, StepTime]) -> float:
    """Return the seconds on one core of passing images through frozen bodies before training, each body's once.

    Augmented versions are those of one replicate.
    """
    seconds: dict[tuple[object, ...], float] = {}
    for group in groups:
        first, step = group.trials[0], times.get(group.shape)
        if not caches_features(first.recipe):
            continue
        facts = datasets[first.data.source]
        # The timed step includes the head, whose cost is negligible.
        guess = group.cost.num_body_operations / facts.num_images / OPERATIONS_PER_SECOND
        each = guess if step is None else step.alone / first.recipe.batch_size
        body = (first.data.source, body_key(first.recipe, facts.shape_HWC, facts.num_classes))
        seconds[body] = facts.num_images * each
        num_draws = max(count_feature_draws(trial.recipe) for trial in group.trials)
        seconds[*body, first.seed, first.fold] = num_draws * facts.count_train(first) * each
    return sum(seconds.values())


def count_workers(asked: int | None, device: Device, plan: Plan, datasets: Datasets) -> tuple[int, str]:
    """Return how many processes to start: one per core, or several per GPU if trials cannot be fused.

    Unless a number is requested, never more than fit into the machine's memory.

    Args:
        asked: the requested number.
        device: the device to train on.
        plan: the trials.
        datasets: facts about images that are known before they are opened; see `describe_datasets`.

    Returns:
        The number, and a note if memory limits it, or is too small for the requested number; otherwise empty.
    """
    carried, wanted = count_fitting(plan, datasets, device), _count_wanted(device, plan)
    if asked is None and carried < wanted:
        return carried, f"there is memory for only {carried} of {wanted} workers, so the others are not started."
    if asked is not None and carried < asked:
        text = f"there is memory for about {carried} workers, but {asked} were requested"
        return asked, f"{text}: some may be killed for lack of it."
    return asked or wanted, ""


def _count_wanted(device: Device, plan: Plan) -> int:
    if device.kind == "cpu":
        return count_cores()
    fused = plan.study.search is not None or all(is_fusable(trial.recipe) for trial in plan.trials)
    each = 1 if fused or device.kind == "mps" else min(WORKERS_PER_CARD, max(1, count_cores() // len(device.addresses)))
    return each * len(device.addresses)
