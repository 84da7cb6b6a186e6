"""One hash of the content of many files; a file is read again only if it is new or may have changed.

A file that is written, replaced or restored gets a new change time (ctime) from the system, whatever modification
time it is given (`cp -p`, `rsync -t`, zip files with constant times). So a file whose path, size, both times and inode
are unchanged has unchanged content and is not read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bakeoff.data.locate import cache_folder
from bakeoff.data.parallel import map_in_order
from bakeoff.data.progress import ReadingProgress
from bakeoff.data.source import show_text
from bakeoff.errors import ImagesChangedError
from bakeoff.system import CHANGE_TIME_IS_KEPT, rename

SETTLED_NS = 2_000_000_000
"""A file modified this shortly before it was read may change again with the same timestamp: clocks are that coarse."""

_ERROR = "error"
_BLOCK_BYTES = 1 << 20
_BATCH = 8
"""Files that a thread hashes in a row."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file's metadata.

    Attributes:
        path: where it is.
        num_bytes: its size.
        modified_ns, changed_ns: mtime and ctime, nanoseconds since the epoch.
        number: the inode and the device.
    """

    path: str
    num_bytes: int
    modified_ns: int
    changed_ns: int
    number: tuple[int, int]

    @classmethod
    def of(cls, path: str, status: os.stat_result) -> Stamp:
        """Return the stamp of a file with this status."""
        number = (status.st_ino, status.st_dev)
        return cls(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, number)


def hash_contents(stamps: Iterable[Stamp], *, read: bool = True) -> str | None:
    """Return a hash (32 hexadecimal characters) of the content of files, in order.

    Their paths and times are not part of it.

    Args:
        stamps: the current metadata of the files. A file that cannot be read is represented by its error.
        read: if False, return None when all files would have to be read for the first time.
    """
    listed = tuple(stamps)
    if not listed:
        return _hash_text([])
    memo = cache_folder() / "contents" / f"{_hash_text([_format_stamp(stamp) for stamp in listed])}.json"
    known = _read_cached(memo)
    if known is not None and _is_settled(listed, known[1]):
        return known[0]
    if known is None and not read:
        return None
    started_ns = time.time_ns()
    progress, found = ReadingProgress("checking the content of files", len(listed)), list[str]()
    for each in map_in_order(_hash_file, [stamp.path for stamp in listed], batch=_BATCH):
        found.append(each)
        progress.show(len(found))
    total = _hash_text(found)
    if not any(each.startswith(_ERROR) for each in found):  # a failed read may succeed next time
        _write_cached(memo, total, started_ns)
    return total


def check_unchanged(stamps: Iterable[Stamp], label: str) -> None:
    """Reject files that changed after their stamps were taken: old and new content may have been mixed.

    Args:
        stamps: the files.
        label: their name in the message.

    Raises:
        DataError: names the first that changed.
    """
    for stamp in stamps:
        try:
            changed = Stamp.of(stamp.path, os.stat(stamp.path)) != stamp
        except OSError:
            changed = True
        if changed:
            raise ImagesChangedError(
                f"{label}: {show_text(stamp.path)} was changed while it was read. Run again when it is complete."
            )


def _is_settled(stamps: Iterable[Stamp], read_ns: int) -> bool:
    """Return whether any change of a file since it was read at this time would have changed its stamp."""
    return CHANGE_TIME_IS_KEPT and all(stamp.changed_ns + SETTLED_NS < read_ns for stamp in stamps)


def _format_stamp(stamp: Stamp) -> list[object]:
    return [stamp.path, stamp.num_bytes, stamp.modified_ns, stamp.changed_ns, *stamp.number]


def _hash_text(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _hash_file(path: str) -> str:
    try:
        found = hashlib.sha256()
        # Unlike `file_digest`, without a new buffer of 256 KiB per file, most of which are smaller.
        with open(path, "rb", buffering=0) as stream:
            while block := stream.read(_BLOCK_BYTES):
                found.update(block)
        return found.hexdigest()
    except OSError as error:
        return f"{_ERROR} {error.errno}"


def _read_cached(memo: Path) -> tuple[str, int] | None:
    """Return the cached hash and the time the files were read; None if there is no complete entry."""
    try:
        content = json.loads(memo.read_text(encoding="utf-8"))
        return str(content["sha256"]), int(content["read_ns"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_cached(memo: Path, sha256: str, read_ns: int) -> None:
    """Cache a hash. If the cache cannot be written this is skipped silently: it only saves time."""
    temporary = memo.with_name(f"{memo.name}.{os.getpid()}.part")
    try:
        memo.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"sha256": sha256, "read_ns": read_ns}), encoding="utf-8")
        rename(temporary, memo)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
