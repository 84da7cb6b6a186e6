"""Writes event files for TensorBoard: a folder per trial, in a folder per study. Needs no torch and no TensorFlow."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from bakeoff.driver.observer import Conclusion
from bakeoff.errors import TrackerError
from bakeoff.trackers.records import LoggedEnding, LoggedEpoch, LoggedStudy, LoggedTrial, Shown

_EVENTS = "events.out.tfevents."
_STATE = "bakeoff/state"
_FINAL = "final/"


class TensorBoard:
    """Writes event files: scalars by epoch, hyperparameters, and the verdict as text.

    Every epoch is one record, so a kill leaves it whole or absent; a resumed run continues in a file of its own.
    TensorBoard's scalars are 32-bit floats.

    Args:
        target: the folder to give to `tensorboard --logdir`; created if missing.

    Raises:
        WorkspaceError: it cannot be written.
    """

    is_live = True

    def __init__(self, target: str) -> None:
        self._root, self._folder = Path(target), Path(target)
        self._files: dict[Path, Path] = {}
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrackerError(
                f"tensorboard:{target}: this folder cannot be written ({error.strerror or error}). Choose another."
            ) from error
        if not os.access(self._root, os.W_OK):
            raise TrackerError(f"tensorboard:{target}: this folder cannot be written. Choose another.")

    def open(self, study: LoggedStudy) -> None:
        """Choose the study's folder."""
        self._folder = self._root / _name_file(study.label.replace(" ", "-"))

    def open_trial(self, trial: LoggedTrial, ending: LoggedEnding | None) -> Shown:
        """Read what the trial's event files hold; write its hyperparameters if they hold nothing."""
        shown = _read_shown(self._place(trial))
        if shown is None:
            hparams = import_module("tensorboard.plugins.hparams.summary_v2")
            self._write(trial, [(0, hparams.hparams_pb(trial.settings, trial_id=trial.key))])
        return shown or Shown()

    def log_epochs(self, trial: LoggedTrial, epochs: Sequence[LoggedEpoch]) -> None:
        """Append a record per epoch."""
        self._write(trial, [(each.epoch, _scalars(each.metrics)) for each in epochs])

    def end_trial(self, trial: LoggedTrial, ending: LoggedEnding) -> None:
        """Append the final scores that are not there yet, and the state."""
        shown = _read_shown(self._place(trial)) or Shown()
        known = shown.scores if ending.state == shown.state else ()
        scores = {name: value for name, value in ending.scores.items() if name not in known}
        records = [(ending.num_epochs, _scalars(scores))] if scores else []
        if ending.state != shown.state:
            text = f"{ending.state}: {ending.reason}" if ending.reason else ending.state
            records.append((ending.num_epochs, _text(_STATE, text)))
        self._write(trial, records)

    def conclude(self, conclusion: Conclusion) -> None:
        """Write the verdict and the report as Markdown, in place of those of earlier runs."""
        for path in self._folder.glob(f"{_EVENTS}*"):
            path.unlink()
        texts = {"verdict": "\n\n".join(conclusion.sentences)}
        texts |= {} if conclusion.report_path is None else {"report": conclusion.report_path.read_text("utf-8")}
        for name, text in texts.items():
            self._append(self._folder, [(0, _text(f"bakeoff/{name}", text))])

    def close(self) -> None:
        """Do nothing: every file is complete."""

    def _place(self, trial: LoggedTrial) -> Path:
        return self._folder / _name_file(trial.arm) / _name_file(f"{trial.name} {trial.key}".replace(" ", "-"))

    def _write(self, trial: LoggedTrial, summaries: Iterable[tuple[int, Any]]) -> None:
        self._append(self._place(trial), summaries)

    def _append(self, folder: Path, summaries: Iterable[tuple[int, Any]]) -> None:
        """Append summaries, each with its step, to this run's file in a folder."""
        events = import_module("tensorboard.compat.proto.event_pb2")
        writers = import_module("tensorboard.summary.writer.record_writer")
        event = partial(events.Event, wall_time=time.time())
        records = [event(step=step, summary=summary) for step, summary in summaries]
        if folder not in self._files:
            folder.mkdir(parents=True, exist_ok=True)
            name = f"{_EVENTS}{time.time_ns() // 1000:016d}.{socket.gethostname()}.{os.getpid()}"
            self._files[folder] = folder / name
            records.insert(0, event(file_version="brain.Event:2"))
        with self._files[folder].open("ab") as file:
            for record in records:
                writers.RecordWriter(file).write(record.SerializeToString())


def _name_file(text: str) -> str:
    """Return a file name for a label; different labels may get the same one."""
    return "".join(c if c.isalnum() or c in "._-=+" else "-" for c in text).strip(".")[:120] or "-"


def _scalars(metrics: Mapping[str, float]) -> Any:
    summaries = import_module("tensorboard.compat.proto.summary_pb2")
    return summaries.Summary(
        value=[summaries.Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
    )


def _text(tag: str, text: str) -> Any:
    return import_module("tensorboard.plugins.text.summary_v2").text_pb(tag, text)


def _read_shown(folder: Path) -> Shown | None:
    """Return what the event files in a folder hold; None if there are none. A record cut off by a kill is ignored."""
    if not any(folder.glob(f"{_EVENTS}*")):
        return None
    loader = import_module("tensorboard.backend.event_processing.event_file_loader").LegacyEventFileLoader
    tensors = import_module("tensorboard.util.tensor_util")
    last_epoch, state, scores = 0, "", set[str]()
    for path in sorted(folder.glob(f"{_EVENTS}*")):
        for event in loader(str(path)).Load():
            tags = {value.tag for value in event.summary.value if value.HasField("simple_value")}
            finals = {tag for tag in tags if tag.startswith(_FINAL)}
            scores |= finals
            last_epoch = max(last_epoch, event.step if tags - finals else 0)
            for value in event.summary.value:
                if value.tag == _STATE:
                    state = tensors.make_ndarray(value.tensor).item().decode().partition(":")[0]
    return Shown(last_epoch, state, frozenset(scores))
