"""Reading foreign files: text, JSON, YAML, CSV, SQLite. Nothing is ever unpickled, and nothing is written."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bakeoff.data.source import find_kind, show_text
from bakeoff.errors import ResultsNotFoundError
from bakeoff.foreign.table import Value

MAX_BYTES = 256 * 2**20
MAX_FILES = 200_000
MAX_COLUMNS = 2_000
MAX_TEXT = 1_000
MAX_DEPTH = 20
MAX_NODES = 1_000_000
PEEK_BYTES = 16_384

_SQLITE_MAGIC = b"SQLite format 3\x00"
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_NOT_FINITE = {"nan", "inf", "-inf", "+inf", "infinity", "-infinity"}
_CONSTANTS: Mapping[str, Value] = {"True": True, "true": True, "False": False, "false": False, "None": None, "": None}


class _PlainLoader(yaml.SafeLoader):
    """Reads what tags call Python objects as the plain values they are written with: tuples as lists, names as text."""


class DamagedError(Exception):
    """A file that cannot be read; the message continues a sentence that begins with its name: "is cut off"."""


def _construct_plain(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return str(node.value) or _suffix


_PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/", _construct_plain)


@dataclass(frozen=True)
class Found:
    """A file below a source.

    Attributes:
        path: where it is.
        parts: its path below the source, the file's name without suffix last.
    """

    path: Path
    parts: tuple[str, ...]


def find_files(source: str, is_wanted: Callable[[Path], bool]) -> Iterator[Found]:
    """Yield the wanted files at or below a source, in the order of their paths, each once, however it is linked.

    Numbers in names are sorted as numbers. Hidden folders are not entered.

    Raises:
        DataError: there are more files than `MAX_FILES`.
    """
    root = Path(source)
    if not root.is_dir():
        if find_kind(root) == "file" and is_wanted(root):
            yield Found(root, (root.stem,))
        return
    seen: set[tuple[int, int]] = {_identify(root)}
    num_files = 0
    pending: list[tuple[Path, tuple[str, ...]]] = [(root, ())]
    while pending:
        path, parts = pending.pop()
        folders = []
        for name in _list_names(path):
            entry = path / name
            if not (status := _stat(entry)) or (status.st_dev, status.st_ino) in seen:
                continue
            if stat.S_ISDIR(status.st_mode) and not name.startswith("."):
                seen.add((status.st_dev, status.st_ino))
                folders.append((entry, (*parts, name)))
            elif stat.S_ISREG(status.st_mode):
                num_files += 1
                if num_files > MAX_FILES:
                    raise ResultsNotFoundError(
                        f"{show_text(source)} holds more than {MAX_FILES:,} files. Name a folder in it."
                    )
                if is_wanted(entry):
                    seen.add((status.st_dev, status.st_ino))
                    yield Found(entry, (*parts, entry.stem))
        pending.extend(reversed(folders))


def holds_file(source: str, is_wanted: Callable[[Path], bool]) -> bool:
    """Return whether a source is or holds a wanted file."""
    return next(find_files(source, is_wanted), None) is not None


def hide_password(source: str) -> str:
    """Return a source as messages and reports show it: without the user's name and password in an address."""
    return show_text(re.sub(r"://[^/@]*@", "://", source))


def natural_key(text: str) -> tuple[tuple[int, str], ...]:
    """Return a key that sorts numbers in texts as numbers: seed2 before seed10."""
    pieces = re.split(r"(\d{1,18})", text)
    return tuple((int(piece), "") if index % 2 else (-1, piece) for index, piece in enumerate(pieces))


def _list_names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder), key=natural_key)
    except OSError as error:
        raise ResultsNotFoundError(f"{show_text(folder)} cannot be read: {error.strerror}.") from error


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):
        return None  # a broken link, or a loop of links


def _identify(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def peek(path: Path, num_bytes: int = PEEK_BYTES) -> bytes:
    """Return the first bytes of a file; none if it cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(num_bytes)
    except OSError:
        return b""


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        DamagedError: it cannot be opened or is larger than `MAX_BYTES`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DamagedError(f"cannot be opened: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise DamagedError(f"is larger than {MAX_BYTES // 2**20} MiB, the maximum")
    return content


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        DamagedError: as in `read_bytes`, or it is not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedError("is not UTF-8 text") from error


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; it may contain NaN.

    Raises:
        DamagedError: it is empty, cut off or not JSON.
    """
    text = read_text(path)
    if not text.strip():
        raise DamagedError("is empty")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError("is cut off or not JSON") from error


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Return the mapping in a YAML file, read by the safe loader: no object is made. Empty if the file is.

    Raises:
        DamagedError: it is no mapping.
    """
    try:
        content = _load_yaml(read_text(path))
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        raise DamagedError("is not YAML") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise DamagedError("is not a mapping")
    return {str(key): value for key, value in content.items()}


def _load_yaml(text: str) -> Any:
    """Return what is in a YAML text.

    Raises:
        DamagedError: written out, its aliases are more than `MAX_NODES` values: a few lines can stand for billions.
    """
    loader = _PlainLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _count_nodes(node, {}) > MAX_NODES:
            raise DamagedError(f"stands for more than {MAX_NODES:,} values by its aliases")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count_nodes(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many values a node stands for: what an alias repeats counts again, but not where it holds itself."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = 0  # while it is being counted
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        inner = [each for pair in node.value for each in pair]
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    known[id(node)] = 1 + sum(_count_nodes(each, known) for each in inner)
    return known[id(node)]


def read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the header and rows of a CSV file, separated by commas, semicolons or tabs.

    Raises:
        DamagedError: it is empty, ends in the middle of a line, a row is longer than the header or broken off.
    """
    text = read_text(path)
    if not text.strip():
        raise DamagedError("is empty")
    header, *rows = _split_rows(text) or [[]]
    if not header:
        raise DamagedError("has no columns")
    rows = [row for row in rows if row != header]  # resumed runs of some tools write it again
    if len(set(header)) < len(header):
        raise DamagedError("names a column twice")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            is_last = number == len(rows) + 1
            cut = "is cut off in its last row" if is_last and len(row) < len(header) else ""
            raise DamagedError(cut or f"has {len(row)} instead of {len(header)} cells in row {number}")
    if not text.endswith(("\n", "\r")) and rows and not rows[-1][-1]:
        raise DamagedError("is cut off in its last row")
    return header, [dict(zip(header, row, strict=True)) for row in rows]


def read_header(path: Path) -> list[str]:
    """Return the header of what may be a CSV file; empty if it is none."""
    first = peek(path, 4 * PEEK_BYTES).decode("utf-8-sig", errors="replace").splitlines()[:1]
    rows = _split_rows(first[0]) if first and "\x00" not in first[0] else []
    return rows[0] if rows else []


def _split_rows(text: str) -> list[list[str]]:
    first = text.lstrip().partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text.lstrip()), delimiter=separator))
    except csv.Error as error:
        raise DamagedError(f"is not CSV: {error}") from error
    return [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]


def is_sqlite(path: Path) -> bool:
    """Return whether a file is an SQLite database."""
    return peek(path, len(_SQLITE_MAGIC)) == _SQLITE_MAGIC


def list_columns(path: Path) -> dict[str, set[str]]:
    """Return the columns of each table of an SQLite database; none if it cannot be read."""
    if not is_sqlite(path):
        return {}
    try:
        names = [str(row["name"]) for row in query(path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
        tables = {name: query(path, "SELECT name FROM pragma_table_info(?)", name) for name in names}
    except DamagedError:
        return {}
    return {name: {str(row["name"]) for row in rows} for name, rows in tables.items()}


def query(path: Path, sql: str, *arguments: object) -> list[dict[str, Any]]:
    """Return the rows of a query of an SQLite database, opened so that nothing is written beside it.

    Raises:
        DamagedError: it is locked, damaged or of another version.
    """
    # Without a log beside it, no other program is writing: immutable leaves no -shm and -wal file behind.
    mode = "mode=ro" if path.with_name(path.name + "-wal").exists() else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=10.0)) as connection:
            connection.row_factory = sqlite3.Row
            connection.set_authorizer(_allow_tables)
            return [dict(row) for row in connection.execute(sql, arguments)]
    except sqlite3.Error as error:
        raise DamagedError(f"cannot be read: {error}") from error


def _allow_tables(action: int, _a: str | None, _b: str | None, _database: str | None, view: str | None) -> int:
    """Allow what reads tables. A view is a program of whoever made the file, and need not end."""
    is_recursive = action == sqlite3.SQLITE_RECURSIVE
    return sqlite3.SQLITE_DENY if view is not None or is_recursive else sqlite3.SQLITE_OK


def parse_text(text: str) -> Value:
    """Return what a cell or a parameter says: a number, a truth value, nothing, or the text itself."""
    text = text.strip()
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _NUMBER.fullmatch(text) or text.lower() in _NOT_FINITE:
        # 007 and numbers longer than a float holds are names.
        if re.fullmatch(r"[-+]?\d+", text):
            return int(text) if str(int(text[:30])) == text else text
        return float(text)
    return text[:MAX_TEXT]


def parse_score(value: object) -> float | None:
    """Return a number, also one in text; None for anything else, truth values included."""
    if isinstance(value, str):
        value = parse_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def as_value(value: object) -> Value:
    """Return what a cell can hold: lists and other things as text."""
    if isinstance(value, bool | int | float) or value is None:
        return value
    return value[:MAX_TEXT] if isinstance(value, str) else str(value)[:MAX_TEXT]


def flatten(content: Mapping[Any, Any], prefix: str = "") -> dict[str, Value]:
    """Return nested mappings as one: {"optimizer": {"lr": 1}} as {"optimizer.lr": 1}, at most `MAX_COLUMNS`."""
    flat: dict[str, Value] = {}
    pending: list[tuple[str, Any, int]] = [(f"{prefix}{key}", value, 0) for key, value in content.items()][::-1]
    while pending and len(flat) < MAX_COLUMNS:
        key, value, depth = pending.pop()
        if isinstance(value, Mapping) and value and depth < MAX_DEPTH:
            pending.extend([(f"{key}.{inner}", item, depth + 1) for inner, item in value.items()][::-1])
        else:
            flat[key] = as_value(value)
    return flat


def as_list(value: object) -> list[Any] | None:
    """Return a column in JSON as a list: a list, or pandas' {"0": x, "1": y}; None if it is neither."""
    if isinstance(value, Mapping) and value and all(str(key) == str(i) for i, key in enumerate(value)):
        return list(value.values())
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else None
