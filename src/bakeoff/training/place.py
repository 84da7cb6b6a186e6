"""Where a cohort is trained: the device, how its arithmetic is set, and what is worth doing there.

On a processor every step is called as it is written; on a graphics card the data lies on the device, all members'
weights move in one update, and a step is captured once and replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from bakeoff.training.modes import DEVICE_EVALUATION_BATCH, EVALUATION_BATCH

Step = Callable[[], object]


class Capture(Protocol):
    """Records a step once, to be replayed."""

    def capture(self, step: Step, generators: Sequence[torch.Generator]) -> Step:
        """Return what repeats `step` on the tensors it was recorded on; it has not been run yet.

        Args:
            step: reads and writes the same tensors every time, and never waits for the device.
            generators: all that it draws from.
        """
        ...

    def warm_up(self, step: Step) -> None:
        """Run a step in the way that comes before recording it."""
        ...

    def wait(self) -> None:
        """Return when all that was asked of the device is done."""
        ...


class PlainCapture:
    """Replays a step by calling it: what a device without graphs does, and what tests run."""

    def capture(self, step: Step, generators: Sequence[torch.Generator]) -> Step:
        """Return the step itself."""
        return step

    def warm_up(self, step: Step) -> None:
        """Call it."""
        step()

    def wait(self) -> None:
        """Nothing is ever under way."""


class CudaCapture:
    """Replays a step as a CUDA graph: one launch in place of hundreds.

    Source: https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs: warm up on another stream, then capture.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def capture(self, step: Step, generators: Sequence[torch.Generator]) -> Step:
        """Record a step; its memory stays reserved for as long as the result lives."""
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        torch.cuda.synchronize(self._device)
        with torch.cuda.graph(graph, stream=self._stream):
            step()
        return graph.replay

    def warm_up(self, step: Step) -> None:
        """Run a step on the stream that it will be recorded on."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            step()
        current.wait_stream(self._stream)

    def wait(self) -> None:
        """Wait for the device."""
        torch.cuda.synchronize(self._device)


@dataclass(frozen=True)
class Place:
    """A device, and how a cohort is trained on it.

    Attributes:
        device: where tensors lie.
        prepared: images are prepared in large pieces on the device, and all members step at once; else batch by batch,
            each with its own optimizer.
        capture: what records steps, where recording is worth trying.
        evaluation_batch: images per forward pass in evaluation. A constant of the device: rounding depends on it.
        resident_bytes: images that take at most this lie on the device whole.
        piece_bytes: a prepared piece takes at most about this.
    """

    device: torch.device
    prepared: bool = False
    capture: Capture | None = None
    evaluation_batch: int = EVALUATION_BATCH
    resident_bytes: int = 0
    piece_bytes: int = 2**28

    @property
    def exact(self) -> torch.dtype:
        """What losses are summed in: float64 wherever there is one."""
        return torch.float32 if self.device.type == "mps" else torch.float64

    def describe(self) -> str:
        """Return the device's name for records."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return self.device.type


CPU = Place(torch.device("cpu"))
"""One core: batches are gathered and augmented one by one, which keeps them in its caches."""

_PLACES: dict[str, Place] = {}


def find_place(name: str) -> Place:
    """Return the place of a device's name (`cpu`, `cuda:0`, `mps`), set up once a process."""
    if name not in _PLACES:
        _PLACES[name] = _set_up(torch.device(name))
    return _PLACES[name]


def _set_up(device: torch.device) -> Place:
    if device.type == "cpu":
        return CPU
    _make_deterministic()
    if device.type != "cuda":
        return Place(device, prepared=True, evaluation_batch=DEVICE_EVALUATION_BATCH, resident_bytes=2**31)
    torch.cuda.set_device(device)
    total = torch.cuda.get_device_properties(device).total_memory
    return Place(
        device,
        prepared=True,
        capture=CudaCapture(device),
        evaluation_batch=DEVICE_EVALUATION_BATCH,
        resident_bytes=total // 4,
        piece_bytes=min(2**29, total // 32),
    )


def _make_deterministic() -> None:
    """Have every kernel give the same digits every time, and float32 be float32.

    An operation that has no such kernel is run as it is: a study must not fail for it. Filling fresh memory is left
    out: it costs a pass over every tensor and guards only against reading what was never written.
    """
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set through its module
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
