"""Cohorts are cut where cores would else wait, and nowhere else."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from bakeoff.catalog.numeric_modes import Modes, Numeric
from bakeoff.data.source import DataSource
from bakeoff.driver.balance import ROUNDS_ENOUGH, balance, measure_span, share_cores, speed_up
from bakeoff.driver.cohorts import Limits, group_trials
from bakeoff.driver.facts import ImageFacts
from bakeoff.study.plan import Plan

STEP = 2.0
"""What a cohort of these tests costs beside its members, which cost 1 each."""


def _cost(size: int) -> float:
    return STEP + size


def _cut(size: int, most: int) -> list[int]:
    number = -(-size // most)
    return [end - start for start, end in pairwise(round(part * size / number) for part in range(number + 1))]


def _balance(sizes: Sequence[int], num_lanes: int) -> list[int]:
    return sorted(balance(sizes, num_lanes, _cost, lambda size: size, _cut))


@pytest.mark.parametrize(
    ("sizes", "num_lanes", "expected"),
    [
        ([9] * 5, 1, [9] * 5),
        ([9] * 5, 2, [4, 5, 9, 9, 9, 9]),
        ([9] * 6, 2, [9] * 6),
        ([9], 2, [4, 5]),
        ([9] * 5, 4, [3, 3, 3, 9, 9, 9, 9]),
        ([9] * 3, 8, [4, 4, 4, 5, 5, 5]),
        ([40, 4, 3], 2, [3, 4, 20, 20]),
        ([1] * 3, 2, [1] * 3),
        ([], 2, []),
    ],
)
def test_the_costliest_are_cut_until_none_waits(sizes: list[int], num_lanes: int, expected: list[int]) -> None:
    assert _balance(sizes, num_lanes) == expected


def test_it_never_takes_longer_and_loses_nobody() -> None:
    for sizes in itertools.combinations_with_replacement((1, 2, 5, 9, 12), 4):
        for num_lanes in (2, 3, 8):
            found = _balance(sizes, num_lanes)
            assert sum(found) == sum(sizes)
            spans = [measure_span([_cost(size) for size in each], num_lanes) for each in (found, sizes)]
            assert spans[0] <= spans[1]


def test_many_rounds_need_no_cutting() -> None:
    assert _balance([9] * (2 * ROUNDS_ENOUGH + 1), 2) == [9] * (2 * ROUNDS_ENOUGH + 1)
    assert _balance([9] * (2 * ROUNDS_ENOUGH - 1), 2) != [9] * (2 * ROUNDS_ENOUGH - 1)


def test_spans_are_those_of_hands_that_take_the_longest_first() -> None:
    assert measure_span([3, 3, 2, 2, 2], 2) == 7  # one more than the best: 6
    assert measure_span([5, 1], 3) == 5


def test_cohorts_follow_the_machine_where_the_study_was_begun(
    make_plan: Callable[..., Plan], facts: ImageFacts
) -> None:
    trials = make_plan(9, replicates=5, recipe={"network": {"name": "mlp", "units": [4096, 1024]}}).trials
    datasets = {DataSource(name="digits"): facts}
    sizes = {}
    for num_lanes in (1, 2, 8):
        limits = Limits(modes=Modes(common="float32", num_lanes=num_lanes))
        groups = group_trials(trials, datasets, limits)
        assert sorted(trial.arm for group in groups for trial in group.trials) == sorted(trial.arm for trial in trials)
        assert all(len({trial.seed for trial in group.trials}) == 1 for group in groups)
        assert len({group.label for group in groups}) == len(groups)
        sizes[num_lanes] = sorted(len(group.trials) for group in groups)
    assert sizes[1] == [9] * 5
    assert sizes[2] == [4, 5, 9, 9, 9, 9]
    assert len(sizes[8]) >= 8


def test_what_costs_no_more_than_its_steps_stays_together(make_plan: Callable[..., Plan], facts: ImageFacts) -> None:
    limits = Limits(modes=Modes(common="float32", num_lanes=2))
    groups = group_trials(make_plan(9, replicates=5).trials, {DataSource(name="digits"): facts}, limits)
    assert [len(group.trials) for group in groups] == [9] * 5


@pytest.mark.parametrize(
    ("costs", "most", "num_lanes", "expected"),
    [
        ([9], 2, 2, [2]),
        ([9], 1, 2, [1]),
        ([9], 8, 1, [1]),
        ([9] * 2, 2, 2, [1, 1]),
        ([9] * 5, 2, 2, [2, 1, 1, 1, 1]),
        ([9] * 3, 8, 8, [2, 2, 2]),
        ([9] * 9, 8, 8, [8, *[1] * 8]),
        ([9] * 9, 3, 8, [3, *[1] * 8]),
        ([9] * 17, 2, 2, [1] * 17),
        ([9, 0.1], 2, 2, [2, 1]),
        ([], 2, 2, []),
    ],
)
def test_threads_go_to_the_costliest_where_cores_would_be_idle(
    costs: list[float], most: int, num_lanes: int, expected: list[int]
) -> None:
    assert share_cores(costs, [most] * len(costs), num_lanes) == expected


def test_small_steps_keep_one_thread_among_large_ones() -> None:
    assert share_cores([9, 1], [1, 4], 4) == [1, 1]
    assert share_cores([9, 1], [4, 1], 4) == [4, 1]


def test_threads_take_their_lanes_together_and_are_not_overtaken() -> None:
    assert measure_span([4], 2, [2]) == 4 / speed_up(2)
    assert measure_span([4, 2, 2], 2, [2, 1, 1]) == 4 / speed_up(2) + 2
    assert measure_span([4, 4], 2, [2, 2]) == 8 / speed_up(2)
    assert measure_span([4], 1, [2]) == 4 / speed_up(2)  # all lanes there are, with the threads of its study
    assert 1 == speed_up(1) < speed_up(2) < 2


LARGE = {"network": {"name": "mlp", "units": [8192, 8192]}, "batch_size": 256}


def test_one_large_network_uses_the_cores_that_would_be_idle(make_plan: Callable[..., Plan], facts: ImageFacts) -> None:
    datasets = {DataSource(name="digits"): facts}

    def count(num_trials: int, recipe: object = LARGE, mode: Numeric = "float32", **modes: int) -> list[int]:
        trials = make_plan(1, replicates=num_trials, recipe=recipe).trials
        limits = Limits(modes=Modes(common=mode, **{"num_lanes": 2, "max_threads": 2, **modes}))
        return [group.num_threads for group in group_trials(trials, datasets, limits)]

    assert count(1) == [2]
    assert count(2) == [1, 1]
    assert count(3) == [2, 1, 1]  # the wide one starts first, so that no core waits for it
    assert count(1, max_threads=1) == [1]
    assert count(1, num_lanes=1) == [1]
    assert count(1, mode="bfloat16") == [1]
    assert count(1, {"network": {"name": "mlp", "units": [64]}}) == [1]
