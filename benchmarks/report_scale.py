"""Time, memory and size of a large study's report, for 1,000 trials of 100 epochs.

    python benchmarks/report_scale.py

Makes up the workspace of a finished study (10 arms, 5 blocks, 20 replicates; 10,000 images of 10 classes with stored
predictions) without training, then runs `bakeoff report --format html` on it in its own process, including start-up,
on two cores. Fails above 20 seconds, 1 GB of memory or a page of 15 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import describe_machine, name_machine
from synthetic import fill_workspace, make_study

HERE = Path(__file__).resolve().parent
MOST = {"seconds": 20.0, "peak_mb": 1_000.0, "page_mb": 15.0}
"""The limits of a report; MB are 10^6 bytes."""
NUM_CORES = 2


def main() -> int:
    """Make the workspace, measure, print, save; exit status 1 above a limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("arms", 10), ("blocks", 5), ("replicates", 20), ("epochs", 100), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=number, help="how many (default %(default)s)")
    parser.add_argument("--vote", action="store_true", help="with an ensemble of all arms, so all predictions are read")
    parser.add_argument("--keep", type=Path, help="a folder for the workspace; an existing one is reused")
    parser.add_argument("--output", type=Path, help="the JSON file (default: benchmarks/results/report-MACHINE.json)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workspace = options.keep or Path(temporary)
        if not (workspace / "ledger.sqlite").exists():
            study = make_study(options.arms, options.blocks, options.replicates, options.epochs, vote=options.vote)
            fill_workspace(workspace, study)
        samples = [measure(workspace) for _ in range(options.rounds)]
    medians = {name: statistics.median(sample[name] for sample in samples) for name in MOST}
    result = {
        "machine": describe_machine(),
        "cores_used": NUM_CORES,
        "versions": {name: version(name) for name in ("bakeoff", "numpy", "scipy", "plotly", "jinja2")},
        "options": {name: value for name, value in vars(options).items() if name not in ("keep", "output")},
        "trials": options.arms * options.blocks * options.replicates,
        "samples": samples,
        "medians": medians,
        "most": MOST,
    }
    path = options.output or HERE / "results" / f"report-{name_machine()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"medians of {len(samples)}: {', '.join(f'{k} {v:.1f} (at most {MOST[k]:g})' for k, v in medians.items())}")
    print(path)
    return 0 if all(medians[name] <= most for name, most in MOST.items()) else 1


def measure(workspace: Path) -> dict[str, Any]:
    """Make the report once, in its own process: seconds, peak memory, size of the page."""
    started = time.perf_counter()
    arguments = ["--report", str(workspace)]
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    found = json.loads(done.stdout.splitlines()[-1])
    sample = {"seconds": seconds, **found, "load": os.getloadavg()[0]}
    print(", ".join(f"{name} {value:.1f}" for name, value in sample.items()), flush=True)
    return sample


def make_report(workspace: str) -> None:
    """Run the command in this process, and print time and memory."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:NUM_CORES])
    from bakeoff.cli import main as run_command

    sys.argv[1:] = ["report", "scale", "--format", "html", "--workspace", workspace]
    status = run_command()
    if status != 0:
        raise SystemExit(status)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    page = next(Path(workspace).glob("reports/scale-*/report.html"))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "peak_mb": peak / 1e6,
        "page_mb": page.stat().st_size / 1e6,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--report"]:
        make_report(sys.argv[2])
    else:
        raise SystemExit(main())
