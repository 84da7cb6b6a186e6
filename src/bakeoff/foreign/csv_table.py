"""Tables of scores, a row per run: CSV, TSV, JSON lines, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from bakeoff.errors import ResultsTableError
from bakeoff.extras import how_to_install
from bakeoff.foreign.metric_names import is_score, rank_scores
from bakeoff.foreign.table import ForeignTable, Importer, Value

MAX_ROWS = 1_000_000
MAX_TEXT = 10_000

SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet", ".pq")

Row = tuple[str, Mapping[str, Value]]
"""What to call a row, and its values."""


def recognise_table(source: str) -> bool:
    """Return whether a source is a table by its name."""
    path = Path(source)
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def read_table(source: str, epoch: str = "last") -> ForeignTable:
    """Read a table of scores. Empty cells are missing values; columns of numbers become numbers.

    Raises:
        DataError: it cannot be read, or has no rows.
    """
    return make_table("CSV" if Path(source).suffix.lower() == ".csv" else "a table", source, read_rows(source))


def read_rows(source: str) -> list[Row]:
    """Return the rows of a table, numbers as numbers.

    Raises:
        DataError: it cannot be read, or has no rows.
    """
    path = Path(source)
    suffix = path.suffix.lower()
    reader = (
        _read_parquet
        if suffix in (".parquet", ".pq")
        else _read_json
        if "json" in suffix or suffix == ".ndjson"
        else _read_csv
    )
    try:
        rows = list(islice(reader(path), MAX_ROWS + 1))
    except OSError as error:
        raise ResultsTableError(f"{source} cannot be read ({error.strerror or error}).") from error
    except UnicodeDecodeError as error:
        raise ResultsTableError(f"{source} is not UTF-8 text ({error.reason}). Save it as UTF-8.") from error
    except csv.Error as error:
        raise ResultsTableError(f"{source} is not well-formed CSV: {error}.") from error
    if len(rows) > MAX_ROWS:
        raise ResultsTableError(f"{source} has more than {MAX_ROWS:,} rows, the maximum.")
    if not rows:
        raise ResultsTableError(
            f"{source} has no rows: give a row per run, below a line with the names of the columns."
        )
    return rows


def make_table(tool: str, source: str, rows: Sequence[Row]) -> ForeignTable:
    """Return rows as a table; scores are the columns of numbers that are named like a metric, or else all of them."""
    columns = list(dict.fromkeys(name for _, row in rows for name in row))
    numeric = [name for name in columns if _is_numeric([row.get(name) for _, row in rows])]
    scores = [name for name in numeric if is_score(name)]
    return ForeignTable(
        tool=tool,
        source=source,
        rows=tuple(row for _, row in rows),
        metrics=rank_scores(scores or [name for name in numeric if _has_fractions(row.get(name) for _, row in rows)]),
        places=tuple(place for place, _ in rows),
    )


def parse_value(text: str) -> Value:
    """Return a cell's value: a number if it is one, None if it is empty."""
    text = text.strip()
    if not text:
        return None
    for parse in (int, float):
        try:
            # An id such as 007 or 1_000 is a text.
            if (parse is int and str(int(text)) != text) or "_" in text:
                continue
            return _keep_number(parse(text))
        except ValueError:
            continue
    return text[1:] if text.startswith("'") else text  # how exports protect text from spreadsheets


def _keep_number(value: float) -> Value:
    """Return a number; one with more digits than a float holds is a name, and a text."""
    try:
        float(value)
    except OverflowError:
        return str(value)
    return value


def _is_numeric(values: Iterable[Value]) -> bool:
    """Return whether most of what is given are numbers, and not all of it the same kind of id."""
    known = [value for value in values if value is not None]
    numbers = [value for value in known if isinstance(value, int | float) and not isinstance(value, bool)]
    return 2 * len(numbers) > len(known)


def _has_fractions(values: Iterable[Value]) -> bool:
    return any(isinstance(value, float) for value in values)


def _read_csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header = stream.readline(10 * MAX_TEXT)
        if len(header) >= 10 * MAX_TEXT:
            raise ResultsTableError(f"{path}: its first line is too long for the names of columns: it is no table.")
        if "\0" in header:
            raise ResultsTableError(f"{path} is not UTF-8 text (perhaps UTF-16). Save it as UTF-8.")
        delimiter = max("\t;,", key=header.count) if path.suffix.lower() != ".tsv" else "\t"
        names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter, strict=True), [])]
        repeated = sorted({name for name in names if name and names.count(name) > 1})
        if repeated:
            raise ResultsTableError(f"{path} has two columns named {repeated[0]}: rename one.")
        reader = csv.reader(stream, delimiter=delimiter, strict=True)
        for values in reader:
            if any(value.strip() for value in values):
                place = f"line {reader.line_num + 1}"
                if len(values) > len(names):
                    raise ResultsTableError(f"{path}: {place} has {len(values)} values for {len(names)} columns.")
                yield place, {name: parse_value(text) for name, text in zip(names, values, strict=False) if name}


def _read_json(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                try:
                    found = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise ResultsTableError(
                        f"{path}: line {number} is not JSON ({error}). Write one object per line."
                    ) from error
                if not isinstance(found, dict):
                    raise ResultsTableError(f"{path}: line {number} is no JSON object. Write one object per line.")
                yield f"line {number}", keep_plain(found)


def keep_plain(row: Mapping[Any, Any]) -> dict[str, Value]:
    """Return what of a row are texts and numbers, nested ones under dotted names; texts that are numbers stay texts."""
    found: dict[str, Value] = {}
    for name, value in row.items():
        plain = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value  # NumPy's numbers
        if isinstance(plain, Mapping):
            found |= {f"{name}.{inner}": each for inner, each in keep_plain(plain).items()}
        elif plain is None or isinstance(plain, str | int | float | bool):
            found[str(name)] = None if plain == "" else _keep_number(plain) if isinstance(plain, int) else plain
        else:
            found[str(name)] = str(plain)
    return found


def _read_parquet(path: Path) -> Iterator[Row]:
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        message = f"{path} needs pyarrow to be read, or save it as CSV: {how_to_install('parquet')}"
        raise ResultsTableError(message) from error
    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=1_000):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", keep_plain(row)
    except import_module("pyarrow").ArrowException as error:
        reason = " ".join(str(error).split())[:200]
        raise ResultsTableError(f"{path} is not a readable Parquet file ({reason}).") from error


CSV = Importer(
    name="csv",
    summary="tables of scores, a row per run: CSV, TSV, JSON lines, Parquet",
    recognises=recognise_table,
    read=read_table,
)
