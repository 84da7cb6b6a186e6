"""Hostile versions of everything that bakeoff reads: each input must end in success or in one clear line.

    python benchmarks/hostile.py --studies 10000 --files 1000

Study files are drawn by hypothesis (a third valid, a third shipped ones with their text changed, a third attacks:
bombs, deep nesting, huge numbers, control characters, tags, wrong encodings). Files are every attack of
hostility/files.py, and sound data files, archives, images, manifests, weights, checkpoints, predictions and ledgers
with changed bytes. A child process reads them one after another with limits on memory and time. An input fails if it
ends in a traceback, an unclear message, a timeout, the child's death, or if its code is run.

The exit status is 0 if none fails, else 1. The table and the facts go to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hostility.files import encode_image, make_files, make_workspace
from hostility.studies import draw_studies
from machine import describe_machine, name_machine

HERE = Path(__file__).resolve().parent
GOOD = ("success", "refused")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=300, help="study files (default %(default)s)")
    parser.add_argument("--files", type=int, default=200, help="other files, attacks included (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit per input (default %(default)s)")
    parser.add_argument("--memory", type=int, default=6144, help="MiB of address space (default %(default)s)")
    parser.add_argument("--save", action="store_true", help="write the result to benchmarks/results/")
    return parser.parse_args()


class Child:
    """The reading process; restarted when it dies.

    Args:
        memory_mib: limit of its address space.
        seconds: time limit per input.
    """

    def __init__(self, memory_mib: int, seconds: float) -> None:
        self._memory_mib, self._seconds = memory_mib, seconds
        self._process: subprocess.Popen[str] | None = None

    def judge(self, kind: str, path: Path) -> dict[str, Any]:
        """Let it read one input; return the outcome."""
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"kind": kind, "path": str(path)}) + "\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], self._seconds)[0]:
            self.close()
            return {"outcome": "too late", "detail": "", "seconds": self._seconds, "peak_mib": 0}
        answer = process.stdout.readline()
        if not answer:
            status = process.wait()
            self._process = None
            return {"outcome": f"died ({status})", "detail": "", "seconds": 0.0, "peak_mib": 0}
        found: dict[str, Any] = json.loads(answer)
        return found

    def _start(self) -> subprocess.Popen[str]:
        paths = [str(HERE), str(HERE.parent / "src"), os.environ.get("PYTHONPATH", "")]
        # One arena: the address space of many would count as memory.
        one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "hostility.child", str(self._memory_mib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **one, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def place_inputs(arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[str, str, Path, bytes]]:
    """Write one input after another to its place; yield kind, how it was made, its path and its content."""
    study = folder / "study" / "study.yaml"
    study.parent.mkdir()
    for each in draw_studies(arguments.studies, arguments.seed) if arguments.studies else ():
        study.write_bytes(each.content)
        yield "study", each.kind, study, each.content
    if not arguments.files:
        return
    ledger = make_workspace(folder / "workspace")
    for number, file in enumerate(make_files(arguments.files, arguments.seed, ledger, folder)):
        path = _place(file.kind, file.name, folder, number)
        path.write_bytes(file.content)
        yield file.kind, file.how, path, file.content
        if path.parent != folder / "workspace":
            shutil.rmtree(folder / f"input{number}")


def _place(kind: str, name: str, folder: Path, number: int) -> Path:
    """Return a file's path, and create what it needs: an image needs a class folder, a table needs images."""
    if kind == "ledger":
        for path in (folder / "workspace").glob("ledger.sqlite*"):
            path.unlink()
        return folder / "workspace" / name
    root = folder / f"input{number}"
    if kind in ("png", "jpeg", "gif", "tiff", "webp"):
        for class_name in ("cat", "dog"):
            (root / class_name).mkdir(parents=True)
            for position in range(5):
                (root / class_name / f"good{position}.png").write_bytes(encode_image("PNG"))
        return root / "cat" / name
    inside = root / "in"
    inside.mkdir(parents=True)
    if kind in ("csv", "parquet"):
        for position in range(8):
            (inside / f"good{position}.png").write_bytes(encode_image("PNG"))
    return inside / name


def main() -> int:
    """Read every input, print the table, save the facts."""
    arguments = parse_arguments()
    started = time.monotonic()
    counts: dict[str, Counter[str]] = {}
    slowest: dict[str, float] = {}
    peaks: dict[str, int] = {}
    failures = []
    child = Child(arguments.memory, arguments.seconds)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["BAKEOFF_CACHE"] = str(folder / "cache")
        for kind, how, path, content in place_inputs(arguments, folder):
            found = child.judge(kind, path)
            row = f"study, {how}" if kind == "study" else kind
            counts.setdefault(row, Counter())[found["outcome"] if found["outcome"] in GOOD else "failed"] += 1
            slowest[row] = max(slowest.get(row, 0.0), found["seconds"])
            peaks[row] = max(peaks.get(row, 0), found["peak_mib"])
            if found["outcome"] not in GOOD:
                failures.append({"kind": kind, "how": how, "input": repr(content[:300]), **found})
                end = f"{found['outcome']}: {found['detail'][-600:]}"
                print(f"FAILED {kind} ({how}): {end} {content[:200]!r}", flush=True)
    child.close()
    seconds = time.monotonic() - started
    _print_table(counts, slowest, peaks, seconds)
    if arguments.save:
        _save(arguments, counts, slowest, peaks, seconds, failures)
    return 1 if failures else 0


def _print_table(
    counts: dict[str, Counter[str]], slowest: dict[str, float], peaks: dict[str, int], seconds: float
) -> None:
    print(f"{'input':<20} {'success':>8} {'refused':>8} {'failed':>8} {'slowest s':>10} {'peak MiB':>9}")
    for row, found in counts.items():
        ends = " ".join(f"{found[outcome]:>8}" for outcome in (*GOOD, "failed"))
        print(f"{row:<20} {ends} {slowest[row]:>10.2f} {peaks[row]:>9,}")
    total = sum(found.total() for found in counts.values())
    failed = sum(found["failed"] for found in counts.values())
    print(f"{total:,} inputs, {failed:,} failed; {seconds / 60:.1f} minutes")


def _save(
    arguments: argparse.Namespace,
    counts: dict[str, Counter[str]],
    slowest: dict[str, float],
    peaks: dict[str, int],
    seconds: float,
    failures: list[dict[str, Any]],
) -> None:
    facts = {
        "machine": describe_machine(),
        "arguments": {name: value for name, value in vars(arguments).items() if name != "save"},
        "counts": counts,
        "slowest_seconds": slowest,
        "peak_mib": peaks,
        "seconds": round(seconds, 1),
        "failures": failures,
    }
    path = HERE / "results" / f"hostile-{name_machine()}.json"
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    sys.exit(main())
