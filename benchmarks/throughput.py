"""Images trained per second on all cores: bakeoff against the alternatives.

    python benchmarks/throughput.py --data-dir DIR --keras-python PATH --lightning-python PATH
    python benchmarks/throughput.py --data-dir DIR --augment          crop, flip and rotation, by torchvision elsewhere
    python benchmarks/throughput.py --quick                           a first look: few images, one sample each

Nine arms (the nine initializers) of one network, CIFAR-10's shapes, batch 32. First every contender tries its settings
briefly and keeps the fastest; then all contenders run in turn, `--repeats` times, each time in fresh processes and in
a different order. The unit is a model-image: one image that one model is trained on. Start-up, compilation, warm-up and
evaluation are excluded for all. Medians and raw samples go to benchmarks/results/. `--keras-python` names an
interpreter with tensorflow, `--lightning-python` one with lightning (and no incompatible torchvision); without them, or
with `--augment`, Keras and Lightning are left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contenders.common import count_cores
from images import prepare_images
from machine import describe_machine, name_machine

HERE = Path(__file__).resolve().parent
KERAS = "keras_tensorflow"
LIGHTNING = "lightning_loop"
STEPS = {"steps_per_execution": 20}
IMAGES = {"lenet": 3_200, "modnet1": 1_280, "modnet2": 640}
"""Timed images per arm, in multiples of 640: some ten seconds for the slowest contenders."""

Settings = tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Contender:
    """One way to train the arms.

    Attributes:
        program: the module in contenders/.
        settings: the settings it tries before it is measured; `processes` is how many train at once.
    """

    name: str
    program: str
    settings: Settings

    def find_python(self, options: argparse.Namespace) -> str | None:
        """Return the interpreter to run it with; None if there is none, or if it does not take part."""
        elsewhere = {KERAS: options.keras_python, LIGHTNING: options.lightning_python}
        if self.program not in elsewhere:
            return sys.executable
        python: str | None = elsewhere[self.program]
        return None if options.augment else python


def list_contenders() -> tuple[Contender, ...]:
    """Return all contenders; bakeoff is the first. `tuned` uses expert settings, or its own scheduler.

    Augmented images come from PIL in every loop, so "no PIL" is left out then.
    """
    apart = {"processes": count_cores()}
    loaders: Settings = ({"num_workers": 0}, {"num_workers": 1}, {"num_workers": 2})
    return (
        Contender("bakeoff", "bakeoff_engine", ({},)),
        Contender("DataLoader loop", "dataloader", tuple({**loader, "pil": True} for loader in loaders)),
        Contender("DataLoader loop, no PIL", "dataloader", loaders),
        Contender("DataLoader loop, tuned", "dataloader", (apart, {"num_workers": 1, "threads": 1})),
        Contender("torchvision reference", "torchvision_reference", loaders),
        Contender("Lightning", LIGHTNING, loaders),
        Contender("Keras", KERAS, ({}, {"jit_compile": False})),
        Contender("Keras, tuned", KERAS, (STEPS, apart, {**apart, **STEPS}, {**apart, **STEPS, "jit_compile": False})),
    )


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(IMAGES), choices=list(IMAGES))
    parser.add_argument(
        "--data-dir", type=Path, help="where CIFAR-10's binary version lies; else BAKEOFF_DATA or cache"
    )
    parser.add_argument("--keras-python", help="an interpreter that has tensorflow")
    parser.add_argument("--lightning-python", help="an interpreter that has lightning")
    parser.add_argument("--augment", action="store_true", help="crop, flip and rotate every image")
    parser.add_argument("--quick", action="store_true", help="640 images, one try, one sample: a first look")
    parser.add_argument("--images", type=int, help=f"timed images per arm, n x 640 (default {IMAGES})")
    parser.add_argument("--repeats", type=int, default=5, help="samples per contender (default %(default)s)")
    parser.add_argument("--tries", type=int, default=2, help="tries of every setting (default %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="contenders whose name has one of these words")
    parser.add_argument(
        "--output", type=Path, help="the JSON file (default: benchmarks/results/throughput-MACHINE.json)"
    )
    options = parser.parse_args()
    if options.quick:
        options.images, options.repeats, options.tries = 640, 1, 1
    return options


def main() -> None:
    """Measure, print, save."""
    options = parse_arguments()
    chosen = [
        contender
        for contender in list_contenders()
        if contender.find_python(options)
        and not (options.augment and "no PIL" in contender.name)
        and (not options.only or any(word.lower() in contender.name.lower() for word in options.only))
    ]
    images = {network: options.images or IMAGES[network] for network in options.networks}
    result: dict[str, Any] = {"machine": describe_machine(), "images_per_arm": images, "batch_size": 32}
    result["augmentation"] = "crop, flip, rotation" if options.augment else "none"
    result["networks"] = {}
    kind = "throughput-augmented" if options.augment else "throughput"
    path = options.output or HERE / "results" / f"{kind}-{name_machine()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        result["data"], job = prepare_images(options.data_dir, Path(folder))
        job |= {"augment": options.augment}
        say(f"{result['machine']['processor']}, {result['machine']['cores']} cores; {result['data']}")
        for network, number in images.items():
            given = {**job, "network": network, "images_per_arm": number}
            result["networks"][network] = measure_network(chosen, given, options)
            print_table(network, result["networks"][network])
            path.write_text(json.dumps(result, indent=1) + "\n")
    say(f"saved to {path}")


def measure_network(
    contenders: Sequence[Contender], job: dict[str, Any], options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Return, per contender, its chosen setting, its samples and their median."""
    measured = {contender.name: choose_setting(contender, job, options) for contender in contenders}
    for repeat in range(options.repeats):
        # A different order each time, so that no contender always follows the same one.
        order = [*contenders[repeat % len(contenders) :], *contenders[: repeat % len(contenders)]]
        for contender in order:
            record = measured[contender.name]
            sample = run_contender(contender, {**job, "setting": record["setting"]}, options)
            record["includes"], record["versions"] = sample.pop("includes"), sample.pop("versions")
            record["samples"].append(sample)
            say(f"{job['network']} {repeat + 1}/{options.repeats} {contender.name}: {sample['images_per_second']:,.0f}")
    for record in measured.values():
        record["median"] = statistics.median(sample["images_per_second"] for sample in record["samples"])
    return measured


def choose_setting(contender: Contender, job: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Try a contender's settings on a third of the arms; return a record that names the fastest."""
    tried: list[dict[str, Any]] = []
    short = {**job, "arms": ["glorot_uniform", "he_normal", "orthogonal"]}
    settings = contender.settings if len(contender.settings) > 1 else ()
    for setting in settings * options.tries:
        rate = run_contender(contender, {**short, "setting": setting}, options)["images_per_second"]
        tried.append({"setting": setting, "images_per_second": rate})
        say(f"{job['network']} trying {contender.name} {setting or 'default'}: {rate:,.0f}")
    # The best of several tries, so that a brief disturbance does not determine the setting.
    best = max(tried, key=lambda one: one["images_per_second"])["setting"] if tried else contender.settings[0]
    return {"setting": best, "tried": tried, "samples": []}


def run_contender(contender: Contender, job: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Run one sample in a fresh process and return its output."""
    python = contender.find_python(options)
    assert python is not None, "a contender without an interpreter was chosen"
    setting = dict(job["setting"])
    processes = setting.pop("processes", 1)
    if contender.program == "bakeoff_engine":
        setting["data_dir"] = job["data_dir"]
    given = {name: value for name, value in job.items() if name != "data_dir"}
    command = [python, "-m", f"contenders.{contender.program}"]
    command.append(json.dumps({**given, "setting": setting, "processes": processes}))
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stderr}\n{contender.name} failed with exit status {done.returncode}")
    sample: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return sample


def print_table(network: str, measured: dict[str, dict[str, Any]]) -> None:
    """Print medians, ranges and bakeoff's speed-up."""
    first = next(iter(measured.values()))["median"]
    print(f"\n{network}: model-images trained per second, nine arms, batch 32")
    print(f"{'contender':<38}{'median':>9}{'range':>18}{'bakeoff is':>12}  setting")
    for name, record in measured.items():
        rates = [sample["images_per_second"] for sample in record["samples"]]
        spread = f"{min(rates):,.0f}-{max(rates):,.0f}"
        ratio = f"{first / record['median']:.2f}x"
        print(f"{name:<38}{record['median']:>9,.0f}{spread:>18}{ratio:>12}  {record['setting'] or 'default'}")


def say(message: str) -> None:
    """Print progress to stderr."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
