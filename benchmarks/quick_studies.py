"""Runs and times the quick version of every shipped study: each should take minutes on two cores.

    python benchmarks/quick_studies.py --data-dir DIR --alnum DIR/alnum36
    python benchmarks/quick_studies.py --studies weight-init,cifar10-ensemble --imagenet

Real images are taken from the data directory. If CIFAR-100 is missing, it is made up in the publisher's binary format:
one prototype per class plus noise. Without --imagenet, weights are random and written in torchvision's format, so that
nothing is downloaded: times are the same, accuracies are not.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine, name_machine

from bakeoff.api import run
from bakeoff.data.locate import find_home
from bakeoff.data.registry import find_dataset
from bakeoff.study.load import list_shipped

HERE = Path(__file__).resolve().parent
PRETRAINED: Mapping[str, Mapping[str, str]] = {
    "cifar10-ablation": {"2.0": "mobilenet_v2", "3.1": "densenet121"},
    "cifar10-ensemble": {"2.4": "mobilenet_v2", "3.1": "densenet121"},
    "fashion-networks": {"_vgg16": "vgg16"},
    "fashion-transfer": {"_resnet50": "resnet50", "_inception": "inception_v3"},
}
"""Arms that start from published weights, and their networks."""

CIFAR100 = ("weight-init-tune", "weight-init-tuned")


def main() -> None:
    """Run the quick versions, print their times, save them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="where to look for images first")
    parser.add_argument("--alnum", type=Path, help="a folder of class folders, instead of EMNIST")
    parser.add_argument("--imagenet", action="store_true", help="download the real weights")
    parser.add_argument("--studies", help="names, joined by commas (default: all)")
    parser.add_argument("--workspace", type=Path, help="keep the ledger and the reports there")
    parser.add_argument("--output", type=Path, help="the JSON file (default: benchmarks/results/quick-MACHINE.json)")
    options = parser.parse_args()
    wanted = options.studies.split(",") if options.studies else [shipped.name for shipped in list_shipped()]
    with tempfile.TemporaryDirectory() as folder:
        timed = [measure(name, options, Path(folder)) for name in wanted]
    result = {
        "machine": describe_machine(),
        "versions": {name: version(name) for name in ("bakeoff", "torch", "torchvision", "numpy")},
        "options": {name: str(value) for name, value in vars(options).items()},
        "studies": timed,
    }
    path = options.output or HERE / "results" / f"quick-{name_machine()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"saved {path}")


def measure(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run one study's quick version; return its wall and CPU seconds, trials, load and scores."""
    overrides = [] if options.imagenet else list_weights(name, folder)
    if options.alnum is not None and name == "alnum-networks":
        overrides.append(f"data.folder={options.alnum.absolute()}")
    data_dir = options.data_dir
    if name in CIFAR100 and find_home(find_dataset("cifar100"), data_dir) is None:
        data_dir = make_cifar100(folder)
    workspace = (
        options.workspace or folder / "runs"
    ) / name  # in a shared one, studies would reuse each other's trials
    started, cpu_before = time.perf_counter(), read_cpu_seconds()
    result = run(name, overrides=overrides, quick=True, workspace=workspace, data_dir=data_dir)
    seconds, cpu_seconds = time.perf_counter() - started, read_cpu_seconds() - cpu_before
    report = result.report
    print(
        f"{name:20} {seconds:7.1f} s  {cpu_seconds:7.1f} CPU s  {report.num_done} of {report.num_planned} trials done",
        flush=True,
    )
    scores = {f"{arm.block}, {arm.arm}": arm.test.get("accuracy") for arm in result.summary.arms}
    return {
        "study": name,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "state": result.state,
        "trials": report.num_done,
        "load": os.getloadavg()[0],
        "test_accuracy": {arm: None if score is None else score.mean for arm, score in scores.items()},
    }


def read_cpu_seconds() -> float:
    """Return the CPU seconds of this process and of the workers it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def list_weights(name: str, folder: Path) -> list[str]:
    """Return overrides that make a study's pretrained arms use weights from files."""
    found = []
    for arm, network in PRETRAINED.get(name, {}).items():
        found.append(f"arms.0.{arm}.transfer.weights={{file: {write_weights(network, folder)}}}")
    return found


def write_weights(network: str, folder: Path) -> Path:
    """Write random weights of a torchvision network in torchvision's format, once."""
    import torch

    from bakeoff.engine.fused.vision import import_torchvision

    path = folder / f"{network}.pth"
    if not path.exists():
        torch.manual_seed(0)
        settings = {"init_weights": True} if network == "inception_v3" else {}
        torch.save(getattr(import_torchvision().models, network)(weights=None, **settings).state_dict(), path)
    return path


def make_cifar100(folder: Path) -> Path:
    """Write made-up images in the binary format of CIFAR-100 (coarse label, fine label, 3,072 pixels), once."""
    home = folder / "made-up"
    target = home / "cifar-100-binary"
    if not target.exists():
        target.mkdir(parents=True)
        rng = np.random.default_rng(0)
        prototypes = rng.integers(0, 256, (100, 3072), dtype=np.uint8)
        for name, number in (("train.bin", 50_000), ("test.bin", 10_000)):
            fine = np.arange(number) % 100
            pixels = prototypes[fine] // 2 + rng.integers(0, 128, (number, 3072), dtype=np.uint8)
            labels = np.stack([fine // 5, fine], axis=1).astype(np.uint8)
            (target / name).write_bytes(np.concatenate([labels, pixels], axis=1).tobytes())
    return home


if __name__ == "__main__":
    main()
