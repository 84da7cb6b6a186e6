"""The fraction of the CPU's measured peak that training reaches.

    python benchmarks/peak.py --data-dir DIR

The peak is the best of several sizes of square matrix products, with one process per core and one thread each, in
float32 and in bfloat16. Training is bakeoff's, with one worker per core and nine fused arms: model-images per second of
training steps, times the operations per image: two for every multiply-add of the forward pass, of the weights'
gradient, and of the inputs' gradient, which the first layer does not need. Activations, pooling, normalization,
optimizers and loading of images do not count as operations, but their time counts. Peaks and raw samples go to
benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from contenders.common import ARMS, count_cores
from images import prepare_images
from machine import describe_machine, name_machine
from products import DTYPES, find_peak

from bakeoff.catalog.networks.shapes import trace
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.shape import trained_layers

HERE = Path(__file__).resolve().parent
NETWORKS = ("lenet", "modnet1", "modnet2", "mlp", "cnn", "vgg11", "resnet")
SHAPE_HWC = (32, 32, 3)
WORK = 4e12
"""Operations per sample: some ten seconds on all cores."""


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--data-dir", type=Path, help="where CIFAR-10 lies; else BAKEOFF_DATA or cache")
    parser.add_argument("--repeats", type=int, default=3, help="samples (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one sample")
    parser.add_argument("--output", type=Path, help="the JSON file (default: benchmarks/results/peak-MACHINE.json)")
    return parser.parse_args()


def main() -> None:
    """Measure, print, save."""
    options = parse_arguments()
    repeats = 1 if options.quick else options.repeats
    seconds = 0.2 if options.quick else 1.0
    result: dict[str, Any] = {"machine": describe_machine(), "batch_size": 32, "arms": len(ARMS)}
    result["peaks"] = {
        dtype: max(
            (find_peak(dtype, count_cores(), seconds) for _ in range(repeats)),
            key=lambda peak: peak["operations_per_second"],
        )
        for dtype in DTYPES
    }
    with tempfile.TemporaryDirectory() as folder:
        result["data"], job = prepare_images(options.data_dir, Path(folder))
        result["networks"] = {
            network: {
                dtype: measure(job, network, dtype, repeats, WORK / (10 if options.quick else 1)) for dtype in DTYPES
            }
            for network in options.networks
        }
    print_table(result)
    path = options.output or HERE / "results" / f"peak-{name_machine()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"saved to {path}", file=sys.stderr)


def count_operations(network: str) -> int:
    """Return the operations of one training step per image."""
    recipe = Recipe.model_validate({"network": network})
    shapes = trace(trained_layers(recipe, SHAPE_HWC, 10), SHAPE_HWC)
    total = sum(shape.num_multiply_adds for shape in shapes)
    first = next(shape.num_multiply_adds for shape in shapes if shape.num_multiply_adds)
    return 2 * (3 * total - first)


def measure(job: dict[str, Any], network: str, dtype: str, repeats: int, work: float) -> dict[str, Any]:
    """Return rates in model-images per second, and operations per second of their median."""
    operations = count_operations(network)
    images = min(20_000, max(1, round(work / operations / len(ARMS) / 640)) * 640)
    setting = {"numeric": dtype, "data_dir": job["data_dir"]}
    given = {"pixels": "", "labels": "", "network": network, "images_per_arm": images, "setting": setting}
    rates = [run(given) for _ in range(repeats)]
    print(f"{network} {dtype}: {statistics.median(rates):,.0f} model-images/s", file=sys.stderr, flush=True)
    return {"rates": rates, "operations_per_second": statistics.median(rates) * operations}


def run(given: dict[str, Any]) -> float:
    """Train with bakeoff in a fresh process; return its rate."""
    command = [sys.executable, "-m", "contenders.bakeoff_study", json.dumps(given)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stderr}\nfailed with exit status {done.returncode}")
    rate: float = json.loads(done.stdout.splitlines()[-1])["images_per_second"]
    return rate


def print_table(result: dict[str, Any]) -> None:
    """Print the peaks, and the fraction that every network reaches."""
    peaks = {dtype: peak["operations_per_second"] for dtype, peak in result["peaks"].items()}
    for dtype, peak in peaks.items():
        size = result["peaks"][dtype]["size"]
        at = f"{size:.0f} x {size:.0f}"
        print(f"peak in {dtype}, {count_cores()} cores: {peak / 1e9:,.0f} GFLOP/s (products of {at})")
    print(f"\n{'':<10}{'MFLOP/image':>12}" + "".join(f"{f'{dtype} GFLOP/s':>20}{'of peak':>10}" for dtype in DTYPES))
    for network, measured in result["networks"].items():
        cells = [
            f"{one['operations_per_second'] / 1e9:>20,.0f}{one['operations_per_second'] / peaks[dtype]:>10.1%}"
            for dtype, one in measured.items()
        ]
        print(f"{network:<10}{count_operations(network) / 1e6:>12,.1f}" + "".join(cells))


if __name__ == "__main__":
    main()
