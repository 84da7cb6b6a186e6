"""Ensembles of a study: votes of trained arms, with the checks that need the rest of the study. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from bakeoff.catalog.choices import Record
from bakeoff.errors import nearest
from bakeoff.stats.ensembles import find_vote
from bakeoff.study.axes import Fault
from bakeoff.study.explain import shorten

MAX_LABEL = 100
"""Characters of an ensemble's name."""

Over: TypeAlias = Literal["arms", "replicates", "folds"]
VoteName: TypeAlias = Literal["soft", "logits", "hard", "weighted", "greedy"]


def _tell_members(value: object) -> str:
    return "names" if isinstance(value, list | tuple) else "all"


def _refuse_text(value: object) -> object:
    if value == "all" or isinstance(value, list | tuple):
        return value
    message = f"given {shorten(value)}, allowed all, or a list of arms, as [a, b]"
    raise PydanticCustomError("members", "{message}", {"message": message})


Members: TypeAlias = Annotated[
    Annotated[Literal["all"], Tag("all")] | Annotated[tuple[str, ...], Field(max_length=1_000), Tag("names")],
    Discriminator(_tell_members),
    BeforeValidator(_refuse_text),
]
"""The arms whose models vote, by their labels, or all of them."""


class Ensemble(Record):
    """A vote of trained models, computed from their stored predictions.

    Over arms it is an arm itself: one vote in every replicate (and fold), with verdicts as any other. Over replicates
    or folds the models of one arm vote together: nothing is left to pair, so that vote has a value and no verdict.
    """

    of: Members = Field(default="all", description="Labels of the arms whose models vote, or all.")
    by: VoteName = Field(
        default="soft",
        description="soft: mean of the probabilities; logits: mean of their logarithms; hard: majority vote; "
        "weighted: weights that minimize the log loss on the validation images; greedy: forward "
        "selection with replacement on the validation images.",
    )
    over: Over = Field(
        default="arms",
        description="arms: models of one replicate and fold vote together; replicates or folds: all models of one "
        "arm do.",
    )

    @property
    def is_arm(self) -> bool:
        """Whether it takes part in verdicts as an arm."""
        return self.over == "arms"

    def members(self, arms: Sequence[str]) -> tuple[str, ...]:
        """Return the arms that vote, of all the study's `arms`."""
        return tuple(arms) if self.of == "all" else self.of


Ensembles: TypeAlias = dict[str, Ensemble]
"""Label -> vote."""


def list_ensemble_arms(ensembles: Mapping[str, Ensemble]) -> tuple[str, ...]:
    """Return the labels of the ensembles that take part in verdicts as arms."""
    return tuple(label for label, ensemble in ensembles.items() if ensemble.is_arm)


def name_ensemble_arms(ensembles: object) -> list[str]:
    """Return the same labels from ensembles as they were given, right or wrong."""
    given = ensembles.items() if isinstance(ensembles, Mapping) else ()
    return [str(label) for label, fields in given if _read(fields).get("over", "arms") == "arms"]


def check_ensembles(
    ensembles: object, arms: Sequence[str], *, replicates: int | None, folds: int | None
) -> Iterator[Fault]:
    """Yield what is wrong with a study's ensembles beyond what their records show.

    Args:
        ensembles: as the study was given them; what is no mapping of records or mappings is left to those.
        arms: labels of all arms that are trained; empty where they are not known.
        replicates: of the study; None for a race, which has three or more.
        folds: of every replicate.
    """
    for label, given in ensembles.items() if isinstance(ensembles, Mapping) else ():
        fields = _read(given)
        place = ("ensembles", str(label))
        if not 0 < len(str(label)) <= MAX_LABEL:
            yield place, f"a name of {len(str(label))} characters, allowed 1 to {MAX_LABEL}"
        if label in arms:
            yield place, f"an arm is called {shorten(label)} already: give the vote another name"
        yield from _check_members(place, fields.get("of", "all"), fields.get("over", "arms"), arms)
        yield from _check_over(place, fields, replicates, folds)


def _read(given: object) -> Mapping[str, Any]:
    """Return one ensemble's fields as they were given; none where they are no mapping."""
    if isinstance(given, Ensemble):
        return given.model_dump()
    return given if isinstance(given, Mapping) else {}


def _check_members(place: tuple[str, str], of: object, over: object, arms: Sequence[str]) -> Iterator[Fault]:
    if isinstance(of, str) or not isinstance(of, Sequence):
        if of == "all" and over == "arms" and len(arms) == 1:
            yield place, f"one arm cannot vote: {shorten(arms[0])} is the only one"
        return
    for position, arm in enumerate(of):
        here = (*place, "of", position)
        if arm in of[:position]:
            yield here, f"{shorten(arm)} is named twice: every arm has one voice (weighted and greedy fit weights)"
        elif arms and isinstance(arm, str) and arm not in arms:
            yield here, f"no arm {shorten(arm)}, allowed: {', '.join(arms)}.{nearest(arm, arms)}"
    if not of:
        yield (*place, "of"), "an empty list: name the arms that vote, or write all"
    if over == "arms" and len(of) == 1:
        yield (*place, "of"), "one arm cannot vote: name two or more, or vote over replicates or folds"


def _check_over(
    place: tuple[str, str], fields: Mapping[str, Any], replicates: int | None, folds: int | None
) -> Iterator[Fault]:
    over, by = fields.get("over", "arms"), fields.get("by", "soft")
    if over == "replicates" and replicates == 1:
        yield (*place, "over"), "there is one replicate only: give replicates 2 or more"
    if over == "folds" and folds is None:
        yield (*place, "over"), "the study has no folds: give data.folds, or vote over arms or replicates"
    if over in ("replicates", "folds") and by in ("weighted", "greedy"):
        label = find_vote(str(by)).label
        remedy = "vote by soft, logits or hard"
        yield (
            (*place, "by"),
            f"a {label} is fitted on validation images that all its models share; those of {over} are drawn anew each "
            f"time: {remedy}",
        )
