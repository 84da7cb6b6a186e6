"""Downloads: resumable, verified against the published checksum, renamed into place when complete."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from bakeoff.data.locate import DATA_VARIABLE, download_folder, find_home, find_pickled, find_split
from bakeoff.data.registry import CifarLayout, DatasetRecord, EmnistLayout, PublishedFile
from bakeoff.errors import DamagedDatasetError, DataError, DownloadError, ImageCacheError
from bakeoff.streams import Stream, make_console
from bakeoff.system import rename

TIMEOUT_SECONDS = 30.0
MAX_ATTEMPTS = 5
CHUNK_BYTES = 1 << 18

Advance = Callable[[int], None]


class _BrokenOffError(Exception):
    """The transfer ended early; the partial file is kept."""


def obtain_dataset(record: DatasetRecord, data_dir: Path | None) -> tuple[Path, tuple[Path, ...]]:
    """Find a dataset, and download its missing files.

    Both splits are fetched together, so that a final test hours later needs no network; nothing is decoded.

    Args:
        record: the dataset.
        data_dir: searched first; also the download target if the dataset is not found elsewhere. None: the cache.

    Returns:
        The data folder that holds it, and the newly downloaded files, in published order.

    Raises:
        DataError: unreachable, refused, interrupted too often, wrong size or checksum, or the folder cannot be written.
    """
    root = find_home(record, data_dir) or download_folder(data_dir)
    missing = [file for file in record.files if not _is_there(record, file, root)]
    try:
        return root, tuple(root / file.path for file in missing if _fetch_alone(file, root))
    except DataError as error:
        pickled = find_pickled(record, data_dir)
        if pickled is None:
            raise
        raise DownloadError(f"{error} ({pickled} is the pickled version, which is never read.)") from error


def _is_there(record: DatasetRecord, file: PublishedFile, root: Path) -> bool:
    target = root / file.path
    if isinstance(record.layout, CifarLayout | EmnistLayout):
        is_whole = all(find_split(record, split, root) is not None for split in ("train", "test"))
        return is_whole or target.is_file()
    return target.is_file() or target.with_suffix("").is_file()


def _fetch_alone(file: PublishedFile, root: Path) -> bool:
    """Download one file under a lock; False if another process has downloaded it in the meantime."""
    # Imported late: only downloads need it, and it would slow down every command.
    from filelock import FileLock

    target = root / file.path
    lock = target.with_name(target.name + ".lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            is_missing = not target.is_file()
            if is_missing:
                fetch_file(file, target)
            # Only now: a process that waits for this lock then finds the file in place.
            with contextlib.suppress(OSError):
                lock.unlink()
    except OSError as error:
        raise ImageCacheError(f"{target} cannot be written: {error}. Choose another folder with --data-dir.") from error
    return is_missing


def fetch_file(file: PublishedFile, target: Path) -> None:
    """Download one file to `target` through `target.part`, resuming where an earlier attempt stopped.

    Raises:
        DataError: unreachable, refused, interrupted `MAX_ATTEMPTS` times, or wrong size or checksum.
        OSError: the disk is full or the folder cannot be written.
    """
    part = target.with_name(target.name + ".part")
    with _show_progress(file, _measure(part)) as advance:
        for _ in range(MAX_ATTEMPTS):
            with contextlib.suppress(_BrokenOffError):
                _transfer(file, part, target, advance)
                break
        else:
            raise DownloadError(
                f"The transfer of {file.url} broke off at {_measure(part):,} of {file.num_bytes:,} bytes. "
                f"The partial file is kept in {part}; run again to resume."
            )
    check_checksum(part, file)
    rename(part, target)


def _measure(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _transfer(file: PublishedFile, part: Path, target: Path, advance: Advance) -> None:
    num_have = _measure(part)
    if num_have >= file.num_bytes:
        return
    with _open_url(file, num_have, target) as response:
        start = _check_offer(response, file, target)
        if start not in (0, num_have):
            raise DownloadError(f"{file.url}: the server resumed at byte {start:,}, but {num_have:,} was requested.")
        with part.open("ab" if start else "wb") as stream:
            advance(start - num_have)
            num_have = start
            while num_have < file.num_bytes and (chunk := _read_chunk(response, file.num_bytes - num_have)):
                stream.write(chunk)
                num_have += len(chunk)
                advance(len(chunk))
            stream.flush()
            os.fsync(stream.fileno())
    if num_have < file.num_bytes:
        raise _BrokenOffError


def _read_chunk(response: http.client.HTTPResponse, num_bytes: int) -> bytes:
    try:
        return response.read(min(CHUNK_BYTES, num_bytes))
    except (OSError, http.client.HTTPException):
        # Treated like a transfer that ends early; received bytes are written first.
        return b""


def _open_url(file: PublishedFile, num_have: int, target: Path) -> http.client.HTTPResponse:
    headers = {"User-Agent": "bakeoff", "Accept-Encoding": "identity"}
    if num_have:
        headers["Range"] = f"bytes={num_have}-"
    if not file.url.startswith(("http://", "https://")):
        raise DownloadError(f"{file.url} is not an http or https address.")
    try:
        request = urllib.request.Request(file.url, headers=headers)
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(
            f"{file.url} was refused: {error.code} {error.reason}. {_explain_manual_download(file, target)}"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        host = urllib.parse.urlsplit(file.url).netloc
        reason = getattr(error, "reason", None) or error
        raise DownloadError(f"{host} cannot be reached ({reason}). {_explain_manual_download(file, target)}") from error
    return response


def _check_offer(response: http.client.HTTPResponse, file: PublishedFile, target: Path) -> int:
    """Check the size announced by the server, and return the byte offset where its response starts."""
    start, total = 0, response.headers.get("Content-Length")
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if found is None:
            raise DownloadError(f"{file.url}: the server's partial response does not say where it starts.")
        start, total = int(found[1]), found[2]
    if total is not None and total.isdigit() and int(total) != file.num_bytes:
        raise DownloadError(
            f"{file.url} offers {int(total):,} bytes, but {file.num_bytes:,} are published: it is a different file, "
            f"or a proxy's response. {_explain_manual_download(file, target)}"
        )
    return start


def _explain_manual_download(file: PublishedFile, target: Path) -> str:
    name = target.name
    return (
        f"Get {name} from {file.url} in another way and put it into {target.parent}, or point --data-dir or "
        f"{DATA_VARIABLE} to a folder that has {file.path}."
    )


def compute_checksum(path: Path, algorithm: str) -> str:
    """Return a file's checksum in hex; `algorithm` is `md5` or `sha256`."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def check_checksum(path: Path, file: PublishedFile) -> None:
    """Check a file against the published checksum; nothing is removed.

    Raises:
        DataError: they differ; the message names the file, both checksums and the remedy.
    """
    algorithm, expected = file.checksum.split(":")
    found = compute_checksum(path, algorithm)
    if found != expected:
        raise DamagedDatasetError(
            f"{path} has the wrong checksum: expected {algorithm} {expected}, got {found}. It is kept; remove it and "
            f"run again to download it from {file.url}."
        )


@contextlib.contextmanager
def _show_progress(file: PublishedFile, num_have: int) -> Iterator[Advance]:
    """Yield a function that advances a progress bar on standard error, or does nothing if that is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda num_bytes: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=make_console(Stream(sys.stderr))) as progress:
        task = progress.add_task(file.path.rsplit("/", 1)[-1], total=file.num_bytes, completed=num_have)
        yield lambda num_bytes: progress.advance(task, num_bytes)
