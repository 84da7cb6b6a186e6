"""Tidy tables as CSV text and as pandas frames."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bakeoff.errors import MissingPackageError
from bakeoff.extras import how_to_install
from bakeoff.report.export.frame import Frame, FrameColumn, Value
from bakeoff.report.text import show_text

if TYPE_CHECKING:
    from pandas import DataFrame

_FORMULA = re.compile("[\\s']*[=+\\-@\uff1d\uff0b\uff0d\uff20]")
"""The start of a text that a spreadsheet would read as a formula, also if quoted; the last four are full-width."""

_DTYPES = {"text": "string", "integer": "int64", "number": "float64"}


def write_csv(frame: Frame) -> Iterator[str]:
    """Yield a table as CSV, line by line: a header, commas, quotes where needed, empty cells for missing values.

    Numbers have full precision. Text stays on one line (control characters appear as escapes), and an apostrophe
    precedes text that a spreadsheet would read as a formula.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in _with_header(frame):
        writer.writerow(row)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def guard_text(text: str) -> str:
    """Return text as a cell that no spreadsheet evaluates.

    Text that starts like a formula, or like such an escaped cell, gets a leading apostrophe, so that removing one
    apostrophe always restores it.
    """
    shown = show_text(text)
    return f"'{shown}" if _FORMULA.match(shown) else shown


def make_pandas(frame: Frame) -> DataFrame:
    """Return a table as a pandas DataFrame with typed columns; times are in UTC.

    Raises:
        BakeoffError: pandas is not installed.
    """
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise MissingPackageError(
            f"frames need pandas: {how_to_install('pandas')} (or use to_records() or to_csv())"
        ) from error
    rows = list(frame.rows)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(frame.columns)
    return pandas.DataFrame(
        {
            column.name: _make_series(pandas, column, values)
            for column, values in zip(frame.columns, columns, strict=True)
        }
    )


def _make_series(pandas: Any, column: FrameColumn, values: Iterable[Value]) -> Any:
    kept = list(values)
    if column.kind == "time":
        return pandas.to_datetime(pandas.Series(kept, dtype="object"), utc=True, format="ISO8601")
    dtype = _DTYPES[column.kind]
    if column.kind == "integer" and None in kept:
        dtype = "Int64"
    return pandas.Series(kept, dtype=dtype)


def _with_header(frame: Frame) -> Iterator[Iterable[Value]]:
    yield [column.name for column in frame.columns]
    for row in frame.rows:
        yield [guard_text(value) if isinstance(value, str) else value for value in row]
