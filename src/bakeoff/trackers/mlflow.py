"""Logs to MLflow: an experiment per study name, a run per study, and in it a run per trial, found again by tags."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bakeoff.driver.observer import Conclusion
from bakeoff.errors import TrackerError
from bakeoff.trackers.records import LoggedEnding, LoggedEpoch, LoggedStudy, LoggedTrial, Setting, Shown

_SCHEMES = ("file", "sqlite", "http", "https", "postgresql", "mysql", "mssql", "databricks")

_DEFAULTS = {
    "MLFLOW_ALLOW_FILE_STORE": "true",  # the user asked for one by file:
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # standard output is for results
}
"""Settings of MLflow unless the user has set them: fail soon, be quiet."""

_MOST_METRICS, _MOST_PARAMETERS = 1000, 100
"""In one request, limits of MLflow."""
_MOST_CHARACTERS = 500
"""Of a parameter or a tag, the lowest limit of its releases."""

_STATUS = {"done": "FINISHED", "diverged": "FAILED", "failed": "FAILED", "pruned": "KILLED"}
_STATE = "bakeoff.state"
_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""MLflow's page then shows training runs first."""


class MLflow:
    """Logs to an MLflow server, database or folder.

    What is shown of a trial is read back from MLflow when a run resumes: its metrics' steps, its state and scores.

    Args:
        target: a tracking URI (file:, sqlite:, http: and others of MLflow), or a folder.

    Raises:
        BakeoffError: it is no URI that MLflow knows.
    """

    is_live = True

    def __init__(self, target: str) -> None:
        scheme = urlsplit(target).scheme.partition("+")[0]
        if scheme and scheme not in _SCHEMES:
            allowed = ", ".join(f"{each}:" for each in _SCHEMES)
            raise TrackerError(f"mlflow:{target}: MLflow has no such tracking URI. Allowed: a folder, {allowed}.")
        self._uri = target if scheme else Path(target).absolute().as_uri()
        self._client: Any = None
        self._entities: Any = None
        self._experiment = self._study_run = ""
        self._runs: dict[str, Any] = {}
        self._open_runs: set[str] = set()
        self._split: dict[str, set[tuple[str, int]]] = {}

    def open(self, study: LoggedStudy) -> None:
        """Find or create the experiment and the study's run; find the runs of its trials."""
        for name, value in _DEFAULTS.items():
            os.environ.setdefault(name, value)
        self._entities = import_module("mlflow.entities")
        self._client = import_module("mlflow").MlflowClient(self._uri)
        found = self._client.get_experiment_by_name(study.name)
        self._experiment = (
            self._client.create_experiment(study.name, tags=_KIND) if found is None else found.experiment_id
        )
        runs = list(self._find_runs(study.study_id))
        self._runs = {run.data.tags["bakeoff.trial_id"]: run for run in runs if "bakeoff.trial_id" in run.data.tags}
        known = [run for run in runs if run.data.tags.get("bakeoff.kind") == "study"]
        if known:
            self._study_run = known[0].info.run_id
            self._client.update_run(self._study_run, status="RUNNING")
        else:
            tags = {"mlflow.note.content": study.question, "mlflow.source.name": study.facts.get("command", "bakeoff")}
            self._study_run = self._create_run(study.label, "study", study.facts, tags).info.run_id
        self._open_runs.add(self._study_run)

    def open_trial(self, trial: LoggedTrial, ending: LoggedEnding | None) -> Shown:
        """Create the trial's run, or read what it holds; log its settings."""
        run = self._runs.get(trial.trial_id)
        if run is None:
            tags = {"mlflow.parentRunId": self._study_run}
            run = self._runs[trial.trial_id] = self._create_run(trial.name, "trial", trial.facts, tags)
        run_id, known = run.info.run_id, run.data
        settings = {name: value for name, value in trial.settings.items() if name not in known.params}
        parameters = [self._entities.Param(name, _shorten(value)) for name, value in settings.items()]
        for start in range(0, len(parameters), _MOST_PARAMETERS):
            self._client.log_batch(run_id, params=parameters[start : start + _MOST_PARAMETERS])
        state = known.tags.get(_STATE, "")
        scores = frozenset(name for name in known.metrics if name.startswith("final/"))
        if state:
            return Shown(int(known.metrics.get("final/epochs", 0)), state, scores)
        self._client.update_run(run_id, status="RUNNING")
        self._open_runs.add(run_id)
        return Shown(self._find_last_epoch(run_id, known.metrics.keys() - scores), state, scores)

    def log_epochs(self, trial: LoggedTrial, epochs: Sequence[LoggedEpoch]) -> None:
        """Log the metrics of epochs, the epoch as the step."""
        self._log(trial, [(each.epoch, each.metrics) for each in epochs])

    def end_trial(self, trial: LoggedTrial, ending: LoggedEnding) -> None:
        """Log the final scores, the state and the status. At step 0, MLflow draws scores as bars."""
        run_id = self._runs[trial.trial_id].info.run_id
        known = self._client.get_run(run_id).data.metrics
        scores = {name: value for name, value in ending.scores.items() if known.get(name) != value}
        self._log(trial, [(0, scores)])
        if ending.reason:
            self._client.set_tag(run_id, "bakeoff.reason", _shorten(ending.reason))
        self._client.set_tag(run_id, _STATE, ending.state)
        self._client.set_terminated(run_id, _STATUS[ending.state])
        self._open_runs.discard(run_id)

    def conclude(self, conclusion: Conclusion) -> None:
        """Make the verdict the description of the study's run, and add the reports."""
        verdict = "\n\n".join(conclusion.sentences)
        self._client.set_tag(self._study_run, "mlflow.note.content", verdict)
        self._client.set_tag(self._study_run, _STATE, conclusion.state)
        for path in filter(None, (conclusion.report_path, conclusion.html_path)):
            self._client.log_artifact(self._study_run, str(path))
        if conclusion.state != "unfinished":
            self._client.set_terminated(self._study_run, _STATUS[conclusion.state])
            self._open_runs.discard(self._study_run)

    def close(self) -> None:
        """Mark what has not ended as stopped; a resumed run continues it."""
        for run_id in sorted(self._open_runs):
            self._client.set_terminated(run_id, "KILLED")

    def _find_runs(self, study_id: str) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment], f"tags.`bakeoff.study_id` = '{study_id}'", max_results=1000, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _create_run(self, name: str, kind: str, facts: Mapping[str, Setting], tags: Mapping[str, str]) -> Any:
        named = {f"bakeoff.{fact}": _shorten(value) for fact, value in facts.items()}
        own = {"mlflow.runName": name, "mlflow.source.type": "LOCAL", "bakeoff.kind": kind}
        return self._client.create_run(self._experiment, run_name=name, tags={**named, **own, **tags})

    def _find_last_epoch(self, run_id: str, names: Set[str]) -> int:
        """Return the last epoch that is certainly complete; remember points after it, for a kill may split an epoch."""
        steps = {name: {each.step for each in self._client.get_metric_history(run_id, name)} for name in names}
        last = max(0, min((max(found, default=0) for found in steps.values()), default=0) - 1)
        self._split[run_id] = {(name, step) for name, found in steps.items() for step in found if step > last}
        return last

    def _log(self, trial: LoggedTrial, steps: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        run_id, now = self._runs[trial.trial_id].info.run_id, time.time_ns() // 1_000_000
        known = self._split.get(run_id, set())
        points = [
            self._entities.Metric(name, value, now, step)
            for step, metrics in steps
            for name, value in metrics.items()
            if (name, step) not in known
        ]
        for start in range(0, len(points), _MOST_METRICS):
            self._client.log_batch(run_id, metrics=points[start : start + _MOST_METRICS])


def _shorten(value: Setting) -> str:
    text = str(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."
