"""The device on which a cohort is trained, its numeric settings, and the optimizations it supports.

On a CPU every step is called as written; on a GPU the data is on the device, all members' weights are updated in one
call, and a step is captured once and replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from bakeoff.catalog.numeric_modes import DEVICE_EVALUATION_BATCH, EVALUATION_BATCH

Step = Callable[[], object]


class Capture(Protocol):
    """Records a step once, to be replayed."""

    def capture(self, step: Step, generators: Sequence[torch.Generator]) -> Step:
        """Return a function that repeats `step` on the tensors it was recorded on; it has not been run yet.

        Args:
            step: reads and writes the same tensors every time, and never synchronizes with the device.
            generators: all random generators that it uses.
        """
        ...

    def warm_up(self, step: Step) -> None:
        """Run a step as a warm-up for recording it."""
        ...

    def wait(self) -> None:
        """Wait for all work on the device."""
        ...


class PlainCapture:
    """Replays a step by calling it: for devices without graphs, and for tests."""

    def capture(self, step: Step, generators: Sequence[torch.Generator]) -> Step:
        """Return the step itself."""
        return step

    def warm_up(self, step: Step) -> None:
        """Call it."""
        step()

    def wait(self) -> None:
        """Nothing to wait for."""


class CudaCapture:
    """Replays a step as a CUDA graph: one launch instead of hundreds.

    Source: https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs: warm up on another stream, then capture.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def capture(self, step: Step, generators: Sequence[torch.Generator]) -> Step:
        """Record a step; its memory stays reserved as long as the result exists.

        Another thread may pin memory for the next images meanwhile: only this thread must keep to what can be recorded.
        """
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        torch.cuda.synchronize(self._device)
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
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
class DeviceContext:
    """A device, and how a cohort is trained on it.

    Attributes:
        device: the device of all tensors.
        prepared: images are prepared in large chunks on the device, and all members step at once; else batch by batch,
            each with its own optimizer.
        capture: records steps, if recording is worth trying.
        evaluation_batch: images per forward pass in evaluation. A constant of the device: rounding depends on it.
        resident_bytes: images up to this size are stored on the device.
        piece_bytes: approximate maximum size of a prepared chunk.
    """

    device: torch.device
    prepared: bool = False
    capture: Capture | None = None
    evaluation_batch: int = EVALUATION_BATCH
    resident_bytes: int = 0
    piece_bytes: int = 2**28

    @property
    def exact(self) -> torch.dtype:
        """The dtype for summing losses: float64 if the device has it."""
        return torch.float32 if self.device.type == "mps" else torch.float64

    def describe(self) -> str:
        """Return the device's name for the ledger."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return self.device.type


CPU = DeviceContext(torch.device("cpu"))
"""One CPU core: batches are gathered and augmented one by one, which keeps them in its caches."""

_CONTEXTS: dict[str, DeviceContext] = {}


def find_context(name: str) -> DeviceContext:
    """Return the context for a device's name (`cpu`, `cuda:0`, `mps`), set up once per process."""
    if name not in _CONTEXTS:
        _CONTEXTS[name] = _set_up(torch.device(name))
    return _CONTEXTS[name]


def _set_up(device: torch.device) -> DeviceContext:
    if device.type == "cpu":
        return CPU
    _make_deterministic()
    if device.type != "cuda":
        return DeviceContext(device, prepared=True, evaluation_batch=DEVICE_EVALUATION_BATCH, resident_bytes=2**31)
    torch.cuda.set_device(device)
    total = torch.cuda.get_device_properties(device).total_memory
    return DeviceContext(
        device,
        prepared=True,
        capture=CudaCapture(device),
        evaluation_batch=DEVICE_EVALUATION_BATCH,
        resident_bytes=total // 4,
        piece_bytes=min(2**29, total // 32),
    )


def _make_deterministic() -> None:
    """Request deterministic kernels, and true float32 (no TF32).

    An operation without a deterministic kernel runs anyway: a study must not fail because of it. Filling uninitialized
    memory is turned off: it costs a pass over every tensor and only guards against reading unwritten memory.
    """
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set through its module
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
