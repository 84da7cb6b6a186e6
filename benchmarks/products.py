"""Measures the CPU's peak with large matrix products, in one process or several at once.

    python benchmarks/products.py          prints the peak of one core and of all cores

Other benchmarks use this as a reference. Every process has one thread, like bakeoff's workers; all warm up, then start
together.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from contenders.common import count_cores

HERE = Path(__file__).resolve().parent
SIZES = (256, 512, 1024, 2048)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def measure_here(dtype: str, size: int, seconds: float) -> float:
    """Return the floating-point operations per second of square products, one thread."""
    left, right = (torch.randn(size, size).to(DTYPES[dtype]) for _ in range(2))
    result = torch.empty(size, size, dtype=DTYPES[dtype])
    num_products, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        torch.mm(left, right, out=result)
        num_products += 1
    return 2 * size**3 * num_products / elapsed


def measure_together(dtype: str, size: int, num_processes: int, seconds: float = 1.0) -> float:
    """Return the total rate of several processes at the same time."""
    job = json.dumps({"dtype": dtype, "size": size, "seconds": seconds})
    command = [sys.executable, str(HERE / "products.py"), job]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(num_processes)
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    return sum(float(child.communicate()[0]) for child in children)


def find_peak(dtype: str, num_processes: int, seconds: float = 1.0) -> dict[str, float]:
    """Return the best over sizes: `size`, and `operations_per_second` of all processes together."""
    reached = {size: measure_together(dtype, size, num_processes, seconds) for size in SIZES}
    best = max(reached, key=lambda size: reached[size])
    return {"size": best, "operations_per_second": reached[best]}


def main() -> None:
    """Print peaks; with a product as argument, be one of the processes that measure it."""
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        job = json.loads(sys.argv[1])
        measure_here(job["dtype"], job["size"], job["seconds"] / 4)
        print("ready", flush=True)
        sys.stdin.readline()
        print(measure_here(**job))
        return
    for dtype in DTYPES:
        for num_processes in sorted({1, count_cores()}):
            peak = find_peak(dtype, num_processes)
            rate = peak["operations_per_second"] / 1e9
            print(f"{dtype}, {num_processes} at once: {rate:,.0f} GFLOP/s at {peak['size']:.0f} x {peak['size']:.0f}")


if __name__ == "__main__":
    main()
