"""Archives of class folders (zip, tar): unpacked once into the cache, then read like any folder."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from bakeoff.data.content import Stamp, hash_contents
from bakeoff.data.folders import IGNORED_FOLDERS, MAX_FILES, SUFFIXES
from bakeoff.data.locate import CACHE_VARIABLE, cache_folder
from bakeoff.data.source import show_text
from bakeoff.errors import ArchiveError, ImageCacheError
from bakeoff.system import rename

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

MAX_MEMBER_BYTES = 1 << 30
"""Maximum unpacked size of one image file."""

_CHUNK_BYTES = 1 << 20
_LEFT_FREE = 0.05
"""The fraction of the disk that stays free."""


def is_archive(path: Path) -> bool:
    """Return whether a file's name says that it is an archive."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def unpack(archive: Path) -> Path:
    """Return the folder of an archive's images, which are unpacked if they are not in the cache.

    Only image files are written, by sanitised names below one new folder: links, devices, absolute paths and `..` are
    skipped. A single folder that contains everything is entered.

    Raises:
        DataError: damaged, encrypted, without images, too many or too large files, or the cache cannot be written.
    """
    from filelock import FileLock  # imported late: only unpacking needs it

    where = show_text(archive)
    try:
        contents = hash_contents([Stamp.of(str(archive), archive.stat())])
        slug = re.sub(r"[^A-Za-z0-9._-]+", "_", archive.name).strip(".")[:40] or "images"
        folder = cache_folder() / "unpacked" / f"{slug}-{contents}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():
                _unpack_into(archive, folder)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise ArchiveError(f"The archive {where} cannot be read: {show_text(error)}.") from error
    except OSError as error:
        raise ImageCacheError(
            f"The archive {where} cannot be unpacked into {cache_folder()}: {error}. "
            f"Set {CACHE_VARIABLE} to a folder you can write."
        ) from error
    return _enter_single(folder)


def _unpack_into(archive: Path, folder: Path) -> None:
    """Unpack under a temporary name, then rename, so that the folder is complete or absent. The lock must be held."""
    for leftover in folder.parent.glob(f"{folder.name}.part-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    temporary.mkdir()
    try:
        num_images = 0
        written = set[PurePosixPath]()
        for name, num_bytes, stream in _read_members(archive):
            num_images += 1
            if num_images > MAX_FILES:
                raise ArchiveError(f"{show_text(archive)} contains more than {MAX_FILES:,} images.")
            target = temporary.joinpath(*name.parts)
            if name in written:  # an updated archive holds old versions too: the last counts, as with unzip and tar
                target.unlink()
            written.add(name)
            _write_member(target, num_bytes, stream, archive)
        if not num_images:
            raise ArchiveError(f"The archive {show_text(archive)} contains no images.")
        rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _read_members(archive: Path) -> Iterator[tuple[PurePosixPath, int, IO[bytes]]]:
    """Yield name, unpacked size and content of every image in an archive, in its order."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                name = _clean_name(info.filename)
                if info.flag_bits & 1:
                    raise ArchiveError(f"The archive {show_text(archive)} is encrypted: unpack it and name the folder.")
                if name is not None and not info.is_dir():
                    with packed.open(info) as stream:
                        yield name, info.file_size, stream
        return
    with tarfile.open(archive, "r|*") as stream_packed:
        for member in stream_packed:
            name = _clean_name(member.name)
            content = stream_packed.extractfile(member) if name is not None and member.isreg() else None
            if name is not None and content is not None:
                yield name, member.size, content


def _clean_name(given: str) -> PurePosixPath | None:
    """Return a member's path; None if it is no image, is hidden, or would lead out of the folder."""
    path = PurePosixPath(given.replace("\\", "/"))
    parts = [part for part in path.parts if part != "."]
    unsafe = path.is_absolute() or any(
        part == ".." or "\0" in part or ":" in part or part.startswith(".") or part in IGNORED_FOLDERS for part in parts
    )
    return None if unsafe or path.suffix.lower() not in SUFFIXES else PurePosixPath(*parts)


def _write_member(target: Path, num_bytes: int, stream: IO[bytes], archive: Path) -> None:
    """Copy one member, up to its declared size, and only while the disk has room."""
    where = f"{show_text(archive)}: {show_text(target.name)}"
    if num_bytes > MAX_MEMBER_BYTES:
        raise ArchiveError(f"{where} unpacks to {num_bytes:,} bytes; at most {MAX_MEMBER_BYTES:,} are written.")
    target.parent.mkdir(parents=True, exist_ok=True)
    disk = shutil.disk_usage(target.parent)
    if disk.free - num_bytes < _LEFT_FREE * disk.total:
        raise ImageCacheError(
            f"{where}: the disk of {cache_folder()} is nearly full. Set {CACHE_VARIABLE} to a larger one."
        )
    num_left = num_bytes
    with target.open("xb") as file:
        while chunk := stream.read(min(_CHUNK_BYTES, num_left + 1)):
            num_left -= len(chunk)
            if num_left < 0:
                raise ArchiveError(f"{where} unpacks to more than the {num_bytes:,} bytes that the archive declares.")
            file.write(chunk)


def _enter_single(folder: Path) -> Path:
    """Return the folder itself, or the only folder in it if that holds folders too: many archives wrap all in one."""
    while True:
        inside = list(folder.iterdir())
        if len(inside) != 1 or not inside[0].is_dir() or not any(each.is_dir() for each in inside[0].iterdir()):
            return folder
        (folder,) = inside
