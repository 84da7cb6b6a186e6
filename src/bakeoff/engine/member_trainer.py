"""One member of a cohort in training: its optimizer, schedule, early stopping, best weights and history."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from bakeoff.catalog.networks.layers import Layer
from bakeoff.catalog.schedules import Constant, PlateauState, Progress, start_state
from bakeoff.engine.averaging import Average
from bakeoff.engine.clipping import clip
from bakeoff.engine.fused.build import State
from bakeoff.engine.optim.make_optimizer import complete_momentum, make_optimizer, set_share
from bakeoff.engine.optim.plain_steps import take_step
from bakeoff.engine.optim.schedule_free import ScheduleFree
from bakeoff.engine.stopping import Stopper
from bakeoff.messages import EpochDone, Member, TrialDone, TrialFailed


@dataclass
class MemberTrainer:
    """A member of a cohort and its training state.

    Attributes:
        layers: its trained layer records, head included.
        state: its parameters and buffers; views of a network's if it is bound to one.
        average: the running average of its weights, if the recipe has one.
        averaged: the average after the latest epoch, if its optimizer keeps one.
        plateau: the state of the plateau schedule, if the recipe has one.
        kept: state of its best epoch; None while the latest is the best.
        status: active; ending (trained, results not yet written); ended (results written).
        seconds: its part of the cohort's wall time: each epoch's, divided by the number of active members.
    """

    member: Member
    layers: tuple[Layer, ...]
    state: State
    stopper: Stopper
    average: Average | None = None
    averaged: State | None = None
    plateau: PlateauState | None = None
    kept: State | None = None
    status: Literal["active", "ending", "ended"] = "active"
    history: list[EpochDone] = field(default_factory=list)
    outcome: TrialDone | TrialFailed | None = None
    seconds: float = 0.0
    optimizer: torch.optim.Optimizer | None = None
    optimizer_state: dict[str, Any] | None = None
    parameters: dict[str, nn.Parameter] = field(default_factory=dict)

    @classmethod
    def start(cls, member: Member, layers: tuple[Layer, ...], state: State) -> MemberTrainer:
        """Return a member before its first step."""
        recipe = member.recipe
        return cls(
            member=member,
            layers=layers,
            state=state,
            stopper=Stopper(recipe.early_stopping),
            average=None if recipe.averaging is None else Average(recipe.averaging),
            plateau=start_state(recipe.schedule),
        )

    def bind(self, parameters: Mapping[str, nn.Parameter], buffers: Mapping[str, torch.Tensor], body: Set[str]) -> None:
        """Point state and optimizer at the member's views of a network; `body` names the parameters of its body."""
        if self.optimizer is not None:
            self.optimizer_state = self.optimizer.state_dict()
        self.state = {**parameters, **buffers}
        self.parameters = dict(parameters)
        self._parameters = list(parameters.values())
        recipe = self.member.recipe
        self._scheduled = recipe.schedule != Constant()  # cached: used in every step, and comparing records is slow
        share = 1.0 if recipe.transfer is None else recipe.transfer.body_rate
        rates = {1.0: self._parameters}
        head = [p for name, p in parameters.items() if name not in body]
        if share != 1.0:
            rates = {1.0: head, share: [p for name, p in parameters.items() if name in body]}
        self.optimizer = make_optimizer(recipe.optimizer, rates, head)
        if self.average is not None:
            self.average.move_to(self._parameters[0].device)
        if self.optimizer_state is not None:
            self.optimizer.load_state_dict(self.optimizer_state)
            self.optimizer_state = None
        complete_momentum(self.optimizer)

    def step(self, progress: Progress) -> None:
        """Take one optimizer step, given the training progress before it."""
        assert self.optimizer is not None
        self.prepare_step(progress)
        take_step(self.optimizer)
        self.end_step()

    def prepare_step(self, progress: Progress) -> None:
        """Prepare the optimizer step: set the learning rate, clip the gradients."""
        assert self.optimizer is not None
        recipe = self.member.recipe
        if self._scheduled:
            set_share(self.optimizer, self.rate_share(progress))
        if recipe.clip is not None:
            clip(self._parameters, recipe.clip)

    def end_step(self) -> None:
        """Finish the optimizer step: update the average of the weights, if it is updated after every step."""
        if self.average is not None:
            self.average.after_step(self.state)

    def rate_share(self, progress: Progress) -> float:
        """Return the schedule's factor on the learning rate at this training progress."""
        recipe = self.member.recipe
        if recipe.schedule == Constant():
            return 1.0
        share = recipe.schedule.share(progress, recipe.epochs)
        return share * (1.0 if self.plateau is None else self.plateau.share)

    def end_epoch(self, epoch: int) -> None:
        """Update the average of the weights after an epoch, if it is updated then."""
        if self.average is not None:
            self.average.after_epoch(self.state, epoch)
        if self.member.recipe.optimizer.averages_itself:
            assert isinstance(self.optimizer, ScheduleFree)
            self.averaged = _copy({**self.state, **self.optimizer.average_weights(self.parameters)})

    @property
    def is_averaged(self) -> bool:
        """Whether other weights than the current ones are evaluated and stored."""
        return self.average is not None or self.averaged is not None

    def judged_state(self) -> State:
        """Return the state to evaluate and store: the averaged weights if there are any, else the current ones."""
        averaged = self.averaged if self.average is None else self.average.state
        return dict(self.state) if averaged is None else averaged

    def keep_weights(self) -> None:
        """Mark the current weights as the best."""
        if self.stopper.rule is not None:
            self.kept = _copy(self.judged_state())

    def kept_weights(self) -> State:
        """Return the weights to store: the best epoch's, or the last without early stopping."""
        return self.kept if self.kept is not None else _copy(self.judged_state())

    def release(self) -> None:
        """Free all large objects: the results are on disk."""
        self.status, self.state, self.kept, self.optimizer, self.optimizer_state = "ended", {}, None, None, None
        self.average, self.averaged, self.parameters, self._parameters = None, None, {}, []

    def pack(self) -> dict[str, Any]:
        """Return everything needed to resume, as tensors and plain values.

        While the latest weights are the best, they are stored once.
        """
        newest_kept = self.kept is not None and self.history and self.stopper.best_epoch == self.history[-1].epoch
        return {
            "status": self.status,
            "state": {name: tensor.detach() for name, tensor in self.state.items()},
            "average": None if self.average is None else self.average.pack(),
            **({} if self.averaged is None else {"averaged": self.averaged}),
            "plateau": None if self.plateau is None else self.plateau.pack(),
            "kept": None if newest_kept else self.kept,
            "newest_kept": bool(newest_kept),
            "optimizer": self.optimizer.state_dict() if self.optimizer is not None else self.optimizer_state,
            "stopper": {key: getattr(self.stopper, key) for key in ("best_epoch", "best", "waited")},
            "history": [asdict(epoch) for epoch in self.history],
            "outcome": None if self.outcome is None else asdict(self.outcome),
            "seconds": self.seconds,
        }

    @classmethod
    def unpack(cls, member: Member, layers: tuple[Layer, ...], packed: Mapping[str, Any]) -> MemberTrainer:
        """Rebuild a runner from `pack`'s record."""
        runner = cls.start(member, layers, dict(packed["state"]))
        outcome = packed["outcome"]
        kind = TrialFailed if outcome is not None and "reason" in outcome else TrialDone
        runner.stopper = Stopper(member.recipe.early_stopping, **packed["stopper"])
        if member.recipe.averaging is not None and packed["average"] is not None:
            runner.average = Average.unpack(member.recipe.averaging, packed["average"])
        runner.averaged = packed.get("averaged")
        if runner.plateau is not None and packed["plateau"] is not None:
            runner.plateau = PlateauState(runner.plateau.rule, **packed["plateau"])
        runner.kept = _copy(runner.judged_state()) if packed["newest_kept"] else packed["kept"]
        runner.status = packed["status"]
        runner.history = [EpochDone(**{**epoch, "replayed": True}) for epoch in packed["history"]]
        runner.outcome = None if outcome is None else kind(**outcome)
        runner.seconds = packed["seconds"]
        runner.optimizer_state = packed["optimizer"]
        return runner


def _copy(state: Mapping[str, torch.Tensor]) -> State:
    return {name: tensor.detach().clone() for name, tensor in state.items()}
