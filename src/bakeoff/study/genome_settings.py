"""The settings of a search by evolution: the space of genomes, and how a population moves through it.

The defaults are those of the evolutionary search this package reproduces; what it left open is said where it is set.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from bakeoff.networks.choices import NOT_EMPTY, Padding, Record, spell_out
from bakeoff.networks.layers import Activation
from bakeoff.study.search_settings import SearchSettings
from bakeoff.training.adam_family import Adam
from bakeoff.training.optimizers import SGD, Adagrad, OptimizerChoice, RMSprop

Whole: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=65_536)]
Move: TypeAlias = Annotated[int, Field(strict=True, ge=-65_536, le=65_536)]
Part: TypeAlias = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
Chance: TypeAlias = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]

CrossoverName: TypeAlias = Literal["layers", "parameters", "both"]
"""How two parents become a child."""

DROPOUT_DIGITS = 2
"""Decimals of a dropout rate: finer ones would tell genomes apart that are the same in all but name."""


def _spell_out_range(value: object) -> object:
    """Take a bare number for a range of that one value."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"low": value, "high": value} if is_number else value


class WholeGene(Record):
    """A whole number of a genome: `low`, `low + step`, ... up to `high`."""

    low: Whole = Field(default=1, description="The least value.")
    high: Whole = Field(default=1, description="The largest value.")
    step: Whole = Field(default=1, description="Distance between neighbouring values.")
    start: tuple[Whole, ...] | None = Field(
        default=None, max_length=1_000, description="What the first generation draws from; null: every value."
    )
    move: tuple[Move, Move] = Field(
        default=(-1, 1), description="The largest moves down and up in one mutation; they are multiples of step."
    )

    @model_validator(mode="after")
    def _check(self) -> WholeGene:
        _check_range(self.low, self.high, self.move)
        given = self.start if "start" in self.model_fields_set and self.start is not None else ()
        outside = [value for value in given if value not in self.values]
        if outside:
            message = f"start {outside[0]} is not among {self.low}..{self.high} in steps of {self.step}"
            raise PydanticCustomError("gene", "{message}", {"message": message})
        if any(0 < abs(part) < self.step for part in self.move) and len(self.values) > 1:
            raise PydanticCustomError("gene", "move is smaller than step {step}", {"step": self.step})
        return self

    @property
    def values(self) -> range:
        """Every value."""
        return range(self.low, self.high + 1, self.step)

    @property
    def first_values(self) -> tuple[int, ...]:
        """What the first generation draws from."""
        return tuple(value for value in self.start or () if value in self.values) or tuple(self.values)


class ShareGene(Record):
    """A share of a genome, such as a dropout rate, in hundredths."""

    low: Part = Field(default=0.1, description="The least value.")
    high: Part = Field(default=0.3, description="The largest value.")
    move: tuple[float, float] = Field(default=(-0.2, 0.2), description="The largest moves down and up in one mutation.")

    @model_validator(mode="after")
    def _check(self) -> ShareGene:
        _check_range(self.low, self.high, self.move)
        if any(round(value, DROPOUT_DIGITS) != value for value in (self.low, self.high)):
            raise PydanticCustomError("gene", "low and high are whole hundredths, such as 0.15")
        return self


def _check_range(low: float, high: float, move: tuple[float, float]) -> None:
    if low > high:
        raise PydanticCustomError("gene", "low {low} is larger than high {high}", {"low": low, "high": high})
    if not move[0] <= 0 <= move[1]:
        raise PydanticCustomError("gene", "move is [down, up], such as [-2, 4]: down at most 0, up at least 0")


class Filters(WholeGene):
    """Filters of a convolution, or units of a dense layer.

    The published search began at 16 and 32, moved by multiples of 16 and did not say how far up; 64 is ours.
    """

    low: Whole = Field(default=16, description="The least value.")
    high: Whole = Field(default=64, description="The largest value.")
    step: Whole = Field(default=16, description="Distance between neighbouring values.")
    start: tuple[Whole, ...] | None = Field(
        default=(16, 32), max_length=1_000, description="What the first generation draws from; null: every value."
    )
    move: tuple[Move, Move] = Field(default=(-32, 32), description="The largest moves down and up in one mutation.")


class Kernel(WholeGene):
    """Side of a kernel, in pixels."""

    low: Whole = Field(default=3, description="The least value.")
    high: Whole = Field(default=5, description="The largest value.")


class Stride(WholeGene):
    """Stride of a convolution, in pixels."""

    low: Whole = Field(default=1, description="The least value.")
    high: Whole = Field(default=3, description="The largest value.")


class Epochs(WholeGene):
    """Passes over the training images."""

    low: Whole = Field(default=10, description="The least value.")
    high: Whole = Field(default=15, description="The largest value.")
    move: tuple[Move, Move] = Field(default=(-2, 4), description="The largest moves down and up in one mutation.")


class NumLayers(Record):
    """How many layers of a kind the first generation has; a child has as many as one of its parents."""

    low: Annotated[int, Field(strict=True, ge=0, le=50)] = Field(default=1, description="The least number.")
    high: Annotated[int, Field(strict=True, ge=0, le=50)] = Field(default=7, description="The largest number.")

    @model_validator(mode="after")
    def _check(self) -> NumLayers:
        _check_range(self.low, self.high, (0, 0))
        return self


FilterRange: TypeAlias = Annotated[Filters, BeforeValidator(_spell_out_range, json_schema_input_type=int | Filters)]
KernelRange: TypeAlias = Annotated[Kernel, BeforeValidator(_spell_out_range, json_schema_input_type=int | Kernel)]
StrideRange: TypeAlias = Annotated[Stride, BeforeValidator(_spell_out_range, json_schema_input_type=int | Stride)]
EpochsRange: TypeAlias = Annotated[Epochs, BeforeValidator(_spell_out_range, json_schema_input_type=int | Epochs)]
LayersRange: TypeAlias = Annotated[NumLayers, BeforeValidator(_spell_out_range, json_schema_input_type=int | NumLayers)]
ShareRange: TypeAlias = Annotated[
    ShareGene, BeforeValidator(_spell_out_range, json_schema_input_type=float | ShareGene)
]

KERAS_OPTIMIZERS: tuple[OptimizerChoice, ...] = (
    RMSprop(learning_rate=0.001, smoothing=0.9, epsilon=1e-7),
    Adam(learning_rate=0.001, epsilon=1e-7),
    SGD(learning_rate=0.01),
    Adagrad(learning_rate=0.001, initial_accumulator=0.1, epsilon=1e-7),
)
"""The published search named its optimizers only; these are Keras' settings of those names."""


class GenomeSettings(Record):
    """The space of genomes: every network, optimizer and number of epochs that the search can reach.

    A genome is convolutions, each with dropout, a 2x2 max pooling after every third and after the last, then dense
    layers, each with dropout. A bare number fixes a gene: `convolutions: 2`, `epochs: 12`, `dropout: 0`.
    """

    convolutions: LayersRange = Field(default=NumLayers(), description="How many convolutions; a number fixes it.")
    dense: LayersRange = Field(default=NumLayers(), description="How many hidden dense layers; a number fixes it.")
    filters: FilterRange = Field(default=Filters(), description="Filters of a convolution.")
    kernel: KernelRange = Field(default=Kernel(), description="Side of a convolution's kernel, in pixels.")
    stride: StrideRange = Field(default=Stride(), description="Stride of a convolution, in pixels.")
    padding: Annotated[tuple[Padding, ...], NOT_EMPTY] = Field(
        default=("same", "valid"), max_length=2, description="Paddings of a convolution."
    )
    units: FilterRange = Field(default=Filters(), description="Units of a dense layer.")
    activations: Annotated[tuple[Activation, ...], NOT_EMPTY] = Field(
        default=("relu", "tanh", "swish"), max_length=100, description="Activations of every hidden layer."
    )
    dropout: ShareRange = Field(default=ShareGene(), description="Dropout after every hidden layer; 0 adds none.")
    pool_every: Annotated[int, Field(strict=True, ge=1, le=50)] | None = Field(
        default=3,
        description="A 2x2 max pooling follows every convolution of this number, and the last one; null: none.",
    )
    optimizers: Annotated[tuple[OptimizerChoice, ...], NOT_EMPTY] = Field(
        default=KERAS_OPTIMIZERS,
        max_length=100,
        description="Optimizers: names, or names with settings; those that the recipe gives one of that name stay.",
    )
    epochs: EpochsRange = Field(default=Epochs(), description="Passes over the training images.")

    @model_validator(mode="after")
    def _check(self) -> GenomeSettings:
        if self.convolutions.low + self.dense.low == 0:
            raise PydanticCustomError("genome", "a network needs a hidden layer: convolutions or dense begin at 1")
        return self


class Parents(Record):
    """How the two parents of a child are chosen."""

    name: Literal["uniform", "tournament"] = Field(
        default="uniform",
        description="uniform: each of the elite is as likely. tournament: the best of some drawn from the population.",
    )
    size: int = Field(default=3, strict=True, ge=1, le=1_000, description="How many take part in a tournament.")


PARENT_NAMES = ("uniform", "tournament")

ParentsChoice: TypeAlias = Annotated[
    Parents,
    BeforeValidator(
        partial(spell_out, kind="choice of parents", allowed=PARENT_NAMES),
        json_schema_input_type=Literal["uniform", "tournament"] | Parents,
    ),
]


class EvolutionSearch(SearchSettings):
    """Evolution: the best of a population are kept, their children take the place of the rest, again and again."""

    has_generations: ClassVar[bool] = True

    name: Literal["evolution"] = "evolution"
    genome: GenomeSettings = Field(default=GenomeSettings(), description="The space of genomes.")
    population: int = Field(default=20, strict=True, ge=2, le=10_000, description="Genomes in a generation.")
    generations: int = Field(
        default=20, strict=True, ge=1, le=10_000, description="Generations, the first random one included."
    )
    elite: Chance = Field(default=0.2, description="Share of the population kept as it is; at least one genome.")
    crossover: CrossoverName = Field(
        default="layers",
        description="layers: a child takes each layer whole from one parent. parameters: each parameter of each layer. "
        "both: either way, drawn for each pair of parents.",
    )
    mutation: Chance = Field(default=0.1, description="Chance of every numeric parameter to move.")
    parents: ParentsChoice = Field(default=Parents(), description="How the parents of a child are chosen.")
    unbuildable: Literal["repair", "redraw"] = Field(
        default="repair", description="What becomes of a genome that does not fit the images; either is counted."
    )
    target: float | None = Field(
        default=None,
        strict=True,
        allow_inf_nan=False,
        description="Stop after the generation that reaches this, in the deciding metric; null: never.",
    )
    baseline: Literal["random"] | None = Field(
        default="random",
        description="Also try as many genomes drawn as the first generation is, to see what evolution adds.",
    )

    @model_validator(mode="after")
    def _check(self) -> EvolutionSearch:
        if self.num_elite >= self.population:
            raise PydanticCustomError("evolution", "elite leaves no room for children: make it smaller")
        return self

    @property
    def num_elite(self) -> int:
        """Genomes of a generation that are kept for the next."""
        return max(1, round(self.elite * self.population))

    @property
    def most_candidates(self) -> int:
        """Genomes that are tried at most, less the baseline's."""
        return self.population + (self.generations - 1) * (self.population - self.num_elite)
