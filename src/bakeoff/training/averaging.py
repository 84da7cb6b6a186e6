"""Weight averaging: the network that is judged and kept is a mean of those that training went through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from bakeoff.networks.choices import Record, RegistryEntry, collect_names, spell_out
from bakeoff.training.fields import NumEpochs, Share, Switch

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class EMA(Record):
    """An exponential moving average of the weights, updated after every step."""

    per_step: ClassVar[bool] = True

    name: Literal["ema"] = "ema"
    decay: Share = Field(default=0.999, description="Decay rate of the moving average, per step.")
    warm_up: Switch = Field(
        default=True,
        description="Whether to begin with a lower decay, (1 + n) / (10 + n) at step n, so that the initial weights "
        "are forgotten.",
    )


class SWA(Record):
    """Stochastic weight averaging: the mean of the weights at the end of each epoch from a given one on."""

    per_step: ClassVar[bool] = False

    name: Literal["swa"] = "swa"
    from_epoch: NumEpochs = Field(description="First epoch, counted from 1, whose final weights enter the average.")


AnyAveraging: TypeAlias = EMA | SWA


AveragingRecord: TypeAlias = RegistryEntry[AnyAveraging]
"""One way of averaging weights that a study can name."""


AVERAGINGS: tuple[AveragingRecord, ...] = (
    AveragingRecord(
        "ema",
        "keeps an exponential moving average of the weights, renewed after every step",
        "Polyak and Juditsky (1992); Tan and Le (2019), EfficientNet; warm-up as in tf.train.ExponentialMovingAverage",
        EMA,
    ),
    AveragingRecord(
        "swa",
        "keeps the plain mean of the weights at the ends of the last epochs",
        "Izmailov et al. (2018), Averaging weights leads to wider optima and better generalization; "
        "batch norm's statistics are averaged too, not computed again",
        SWA,
    ),
)

AVERAGING_NAMES: tuple[str, ...] = collect_names(AVERAGINGS)

_Tagged: TypeAlias = Annotated[AnyAveraging, Field(discriminator="name")]


def _spell_out_averaging(value: object) -> object:
    return spell_out(value, kind="averaging", allowed=AVERAGING_NAMES)


AveragingChoice: TypeAlias = Annotated[
    _Tagged, BeforeValidator(_spell_out_averaging, json_schema_input_type=Literal["ema"] | _Tagged)
]
"""A way of averaging in a recipe: a bare name, a mapping of a name and settings, or one of the records."""


def find_conflict(averaging: AnyAveraging, num_epochs: int) -> str | None:
    """Return in one line why this averaging does not suit that many epochs, or None."""
    if isinstance(averaging, EMA) or averaging.from_epoch <= num_epochs:
        return None
    return f"from_epoch {averaging.from_epoch} comes after the last of {num_epochs}; begin earlier, or train for longer"


class Average:
    """The average of one member's weights so far. Works on tensors it is handed; `state` is its own copy.

    Attributes:
        choice: how to average.
        num_updates: how many states have entered.
        state: the average under the names of the states; None before the first has entered.
    """

    def __init__(self, choice: AnyAveraging) -> None:
        self.choice = choice
        self.num_updates = 0
        self.state: dict[str, Tensor] | None = None

    def after_step(self, state: Mapping[str, Tensor]) -> None:
        """Take in the weights after a step, where the choice asks for every step's."""
        if self.choice.per_step:
            self.update(state)

    def after_epoch(self, state: Mapping[str, Tensor], epoch: int) -> None:
        """Take in the weights after `epoch` (from 1), where the choice asks for this epoch's."""
        if isinstance(self.choice, SWA) and epoch >= self.choice.from_epoch:
            self.update(state)

    def update(self, state: Mapping[str, Tensor]) -> None:
        """Take in one state: parameters and batch norm's statistics alike. Whole numbers are copied, not averaged.

        The first state is the average; the n-th of SWA counts 1/n, of EMA one minus the decay.
        """
        self.num_updates += 1
        if self.state is None:
            self.state = {name: tensor.detach().clone() for name, tensor in state.items()}
            return
        weight = self.weigh(self.num_updates)
        for name, tensor in state.items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor.detach(), weight)
            else:
                self.state[name].copy_(tensor.detach())

    def weigh(self, number: int) -> float:
        """Return how much the state that enters as the `number`-th, from 1, counts against those before it."""
        if number == 1:
            return 1.0
        if isinstance(self.choice, SWA):
            return 1 / number
        decay = self.choice.decay
        if self.choice.warm_up:
            decay = min(decay, (1 + number) / (10 + number))
        return 1 - decay

    def move_to(self, device: torch.device) -> None:
        """Bring the average to where the weights are."""
        if self.state is not None:
            self.state = {name: tensor.to(device) for name, tensor in self.state.items()}

    def pack(self) -> dict[str, Any]:
        """Return all but the choice, as tensors and plain values."""
        return {"state": self.state, "num_updates": self.num_updates}

    @classmethod
    def unpack(cls, choice: AnyAveraging, packed: Mapping[str, Any]) -> Average:
        """Rebuild an average from `pack`'s record."""
        average = cls(choice)
        average.num_updates = packed["num_updates"]
        if packed["state"] is not None:
            average.state = {name: tensor.clone() for name, tensor in packed["state"].items()}
        return average
