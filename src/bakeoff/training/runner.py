"""One member in training: its optimizer, its early stopping, the weights it keeps, what it has lived through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from bakeoff.networks.build import State
from bakeoff.networks.layers import Layer
from bakeoff.training.stopping import Stopper
from bakeoff.training.task import EpochDone, Member, TrialDone, TrialFailed


@dataclass
class Runner:
    """A member's life in its cohort.

    Attributes:
        layers: its network, head included.
        state: its parameters when it is not bound to a fused network.
        kept: parameters of its best epoch; None while the newest are the ones to keep.
        status: active; ending (trained, results not yet written); ended (results written).
        seconds: its share of the cohort's wall time: each epoch's, divided by the members in it.
    """

    member: Member
    layers: tuple[Layer, ...]
    state: State
    stopper: Stopper
    kept: State | None = None
    status: Literal["active", "ending", "ended"] = "active"
    history: list[EpochDone] = field(default_factory=list)
    outcome: TrialDone | TrialFailed | None = None
    seconds: float = 0.0
    optimizer: torch.optim.Optimizer | None = None
    optimizer_state: dict[str, Any] | None = None

    def bind(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Point state and optimizer at `parameters`, the member's views of a fused network."""
        if self.optimizer is not None:
            self.optimizer_state = self.optimizer.state_dict()
        self.state = dict(parameters)
        self.optimizer = make_optimizer(self.member, list(parameters.values()))
        if self.optimizer_state is not None:
            self.optimizer.load_state_dict(self.optimizer_state)
            self.optimizer_state = None

    def keep_weights(self) -> None:
        """Remember the present weights as the ones to keep."""
        if self.stopper.rule is not None:
            self.kept = {name: tensor.detach().clone() for name, tensor in self.state.items()}

    def kept_weights(self) -> State:
        """Return the weights to keep: the best epoch's, or the last where nothing decides."""
        return self.kept if self.kept is not None else {name: t.detach().clone() for name, t in self.state.items()}

    def release(self) -> None:
        """Let go of everything large: the results are on disk."""
        self.status, self.state, self.kept, self.optimizer, self.optimizer_state = "ended", {}, None, None, None

    def pack(self) -> dict[str, Any]:
        """Return all that resuming needs, as tensors and plain values.

        While the newest weights are the ones to keep, they are stored once.
        """
        newest_kept = self.kept is not None and self.history and self.stopper.best_epoch == self.history[-1].epoch
        return {
            "status": self.status,
            "state": {name: tensor.detach() for name, tensor in self.state.items()},
            "kept": None if newest_kept else self.kept,
            "newest_kept": bool(newest_kept),
            "optimizer": self.optimizer.state_dict() if self.optimizer is not None else self.optimizer_state,
            "stopper": {key: getattr(self.stopper, key) for key in ("best_epoch", "best", "waited")},
            "history": [asdict(epoch) for epoch in self.history],
            "outcome": None if self.outcome is None else asdict(self.outcome),
            "seconds": self.seconds,
        }

    @classmethod
    def unpack(cls, member: Member, layers: tuple[Layer, ...], packed: Mapping[str, Any]) -> Runner:
        """Rebuild a runner from `pack`'s record."""
        outcome = packed["outcome"]
        kind = TrialFailed if outcome is not None and "reason" in outcome else TrialDone
        return cls(
            member=member,
            layers=layers,
            state=dict(packed["state"]),
            stopper=Stopper(member.recipe.early_stopping, **packed["stopper"]),
            kept={name: tensor.clone() for name, tensor in packed["state"].items()}
            if packed["newest_kept"]
            else packed["kept"],
            status=packed["status"],
            history=[EpochDone(**{**epoch, "replayed": True}) for epoch in packed["history"]],
            outcome=None if outcome is None else kind(**outcome),
            seconds=packed["seconds"],
            optimizer_state=packed["optimizer"],
        )


def make_optimizer(member: Member, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the member's own torch.optim optimizer over `parameters`, in its fused form where torch has one."""
    choice = member.recipe.optimizer
    kind = getattr(torch.optim, choice.torch_name)
    arguments = choice.arguments()
    if choice.torch_name in ("SGD", "Adam", "AdamW", "Adagrad"):
        arguments["fused"] = True
    optimizer: torch.optim.Optimizer = kind(parameters, **arguments)
    return optimizer
