"""torchvision and timm are imported beside any build of torch, or said to be missing."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch

from bakeoff.engine.fused import vision
from bakeoff.errors import BakeoffError
from bakeoff.extras import how_to_install

pytestmark = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")


def fail_with(monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> list[str]:
    """Let the next imports fail, one error each, then succeed; return the names asked for."""
    asked: list[str] = []
    waiting = list(errors)

    def import_module(name: str) -> ModuleType:
        asked.append(name)
        if waiting:
            raise waiting.pop(0)
        return ModuleType(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    monkeypatch.setattr(vision, "_forget", lambda package: asked.append(f"forget {package}"))
    return asked


def test_both_are_imported_in_a_fresh_process_without_a_warning() -> None:
    program = (
        "from bakeoff.engine.fused.vision import import_timm; import_timm(); import torchvision; torchvision.models"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_a_missing_operator_is_declared_and_the_import_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [RuntimeError(f"operator torchvision::invented_{letter} does not exist") for letter in "ab"]
    asked = fail_with(monkeypatch, *errors)
    assert vision.import_torchvision().__name__ == "torchvision"
    assert asked == ["torchvision", "forget torchvision"] * 2 + ["torchvision"]
    assert torch.ops.torchvision.invented_a
    assert torch.ops.torchvision.invented_b
    with pytest.raises(NotImplementedError):
        torch.ops.torchvision.invented_a(torch.zeros(1))


@pytest.mark.parametrize("import_it", [vision.import_torchvision, vision.import_timm])
def test_a_missing_package_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, import_it: Callable[[], ModuleType]
) -> None:
    fail_with(monkeypatch, ModuleNotFoundError("No module named 'torchvision'", name="torchvision"))
    with pytest.raises(BakeoffError, match="pip install torchvision"):
        import_it()


def test_missing_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision, "import_torchvision", lambda: None)
    fail_with(monkeypatch, ModuleNotFoundError("No module named 'timm'", name="timm"))
    with pytest.raises(BakeoffError, match=re.escape(how_to_install("timm"))):
        vision.import_timm()


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("compiled with\ndifferent CUDA versions"),
        ImportError("undefined symbol"),
        ModuleNotFoundError("No module named 'PIL'", name="PIL"),
    ],
)
def test_any_other_failure_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    fail_with(monkeypatch, error)
    with pytest.raises(BakeoffError, match="imported") as caught:
        vision.import_torchvision()
    assert "\n" not in str(caught.value)


def test_endless_failure_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision, "_declare", lambda operator: None)
    fail_with(monkeypatch, *[RuntimeError("operator torchvision::again does not exist")] * 100)
    with pytest.raises(BakeoffError, match="32 operators"):
        vision.import_torchvision()
