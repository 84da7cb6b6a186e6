"""Checks every image of a folder or manifest, for `bakeoff data verify`, without storing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bakeoff.data.files import list_source, select_split
from bakeoff.data.listing import ImageFile
from bakeoff.data.parallel import map_in_order
from bakeoff.data.progress import ReadingProgress
from bakeoff.data.registry import Split
from bakeoff.data.source import DataSource, show_text

SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class FileCheck:
    """The result of checking one file, or the files of one split.

    Attributes:
        file: path, or the dataset's name for embedded images.
        check: `checksum` (against the published one) or `content` (structure, counts, label range).
        ok: whether it passed.
        detail: the checksum, the counts, or the problem and its remedy.
    """

    file: str
    check: str
    ok: bool
    detail: str


def verify_files(source: DataSource, data_dir: Path | None = None) -> list[FileCheck]:
    """Decode every image of a folder or manifest, including the test split, only to check that it can be read.

    Returns:
        One failed check for every file that cannot be read, then one result for every split.

    Raises:
        DataError: as in `list_source`.
    """
    # Every file is checked, also one that would be left out as a duplicate.
    listing = list_source(source.model_copy(update={"duplicates": "allow"}), data_dir)
    checks: list[FileCheck] = []
    for split in SPLITS:
        files, missing = select_split(listing, split)
        wrong = [(item.shown, item.reason) for item in missing] + _find_unreadable(files)
        checks += [FileCheck(file=show_text(name), check="content", ok=False, detail=why) for name, why in wrong]
        per_class = Counter(file.class_name for file in files)
        counts = [per_class[name] for name in listing.class_names]
        detail = f"{len(files):,} {split} images, {len(counts)} classes of {min(counts):,} to {max(counts):,}"
        where = f"{show_text(listing.root)} ({split})"
        remark = f"; {len(wrong):,} files cannot be read and are left out" if wrong else ""
        checks.append(FileCheck(file=where, check="content", ok=not wrong, detail=detail + remark))
    return checks


def _find_unreadable(files: Sequence[ImageFile]) -> list[tuple[str, str]]:
    """Return path and reason of every file that cannot be read."""
    # Imported late: Pillow is needed only here.
    from bakeoff.data.pictures import PictureError, read_picture, silence_pillow

    def find_problem(file: ImageFile) -> str:
        try:
            read_picture(file.path)
        except PictureError as error:
            return "empty" if file.num_bytes == 0 else str(error)
        return ""

    found, progress = [], ReadingProgress("checking", len(files))
    with silence_pillow():
        for number, (file, problem) in enumerate(zip(files, map_in_order(find_problem, files), strict=True), start=1):
            progress.show(number)
            if problem:
                found.append((file.shown, problem))
    return found
