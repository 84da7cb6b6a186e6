"""The context shared by the steps of a run: its options, and what it has opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bakeoff.catalog.networks.user_code import CodeHashes
from bakeoff.catalog.numeric_modes import Numeric
from bakeoff.driver.devices import CPU_DEVICE, Device
from bakeoff.driver.executors.base import Executor
from bakeoff.driver.facts import Datasets
from bakeoff.driver.identity import IdentifiedTrial, identify
from bakeoff.driver.observer import RecordingObserver
from bakeoff.ledger.store import Ledger
from bakeoff.study.plan import PlannedTrial
from bakeoff.workspace import Folders


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """The options of a run, besides its plan.

    Attributes:
        workspace: the folder of the ledger.
        executor: where trials run.
        observer: receives progress.
        data_dir: searched first for images.
        device: the device of the executor's workers.
        max_threads: threads that a task may use in a study that is started now.
        command: the command that repeats this run, stored in the ledger for reports.
        final_test: False leaves the test split closed.
        allow_missing: whether to open it even if trials of an arm failed.
        pilot: train only so many replicates, and leave the test split closed; None for the whole study.
        wait: whether to wait for another driver of this workspace to end; otherwise it is an error.
    """

    workspace: Path
    executor: Executor
    observer: RecordingObserver
    data_dir: Path | None = None
    device: Device = CPU_DEVICE
    max_threads: int = 1
    command: str = ""
    final_test: bool = True
    allow_missing: bool = False
    pilot: int | None = None
    wait: bool = True

    @property
    def folders(self) -> Folders:
        """The layout of the workspace."""
        return Folders(self.workspace)


@dataclass(frozen=True, kw_only=True)
class OpenRun:
    """A run whose ledger and images are open.

    Attributes:
        context: the options of the run.
        study_id: the study's id.
        ledger: the record of results.
        datasets: facts about the opened training images.
        codes: hashes of user code in this run.
    """

    context: RunContext
    study_id: str
    ledger: Ledger
    datasets: Datasets
    codes: CodeHashes = field(default_factory=CodeHashes)

    def identify(self, planned: PlannedTrial, numeric: Numeric) -> IdentifiedTrial:
        """Return a planned trial with its id on this run's device."""
        return identify(planned, self.datasets, numeric, self.context.device.kind, self.codes)
