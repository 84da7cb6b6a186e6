"""The engine, a bare loop of the same arithmetic, and one written by hand, in turn in one process with one thread.

`engine`: `train_cohort`, by its own report of images per second. `bare`: the engine's fused network with nothing around
it: gather, convert, forward, loss, backward, one fused optimizer over all members' stacked parameters; no losses, no
accuracy, no schedule, no dropout streams by epoch. `by hand`: as bare, with the fused network spelled out in torch's
own functions. `setting`: {"data_dir", "numeric": "float32" or "bfloat16", "rounds": passes of each}.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.shape import trained_layers
from bakeoff.data.source import DataSource
from bakeoff.data.store import Images, open_training
from bakeoff.engine.cohort import train_cohort
from bakeoff.engine.fused.build import FusedNetwork, initialize
from bakeoff.messages import CohortTask, DataView, EpochDone, Event, Member
from contenders.bakeoff_study import NUM_IMAGES, VALIDATION, describe_arm, describe_training
from contenders.common import ARMS, Job, Measured, print_result

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Forward = Callable[[Tensor, dict[str, Tensor]], Tensor]
"""Takes images_NCHW and the cast weights; returns logits_KNL."""


def main() -> None:
    """Measure; print one line of JSON with the rates of every round."""
    given = json.loads(sys.argv[1])
    job = Job(**{**given, "arms": tuple(given.get("arms", ARMS))})
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as workspace:
        rates = measure(job, Path(workspace))
    measured = Measured(job.images_per_arm * len(job.arms), 1.0, 1.0, {"rates": rates})
    print_result([measured], __doc__ or "", ["torch", "numpy"])


def measure(job: Job, workspace: Path) -> dict[str, list[float]]:
    """Return model-images per second of every way, round by round; the first round of each is its warm-up."""
    source = DataSource(name="cifar10", subset=min(1.0, job.images_per_arm / (1 - VALIDATION) / NUM_IMAGES))
    images = open_training(source, Path(job.setting["data_dir"]))
    rounds = job.setting["rounds"]
    members = list_members(job)
    loops = {"bare": Loop(job, images, "bare"), "by hand": Loop(job, images, "by hand")}
    rates: dict[str, list[float]] = {"engine": [], **{name: [] for name in loops}}

    def take_turns(event: Event) -> None:
        if not isinstance(event, EpochDone) or event.trial_id != members[-1].trial_id:
            return
        rates["engine"].append(event.images_per_second)
        for name, loop in loops.items():
            rates[name].append(loop.run_epoch(job.images_per_arm))

    task = CohortTask(
        cohort_id="cohort",
        label="bare",
        members=members,
        data=DataView(source=source, validation=VALIDATION, fingerprint=images.fingerprint, seed=0),
        numeric=job.setting["numeric"],
        until=rounds + 1,
    )
    train_cohort(task, images, workspace, take_turns)
    return {name: values[1:] for name, values in rates.items()}


def list_members(job: Job) -> tuple[Member, ...]:
    """Return one trial per arm, with epochs to spare."""
    shared = {"batch_size": job.batch_size, "epochs": 100, **describe_training(job)}
    return tuple(
        Member(trial_id=arm, recipe=Recipe.model_validate({**shared, **describe_arm(job, arm)})) for arm in job.arms
    )


class Loop:
    """A bare loop: images in memory, stacked weights, one optimizer."""

    def __init__(self, job: Job, images: Images, kind: str) -> None:
        self.pixels, self.labels = np.array(images.pixels), torch.from_numpy(images.labels)
        self.job, self.dtype = job, DTYPES[job.setting["numeric"]]
        recipes = [member.recipe for member in list_members(job)]
        layers = trained_layers(recipes[0], images.shape_HWC, len(images.class_names))
        states = [initialize(layers, images.shape_HWC, recipe.initializer, 0) for recipe in recipes]
        network = FusedNetwork([layers] * len(states), states, self.dtype)
        self.weights = network.stacked
        self.cast = network.cast if kind == "bare" else self._cast
        generator = torch.Generator().manual_seed(0)
        bare: Forward = lambda images_NCHW, weights: network(images_NCHW, weights, generator)  # noqa: E731
        self.forward: Forward = bare if kind == "bare" else WRITTEN[job.network]
        parameters = list(self.weights.values())
        self.optimizer: Any = (
            torch.optim.Adam(parameters, lr=0.001, fused=True)
            if job.network == "lenet"
            else torch.optim.SGD(parameters, lr=0.001, momentum=0.9, fused=True)
        )

    def _cast(self) -> dict[str, Tensor]:
        return {name: weight.to(self.dtype) for name, weight in self.weights.items()}

    def run_epoch(self, num_images: int) -> float:
        """Train on so many images; return model-images per second."""
        num_members = len(self.job.arms)
        started = time.perf_counter()
        order = np.random.permutation(len(self.pixels))[:num_images]
        for start in range(0, num_images, self.job.batch_size):
            numbers = order[start : start + self.job.batch_size]
            pixels_NCHW = torch.from_numpy(self.pixels[numbers]).permute(0, 3, 1, 2)
            images_NCHW = pixels_NCHW.float().mul_(1 / 255).to(self.dtype)
            logits_KNL = self.forward(images_NCHW, self.cast()).float()
            labels = self.labels[torch.from_numpy(numbers)].repeat(num_members)
            loss = F.cross_entropy(logits_KNL.flatten(0, 1), labels, reduction="sum") / len(numbers)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
        return num_images * num_members / (time.perf_counter() - started)


def convolve(x: Tensor, weights: dict[str, Tensor], number: int, groups: int, padding: int = 0) -> Tensor:
    """Convolve all members: `groups` is 1 on images that they share."""
    weight, bias = weights[f"{number}.weight"].flatten(0, 1), weights[f"{number}.bias"].flatten()
    return F.conv2d(x, weight, bias, padding=padding, groups=groups)


def separate(x: Tensor, num_members: int) -> Tensor:
    """Flatten (N, (KC), H, W) to (K, N, CHW)."""
    return x.view(len(x), num_members, -1, *x.shape[2:]).flatten(2).transpose(0, 1)


def multiply(x: Tensor, weights: dict[str, Tensor], number: int) -> Tensor:
    """Apply a dense layer of every member."""
    return torch.baddbmm(weights[f"{number}.bias"].unsqueeze(1), x, weights[f"{number}.weight"].transpose(1, 2))


def drop(x: Tensor) -> Tensor:
    """Drop half; torch's own dropout, every member by its own draw."""
    return F.dropout(x, 0.5)


def run_lenet(x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """Return LeNet's logits_KNL."""
    num_members = len(weights["0.weight"])
    x = F.avg_pool2d(torch.tanh(convolve(x, weights, 0, 1)), 2)
    x = F.avg_pool2d(torch.tanh(convolve(x, weights, 2, num_members)), 2)
    x = torch.tanh(multiply(separate(x, num_members), weights, 4))
    return multiply(torch.tanh(multiply(x, weights, 5)), weights, 6)


def run_modnet1(x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """Return ModNet1's logits_KNL."""
    num_members = len(weights["0.weight"])
    for number in (0, 2, 4):
        x = F.relu(F.max_pool2d(convolve(x, weights, number, num_members if number else 1), 2))
    x = drop(F.relu(multiply(separate(x, num_members), weights, 6)))
    return multiply(drop(F.relu(multiply(x, weights, 8))), weights, 10)


def run_modnet2(x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """Return ModNet2's logits_KNL."""
    num_members = len(weights["0.weight"])
    for number in (0, 4):
        x = F.relu(convolve(x, weights, number, num_members if number else 1, padding=1))
        x = drop(F.relu(F.max_pool2d(convolve(x, weights, number + 1, num_members), 2)))
    return multiply(drop(F.relu(multiply(separate(x, num_members), weights, 8))), weights, 10)


WRITTEN: dict[str, Forward] = {"lenet": run_lenet, "modnet1": run_modnet1, "modnet2": run_modnet2}


if __name__ == "__main__":
    main()
