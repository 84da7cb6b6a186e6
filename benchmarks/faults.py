"""The fault campaign: studies are killed repeatedly, and must end with bit-identical results.

    python benchmarks/faults.py
    python benchmarks/faults.py --only "ray node=10" --studies grid

Every study is run once undisturbed. Then it is run repeatedly in fresh workspaces, with one kind of fault at a time, at
random moments, until each kind has had its number of faults: SIGKILL of the driver, alone or with its workers, after
which the same command resumes; of single workers; workers suspended briefly; workers suspended for good, which the
watchdog must find (its patience is reduced to seconds); and on a Ray cluster of this machine, whose nodes are
processes, the same for drivers and actors, and nodes that die with everything on them while others join.

Before and after every fault the ledger is read: no recorded epoch, finished trial or final-test result may be lost. At
the end of every run its ledger is compared with the undisturbed one number by number, weights and predictions byte by
byte, and also the resulting verdicts and ensembles; no epoch may have been trained twice. The exit status is 0 if all
of this holds, else 1. The table and every fault go to benchmarks/results/."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

from fault_kinds import KINDS, Run, start
from fault_ledgers import Settling, compare, count, hold
from fault_studies import STUDIES, write_study
from kills import describe_versions
from machine import describe_machine, name_machine

HERE = Path(__file__).resolve().parent
NUMBERS = {
    "driver": 140,
    "worker": 90,
    "suspended worker": 20,
    "stuck worker": 6,
    "ray driver": 16,
    "ray actor": 30,
    "ray node": 8,
}
"""Faults of each kind in the whole campaign."""


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = "; ".join(f"{kind} {number}" for kind, number in NUMBERS.items())
    parser.add_argument(
        "--only", action="append", metavar="KIND=NUMBER", help=f"only these kinds; repeatable (default: {kinds})"
    )
    parser.add_argument("--studies", nargs="+", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--epochs", type=int, default=40, help="of every trial (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments (default %(default)s)")
    parser.add_argument("--output", type=Path, help="the JSON file (default: benchmarks/results/faults-MACHINE.json)")
    return parser.parse_args()


def main() -> int:
    """Run the campaign, print the table, save everything."""
    options = parse_arguments()
    numbers = NUMBERS if options.only is None else read_numbers(options.only)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), options.studies, options.epochs, random.Random(options.seed))
        local = {kind: number for kind, number in numbers.items() if not kind.startswith("ray")}
        for kind, number in local.items():
            campaign.inflict(kind, number)
        if len(local) < len(numbers):
            with make_cluster() as cluster:
                for kind in (each for each in numbers if each not in local):
                    campaign.inflict(kind, numbers[kind], cluster)
    result = {
        "epochs": options.epochs,
        "seed": options.seed,
        "machine": describe_machine(),
        "versions": describe_versions(),
        "seconds": round(time.monotonic() - started, 1),
        "undisturbed_seconds": campaign.whole_seconds,
        "summary": summarize(campaign.faults, campaign.runs),
        "faults": campaign.faults,
        "runs": campaign.runs,
    }
    print_table(result)
    path = options.output or HERE / "results" / f"faults-{name_machine()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    say(f"saved to {path}")
    return 0 if all(row["is_sound"] for row in result["summary"]) else 1


def read_numbers(given: list[str]) -> dict[str, int]:
    """Read `KIND=NUMBER` texts."""
    pairs = [text.partition("=") for text in given]
    unknown = [kind for kind, _, _ in pairs if kind not in KINDS]
    if unknown:
        raise SystemExit(f"no kind '{unknown[0]}'. There are: {', '.join(KINDS)}")
    return {kind: int(number or NUMBERS[kind]) for kind, _, number in pairs}


class Campaign:
    """The faults so far, and the runs that had them.

    Attributes:
        whole_seconds: duration of each study without faults.
        faults: every fault: kind, study, moment, the number of recorded rows, and of lost ones.
        runs: every run's comparison with the undisturbed one.
    """

    def __init__(self, folder: Path, studies: list[str], num_epochs: int, draw: random.Random) -> None:
        self._folder, self._draw = folder, draw
        self.faults: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.whole_seconds: dict[str, float] = {}
        for name in studies:
            self._study(name).write_text(write_study(name, num_epochs))
            began = time.monotonic()
            finish(self._study(name), folder / name)
            self.whole_seconds[name] = round(time.monotonic() - began, 2)
            say(f"{name}: {count(folder / name, 'epochs')} epochs undisturbed in {self.whole_seconds[name]} s")

    def inflict(self, kind: str, number: int, cluster: Any = None) -> None:
        """Cause a number of faults of one kind, in each study."""
        left = number
        for round_number, name in enumerate(cycle(self.whole_seconds), 1):
            if left <= 0:
                return
            share = -(-number // len(self.whole_seconds))
            workspace = self._folder / f"{kind} {round_number}"
            left -= self._run_under(kind, name, workspace, min(left, share), cluster)

    def _run_under(self, kind: str, name: str, workspace: Path, most: int, cluster: Any) -> int:
        """Run a study to its end with at most this many faults; return their number."""
        began, num_before = time.monotonic(), len(self.faults)
        address = None if cluster is None else cluster.address
        done = False
        while not done:
            process = start(self._study(name), workspace, kind, address)
            run = Run(process, workspace, self.whole_seconds[name], self._draw, Settling(workspace), cluster)
            while not run.has_ended() and len(self.faults) - num_before < most:
                self._strike(kind, name, run)
            done = process.wait() != -signal.SIGKILL
        if process.returncode:
            log = (workspace / "driver.log").read_text(errors="replace").splitlines()[-5:]
            raise SystemExit(f"{name}, {kind}: exit status {process.returncode}: {' / '.join(log)}")
        num_faults = len(self.faults) - num_before
        compared = compare(self._folder / name, workspace)
        seconds = round(time.monotonic() - began, 2)
        self.runs.append({"kind": kind, "study": name, "faults": num_faults, "seconds": seconds, **compared})
        say(f"{kind}, {name}: {num_faults} faults in {seconds} s, {'equal' if compared['equal'] else 'NOT EQUAL'}")
        return num_faults

    def _strike(self, kind: str, name: str, run: Run) -> None:
        """Cause one fault, and read the ledger before and after."""
        seen, began = hold(run.workspace), time.monotonic()
        moment = KINDS[kind](run)
        if moment is None:
            run.process.wait()  # it is past the moments of this kind
            return
        now = hold(run.workspace)
        self.faults.append(
            {
                "kind": kind,
                "study": name,
                "moment": moment,
                "seconds": round(time.monotonic() - began, 3),
                "on_record": {table: len(rows) for table, rows in now.items()},
                "lost": {table: len(rows - now[table]) for table, rows in seen.items()},
            }
        )

    def _study(self, name: str) -> Path:
        return self._folder / f"{name}.yaml"


def finish(study: Path, workspace: Path) -> None:
    """Run a study undisturbed."""
    process = start(study, workspace, "driver", None)
    if process.wait():
        raise SystemExit(f"{study.stem}: {(workspace / 'driver.log').read_text(errors='replace')}")


@contextmanager
def make_cluster() -> Iterator[Any]:
    """Start a Ray cluster on this machine: a head that trains nothing, and two nodes."""
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=2)
        yield cluster
    finally:
        cluster.shutdown()


def summarize(faults: list[dict[str, Any]], runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row per kind: faults, recorded rows, lost rows, and how the runs ended."""
    rows = []
    for kind in dict.fromkeys(run["kind"] for run in runs):
        own = [fault for fault in faults if fault["kind"] == kind]
        ended = [run for run in runs if run["kind"] == kind]
        row = {
            "kind": kind,
            "faults": len(own),
            "runs": len(ended),
            "epochs_on_record": sum(fault["on_record"]["epochs"] for fault in own),
            "lost": sum(sum(fault["lost"].values()) for fault in own),
            "trained_twice": sum(run["trained_twice"] for run in ended),
            "unequal": sum(not run["equal"] for run in ended),
        }
        rows.append({**row, "is_sound": not (row["lost"] or row["trained_twice"] or row["unequal"])})
    return rows


def print_table(result: dict[str, Any]) -> None:
    """Print the summary."""
    print(f"{'fault':<18}{'tries':>7}{'runs':>6}{'epochs on record':>18}{'lost':>6}{'trained twice':>15}{'unequal':>9}")
    for row in result["summary"]:
        numbers = f"{row['epochs_on_record']:>18,}{row['lost']:>6}{row['trained_twice']:>15}{row['unequal']:>9}"
        print(f"{row['kind']:<18}{row['faults']:>7}{row['runs']:>6}{numbers}")
    print(f"{sum(row['faults'] for row in result['summary'])} faults in {result['seconds'] / 60:.1f} minutes")


def say(message: str) -> None:
    """Print progress to stderr."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
