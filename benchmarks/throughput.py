"""Images trained per second: bakeoff against the alternatives, tuned and usual, on an idle machine or a busy one.

    python benchmarks/throughput.py --data-dir DIR --keras-python PATH --jax-python PATH --lightning-python PATH
    python benchmarks/throughput.py --data-dir DIR --augment          crop, flip and rotation
    python benchmarks/throughput.py --data-dir DIR --networks resnet18-64 mobilenet_v2-64 resnet18-224 mobilenet_v2-224
    python benchmarks/throughput.py --quick                           a first look: few images, one sample each

Nine arms (the nine initializers) of one network, CIFAR-10's shapes, batch 32; of torchvision's networks as many
arms as cores, on CIFAR-10's images enlarged. First every contender tries its settings briefly and keeps the fastest;
then all contenders run in turn, `--repeats` times, each time in fresh processes and in a different order. The unit is a
model-image: one image that one model is trained on. Start-up, compilation, warm-up and evaluation are excluded for all
but bakeoff, which is a whole study from its second epoch on.

Two rates are counted: model-images per second, and per second of processor time over all threads and processes. Beside
every sample stands how much of the machine others used meanwhile. A ratio of wall times is printed only if that was at
most 5% in every sample, one of processor times if it was at most half.

Medians and raw samples go to benchmarks/results/. `--keras-python` names an interpreter with tensorflow, `--jax-python`
one with jax, flax and optax, `--lightning-python` one with lightning (and no incompatible torchvision), each with
psutil; without them these contenders are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contenders.common import RATES, count_cores
from images import enlarge_images, prepare_images
from load import Meter, is_spoilt
from machine import describe_machine, name_machine

from bakeoff.driver.executors.local import WORKER_ENVIRONMENT

HERE = Path(__file__).resolve().parent
IMAGES = {
    "lenet": 9_600,
    "modnet1": 3_840,
    "modnet2": 640,
    "resnet18-64": 1_920,
    "mobilenet_v2-64": 1_920,
    "resnet18-224": 640,
    "mobilenet_v2-224": 640,
}
"""Timed images per arm: some ten seconds for the slowest contenders. Multiples of 640."""

CLOCKS = {"images_per_second": "seconds", "images_per_processor_second": "processor_seconds"}
"""The rates of a sample, and the clocks that they are measured by."""

Settings = tuple[dict[str, Any], ...]
Sample = dict[str, Any]


class ContenderError(Exception):
    """A contender's program failed: torch's compiler does with some layouts of memory."""


@dataclass(frozen=True)
class Contender:
    """One way to train the arms.

    Attributes:
        program: the module in contenders/.
        settings: the settings it tries before it is measured; `processes` is how many train at once.
        interpreter: the option that names the interpreter to run it with; "": this one.
        networks: the networks it knows; () for all.
        augments: whether it can augment images.
    """

    name: str
    program: str
    settings: Settings = ({},)
    interpreter: str = ""
    networks: tuple[str, ...] = ("lenet", "modnet1", "modnet2")
    augments: bool = True

    def find_python(self, options: argparse.Namespace) -> str | None:
        """Return the interpreter to run it with; None if there is none."""
        return getattr(options, self.interpreter) if self.interpreter else sys.executable

    def takes_part(self, network: str, options: argparse.Namespace) -> bool:
        """Return whether it can train the network as the options say."""
        chosen = not options.only or any(word.lower() in self.name.lower() for word in options.only)
        able = not self.networks or network in self.networks
        return chosen and able and self.find_python(options) is not None and (self.augments or not options.augment)


def list_contenders() -> tuple[Contender, ...]:
    """Return all contenders; bakeoff is the first, then those tuned by experts, then the usual programs."""
    apart = {"processes": count_cores()}
    loaders: Settings = tuple({"num_workers": number, "pil": True} for number in (0, 1, 2))
    modes: Settings = ({"dtype": "float32"}, {"dtype": "bfloat16"})
    compiled = ({}, {"compile": True}, {"compile": True, "channels_last": False})
    loops = tuple({**apart, **mode, **more} for mode in modes for more in compiled)
    graphs = tuple({**apart, "steps_per_execution": 20, **more} for more in ({}, {"dtype": "mixed_bfloat16"}))
    return (
        Contender("bakeoff", "bakeoff_study", networks=()),
        Contender("PyTorch loop, tuned", "tuned_loop", (*loops, {"dtype": "bfloat16"}), networks=()),
        Contender("Keras, tuned", "keras_tensorflow", (*graphs, {"steps_per_execution": 20}), "keras_python"),
        Contender(
            "JAX, tuned",
            "jax_flax",
            tuple({**apart, **mode, "vmap": together} for mode in modes for together in (False, True)),
            "jax_python",
            augments=False,
        ),
        Contender("Keras", "keras_tensorflow", ({}, {"jit_compile": False}), "keras_python"),
        Contender("PyTorch DataLoader loop", "dataloader", loaders),
        Contender("torchvision reference", "torchvision_reference", loaders),
        Contender("Lightning", "lightning_loop", loaders, "lightning_python"),
    )


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(IMAGES)[:3], choices=list(IMAGES))
    parser.add_argument(
        "--data-dir", type=Path, help="where CIFAR-10's binary version lies; else BAKEOFF_DATA or cache"
    )
    parser.add_argument("--keras-python", help="an interpreter that has tensorflow")
    parser.add_argument("--jax-python", help="an interpreter that has jax, flax and optax")
    parser.add_argument("--lightning-python", help="an interpreter that has lightning")
    parser.add_argument("--augment", action="store_true", help="crop, flip and rotate every image")
    parser.add_argument("--quick", action="store_true", help="640 images, one try, one sample: a first look")
    parser.add_argument("--images", type=int, help=f"timed images per arm (default {IMAGES})")
    parser.add_argument("--repeats", type=int, default=5, help="samples per contender (default %(default)s)")
    parser.add_argument("--tries", type=int, default=1, help="tries of every setting (default %(default)s)")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print a saved result as a Markdown table; no more")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="contenders whose name has one of these words")
    parser.add_argument(
        "--output", type=Path, help="the JSON file (default: benchmarks/results/throughput-MACHINE.json)"
    )
    options = parser.parse_args()
    if options.quick:
        options.images, options.repeats, options.tries = 640, 1, 1
    return options


def main() -> None:
    """Measure, print, save. Networks of an earlier run into the same file are kept."""
    options = parse_arguments()
    if options.show:
        print(format_table(json.loads(options.show.read_text())["networks"]))
        return
    kind = "throughput-augmented" if options.augment else "throughput"
    path = options.output or HERE / "results" / f"{kind}-{name_machine()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    earlier = json.loads(path.read_text()) if path.exists() else {}
    result: dict[str, Any] = {"machine": describe_machine(), "batch_size": 32}
    result["augmentation"] = "crop, flip, rotation" if options.augment else "none"
    result["networks"] = earlier.get("networks", {})
    with tempfile.TemporaryDirectory() as folder:
        result["data"], job = prepare_images(options.data_dir, Path(folder))
        say(f"{result['machine']['processor']}, {result['machine']['cores']} cores; {result['data']}")
        for network in options.networks:
            given = make_job(job, network, options, Path(folder))
            chosen = [contender for contender in list_contenders() if contender.takes_part(network, options)]
            measured = measure_network(chosen, given, options)
            result["networks"][network] = {"images_per_arm": given["images_per_arm"], "contenders": measured}
            print_table(network, measured)
            path.write_text(json.dumps(result, indent=1) + "\n")
    say(f"saved to {path}")


def make_job(job: Mapping[str, Any], network: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return what all contenders are given for a network."""
    images = options.images or IMAGES[network]
    given = {**job, "network": network, "augment": options.augment, "images_per_arm": images}
    side = network.partition("-")[2]
    if side:
        given |= enlarge_images(job, int(side), images, folder)
        given["arms"] = RATES[: count_cores()]
    return given


def measure_network(
    contenders: Sequence[Contender], job: Mapping[str, Any], options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Return, per contender, its chosen setting, its samples and their medians."""
    measured = {contender.name: choose_setting(contender, job, options) for contender in contenders}
    for repeat in range(options.repeats):
        # A different order each time, so that no contender always follows the same one.
        order = [*contenders[repeat % len(contenders) :], *contenders[: repeat % len(contenders)]]
        for contender in order:
            record = measured[contender.name]
            sample = run_contender(contender, {**job, "setting": record["setting"]}, options)
            record["includes"], record["versions"] = sample.pop("includes"), sample.pop("versions")
            record["samples"].append(sample)
            say(f"{job['network']} {repeat + 1}/{options.repeats} {contender.name}: {describe_sample(sample)}")
    for record in measured.values():
        record["medians"] = {rate: find_median(record["samples"], rate) for rate in CLOCKS}
    return measured


def choose_setting(contender: Contender, job: Mapping[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Try a contender's settings on a part of the arms; return a record that names the fastest.

    Fastest by the clock on an idle machine, by processor time on a busy one. A setting that fails is not chosen.
    """
    tried: list[Sample] = []
    failed: list[Sample] = []
    arms = job.get("arms", ("glorot_uniform", "he_normal", "orthogonal", "lecun_normal"))
    settings = contender.settings if len(contender.settings) > 1 else ()
    for setting in settings * options.tries:
        said = f"{job['network']} trying {contender.name} {setting or 'default'}"
        try:
            sample = run_contender(contender, {**job, "arms": arms, "setting": setting}, options)
        except ContenderError as error:
            failed.append({"setting": setting, "error": str(error)[-2_000:]})
            say(f"{said}: failed, {str(error).strip().splitlines()[-1]}")
            continue
        tried.append({"setting": setting, **{name: sample[name] for name in (*CLOCKS, "others")}})
        say(f"{said}: {describe_sample(sample)}")
    if settings and not tried:
        raise SystemExit(f"{contender.name} failed in all of its settings: {failed[0]['error']}")
    rate = "images_per_processor_second" if is_spoilt(tried, "seconds") else "images_per_second"
    # The best of several tries, so that a brief disturbance does not determine the setting.
    best = max(tried, key=lambda one: one[rate])["setting"] if tried else contender.settings[0]
    return {"setting": best, "tried": tried, "failed": failed, "samples": []}


def run_contender(contender: Contender, job: Mapping[str, Any], options: argparse.Namespace) -> Sample:
    """Run one sample in a fresh process; return its output, and the share of the machine that others used."""
    python = contender.find_python(options)
    assert python is not None, "a contender without an interpreter was chosen"
    setting = dict(job["setting"])
    processes = setting.pop("processes", 1)
    if contender.program == "bakeoff_study":
        setting |= {"data_dir": job["data_dir"], "folder": job.get("folder")}
    given = {name: value for name, value in job.items() if name not in ("data_dir", "folder")}
    command = [python, "-m", f"contenders.{contender.program}"]
    command.append(json.dumps({**given, "setting": setting, "processes": processes}))
    # All get the memory settings of bakeoff's workers.
    environment = {**os.environ, **WORKER_ENVIRONMENT}
    with Meter() as meter:
        done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ContenderError(f"{contender.name} failed with exit status {done.returncode}\n{done.stderr}")
    sample: Sample = json.loads(done.stdout.splitlines()[-1])
    return {**sample, "others": meter.others}


def find_median(samples: Sequence[Sample], rate: str) -> float | None:
    """Return the median of a rate; None if others used too much of the machine in one of the samples."""
    if is_spoilt(samples, CLOCKS[rate]):
        return None
    return statistics.median(sample[rate] for sample in samples)


def describe_sample(sample: Sample) -> str:
    """Return both rates of a sample, and the load by others."""
    return (
        f"{sample['images_per_second']:,.0f} per second, {sample['images_per_processor_second']:,.0f} per processor "
        f"second, {sample['others']:.0%} of the machine used by others"
    )


def print_table(network: str, measured: Mapping[str, Mapping[str, Any]]) -> None:
    """Print medians and bakeoff's speed-up; nothing in place of what load has spoilt."""
    first = next(iter(measured.values()))["medians"]
    print(f"\n{network}: model-images trained, per second and per second of processor time")
    print(f"{'contender':<26}{'per second':>12}{'bakeoff is':>12}{'processor':>12}{'bakeoff is':>12}  setting")
    for name, record in measured.items():
        cells = ""
        for rate in CLOCKS:
            ours, median = first[rate], record["medians"][rate]
            ratio = f"{ours / median:.2f}x" if ours and median else "-"
            cells += f"{f'{median:,.0f}' if median else 'spoilt':>12}{ratio:>12}"
        print(f"{name:<26}{cells}  {record['setting'] or 'default'}")


def format_table(networks: Mapping[str, Any]) -> str:
    """Return medians as Markdown: per second, and how many times that bakeoff trains, by wall and processor time."""
    names = list(dict.fromkeys(name for network in networks.values() for name in network["contenders"]))
    heads = [cell for network in networks for cell in (network, "wall", "CPU")]
    lines = [f"| | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(heads)}"]
    for name in names:
        cells = [cell for network in networks.values() for cell in _format_cells(network["contenders"], name)]
        lines.append(f"| {f'**{name}**' if name == 'bakeoff' else name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _format_cells(contenders: Mapping[str, Any], name: str) -> list[str]:
    if name not in contenders:
        return ["", "", ""]
    ours, theirs = contenders["bakeoff"]["medians"], contenders[name]["medians"]
    rate = theirs["images_per_second"]
    times = [f"{ours[each] / theirs[each]:.1f}x" if ours[each] and theirs[each] else "" for each in CLOCKS]
    return [f"{float(f'{rate:.3g}'):,.0f}" if rate else "", *(["", ""] if name == "bakeoff" else times)]


def say(message: str) -> None:
    """Print progress to stderr."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
