"""A result's methods that export tables: records, pandas frames, CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.errors import UnknownNameError, nearest
from bakeoff.ledger.read import open_reading
from bakeoff.report.document import ReportInput
from bakeoff.report.export.frame import Frame, Value
from bakeoff.report.export.tables import LEDGER_TABLES, TableName, tabulate_epochs, tabulate_trials
from bakeoff.report.render.csv import make_pandas, write_csv
from bakeoff.report.render.latex import write_latex
from bakeoff.report.sections import SECTIONS
from bakeoff.workspace import Folders

if TYPE_CHECKING:
    from pandas import DataFrame


def list_tables() -> dict[str, Callable[[ReportInput], Frame]]:
    """Return the tables that sections make from a report, by name."""
    return {name: tabulate for section in SECTIONS for name, tabulate in section.tables.items()}


class Tables:
    """Tables of one study.

    `table` is trials (a row per trial), arms, verdicts (a row per pair), epochs, classes, confusion or predictions (a
    row per image, arm and replicate). Column names include units: shares are 0..1, times are seconds. An unknown table
    raises BakeoffError.
    """

    report: ReportInput
    study_id: str
    workspace: Path

    def to_records(self, table: TableName = "trials") -> list[dict[str, Value]]:
        """Return a table as a list of dictionaries, column -> value, None if missing."""
        with self._open(table) as frame:
            return list(frame.records())

    def to_frame(self, table: TableName = "trials") -> DataFrame:
        """Return a table as a pandas DataFrame; needs pandas."""
        with self._open(table) as frame:
            return make_pandas(frame)

    def to_csv(self, table: TableName = "trials") -> str:
        """Return a table as CSV text; an apostrophe precedes text that a spreadsheet would read as a formula."""
        return "".join(self.iterate_csv(table))

    def iterate_csv(self, table: str = "trials") -> Iterator[str]:
        """Yield a table as CSV, line by line, so that its length does not matter."""
        with self._open(table) as frame:
            yield from write_csv(frame)

    def to_latex(self) -> str:
        """Return the tables for a paper as LaTeX, which needs only the booktabs package."""
        return write_latex(self.report)

    @contextmanager
    def _open(self, table: str) -> Iterator[Frame]:
        from_report = list_tables()
        names = (*LEDGER_TABLES, *from_report)
        if table not in names:
            raise UnknownNameError(f"there is no table '{table}'. Tables: {', '.join(names)}.{nearest(table, names)}")
        if table in from_report:
            yield from_report[table](self.report)
            return
        with _open_ledger(Folders(self.workspace), self.study_id, table) as frame:
            yield frame


def iterate_ledger_csv(folders: Folders, study_id: str, table: str) -> Iterator[str]:
    """Yield trials or epochs as CSV, line by line, directly from the ledger."""
    with _open_ledger(folders, study_id, table) as frame:
        yield from write_csv(frame)


@contextmanager
def _open_ledger(folders: Folders, study_id: str, table: str) -> Iterator[Frame]:
    with open_reading(folders) as connection:
        yield (tabulate_trials if table == "trials" else tabulate_epochs)(connection, study_id)
