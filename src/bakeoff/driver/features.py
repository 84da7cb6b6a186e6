"""Has features of frozen bodies computed by all workers before the heads train. No torch.

A worker that needs features would compute them alone while the others wait. Instead, the images are divided into parts,
which are ordinary tasks; a cohort or a final test starts when all parts of what it reads are there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from bakeoff.catalog.shape import caches_features
from bakeoff.data.opener import Opener
from bakeoff.data.source import show_text
from bakeoff.data.store import Images
from bakeoff.driver.executors.base import Executor, Report, Started, TaskLost
from bakeoff.engine.feature_files import join_parts, list_feature_files, list_missing_parts, load_features
from bakeoff.errors import BakeoffError
from bakeoff.messages import CohortTask, FeatureFile, FeaturesTask, FinalTestTask, Task, TaskDone, task_id
from bakeoff.workspace import Folders

MOST_LOSSES = 2
"""How often a part may be lost. Then those that need it try by themselves, and report why it fails as their failure."""


@dataclass
class _Held:
    """A task that waits for files of features, by key."""

    task: CohortTask | FinalTestTask
    keys: set[str]


@dataclass
class _Computing:
    """A file that workers compute: its unfinished parts by task id, and how often each was lost."""

    file: FeatureFile
    parts: dict[str, FeaturesTask] = field(default_factory=dict)
    losses: Counter[str] = field(default_factory=Counter)


class FeatureExecutor:
    """An executor that first has the features computed that a task reads, in parts, by all workers.

    Parts that a killed run has finished are kept. To everyone else a task that waits is a task in the queue.

    Args:
        executor: runs all tasks.
        folders: the workspace, where features are stored.
        opener: opens images, to count them; the test split only for a final test.
        device: the kind of device of the workers.
        say: called with progress messages.
    """

    def __init__(
        self, executor: Executor, folders: Folders, opener: Opener, device: str, say: Callable[[str], object]
    ) -> None:
        self._executor, self._folders, self._opener = executor, folders, opener
        self._device, self._say = device, say
        self._held: list[_Held] = []
        self._computing: dict[str, _Computing] = {}
        self._key_of: dict[str, str] = {}
        self._opened: dict[object, Images] = {}
        self._lost: list[Report] = []

    def prepare(self, num_tasks: int) -> None:
        """Announce tasks to come."""
        self._executor.prepare(num_tasks)

    def submit(self, task: Task) -> None:
        """Queue a task, after the features that it reads."""
        if isinstance(task, CohortTask | FinalTestTask) and task.members:
            self._submit_after_features(task)
        else:
            self._executor.submit(task)

    def _submit_after_features(self, task: CohortTask | FinalTestTask) -> None:
        files = self._list_files(task)
        if files:
            task = replace(task, features=tuple(file.key for file in files))
        new = [file for file in files if file.key not in self._computing]
        self._start(task, [file for file in new if load_features(self._folders, file) is None])
        keys = {file.key for file in files} & self._computing.keys()
        if keys:
            self._held.append(_Held(task, keys))
        else:
            self._executor.submit(task)

    def poll(self, timeout_seconds: float) -> Sequence[Report]:
        """Return what was reported of all tasks but those of features."""
        reports = [report for report in self._executor.poll(timeout_seconds) if not self._take(report)]
        reports, self._lost = [*reports, *self._lost], []
        return reports

    def close(self) -> None:
        """Stop everything at once."""
        self._executor.close()

    def _list_files(self, task: CohortTask | FinalTestTask) -> list[FeatureFile]:
        """Return the files of features that a task reads; none if its images cannot be opened, which it reports."""
        if not caches_features(task.members[0].recipe):
            return []
        files: list[FeatureFile] = []
        with suppress(BakeoffError):
            if isinstance(task, FinalTestTask):
                files += list_feature_files(task, self._open(task, "test"), self._device, split="test")
            if isinstance(task, CohortTask) or task.data.fold is not None:
                files += list_feature_files(task, self._open(task, "train"), self._device)
        return files

    def _open(self, task: CohortTask | FinalTestTask, split: str) -> Images:
        key = (task.data.source, split)
        if key not in self._opened:
            open_split = self._opener.test if split == "test" else self._opener.training
            self._opened[key] = open_split(task.data.source)
        return self._opened[key]

    def _start(self, task: CohortTask | FinalTestTask, files: Sequence[FeatureFile]) -> None:
        """Submit the parts of files that are not there yet."""
        missing = {file.key: list_missing_parts(self._folders, file) for file in files}
        num_parts = sum(map(len, missing.values()))
        if num_parts:
            num_images = sum(file.num_rows for file in files)
            several = "s" if num_parts > 1 else ""
            self._say(
                f"{show_text(task.label)}: computing the features of {num_images:,} images, {num_parts:,} part{several}"
            )
        for file in files:
            self._computing[file.key] = _Computing(file)
            for start in missing[file.key]:
                self._submit(
                    FeaturesTask(
                        label=task.label,
                        members=task.members[:1],
                        data=task.data,
                        numeric=task.numeric,
                        file=file,
                        start=start,
                    )
                )
            if not missing[file.key]:  # killed before they were joined
                self._finish(self._computing[file.key])

    def _submit(self, part: FeaturesTask) -> None:
        self._computing[part.file.key].parts[part.features_id] = part
        self._key_of[part.features_id] = part.file.key
        self._executor.submit(part)

    def _take(self, report: Report) -> bool:
        """Act on a report of a part; return whether it is one."""
        part_id = report.task_id if isinstance(report, Started | TaskDone | TaskLost) else ""
        if part_id not in self._key_of:
            return False
        computing = self._computing.get(self._key_of[part_id])
        part = None if computing is None or isinstance(report, Started) else computing.parts.pop(part_id, None)
        if computing is None or part is None:
            return True  # started, or of features that were given up
        if isinstance(report, TaskLost):
            self._retry(computing, part, report)
        elif not computing.parts:
            self._finish(computing)
        return True

    def _retry(self, computing: _Computing, part: FeaturesTask, lost: TaskLost) -> None:
        """Submit a lost part again, or give up its file: those that need it then try, and report the cause."""
        computing.losses[part.features_id] += 1
        if lost.is_final:
            self._lose_held(computing.file.key, lost)
        elif computing.losses[part.features_id] < MOST_LOSSES:
            self._say(f"{show_text(part.label)}: features: {lost.reason}; retrying")
            self._submit(part)
        else:
            self._release(computing.file.key)

    def _finish(self, computing: _Computing) -> None:
        """Join the parts, whose tasks are all done, and release those that wait for them."""
        if not join_parts(self._folders, computing.file):
            self._say(f"features {computing.file.key}: a part is damaged; those that need them compute it again")
        self._release(computing.file.key)

    def _release(self, key: str) -> None:
        """Submit the tasks that waited for these features alone."""
        self._computing.pop(key, None)
        for held in self._held:
            held.keys.discard(key)
        for held in [held for held in self._held if not held.keys]:
            self._executor.submit(held.task)
        self._held = [held for held in self._held if held.keys]

    def _lose_held(self, key: str, lost: TaskLost) -> None:
        """Report the tasks that wait for these features as lost for the same cause."""
        self._computing.pop(key, None)
        self._lost += [replace(lost, task_id=task_id(held.task)) for held in self._held if key in held.keys]
        self._held = [held for held in self._held if key not in held.keys]
