"""Reads what it is told to, one input after another, with little memory, and says how each one ended.

Started by hostile.py. Command line: the most memory (MiB of address space). A line of JSON in, a line of JSON out.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from hostility.files import CIFAR_BYTES, CIFAR_MEMBER, MEMBER, SHAPE, WORKSPACE_STUDY

from bakeoff import cli
from bakeoff.data.cifar import read_archive
from bakeoff.data.idx import read_idx, read_zipped_idx
from bakeoff.data.manifest import list_manifest
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_training
from bakeoff.engine.checkpoint import load_checkpoint
from bakeoff.engine.weight_files import read_weights_file
from bakeoff.errors import BakeoffError
from bakeoff.ledger.store import Ledger
from bakeoff.workspace import Folders, load_predictions

MAX_CHARACTERS = 2_000
"""Of one line of a message."""


def read_study(path: Path) -> None:
    """Plan a study, as the command does."""
    _call("plan", path.name, "--no-probe")


def read_ledger(path: Path) -> None:
    """Do all that looks at a workspace, then open it as a run does."""
    refused = []
    for words in (("status",), ("report", WORKSPACE_STUDY), ("doctor",), ("gc", "--dry-run")):
        try:
            _call(*words, "--workspace", str(path.parent))
        except BakeoffError as error:
            refused.append(error)
    Ledger(Folders(path.parent)).close()
    if refused:
        raise refused[-1]


def _call(*words: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    given = mock.patch.object(sys, "argv", ["bakeoff", *words])
    with given, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main()
    for line in out.getvalue().split("\n"):
        if not line.isprintable():
            raise AssertionError(f"it printed {line[:200]!r}")
    if status not in (0, 1, 2):
        raise AssertionError(f"exit status {status}")
    if status == 2:
        raise BakeoffError(err.getvalue().rstrip("\n").replace("error: ", ""))


def read_picture(path: Path) -> None:
    """Open the image folder around an image."""
    open_training(DataSource(folder=str(path.parent.parent), image_size=16, test=0.2))


READERS: dict[str, Callable[[Path], object]] = {
    "study": read_study,
    "ledger": read_ledger,
    "idx": lambda path: read_idx(path, SHAPE),
    "idx.gz": lambda path: read_idx(path, SHAPE),
    "zip": lambda path: read_zipped_idx(path, MEMBER, SHAPE),
    "tar": lambda path: read_archive(path, [CIFAR_MEMBER], CIFAR_BYTES),
    "csv": list_manifest,
    "parquet": list_manifest,
    "safetensors": read_weights_file,
    "pt": read_weights_file,
    "legacy pt": read_weights_file,
    "checkpoint": load_checkpoint,
    "predictions": load_predictions,
    **dict.fromkeys(("png", "jpeg", "gif", "tiff", "webp"), read_picture),
}


def judge(kind: str, path: Path) -> dict[str, object]:
    """Read one input; return how it ended: success, refused, or what is wrong with how it was refused."""
    started = time.monotonic()
    # The peak begins anew with each input.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    detail = ""
    try:
        READERS[kind](path)
        outcome = "success"
    except BakeoffError as error:
        detail = str(error)
        outcome = "refused" if not (fault := _find_fault(detail, kind, path)) else f"unclear: {fault}"
    except BaseException:
        outcome, detail = "traceback", traceback.format_exc()[-1500:]
    if Path("PWNED").exists():
        outcome = "code ran"
    peak = _measure_peak()
    seconds = round(time.monotonic() - started, 3)
    return {"outcome": outcome, "detail": detail[:1500], "seconds": seconds, "peak_mib": peak}


def _measure_peak() -> int:
    """Return the most memory used since the peak was set back (MiB); where that cannot be told, since the start."""
    try:
        found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    except OSError:
        found = None
    return int(found[1]) // 1024 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _find_fault(message: str, kind: str, path: Path) -> str:
    """Return what is wrong with a message; empty where it is a clear line, or of a study one line a problem."""
    lines = message.split("\n")
    if not all(line.isprintable() and 0 < len(line) <= MAX_CHARACTERS for line in lines):
        return "a line that cannot be printed, is empty, or is long"
    if kind == "study":
        return "" if all(line.startswith((path.name, "and ")) for line in lines) else "a line that names no place"
    culprits = {"ledger": ("ledger", str(path.parent), "study '")}.get(kind, (path.name, path.parent.parent.name))
    if len(lines) > 1:
        return "several lines"
    return "" if any(culprit in message for culprit in culprits) else "it does not name the file"


def main() -> None:
    """Serve until the input ends."""
    limit = int(sys.argv[1]) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        task = json.loads(line)
        path = Path(task["path"])
        os.chdir(path.parent)
        print(json.dumps(judge(task["kind"], path)), file=answers, flush=True)


if __name__ == "__main__":
    main()
