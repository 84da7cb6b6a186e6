"""A study that is killed repeatedly must end with exactly the numbers of an uninterrupted one.

    python benchmarks/kills.py
    python benchmarks/kills.py --study weight-init --set blocks.0=[mnist] --set blocks.1=[lenet] --set replicates=2 \\
        --set recipe.epochs=6 --set numeric=bfloat16 --data-dir DIR

The study is run once without interruption. Then it is run again and its whole process group is killed (SIGKILL) at
different moments: during start-up, at epochs spread over the whole training, while a checkpoint is being written, and
in the final test; each time the same command resumes. At the end both ledgers are compared number by number (every
trial's metrics, every epoch's training and validation values, every final-test result), and the weights and
predictions on disk bit by bit. No epoch recorded before a kill may be missing after it, and none may have been trained
twice.

The study must name its numeric mode, because a probe could choose differently in the two runs. The exit status is 0 if
everything is equal, else 1. The table and the facts go to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from machine import describe_machine, name_machine

import bakeoff
from bakeoff.workspace import Folders, load_predictions

HERE = Path(__file__).resolve().parent
CUT_DOWN = ("recipe.epochs=6", "numeric=float32")
"""Overrides that make the default study small."""

NUMBERS = {
    "trials": "SELECT id, state, reason, num_epochs, best_epoch, stop, num_parameters, metrics, content FROM trials",
    "epochs": "SELECT trial_id, epoch, train, validation FROM epochs",
    "final-test results": "SELECT trial_id, metrics, fingerprint FROM exam_results",
    "placements": "SELECT position, trial_id, block, arm, replicate FROM placements",
}
"""Queries for everything in a ledger except times, machines and durations. Numbers are JSON with all digits."""

Rows = set[tuple[Any, ...]]
Moment = Callable[[], bool]
"""Returns whether the moment has come; called repeatedly."""

MakeMoment = Callable[[Path], Moment]
"""Makes a moment for the next run in a workspace."""


@dataclass(frozen=True)
class Kill:
    """One kill, and the ledger's counts at that time."""

    moment: str
    seconds: float
    epochs: int
    trials: int
    tested: int
    lost_epochs: int


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="quickstart", help="a study file or a shipped study (default %(default)s)")
    parser.add_argument("--set", dest="overrides", action="append", metavar="PATH=VALUE", help="as for bakeoff run")
    parser.add_argument("--kills", type=int, default=10, help="how often (default %(default)s)")
    parser.add_argument("--workers", type=int, help="worker processes; by default one per core")
    parser.add_argument("--data-dir", type=Path, help="where to look for images first")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments (default %(default)s)")
    parser.add_argument(
        "--output", type=Path, help="the JSON file (default: benchmarks/results/kills-STUDY-MACHINE.json)"
    )
    return parser.parse_args()


def main() -> int:
    """Run the study twice, compare, print, save."""
    options = parse_arguments()
    overrides = options.overrides or list(CUT_DOWN)
    if not any(text.startswith("numeric=") and text != "numeric=auto" for text in overrides):
        raise SystemExit("name the numeric mode: --set numeric=float32 or --set numeric=bfloat16")
    command = [sys.executable, "-m", "bakeoff", "run", options.study, "--json"]
    command += [part for text in overrides for part in ("--set", text)]
    command += ["--workers", str(options.workers)] if options.workers else []
    command += ["--data-dir", str(options.data_dir)] if options.data_dir else []
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        whole_seconds = finish(command, whole)
        say(f"uninterrupted: {count(whole, 'epochs')} epochs in {whole_seconds:.1f} s")
        kills = kill_often(command, killed, count(whole, "epochs"), whole_seconds, options)
        last_seconds = finish(command, killed)
        result = {
            "study": options.study,
            "overrides": overrides,
            "machine": describe_machine(),
            "versions": describe_versions(),
            "uninterrupted_seconds": round(whole_seconds, 2),
            "killed_seconds": round(sum(kill.seconds for kill in kills) + last_seconds, 2),
            "kills": [asdict(kill) for kill in kills],
            **compare(whole, killed),
        }
    print_result(result)
    name = f"kills-{Path(options.study).stem}-{name_machine()}.json"
    path = options.output or HERE / "results" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    say(f"saved to {path}")
    return 0 if result["equal"] else 1


def start(command: list[str], workspace: Path) -> subprocess.Popen[bytes]:
    """Start a run as the leader of its own process group."""
    return subprocess.Popen(
        [*command, "--workspace", str(workspace)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def finish(command: list[str], workspace: Path) -> float:
    """Run to the end; return the seconds it took."""
    started = time.monotonic()
    with start(command, workspace) as process:
        process.wait()
    if process.returncode:
        raise SystemExit(f"the run ended with exit status {process.returncode}; see {' '.join(command)}")
    return time.monotonic() - started


def kill_often(
    command: list[str], workspace: Path, num_epochs: int, whole_seconds: float, options: argparse.Namespace
) -> list[Kill]:
    """Kill the study at each moment, and check after each kill that no recorded epoch was lost."""
    kills: list[Kill] = []
    kept: Rows = set()
    for name, make_moment in choose_moments(options.kills, num_epochs, whole_seconds, random.Random(options.seed)):
        started = time.monotonic()
        moment = make_moment(workspace)
        with start(command, workspace) as process:
            while not moment() and process.poll() is None:
                time.sleep(0.0005)  # not longer: a checkpoint is written within milliseconds
            reached = process.poll() is None
            if reached:
                os.killpg(process.pid, signal.SIGKILL)
        if not reached:
            raise SystemExit(f"the run ended before the moment '{name}' came: give the study more epochs")
        now = read(workspace, "SELECT trial_id, epoch, train, validation FROM epochs")
        kills.append(
            Kill(
                moment=name,
                seconds=round(time.monotonic() - started, 2),
                epochs=len(now),
                trials=count(workspace, "trials"),
                tested=count(workspace, "exam_results"),
                lost_epochs=len(kept - now),
            )
        )
        kept = now
        say(f"kill {len(kills)}, {name}: {len(now)} epochs on record")
    return kills


def choose_moments(
    num_kills: int, num_epochs: int, whole_seconds: float, draw: random.Random
) -> list[tuple[str, MakeMoment]]:
    """Return moments in order: a fifth during start-up, one in the final test, the rest in between."""
    num_early = max(1, num_kills // 5)
    num_between = max(0, num_kills - num_early - 1)
    moments: list[tuple[str, MakeMoment]] = []
    for _ in range(num_early):
        pause = draw.uniform(0.05, min(3.0, 0.2 * whole_seconds))
        moments.append((f"start-up, after {pause:.2f} s", after_pause(pause)))
    for number in range(num_between):
        target = max(1, round(0.9 * num_epochs * (number + draw.uniform(0.2, 0.8)) / num_between))
        if number % 3 == 1:
            moments.append((f"writing a checkpoint, epoch {target} of {num_epochs}", at_writing(target)))
        else:
            pause = draw.uniform(0.0, 0.5 * whole_seconds / num_epochs)
            name = f"training, {pause:.2f} s after epoch {target} of {num_epochs}"
            moments.append((name, at_epoch(target, pause)))
    return [*moments, ("final test", at_final_test)][:num_kills]


def after_pause(seconds: float) -> MakeMoment:
    """Return the moment some time after its first call."""

    def make(workspace: Path) -> Moment:
        asked: list[float] = []

        def moment() -> bool:
            asked.append(time.monotonic())
            del asked[1:-1]
            return asked[-1] - asked[0] >= seconds

        return moment

    return make


def at_epoch(number: int, pause: float) -> MakeMoment:
    """Return the moment `pause` seconds after `number` epochs are recorded, at least one of them in this run."""

    def make(workspace: Path) -> Moment:
        target = max(number, count(workspace, "epochs") + 1)
        then = after_pause(pause)(workspace)
        return lambda: count(workspace, "epochs") >= target and then()

    return make


def at_writing(number: int) -> MakeMoment:
    """Return the moment when a checkpoint is being written, after this many epochs."""

    def make(workspace: Path) -> Moment:
        reached = at_epoch(number, 0.0)(workspace)
        done: list[bool] = []

        def moment() -> bool:
            if not done and reached():
                done.append(True)
            return bool(done) and any(name.endswith(".part") for name in os.listdir(workspace / "cohorts"))

        return moment

    return make


def at_final_test(workspace: Path) -> Moment:
    """Return the moment when the test split is opened in this run."""
    before = count(workspace, "exams")
    return lambda: count(workspace, "exams") > before


def read(workspace: Path, query: str) -> Rows:
    """Return rows of a ledger; none if there is no ledger yet."""
    path = Folders(workspace).ledger
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            return set(connection.execute(query))
    except sqlite3.OperationalError:
        return set()


def count(workspace: Path, table: str) -> int:
    """Return the number of rows of a table; 0 if there is no ledger yet."""
    return int(next(iter(read(workspace, f"SELECT COUNT(*) FROM {table}")), (0,))[0])


def compare(whole: Path, killed: Path) -> dict[str, Any]:
    """Compare two workspaces; return counts of compared and of differing items."""
    compared: dict[str, dict[str, int]] = {}
    for name, query in NUMBERS.items():
        one, other = read(whole, query), read(killed, query)
        compared[name] = {"number": len(one), "different": len(one ^ other)}
    done = [row[0] for row in read(whole, "SELECT id FROM trials WHERE state = 'done'")]
    compared["weights"] = {
        "number": len(done),
        "different": sum(weights(whole, trial_id) != weights(killed, trial_id) for trial_id in done),
    }
    compared["predictions"] = {
        "number": 2 * len(done),
        "different": sum(
            predictions(whole, trial_id, split) != predictions(killed, trial_id, split)
            for trial_id in done
            for split in ("validation", "test")
        ),
    }
    trained = {row[0] for row in read(killed, "SELECT DISTINCT times_trained FROM epochs")}
    left = [str(path.relative_to(killed)) for path in killed.rglob("*.part")]
    left += [str(path.relative_to(killed)) for path in (killed / "cohorts").glob("*")]
    equal = not left and trained == {1} and not any(each["different"] for each in compared.values())
    return {"compared": compared, "times_trained": sorted(trained), "left_behind": left, "equal": equal}


def weights(workspace: Path, trial_id: str) -> bytes:
    """Return one trial's weights, byte by byte."""
    return Folders(workspace).weights(trial_id).read_bytes()


def predictions(workspace: Path, trial_id: str, split: str) -> dict[str, bytes]:
    """Return one trial's predictions, byte by byte."""
    arrays = load_predictions(Folders(workspace).predictions(trial_id, split))
    return {name: array.tobytes() for name, array in arrays.items()}


def describe_versions() -> dict[str, str]:
    """Return the versions that affect the numbers."""
    packages = {name: importlib.metadata.version(name) for name in ("torch", "numpy")}
    return {"bakeoff": bakeoff.__version__, "python": platform.python_version(), **packages}


def print_result(result: dict[str, Any]) -> None:
    """Print the kills and the comparison."""
    print(f"\n{'killed':<50}{'after s':>8}{'epochs':>8}{'trials':>8}{'tested':>10}{'epochs lost':>13}")
    for kill in result["kills"]:
        numbers = f"{kill['epochs']:>8}{kill['trials']:>8}{kill['tested']:>10}{kill['lost_epochs']:>13}"
        print(f"{kill['moment']:<50}{kill['seconds']:>8.2f}{numbers}")
    print(f"\n{'compared with the uninterrupted run':<50}{'number':>8}{'different':>11}")
    for name, each in result["compared"].items():
        print(f"{name:<50}{each['number']:>8}{each['different']:>11}")
    trained = ", ".join(map(str, result["times_trained"]))
    print(f"times an epoch was trained: {trained}; left behind: {', '.join(result['left_behind']) or 'nothing'}")
    print("equal" if result["equal"] else "NOT EQUAL")


def say(message: str) -> None:
    """Print progress to stderr."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
