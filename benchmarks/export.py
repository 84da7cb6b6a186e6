"""Times of putting a winner to work: `bakeoff predict` on many photos, and `bakeoff export` to every format.

    python benchmarks/export.py [--photos 1000] [--like FOLDER]

Makes JPEG photos of 2 megapixels (1,632 x 1,224), trains a small network on 64 x 64 pixels for one epoch, and times
the commands as a user runs them, each in a process of its own: wall time, and CPU time, which depends less on
what else runs. The result goes to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine, name_machine
from PIL import Image

from bakeoff.deploy.export.export import FORMATS

SIZE_WH = (1_632, 1_224)
STUDY = """question: How long does it take?
name: export
data: {{folder: {folder}, image_size: 64, validation: 0.25}}
recipe: {{network: {{name: cnn, filters: [16, 32], units: [64]}}, epochs: 1}}
arms: [{{optimizer: [adam, sgd]}}]
replicates: 1
numeric: float32
"""


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=1_000, help="photos to predict (default %(default)s)")
    parser.add_argument("--like", type=Path, help="enlarge the photos of this folder; default: smooth random ones")
    parser.add_argument("--output", type=Path, help="the JSON file (default: in benchmarks/results/)")
    return parser.parse_args()


def main() -> None:
    """Measure, print, save."""
    options = parse_arguments()
    result: dict[str, Any] = {"machine": describe_machine(), "photos": options.photos, "size_WH": SIZE_WH}
    with tempfile.TemporaryDirectory() as text:
        root = Path(text)
        for part, number in (("train/a", 20), ("train/b", 20), ("test/a", 5), ("test/b", 5), ("new", options.photos)):
            write_photos(root / "photos" / part if part != "new" else root / part, number, options.like)
        (root / "export.yaml").write_text(STUDY.format(folder=root / "photos"), "utf-8")
        run(root, "run", "export.yaml")
        before = measure_cpu_time()
        result["seconds_predict"] = run(root, "predict", "export", "new", "--csv")
        result["cpu_seconds_predict"] = measure_cpu_time() - before
        times = f"{result['seconds_predict']:.1f} s, {result['cpu_seconds_predict']:.1f} s of CPU time"
        print(f"predict {options.photos:,} photos: {times}", flush=True)
        result["seconds_export"] = {}
        for name in FORMATS[:4]:  # a network of layers has no file for timm or torchvision
            result["seconds_export"][name] = run(root, "export", "export", "--format", name, "--out", name)
            print(f"export to {name}: {result['seconds_export'][name]:.1f} s", flush=True)
    default = Path(__file__).parent / "results" / f"export-{name_machine()}.json"
    (options.output or default).write_text(json.dumps(result, indent=2) + "\n", "utf-8")


def write_photos(folder: Path, number: int, like: Path | None) -> None:
    """Write photos enlarged from a folder's, in turn, or smooth random ones, which compress as photographs do."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(number)
    originals = [] if like is None else sorted(like.rglob("*.jpg"))
    for count in range(number):
        if originals:
            small = Image.open(originals[count % len(originals)]).convert("RGB")
        else:
            small = Image.fromarray(generator.integers(0, 256, (102, 136, 3), dtype=np.uint8))
        small.resize(SIZE_WH, Image.Resampling.BICUBIC).save(folder / f"{count}.jpg", quality=90)


def measure_cpu_time() -> float:
    """Return the CPU seconds of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(folder: Path, *arguments: str) -> float:
    """Run a command of bakeoff in a folder; return its seconds.

    Raises:
        RuntimeError: it fails.
    """
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "bakeoff", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2_000:])
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
