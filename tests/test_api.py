"""The Python face, on real but tiny studies: what is trained, reused, examined, kept and told."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml

from bakeoff.api import Result, Study, iterate_csv, list_status, load, plan, run
from bakeoff.driver.run import describe_retraining
from bakeoff.errors import BakeoffError, StudyError, WorkspaceError
from bakeoff.ledger.read import count_older
from bakeoff.messages import ENGINE_VERSION
from bakeoff.report.sections.basis import describe_final_test
from bakeoff.study.plan import study_id
from bakeoff.study.settings import Decide
from bakeoff.workspace import Folders, load_predictions

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")

NETWORK = {"name": "mlp", "units": [8]}


def make_study(**fields: Any) -> Study:
    values: dict[str, Any] = {
        "question": "Which learning rate?",
        "name": "tiny",
        "data": {"validation": 0.2},
        "recipe": {"network": NETWORK, "epochs": 2, "batch_size": 128},
        "arms": [{"optimizer.learning_rate": [0.001, 0.01]}],
        "replicates": 3,
        "numeric": "float32",
    }
    return Study(**{**values, **fields})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """One study, run once for all tests that only look at it."""
    workspace = tmp_path_factory.mktemp("trained") / "runs"
    return workspace, run(make_study(), workspace=workspace, workers=2)


@pytest.fixture
def workspace(trained: tuple[Path, Result], tmp_path: Path) -> Path:
    """A copy of the trained workspace, for tests that write into it."""
    return Path(shutil.copytree(trained[0], tmp_path / "runs"))


def rows(workspace: Path, query: str) -> list[tuple[Any, ...]]:
    import sqlite3

    with closing(sqlite3.connect(Folders(workspace).ledger)) as connection:
        return connection.execute(query).fetchall()


def strict(text: str) -> Any:
    """Parse JSON; NaN and Infinity are not JSON."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


# --- a first run -----------------------------------------------------------------------------------------------------


def test_a_study_comes_to_a_verdict(trained: tuple[Path, Result]) -> None:
    _, result = trained
    assert result.state == "done"
    assert result.report.num_done == 6
    assert result.report.num_reused == 0
    (verdict,) = result.summary.verdicts
    assert verdict.replicates == 3
    assert result.summary.split == "test"
    assert result.summary.answers[0].best == "0.01"  # two epochs are few: the larger step gets further


def test_a_pilot_tells_what_the_study_can_show(tmp_path: Path) -> None:
    study = make_study(decide={"margin": 0.001})
    (before,) = plan(study, workspace=tmp_path / "runs").prospects.blocks
    assert before.detectable is None
    piloted = run(study, workspace=tmp_path / "runs", workers=1, pilot=2)
    assert (piloted.state, piloted.report.num_done, piloted.report.num_tested) == ("unfinished", 4, 0)
    (prospect,) = piloted.prospects.blocks
    assert prospect.detectable is not None
    assert prospect.source.kind == "pilot"
    assert "3 replicates are unlikely to settle the margin of 0.1 points" in piloted.prospects.warning
    assert plan(study, workspace=tmp_path / "runs").prospects.blocks == piloted.prospects.blocks
    result = run(study, workspace=tmp_path / "runs", workers=1)
    assert (result.state, result.report.num_reused) == ("done", 4)
    (more,) = result.prospects.blocks
    assert (more.source.kind, more.aim.num_tested, more.aim.look) == ("trials", 3, 2)
    page = Path(str(result.report.html_path)).read_text("utf-8")
    assert "What more replicates would show" in page
    assert "Detectable difference over replicates" in page
    with pytest.raises(BakeoffError, match="--pilot 3: the study has 3 replicates"):
        run(study, workspace=tmp_path / "runs", pilot=3)


def test_trials_of_another_engine_are_counted_and_explained(trained: tuple[Path, Result], tmp_path: Path) -> None:
    workspace, result = trained
    shutil.copytree(workspace, tmp_path / "runs")
    with closing(sqlite3.connect(tmp_path / "runs" / "ledger.sqlite")) as connection, connection:
        assert count_older(connection, result.study_id, str(ENGINE_VERSION)) == 0
        connection.execute("UPDATE trials SET content = json_set(content, '$.engine', '1')")
        assert count_older(connection, result.study_id, str(ENGINE_VERSION)) == 6
    (older,) = describe_retraining(0, 6)
    assert older.startswith("6 trials ")
    assert list(describe_retraining(0, 0)) == []


def test_the_document_holds_what_was_promised(trained: tuple[Path, Result]) -> None:
    workspace, result = trained
    document = strict(json.dumps(result.document))
    assert {"study", "state", "trials", "arms", "verdicts", "final_test", "report"} <= document.keys()
    assert (document["study"], document["state"]) == ("tiny", "done")
    assert {name: document["trials"][name] for name in ("done", "failed", "reused")} == {
        "done": 6,
        "failed": 0,
        "reused": 0,
    }
    for arm in document["arms"]:
        assert {"block", "arm", "replicates", "train", "validation", "test"} <= arm.keys()
        for split in ("train", "validation", "test"):
            assert arm[split].keys() == {"accuracy", "loss", "macro_precision", "macro_recall", "macro_f1"}
            assert all(value.keys() == {"mean", "sd"} for value in arm[split].values())
    (verdict,) = document["verdicts"]
    assert {"block", "a", "b", "metric", "difference", "interval", "verdict"} <= verdict.keys()
    assert verdict["verdict"] in ("better", "worse", "equivalent", "inconclusive")
    assert (document["final_test"]["opened"], document["final_test"]["trials"]) == (1, 6)
    assert document["report"] == str(workspace / "reports" / f"tiny-{result.study_id[:8]}" / "verdict.md")
    assert "Which learning rate?" in Path(document["report"]).read_text(encoding="utf-8")
    assert document["report_html"] == str(workspace / "reports" / f"tiny-{result.study_id[:8]}" / "report.html")
    assert "<h1>Which learning rate?</h1>" in Path(document["report_html"]).read_text(encoding="utf-8")


def test_tables_agree_with_the_report(trained: tuple[Path, Result]) -> None:
    workspace, result = trained
    trials = result.to_records()
    assert [trial["arm"] for trial in trials] == ["0.001", "0.01"] * 3
    for arm in result.summary.arms:
        values = {t["replicate"] - 1: t["test_accuracy_share"] for t in trials if t["arm"] == arm.arm}
        assert values == arm.scores
    assert len(result.to_records("epochs")) == 12
    assert load("tiny", workspace).to_csv() == result.to_csv() == "".join(iterate_csv("tiny", "trials", workspace))
    assert result.to_csv("arms") == "".join(iterate_csv("tiny", "arms", workspace))
    assert r"\label{tab:tiny-digits-scores}" in result.to_latex()
    assert result.summary.answers[0].sentence in unescape(result._repr_html_())
    assert repr(result) == f"Result(state='done', study_id={result.study_id!r}, workspace={result.workspace!r})"


def test_every_epoch_is_on_record_and_was_trained_once(trained: tuple[Path, Result]) -> None:
    workspace, _ = trained
    query = "SELECT epoch, times_trained, json_extract(train, '$.loss') FROM epochs ORDER BY trial_id, epoch"
    epochs, times_trained, losses = zip(*rows(workspace, query), strict=True)
    assert epochs == (1, 2) * 6
    assert set(times_trained) == {1}
    assert all(later < earlier for earlier, later in zip(losses[::2], losses[1::2], strict=True))


def test_what_is_recorded_is_what_the_predictions_say(trained: tuple[Path, Result]) -> None:
    from bakeoff.stats.metrics import classification_metrics

    workspace, _ = trained
    query = "SELECT id, trials.metrics, exam_results.metrics FROM trials JOIN exam_results ON trial_id = id"
    for trial_id, metrics, test in rows(workspace, query):
        recorded = {**json.loads(metrics), "test": json.loads(test)}
        for split in ("validation", "test"):
            saved = load_predictions(Folders(workspace).predictions(trial_id, split))
            assert classification_metrics(saved["probabilities"], saved["labels"]) == recorded[split]


def test_nothing_unfinished_is_left_behind(trained: tuple[Path, Result]) -> None:
    workspace, _ = trained
    assert list((workspace / "cohorts").iterdir()) == []
    assert list(workspace.rglob("*.part")) == []


# --- again -----------------------------------------------------------------------------------------------------------

AGAIN = """
import json, subprocess, sys

def refuse(*arguments, **options):
    raise AssertionError("a process is started")

subprocess.Popen = refuse
from bakeoff import api
study = api.Study.model_validate(json.loads(sys.argv[2]))
result = api.run(study, workspace=sys.argv[1])
again = api.load("tiny", sys.argv[1])
heavy = sorted({"torch", "sklearn"} & set(sys.modules))
print(json.dumps([result.state, result.report.num_reused, again.state, again.report.num_reused, heavy]))
"""


def test_a_second_run_trains_nothing_starts_nothing_and_needs_no_torch(workspace: Path) -> None:
    before = rows(workspace, "SELECT * FROM trials")
    ended = subprocess.run(
        [sys.executable, "-c", AGAIN, str(workspace), make_study().model_dump_json()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == ["done", 6, "done", 0, []]
    assert rows(workspace, "SELECT * FROM trials") == before
    assert rows(workspace, "SELECT COUNT(*) FROM exams") == [(1,)]


def test_what_is_read_back_is_what_was_returned(trained: tuple[Path, Result]) -> None:
    workspace, result = trained
    again = load("tiny", workspace)
    assert again.summary == result.summary
    written = {"report": None, "report_html": None}
    assert {**again.document, **written} == {**result.document, **written}


def test_the_same_trial_in_another_study_is_not_trained_again(workspace: Path) -> None:
    """The one arm is spelled otherwise, the blocks are named, the question is another: the trials are the same."""
    other = make_study(
        question="Another?",
        name="other",
        arms=[{"mine": {"optimizer": {"name": "adam", "learning_rate": 0.01}}}],
        blocks=[{"here": {"batch_size": 128}}],
    )
    before = rows(workspace, "SELECT COUNT(*), SUM(times_trained) FROM epochs")
    result = run(other, workspace=workspace)
    assert (result.state, result.report.num_reused, result.report.num_done) == ("done", 3, 3)
    assert rows(workspace, "SELECT COUNT(*), SUM(times_trained) FROM epochs") == before
    assert [arm.arm for arm in result.summary.arms] == ["mine"]
    assert {status.name: status.num_done for status in list_status(workspace)} == {"tiny": 6, "other": 3}


def test_the_study_as_run_says_what_decided(trained: tuple[Path, Result]) -> None:
    text = trained[1].report.study_text
    told = yaml.safe_load(text)
    assert told["decide"] == {name: getattr(Decide(), name) for name in Decide.model_fields}
    assert (told["decide"]["confidence"], told["decide"]["failed"]) == (0.95, "worst")
    assert None not in told.values()
    assert study_id(Study(**told)) == trained[1].study_id


def test_one_more_replicate_trains_that_one_only(workspace: Path) -> None:
    before = rows(workspace, "SELECT * FROM trials ORDER BY id")
    result = run(make_study(replicates=4), workspace=workspace, workers=1)
    assert (result.report.num_done, result.report.num_reused) == (8, 6)
    after = rows(workspace, "SELECT * FROM trials ORDER BY id")
    assert len(after) == 8
    assert set(before) < set(after)
    assert [count for _, count in rows(workspace, "SELECT id, num_trials FROM exams ORDER BY id")] == [6, 2]
    assert len(result.report.earlier_looks) == 1
    assert "looked at these arms" in describe_final_test(result.report)


def test_a_moved_workspace_goes_on(workspace: Path, tmp_path: Path) -> None:
    moved = workspace.rename(tmp_path / "elsewhere")
    result = run(make_study(), workspace=moved)
    assert (result.state, result.report.num_reused) == ("done", 6)
    assert load("tiny", moved).summary == result.summary


def test_no_exam_and_then_an_exam(tmp_path: Path) -> None:
    study = make_study(replicates=1)
    result = run(study, workspace=tmp_path, workers=1, final_test=False)
    assert (result.state, result.summary.split) == ("done", "validation")
    assert result.document["final_test"] == {
        "opened": 0,
        "opened_at": [],
        "changed_after": [],
        "looks": [],
        "trials": 0,
    }
    assert list(tmp_path.rglob("test.npz")) == []
    result = run(study, workspace=tmp_path, workers=1)
    assert (result.report.num_reused, result.summary.split) == (2, "test")
    assert (result.document["final_test"]["opened"], result.document["final_test"]["trials"]) == (1, 2)


# --- failures --------------------------------------------------------------------------------------------------------


def test_an_arm_that_diverges_fails_alone(tmp_path: Path) -> None:
    study = make_study(
        name="diverging",
        recipe={"network": {"name": "mlp", "units": [8], "activation": "linear"}, "epochs": 2, "batch_size": 128},
        arms=[{"optimizer": [{"name": "sgd", "learning_rate": rate} for rate in (0.1, 1e8)]}],
    )
    result = run(study, workspace=tmp_path, workers=1)
    assert result.state == "failed"
    assert (result.report.num_done, result.report.num_failed) == (3, 3)
    document = strict(json.dumps(result.document, allow_nan=False))
    assert (document["trials"]["done"], document["trials"]["failed"]) == (3, 3)
    assert len(document["failures"]) == 3
    assert all(failure["reason"].startswith("diverged: ") for failure in document["failures"])
    assert document["final_test"]["trials"] == 3
    again = run(study, workspace=tmp_path, workers=1)
    assert (again.state, again.report.num_failed) == ("failed", 3)
    assert rows(tmp_path, "SELECT DISTINCT times_trained FROM epochs") == [(1,)]


def test_an_exam_that_could_not_be_held_leaves_the_study_unfinished(workspace: Path) -> None:
    (trial_id,) = rows(workspace, "SELECT id FROM trials LIMIT 1")[0]
    weights = Folders(workspace).weights(trial_id)
    kept = weights.read_bytes()
    weights.unlink()
    import sqlite3

    with closing(sqlite3.connect(Folders(workspace).ledger)) as connection, connection:
        connection.execute("DELETE FROM exam_results WHERE trial_id = ?", (trial_id,))
    result = run(make_study(), workspace=workspace, workers=1)
    assert result.state == "unfinished"
    assert result.document["state"] == "unfinished"
    weights.write_bytes(kept)
    assert run(make_study(), workspace=workspace, workers=1).state == "done"


KILLED_IN_THE_FINAL_TEST = """
import os, signal, sys
from bakeoff.api import run
from bakeoff.ledger.store import Ledger
from tests.test_api import make_study

def record_and_die(ledger, final_test_id, event, record=Ledger.record_final_test):
    record(ledger, final_test_id, event)
    ledger.connection.execute("COMMIT")
    os.killpg(0, signal.SIGKILL)

Ledger.record_final_test = record_and_die
run(make_study(), workspace=sys.argv[1], workers=1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process group")
def test_a_report_of_a_killed_final_test_has_no_verdict_on_validation_images(workspace: Path) -> None:
    import sqlite3

    with closing(sqlite3.connect(Folders(workspace).ledger)) as connection, connection:
        for table in ("exam_results", "exams", "look_trials", "looks"):
            connection.execute(f"DELETE FROM {table}")
    shared = run(make_study(name="shared", decide={"margin": 0.5}), workspace=workspace, final_test=False)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_IN_THE_FINAL_TEST, str(workspace)],
        cwd=Path(__file__).parent.parent,
        start_new_session=True,
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr
    result = load("tiny", workspace)
    assert (result.state, result.summary.verdicts) == ("unfinished", ())
    (answer,) = result.summary.answers
    assert "no verdict" in answer.sentence
    assert "1 of 6" in answer.sentence
    assert result.report.final_test_opened
    assert "validation" not in describe_final_test(result.report)
    # Another study's final test is not this one's: who asked for none has a verdict, and is told what it is.
    again = load("shared", workspace)
    assert (again.state, again.summary.verdicts) == ("done", shared.summary.verdicts)
    assert "no final test" in again.summary.answers[0].sentence
    assert run(make_study(), workspace=workspace, workers=1).state == "done"


# --- what is given ---------------------------------------------------------------------------------------------------


def test_a_file_and_overrides(tmp_path: Path) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text(
        "question: Which learning rate?\n"
        "recipe: {network: {name: mlp, units: [8]}, epochs: 50, batch_size: 128}\n"
        "arms: [{optimizer.learning_rate: [0.001, 0.01]}]\n"
        "numeric: float32\n"
    )
    result = run(path, overrides=["recipe.epochs=1", "replicates=1"], workspace=tmp_path / "runs", workers=1)
    assert (result.state, result.report.name, result.report.num_done) == ("done", "rates", 2)
    assert result.report.command == f"bakeoff run {path} --set recipe.epochs=1 --set replicates=1"
    assert rows(tmp_path / "runs", "SELECT MAX(epoch) FROM epochs") == [(1,)]


def test_overrides_beside_a_study_are_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(BakeoffError, match="overrides"):
        run(make_study(), overrides=["replicates=1"], workspace=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_wrong_study_leaves_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(StudyError):
        run("no-such-study", workspace=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_workspace_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="Not a directory"):
        run(make_study(), workspace=tmp_path / "file" / "runs")


def test_a_report_that_cannot_be_written_is_one_clear_line(workspace: Path) -> None:
    shutil.rmtree(workspace / "reports")
    (workspace / "reports").write_text("")
    with pytest.raises(WorkspaceError, match=r"verdict\.md: .*\((File exists|Not a dir)"):
        run(make_study(), workspace=workspace)


def test_loading_what_is_not_there(trained: tuple[Path, Result], tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="no ledger"):
        load("tiny", tmp_path)
    with pytest.raises(WorkspaceError, match=r"'tiny'\?"):
        load("tinny", trained[0])


def test_an_estimate_opens_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "none"))
    study = make_study(blocks=[{"data.name": ["mnist", "cifar10"]}], arms=[{"network": ["lenet", "modnet1"]}])
    estimated = plan(study, workers=3)
    assert (estimated.num_cohorts, estimated.num_workers) == (12, 3)
    assert len(estimated.plan.trials) == 12
    assert estimated.seconds > 0
    assert os.listdir(tmp_path) == []


# --- as a run goes ---------------------------------------------------------------------------------------------------


class Watcher:
    """Counts what an observer is told."""

    def __init__(self) -> None:
        self.started: dict[str, int] = {}
        self.num_images = self.num_spared = self.num_ended = self.num_failed = 0
        self.running: set[str] = set()

    def start(self, *, num_trials: int, num_model_images: int, num_reused: int = 0, plan: Any = None) -> None:
        self.started = {"trials": num_trials, "images": num_model_images, "reused": num_reused}

    def cohort_started(self, label: str, num_members: int) -> None:
        self.running.add(label)

    def epoch_done(self, label: str, *, num_model_images: int, **rest: int) -> None:
        assert label in self.running
        self.num_images += num_model_images

    def trial_seen(self, trial: Any, **rest: Any) -> None:
        pass

    def search_seen(self, searches: Any) -> None:
        pass

    def trial_done(self, *, failed: bool = False, num_images_spared: int = 0) -> None:
        self.num_ended += 1
        self.num_failed += failed
        self.num_spared += num_images_spared

    def cohort_done(self, label: str) -> None:
        self.running.discard(label)

    def message(self, text: str) -> None:
        pass


def test_an_observer_sees_all_the_work(tmp_path: Path) -> None:
    """Every promised image is seen or spared, also by arms that stop early or diverge."""
    study = make_study(
        recipe={"network": NETWORK, "batch_size": 128},
        arms=[
            {
                "short": {"epochs": 1},
                "stopped": {"epochs": 30, "optimizer.learning_rate": 1e-9, "early_stopping": {"patience": 1}},
                "diverging": {"epochs": 4, "optimizer": {"name": "sgd", "learning_rate": 1e30}},
            }
        ],
        replicates=2,
    )
    watcher = Watcher()
    result = run(study, workspace=tmp_path, workers=2, observer=watcher)
    assert watcher.started["trials"] == watcher.num_ended == 6
    assert watcher.num_failed == result.report.num_failed == 2
    assert watcher.num_images + watcher.num_spared == watcher.started["images"]
    assert watcher.running == set()
