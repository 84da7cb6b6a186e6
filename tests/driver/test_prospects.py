"""What a study can show, from trials in the workspace or from what it declares; pilots and warnings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.driver.context import RunContext
from bakeoff.driver.pilot import check_pilot
from bakeoff.driver.prospects import count_test_images, find_prospects
from bakeoff.driver.run import run_plan
from bakeoff.errors import BakeoffError
from bakeoff.ledger.read import open_reading, read_study
from bakeoff.messages import CohortTask, FinalTestDone, FinalTestTask, TaskDone, TrialDone, task_id
from bakeoff.report.gather import gather_report
from bakeoff.stats.expected import ExpectedSpread
from bakeoff.stats.prospects import Prospects
from bakeoff.study.plan import Plan, expand, study_id
from bakeoff.study.schema import Study
from bakeoff.workspace import Folders, save_predictions

TESTED, VALIDATED = 359, 144


class Answers:
    """Scripted trials that answer images at random, right in nine of ten, and store their predictions."""

    def __init__(self, folders: Folders, script: Any, *, stores: bool = True) -> None:
        self._folders, self._script, self._stores = folders, script, stores
        self._rng, self.trained = np.random.default_rng(0), 0

    def __call__(self, task: Any, attempt: int = 0) -> Sequence[Any]:
        if isinstance(task, CohortTask):
            self.trained += len(task.members)
            done = [self._train(member) for member in task.members]
            epochs = [self._script.epoch_done(member, epoch) for member in task.members for epoch in (1, 2)]
            return [*epochs, *done, TaskDone(task_id=task_id(task))]
        if isinstance(task, FinalTestTask):
            scores = [self._answer(member.trial_id, "test", TESTED) for member in task.members]
            done = [
                FinalTestDone(trial_id=member.trial_id, metrics={"accuracy": score}, fingerprint="f")
                for member, score in zip(task.members, scores, strict=True)
            ]
            return [*done, TaskDone(task_id=task_id(task))]
        return self._script.succeed(task, attempt)  # type: ignore[no-any-return]

    def _train(self, member: Any) -> TrialDone:
        accuracy = self._answer(member.trial_id, "validation", VALIDATED)
        return TrialDone(
            trial_id=member.trial_id,
            num_epochs=2,
            best_epoch=2,
            stop="epochs",
            seconds=0.2,
            num_parameters=1,
            metrics={"train": {"accuracy": 0.9}, "validation": {"accuracy": accuracy}},
        )

    def _answer(self, trial_id: str, split: str, number: int) -> float:
        right_N = self._rng.random(number) < 0.9
        probabilities_NL = np.zeros((number, 10), np.float32)
        probabilities_NL[np.arange(number), np.where(right_N, 0, 1)] = 1.0
        indices_N = np.arange(number)  # of a validation split, as if all replicates had the same
        if self._stores:
            path = self._folders.predictions(trial_id, split)
            save_predictions(path, probabilities_NL, np.zeros(number, np.int64), indices_N.astype(np.int64))
        return float(right_N.mean())


@pytest.fixture
def go(folders: Folders, script: Any) -> Callable[..., Any]:
    def make(plan: Plan, *, stores: bool = True, **options: Any) -> Any:
        watcher = script.Watcher()
        behave = Answers(folders, script, stores=stores)
        context = RunContext(
            workspace=folders.root, executor=script.Executor(behave), observer=watcher, command="x", **options
        )
        return run_plan(plan, context), behave, watcher

    return make


def look(plan: Plan, folders: Folders | None = None, **options: Any) -> Prospects:
    return find_prospects(plan, workspace=None if folders is None else folders.root, **options)


def test_nothing_is_known_without_a_workspace(make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    for found in (look(make_plan(3, replicates=3)), look(make_plan(3, replicates=3), Folders(tmp_path / "none"))):
        (prospect,) = found.blocks
        assert prospect.source.kind == "none"
        assert prospect.detectable is None
        assert prospect.aim.num_images == TESTED
        assert 3 / TESTED < prospect.limit < 20 / TESTED
        assert found.warning == ""
    assert not (tmp_path / "none").exists()


def test_what_is_declared_changes_no_identity(make_plan: Callable[..., Plan]) -> None:
    paired = {"method": "paired"}
    plain = make_plan(3, replicates=5, decide=paired)
    told = make_plan(3, replicates=5, decide=paired, expect={"sd": "0.5 points", "accuracy": 0.9})
    assert study_id(plain.study) == study_id(told.study)
    assert "expect" not in plain.study.model_dump()
    assert plain.trials == told.trials
    (prospect,) = look(told).blocks
    expected = ExpectedSpread(sd=0.005 * 2**0.5, images=0.09 / TESTED, num_images=TESTED, disagreement=0.09)
    assert (prospect.source.kind, prospect.source.images_from) == ("declared", "accuracy")
    assert prospect.source.spread is not None
    assert prospect.source.spread.images == pytest.approx(expected.images)
    assert prospect.aim.level == pytest.approx(0.05 * 0.9 / 3)  # three pairs, and the first look's share
    assert prospect.detectable == pytest.approx(expected.find_detectable(5, prospect.aim.level))
    assert prospect.limit == pytest.approx(expected.find_limit(prospect.aim.level))
    assert [n for n, _ in prospect.curve] == [3, 5, 10, 20]


def test_arms_that_lend_each_other_variances_show_smaller_differences(make_plan: Callable[..., Plan]) -> None:
    found = []
    for method in ("paired", "moderated"):
        plan = make_plan(4, replicates=3, expect={"sd": 0.005}, decide={"scope": "seeds", "method": method})
        (prospect,) = look(plan).blocks
        found.append(prospect.detectable)
    paired, moderated = found
    assert moderated is not None
    assert paired is None or moderated < 0.7 * paired


def test_scope_family_and_baseline(make_plan: Callable[..., Plan]) -> None:
    expect = {"sd": 0.005, "disagreement": 0.1}
    (images,) = look(make_plan(4, replicates=5, expect=expect)).blocks
    (seeds,) = look(make_plan(4, replicates=5, expect=expect, decide={"scope": "seeds"})).blocks
    assert seeds.detectable is not None
    assert images.detectable is not None
    assert seeds.detectable < images.detectable
    assert seeds.limit == 0.0
    (against,) = look(make_plan(4, replicates=5, expect=expect, decide={"against": "0.001"})).blocks
    assert (images.aim.num_pairs, against.aim.num_pairs) == (6, 3)
    assert images.aim.baseline_level == against.aim.level
    blocks = [{"batch_size": [16, 32]}]
    assert [each.aim.num_pairs for each in look(make_plan(4, expect=expect, blocks=blocks)).blocks] == [12, 12]
    by_block = look(make_plan(4, expect=expect, blocks=blocks, decide={"family": "block"})).blocks
    assert [each.aim.num_pairs for each in by_block] == [6, 6]


def test_a_margin_out_of_reach_is_warned_of_with_remedies(make_plan: Callable[..., Plan], go: Any) -> None:
    expect = {"sd": 0.005, "accuracy": 0.9}
    plan = make_plan(3, replicates=3, expect=expect, decide={"margin": 0.02})
    found = look(plan)
    (prospect,) = found.blocks
    assert not prospect.settles
    assert "3 replicates are unlikely to settle the margin of 2 points" in found.warning
    assert prospect.images_needed is None
    assert prospect.both_needed is not None
    assert "replicates and" in found.warning
    assert "a margin of" in found.warning
    _, behave, watcher = go(plan)
    assert watcher.messages.count(found.warning) == 1
    assert behave.trained == 9  # it stops nothing
    assert look(make_plan(3, replicates=3, expect=expect, decide={"margin": 0.2})).warning == ""
    assert look(make_plan(3, replicates=3, expect=expect)).warning == ""


def test_one_arm_has_nothing_to_be_compared_with(make_plan: Callable[..., Plan], go: Any) -> None:
    plan = make_plan(1, replicates=3)
    (note,) = [note for note in plan.notes if "nothing to compare" in note]
    assert look(plan).reason == "there is nothing to compare"
    _, _, watcher = go(plan)
    assert note in watcher.messages
    assert not any("nothing to compare" in note for note in make_plan(2).notes)


@pytest.mark.parametrize("stores", [True, False])
def test_trials_of_this_study_tell_best(
    make_plan: Callable[..., Plan], go: Any, folders: Folders, stores: bool
) -> None:
    plan = make_plan(3, replicates=8, expect={"sd": 0.2})
    counts, *_ = go(plan, stores=stores)
    with open_reading(folders) as connection:
        results = read_study(connection, counts.study_id).results
    arms = [[each.metrics["test"]["accuracy"] for each in results if each.arm == arm] for arm in plan.arms]
    (prospect,) = look(plan, folders).blocks
    source = prospect.source
    assert (source.kind, source.num_trials, source.num_replicates, source.split) == ("trials", 24, 8, "test")
    assert source.degrees == 14
    assert source.images_from == ("predictions" if stores else "accuracy")
    assert source.spread is not None
    variances = [np.var(np.subtract(a, b), ddof=1) for a, b in combinations(arms, 2)]
    assert source.spread.sd == pytest.approx(np.mean(variances) ** 0.5)
    # Independent answers: nothing lasts over replicates, which scores alone cannot tell.
    assert source.spread.images == pytest.approx(0.0 if stores else 0.09 / TESTED, rel=0.05, abs=3e-5)
    assert prospect.aim.look == 1
    (more,) = look(plan, folders, is_run=True).blocks
    assert (more.aim.look, more.aim.num_tested) == (2, 8)
    assert more.aim.level < prospect.aim.level / 10
    assert [n for n, _ in more.curve] == [10, 16, 20, 32]


def test_earlier_trials_on_the_same_images_tell(make_plan: Callable[..., Plan], go: Any, folders: Folders) -> None:
    go(make_plan(3, replicates=3, name="before"))
    other = make_plan(arms=[{"optimizer.learning_rate": [0.5, 0.6]}], replicates=5)
    (prospect,) = look(other, folders).blocks
    assert (prospect.source.kind, prospect.source.study, prospect.source.num_trials) == ("earlier", "before", 9)
    assert prospect.aim.look == 1  # of other arms
    (again,) = look(make_plan(3, replicates=5), folders).blocks
    assert again.aim.look == 2  # of the same arms, on the same images
    (declared,) = look(make_plan(3, replicates=5, expect={"sd": 0.01}), folders).blocks
    assert declared.source.kind == "declared"
    (loss,) = look(make_plan(3, decide={"metric": "loss"}), folders).blocks
    assert loss.source.kind == "none"
    (part,) = look(make_plan(3, data={"classes": ["0", "1"]}), folders).blocks
    assert part.source.kind == "none"


def test_a_pilot_leaves_the_test_split_closed_and_is_reused(
    make_plan: Callable[..., Plan], go: Any, folders: Folders
) -> None:
    plan = make_plan(3, replicates=5)
    counts, behave, watcher = go(plan, pilot=2)
    assert behave.trained == 6
    assert watcher.started["trials"] == 6
    assert not counts.final_test_complete
    with open_reading(folders) as connection:
        record = read_study(connection, counts.study_id)
        assert connection.execute("SELECT COUNT(*) FROM looks").fetchone() == (0,)
    assert (record.num_planned, len(record.results), record.final_tests) == (15, 6, ())
    (prospect,) = look(plan, folders).blocks
    source = prospect.source
    assert (source.kind, source.num_trials, source.split, source.degrees) == ("pilot", 6, "validation", 2)
    assert source.spread is not None
    assert prospect.detectable_range is not None
    assert prospect.detectable is not None
    assert prospect.detectable_range[0] < prospect.detectable < prospect.detectable_range[1]
    report = gather_report(counts.study_id, folders)
    assert report.state == "unfinished"
    assert report.summary.verdicts == ()
    shown = report.facts["power"].blocks[0]
    assert (shown.detectable, shown.source.kind) == (prospect.detectable, "pilot")
    counts, behave, _ = go(plan)
    assert (behave.trained, counts.num_reused, counts.final_test_complete) == (9, 6, True)


def test_a_larger_study_reuses_the_pilot_too(make_plan: Callable[..., Plan], go: Any) -> None:
    go(make_plan(3, replicates=5), pilot=2)
    _, behave, _ = go(make_plan(3, replicates=7))
    assert behave.trained == 15


@pytest.mark.parametrize(
    ("fields", "number", "problem"),
    [
        ({}, 1, "at least"),
        ({}, 5, "the study has 5 replicates"),
        ({"replicates": {"at_least": 3, "at_most": 9}}, 2, "a race"),
        ({"data": {"folds": 3}}, 2, "folds"),
        ({"decide": {"method": "bayes"}}, 2, "posterior"),
        ({"arms": 1}, 2, "nothing to compare"),
    ],
)
def test_no_pilot(make_plan: Callable[..., Plan], fields: dict[str, Any], number: int, problem: str) -> None:
    with pytest.raises(BakeoffError, match=problem) as caught:
        check_pilot(make_plan(**{"arms": 3, "replicates": 5, **fields}), number)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"--pilot {number}: ")


def test_no_pilot_of_a_search() -> None:
    plan = expand(Study(question="Which?", recipe={"network": "mlp"}, search="evolution", replicates=5))
    with pytest.raises(BakeoffError, match="arms of a search"):
        check_pilot(plan, 2)


def test_test_images_are_counted_without_opening_them(make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    (block,) = make_plan(2).blocks
    assert count_test_images(block.data.source, None) == (TESTED, None)
    (few,) = make_plan(2, data={"classes": ["0", "1"]}).blocks
    assert count_test_images(few.data.source, None) == (round(TESTED / 5), None)
    (missing,) = make_plan(2, data={"folder": str(tmp_path / "none")}).blocks
    assert count_test_images(missing.data.source, None) == (None, None)


def test_a_damaged_ledger_says_nothing(make_plan: Callable[..., Plan], folders: Folders) -> None:
    folders.root.mkdir()
    folders.ledger.write_bytes(b"no ledger")
    (prospect,) = look(make_plan(3, replicates=3), folders).blocks
    assert prospect.source.kind == "none"
