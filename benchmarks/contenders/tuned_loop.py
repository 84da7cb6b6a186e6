"""The PyTorch loop of someone who tunes it: resident images, channels last, bfloat16, fused optimizers, a compiler.

One model at a time. Images stay in memory as bytes and are gathered by batch; nothing is read back within an epoch.
Augmentation is one affine warp per batch. `setting`: {"dtype": "float32" or "bfloat16" (autocast; weights stay
float32), "compile": true for `torch.compile` of forward and loss, "channels_last": false to leave that out}.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contenders.common import WARM_UP_BATCHES, Clock, Job, Measured, load_images, run_contender
from contenders.dataloader import build_network, initialize

INCLUDES = (
    "one model after another: gathering and conversion of images, forward, backward, fused optimizer step, running "
    "loss and accuracy, read once per epoch; no evaluation, no compilation"
)
FEWEST_BATCHES = 5
"""Warm-up of large networks, whose steps take long."""


def build_model(job: Job, arm: str) -> nn.Module:
    """Return an initialized network."""
    if job.vision:
        from bakeoff.engine.fused.vision import import_torchvision

        import_torchvision()
        import torchvision

        network: nn.Module = getattr(torchvision.models, job.vision)(num_classes=10)
        return network
    model = build_network(job.network)
    initialize(model, arm)
    return model


def build_optimizer(job: Job, arm: str, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer that the network was published with, in one kernel for all parameters."""
    if job.network == "lenet":
        return torch.optim.Adam(model.parameters(), lr=0.001, fused=True)
    rate = float(arm) if job.vision else 0.001
    return torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, fused=True)


def augment(images_NCHW: Tensor) -> Tensor:
    """Shift by up to 4 pixels, mirror half and turn by up to 15 degrees, in one warp."""
    count, side = len(images_NCHW), images_NCHW.shape[-1]
    turn = (torch.rand(count) * 2 - 1) * math.radians(15)
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    shift = torch.randint(-4, 5, (2, count)) * 2 / side
    rows = [torch.cos(turn) * mirror, -torch.sin(turn), shift[0], torch.sin(turn) * mirror, torch.cos(turn), shift[1]]
    grid = F.affine_grid(torch.stack(rows, 1).view(count, 2, 3), list(images_NCHW.shape), align_corners=False)
    return F.grid_sample(images_NCHW, grid, align_corners=False)


class Trainer:
    """One model and its images."""

    def __init__(self, job: Job, arm: str, pixels_NHWC: Tensor, labels_N: Tensor) -> None:
        self.job, self.pixels_NHWC, self.labels_N = job, pixels_NHWC, labels_N
        self.model = build_model(job, arm)
        if job.setting.get("channels_last", True):
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = build_optimizer(job, arm, self.model)
        self.bfloat16 = job.setting.get("dtype", "bfloat16") == "bfloat16"
        self.compute: Any = torch.compile(self._compute) if job.setting.get("compile") else self._compute

    def _compute(self, pixels_NHWC: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor]:
        images_NCHW = pixels_NHWC.permute(0, 3, 1, 2).float().mul(1 / 255)
        if self.job.augment:
            images_NCHW = augment(images_NCHW)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            logits_NL = self.model(images_NCHW)
        loss = F.cross_entropy(logits_NL.float(), labels_N)
        return loss, (logits_NL.argmax(1) == labels_N).sum()

    def run(self, num_batches: int) -> float:
        """Train on so many batches; return the mean loss."""
        size = self.job.batch_size
        order = torch.randperm(len(self.pixels_NHWC))
        total, hits = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        self.model.train()
        for number in range(num_batches):
            chosen = order[number * size : (number + 1) * size]
            loss, correct = self.compute(self.pixels_NHWC[chosen], self.labels_N[chosen])
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            total += loss.detach()
            hits += correct
        return float(total) / num_batches


def train(job: Job, arms: Sequence[str], num_images: int, barrier: Callable[[], None]) -> Measured:
    """Train one model per arm, one after another."""
    # Processes that share the compiler's cache take code that another wrote for other layouts of memory.
    with tempfile.TemporaryDirectory() as os.environ["TORCHINDUCTOR_CACHE_DIR"]:
        return train_arms(job, arms, num_images, barrier)


def train_arms(job: Job, arms: Sequence[str], num_images: int, barrier: Callable[[], None]) -> Measured:
    """Warm up, then train."""
    torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    pixels, labels = load_images(job, num_images)
    pixels_NHWC, labels_N = torch.from_numpy(np.array(pixels)), torch.from_numpy(labels)
    trainers = [Trainer(job, arm, pixels_NHWC, labels_N) for arm in arms]
    for trainer in trainers:
        trainer.run(FEWEST_BATCHES if job.vision else WARM_UP_BATCHES)
    barrier()
    with Clock() as clock:
        losses = [trainer.run(num_images // job.batch_size) for trainer in trainers]
    return clock.measure(num_images * len(arms), losses=losses)


if __name__ == "__main__":
    run_contender(train, INCLUDES, ["torch", "torchvision", "numpy"])
