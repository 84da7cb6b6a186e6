"""The numeric modes: asked of probes once, remembered, float32 in doubt, and fused unless apart is clearly faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakeoff.catalog.numeric_modes import Modes
from bakeoff.data.source import DataSource
from bakeoff.driver import cached_json
from bakeoff.driver.cohorts import Limits, group_trials
from bakeoff.driver.context import OpenRun, RunContext
from bakeoff.driver.executors.base import Report
from bakeoff.driver.facts import ImageFacts
from bakeoff.driver.identity import identify
from bakeoff.driver.numeric import MOST_CANDIDATES, PROBE_MEMBERS, choose_modes, decide_modes
from bakeoff.errors import StorageError
from bakeoff.ledger.store import Ledger
from bakeoff.messages import Member, Numeric, ProbeTask, TaskDone
from bakeoff.study.plan import Plan, expand, study_id
from bakeoff.study.schema import Study
from bakeoff.workspace import Folders


def _plan(**fields: Any) -> Plan:
    recipe = {"network": {"name": "mlp", "units": [8]}, "epochs": 2}
    return expand(Study.model_validate({"question": "Which?", "recipe": recipe, "replicates": 1, **fields}))


def open_run(plan: Plan, executor: Any, watcher: Any, ledger: Ledger, facts: ImageFacts) -> OpenRun:
    context = RunContext(workspace=Path("nowhere"), executor=executor, observer=watcher)
    datasets = {DataSource(name="digits"): facts}
    return OpenRun(context=context, study_id=study_id(plan.study), ledger=ledger, datasets=datasets)


Choose = Callable[..., tuple[Modes, list[ProbeTask]]]


@pytest.fixture
def choose(ledger: Ledger, facts: ImageFacts, script: Any) -> Choose:
    """Choose the modes for a plan; return them with the probes that were run."""

    def make(plan: Plan, behave: Any = script.succeed, *, trickle: bool = False) -> tuple[Modes, list[ProbeTask]]:
        executor = script.Executor(behave, trickle=trickle)
        modes = choose_modes(plan, open_run(plan, executor, script.Watcher(), ledger, facts), {})
        assert executor.poll(0.0) == []  # nothing of a probe is left for the driver to stumble over
        return modes, executor.submitted

    return make


@pytest.mark.parametrize(
    ("fast", "agrees", "mode"),
    [(0.5, True, "bfloat16"), (0.5, False, "float32"), (0.99, True, "float32"), (2.0, True, "float32")],
    ids=["faster", "wrong", "hardly faster", "slower"],
)
def test_bfloat16_has_to_be_faster_and_to_agree(
    choose: Choose, make_plan: Callable[..., Plan], script: Any, fast: float, agrees: bool, mode: str
) -> None:
    def behave(task: ProbeTask, attempt: int) -> Sequence[Report]:
        return [script.probe_done(task, fast=fast, agrees=agrees), TaskDone(task_id=task.probe_id)]

    assert choose(make_plan(2), behave, trickle=True)[0] == Modes(common=mode)  # type: ignore[arg-type]


def test_every_network_is_probed_once_with_few_members(choose: Choose, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(9, replicates=3, blocks=[{"batch_size": [16, 32]}])
    _, probes = choose(plan)
    assert [len(probe.members) for probe in probes] == [PROBE_MEMBERS] * 2
    assert [len(probe.cohort) for probe in probes] == [9, 9]
    assert [len(probe.cohort) for probe in choose(make_plan(4))[1]] == [0]
    assert {probe.members[0].recipe.batch_size for probe in probes} == {16, 32}


def test_workers_start_while_one_probes_but_not_without_a_probe(
    make_plan: Callable[..., Plan], ledger: Ledger, facts: ImageFacts, script: Any
) -> None:
    plan, watcher = make_plan(2, replicates=3), script.Watcher()
    executors = [script.Executor(), script.Executor()]
    for executor in executors:
        choose_modes(plan, open_run(plan, executor, watcher, ledger, facts), {})
    assert [executor.num_prepared for executor in executors] == [6, 0]


def _label(plan: Plan, batch_size: int) -> str:
    return next(trial.block for trial in plan.trials if trial.recipe.batch_size == batch_size)


def test_every_block_has_its_own_mode(choose: Choose, make_plan: Callable[..., Plan], script: Any) -> None:
    def behave(task: ProbeTask, attempt: int) -> Sequence[Report]:
        agrees = task.members[0].recipe.batch_size != 16
        return [script.probe_done(task, agrees=agrees), TaskDone(task_id=task.probe_id)]

    plan = make_plan(2, blocks=[{"batch_size": [8, 16, 32]}])
    modes, _ = choose(plan, behave)
    assert modes == Modes(common="bfloat16", by_block={_label(plan, 16): "float32"})
    assert modes.of(_label(plan, 8)) == "bfloat16"


NETWORKS = [{"small": {"network.units": [8]}, "large": {"network.units": [9]}}]


@pytest.mark.parametrize(("agrees", "mode"), [(True, "bfloat16"), (False, "float32")])
def test_networks_of_one_block_share_a_mode(
    choose: Choose, make_plan: Callable[..., Plan], script: Any, agrees: bool, mode: str
) -> None:
    def behave(task: ProbeTask, attempt: int) -> Sequence[Report]:
        first = task.members[0].recipe.network.units == (8,)  # type: ignore[union-attr]
        return [script.probe_done(task, fast=0.2 if first else 1.1, agrees=agrees), TaskDone(task_id=task.probe_id)]

    modes, probes = choose(_plan(arms=NETWORKS), behave)
    assert len(probes) == 2
    assert modes == Modes(common=mode)  # type: ignore[arg-type]


@pytest.mark.parametrize(("alone", "apart"), [(0.26, False), (0.23, False), (0.2, True)])
def test_members_train_apart_where_that_is_clearly_faster(
    choose: Choose,
    make_plan: Callable[..., Plan],
    script: Any,
    facts: ImageFacts,
    alone: float,
    apart: bool,
) -> None:
    def behave(task: ProbeTask, attempt: int) -> Sequence[Report]:
        return [script.probe_done(task, alone=alone), TaskDone(task_id=task.probe_id)]

    plan = make_plan(5)
    modes, probes = choose(plan, behave)
    assert len(probes[0].members) == 4
    assert len(modes.apart) == int(apart)
    groups = group_trials(plan.trials, {DataSource(name="digits"): facts}, Limits(modes=modes))
    assert sorted(len(group.trials) for group in groups) == ([1] * 5 if apart else [5])


@pytest.mark.parametrize(
    ("turns", "alone", "in_turn", "apart"),
    [
        (0.0, 0.26, False, False),
        (0.98, 0.26, False, False),
        (0.9, 0.26, True, False),
        (0.9, 0.2, True, False),
        (0.9, 0.19, False, True),
    ],
)
def test_members_take_turns_where_that_is_faster(
    choose: Choose, make_plan: Callable[..., Plan], script: Any, turns: float, alone: float, in_turn: bool, apart: bool
) -> None:
    def behave(task: ProbeTask, attempt: int) -> Sequence[Report]:
        return [script.probe_done(task, alone=alone, turns=turns), TaskDone(task_id=task.probe_id)]

    modes = choose(make_plan(5), behave)[0]
    assert modes.common == "bfloat16"
    assert (len(modes.in_turn), len(modes.apart)) == (in_turn, apart)


def test_another_mode_than_the_timed_one_takes_no_turns(
    choose: Choose, make_plan: Callable[..., Plan], script: Any
) -> None:
    def behave(task: ProbeTask, attempt: int) -> Sequence[Report]:
        return [script.probe_done(task, turns=0.5, agrees=False), TaskDone(task_id=task.probe_id)]

    assert choose(make_plan(5), behave)[0] == Modes(common="float32")


def test_another_workspace_on_this_machine_takes_the_same_choice(
    make_plan: Callable[..., Plan], script: Any, facts: ImageFacts, tmp_path: Path
) -> None:
    def choose_in(name: str, fast: float) -> tuple[Modes, int]:
        def behave(task: ProbeTask, attempt: int) -> Sequence[Report]:
            return [script.probe_done(task, fast=fast), TaskDone(task_id=task.probe_id)]

        executor = script.Executor(behave)
        with closing(Ledger(Folders(tmp_path / name))) as ledger:
            modes = choose_modes(make_plan(2), open_run(make_plan(2), executor, script.Watcher(), ledger, facts), {})
        return modes, len(executor.submitted)

    assert choose_in("one", 0.94) == (Modes(common="bfloat16"), 1)
    assert choose_in("two", 0.97) == (Modes(common="bfloat16"), 0)
    (kept,) = (tmp_path / "machine" / "probes").glob("*.json")
    kept.write_text('{"seconds_per_step": {"float32": 1.0}}')
    assert choose_in("three", 0.97) == (Modes(common="float32"), 1)


def test_a_cache_that_cannot_be_written_is_no_hindrance(
    choose: Choose, make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    (tmp_path / "machine").write_text("no folder")
    first, probes = choose(make_plan(2))
    assert len(probes) == 1
    assert choose(make_plan(2)) == (first, [])


def test_nor_is_a_full_disk(choose: Choose, make_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    def write_whole(*_: Any) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(cached_json, "write_whole", write_whole)
    assert len(choose(make_plan(2))[1]) == 1


def test_a_device_fuses_what_a_processor_takes_in_turn() -> None:
    modes = Modes(common="bfloat16", apart=frozenset("a"), in_turn=frozenset("b"), num_lanes=3)
    assert modes.without_layouts() == Modes(common="bfloat16")


def test_blocks_of_different_modes_are_not_fused(make_plan: Callable[..., Plan], facts: ImageFacts) -> None:
    plan = make_plan(2, blocks=[{"one": {"epochs": 2}, "two": {"epochs": 3}}])
    datasets = {DataSource(name="digits"): facts}
    assert len(group_trials(plan.trials, datasets)) == 1
    modes = Modes(common="bfloat16", by_block={plan.blocks[0].label: "float32"})
    groups = group_trials(plan.trials, datasets, Limits(modes=modes))
    assert [len({trial.block for trial in group.trials}) for group in groups] == [1, 1]


def test_a_network_that_disagrees_decides_for_every_block_that_trains_it(
    choose: Choose, make_plan: Callable[..., Plan], script: Any
) -> None:
    def behave(task: ProbeTask, attempt: int) -> Sequence[Report]:
        agrees = task.members[0].recipe.network.units != (8,)  # type: ignore[union-attr]
        return [script.probe_done(task, agrees=agrees), TaskDone(task_id=task.probe_id)]

    plan = _plan(arms=NETWORKS, blocks=[{"first": {"data.validation": 0.1}, "second": {"data.validation": 0.2}}])
    trials = tuple(trial for trial in plan.trials if (trial.block, trial.arm) != ("first", "large"))
    modes, _ = choose(replace(plan, trials=trials), behave)
    assert (modes.of("first"), modes.of("second")) == ("float32", "float32")


class Asked:
    """A study in a workspace where trials have ended: what its blocks run in, and what is said."""

    def __init__(self, ledger: Ledger, facts: ImageFacts, script: Any) -> None:
        self.ledger, self.facts, self.script = ledger, facts, script
        self.datasets = {DataSource(name="digits"): facts}
        self.said: list[str] = []

    def end(self, plan: Plan, mode: Numeric, arms: int) -> None:
        for trial in plan.trials[:arms]:
            known = identify(trial, self.datasets, mode)
            done = self.script.trial_done(Member(trial_id=known.trial_id, recipe=trial.recipe))
            self.ledger.record_done(done, known.content, "c", "{}")

    def decide(self, plan: Plan, **probe: Any) -> Modes:
        def behave(task: ProbeTask, attempt: int) -> Sequence[Report]:
            return [self.script.probe_done(task, **probe), TaskDone(task_id=task.probe_id)]

        watcher = self.script.Watcher(messages=self.said)
        run = open_run(plan, self.script.Executor(behave), watcher, self.ledger, self.facts)
        return decide_modes(plan, run)


@pytest.fixture
def asked(ledger: Ledger, facts: ImageFacts, script: Any) -> Asked:
    return Asked(ledger, facts, script)


@pytest.mark.parametrize(("begun", "fast"), [("float32", 0.2), ("bfloat16", 2.0)])
def test_a_block_keeps_the_mode_of_its_finished_trials(
    asked: Asked, make_plan: Callable[..., Plan], begun: Numeric, fast: float
) -> None:
    asked.end(make_plan(2), begun, 2)
    more = make_plan(4, numeric="auto")  # two arms were added: another study, and the probes now favour the other mode
    assert asked.decide(more, fast=fast).common == begun
    assert asked.said == []
    fresh = make_plan(4, numeric="auto", recipe={"epochs": 7})
    assert asked.decide(fresh, fast=fast).common != begun


def test_a_mode_that_must_change_is_said_with_what_it_costs(asked: Asked, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(3, numeric="auto")
    asked.end(plan, "bfloat16", 2)
    assert asked.decide(plan, agrees=False).common == "float32"
    (said,) = asked.said
    assert said.startswith("block 'digits': 2 ")
    for fact in ("bfloat16", "float32", "gradients of 0.001, 0.002, 0.003"):
        assert fact in said


def test_so_is_a_mode_that_the_study_asks_for(asked: Asked, make_plan: Callable[..., Plan]) -> None:
    asked.end(make_plan(2), "bfloat16", 1)
    assert asked.decide(make_plan(2, numeric="float32")).common == "float32"
    (said,) = asked.said
    assert said.startswith("block 'digits': 1 ")
    assert said.index("bfloat16") < said.index("float32,") < said.index("numeric: float32")


def test_without_finished_trials_an_earlier_study_of_the_name_decides(
    asked: Asked, make_plan: Callable[..., Plan], ledger: Ledger, facts: ImageFacts
) -> None:
    ledger.register_study(
        "s" * 64,
        name="study",
        document={},
        placements=[],
        numeric="bfloat16",
        command="",
        facts={"digits": facts.record()},
    )
    assert asked.decide(make_plan(2, numeric="auto"), fast=2.0).common == "bfloat16"
    assert asked.decide(make_plan(2, numeric="auto", name="other"), fast=2.0).common == "float32"


SPACE = {"network.units.0": {"low": 4, "high": 64}, "batch_size": [8, 16, 32, 64, 128, 256, 512]}


def test_candidates_of_a_search_are_probed_too(choose: Choose, make_plan: Callable[..., Plan]) -> None:
    plan = _plan(search={"name": "optuna", "space": SPACE})
    _, probes = choose(plan)
    recipes = [probe.members[0].recipe for probe in probes]
    assert len(probes) == 1 + MOST_CANDIDATES
    assert {8, 512} <= {recipe.batch_size for recipe in recipes}
    assert choose(plan)[1] == []


def test_one_candidate_that_disagrees_decides_for_the_search(
    choose: Choose, make_plan: Callable[..., Plan], script: Any
) -> None:
    def behave(task: ProbeTask, attempt: int) -> Sequence[Report]:
        agrees = task.members[0].recipe.batch_size != 512
        return [script.probe_done(task, agrees=agrees), TaskDone(task_id=task.probe_id)]

    plan = _plan(search={"name": "optuna", "space": SPACE})
    assert choose(plan, behave)[0] == Modes(common="float32")


def test_genomes_are_probed_too(choose: Choose, make_plan: Callable[..., Plan]) -> None:
    plan = _plan(search={"name": "evolution", "population": 4, "generations": 2})
    probes = choose(plan)[1]
    assert len(probes) == 1 + MOST_CANDIDATES
    assert len({probe.members[0].recipe.network.model_dump_json() for probe in probes}) == len(probes)


def test_what_was_measured_is_not_measured_again(choose: Choose, make_plan: Callable[..., Plan]) -> None:
    first, probes = choose(make_plan(2))
    assert len(probes) == 1
    assert choose(make_plan(2)) == (first, [])
    _, probes = choose(make_plan(2, blocks=[{"batch_size": [32, 64]}]))
    assert [probe.members[0].recipe.batch_size for probe in probes] == [64]


def test_a_longer_study_needs_no_new_probe(choose: Choose, make_plan: Callable[..., Plan]) -> None:
    choose(make_plan(2))
    assert choose(make_plan(2, replicates=4, recipe={"epochs": 9}))[1] == []


@pytest.mark.parametrize(("died", "num_probes"), [(True, 2), (False, 1)])
def test_a_lost_probe_means_float32(
    choose: Choose, make_plan: Callable[..., Plan], ledger: Ledger, lose: Any, died: bool, num_probes: int
) -> None:
    mode, probes = choose(make_plan(2), lambda task, attempt: lose(task, died=died, reason="boom"))
    assert mode == Modes(common="float32")
    assert len(probes) == num_probes
    incidents = ledger.connection.execute("SELECT kind, message FROM incidents").fetchall()
    assert incidents == [("error", "probe: boom")] * num_probes


def test_gradients_that_are_not_finite_mean_float32(
    choose: Choose, make_plan: Callable[..., Plan], script: Any
) -> None:
    def behave(task: ProbeTask, attempt: int) -> Sequence[Report]:
        done = replace(script.probe_done(task, agrees=False), relative_difference=float("inf"))
        return [done, TaskDone(task_id=task.probe_id)]

    assert choose(make_plan(2), behave)[0] == Modes(common="float32")
    assert choose(make_plan(2), behave) == (Modes(common="float32"), [])


def test_a_probe_whose_worker_was_killed_is_tried_again(
    choose: Choose, make_plan: Callable[..., Plan], lose: Any, script: Any
) -> None:
    def behave(task: ProbeTask, attempt: int) -> Sequence[Report]:
        return lose(task, died=True) if attempt == 0 else [script.probe_done(task), TaskDone(task_id=task.probe_id)]

    assert choose(make_plan(2), behave)[0] == Modes(common="bfloat16")


def test_threads_are_recorded_where_a_network_is_large_enough_and_kept(
    ledger: Ledger, facts: ImageFacts, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bakeoff.driver.numeric.count_cores", lambda: 4)

    def decide(max_threads: int, **fields: Any) -> Modes:
        plan = _plan(numeric="float32", arms=[{"optimizer": ["sgd", "adam"]}], **fields)
        run = open_run(plan, script.Executor(), script.Watcher(), ledger, facts)
        modes = decide_modes(plan, replace(run, context=replace(run.context, max_threads=max_threads)))
        _register(ledger, plan, modes)
        return modes

    large = {"network": {"name": "mlp", "units": [8192, 8192]}, "batch_size": 256}
    assert decide(4).max_threads == 1
    assert decide(4, recipe=large).max_threads == 4
    assert decide(1, recipe=large).max_threads == 4  # resumed with another number of workers
    assert decide(1, recipe={**large, "epochs": 3}).max_threads == 1


def _register(ledger: Ledger, plan: Plan, modes: Modes) -> None:
    ledger.register_study(
        study_id(plan.study),
        name=plan.study.name,
        document=plan.study.model_dump(mode="json"),
        placements=[],
        numeric=modes.dump(),
        command="",
        facts={},
        asking=False,
    )
