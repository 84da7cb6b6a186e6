"""All GPU measurements in one command: fused cohorts against networks one at a time and a plain loop.

    python benchmarks/gpu.py --data-dir DIR [--airbench airbench94.py]

Per network: the engine with cohorts of growing size (the nine initializers, then more replicates), the same engine with
one network at a time, and a plain DataLoader loop on the GPU with its best number of loader workers. Measured are
model-images trained per second, without evaluation, start-up and the first epoch, in which steps are recorded; `all in`
includes everything in later epochs: validation, metrics and checkpoints. Also measured: the effect of recording steps
and of deterministic kernels on the largest cohort, and the duration of the speed-run; with `--airbench`, a file of
https://github.com/KellerJordan/cifar10-airbench, that program runs on the same GPU in the same call.

`--quick` runs every part with few images; `--device cpu` runs without a GPU. Neither gives meaningful results.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contenders.common import ARMS
from contenders.dataloader import ArrayDataset, build_network, build_optimizer
from images import prepare_images
from machine import describe_machine
from torch import nn
from torch.utils.data import DataLoader

from bakeoff.catalog.recipe import Recipe
from bakeoff.data.source import DataSource
from bakeoff.data.store import Images, open_training
from bakeoff.driver.machine import describe_versions
from bakeoff.engine.cohort import train_cohort
from bakeoff.engine.device_context import CPU, DeviceContext, PlainCapture, find_context
from bakeoff.engine.fused.vision import import_torchvision
from bakeoff.messages import CohortTask, DataView, EpochDone, Event, Member, Numeric, TrialDone
from bakeoff.study.load import load_study
from bakeoff.study.plan import expand

HERE = Path(__file__).resolve().parent
NETWORKS: dict[str, Any] = {"lenet": "lenet", "modnet1": "modnet1", "modnet2": "modnet2", "resnet": "resnet"}
TARGETS = {"lenet": (15.0, 30.0), "modnet2": (2.4, 2.4), "resnet": (2.4, 2.4)}
"""Targets: speed-up over one network at a time, and over the DataLoader loop."""

LOADER_WORKERS = (0, 4, 8)
TIMED_EPOCHS = 3
QUICK_IMAGES = 1_000


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data-dir", type=Path, help="where CIFAR-10's binary version lies; else BAKEOFF_DATA or cache"
    )
    parser.add_argument("--device", default="cuda:0", help="as torch calls it (default %(default)s)")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--numeric", nargs="+", default=["bfloat16", "float32"], choices=["bfloat16", "float32"])
    parser.add_argument("--members", nargs="+", type=int, default=[1, 9, 18, 45, 63], help="cohort sizes, 1 or n x 9")
    parser.add_argument("--speedruns", type=int, default=5, help="runs of the speed-run (default %(default)s)")
    parser.add_argument("--airbench", type=Path, help="a program of cifar10-airbench, run beside the speed-run")
    parser.add_argument("--quick", action="store_true", help="few images: only to check that it runs")
    parser.add_argument("--output", type=Path, help="the JSON file (default: benchmarks/results/gpu-NAME.json)")
    return parser.parse_args()


def main() -> None:
    """Measure, print, save."""
    options = parse_arguments()
    context = open_context(options.device)
    gpu = context.describe()
    result: dict[str, Any] = {"machine": describe_machine(), "device": gpu, "versions": describe_versions()}
    with tempfile.TemporaryDirectory() as folder:
        result["data"], job = prepare_images(options.data_dir, Path(folder))
        images = open_training("cifar10", Path(job["data_dir"]))
        if options.quick:
            images = replace(images, pixels=images.pixels[:QUICK_IMAGES], labels=images.labels[:QUICK_IMAGES])
        result["networks"] = {
            name: measure_network(name, images, context, options, Path(folder)) for name in options.networks
        }
        result["speedrun"] = measure_speedrun(images, context, options, Path(folder))
    if options.airbench is not None:
        result["airbench"] = run_airbench(options.airbench)
    print_tables(result)
    name = re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")
    path = options.output or HERE / "results" / f"gpu-{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    say(f"saved to {path}")


def open_context(device: str) -> DeviceContext:
    """Return the device's context; a CPU is set up to use the GPU's code paths."""
    if device != "cpu":
        return find_context(device)
    torch.set_num_threads(1)
    return replace(CPU, prepared=True, capture=PlainCapture(), resident_bytes=2**31)


def measure_network(
    name: str, images: Images, context: DeviceContext, options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Return the rates of one network: by numeric mode and cohort size, of variants, and of the loop."""
    found: dict[str, Any] = {"cohorts": {}, "variants": {}, "loop": measure_loop(name, images, context, options.quick)}
    for numeric in options.numeric:
        for size in options.members:
            key = f"{numeric} {size}"
            found["cohorts"][key] = try_cohort(name, size, numeric, images, context, options, folder)
    size, numeric = max(options.members), options.numeric[0]
    found["variants"]["steps as they are"] = try_cohort(
        name, size, numeric, images, replace(context, capture=None), options, folder
    )
    with_any_kernel = {"torch": False, "cudnn": False}
    set_determinism(**with_any_kernel)
    found["variants"]["kernels of any order"] = try_cohort(name, size, numeric, images, context, options, folder)
    set_determinism(torch=True, cudnn=True)
    return found


def set_determinism(*, torch: bool, cudnn: bool) -> None:
    """Request deterministic kernels, or allow the fastest ones."""
    import torch as library

    library.use_deterministic_algorithms(torch, warn_only=True)
    library.backends.cudnn.deterministic, library.backends.cudnn.benchmark = cudnn, not cudnn


def try_cohort(
    name: str,
    size: int,
    numeric: Numeric,
    images: Images,
    context: DeviceContext,
    options: argparse.Namespace,
    folder: Path,
) -> dict[str, Any]:
    """Return a cohort's rates, or the reason why there are none."""
    try:
        found = measure_cohort(name, size, numeric, images, context, options, folder)
    except torch.OutOfMemoryError:
        found = {"failed": "too little memory"}
    if context.device.type == "cuda":
        found["gibibytes"] = round(torch.cuda.max_memory_allocated(context.device) / 2**30, 2)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(context.device)
    say(f"{name} {numeric}, {size} members: {found.get('images_per_second', 0):,.0f}")
    return found


def measure_cohort(
    name: str,
    size: int,
    numeric: Numeric,
    images: Images,
    context: DeviceContext,
    options: argparse.Namespace,
    folder: Path,
) -> dict[str, Any]:
    """Train a cohort; return model-images per second, of the steps alone and all in, as medians and samples."""
    epochs = 1 + (1 if options.quick else TIMED_EPOCHS)
    num_train = 640 if options.quick else 45_000 if size > 1 else 22_400
    views = [make_view(images, 1 - num_train / len(images.labels), seed) for seed in range(-(-size // len(ARMS)))]
    members = tuple(
        Member(trial_id=f"{arm} {seed}", recipe=make_recipe(name, arm, epochs), view=view)
        for seed, view in enumerate(views)
        for arm in ARMS
    )[:size]
    task = CohortTask(cohort_id=f"{name} {size}", label=name, members=members, data=views[0], numeric=numeric)
    with tempfile.TemporaryDirectory(dir=folder) as workspace:
        epochs_done = [event for event in train(task, images, Path(workspace), context) if isinstance(event, EpochDone)]
    firsts = [event for event in epochs_done if event.trial_id == members[0].trial_id and event.epoch > 1]
    rates = [event.images_per_second for event in firsts]
    all_in = [size * num_train / event.seconds for event in firsts]
    return {
        "images_per_second": statistics.median(rates),
        "all_in": statistics.median(all_in),
        "samples": rates,
        "last_loss": epochs_done[-1].train["loss"],
    }


def make_view(images: Images, validation: float, seed: int) -> DataView:
    """Return one replicate's view of CIFAR-10."""
    source = DataSource(name="cifar10")
    return DataView(source=source, validation=validation, fingerprint=images.fingerprint, seed=seed)


def make_recipe(name: str, arm: str, epochs: int) -> Recipe:
    """Return an arm's recipe, with the network's published optimizer."""
    optimizer: dict[str, Any] = {"name": "sgd", "learning_rate": 0.001, "momentum": 0.9}
    if name == "lenet":
        optimizer = {"name": "adam", "learning_rate": 0.001}
    batch_size = 128 if name == "resnet" else 32
    fields = {"network": NETWORKS[name], "initializer": arm, "optimizer": optimizer}
    return Recipe.model_validate({**fields, "batch_size": batch_size, "epochs": epochs})


def train(task: CohortTask, images: Images, workspace: Path, context: DeviceContext) -> list[Event]:
    """Train a cohort; return its events."""
    events: list[Event] = []
    train_cohort(task, images, workspace, events.append, context)
    return events


def measure_loop(name: str, images: Images, context: DeviceContext, quick: bool) -> dict[str, Any]:
    """Return the images per second of a DataLoader loop on the device: one network, float32, its best setting."""
    num_batches = 10 if quick else 400
    rates = {}
    for num_workers in LOADER_WORKERS[: 1 if quick else None]:
        rates[num_workers] = time_loop(name, images, context.device, num_workers, num_batches)
        say(f"{name} DataLoader loop, {num_workers} workers: {rates[num_workers]:,.0f}")
    return {"images_per_second": max(rates.values()), "by_workers": rates}


def time_loop(name: str, images: Images, device: torch.device, num_workers: int, num_batches: int) -> float:
    """Return images per second after a warm-up of a tenth."""
    batch_size = 128 if name == "resnet" else 32
    dataset = ArrayDataset(np.array(images.pixels), np.array(images.labels))
    loader = DataLoader(
        dataset, batch_size, shuffle=True, num_workers=num_workers, pin_memory=device.type == "cuda", drop_last=True
    )
    if name == "resnet":
        model: nn.Module = import_torchvision().models.resnet18(num_classes=10).to(device)
    else:
        model = build_network(name).to(device)
    optimizer = build_optimizer(name, model)  # type: ignore[arg-type]  # any module has parameters
    warm_up, started = num_batches // 10, 0.0
    for number, (pictures, labels) in enumerate(loader):
        if number == warm_up:
            wait(device)
            started = time.perf_counter()
        if number == warm_up + num_batches:
            break
        optimizer.zero_grad()
        outputs = model(pictures.to(device, non_blocking=True))
        loss = nn.functional.cross_entropy(outputs, labels.to(device, non_blocking=True))
        loss.backward()
        optimizer.step()
        loss.item()
    wait(device)
    return num_batches * batch_size / (time.perf_counter() - started)


def wait(device: torch.device) -> None:
    """Wait until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_speedrun(
    images: Images, context: DeviceContext, options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Return the seconds and accuracies of several speed-runs; the first one, a warm-up, is separate."""
    trial = next(trial for trial in expand(load_study("speedrun-cifar10")).trials if trial.arm == "full")
    recipe = trial.recipe.model_copy(update={"epochs": 1}) if options.quick else trial.recipe
    if options.quick and context.device.type == "cpu":
        recipe = recipe.model_copy(update={"batch_size": 100, "network": make_recipe("lenet", ARMS[0], 1).network})
    share = 0.5 if options.quick else 0.02
    seeds = range(1 + (1 if options.quick else options.speedruns))
    runs = [time_speedrun(recipe, make_view(images, share, seed), images, context, options, folder) for seed in seeds]
    sustained = [run["training_seconds"] for run in runs[1:]]
    return {"first": runs[0], "runs": runs[1:], "median_training_seconds": statistics.median(sustained)}


def time_speedrun(
    recipe: Recipe, view: DataView, images: Images, context: DeviceContext, options: argparse.Namespace, folder: Path
) -> dict[str, float]:
    """Return the wall seconds of one run with all evaluations, those of its training steps, and the accuracy."""
    numeric: Numeric = options.numeric[0]
    member = Member(trial_id=f"run {view.seed}", recipe=recipe)
    task = CohortTask(cohort_id="speedrun", label="speedrun", members=(member,), data=view, numeric=numeric)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as workspace:
        events = train(task, images, Path(workspace), context)
    seconds = time.perf_counter() - started
    num_train = round(len(images.labels) * (1 - float(view.validation)))
    training = sum(num_train / event.images_per_second for event in events if isinstance(event, EpochDone))
    done = next(event for event in events if isinstance(event, TrialDone))
    accuracy = done.metrics["validation"]["accuracy"]
    say(f"speed-run: {training:.2f} s of training, {seconds:.2f} s in all, accuracy {accuracy:.4f}")
    return {"seconds": seconds, "training_seconds": training, "accuracy": accuracy}


def run_airbench(program: Path) -> dict[str, Any]:
    """Run a program of cifar10-airbench; return its wall seconds and the end of its output: it times itself."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False)
    output = done.stdout[-8_000:] + done.stderr[-2_000:]
    return {"seconds": time.perf_counter() - started, "exit_status": done.returncode, "output": output}


def print_tables(result: dict[str, Any]) -> None:
    """Print the measurements and the targets."""
    print(f"\n{result['device']}: model-images trained per second")
    for name, found in result["networks"].items():
        print(f"\n{name:<10}{'':<24}{'steps':>12}{'all in':>12}")
        for key, cohort in {**found["cohorts"], **found["variants"]}.items():
            steps, all_in = cohort.get("images_per_second", 0.0), cohort.get("all_in", 0.0)
            print(f"{'':<10}{key:<24}{steps:>12,.0f}{all_in:>12,.0f}")
        print(f"{'':<10}{'DataLoader loop':<24}{found['loop']['images_per_second']:>12,.0f}")
        print_speedups(name, found)
    speedrun = result["speedrun"]
    print(f"\nspeed-run: {speedrun['median_training_seconds']:.2f} s of training, median of {len(speedrun['runs'])}")
    if "airbench" in result:
        print(f"airbench, {result['airbench']['seconds']:.1f} s in all, said:\n{result['airbench']['output'][-1_500:]}")


def print_speedups(name: str, found: dict[str, Any]) -> None:
    """Print the speed-up of the fastest cohort, and its target."""
    rates = {key: cohort.get("images_per_second", 0.0) for key, cohort in found["cohorts"].items()}
    alone = max((rate for key, rate in rates.items() if key.endswith(" 1")), default=0.0)
    best = max(rates.values())
    against: Sequence[tuple[str, float, Callable[[tuple[float, float]], float]]] = (
        ("one at a time", alone, lambda targets: targets[0]),
        ("the DataLoader loop", found["loop"]["images_per_second"], lambda targets: targets[1]),
    )
    for what, rate, pick in against:
        bar = f" (target: {pick(TARGETS[name])}x)" if name in TARGETS else ""
        if rate:
            print(f"{'':<10}{best / rate:.1f}x {what}{bar}")


def say(message: str) -> None:
    """Print progress to stderr."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
