"""Checkpoints of training programs: which weights are taken out of them, by torch and by a look at the file's codes."""

from __future__ import annotations

import argparse
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bakeoff.engine.checkpoint_layout import holds_average
from bakeoff.engine.weight_files import read_weights_file
from bakeoff.engine.weights import fit_weights
from bakeoff.errors import WeightsError

BODY = {"conv.weight": torch.ones(2, 1, 3, 3), "conv.bias": torch.ones(2)}
AVERAGE = {name: value + 1 for name, value in BODY.items()}
HEAD = {"fc.weight": torch.zeros(3, 2)}
REST: dict[str, Any] = {
    "epoch": 3,
    "arch": "net",
    "optimizer": {"state": {0: {"step": 7.0}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    # Both programs store their settings, in which the average's key is a switch.
    "args": argparse.Namespace(model_ema=True, data="imagenet", betas=(0.9, 0.99)),
    "metric": 0.75,
}


def _prefix(state: dict[str, Tensor], prefix: str = "module.") -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def _as_torch_keeps_it(state: dict[str, Tensor]) -> OrderedDict[str, Tensor]:
    """Return a state dict with what torch hangs on to it."""
    kept = OrderedDict(state)
    kept._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    return kept


WEIGHTS = {**BODY, **HEAD}
AVERAGED = {**AVERAGE, **HEAD}
LAYOUTS: dict[str, tuple[dict[str, Any], bool]] = {
    "timm": ({**REST, "state_dict": _as_torch_keeps_it(WEIGHTS), "state_dict_ema": _as_torch_keeps_it(AVERAGED)}, True),
    "timm, without": ({**REST, "state_dict": WEIGHTS}, False),
    "torchvision": (
        {**REST, "model": WEIGHTS, "model_ema": {"n_averaged": torch.tensor(9), **_prefix(AVERAGED)}},
        True,
    ),
    "torchvision, without": ({**REST, "model": _prefix(WEIGHTS)}, False),
    "nested": ({"ema": {"module": AVERAGED, "decay": 0.999}, "net": WEIGHTS}, True),
    "empty average": ({"state_dict": WEIGHTS, "state_dict_ema": {}}, False),
    "switch": ({"state_dict": WEIGHTS, "model_ema": True}, False),
    "compiled": ({"model": _prefix(WEIGHTS, "_orig_mod.")}, False),
    "bare": (WEIGHTS, False),
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_average_is_taken_unless_told_otherwise(layout: str, legacy: bool, tmp_path: Path) -> None:
    content, has_average = LAYOUTS[layout]
    path = tmp_path / "w.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert holds_average(path) == has_average
    for ema, expected in ((None, AVERAGE if has_average else BODY), (False, BODY)):
        taken = fit_weights(BODY, read_weights_file(path, ema=ema), title="w", network="Net")
        assert all(torch.equal(taken[name], expected[name]) for name in BODY)
    if has_average:
        assert read_weights_file(path, ema=True).keys() == read_weights_file(path).keys()
    else:
        with pytest.raises(WeightsError, match="leave out ema"):
            read_weights_file(path, ema=True)


def test_an_average_alone_is_taken(tmp_path: Path) -> None:
    network = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 2, 3)))
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    torch.save({"model_ema": averaged.state_dict()}, tmp_path / "w.pth")
    assert holds_average(tmp_path / "w.pth")
    taken = fit_weights(BODY, read_weights_file(tmp_path / "w.pth"), title="w", network="Net")
    assert torch.equal(taken["conv.weight"], network.conv.weight)
    with pytest.raises(WeightsError, match="moving average"):
        read_weights_file(tmp_path / "w.pth", ema=False)


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit",))


def test_a_look_at_the_codes_runs_nothing(tmp_path: Path) -> None:
    torch.save({"state_dict_ema": {"a": _Trap()}}, tmp_path / "trap.pth")
    assert holds_average(tmp_path / "trap.pth")  # by its keys; reading it is refused
    with pytest.raises(WeightsError, match="tensors"):
        read_weights_file(tmp_path / "trap.pth")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"state_dict_ema": 1}))
    (tmp_path / "short.pth").write_bytes((tmp_path / "trap.pth").read_bytes()[:300])
    save_file(BODY, tmp_path / "w.safetensors")
    assert not any(holds_average(tmp_path / name) for name in ("plain.pkl", "short.pth", "w.safetensors", "nowhere"))
