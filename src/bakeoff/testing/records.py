"""Checks of entries that do not use tensors: initializers, schedules, averagings, metrics, datasets, and others."""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from bakeoff.catalog.averaging import AveragingRecord, AveragingSettings
from bakeoff.catalog.initializers import INITIALIZERS, InitializerRecord, draw
from bakeoff.catalog.schedules import Progress, ScheduleRecord, ScheduleSettings
from bakeoff.data.decode import decode_split
from bakeoff.data.locate import find_home, find_split
from bakeoff.data.registry import DatasetRecord
from bakeoff.driver.observer import OPTIONAL_METHODS, ObserverRecord, RecordingObserver
from bakeoff.foreign.table import Importer
from bakeoff.registry import bind
from bakeoff.search.proposal import Proposal, Proposer, Score
from bakeoff.search.proposers import Setting
from bakeoff.stats.metrics import METRICS, MetricRecord, Predictions, score_by
from bakeoff.study.search import SearchRecord
from bakeoff.study.search_settings import SearchSettings
from bakeoff.testing.require import make_settings, name_entry, require, require_registered

_MAX_GROUPS = 1_000
_WEIGHT_SHAPES = ((8, 3, 3, 3), (4, 8, 1, 1), (40, 30), (2, 1))
"""Of convolutions and dense layers, in PyTorch's layout."""


def check_initializer(record: InitializerRecord) -> None:
    """Check that an initializer draws finite weights of every layer's shape, from the given generator alone.

    It must be registered, for example as an entry point of an installed package.

    Raises:
        AssertionError: a rule is violated; the message names it.
    """
    require(record.summary and record.source, f"{record.name}: summary and source must not be empty")
    require_registered(INITIALIZERS, record)
    for shape in _WEIGHT_SHAPES:
        with name_entry(record, "sample"):
            first, again = (draw(record.name, shape, np.random.default_rng(3)) for _ in range(2))
        require(first.shape == shape, f"{record.name}: weights must have the shape {shape}, not {first.shape}")
        require(np.isfinite(first).all(), f"{record.name}: weights must be finite")
        require((first == again).all(), f"{record.name}: weights may depend on the shape and the generator only")


def check_averaging(record: AveragingRecord, settings: AveragingSettings | None = None, num_epochs: int = 6) -> None:
    """Check that an averaging method averages something, and that its weights are from 0 to 1 and do not change.

    Raises:
        AssertionError: a rule is violated; the message names it.
    """
    made, numbers = make_settings(record, settings), range(2, 50)
    with name_entry(record, "weigh"):
        weights = [made.weigh(number) for number in numbers]
        again = [made.weigh(number) for number in reversed(numbers)]
        epochs = [made.takes_epoch(epoch) for epoch in range(1, num_epochs + 1)]
    require(all(0 <= weight <= 1 for weight in weights), f"{record.name}: weights must be from 0 to 1")
    require(again[::-1] == weights, f"{record.name}: weights may depend on the number of states only")
    require(made.per_step or any(epochs), f"{record.name}: it averages neither after steps nor after any epoch")
    conflict = made.find_conflict(num_epochs)
    require(
        conflict is None, f"{record.name}: it does not fit {num_epochs} epochs ({conflict}), so pass other settings"
    )


def check_schedule(record: ScheduleRecord, settings: ScheduleSettings | None = None, num_epochs: int = 6) -> None:
    """Check that a schedule returns factors from 0 to 1, as a function of training progress only.

    Raises:
        AssertionError: a rule is violated; the message names it.
    """
    made, steps = make_settings(record, settings), 4
    points = [Progress(step / steps, step, steps) for step in range(num_epochs * steps)]
    factors = [made.share(point, num_epochs) for point in points]
    require(all(0 <= factor <= 1 for factor in factors), f"{record.name}: factors must be from 0 to 1")
    again = [made.share(point, num_epochs) for point in reversed(points)]
    require(again[::-1] == factors, f"{record.name}: the factor depends on earlier calls")
    if not made.per_step:
        within = [(one, other) for step, (one, other) in enumerate(pairwise(factors)) if (step + 1) % steps]
        require(
            all(one == other for one, other in within),
            f"{record.name}: per_step is False, but the factor changes within an epoch",
        )


def check_metric(record: MetricRecord) -> None:
    """Check that a metric depends on the predictions only, and is better for correct ones.

    It must be registered, for example as an entry point of an installed package.

    Raises:
        AssertionError: a rule is violated; the message names it.
    """
    require(
        record.summary and record.label and record.source, f"{record.name}: label, summary and source must not be empty"
    )
    require_registered(METRICS, record)
    rng, labels_N = np.random.default_rng(1), np.arange(60) % 8
    guesses_NC = rng.dirichlet(np.ones(8), 60)
    right_NC = 0.9 * np.eye(8)[labels_N] + 0.1 * guesses_NC
    guessed, right = (score_by(record.name, each, labels_N) for each in (guesses_NC, right_NC))
    require(math.isfinite(guessed) and math.isfinite(right), f"{record.name}: scores must be finite")
    sign = 1 if record.higher_is_better else -1
    require(
        sign * right > sign * guessed,
        f"{record.name}: correct predictions have a worse score, according to higher_is_better",
    )
    order = rng.permutation(60)
    shuffled = score_by(record.name, guesses_NC[order], labels_N[order])
    require(math.isclose(shuffled, guessed, rel_tol=1e-9), f"{record.name}: it depends on the order of the images")
    chance = float(bind(record.chance)(8))
    require(
        math.isfinite(chance) and sign * right > sign * chance,
        f"{record.name}: chance is better than correct predictions",
    )
    require(
        not record.is_share or 0 <= guessed <= 1, f"{record.name}: is_share is True, but a value is not from 0 to 1"
    )
    if record.contribute:
        contributions_N = np.asarray(bind(record.contribute)(Predictions(guesses_NC, labels_N)), dtype=np.float64)
        require(contributions_N.shape == (60,), f"{record.name}: there must be one contribution per image")
        require(
            math.isclose(contributions_N.mean(), guessed, rel_tol=1e-5),
            f"{record.name}: the mean of the contributions must be the metric",
        )


def check_dataset(record: DatasetRecord) -> None:
    """Check that a dataset on this machine has the images that its entry states.

    Raises:
        AssertionError: a rule is violated; the message names it.
        DataError: its files are damaged.
    """
    require(record.summary and record.source, f"{record.name}: summary and source must not be empty")
    require(
        len(set(record.class_names)) == record.num_classes > 1,
        f"{record.name}: there must be two or more different classes",
    )
    root = find_home(record, None)
    for split in ("train", "test"):
        located = None if root is None else find_split(record, split, root)
        require(located is not None, f"{record.name}: the {split} split is not on this machine")
        assert located is not None
        decoded = decode_split(record, split, located)
        require(decoded.pixels.dtype == np.uint8, f"{record.name}: pixels must be uint8")
        present = set(decoded.labels.tolist())
        require(present == set(range(record.num_classes)), f"{record.name}: a class has no image in {split}")


def check_search(record: SearchRecord, settings: SearchSettings | None = None) -> None:
    """Check that a search and its baseline stay within budget, and that proposals depend on seed and scores only.

    Raises:
        AssertionError: a rule is violated; the message names it.
    """
    search = make_settings(record, settings)
    _check_proposals(record, search, None, search.most_candidates)
    if search.baseline is not None:
        _check_proposals(record, search, 7, 7)


def _check_proposals(record: SearchRecord, search: SearchSettings, budget: int | None, most: int) -> None:
    def start(seed: int = 5) -> Proposer:
        setting = Setting(image_shape_HWC=(8, 8, 1), seed=seed, directions=("maximize",))
        make, extra = (record.make, ()) if budget is None else (record.make_baseline, (budget,))
        proposer: Proposer = bind(make)(search, setting, *extra)
        return proposer

    first = _play(start())
    require(0 < len(first) <= most, f"{record.name}: {len(first)} candidates, more than {most} or none")
    numbers = [proposal.number for proposal in first]
    require(numbers == list(range(len(first))), f"{record.name}: candidates must be numbered from 0, in order")
    require(
        len({repr(each.changes) for each in first}) == len(first),
        f"{record.name}: it proposes the same candidate twice",
    )
    require(
        all(parent < proposal.number for proposal in first for parent in proposal.parents),
        f"{record.name}: a parent must have a lower number than its child",
    )
    require(_play(start()) == first, f"{record.name}: proposals differ between runs with the same seed")
    require(
        _play(start(), shuffle=1) == first, f"{record.name}: proposals depend on the order in which a group is judged"
    )
    failing = _play(start(), fails=True)
    require(len(failing) <= most, f"{record.name}: it exceeds its budget if every candidate fails")


def _play(proposer: Proposer, *, shuffle: int | None = None, fails: bool = False) -> list[Proposal]:
    proposed: list[Proposal] = []
    for _ in range(_MAX_GROUPS):
        group: Sequence[Proposal] = list(proposer.propose())
        if not group:
            return proposed
        require(not proposer.propose(), "nothing may be proposed while a group is open")
        proposed += group
        scores = [_judge(proposal, fails) for proposal in group]
        if shuffle is not None:
            random.Random(shuffle).shuffle(scores)
        for score in scores:
            proposer.judge(score)
    raise AssertionError(f"the search has not ended after {_MAX_GROUPS} groups")


def _judge(proposal: Proposal, fails: bool) -> Score:
    value = random.Random(repr(sorted(proposal.changes.items()))).random()
    return Score(number=proposal.number, values=None if fails else (value,))


def check_observer(record: ObserverRecord, target: str = "") -> None:
    """Check that an observer accepts every event of a run.

    Args:
        record: the entry.
        target: what to log to, for an entry with a target.

    Raises:
        AssertionError: a rule is violated; the message names it.
    """
    require(record.summary and "\n" not in record.summary, f"{record.name}: the summary must be one line")
    observer = bind(record.make)(target) if record.target else bind(record.make)()
    for name, wanted in inspect.getmembers(RecordingObserver, inspect.isfunction):
        if name.startswith("_") or (name in OPTIONAL_METHODS and not hasattr(observer, name)):
            continue
        method = getattr(observer, name, None)
        require(callable(method), f"{record.name}: it has no method {name}")
        given = [each for each in inspect.signature(wanted).parameters.values() if each.name != "self"]
        try:
            inspect.signature(method).bind(  # type: ignore[arg-type]  # it is callable, see above
                *(None for each in given if each.kind is not each.KEYWORD_ONLY),
                **{each.name: None for each in given if each.kind is each.KEYWORD_ONLY},
            )
        except TypeError as error:
            raise AssertionError(f"{record.name}: {name} does not accept its arguments: {error}") from error


def check_importer(record: Importer, source: str = "") -> None:
    """Check that an importer leaves other sources alone and, given one of its own, returns a table of scores.

    Args:
        record: the entry.
        source: a file, folder or address that it reads.

    Raises:
        AssertionError: a rule is violated; the message names it.
    """
    require(record.summary and "\n" not in record.summary, f"{record.name}: the summary must be one line")
    require(record.recognises("no-such-file") is False, f"{record.name}: it recognises a file that does not exist")
    if not source:
        return
    require(record.recognises(source) is True, f"{record.name}: it does not recognise {source}")
    table = record.read(source, "last")
    require(table.rows and table.metrics, f"{record.name}: {source} gives no runs or no scores")
    for metric in table.metrics:
        require(any(metric in row for row in table.rows), f"{record.name}: no run has the score {metric}")
