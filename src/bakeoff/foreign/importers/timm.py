"""timm's training script: `summary.csv`, with the `args.yaml` beside it. A folder is a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bakeoff.foreign.reading import Found, find_files, flatten, holds_file, read_csv, read_header, read_yaml
from bakeoff.foreign.runs import Run, collect_curves, find_beside, make_table, read_files
from bakeoff.foreign.table import ForeignTable, Importer

_NAME = "summary.csv"
_SETTINGS = "args.yaml"


def _is_log(path: Path) -> bool:
    if path.name != _NAME:
        return False
    header = read_header(path)
    return header[:1] == ["epoch"] and any(name.startswith("eval_") for name in header)


def _read_run(found: Found) -> Iterator[Run]:
    _, rows = read_csv(found.path)
    settings = find_beside(found.path, _SETTINGS)
    facts = flatten(read_yaml(settings)) if settings else {}
    yield Run(
        label="/".join(found.parts[:-1]) or _NAME,
        facts=facts,
        curves=collect_curves(rows, "epoch"),
        parts=found.parts,
    )


def read(source: str, epoch: str) -> ForeignTable:
    """Return the runs of timm."""
    return make_table("timm", source, read_files(find_files(source, _is_log), _read_run), epoch)


IMPORTER = Importer("timm", "summary.csv and args.yaml", lambda source: holds_file(source, _is_log), read)
