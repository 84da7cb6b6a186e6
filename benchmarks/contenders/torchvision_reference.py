"""torchvision's reference style: the training loop of its `references/classification`, one model at a time, float32.

Its habits: PIL images through `transforms.v2`, label smoothing off, a metric logger that takes loss and top-1 and top-5
accuracy by `.item()` after every step, gradients cleared before backward. `setting`: as the DataLoader loop's.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bakeoff.engine.fused.vision import import_torchvision
from contenders.common import WARM_UP_BATCHES, Clock, Job, Measured, load_images, run_contender
from contenders.dataloader import ArrayDataset, build_network, build_optimizer, initialize, wrap

INCLUDES = (
    "one model after another: PIL images through transforms.v2, DataLoader, forward, backward, optimizer step, loss "
    "and top-1 and top-5 accuracy by .item() in smoothed values; no evaluation, no start-up"
)


class ReferenceDataset(ArrayDataset):
    """Each image a PIL image, then transformed by torchvision's v2 transforms."""

    def __init__(self, pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], augment: bool) -> None:
        super().__init__(pixels, labels)
        import_torchvision()
        from torchvision.transforms import InterpolationMode, v2

        drawn = [
            v2.RandomCrop(32, padding=4),
            v2.RandomHorizontalFlip(),
            v2.RandomRotation(15, InterpolationMode.BILINEAR),
        ]
        self.transform = v2.Compose(
            [*(drawn if augment else []), v2.PILToTensor(), v2.ToDtype(torch.float, scale=True), v2.ToPureTensor()]
        )

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.pixels[index])), int(self.labels[index])


class Smoothed:
    """A series: its last values and its mean."""

    def __init__(self) -> None:
        self.last: deque[float] = deque(maxlen=20)
        self.total, self.count = 0.0, 0

    def update(self, value: float, count: int = 1) -> None:
        self.last.append(value)
        self.total, self.count = self.total + value * count, self.count + count


def train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, loader: Any, num_batches: int) -> float:
    """Train on the first `num_batches` batches; return the mean loss."""
    criterion = nn.CrossEntropyLoss()
    meters: dict[str, Smoothed] = defaultdict(Smoothed)
    model.train()
    for number, (images, labels) in enumerate(loader):
        if number == num_batches:
            break
        started = time.time()
        outputs = model(images)
        loss = criterion(outputs, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        top1, top5 = measure_accuracy(outputs, labels, (1, 5))
        meters["loss"].update(loss.item(), len(images))
        meters["acc1"].update(top1.item(), len(images))
        meters["acc5"].update(top5.item(), len(images))
        meters["lr"].update(optimizer.param_groups[0]["lr"])
        meters["img/s"].update(len(images) / (time.time() - started))
    return meters["loss"].total / meters["loss"].count


@torch.inference_mode()
def measure_accuracy(outputs: Tensor, labels: Tensor, ranks: Sequence[int]) -> list[Tensor]:
    """Return the share in percent of images whose label is among the first k, for every k."""
    found = outputs.topk(max(ranks), 1)[1].t().eq(labels[None])
    return [found[:rank].flatten().sum(dtype=torch.float32) * (100.0 / len(labels)) for rank in ranks]


def train(job: Job, arms: Sequence[str], num_images: int, barrier: Callable[[], None]) -> Measured:
    """Train one model per arm, one after another."""
    torch.set_num_threads(job.setting.get("threads", job.threads))
    torch.manual_seed(0)
    pixels, labels = load_images(job, num_images)
    loader = wrap(ReferenceDataset(np.array(pixels), labels, job.augment), job)
    pairs = []
    for arm in arms:
        model = build_network(job.network)
        initialize(model, arm)
        pairs.append((model, build_optimizer(job.network, model)))
        train_epoch(*pairs[-1], loader, WARM_UP_BATCHES)
    barrier()
    with Clock() as clock:
        losses = [train_epoch(*pair, loader, num_images // job.batch_size) for pair in pairs]
    return clock.measure(num_images * len(arms), losses=losses)


if __name__ == "__main__":
    run_contender(train, INCLUDES, ["torchvision", "torch", "numpy"])
