"""Logs to Trackio and Weights & Biases, which share an interface: a run per trial, in a group per study."""

from __future__ import annotations

import contextvars
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from bakeoff.driver.observer import Conclusion
from bakeoff.errors import TrackerError
from bakeoff.trackers.records import LoggedEnding, LoggedEpoch, LoggedStudy, LoggedTrial, Shown

_MOST_OPEN = 32
"""Ended trials that stay open for the scores of the final test: opening a run again takes a second or more."""


class _RunTracker:
    """What both have in common.

    Args:
        project: the project's name.
    """

    is_live = True

    _unfinished: ClassVar[Mapping[str, Any]] = {}
    """Arguments of `finish` for a trial that has not ended."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._study: LoggedStudy | None = None
        self._runs: dict[str, Any] = {}
        self._ended: list[str] = []

    def open(self, study: LoggedStudy) -> None:
        """Remember the study."""
        self._study = study

    def log_epochs(self, trial: LoggedTrial, epochs: Sequence[LoggedEpoch]) -> None:
        """Log the metrics of epochs, the epoch as the step."""
        run = self._find_run(trial)
        for each in epochs:
            run.log(dict(each.metrics), step=each.epoch)

    def close(self) -> None:
        """Finish all runs; a resumed study continues those of trials that have not ended."""
        for trial_id in list(self._runs):
            self._finish(trial_id)

    def _find_run(self, trial: LoggedTrial) -> Any:
        if trial.trial_id not in self._runs:
            self._runs[trial.trial_id] = self._start(trial)
        return self._runs[trial.trial_id]

    def _keep_open(self, trial: LoggedTrial) -> None:
        """Keep the run of an ended trial open, and finish the oldest if there are many."""
        self._ended = [*(each for each in self._ended if each != trial.trial_id), trial.trial_id]
        while len(self._ended) > _MOST_OPEN:
            self._finish(self._ended[0])

    def _finish(self, trial_id: str) -> None:
        self._runs.pop(trial_id).finish(**({} if trial_id in self._ended else self._unfinished))
        self._ended = [each for each in self._ended if each != trial_id]

    def _start(self, trial: LoggedTrial) -> Any:
        raise NotImplementedError  # abstract


class Trackio(_RunTracker):
    """Logs to a project of Trackio: local, or where TRACKIO_SPACE_ID or TRACKIO_SERVER_URL say.

    Epochs are steps; the final scores follow as one step more, those with the final test as the next. So the last step
    tells what is shown.

    Args:
        target: the project's name.

    Raises:
        BakeoffError: no project can have this name.
    """

    def __init__(self, target: str) -> None:
        if not re.fullmatch(r"[\w .-]{1,100}", target) or not target.strip(" ."):
            raise TrackerError(f"trackio:{target}: name a project by letters, digits, spaces and . _ - only.")
        super().__init__(target)
        self._trackio: Any = None
        self._last_steps: dict[str, int] = {}

    def open(self, study: LoggedStudy) -> None:
        """Import Trackio."""
        super().open(study)
        self._trackio = import_module("trackio")
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == "trackio":
                vars(module)["print"] = lambda *texts, **options: None  # standard output is for results

    def open_trial(self, trial: LoggedTrial, ending: LoggedEnding | None) -> Shown:
        """Begin or continue the run of this name."""
        run = self._find_run(trial)
        last = self._last_steps[trial.trial_id] = _find_next_step(run) - 1
        if ending is None or last <= ending.num_epochs:
            return Shown(max(0, last))
        scores = [name for name in ending.scores if last >= _final_step(ending) or not _is_tested(name)]
        return Shown(ending.num_epochs, ending.state, frozenset(scores))

    def end_trial(self, trial: LoggedTrial, ending: LoggedEnding) -> None:
        """Log the final scores as a step of their own."""
        step = _final_step(ending)
        if self._last_steps[trial.trial_id] < step:
            self._find_run(trial).log(dict(ending.scores), step=step)
            self._last_steps[trial.trial_id] = step
        self._keep_open(trial)

    def conclude(self, conclusion: Conclusion) -> None:
        """Log the verdict and the reports to the study's own run, in place of an earlier one."""
        assert self._study is not None
        label = self._study.label
        if not any(os.environ.get(name) for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")):
            for earlier in [each for each in self._trackio.Api().runs(self._project) if each.name == label]:
                earlier.delete()
        run = self._init(label, self._study.facts)
        run.log({"verdict": self._trackio.Markdown("\n\n".join(conclusion.sentences))}, step=0)
        for path in filter(None, (conclusion.report_path, conclusion.html_path)):
            run.log_artifact(str(path), name=f"{path.stem}-{self._study.study_id[:8]}", type="report")
        run.finish()

    def _start(self, trial: LoggedTrial) -> Any:
        return self._init(f"{trial.name} ({trial.key})", {**trial.facts, **trial.recipe})

    def _init(self, name: str, config: Mapping[str, Any]) -> Any:
        """Start a run in a context of its own: `init` finishes the run of the present one."""
        assert self._study is not None
        return contextvars.Context().run(
            self._trackio.init,
            self._project,
            name=name,
            group=self._study.label,
            config=dict(config),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )


class WandB(_RunTracker):
    """Logs to a project of Weights & Biases.

    Offline (WANDB_MODE=offline), a run cannot be resumed: each trial is then written whole at the end of the study, and
    again if its scores have changed before it was synced.

    Args:
        target: PROJECT or ENTITY/PROJECT.

    Raises:
        BakeoffError: no project can have this name, or there is no API key.
    """

    _unfinished: ClassVar[Mapping[str, Any]] = {"exit_code": 1}

    def __init__(self, target: str) -> None:
        entity, _, project = target.rpartition("/")
        if not re.fullmatch(r"[^/\\#?%:]{1,128}", project) or "/" in entity:
            raise TrackerError(f"wandb:{target}: write PROJECT or ENTITY/PROJECT, without / \\ # ? % and : in names.")
        super().__init__(project)
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        os.environ.setdefault("WANDB_SILENT", "true")
        self._wandb = import_module("wandb")
        self._entity = entity or None
        settings = self._wandb.setup().settings
        self._folder = Path(settings.wandb_dir)
        self.is_live = settings.mode in (None, "online", "shared")
        if self.is_live and not self._wandb.login(prompt=False, verify=False):
            raise TrackerError(f"wandb:{target}: no API key. Run `wandb login`, or set WANDB_MODE=offline.")

    def open_trial(self, trial: LoggedTrial, ending: LoggedEnding | None) -> Shown:
        """Begin or continue the run with this id."""
        if not self.is_live:
            shown = self._read_written(trial.key)
            if ending is not None and shown.has(ending):
                return shown
            self._remove_written(trial.key)
        run = self._find_run(trial)
        return Shown(max(0, _find_next_step(run) - 1))

    def end_trial(self, trial: LoggedTrial, ending: LoggedEnding) -> None:
        """Put the final scores into the run's summary."""
        run = self._find_run(trial)
        run.summary.update({**ending.scores, "state": ending.state, "reason": ending.reason})
        self._keep_open(trial)
        if not self.is_live:
            folder = Path(run.dir).parent
            self._finish(trial.trial_id)
            written = {"last_epoch": ending.num_epochs, "state": ending.state, "scores": sorted(ending.scores)}
            (folder / _WRITTEN).write_text(json.dumps(written), "utf-8")

    def conclude(self, conclusion: Conclusion) -> None:
        """Put the verdict and the reports into the study's own run."""
        assert self._study is not None
        key = self._study.study_id[:8]
        if not self.is_live:
            self._remove_written(key)
        verdict = "\n\n".join(conclusion.sentences)
        run = self._init(key, self._study.label, "study", self._study.facts, notes=verdict)
        run.summary.update({"verdict": verdict, "state": conclusion.state})
        for path in filter(None, (conclusion.report_path, conclusion.html_path)):
            run.log_artifact(str(path), name=f"{path.stem}-{key}", type="report")
        run.finish()

    def _start(self, trial: LoggedTrial) -> Any:
        return self._init(trial.key, trial.name, "trial", {**trial.facts, **trial.recipe})

    def _init(self, key: str, name: str, kind: str, config: Mapping[str, Any], **more: Any) -> Any:
        assert self._study is not None
        settings = self._wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_stats=True,
            x_disable_meta=True,
            init_timeout=30,
        )
        return self._wandb.init(
            entity=self._entity,
            project=self._project,
            id=key,
            name=name,
            group=self._study.label,
            job_type=kind,
            config=dict(config),
            resume="allow",
            reinit="create_new",
            settings=settings,
            **more,
        )

    def _list_written(self, key: str) -> list[Path]:
        return sorted(self._folder.glob(f"offline-run-*-{key}"))

    def _read_written(self, key: str) -> Shown:
        """Return what an earlier run has written of a trial; nothing if it was killed meanwhile."""
        for folder in self._list_written(key):
            if (folder / _WRITTEN).is_file():
                found = json.loads((folder / _WRITTEN).read_text("utf-8"))
                return Shown(found["last_epoch"], found["state"], frozenset(found["scores"]))
        return Shown()

    def _remove_written(self, key: str) -> None:
        """Remove what an earlier run has written of a trial, unless it was synced."""
        for folder in self._list_written(key):
            if not any(folder.glob("*.synced")):
                shutil.rmtree(folder)


_WRITTEN = "bakeoff.json"
"""In the folder of an offline run: what was written, once it was written completely."""


def _find_next_step(run: Any) -> int:
    """Return the step after the last one that a run has: 0 for a new one."""
    step = getattr(run, "step", None)
    return int(run._next_step if step is None else step)


def _final_step(ending: LoggedEnding) -> int:
    return ending.num_epochs + 1 + any(map(_is_tested, ending.scores))


def _is_tested(name: str) -> bool:
    return name.startswith(("final/test/", "final/held-out/"))
