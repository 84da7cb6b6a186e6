"""A logger that fails, hangs or is slow never stops or holds up a run, and the run says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bakeoff.api import log_study, run
from bakeoff.driver import observer
from bakeoff.driver.observer import BaseObserver, ObserverRecord, Observers
from bakeoff.errors import BakeoffError
from bakeoff.registry import Registry
from bakeoff.study.schema import Study
from bakeoff.trackers.logger import StudyLogger
from bakeoff.trackers.records import Shown

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")

METHODS = ("open", "open_trial", "log_epochs", "end_trial", "conclude", "close")


class Listener(BaseObserver):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


class Tracker:
    """Does what it is told in one of its methods, and nothing in the others."""

    is_live = True

    def __init__(self, method: str, act: Any) -> None:
        self.method, self.act = method, act
        self.called: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.called.append(name)
            if name == self.method:
                self.act()
            return Shown()

        return call


def register(monkeypatch: pytest.MonkeyPatch, tracker: Any) -> None:
    record = ObserverRecord("mine", "logs to mine", lambda target: StudyLogger("mine", tracker), "PLACE")
    monkeypatch.setattr(observer, "OBSERVERS", Registry("observer", [record]))


def dropped(said: Sequence[str]) -> list[str]:
    return [text for text in said if text.startswith("mine")]


@pytest.mark.parametrize(
    ("method", "failure"), [*((each, ConnectionError("nobody there")) for each in METHODS), ("open", SystemExit(3))]
)
def test_a_tracker_that_raises(
    method: str, failure: BaseException, workspace: Path, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise failure

    register(monkeypatch, Tracker(method, fail))
    listener = Listener()
    result = run(study, workspace=workspace, workers=1, observer=listener, log="mine:x")
    assert result.state == "done"
    (text,) = dropped(listener.said)
    assert str(failure) in text
    assert "\n" not in text


def test_a_tracker_that_fails_while_others_train(tmp_path: Path, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ConnectionError("gone")

    register(monkeypatch, Tracker("log_epochs", fail))
    monkeypatch.setattr(StudyLogger, "interval_seconds", 0.01)
    listener = Listener()
    assert run(study, workspace=tmp_path, workers=1, observer=listener, log="mine:x").state == "done"
    assert len(dropped(listener.said)) == 1


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("method", ["open", "close"])
def test_a_tracker_that_hangs(
    method: str, workspace: Path, study: Study, monkeypatch: pytest.MonkeyPatch, released: threading.Event
) -> None:
    register(monkeypatch, Tracker(method, released.wait))
    monkeypatch.setattr(StudyLogger, "patience_seconds", 0.2)
    listener = Listener()
    assert run(study, workspace=workspace, workers=1, observer=listener, log="mine:x").state == "done"
    (text,) = dropped(listener.said)
    assert "gave up" in text


def test_a_slow_tracker_has_a_limit_in_total(
    workspace: Path, study: Study, monkeypatch: pytest.MonkeyPatch, released: threading.Event
) -> None:
    tracker = Tracker("end_trial", lambda: released.wait(0.2))
    tracker.is_live = False
    register(monkeypatch, tracker)
    monkeypatch.setattr(StudyLogger, "most_seconds", 0.1)
    listener = Listener()
    assert run(study, workspace=workspace, workers=1, observer=listener, log="mine:x").state == "done"
    assert len(dropped(listener.said)) == 1


def test_a_failure_is_a_warning_if_nobody_shows_messages(
    workspace: Path, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, Tracker("none", None))
    monkeypatch.setattr(StudyLogger, "study_opened", lambda self, **facts: 1 / 0)
    with pytest.warns(UserWarning, match="mine is dropped, the run continues: ZeroDivisionError"):
        assert run(study, workspace=workspace, workers=1, log="mine:x").state == "done"


def test_logging_afterwards_reports_a_failure(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ConnectionError("nobody there")

    register(monkeypatch, Tracker("end_trial", fail))
    with pytest.raises(BakeoffError, match="mine: ConnectionError: nobody there"):
        log_study("tiny", "mine:x", workspace)


def test_an_observer_that_only_follows_runs_cannot_log_afterwards(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = ObserverRecord("mine", "follows", lambda target: Listener(), "PLACE")
    monkeypatch.setattr(observer, "OBSERVERS", Registry("observer", [record]))
    with pytest.raises(BakeoffError, match="only while they run"):
        log_study("tiny", "mine:x", workspace)


class Old:
    """An observer without the methods that were added later."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def start(self, **facts: Any) -> None:
        self.called.append("start")

    def __getattr__(self, name: str) -> Any:
        if name not in ("cohort_started", "epoch_done", "trial_seen", "trial_done", "cohort_done", "message"):
            raise AttributeError(name)
        return lambda *arguments, **facts: self.called.append(name)


class Recording(BaseObserver):
    """Remembers the events of the ledger."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def study_opened(self, *, study_id: str, workspace: Path, **facts: Any) -> None:
        self.events.append(("opened", study_id))

    def start(self, **facts: Any) -> None:
        self.events.append(("start", None))

    def trial_recorded(self, trial: Any, *, trial_id: str, epoch: int, **facts: Any) -> None:
        self.events.append((facts["state"], (trial_id, epoch, "accuracy" in facts["train"])))

    def trial_tested(self, trial_id: str, **scores: Any) -> None:
        self.events.append(("tested", (trial_id, scores["test"]["accuracy"])))

    def run_done(self, conclusion: Any) -> None:
        self.events.append(("done", conclusion))


def test_old_and_new_observers_side_by_side(tmp_path: Path, study: Study) -> None:
    old, new = Old(), Recording()
    result = run(study, workspace=tmp_path, workers=1, observer=[old, new])
    assert {"start", "epoch_done", "trial_seen", "trial_done", "cohort_done"} <= set(old.called)
    kinds = [kind for kind, _ in new.events]
    assert kinds[:2] == ["opened", "start"]
    assert (kinds.count("training"), kinds.count("done"), kinds.count("tested")) == (12, 5, 4)
    trial_ids = {facts[0] for kind, facts in new.events if kind == "tested"}
    trained = [facts for kind, facts in new.events if kind == "training"]
    assert sorted(trained) == sorted((each, epoch, True) for each in trial_ids for epoch in (1, 2, 3))
    _, conclusion = new.events[-1]
    assert conclusion.sentences == [result.summary.answers[0].sentence]
    assert (conclusion.state, str(conclusion.html_path)) == ("done", result.report.html_path)


def test_an_observer_that_raises_is_dropped_and_an_interrupt_is_not() -> None:
    class Broken(BaseObserver):
        def trial_done(self, **facts: Any) -> None:
            raise ValueError("no\nway")

    class Interrupting(BaseObserver):
        def cohort_done(self, label: str) -> None:
            raise KeyboardInterrupt

    listener = Listener()
    every: Any = Observers([("broken", Broken()), ("listener", listener), ("last", Interrupting())])
    for _ in range(2):
        every.trial_done()
    assert listener.said == ["broken is dropped, the run continues: ValueError: no way"]
    with pytest.raises(KeyboardInterrupt):
        every.cohort_done("x")


def test_the_interrupt_that_a_library_turned_into_an_exception_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(BaseObserver):
        def trial_done(self, **facts: Any) -> None:
            raise ValueError

    monkeypatch.setattr(observer, "was_interrupted", lambda: True)
    every: Any = Observers([("broken", Broken())])
    with pytest.raises(ValueError):  # noqa: PT011
        every.trial_done()
