"""Lightning: `metrics.csv` of `CSVLogger`, with the `hparams.yaml` beside it. A folder is a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bakeoff.foreign.reading import Found, find_files, flatten, holds_file, read_csv, read_header, read_yaml
from bakeoff.foreign.runs import Run, collect_curves, find_beside, make_table, read_files
from bakeoff.foreign.table import ForeignTable, Importer

_NAME = "metrics.csv"
_SETTINGS = "hparams.yaml"


def _is_log(path: Path) -> bool:
    return path.name == _NAME and "step" in read_header(path)


def _read_run(found: Found) -> Iterator[Run]:
    _, rows = read_csv(found.path)
    settings = find_beside(found.path, _SETTINGS)
    # Training and validation have rows of their own, with blanks for the other. The test after training can have an
    # earlier step, that of the best checkpoint.
    curves = collect_curves(rows, "step", restarts=False)
    facts = flatten(read_yaml(settings)) if settings else {}
    yield Run(label="/".join(found.parts[:-1]) or _NAME, facts=facts, curves=curves, parts=found.parts)


def read(source: str, epoch: str) -> ForeignTable:
    """Return the runs of Lightning."""
    return make_table("Lightning", source, read_files(find_files(source, _is_log), _read_run), epoch)


IMPORTER = Importer(
    "lightning", "metrics.csv and hparams.yaml of CSVLogger", lambda source: holds_file(source, _is_log), read
)
