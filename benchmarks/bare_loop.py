"""The overhead of the engine: against a bare loop with the same fused arithmetic, and of many workers against one.

    python benchmarks/bare_loop.py --data-dir DIR

First, in one process with one thread and a worker's memory settings, three ways to train nine arms take turns: the
engine; a bare loop around its fused network; and a loop written by hand in torch's own functions (described in
contenders/bare.py). Rates are model-images per second of training steps. Then workers: bakeoff with one, and with one
per core, in turn. As a control, the same is measured for matrix products, which share nothing but the CPU. Medians and
raw samples go to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from contenders.common import count_cores
from images import prepare_images
from machine import describe_machine, name_machine
from products import DTYPES, measure_together

from bakeoff.driver.executors import local

HERE = Path(__file__).resolve().parent
IMAGES = {"lenet": 6_400, "modnet1": 1_600, "modnet2": 640}
"""Images per round and arm: a few seconds of work."""


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["lenet", "modnet1"], choices=list(IMAGES))
    parser.add_argument("--numeric", nargs="+", default=list(DTYPES), choices=list(DTYPES))
    parser.add_argument("--data-dir", type=Path, help="where CIFAR-10 lies; else BAKEOFF_DATA or cache")
    parser.add_argument("--rounds", type=int, default=9, help="timed turns of each way (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="samples per number of workers (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the images, two rounds, one sample")
    parser.add_argument("--output", type=Path, help="the JSON file (default: in benchmarks/results/)")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.repeats = 2, 1
    return options


def main() -> None:
    """Measure, print, save."""
    options = parse_arguments()
    result: dict[str, Any] = {"machine": describe_machine(), "batch_size": 32, "loops": {}, "workers": {}}
    with tempfile.TemporaryDirectory() as folder:
        result["data"], job = prepare_images(options.data_dir, Path(folder))
        for network in options.networks:
            for numeric in options.numeric:
                name = f"{network} {numeric}"
                result["loops"][name] = compare_loops({**job, "network": network}, numeric, options)
        print_loops(result["loops"])
        controls = measure_controls(options)
        for network in options.networks:
            result["workers"][network] = compare_workers({**job, "network": network}, options)
    result["controls"] = controls
    print_workers(result["workers"], controls)
    path = options.output or HERE / "results" / f"bare-loop-{name_machine()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"saved to {path}", file=sys.stderr)


def run(program: str, job: dict[str, Any], setting: dict[str, Any], images: int) -> dict[str, Any]:
    """Run a program of contenders/ in a fresh process with a worker's memory settings; return its output."""
    given = {name: value for name, value in job.items() if name != "data_dir"}
    given |= {"images_per_arm": images, "setting": {**setting, "data_dir": job["data_dir"]}}
    done = subprocess.run(
        [sys.executable, "-m", f"contenders.{program}", json.dumps(given)],
        cwd=HERE,
        env={**os.environ, **local.WORKER_ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{done.stderr}\n{program} failed with exit status {done.returncode}")
    sample: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return sample


def compare_loops(job: dict[str, Any], numeric: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the rates of the three loops in each round, and the engine's rate relative to the other two."""
    images = IMAGES[job["network"]] // (10 if options.quick else 1)
    sample = run("bare", job, {"numeric": numeric, "rounds": options.rounds}, images)
    rates = sample["processes"][0]["extra"]["rates"]
    # Interleaved, so that load on the machine slows all three.
    shares = {
        name: statistics.median(engine / other for engine, other in zip(rates["engine"], rates[name], strict=True))
        for name in rates
        if name != "engine"
    }
    return {"rates": rates, "engine_share_of": shares, "versions": sample["versions"]}


def print_loops(loops: dict[str, Any]) -> None:
    """Print the rates of the engine and the other two."""
    print(f"\n{'nine arms, one thread':<22}{'engine':>9}{'bare':>9}{'by hand':>9}{'of bare':>10}{'of by hand':>12}")
    for name, measured in loops.items():
        medians = "".join(f"{statistics.median(rates):>9,.0f}" for rates in measured["rates"].values())
        shares = measured["engine_share_of"]
        print(f"{name:<22}{medians}{shares['bare']:>10.1%}{shares['by hand']:>12.1%}")


def compare_workers(job: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Return the rates of one worker, and of one per core."""

    def measure(num_workers: int) -> float:
        # The images are those of each worker.
        images = IMAGES[job["network"]] // (10 if options.quick else 1) * num_workers
        rate: float = run("bakeoff_study", job, {"workers": num_workers}, images)["images_per_second"]
        return rate

    return compare_counts(measure, options.repeats)


def measure_controls(options: argparse.Namespace) -> dict[str, Any]:
    """Return the same for matrix products: small ones that stay in a core's own cache, and large ones."""
    controls = {}
    for dtype in DTYPES:
        for size in (256, 2048):

            def measure(num_processes: int, dtype: str = dtype, size: int = size) -> float:
                return measure_together(dtype, size, num_processes)

            controls[f"{dtype} products of {size} x {size}"] = compare_counts(measure, options.repeats)
    return controls


def compare_counts(measure: Callable[[int], float], repeats: int) -> dict[str, Any]:
    """Return samples of one process and of one per core, taken in turn, and the speed-up."""
    counts = (1, count_cores())
    rates: dict[int, list[float]] = {count: [] for count in counts}
    for repeat in range(repeats):
        for count in counts[:: 1 if repeat % 2 == 0 else -1]:
            rates[count].append(measure(count))
    pairs = zip(rates[counts[0]], rates[counts[-1]], strict=True)
    return {"rates": rates, "all_by_one": statistics.median(several / one for one, several in pairs)}


def print_workers(workers: dict[str, Any], controls: dict[str, Any]) -> None:
    """Print the speed-up of all cores over one process."""
    count = count_cores()
    print(f"\n{'':<34}{'1 process':>16}{f'{count} processes':>16}{'times':>8}")
    for name, measured in {**{f"bakeoff, {name}": one for name, one in workers.items()}, **controls}.items():
        medians: Sequence[float] = [statistics.median(rates) for rates in measured["rates"].values()]
        print(f"{name:<34}" + "".join(f"{rate:>16,.0f}" for rate in medians) + f"{measured['all_by_one']:>8.2f}")


if __name__ == "__main__":
    main()
