"""What trackers show is what the ledger has, each point once, whenever a run ended before."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bakeoff.api import Result, log_study, run
from bakeoff.driver.observer import OBSERVERS, BaseObserver, Conclusion
from bakeoff.errors import BakeoffError
from bakeoff.extras import how_to_install
from bakeoff.ledger.read import open_reading
from bakeoff.study.schema import Study
from bakeoff.testing import check_observer
from bakeoff.trackers.logger import StudyLogger
from bakeoff.trackers.mirror import Mirror, describe_study, flatten
from bakeoff.trackers.records import LoggedEnding, LoggedEpoch, LoggedStudy, LoggedTrial, Shown
from bakeoff.workspace import Folders

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")

TRACKERS = ("tensorboard", "mlflow", "trackio", "wandb")


class Recorder:
    """A tracker in memory.

    Args:
        shown: what it shows of every trial already.
    """

    is_live = True

    def __init__(self, shown: Shown | None = None) -> None:
        self.shown = shown or Shown()
        self.calls: list[str] = []
        self.trials: dict[str, LoggedTrial] = {}
        self.epochs: dict[str, list[LoggedEpoch]] = {}
        self.endings: dict[str, list[LoggedEnding]] = {}
        self.conclusions: list[Conclusion] = []

    def open(self, study: LoggedStudy) -> None:
        self.calls.append("open")

    def open_trial(self, trial: LoggedTrial, ending: LoggedEnding | None) -> Shown:
        assert trial.trial_id not in self.trials
        self.trials[trial.trial_id] = trial
        return self.shown

    def log_epochs(self, trial: LoggedTrial, epochs: Sequence[LoggedEpoch]) -> None:
        self.epochs.setdefault(trial.trial_id, []).extend(epochs)

    def end_trial(self, trial: LoggedTrial, ending: LoggedEnding) -> None:
        self.endings.setdefault(trial.trial_id, []).append(ending)

    def conclude(self, conclusion: Conclusion) -> None:
        self.conclusions.append(conclusion)

    def close(self) -> None:
        self.calls.append("close")


def mirror(workspace: Path, result: Result, tracker: Recorder) -> Mirror:
    with open_reading(Folders(workspace)) as connection:
        made = Mirror(tracker, describe_study(connection, result.study_id), None)
        made.update(connection)
        made.update(connection)
    return made


def test_every_epoch_and_score_is_shown_once(
    trained: tuple[Path, Result], in_ledger: Callable[[], Any], check_points: Callable[..., None]
) -> None:
    tracker = Recorder()
    mirror(*trained, tracker)
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for trial_id, epochs in tracker.epochs.items():
        (ending,) = tracker.endings[trial_id]
        assert (ending.state, ending.num_epochs, ending.scores["final/epochs"]) == ("done", 3, 3)
        for each in [*epochs, LoggedEpoch(3, ending.scores)]:
            for name, value in each.metrics.items():
                found.setdefault((trial_id, name), []).append((each.epoch, value))
    check_points(found, in_ledger())


def test_a_trial_is_described(trained: tuple[Path, Result]) -> None:
    tracker = Recorder()
    mirror(*trained, tracker)
    trials = sorted(tracker.trials.values(), key=lambda trial: trial.name)
    assert [trial.facts["replicate"] for trial in trials] == [1, 2, 1, 2]
    assert len({trial.key for trial in trials}) == 4
    assert {trial.recipe["optimizer.learning_rate"] for trial in trials} == {0.001, 0.01}
    assert trials[0].recipe["network.units"] == "[8]"
    assert {"study", "study_id", "trial_id", "block", "arm", "seed", "engine", "bakeoff"} <= trials[0].facts.keys()
    assert not {"study", "study_id", "trial_id"} & trials[0].settings.keys()


def test_the_learning_rate_at_the_start_of_each_epoch(trained: tuple[Path, Result]) -> None:
    tracker = Recorder()
    mirror(*trained, tracker)
    for trial_id, trial in tracker.trials.items():
        rates = [each.metrics["learning_rate"] for each in tracker.epochs[trial_id]]
        highest = float(trial.recipe["optimizer.learning_rate"])
        assert rates == pytest.approx([highest, highest * 0.75, highest * 0.25])  # (1 + cos(pi e / 3)) / 2


@pytest.mark.parametrize(("shown", "epochs"), [(0, [1, 2, 3]), (2, [3]), (3, [])])
def test_what_is_shown_already_is_not_repeated(trained: tuple[Path, Result], shown: int, epochs: list[int]) -> None:
    tracker = Recorder(Shown(shown))
    mirror(*trained, tracker)
    assert [[each.epoch for each in found] for found in tracker.epochs.values()] == ([epochs] * 4 if epochs else [])
    assert len(tracker.endings) == 4


def test_flatten() -> None:
    settings = {"a": {"b": 1, "c": None}, "d": [{"name": "flip"}, {"name": "crop", "by": 2}], "e": [1, 2], "f": {}}
    assert flatten(settings) == {
        "a.b": 1,
        "a.c": "none",
        "d.0.name": "flip",
        "d.1.name": "crop",
        "d.1.by": 2,
        "e": "[1, 2]",
        "f": "{}",
    }


class Place:
    """One of our trackers on a stand-in for its package: its target, and what it holds."""

    def __init__(self, name: str, fake: Any) -> None:
        self.name, self.fake = name, fake
        self.target = f"{name}:{fake.folder if name == 'tensorboard' else 'mine'}"

    def check(self, check_points: Callable[..., None], wanted: Mapping[Any, Any]) -> None:
        trials = {trial_id for trial_id, _ in wanted}
        found = self.fake.points(trials) if self.name == "tensorboard" else self.fake.points()
        check_points(found, wanted, ignore_step_of_finals=self.name in ("mlflow", "trackio"))


@pytest.fixture(params=TRACKERS)
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param, request.getfixturevalue(request.param))


def test_a_study_is_logged_afterwards_and_again(
    place: Place, workspace: Path, in_ledger: Callable[[], Any], check_points: Callable[..., None]
) -> None:
    for _ in range(2):
        assert log_study("tiny", place.target, workspace) == 4
        place.check(check_points, in_ledger())


def test_a_run_is_logged_and_the_next_one_continues(
    place: Place,
    tmp_path: Path,
    study: Study,
    check_points: Callable[..., None],
    read_points: Callable[[Path], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run is interrupted after some epochs; the next ends the trials, without a final test; the third has one."""
    monkeypatch.setattr(StudyLogger, "interval_seconds", 0.01)

    class Stop(BaseObserver):
        num_epochs = 0

        def epoch_done(self, label: str, **facts: Any) -> None:
            self.num_epochs += 1
            if self.num_epochs == 7:
                raise KeyboardInterrupt

    workspace = tmp_path / "runs"
    with pytest.raises(KeyboardInterrupt):
        run(study, workspace=workspace, workers=1, observer=Stop(), log=place.target)
    for final_test in (False, True):
        result = run(study, workspace=workspace, workers=1, log=place.target, final_test=final_test)
        place.check(check_points, read_points(workspace))
    assert result.state == "done"


@pytest.mark.parametrize("name", TRACKERS)
def test_our_loggers_are_observers(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    request.getfixturevalue(name)
    check_observer(OBSERVERS.find(name), str(tmp_path) if name == "tensorboard" else "mine")


def test_mlflow_has_a_run_per_study_with_the_verdict(mlflow: Any, workspace: Path, trained: Any) -> None:
    log_study("tiny", "mlflow:http://localhost:5000", workspace)
    (parent,) = [run for run in mlflow.runs.values() if run.data.tags["bakeoff.kind"] == "study"]
    assert parent.data.tags["mlflow.note.content"] == trained[1].summary.answers[0].sentence
    assert mlflow.artifacts == {parent.info.run_id: ["verdict.md", "report.html"]}
    children = [run for run in mlflow.runs.values() if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert [run.info.status for run in [parent, *children]] == ["FINISHED"] * 5
    assert {run.data.params["optimizer.name"] for run in children} == {"adam"}


def test_an_epoch_that_a_kill_has_split_is_completed(
    mlflow: Any, workspace: Path, in_ledger: Callable[[], Any], check_points: Callable[..., None]
) -> None:
    log_study("tiny", "mlflow:mine", workspace)
    for run_id in [each for each, found in mlflow.runs.items() if found.data.tags["bakeoff.kind"] == "trial"]:
        lost = [row for row in mlflow.history if row[0] == run_id and (row[2] == 3 or row[1].startswith("final/"))][2:]
        mlflow.history = [row for row in mlflow.history if row not in lost]
        data = mlflow.runs[run_id].data
        del data.tags["bakeoff.state"]
        data.metrics = {name: value for name, value in data.metrics.items() if not name.startswith("final/")}
    log_study("tiny", "mlflow:mine", workspace)
    check_points(mlflow.points(), in_ledger(), ignore_step_of_finals=True)


def test_wandb_offline_writes_each_trial_once_and_whole(
    wandb: Any, workspace: Path, tmp_path: Path, in_ledger: Callable[[], Any], check_points: Callable[..., None]
) -> None:
    wandb.mode.mode, wandb.mode.has_key = "offline", False
    log_study("tiny", "wandb:mine", workspace)
    folders = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert len(folders) == 5
    unfinished, *others = [each for each in folders if (each / "bakeoff.json").is_file()]
    (unfinished / "bakeoff.json").unlink()  # as after a kill
    log_study("tiny", "wandb:mine", workspace)
    assert not unfinished.exists()
    assert all(each.exists() for each in others)
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 5
    check_points(wandb.points(), in_ledger())


def test_tensorboard_has_the_verdict_and_hyperparameters(tensorboard: Any, workspace: Path, trained: Any) -> None:
    for _ in range(2):
        log_study("tiny", f"tensorboard:{tensorboard.folder}", workspace)
    (folder,) = tensorboard.folder.iterdir()
    (path,) = folder.glob("events*")  # the study's own
    texts = {each["tag"]: each["text"] for line in path.read_text().splitlines() for each in json.loads(line)[1]}
    assert texts["bakeoff/verdict"] == trained[1].summary.answers[0].sentence
    lines = [line for each in folder.glob("*/*/events*") for line in each.read_text().splitlines()]
    found = [each["settings"] for line in lines for each in json.loads(line)[1] if each["tag"] == "hparams"]
    assert [settings["epochs"] for settings in found] == [3] * 4


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("mlflo:x", r"unknown logger 'mlflo'.*mlflow:URI.*Did you mean 'mlflow'"),
        ("progress", r"unknown logger 'progress'"),
        ("mlflow", r"write mlflow:URI"),
        ("wandb:", r"write wandb:PROJECT"),
        ("mlflow:ftp://host", r"mlflow:ftp://host: .*sqlite:"),
        ("wandb:a/b/c", r"ENTITY/PROJECT"),
        ("trackio:a/b", r"trackio:a/b"),
        ("tensorboard:{file}", r"cannot be written"),
    ],
)
def test_a_wrong_target_is_refused_before_training(
    target: str, said: str, tmp_path: Path, study: Study, request: pytest.FixtureRequest
) -> None:
    for name in TRACKERS:
        request.getfixturevalue(name)
    (tmp_path / "file").touch()
    with pytest.raises(BakeoffError, match=said):
        run(study, workspace=tmp_path / "runs", log=target.format(file=tmp_path / "file"))
    assert not (tmp_path / "runs").exists()


def test_wandb_without_a_key_is_refused(wandb: Any) -> None:
    wandb.mode.has_key = False
    with pytest.raises(BakeoffError, match="wandb login"):
        log_study("tiny", "wandb:mine")


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bakeoff.trackers.logger.find_spec", lambda package: None)
    with pytest.raises(BakeoffError, match=re.escape(how_to_install(name))):
        log_study("tiny", f"{name}:mine")
