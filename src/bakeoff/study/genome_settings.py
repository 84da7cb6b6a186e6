"""The settings of a search by evolution: the space of genomes, and how a population moves through it.

The defaults are those of the evolutionary search that this package reproduces; comments mark what it did not specify.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from bakeoff.catalog.adam_family import Adam
from bakeoff.catalog.choices import NOT_EMPTY, Padding, Record, expand_name
from bakeoff.catalog.networks.layers import Activation
from bakeoff.catalog.optimizers import SGD, Adagrad, OptimizerChoice, RMSprop
from bakeoff.study.search_settings import SearchSettings

Whole: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=65_536)]
Move: TypeAlias = Annotated[int, Field(strict=True, ge=-65_536, le=65_536)]
Part: TypeAlias = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
Chance: TypeAlias = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]

CrossoverName: TypeAlias = Literal["layers", "parameters", "both"]
"""How a child is made from two parents."""

DROPOUT_DIGITS = 2
"""Decimals of a dropout rate; with more, genomes that are practically equal would count as different."""


def _expand_range(value: object) -> object:
    """Turn a bare number into a range of that one value."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"low": value, "high": value} if is_number else value


class WholeGene(Record):
    """A whole number of a genome: `low`, `low + step`, ... up to `high`."""

    low: Whole = Field(default=1, description="Smallest value, included.")
    high: Whole = Field(default=1, description="Largest value, included.")
    step: Whole = Field(default=1, description="Distance between neighbouring values.")
    start: tuple[Whole, ...] | None = Field(
        default=None, max_length=1_000, description="Values the first generation is drawn from; null: all of them."
    )
    move: tuple[Move, Move] = Field(
        default=(-1, 1), description="Largest [decrease, increase] in one mutation; changes are multiples of step."
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
        """The values that the first generation draws from."""
        return tuple(value for value in self.start or () if value in self.values) or tuple(self.values)


class ShareGene(Record):
    """A rate in a genome, such as dropout, in hundredths."""

    low: Part = Field(default=0.1, description="Smallest value, included.")
    high: Part = Field(default=0.3, description="Largest value, included.")
    move: tuple[float, float] = Field(default=(-0.2, 0.2), description="Largest [decrease, increase] in one mutation.")

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
        raise PydanticCustomError("gene", "move is [decrease, increase], such as [-2, 4]: at most 0, and at least 0")


class Filters(WholeGene):
    """Filters of a convolution, or units of a dense layer.

    The published search started at 16 and 32 and moved by multiples of 16, without giving a maximum; 64 is our choice.
    """

    low: Whole = Field(default=16, description="Smallest value, included.")
    high: Whole = Field(default=64, description="Largest value, included.")
    step: Whole = Field(default=16, description="Distance between neighbouring values.")
    start: tuple[Whole, ...] | None = Field(
        default=(16, 32), max_length=1_000, description="Values the first generation is drawn from; null: all of them."
    )
    move: tuple[Move, Move] = Field(default=(-32, 32), description="Largest [decrease, increase] in one mutation.")


class Kernel(WholeGene):
    """Kernel size, in pixels."""

    low: Whole = Field(default=3, description="Smallest value, included.")
    high: Whole = Field(default=5, description="Largest value, included.")


class Stride(WholeGene):
    """Stride of a convolution, in pixels."""

    low: Whole = Field(default=1, description="Smallest value, included.")
    high: Whole = Field(default=3, description="Largest value, included.")


class Epochs(WholeGene):
    """Number of training epochs."""

    low: Whole = Field(default=10, description="Smallest value, included.")
    high: Whole = Field(default=15, description="Largest value, included.")
    move: tuple[Move, Move] = Field(default=(-2, 4), description="Largest [decrease, increase] in one mutation.")


class NumLayers(Record):
    """Number of layers of a kind in the first generation; a child has as many as one of its parents."""

    low: Annotated[int, Field(strict=True, ge=0, le=50)] = Field(default=1, description="Fewest layers.")
    high: Annotated[int, Field(strict=True, ge=0, le=50)] = Field(default=7, description="Most layers.")

    @model_validator(mode="after")
    def _check(self) -> NumLayers:
        _check_range(self.low, self.high, (0, 0))
        return self


FilterRange: TypeAlias = Annotated[Filters, BeforeValidator(_expand_range, json_schema_input_type=int | Filters)]
KernelRange: TypeAlias = Annotated[Kernel, BeforeValidator(_expand_range, json_schema_input_type=int | Kernel)]
StrideRange: TypeAlias = Annotated[Stride, BeforeValidator(_expand_range, json_schema_input_type=int | Stride)]
EpochsRange: TypeAlias = Annotated[Epochs, BeforeValidator(_expand_range, json_schema_input_type=int | Epochs)]
LayersRange: TypeAlias = Annotated[NumLayers, BeforeValidator(_expand_range, json_schema_input_type=int | NumLayers)]
ShareRange: TypeAlias = Annotated[ShareGene, BeforeValidator(_expand_range, json_schema_input_type=float | ShareGene)]

KERAS_OPTIMIZERS: tuple[OptimizerChoice, ...] = (
    RMSprop(learning_rate=0.001, smoothing=0.9, epsilon=1e-7),
    Adam(learning_rate=0.001, epsilon=1e-7),
    SGD(learning_rate=0.01),
    Adagrad(learning_rate=0.001, initial_accumulator=0.1, epsilon=1e-7),
)
"""The published search gives only the names of its optimizers; these are Keras's defaults for them."""


class GenomeSettings(Record):
    """The search space: every network, optimizer and number of epochs that evolution can reach.

    A genome is convolutions, each with dropout, a 2x2 max pooling after every third and after the last, then dense
    layers, each with dropout. A bare number fixes a gene: `convolutions: 2`, `epochs: 12`, `dropout: 0`.
    """

    convolutions: LayersRange = Field(
        default=NumLayers(), description="Number of convolutions; a plain number fixes it."
    )
    dense: LayersRange = Field(
        default=NumLayers(), description="Number of hidden dense layers; a plain number fixes it."
    )
    filters: FilterRange = Field(default=Filters(), description="Filters of each convolution.")
    kernel: KernelRange = Field(default=Kernel(), description="Kernel size of each convolution, in pixels.")
    stride: StrideRange = Field(default=Stride(), description="Stride of each convolution, in pixels.")
    padding: Annotated[tuple[Padding, ...], NOT_EMPTY] = Field(
        default=("same", "valid"), max_length=2, description="Paddings to choose from for each convolution."
    )
    units: FilterRange = Field(default=Filters(), description="Units of each hidden dense layer.")
    activations: Annotated[tuple[Activation, ...], NOT_EMPTY] = Field(
        default=("relu", "tanh", "swish"),
        max_length=100,
        description="Activations to choose from for each hidden layer.",
    )
    dropout: ShareRange = Field(default=ShareGene(), description="Dropout rate after each hidden layer; 0: none.")
    pool_every: Annotated[int, Field(strict=True, ge=1, le=50)] | None = Field(
        default=3,
        description="Convolutions between 2x2 max poolings; one also follows the last convolution. null: no pooling.",
    )
    optimizers: Annotated[tuple[OptimizerChoice, ...], NOT_EMPTY] = Field(
        default=KERAS_OPTIMIZERS,
        max_length=100,
        description="Optimizers to choose from, by name or with settings; what the recipe sets for an optimizer of "
        "the same name is kept.",
    )
    epochs: EpochsRange = Field(default=Epochs(), description="Number of training epochs.")

    @model_validator(mode="after")
    def _check(self) -> GenomeSettings:
        if self.convolutions.low + self.dense.low == 0:
            raise PydanticCustomError(
                "genome", "a network needs a hidden layer: set convolutions.low or dense.low to 1 or more"
            )
        return self


class Parents(Record):
    """How the two parents of a child are selected."""

    name: Literal["uniform", "tournament"] = Field(
        default="uniform",
        description="uniform: drawn uniformly from the elite. tournament: the best of a few drawn from the population.",
    )
    size: int = Field(default=3, strict=True, ge=1, le=1_000, description="Genomes per tournament.")


PARENT_NAMES = ("uniform", "tournament")

ParentsChoice: TypeAlias = Annotated[
    Parents,
    BeforeValidator(
        partial(expand_name, kind="choice of parents", allowed=PARENT_NAMES),
        json_schema_input_type=Literal["uniform", "tournament"] | Parents,
    ),
]


class EvolutionSearch(SearchSettings):
    """Evolution: in each generation the best are kept and their children replace the rest."""

    has_generations: ClassVar[bool] = True

    name: Literal["evolution"] = "evolution"
    genome: GenomeSettings = Field(
        default=GenomeSettings(), description="The search space of networks, optimizers and epochs."
    )
    population: int = Field(default=20, strict=True, ge=2, le=10_000, description="Genomes per generation.")
    generations: int = Field(
        default=20, strict=True, ge=1, le=10_000, description="Number of generations, including the random first one."
    )
    elite: Chance = Field(
        default=0.2, description="Fraction of the population carried over unchanged; at least one genome."
    )
    crossover: CrossoverName = Field(
        default="layers",
        description="layers: a child takes each layer as a whole from one parent. parameters: it takes each "
        "parameter of a layer from one parent. both: one of the two ways, drawn for each pair of "
        "parents.",
    )
    mutation: Chance = Field(default=0.1, description="Probability that a numeric parameter mutates.")
    parents: ParentsChoice = Field(default=Parents(), description="How the two parents of a child are selected.")
    unbuildable: Literal["repair", "redraw"] = Field(
        default="repair",
        description="What happens to a genome that does not fit the images: it is repaired, or another is drawn. "
        "The report counts both.",
    )
    target: float | None = Field(
        default=None,
        strict=True,
        allow_inf_nan=False,
        description="Value of the deciding metric that ends the search after the generation that reaches it; null: "
        "never.",
    )
    baseline: Literal["random"] | None = Field(
        default="random",
        description="random: also evaluate as many genomes drawn like the first generation, to show what evolution "
        "adds. null: no baseline.",
    )

    @model_validator(mode="after")
    def _check(self) -> EvolutionSearch:
        if self.num_elite >= self.population:
            raise PydanticCustomError("evolution", "elite leaves no room for children: make it smaller")
        return self

    @property
    def num_elite(self) -> int:
        """Number of genomes kept for the next generation."""
        return max(1, round(self.elite * self.population))

    @property
    def most_candidates(self) -> int:
        """Maximum number of genomes, without the baseline's."""
        return self.population + (self.generations - 1) * (self.population - self.num_elite)
