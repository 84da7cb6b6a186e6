"""Transfer learning: a network's pretrained weights, and the part of it that is trained. Records without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from bakeoff.catalog.choices import UNKNOWN_NAME, GrownRecord, Record
from bakeoff.catalog.networks.layers import AnyLayer, Dense, Dropout
from bakeoff.catalog.networks.outside import is_published
from bakeoff.errors import NetworkFitError, PublishedWeightsError, nearest


def _require_digits(least: int, most: int) -> AfterValidator:
    """Return a validator for hexadecimal digits; pydantic's own message would show a pattern."""

    def check(text: str) -> str:
        if least <= len(text) <= most and set(text) <= set("0123456789abcdef"):
            return text
        count = str(most) if least == most else f"{least} to {most}"
        raise PydanticCustomError(
            "digits", "given {given}, allowed {count} of 0..9 and a..f", {"given": text, "count": count}
        )

    return AfterValidator(check)


Sha256: TypeAlias = Annotated[str, _require_digits(64, 64)]


class FileWeights(Record):
    """Weights from a local file: safetensors, or a torch.save file with only tensors."""

    file: str = Field(min_length=1, description="Path to the file.")
    sha256: Sha256 | None = Field(
        default=None, description="Expected SHA-256 of the file, in hexadecimal; any other file is refused."
    )
    ema: bool | None = Field(
        default=None,
        strict=True,
        description="For a training checkpoint. true: the moving average of the weights; false: the weights "
        "themselves; null: the average if there is one.",
    )


class TrialWeights(Record):
    """Weights of an earlier trial in this workspace."""

    trial: Annotated[str, _require_digits(4, 64)] = Field(description="The trial's id in the ledger.")


class StudyWeights(Record):
    """Weights of an arm of an earlier study in this workspace, replicate by replicate."""

    study: str = Field(min_length=1, description="Name of the study.")
    arm: str = Field(min_length=1, description="Label of the arm.")
    block: str | None = Field(default=None, description="Label of the block; needed if the study has several.")


_FIELDS: Mapping[str, type[Record]] = {"file": FileWeights, "trial": TrialWeights, "study": StudyWeights}
_ALLOWED = ("imagenet", "{file: PATH}", "{trial: ID}", "{study: NAME, arm: LABEL}")


def _check_weights(value: object) -> object:
    """Refuse values without weights before their fields are validated, because the fields distinguish the kinds."""
    if isinstance(value, BaseModel) or value == "imagenet":
        return value
    if isinstance(value, Mapping) and sum(field in value for field in _FIELDS) == 1:
        return value
    hint = nearest(value, ("imagenet",)) if isinstance(value, str) else ""
    message = f"given {str(value)[:60]}, allowed {', '.join(_ALLOWED)}.{hint}"
    raise PydanticCustomError(UNKNOWN_NAME, "{message}", {"given": value, "allowed": _ALLOWED, "message": message})


def _find_kind(value: Any) -> str:
    if isinstance(value, BaseModel):
        return type(value).__name__
    return next((kind.__name__ for field, kind in _FIELDS.items() if field in value), "Published")


_Kinds: TypeAlias = Annotated[
    Annotated[Literal["imagenet"], Tag("Published")]
    | Annotated[FileWeights, Tag("FileWeights")]
    | Annotated[TrialWeights, Tag("TrialWeights")]
    | Annotated[StudyWeights, Tag("StudyWeights")],
    Discriminator(_find_kind),
]
_Plain: TypeAlias = Literal["imagenet"] | FileWeights | TrialWeights | StudyWeights

Weights: TypeAlias = Annotated[_Kinds, BeforeValidator(_check_weights, json_schema_input_type=_Plain)]
"""The source of weights: `imagenet` (as published by torchvision or timm), a file, a trial, or a study's arm."""

BodyPart: TypeAlias = Literal["all_but_last", "convolutions"]


class Transfer(GrownRecord):
    """Transfer learning: pretrained weights to start from, and how much of the network is trained.

    The body is the network without its head. Its weights are reused; the head is always initialized at random. A
    published body expects images normalised as those it was trained on: with `weights: imagenet` a recipe without a
    step `normalize` gets `{name: normalize, mean: pretrained}` as its last augmentation.
    """

    later: ClassVar[tuple[str, ...]] = ("freeze_norm", "feature_draws")

    weights: Weights | None = Field(
        default=None,
        description="imagenet, {file: PATH}, {trial: ID} or {study: NAME, arm: LABEL}; null: the body is "
        "initialized at random too.",
    )
    freeze: Literal["always"] | Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = Field(
        default=0, description="Number of epochs during which the body stays frozen, or always."
    )
    body_rate: float = Field(
        default=1.0,
        strict=True,
        gt=0,
        le=1,
        allow_inf_nan=False,
        description="The body's learning rate as a fraction of the head's, above 0 and up to 1.",
    )
    body: BodyPart = Field(
        default="all_but_last",
        description="Which part of a layer network is the body: all layers but the last, or those before the first "
        "dense layer.",
    )
    freeze_norm: bool = Field(
        default=False,
        strict=True,
        description="Whether the body's batch norms stay in evaluation mode while it is trained: they normalise by "
        "their running statistics, which do not change; their scale and shift are trained. false: only while the body "
        "is frozen.",
    )
    feature_draws: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="With freeze: always and random augmentation: how many augmented versions of every training image "
        "pass through the body, once, before training; epochs use them in turn. null: a new version in every epoch, "
        "each with a pass through the body.",
    )


def count_body_layers(layers: Sequence[AnyLayer], body: BodyPart) -> int:
    """Return how many leading layers of a layer network are its body.

    Dropout before the head belongs to the head: a frozen body has no randomness.

    Args:
        layers: the complete network, head included.
        body: all layers but the last, or those before the first dense one.

    Raises:
        NetworkError: no layer is left for the body; says what to write instead.
    """
    last = len(layers) - 1
    if body == "convolutions":
        last = next((number for number, layer in enumerate(layers) if isinstance(layer, Dense)), last)
    while last > 0 and isinstance(layers[last - 1], Dropout):
        last -= 1
    if not any(not isinstance(layer, Dropout) for layer in layers[:last]):
        remedy = "give it hidden layers" if body == "all_but_last" else "write body: all_but_last, or add convolutions"
        raise NetworkFitError(f"transfer: this network has no layers before its head that could be reused: {remedy}.")
    return last


def check_transfer(network: object, transfer: Transfer | None) -> None:
    """Reject published weights for a network that has none.

    Args:
        network: the recipe's network record.
        transfer: the recipe's transfer, if any.

    Raises:
        NetworkError: names the network and the remedy.
    """
    if transfer is None or transfer.weights != "imagenet":
        return
    name = str(getattr(network, "name", network))
    if not is_published(name):
        raise PublishedWeightsError(
            f"no weights are published for {name}: imagenet needs a torchvision:NAME or timm:NAME network; "
            "give a file, a trial or a study's arm."
        )
