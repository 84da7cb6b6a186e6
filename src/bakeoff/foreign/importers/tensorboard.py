"""TensorBoard: scalars and hyperparameters in event files. A folder is a run.

Some writers spread one run over several folders, which are put together again: Keras writes `train` and `validation`
below the run's folder, torch's `add_hparams` one with the hyperparameters, its `add_scalars` one per line of a chart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bakeoff.foreign.importers.event_files import Events, read_events
from bakeoff.foreign.reading import DamagedError, Found, find_files, flatten, holds_file, peek, read_yaml
from bakeoff.foreign.runs import Run, make_table
from bakeoff.foreign.table import ForeignTable, Importer

_SETTINGS = "hparams.yaml"
_SPLITS = {"train": "train", "training": "train", "validation": "val", "val": "val", "eval": "eval", "test": "test"}


@dataclass
class _Folder:
    """The event files of one folder."""

    parts: tuple[str, ...]
    path: Path
    files: list[Path] = field(default_factory=list)
    events: Events = field(default_factory=Events)
    unread: str = ""


def _is_event_file(path: Path) -> bool:
    # The first record is the version of the format, after its length and a checksum.
    return ".tfevents." in path.name and b"brain.Event:" in peek(path, 64)


def _read_folders(files: Iterable[Found]) -> dict[Path, _Folder]:
    folders: dict[Path, _Folder] = {}
    for found in files:
        path = found.path.parent
        folders.setdefault(path, _Folder(found.parts[:-1], path)).files.append(found.path)
    for folder in folders.values():
        try:
            for file in folder.files:
                read_events(file, folder.events)
            settings = folder.path / _SETTINGS
            if settings.is_file():  # Lightning's
                folder.events.settings = {**flatten(read_yaml(settings)), **folder.events.settings}
        except DamagedError as error:
            folder.unread = str(error)
    return folders


def _join_folders(folders: Mapping[Path, _Folder]) -> list[Run]:
    """Return the runs, each of one folder or of several that one run was spread over."""
    runs: dict[tuple[str, ...], Run] = {}
    hyperparameters = _count_hyperparameters(folders)
    for folder in folders.values():
        parent = folders.get(folder.path.parent)
        name = folder.path.name
        curves = _rename_chart(folder, parent) if parent else None
        if curves is None and name in _SPLITS:
            curves = {f"{_SPLITS[name]}_{tag}": curve for tag, curve in folder.events.curves.items()}
        elif curves is None and parent and folder.events.settings and hyperparameters[parent.path] == 1:
            curves = folder.events.curves
        is_whole = curves is None or not folder.parts
        parts = folder.parts if is_whole else folder.parts[:-1]
        run = Run(
            label="/".join(parts) or folder.path.name,
            facts=folder.events.settings,
            curves=folder.events.curves if curves is None else curves,
            parts=parts,
            unread=folder.unread,
        )
        runs[parts] = _join(runs[parts], run) if parts in runs else run
    return list(runs.values())


def _count_hyperparameters(folders: Mapping[Path, _Folder]) -> dict[Path, int]:
    """Return how many folders with hyperparameters lie in each folder: in one alone, they are of that folder's run."""
    counts = dict.fromkeys(folders, 0)
    for folder in folders.values():
        if folder.events.settings and folder.path.parent in counts:
            counts[folder.path.parent] += 1
    return counts


def _rename_chart(folder: _Folder, parent: _Folder) -> dict[str, dict[float, float]] | None:
    """Return the line of a chart that `add_scalars` wrote as TAG/LINE into a folder TAG_LINE; None if it is none."""
    curves = folder.events.curves
    tag = next(iter(curves), "")
    beginning = f"{tag.replace('/', '_')}_"
    if len(curves) != 1 or not folder.path.name.startswith(beginning) or not parent.files:
        return None
    return {f"{tag}/{folder.path.name.removeprefix(beginning)}": curves[tag]}


def _join(run: Run, other: Run) -> Run:
    return replace(
        run,
        facts={**other.facts, **run.facts},
        curves={**other.curves, **run.curves},
        unread=run.unread or other.unread,
    )


def read(source: str, epoch: str) -> ForeignTable:
    """Return the runs in folders of event files."""
    folders = _read_folders(find_files(source, _is_event_file))
    return make_table("TensorBoard", source, _join_folders(folders), epoch)


IMPORTER = Importer(
    "tensorboard",
    "folders of event files: scalars, hyperparameters",
    lambda source: holds_file(source, _is_event_file),
    read,
)
