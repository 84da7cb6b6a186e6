"""Selects the device for training: a property of the machine, never of a study. No torch.

GPUs are queried from NVIDIA's driver, and torch's CUDA support is read from its files: that takes milliseconds, and
without a GPU nothing is loaded.
"""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bakeoff.errors import DeviceError

AUTO = "auto"

_NAME_CHARACTERS = 256


@dataclass(frozen=True)
class GPU:
    """One GPU: its name and memory in bytes."""

    name: str
    num_bytes: int


@dataclass(frozen=True)
class Device:
    """The device for training.

    Attributes:
        kind: the kind of device.
        numbers: indices of the GPUs; one or more if the kind is cuda.
        name: name of the first GPU, from its driver.
        num_bytes: memory of the smallest GPU; 0 if not queried.
    """

    kind: Literal["cpu", "cuda", "mps"] = "cpu"
    numbers: tuple[int, ...] = ()
    name: str = ""
    num_bytes: int = 0

    @property
    def addresses(self) -> tuple[str, ...]:
        """Torch's names of the devices."""
        return tuple(f"{self.kind}:{number}" for number in self.numbers) or (self.kind,)

    @property
    def record(self) -> dict[str, str]:
        """Its entry in the ledger besides the CPU; empty if that is the device."""
        if self.kind == "cpu":
            return {}
        several = f"{len(self.numbers)} x " if len(self.numbers) > 1 else ""
        memory = f", {self.num_bytes / 2**30:.0f} GiB" if self.num_bytes else ""
        return {"device": f"{several}{self.name or self.kind}{memory}"}


CPU_DEVICE = Device()


def choose_device(asked: str = AUTO) -> Device:
    """Return the requested device.

    Args:
        asked: `auto` (all NVIDIA GPUs if there are any and torch supports them, else the CPU), `cpu`, `cuda` (all
            GPUs), `cuda:N` (one of them) or `mps` (Apple's; never chosen automatically, because it was not measured).

    Raises:
        BakeoffError: no such device, or the installed torch does not support it.
    """
    if asked == "cpu":
        return CPU_DEVICE
    if asked == "mps":
        return _choose_mps()
    wanted = re.fullmatch(r"cuda(?::(\d{1,3}))?", asked)
    if wanted is None and asked != AUTO:
        raise DeviceError(f"--device {asked}: there is no such device. Choose auto, cpu, cuda, cuda:N or mps.")
    gpus = list_gpus() if asked != AUTO or is_built_for_cuda() else ()
    if asked == AUTO or wanted is None:
        return _use(gpus, range(len(gpus))) if gpus else CPU_DEVICE
    if not gpus:
        raise DeviceError(
            f"--device {asked}: no NVIDIA GPU was found. Use --device cpu, or check that nvidia-smi works."
        )
    if not is_built_for_cuda():
        raise DeviceError(
            f"--device {asked}: the installed torch was built without CUDA. "
            "Install a build with CUDA (https://pytorch.org/get-started/locally), or use --device cpu."
        )
    numbers = range(len(gpus)) if wanted[1] is None else [int(wanted[1])]
    if numbers[-1] >= len(gpus):
        raise DeviceError(f"--device {asked}: the GPUs are numbered 0 to {len(gpus) - 1}.")
    return _use(gpus, numbers)


def _use(gpus: tuple[GPU, ...], numbers: range | list[int]) -> Device:
    least = min(gpus[number].num_bytes for number in numbers)
    return Device("cuda", tuple(numbers), gpus[numbers[0]].name, least)


def _choose_mps() -> Device:
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        raise DeviceError("--device mps: this is not a Mac with Apple silicon. Use --device auto.")
    return Device("mps", name="Apple GPU")


def list_gpus() -> tuple[GPU, ...]:
    """Return the NVIDIA GPUs that this process may use, in the driver's order; none without a driver.

    CUDA_VISIBLE_DEVICES is respected, as in torch.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if platform.system() == "Windows" else "libcuda.so.1")
    except OSError:
        return ()
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    return tuple(gpu for gpu in (_read_gpu(driver, number) for number in range(count.value)) if gpu is not None)


def _read_gpu(driver: ctypes.CDLL, number: int) -> GPU | None:
    handle, memory = ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(_NAME_CHARACTERS)
    failed = (
        driver.cuDeviceGet(ctypes.byref(handle), number)
        or driver.cuDeviceGetName(name, _NAME_CHARACTERS, handle)
        or driver.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    )
    return None if failed else GPU(name.value.decode(errors="replace"), memory.value)


def is_built_for_cuda() -> bool:
    """Return whether the installed torch was built with CUDA, from its version file."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return False
    try:
        text = (Path(found.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"^cuda\b[^=\n]*=\s*['\"]\d", text, re.MULTILINE) is not None
