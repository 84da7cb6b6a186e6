"""An own network whose parts share weights trains as in plain PyTorch: frozen, averaged, interrupted, carried over."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from bakeoff.catalog.averaging import EMA
from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.networks.outside import OutsideNetwork
from bakeoff.catalog.recipe import Recipe
from bakeoff.data.splits import split_stratified
from bakeoff.data.store import Images
from bakeoff.engine.averaging import Average
from bakeoff.engine.batches import epoch_order
from bakeoff.engine.cohort import train_cohort
from bakeoff.engine.fused.module_network import first_state
from bakeoff.engine.fused.modules import build_body
from bakeoff.engine.weights import fit_weights
from bakeoff.errors import BakeoffError
from bakeoff.messages import CohortTask, Event
from bakeoff.workspace import Folders

Train = Callable[..., dict[Any, dict[str, Any]]]

SEED = 20_240_229_001
NETWORK = OutsideNetwork(name="tied_nets:Net")
# One tensor under two names, and one module in two places, with buffers of its own.
SOURCE = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(2, 2, 3, padding=1)
        self.two = nn.Conv2d(2, 2, 3, padding=1)
        self.two.weight = self.one.weight
        self.norm = nn.BatchNorm2d(2)
        self.again = self.norm
    def forward(self, x):
        x = torch.tanh(self.norm(self.one(x)))
        return self.again(self.two(x)).flatten(1)
"""


@pytest.fixture(autouse=True)
def _own_network(write_module: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_module("tied_nets", SOURCE)
    sys.path.append(str(tmp_path))
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))


def _recipe(**changes: Any) -> Recipe:
    sgd = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9}
    return Recipe.model_validate({"network": NETWORK, "optimizer": sgd, "epochs": 2, **changes})


def _train_plainly(images: Images, frozen_epochs: int, average: Average | None) -> tuple[dict[str, Tensor], nn.Linear]:
    """Return the body's and the head's weights after two epochs of torch's own modules and optimizer."""
    body = importlib.import_module("tied_nets").Net()
    head = nn.Linear(144, 4)
    drawn = first_state(build_body(NETWORK, images.shape_HWC, SEED), NETWORK.make_head(4), InitializerChoice(), SEED)
    body.load_state_dict({name.removeprefix("body."): v for name, v in drawn.items() if name[0] == "b"}, strict=False)
    with torch.no_grad():
        head.weight.copy_(drawn["head.0.weight"])
        head.bias.copy_(drawn["head.0.bias"])
    optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=0.05, momentum=0.9, fused=False)
    train_indices, _ = split_stratified(images.labels, 0.2, SEED)
    for epoch in (1, 2):
        body.train(epoch > frozen_epochs).requires_grad_(epoch > frozen_epochs)
        order = epoch_order(train_indices, SEED, epoch)
        for start in range(0, len(order), 32):
            chosen = order[start : start + 32]
            inputs = torch.from_numpy(images.pixels[chosen]).permute(0, 3, 1, 2) / 255
            optimizer.zero_grad()
            F.cross_entropy(head(body(inputs)), torch.from_numpy(images.labels[chosen])).backward()
            optimizer.step()
            if average is not None:
                average.after_step(body.state_dict())
    return body.state_dict() if average is None else average.state or {}, head


@pytest.mark.parametrize("frozen_epochs", [0, 1])
@pytest.mark.parametrize("averaging", [None, EMA(decay=0.5)])
def test_shared_weights_train_as_in_plain_torch(
    frozen_epochs: int, averaging: EMA | None, images: Images, train: Train, tmp_path: Path
) -> None:
    rows = train({"a": _recipe(transfer={"freeze": frozen_epochs}, averaging=averaging)})
    expected, head = _train_plainly(images, frozen_epochs, None if averaging is None else Average(averaging))
    found = load_file(Folders(tmp_path / "workspace").weights("a"))
    own = {name.removeprefix("body."): value for name, value in found.items() if name.startswith("body.")}
    assert set(expected) - set(own) == {"two.weight", *(name for name in expected if name.startswith("again."))}
    for name, value in own.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4)
    if averaging is None:
        torch.testing.assert_close(found["head.0.weight"], head.weight.detach(), rtol=1e-3, atol=1e-4)
    # A shared tensor counts once: 38 of each convolution, less 36 shared; 4 of the norm; the head.
    assert rows["a"]["num_parameters"] == 2 * 38 - 36 + 4 + 4 * 145


class Interrupted(Exception):
    """The connection broke."""


def test_an_interruption_changes_no_digit(images: Images, make_task: Callable[..., CohortTask], tmp_path: Path) -> None:
    task = make_task({"a": _recipe(averaging="ema")})
    train_cohort(task, images, tmp_path / "whole", lambda event: None)

    def receive(event: Event) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        train_cohort(task, images, tmp_path / "parts", receive)
    train_cohort(task, images, tmp_path / "parts", lambda event: None)
    one, other = (Folders(tmp_path / folder).weights("a").read_bytes() for folder in ("whole", "parts"))
    assert one == other


@pytest.mark.parametrize("freeze", [0, "always"])
def test_weights_are_carried_over_under_any_of_their_names(freeze: Any, train: Train, tmp_path: Path) -> None:
    network = importlib.import_module("tied_nets").Net()
    torch.save({f"module.{name}": value for name, value in network.state_dict().items()}, tmp_path / "w.pt")
    still = {"optimizer": {"name": "sgd", "learning_rate": 1e-30}, "epochs": 1}
    transfer = {"weights": {"file": str(tmp_path / "w.pt")}, "freeze": freeze}
    train({"a": _recipe(transfer=transfer, **still)})
    if freeze == 0:
        found = load_file(Folders(tmp_path / "workspace").weights("a"))
        assert torch.equal(found["body.one.weight"], network.one.weight)
        assert torch.equal(found["body.two.bias"], network.two.bias)


def test_tensors_that_should_be_one_and_differ_are_named() -> None:
    body = build_body(NETWORK, (9, 8, 2))
    wanted, whole = body.state(), body.network.state_dict()
    assert body.tied()["two.weight"] == "one.weight"
    other_name = {name: value for name, value in whole.items() if name != "one.weight"}
    fitted = fit_weights(wanted, other_name, title="w.pt", network="Net", tied=body.tied())
    assert torch.equal(fitted["one.weight"], whole["two.weight"])
    with pytest.raises(BakeoffError, match=r"unexpected two\.weight"):
        fit_weights(wanted, {**whole, "two.weight": whole["one.weight"] + 1}, title="w", network="N", tied=body.tied())
