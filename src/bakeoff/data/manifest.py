"""Lists manifests: CSV or Parquet tables with columns path, label and, optionally, split and group. Opens no image."""

from __future__ import annotations

import csv
import importlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from bakeoff.data.content import Stamp
from bakeoff.data.listing import (
    MAX_SHOWN,
    PARTS,
    ImageFile,
    Listing,
    Part,
    Rejected,
    clean_class_name,
    format_rejected,
    make_listing,
)
from bakeoff.data.source import check_regular, show_text
from bakeoff.errors import DataError, ManifestError, MissingDataPackageError, nearest
from bakeoff.extras import how_to_install

_BATCH_ROWS = 8_192
COLUMNS = ("path", "label", "split", "group")
PARQUET_SUFFIXES = (".parquet", ".pq")
MAX_ROWS = 5_000_000
MAX_TEXT = 10_000
"""Maximum length of a path or label; a line of a text table may be ten times as long."""

SUFFIXES = (".csv", ".tsv", ".txt", *PARQUET_SUFFIXES)


@dataclass(frozen=True, slots=True)
class _Row:
    """One row: its position as shown to users ("line 7"), and its fields."""

    place: str
    path: str
    label: str
    split: str
    group: str


def list_manifest(manifest: Path, chosen: tuple[str, ...] | None = None) -> Listing:
    """List the images in a manifest. Paths are absolute, or relative to the manifest's folder.

    Args:
        manifest: a `.parquet` file, or a text file separated by commas, semicolons or tabs, with a header.
        chosen: the classes the study uses.

    Raises:
        DataError: unreadable, columns missing, rows wrong (the first ten are named), one image under two labels, in two
            parts or in two groups, or as in `make_listing`.
    """
    is_parquet = manifest.suffix.lower() in PARQUET_SUFFIXES
    where = show_text(manifest)
    check_regular(manifest)
    rows = list(_limit(where, _read_parquet(manifest) if is_parquet else _read_csv(manifest)))
    if not rows:
        raise ManifestError(f"{where} has no rows.")
    _check_rows(where, rows)
    kept = _drop_repeated(where, rows)
    files, rejected = _stat_files(manifest.absolute().parent, kept)
    if len(rejected) * 2 > len(kept):
        raise ManifestError(
            f"{where}: {len(rejected):,} of its {len(kept):,} files cannot be opened: {format_rejected(rejected)}. "
            f"Paths are relative to {show_text(manifest.absolute().parent)}."
        )
    num_repeated = len(rows) - len(kept)
    notes = [f"{num_repeated:,} rows repeat an earlier one and are left out"] if num_repeated else []
    return make_listing(str(manifest), files, rejected, notes, chosen=chosen)


def _limit(where: str, rows: Iterable[_Row]) -> Iterator[_Row]:
    """Yield rows up to a limit, because a small file can unpack to more than fits into memory."""
    for number, row in enumerate(rows, start=1):
        if number > MAX_ROWS:
            raise ManifestError(f"{where} has more than {MAX_ROWS:,} rows, the maximum. Split it up.")
        if max(len(row.path), len(row.label), len(row.split), len(row.group)) > MAX_TEXT:
            raise ManifestError(f"{where}: {row.place}: a text of more than {MAX_TEXT:,} characters.")
        yield row


def _read_csv(manifest: Path) -> Iterator[_Row]:
    where = show_text(manifest)
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline(10 * MAX_TEXT)
            if len(header) >= 10 * MAX_TEXT:
                raise ManifestError(
                    f"{where}: its first line is longer than {10 * MAX_TEXT:,} characters, so it is not a table."
                )
            delimiter = next((mark for mark in ",;\t" if mark in header), ",")
            names = next(csv.reader([header], delimiter=delimiter, strict=True), [])
            numbers = _find_columns(where, names)
            reader = csv.reader(_read_lines(stream, where), delimiter=delimiter, strict=True)
            for values in reader:
                if any(value.strip() for value in values):
                    yield _make_row(f"line {reader.line_num + 1}", values, numbers)
    except OSError as error:
        raise ManifestError(f"The manifest {where} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"The manifest {where} is not UTF-8 text ({error.reason}). Save it as UTF-8.") from error
    except csv.Error as error:
        raise ManifestError(f"The manifest {where} is not well-formed CSV: {error}.") from error


def _read_lines(stream: TextIO, where: str) -> Iterator[str]:
    """Yield lines up to a maximum length, because an endless line would fill the memory."""
    number = 1
    while line := stream.readline(10 * MAX_TEXT):
        number += 1
        if len(line) >= 10 * MAX_TEXT:
            raise ManifestError(f"{where}: line {number} is longer than {10 * MAX_TEXT:,} characters.")
        yield line


def _find_columns(where: str, names: Sequence[str]) -> tuple[int | None, ...]:
    """Return the indices of COLUMNS; None for one of the last two that is missing."""
    known = [name.strip().lower() for name in names]
    for column in COLUMNS:
        if known.count(column) > 1:
            raise ManifestError(f"{where} has {known.count(column)} columns called {column}; one is needed.")
    for column in ("path", "label"):
        if column not in known:
            shown = ", ".join(show_text(name.strip()) for name in names[:20]) or "none"
            raise ManifestError(
                f"{where} has no column {column}.{nearest(column, known)} Its first line must name path and label, but "
                f"it names: {shown}."
            )
    return tuple(known.index(column) if column in known else None for column in COLUMNS)


def _make_row(place: str, values: Sequence[str], numbers: tuple[int | None, ...]) -> _Row:
    path, label, split, group = (
        values[number].strip() if number is not None and number < len(values) else "" for number in numbers
    )
    return _Row(place, path, label, split, group)


def _read_parquet(manifest: Path) -> Iterator[_Row]:
    where = show_text(manifest)
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingDataPackageError(f"{where} needs pyarrow to be read: {how_to_install('parquet')}") from error
    try:
        with parquet.ParquetFile(manifest) as file:
            names: list[str] = list(file.schema_arrow.names)
            numbers = _find_columns(where, names)
            wanted = [names[number] for number in numbers if number is not None]
            places = tuple(None if number is None else wanted.index(names[number]) for number in numbers)
            if file.metadata.num_rows > MAX_ROWS:
                raise ManifestError(f"{where} has {file.metadata.num_rows:,} rows; at most {MAX_ROWS:,} are read.")
        # Dictionary-encoded strings are decoded lazily, so that a repeated long string cannot fill the memory.
        with parquet.ParquetFile(manifest, read_dictionary=wanted) as file:
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
                for row in zip(*(batch.column(name) for name in wanted), strict=True):
                    number += 1
                    fields = [_format_value(value.as_py()) for value in row]
                    yield _make_row(f"row {number}", fields, places)
    except DataError:
        raise
    except (OSError, ValueError, KeyError, OverflowError, MemoryError, arrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise ManifestError(f"The manifest {where} is not a readable Parquet file: {show_text(reason)}.") from error


def _format_value(value: object) -> str:
    """Return a Parquet value as text; anything but text and integers counts as empty."""
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _check_rows(where: str, rows: Sequence[_Row]) -> None:
    problems = [f"{row.place}: {problem}" for row in rows if (problem := _find_problem(row))]
    if problems:
        more = f" and {len(problems) - MAX_SHOWN:,} more" if len(problems) > MAX_SHOWN else ""
        raise ManifestError(f"{where} has {len(problems):,} wrong rows: {'; '.join(problems[:MAX_SHOWN])}{more}.")


def _find_problem(row: _Row) -> str:
    if not row.path:
        return "no path"
    if "\0" in row.path:
        return f"the path {show_text(row.path)} contains a null character"
    if not row.label:
        return f"no label for {show_text(row.path)}"
    if row.split and row.split.lower() not in PARTS:
        return f"unknown split '{show_text(row.split)}'.{nearest(row.split.lower(), PARTS)} Allowed: {', '.join(PARTS)}"
    return ""


def _drop_repeated(where: str, rows: Iterable[_Row]) -> list[_Row]:
    """Drop rows that repeat an earlier one.

    Raises:
        DataError: an image has two labels, or is in two parts or groups.
    """
    seen: dict[str, _Row] = {}
    for row in rows:
        first = seen.setdefault(os.path.normpath(row.path), row)
        if clean_class_name(first.label) != clean_class_name(row.label):
            raise ManifestError(
                f"{where}: {show_text(row.path)} is labelled '{show_text(first.label)}' in {first.place} and "
                f"'{show_text(row.label)}' in {row.place}. An image has one label."
            )
        if _part_of(first) != _part_of(row):
            raise ManifestError(
                f"{where}: {show_text(row.path)} is in the {_part_of(first)} part in {first.place} and in the "
                f"{_part_of(row)} part in {row.place}. Parts must not share images."
            )
        if first.group != row.group:
            raise ManifestError(
                f"{where}: {show_text(row.path)} is in the group '{show_text(first.group)}' in {first.place} and in "
                f"'{show_text(row.group)}' in {row.place}. An image has one group."
            )
    return list(seen.values())


def _part_of(row: _Row) -> Part:
    return PARTS[row.split.lower()] if row.split else "train"


def _stat_files(folder: Path, rows: Iterable[_Row]) -> tuple[list[ImageFile], list[Rejected]]:
    """Stat every file: does it exist, its size, its times."""
    files: list[ImageFile] = []
    rejected: list[Rejected] = []
    for row in rows:
        path = os.path.join(folder, row.path)
        part = _part_of(row)
        try:
            status = os.stat(path)
        except (OSError, ValueError) as error:
            rejected.append(Rejected(row.path, _explain(error), part))
            continue
        if not stat.S_ISREG(status.st_mode):
            rejected.append(Rejected(row.path, "not a file", part))
            continue
        name = clean_class_name(row.label)
        files.append(ImageFile(path, row.path, name, part, Stamp.of(path, status), clean_class_name(row.group)))
    return files, rejected


def _explain(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "missing"
    return (error.strerror if isinstance(error, OSError) else None) or "not a path"
