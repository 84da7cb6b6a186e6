"""Which device is chosen, from what the driver and torch's own files say."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from bakeoff.cgroups import count_cores
from bakeoff.driver import devices, estimate
from bakeoff.driver.cohorts import ON_PROCESSOR, limits_of
from bakeoff.driver.devices import CPU_DEVICE, GPU, Device, choose_device
from bakeoff.driver.executors import local
from bakeoff.driver.facts import describe_datasets
from bakeoff.errors import BakeoffError
from bakeoff.study.plan import expand
from bakeoff.study.schema import Study

BOTH = (GPU("Big", 2**37), GPU("Small", 2**34))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> object:
    """Pretend a machine: `machine(gpus, built)`."""

    def pretend(gpus: tuple[GPU, ...], *, built: bool = True) -> None:
        monkeypatch.setattr(devices, "list_gpus", lambda: gpus)
        monkeypatch.setattr(devices, "is_built_for_cuda", lambda: built)

    return pretend


def test_auto_takes_all_cards_that_torch_can_use(machine: object) -> None:
    machine(BOTH)  # type: ignore[operator]
    found = choose_device()
    assert found == Device("cuda", (0, 1), "Big", 2**34)
    assert found.addresses == ("cuda:0", "cuda:1")
    assert found.record == {"device": "2 x Big, 16 GiB"}


@pytest.mark.parametrize(("gpus", "built"), [((), True), (BOTH, False)])
def test_else_the_processor(machine: object, gpus: tuple[GPU, ...], built: bool) -> None:
    machine(gpus, built=built)  # type: ignore[operator]
    assert choose_device("auto") is CPU_DEVICE
    assert CPU_DEVICE.addresses == ("cpu",)
    assert CPU_DEVICE.record == {}


def test_one_card_can_be_named(machine: object) -> None:
    machine(BOTH)  # type: ignore[operator]
    assert choose_device("cuda:1") == Device("cuda", (1,), "Small", 2**34)
    assert choose_device("cpu") is CPU_DEVICE


@pytest.mark.parametrize(
    ("asked", "gpus", "built", "says"),
    [
        ("cuda:2", BOTH, True, "numbered 0 to 1"),
        ("cuda", (), True, "no NVIDIA GPU was found"),
        ("cuda", BOTH, False, "built without CUDA"),
        ("gpu", BOTH, True, "no such device. Choose auto"),
        ("cuda:-1", BOTH, True, "no such device"),
    ],
)
def test_what_cannot_be_had_is_refused_in_one_line(
    machine: object, asked: str, gpus: tuple[GPU, ...], built: bool, says: str
) -> None:
    machine(gpus, built=built)  # type: ignore[operator]
    with pytest.raises(BakeoffError, match=says) as raised:
        choose_device(asked)
    assert "\n" not in str(raised.value)


def test_apples_is_for_apples_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    with pytest.raises(BakeoffError, match="not a Mac"):
        choose_device("mps")
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert choose_device("mps").addresses == ("mps",)


@pytest.mark.parametrize(
    ("text", "built"),
    [
        ("cuda: Optional[str] = '12.8'\n", True),
        ("cuda = None\n", False),
        ("cuda: Optional[str] = None\nhip = '6'\n", False),
    ],
)
def test_what_torch_was_built_for_is_read_from_its_files(
    text: str, built: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "version.py").write_text(text)
    spec = ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    assert devices.is_built_for_cuda() is built


def test_workers_are_dealt_to_the_cards_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Worker:
        def __init__(self, workspace: Path, data_dir: Path | None, device: str) -> None:
            self.device = device

    monkeypatch.setattr(local, "_Worker", Worker)
    executor = local.LocalExecutor(5, tmp_path, None, ("cuda:0", "cuda:1"))
    for _ in range(5):
        executor._workers.append(local._Worker(tmp_path, None, executor._choose_device()))
    assert [worker.device for worker in executor._workers] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]


def test_how_many_processes_share_a_card() -> None:
    def count(network: str, device: Device, asked: int | None = None) -> int:
        arms = [{"initializer": ["he_normal", "orthogonal"]}]
        data = {"name": "cifar10"}
        plan = expand(Study(question="Which?", data=data, recipe={"network": network}, arms=arms, replicates=1))
        return estimate.count_workers(asked, device, plan, describe_datasets(plan.blocks, None))[0]

    gpus = Device("cuda", (0, 1), "Big", 2**34)
    assert count("lenet", gpus) == 2
    assert 2 <= count("torchvision:resnet18", gpus) <= 2 * estimate.WORKERS_PER_CARD
    assert count("lenet", CPU_DEVICE) == count_cores()
    assert count("lenet", gpus, asked=7) == 7


def test_asking_the_driver_never_fails() -> None:
    assert isinstance(devices.list_gpus(), tuple)
    assert "torch" not in vars(devices)
    assert sys.modules[devices.__name__] is devices


def test_only_cards_fuse_across_replicates() -> None:
    assert limits_of(CPU_DEVICE) is ON_PROCESSOR
    assert limits_of(Device("mps")) is ON_PROCESSOR
    assert limits_of(Device("cuda", (0,), "Big", 2**34)).across_replicates
