"""The table that every importer makes, whatever tool trained the runs, and the registry of importers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Value = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class ForeignTable:
    """Finished runs of another tool, one row each, not yet assigned to arms and replicates.

    Attributes:
        tool: what wrote them, as people call it: "MLflow", "CSV".
        source: the file, folder or address that was read.
        rows: what is known of each run, by column: its name, parameters, tags, and its scores. Columns may be missing
            in a row. Runs told apart by their paths have the columns `path.1`, `path.2`, ...: the parts of the path
            below the source, without the parts that all runs share.
        metrics: the columns that are scores, the most likely deciding one first.
        lower_is_better: those of them that the tool itself minimized.
        num_skipped: runs that were not read, because they had not finished or had no scores; `notes` say why.
        notes: sentences about what was read and how: which epoch a score is of, what was skipped.
        places: what to call each row in messages, such as "line 4"; empty for their numbers.
    """

    tool: str
    source: str
    rows: tuple[Mapping[str, Value], ...]
    metrics: tuple[str, ...]
    lower_is_better: tuple[str, ...] = ()
    num_skipped: int = 0
    notes: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    def place(self, row: int) -> str:
        """Return what to call a row, by its index."""
        return self.places[row] if self.places else f"run {row + 1}"


@dataclass(frozen=True)
class Importer:
    """Reads the results of one tool.

    Attributes:
        name: for `--from`, such as "mlflow".
        summary: what it reads, in one line.
        recognises: returns whether a source, a path or an address, is in this tool's format; reads little.
        read: returns the table of a source, given the epoch that counts: "last", or of curves "max:METRIC" or
            "min:METRIC". Raises DataError, one line that names the file and the remedy.
    """

    name: str
    summary: str
    recognises: Callable[[str], bool]
    read: Callable[[str, str], ForeignTable]
