"""What cannot be trained is found before training: networks that are not there, weights that do not fit."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bakeoff.catalog.recipe import Recipe
from bakeoff.engine import published
from bakeoff.engine.fused.vision import import_torchvision
from bakeoff.engine.preflight import check_recipe
from bakeoff.errors import BakeoffError
from bakeoff.workspace import Folders

needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")
needs_torchvision = pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")


def check(tmp_path: Path, network: Any, transfer: Any = None, may_fetch: bool = False) -> list[str]:
    said: list[str] = []
    recipe = Recipe.model_validate({"network": network, "transfer": transfer})
    check_recipe(recipe, (32, 32, 3), 10, Folders(tmp_path / "workspace"), may_fetch, said.append)
    return said


@needs_timm
def test_a_network_timm_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(BakeoffError, match=r"timm cannot make resnet18x.*Did you mean 'resnet18'"):
        check(tmp_path, "timm:resnet18x")
    check(tmp_path, "timm:resnet18")


@needs_torchvision
def test_a_body_is_built_on_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices: list[str] = []
    made = nn.Module.register_parameter
    monkeypatch.setattr(
        nn.Module,
        "register_parameter",
        lambda self, name, value: (devices.append("" if value is None else value.device.type), made(self, name, value)),
    )
    check(tmp_path, "torchvision:resnet18")
    assert "meta" in devices
    assert "cpu" not in devices


def test_the_users_own_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_preflight.py").write_text(
        "from torch import nn\n"
        "class Good(nn.Sequential):\n"
        "    def __init__(self):\n        super().__init__(nn.Flatten(), nn.Linear(3072, 4))\n"
        "class Bad(nn.Module):\n"
        "    def __init__(self, size):\n        super().__init__()\n"
        "class Narrow(nn.Sequential):\n"
        "    def __init__(self):\n        super().__init__(nn.Flatten(), nn.Linear(7, 4))\n"
    )
    check(tmp_path, "own_preflight:Good")
    with pytest.raises(BakeoffError, match="calling it without arguments failed"):
        check(tmp_path, "own_preflight:Bad")
    with pytest.raises(BakeoffError, match="does not accept 32x32x3 images"):
        check(tmp_path, "own_preflight:Narrow")
    with pytest.raises(BakeoffError, match="has no class Missing"):
        check(tmp_path, "own_preflight:Missing")
    with pytest.raises(BakeoffError, match="there is no module not_here_preflight"):
        check(tmp_path, "not_here_preflight:Net")


@needs_torchvision
def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    resnet = import_torchvision().models.resnet18().state_dict()
    save_file(resnet, tmp_path / "good.safetensors")
    check(tmp_path, "torchvision:resnet18", {"weights": {"file": str(tmp_path / "good.safetensors")}})
    resnet["layer1.0.conv1.weight"] = torch.zeros(3, 3)
    del resnet["bn1.weight"]
    save_file(resnet, tmp_path / "bad.safetensors")
    with pytest.raises(BakeoffError, match=r"missing bn1.weight; of another shape layer1.0.conv1.weight \(3x3, needed"):
        check(tmp_path, "torchvision:resnet18", {"weights": {"file": str(tmp_path / "bad.safetensors")}})
    with pytest.raises(BakeoffError, match=r"none\.pt cannot be read"):
        check(tmp_path, "torchvision:resnet18", {"weights": {"file": str(tmp_path / "none.pt")}})


def test_weights_of_layers_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "mlp.safetensors"
    save_file({"0.weight": torch.zeros(5, 3_072), "0.bias": torch.zeros(5)}, path)
    check(tmp_path, {"name": "mlp", "units": [5]}, {"weights": {"file": str(path)}})
    with pytest.raises(BakeoffError, match="do not fit mlp"):
        check(tmp_path, {"name": "mlp", "units": [6]}, {"weights": {"file": str(path)}})


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a publisher's server answers, and what it was asked."""
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    given: dict[str, Any] = {"asked": []}

    def urlopen(request: Any, timeout: float) -> Any:
        given["asked"].append((request.get_method(), request.full_url))
        if "error" in given:
            raise given["error"]
        return open(tmp_path / "empty", "w+")  # closed by who asked

    monkeypatch.setattr(published, "urlopen", urlopen)
    return given


@needs_torchvision
def test_published_weights_are_looked_for_not_fetched(tmp_path: Path, answer: dict[str, Any]) -> None:
    check(tmp_path, "torchvision:resnet18", {"weights": "imagenet"})
    ((method, address),) = answer["asked"]
    assert method == "HEAD"
    assert address.startswith("https://download.pytorch.org/models/resnet18")
    answer["error"] = URLError("Network is unreachable")
    with pytest.raises(BakeoffError, match=r"torchvision:resnet18 cannot be reached at https.*unreachable.*Go online"):
        check(tmp_path, "torchvision:resnet18", {"weights": "imagenet"})
    answer["error"] = HTTPError(address, 404, "", None, None)  # type: ignore[arg-type]
    with pytest.raises(BakeoffError, match="HTTP status 404"):
        check(tmp_path, "torchvision:resnet18", {"weights": "imagenet"})
    kept = tmp_path / "cache/weights" / address.rpartition("/")[2]
    kept.parent.mkdir(parents=True)
    kept.touch()
    check(tmp_path, "torchvision:resnet18", {"weights": "imagenet"})


@needs_timm
def test_of_timms_weights_the_hub_is_asked(
    tmp_path: Path, answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    check(tmp_path, "timm:resnet18.a1_in1k", {"weights": "imagenet"})
    assert answer["asked"] == [("HEAD", "https://mirror.example/timm/resnet18.a1_in1k/resolve/main/config.json")]
    (tmp_path / "cache/weights/models--timm--resnet18.a1_in1k").mkdir(parents=True)
    answer["error"] = URLError("offline")
    check(tmp_path, "timm:resnet18.a1_in1k", {"weights": "imagenet"})
