from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
import torch

Pixels: TypeAlias = npt.NDArray[np.uint8]
MakePixels: TypeAlias = Callable[..., Pixels]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_pixels() -> MakePixels:
    def make(num_images: int = 8, size: int | tuple[int, int] = 28, channels: int = 1, seed: int = 0) -> Pixels:
        sides = (size, size) if isinstance(size, int) else size
        rng = np.random.default_rng([1234, seed])
        return rng.integers(0, 256, (num_images, *sides, channels), dtype=np.uint8)

    return make


@pytest.fixture(scope="session")
def torchvision_functional() -> ModuleType:
    """torchvision.transforms.v2.functional, the oracle: given one image and its numbers, what comes out."""
    from bakeoff.engine.fused.vision import import_torchvision
    from bakeoff.errors import BakeoffError

    try:
        import_torchvision()
    except BakeoffError as error:
        pytest.skip(str(error))
    import torchvision.transforms.v2.functional as functional

    return functional
