"""Muon, schedule-free optimizers and those of timm, as records without torch. optimizers.py registers them."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, cast

from pydantic import Field, create_model

from bakeoff.catalog.fields import (
    APART_DECAY,
    DECAY,
    EPSILON,
    MEAN,
    MEAN_SQUARE,
    RATE,
    Amount,
    DecayingSettings,
    Inside,
    LearningRate,
    Limit,
    Share,
    Switch,
)

_BETA = "Weight of the average, against the fast iterate, in the point where gradients are taken."


class Muon(DecayingSettings):
    """Muon: orthogonal steps for the matrices and filters before the head; AdamW for everything else."""

    splits_matrices: ClassVar[bool] = True

    name: Literal["muon"] = "muon"
    learning_rate: LearningRate = Field(default=0.001, description=RATE)
    momentum: Share = Field(default=0.95, description="Momentum factor of matrices.")
    nesterov: Switch = Field(default=True, description="Whether matrices have Nesterov momentum.")
    adjust: Literal["match_rms_adamw", "original"] = Field(
        default="match_rms_adamw",
        description="Factor on the learning rate of a matrix. match_rms_adamw: 0.2 sqrt(max(rows, columns)), so that "
        "AdamW's learning rates fit; original: sqrt(max(1, rows / columns)).",
    )
    adamw_rate: Limit = Field(
        default=1.0, description="Factor on the learning rate of the parameters that AdamW updates."
    )
    beta1: Share = Field(default=0.9, description=f"AdamW: {MEAN[0].lower()}{MEAN[1:]}")
    beta2: Share = Field(default=0.999, description=f"AdamW: {MEAN_SQUARE[0].lower()}{MEAN_SQUARE[1:]}")
    epsilon: Amount = Field(default=1e-8, description=f"AdamW: {EPSILON[0].lower()}{EPSILON[1:]}")
    weight_decay: Amount = Field(default=0.1, description=APART_DECAY)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `bakeoff.engine.optim.muon.Muon`."""
        return {
            "lr": self.learning_rate,
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            "weight_decay": self.weight_decay,
            "adjust": self.adjust,
            "betas": (self.beta1, self.beta2),
            "eps": self.epsilon,
        }

    def find_rate(self, *, is_matrix: bool) -> float:
        """Return the learning rate of matrices before the head, or of other parameters."""
        return self.learning_rate * (1.0 if is_matrix else self.adamw_rate)


class SGDScheduleFree(DecayingSettings):
    """Schedule-free SGD: evaluates an average of its iterates, so it needs no falling learning rate."""

    averages_itself: ClassVar[bool] = True

    name: Literal["sgd_schedule_free"] = "sgd_schedule_free"
    learning_rate: LearningRate = Field(default=1.0, description=RATE)
    beta: Inside = Field(default=0.9, description=_BETA)
    weight_decay: Amount = Field(default=0.0, description=APART_DECAY)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `bakeoff.engine.optim.schedule_free.ScheduleFree`."""
        return {"lr": self.learning_rate, "beta": self.beta, "weight_decay": self.weight_decay}


class AdamWScheduleFree(DecayingSettings):
    """Schedule-free AdamW: evaluates an average of its iterates, so it needs no falling learning rate."""

    averages_itself: ClassVar[bool] = True

    name: Literal["adamw_schedule_free"] = "adamw_schedule_free"
    learning_rate: LearningRate = Field(default=0.0025, description=RATE)
    beta: Inside = Field(default=0.9, description=_BETA)
    beta2: Share = Field(default=0.999, description=MEAN_SQUARE)
    epsilon: Amount = Field(default=1e-8, description=EPSILON)
    weight_decay: Amount = Field(default=0.0, description=APART_DECAY)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `bakeoff.engine.optim.schedule_free.ScheduleFree`."""
        return {
            "lr": self.learning_rate,
            "beta": self.beta,
            "beta2": self.beta2,
            "eps": self.epsilon,
            "weight_decay": self.weight_decay,
        }


class TimmSettings(DecayingSettings):
    """The settings of an optimizer of timm: those that its class takes, under our names."""

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the optimizer's class in `timm.optim`."""
        fields = type(self).model_fields
        betas = tuple(getattr(self, name) for name in ("beta1", "beta2", "beta3") if name in fields)
        ours = {"learning_rate": "lr", "epsilon": "eps", "weight_decay": "weight_decay", "momentum": "momentum"}
        found = {theirs: getattr(self, name) for name, theirs in ours.items() if name in fields}
        return {**found, **({"betas": betas} if betas else {})}


_KINDS: dict[str, tuple[Any, str]] = {
    "learning_rate": (LearningRate, RATE),
    "beta1": (Share, MEAN),
    "beta2": (Share, MEAN_SQUARE),
    "beta3": (Share, MEAN_SQUARE),
    "momentum": (Share, "Momentum factor, from 0 up to but not including 1."),
    "epsilon": (Amount, EPSILON),
    "weight_decay": (Amount, DECAY),
}


def make_timm_settings(title: str, **defaults: float) -> type[TimmSettings]:
    """Make the settings record of an optimizer of timm. It is pickled by its title, its name in this module.

    Args:
        title: its class in `timm.optim`; in lower case its name in a study file.
        defaults: the settings that its class takes, with their defaults.
    """
    named, name = cast("Any", Literal), title.lower()
    fields: dict[str, Any] = {
        field: (_KINDS[field][0], Field(default=default, description=_KINDS[field][1]))
        for field, default in defaults.items()
    }
    return create_model(
        title,
        __base__=TimmSettings,
        __doc__=f"The settings of timm's {title}.",
        __module__=__name__,
        name=(named[name], name),
        **fields,
    )


Lamb = make_timm_settings(
    "Lamb",
    learning_rate=0.001,
    beta1=0.9,
    beta2=0.999,
    epsilon=1e-6,
    weight_decay=0.01,
)
Lars = make_timm_settings(
    "Lars",
    learning_rate=1.0,
    momentum=0.0,
    weight_decay=0.0,
)
Adan = make_timm_settings(
    "Adan",
    learning_rate=0.001,
    beta1=0.98,
    beta2=0.92,
    beta3=0.99,
    epsilon=1e-8,
    weight_decay=0.0,
)
AdaBelief = make_timm_settings(
    "AdaBelief",
    learning_rate=0.001,
    beta1=0.9,
    beta2=0.999,
    epsilon=1e-16,
    weight_decay=0.0,
)
Adopt = make_timm_settings(
    "Adopt",
    learning_rate=0.001,
    beta1=0.9,
    beta2=0.9999,
    epsilon=1e-6,
    weight_decay=0.0,
)
MADGRAD = make_timm_settings(
    "MADGRAD",
    learning_rate=0.01,
    momentum=0.9,
    epsilon=1e-6,
    weight_decay=0.0,
)
