"""The plain PyTorch loop: one model at a time, a Dataset, a DataLoader, float32.

Written as tutorials write it, with what makes it faster and costs nothing: arrays instead of image files, persistent
loader workers. `setting`: {"num_workers": how many processes the DataLoader starts, "threads": of this one, all of its
cores by default, "pil": true to hand out images as torchvision's CIFAR10 with ToTensor does, through a PIL image}.
Where the job says so images are augmented by torchvision's transforms, on PIL images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from contenders.common import WARM_UP_BATCHES, Clock, Job, Measured, load_images, run_contender

INCLUDES = (
    "one model after another: DataLoader (shuffle, conversion of each image to float32), forward, backward, optimizer "
    "step, running loss and accuracy by .item(); no evaluation, no start-up"
)


class ArrayDataset(Dataset[tuple[Tensor, int]]):
    """Images in an array; each is scaled to [0, 1], channels first, as ToTensor does, when it is asked for."""

    def __init__(self, pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> None:
        self.pixels, self.labels = pixels, labels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(self.pixels[index]).permute(2, 0, 1).contiguous()
        return image.float().div(255), int(self.labels[index])


class PILDataset(ArrayDataset):
    """The same, step by step as torchvision's CIFAR10 (array to PIL image) and ToTensor (PIL image to tensor) do it."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        picture = Image.fromarray(self.pixels[index])
        image = torch.from_numpy(np.array(picture, np.uint8, copy=True))
        image = image.view(picture.size[1], picture.size[0], len(picture.getbands()))
        return image.permute(2, 0, 1).contiguous().to(torch.float32).div(255), int(self.labels[index])


class AugmentedDataset(ArrayDataset):
    """Each image cropped, flipped and turned by torchvision's transforms, on PIL images as its examples do it."""

    def __init__(self, pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> None:
        super().__init__(pixels, labels)
        # Imported where it is used: an interpreter that has no bakeoff takes this loop's other parts.
        from bakeoff.engine.fused.vision import import_torchvision

        import_torchvision()
        from torchvision import transforms

        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.RandomRotation(15, transforms.InterpolationMode.BILINEAR),
                transforms.ToTensor(),
            ]
        )

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.pixels[index])), int(self.labels[index])


def choose_dataset(job: Job) -> type[ArrayDataset]:
    """Return the way images are handed out."""
    if job.augment:
        return AugmentedDataset
    return PILDataset if job.setting.get("pil") else ArrayDataset


def make_loader(job: Job, num_images: int) -> DataLoader[tuple[Tensor, int]]:
    """Return the loader of the first `num_images` images."""
    pixels, labels = load_images(job, num_images)
    # A copy: an array in memory, writable as torch wants it.
    return wrap(choose_dataset(job)(np.array(pixels), labels), job)


def wrap(dataset: ArrayDataset, job: Job) -> DataLoader[tuple[Tensor, int]]:
    """Return a loader of a data set, as the job's setting says."""
    num_workers = job.setting.get("num_workers", 0)
    return DataLoader(
        dataset, batch_size=job.batch_size, shuffle=True, num_workers=num_workers, persistent_workers=num_workers > 0
    )


def build_network(name: str) -> nn.Sequential:
    """Return LeNet, ModNet1 or ModNet2 for 32x32x3 images and ten classes."""
    if name == "lenet":
        return nn.Sequential(
            *(nn.Conv2d(3, 6, 5), nn.Tanh(), nn.AvgPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)),
            *(nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
        )
    if name == "modnet1":
        return nn.Sequential(
            *(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(64, 128, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(512, 256), nn.ReLU(), nn.Dropout(0.5)),
            *(nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)),
        )
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 3, padding="same"), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Dropout(0.5)),
        *(nn.Conv2d(64, 128, 3, padding="same"), nn.ReLU(), nn.Conv2d(128, 128, 3), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Dropout(0.5)),
        *(nn.Flatten(), nn.Linear(4608, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 10)),
    )


def initialize(model: nn.Sequential, name: str) -> None:
    """Draw the convolutions' weights by initializer `name`, the dense layers' by Glorot uniform; biases zero."""
    for layer in model:
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        weight = layer.weight
        family, _, shape = name.partition("_")
        if isinstance(layer, nn.Linear) or name == "glorot_uniform":
            nn.init.xavier_uniform_(weight)
        elif name == "orthogonal":
            nn.init.orthogonal_(weight)
        elif family == "random":
            nn.init.normal_(weight, 0, 0.05) if shape == "normal" else nn.init.uniform_(weight, -0.05, 0.05)
        else:
            fan_in = weight[0].numel()
            fan = {"glorot": (fan_in + weight.shape[0] * weight[0, 0].numel()) / 2, "he": fan_in / 2}.get(
                family, fan_in
            )
            deviation = fan**-0.5
            if shape == "normal":
                nn.init.trunc_normal_(weight, 0, deviation / 0.8796, -2 * deviation / 0.8796, 2 * deviation / 0.8796)
            else:
                nn.init.uniform_(weight, -(3**0.5) * deviation, 3**0.5 * deviation)


def build_optimizer(name: str, model: nn.Sequential) -> torch.optim.Optimizer:
    """Return the optimizer that the network was published with."""
    if name == "lenet":
        return torch.optim.Adam(model.parameters(), lr=0.001)
    return torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)


def train_epoch(
    model: nn.Sequential, optimizer: torch.optim.Optimizer, loader: DataLoader[tuple[Tensor, int]], num_batches: int
) -> tuple[float, float]:
    """Train on the first `num_batches` batches; return mean loss and accuracy."""
    criterion = nn.CrossEntropyLoss()
    running_loss, correct, total = 0.0, 0, 0
    model.train()
    for number, (images, labels) in enumerate(loader):
        if number == num_batches:
            break
        optimizer.zero_grad()
        outputs = model(images)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item() * len(labels)
        correct += int((outputs.argmax(dim=1) == labels).sum().item())
        total += len(labels)
    return running_loss / total, correct / total


def train(job: Job, arms: Sequence[str], num_images: int, barrier: Callable[[], None]) -> Measured:
    """Train one model per arm, one after another."""
    torch.set_num_threads(job.setting.get("threads", job.threads))
    torch.manual_seed(0)
    loader = make_loader(job, num_images)
    pairs = []
    for arm in arms:
        model = build_network(job.network)
        initialize(model, arm)
        pairs.append((model, build_optimizer(job.network, model)))
        train_epoch(*pairs[-1], loader, WARM_UP_BATCHES)
    barrier()
    with Clock() as clock:
        losses = [train_epoch(*pair, loader, num_images // job.batch_size)[0] for pair in pairs]
    return clock.measure(num_images * len(arms), losses=losses)


if __name__ == "__main__":
    run_contender(train, INCLUDES, ["torch", "numpy"])
