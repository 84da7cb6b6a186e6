"""Tags of studies, in one file of the workspace beside the ledger, which only runs write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from filelock import FileLock, Timeout

from bakeoff.errors import LedgerError, UnwritableError, WorkspaceError, WorkspaceInUseError, WorkspaceOptionError
from bakeoff.workspace import Folders, write_whole

_TAG = re.compile(r"[^\W_][\w.-]{0,39}")
_LOCK_SECONDS = 10.0


def check_tag(tag: str) -> str:
    """Return a tag.

    Raises:
        WorkspaceError: it is empty, too long or has other characters.
    """
    if not _TAG.fullmatch(tag):
        raise WorkspaceOptionError(
            f"tag {tag!r}: a tag has at most 40 letters, digits, '.', '_' and '-', and begins with a letter or digit."
        )
    return tag


def read_tags(folders: Folders) -> Mapping[str, tuple[str, ...]]:
    """Return the tags of every study that has some, sorted, by its id.

    Raises:
        WorkspaceError: the file is damaged or cannot be read.
    """
    try:
        found = json.loads(folders.tags.read_text("utf-8"))
        return {str(study): tuple(sorted(map(check_tag, tags))) for study, tags in found.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, TypeError, WorkspaceError) as error:
        raise LedgerError(f"{folders.tags}: not readable as tags; correct it, or delete it.") from error
    except OSError as error:
        raise LedgerError(f"{folders.tags}: cannot be read ({error.strerror or error}).") from error


def change_tags(folders: Folders, study_id: str, add: Iterable[str], remove: Iterable[str]) -> tuple[str, ...]:
    """Add tags to a study, take others away, and return those that it has then.

    Raises:
        WorkspaceError: a tag is not valid, or the workspace cannot be written.
    """
    added, removed = set(map(check_tag, add)), set(map(check_tag, remove))
    try:
        with FileLock(f"{folders.tags}.lock", timeout=_LOCK_SECONDS):
            tags = dict(read_tags(folders))
            tags[study_id] = tuple(sorted({*tags.get(study_id, ()), *added} - removed))
            kept = {study: list(own) for study, own in sorted(tags.items()) if own}
            text = json.dumps(kept, indent=2, ensure_ascii=False) + "\n"
            write_whole(folders.tags, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except Timeout as error:
        raise WorkspaceInUseError(f"{folders.tags}: another command holds its lock. Try again.") from error
    except OSError as error:
        raise UnwritableError(f"{folders.tags}: cannot be written ({error.strerror or error}).") from error
    return tags[study_id]
