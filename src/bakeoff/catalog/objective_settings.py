"""The settings of a member's loss. Records without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from bakeoff.catalog.choices import UNKNOWN_NAME
from bakeoff.catalog.fields import Amount
from bakeoff.catalog.losses import CrossEntropy, LossSettings
from bakeoff.errors import ClassesError, nearest

BALANCED = "balanced"

_MAX_SHOWN_CLASSES = 20


def _check_kind(value: object) -> object:
    """Refuse other values; class names that look like numbers (`0: 2.0`) become text."""
    if isinstance(value, Mapping):
        return {str(key) if type(key) is int else key: weight for key, weight in value.items()}
    if value == BALANCED:
        return value
    hint = nearest(value, (BALANCED,)) if isinstance(value, str) else ""
    message = f"given {str(value)[:60]!r}, allowed 'balanced' or a mapping of class names to weights.{hint}"
    raise PydanticCustomError(UNKNOWN_NAME, "{message}", {"given": value, "allowed": [BALANCED], "message": message})


def _find_kind(value: Any) -> str:
    return "WeightsByName" if isinstance(value, Mapping) else "WeightsByCount"


def _refuse_empty(weights: dict[str, float]) -> dict[str, float]:
    if not weights:
        raise PydanticCustomError("too_short", "at least one class needs a weight")
    return weights


ClassWeights: TypeAlias = Annotated[
    Annotated[Literal["balanced"], Tag("WeightsByCount")]
    | Annotated[
        dict[str, Amount],
        AfterValidator(_refuse_empty),
        Field(json_schema_extra={"minProperties": 1}),
        Tag("WeightsByName"),
    ],
    Discriminator(_find_kind),
    BeforeValidator(_check_kind, json_schema_input_type=Literal["balanced"] | dict[str, Amount]),
]
"""The weight of each class: `balanced` (inverse to its frequency), or weights by name, 1 for the others."""


@dataclass(frozen=True)
class ObjectiveSettings:
    """One member's settings.

    Attributes:
        label_smoothing: fraction of the target spread evenly over all classes, from 0 up to but not including 1.
        class_weights: the weight of each class; None: 1 for all.
        loss: the loss to which both apply.
    """

    label_smoothing: float = 0.0
    class_weights: Literal["balanced"] | Mapping[str, float] | None = None
    loss: LossSettings = field(default_factory=CrossEntropy)

    @property
    def plain(self) -> bool:
        """Whether this is the usual cross-entropy."""
        return self.label_smoothing == 0.0 and self.class_weights is None and self.loss == CrossEntropy()


def check_class_weights(weights: Literal["balanced"] | Mapping[str, float] | None, class_names: Sequence[str]) -> None:
    """Check that the images have every class with a weight.

    Raises:
        DataError: a class does not exist; names it, the existing ones and the closest.
    """
    if weights is None or isinstance(weights, str):
        return
    for name in weights:
        if name not in class_names:
            shown = [repr(known) for known in class_names[:_MAX_SHOWN_CLASSES]]
            more = len(class_names) - len(shown)
            ending = f" and {more} more" if more else ""
            raise ClassesError(
                f"class_weights: the images have no class {name!r}. "
                f"Their classes: {', '.join(shown)}{ending}.{nearest(name, class_names)}"
            )
