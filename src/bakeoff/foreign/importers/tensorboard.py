"""TensorBoard: scalars and hyperparameters in event files. A folder is a run.

Some writers spread one run over several folders, which are put together again: Keras writes `train` and `validation`
below the run's folder, torch's `add_hparams` one with the hyperparameters, its `add_scalars` one per line of a chart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bakeoff.foreign.epochs import Curve
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
    owners = {path: _find_owner(folder, folders) for path, folder in folders.items()}
    hyperparameters = Counter(owners[path] for path, folder in folders.items() if folder.events.settings)
    for path, folder in folders.items():
        curves, owner = folder.events.curves, owners[path]
        parts = folder.parts
        if owner and (line := _rename_line(folder, folders[owner])):
            parts, curves = folders[owner].parts, line
        elif folder.parts and path.name in _SPLITS:
            parts, curves = folder.parts[:-1], {f"{_SPLITS[path.name]}_{tag}": curve for tag, curve in curves.items()}
        elif owner and folder.events.settings and hyperparameters[owner] == 1:
            parts = folders[owner].parts
        label = "/".join(parts) or path.name
        run = Run(label=label, facts=folder.events.settings, curves=curves, parts=parts, unread=folder.unread)
        runs[parts] = _join(runs[parts], run) if parts in runs else run
    return list(runs.values())


def _find_owner(folder: _Folder, folders: Mapping[Path, _Folder]) -> Path | None:
    """Return the nearest folder above that has event files too."""
    above = list(folder.path.parents)[: len(folder.parts)]
    return next((path for path in above if path in folders), None)


def _rename_line(folder: _Folder, owner: _Folder) -> dict[str, Curve] | None:
    """Return a line of a chart as TAG/LINE, if `add_scalars` wrote the folder; None if it is another.

    torch writes TAG_LINE with the scalar TAG, tensorboardX writes TAG/LINE.
    """
    tag = next(iter(folder.events.curves), "")
    place = "/".join(folder.parts[len(owner.parts) :])
    if len(folder.events.curves) != 1 or not tag:
        return None
    if tag == place:
        return dict(folder.events.curves)
    beginning = tag.replace("/", "_") + "_"
    if not place.replace("/", "_").startswith(beginning):
        return None
    return {f"{tag}/{place[len(beginning) :]}": folder.events.curves[tag]}


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
