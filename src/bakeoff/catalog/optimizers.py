"""The optimizers, as records without torch. To add one: a settings class and an entry in OPTIMIZERS.

Adam's family is in adam_family.py. make_optimizer.py creates the optimizers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bakeoff.catalog.adam_family import Adam, Adamax, AdamW, NAdam, RAdam
from bakeoff.catalog.choices import RegistryEntry, choose_from
from bakeoff.catalog.fields import (
    APART_DECAY,
    DECAY,
    EPSILON,
    MEAN,
    MEAN_SQUARE,
    RATE,
    DecayingSettings,
    LearningRate,
    OptimizerSettings,
    Share,
    Switch,
)
from bakeoff.catalog.fields import INCOMPATIBLE as INCOMPATIBLE
from bakeoff.catalog.fields import Amount as Amount
from bakeoff.catalog.recent_optimizers import (
    MADGRAD,
    AdaBelief,
    AdamWScheduleFree,
    Adan,
    Adopt,
    Lamb,
    Lars,
    Muon,
    SGDScheduleFree,
    TimmSettings,
)
from bakeoff.registry import Implementation, Registry


class SGD(DecayingSettings):
    """Stochastic gradient descent, with or without momentum."""

    name: Literal["sgd"] = "sgd"
    learning_rate: LearningRate = Field(default=0.01, description=RATE)
    momentum: Share = Field(default=0.0, description="Momentum factor, from 0 up to but not including 1.")
    nesterov: Switch = Field(default=False, description="Whether to use Nesterov momentum; needs a momentum above 0.")
    weight_decay: Amount = Field(default=0.0, description=DECAY)

    @model_validator(mode="after")
    def _require_momentum(self) -> SGD:
        if self.nesterov and self.momentum == 0:
            raise PydanticCustomError(INCOMPATIBLE, "nesterov needs a momentum above 0")
        return self

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `torch.optim.SGD`."""
        return {
            "lr": self.learning_rate,
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            "weight_decay": self.weight_decay,
        }


class RMSprop(DecayingSettings):
    """RMSprop: steps divided by the running root mean square of the gradient."""

    name: Literal["rmsprop"] = "rmsprop"
    learning_rate: LearningRate = Field(default=0.01, description=RATE)
    smoothing: Share = Field(default=0.99, description=MEAN_SQUARE)
    momentum: Share = Field(default=0.0, description="Momentum factor, from 0 up to but not including 1.")
    centered: Switch = Field(
        default=False,
        description="Whether to divide by the running standard deviation of the gradient, not its root mean square.",
    )
    epsilon: Amount = Field(default=1e-8, description=EPSILON)
    weight_decay: Amount = Field(default=0.0, description=DECAY)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `torch.optim.RMSprop`."""
        return {
            "lr": self.learning_rate,
            "alpha": self.smoothing,
            "momentum": self.momentum,
            "centered": self.centered,
            "eps": self.epsilon,
            "weight_decay": self.weight_decay,
        }


class Adagrad(DecayingSettings):
    """Adagrad: steps divided by the root of the sum of all squared gradients so far."""

    name: Literal["adagrad"] = "adagrad"
    learning_rate: LearningRate = Field(default=0.01, description=RATE)
    learning_rate_decay: Amount = Field(
        default=0.0, description="Learning rate decay: step t divides the learning rate by 1 + (t - 1) * value."
    )
    initial_accumulator: Amount = Field(default=0.0, description="Initial value of the sum of squared gradients.")
    epsilon: Amount = Field(default=1e-10, description=EPSILON)
    weight_decay: Amount = Field(default=0.0, description=DECAY)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `torch.optim.Adagrad`."""
        return {
            "lr": self.learning_rate,
            "lr_decay": self.learning_rate_decay,
            "initial_accumulator_value": self.initial_accumulator,
            "eps": self.epsilon,
            "weight_decay": self.weight_decay,
        }


class Adadelta(DecayingSettings):
    """Adadelta: steps scaled by the ratio of the running RMS of past steps to that of past gradients."""

    name: Literal["adadelta"] = "adadelta"
    learning_rate: LearningRate = Field(default=1.0, description="Multiplies every step; 1 is the published method.")
    smoothing: Share = Field(
        default=0.9, description="Decay rate of the running means of squared gradients and squared steps."
    )
    epsilon: Amount = Field(
        default=1e-6,
        description="Added to both running means for numerical stability; it sets the size of the first steps.",
    )
    weight_decay: Amount = Field(default=0.0, description=DECAY)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `torch.optim.Adadelta`."""
        return {
            "lr": self.learning_rate,
            "rho": self.smoothing,
            "eps": self.epsilon,
            "weight_decay": self.weight_decay,
        }


class Lion(DecayingSettings):
    """Lion: steps of equal size in every weight, in the direction of the sign of a running mean of the gradient."""

    name: Literal["lion"] = "lion"
    learning_rate: LearningRate = Field(
        default=0.0001, description="Learning rate; typically 3 to 10 times smaller than for AdamW."
    )
    beta1: Share = Field(
        default=0.9,
        description="Weight of the running mean of the gradient in the step direction; the new gradient has the rest.",
    )
    beta2: Share = Field(default=0.99, description=MEAN)
    weight_decay: Amount = Field(default=0.0, description=APART_DECAY)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `bakeoff.engine.optim.lion.Lion`."""
        return {"lr": self.learning_rate, "betas": (self.beta1, self.beta2), "weight_decay": self.weight_decay}


AnyOptimizer: TypeAlias = OptimizerSettings
"""The settings of any registered optimizer."""


@dataclass(frozen=True)
class OptimizerRecord(RegistryEntry[OptimizerSettings]):
    """One optimizer that a study can name.

    Attributes:
        make: `module:class` of the `torch.optim.Optimizer`, called with `settings.arguments()`.
        fused: where it accepts `fused=True`: never, on a CPU only, or always.
        elementwise: whether a step updates every weight independently, from its own gradient, so that one call on the
            stacked weights can update all members. If that is not certain, leave it False.
        stack_rule: `module:function` from settings to a `stack_rules.Rule` for members with different settings, or to
            None; empty if there is none: a GPU then updates members one by one.
        needs: the installed distribution that implements it, if that is an extra; its version is part of a trial's id.
    """

    make: Implementation
    fused: Literal["never", "cpu", "always"] = "never"
    elementwise: bool = False
    stack_rule: Implementation = ""
    needs: str = ""


def _take_from_timm(settings: type[TimmSettings], summary: str, source: str) -> OptimizerRecord:
    """Return the record of an optimizer of timm."""
    return OptimizerRecord(
        settings.model_fields["name"].default,
        summary,
        f"{source}; timm.optim.{settings.__name__}",
        settings,
        make=f"bakeoff.engine.optim.timm_optimizers:{settings.__name__}",
        needs="timm",
    )


_RULES = "bakeoff.engine.optim.stack_rules"

_OURS: tuple[OptimizerRecord, ...] = (
    OptimizerRecord(
        "sgd",
        "plain steps along the gradient, optionally with momentum or Nesterov's momentum",
        "Robbins and Monro (1951); Sutskever, Martens, Dahl and Hinton (2013) for the momentum",
        SGD,
        make="torch.optim:SGD",
        fused="always",
        elementwise=True,
        stack_rule=f"{_RULES}:choose_sgd",
    ),
    OptimizerRecord(
        "adam",
        "steps scaled by running means of the gradient and of its square",
        "Kingma and Ba (2015), Adam: a method for stochastic optimization",
        Adam,
        make="torch.optim:Adam",
        fused="always",
        elementwise=True,
        stack_rule=f"{_RULES}:choose_adam",
    ),
    OptimizerRecord(
        "adamw",
        "adam with decoupled weight decay",
        "Loshchilov and Hutter (2019), Decoupled weight decay regularization",
        AdamW,
        make="torch.optim:AdamW",
        fused="always",
        elementwise=True,
        stack_rule=f"{_RULES}:choose_adamw",
    ),
    OptimizerRecord(
        "rmsprop",
        "steps scaled by a running root mean square of the gradient",
        "Tieleman and Hinton (2012), Neural networks for machine learning, lecture 6.5",
        RMSprop,
        make="torch.optim:RMSprop",
        elementwise=True,
        stack_rule=f"{_RULES}:choose_rmsprop",
    ),
    OptimizerRecord(
        "adagrad",
        "steps that shrink with the sum of all squared gradients",
        "Duchi, Hazan and Singer (2011), Adaptive subgradient methods for online learning",
        Adagrad,
        make="torch.optim:Adagrad",
        fused="cpu",
        elementwise=True,
    ),
    OptimizerRecord(
        "nadam",
        "adam with Nesterov's momentum",
        "Dozat (2016), Incorporating Nesterov momentum into Adam",
        NAdam,
        make="torch.optim:NAdam",
        elementwise=True,
    ),
    OptimizerRecord(
        "radam",
        "adam with a built-in warm-up, until its scaling is reliable",
        "Liu et al. (2020), On the variance of the adaptive learning rate and beyond",
        RAdam,
        make="torch.optim:RAdam",
        elementwise=True,
    ),
    OptimizerRecord(
        "adamax",
        "adam scaled by the largest recent gradient",
        "Kingma and Ba (2015), Adam: a method for stochastic optimization, section 7.1",
        Adamax,
        make="torch.optim:Adamax",
        elementwise=True,
    ),
    OptimizerRecord(
        "adadelta",
        "steps scaled by the size of recent steps and gradients",
        "Zeiler (2012), ADADELTA: an adaptive learning rate method",
        Adadelta,
        make="torch.optim:Adadelta",
        elementwise=True,
    ),
    OptimizerRecord(
        "lion",
        "steps of equal size, along the sign of a running mean of the gradient",
        "Chen et al. (2023), Symbolic discovery of optimization algorithms",
        Lion,
        make="bakeoff.engine.optim.lion:Lion",
        elementwise=True,
        stack_rule=f"{_RULES}:choose_lion",
    ),
    OptimizerRecord(
        "muon",
        "orthogonal steps for matrices and filters, adamw for the rest",
        "Jordan et al. (2024), Muon: an optimizer for hidden layers in neural networks; torch.optim.Muon",
        Muon,
        make="bakeoff.engine.optim.muon:Muon",
    ),
    OptimizerRecord(
        "sgd_schedule_free",
        "sgd that evaluates an average of its iterates",
        "Defazio et al. (2024), The road less scheduled",
        SGDScheduleFree,
        make="bakeoff.engine.optim.schedule_free:SGDScheduleFree",
    ),
    OptimizerRecord(
        "adamw_schedule_free",
        "adamw that evaluates an average of its iterates",
        "Defazio et al. (2024), The road less scheduled",
        AdamWScheduleFree,
        make="bakeoff.engine.optim.schedule_free:AdamWScheduleFree",
    ),
    _take_from_timm(
        Lamb,
        "adam with a step size per layer, for large batches",
        "You et al. (2020), Large batch optimization for deep learning: training BERT in 76 minutes",
    ),
    _take_from_timm(
        Lars,
        "sgd with a step size per layer, for large batches",
        "You, Gitman and Ginsburg (2017), Large batch training of convolutional networks",
    ),
    _take_from_timm(
        Adan,
        "adam with Nesterov's momentum from differences of gradients",
        "Xie et al. (2022), Adan: adaptive Nesterov momentum algorithm for faster optimizing deep models",
    ),
    _take_from_timm(
        AdaBelief,
        "adam scaled by how far gradients are from their running mean",
        "Zhuang et al. (2020), AdaBelief optimizer: adapting stepsizes by the belief in observed gradients",
    ),
    _take_from_timm(
        Adopt,
        "adam that converges for any beta2, scaled before momentum",
        "Taniguchi et al. (2024), ADOPT: modified Adam can converge with any beta2 with the optimal rate",
    ),
    _take_from_timm(
        MADGRAD,
        "dual averaging scaled by the cube root of squared gradients",
        "Defazio and Jelassi (2022), Adaptivity without compromise: a momentumized, adaptive, dual averaged gradient",
    ),
)

OPTIMIZERS: Registry[OptimizerRecord] = Registry("optimizer", _OURS, "bakeoff.optimizers")

DEFAULT_OPTIMIZER = "adam"

OptimizerChoice: TypeAlias = Annotated[AnyOptimizer, choose_from(OPTIMIZERS, default=DEFAULT_OPTIMIZER)]
"""An optimizer in a recipe: a bare name, a mapping of a name and settings (no name: Adam), or one of the records."""
