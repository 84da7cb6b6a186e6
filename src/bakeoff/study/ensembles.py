"""A study's ensembles: votes of trained arms, and the checks that need the rest of the study. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from bakeoff.catalog.choices import Record
from bakeoff.errors import UNKNOWN_NAME, nearest
from bakeoff.stats.ensembles import find_vote
from bakeoff.study.axes import Fault
from bakeoff.study.explain import shorten

MAX_LABEL = 100
"""Maximum length of an ensemble's name, in characters."""

Over: TypeAlias = Literal["arms", "replicates", "folds"]
VoteName: TypeAlias = Literal["soft", "logits", "hard", "weighted", "greedy"]


def _tag_members(value: object) -> str:
    return "names" if isinstance(value, list | tuple) else "all"


def _check_members_type(value: object) -> object:
    if value == "all" or isinstance(value, list | tuple):
        return value
    message = f"given {shorten(value)}, allowed all, or a list of arms such as [a, b]"
    raise PydanticCustomError("members", "{message}", {"message": message})


Members: TypeAlias = Annotated[
    Annotated[Literal["all"], Tag("all")] | Annotated[tuple[str, ...], Field(max_length=1_000), Tag("names")],
    Discriminator(_tag_members),
    BeforeValidator(_check_members_type),
]
"""Labels of the arms whose models vote, or `all`."""


class Ensemble(Record):
    """A vote of trained models, computed from their stored predictions.

    A vote over arms is an arm itself: it has one result per replicate (and fold), and verdicts like any other. A vote
    over replicates or folds combines the models of one arm: no pairs are left, so it has a value but no verdict.
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
        """Whether it gets verdicts, as an arm."""
        return self.over == "arms"

    def members(self, arms: Sequence[str]) -> tuple[str, ...]:
        """Return the arms that vote, given all `arms` of the study."""
        return tuple(arms) if self.of == "all" else self.of


Ensembles: TypeAlias = dict[str, Ensemble]
"""Label -> vote."""


def list_ensemble_arms(ensembles: Mapping[str, Ensemble]) -> tuple[str, ...]:
    """Return the labels of the ensembles that are arms."""
    return tuple(label for label, ensemble in ensembles.items() if ensemble.is_arm)


def name_ensemble_arms(ensembles: object) -> list[str]:
    """Return the same labels from unvalidated ensembles."""
    given = ensembles.items() if isinstance(ensembles, Mapping) else ()
    return [str(label) for label, fields in given if _read(fields).get("over", "arms") == "arms"]


def check_ensembles(
    ensembles: object, arms: Sequence[str], *, replicates: int | None, folds: int | None
) -> Iterator[Fault]:
    """Yield the errors of a study's ensembles that validating their records does not find.

    Args:
        ensembles: as given; values of the wrong type are ignored, since validation reports them.
        arms: labels of all trained arms; empty if they are not known.
        replicates: number of replicates; None for a race, which has three or more.
        folds: number of folds; None if there are none.
    """
    for label, given in ensembles.items() if isinstance(ensembles, Mapping) else ():
        fields = _read(given)
        place = ("ensembles", str(label))
        if not 0 < len(str(label)) <= MAX_LABEL:
            yield Fault(place, f"a name of {len(str(label))} characters, allowed 1 to {MAX_LABEL}")
        if label in arms:
            yield Fault(place, f"there is already an arm {shorten(label)}: give the vote another name")
        yield from _check_members(place, fields.get("of", "all"), fields.get("over", "arms"), arms)
        yield from _check_over(place, fields, replicates, folds)


def _read(given: object) -> Mapping[str, Any]:
    """Return an unvalidated ensemble's fields; empty if it is not a mapping."""
    if isinstance(given, Ensemble):
        return given.model_dump()
    return given if isinstance(given, Mapping) else {}


def _check_members(place: tuple[str, str], of: object, over: object, arms: Sequence[str]) -> Iterator[Fault]:
    if isinstance(of, str) or not isinstance(of, Sequence):
        if of == "all" and over == "arms" and len(arms) == 1:
            yield Fault(place, f"one arm cannot vote: {shorten(arms[0])} is the only one")
        return
    for position, arm in enumerate(of):
        here = (*place, "of", position)
        if arm in of[:position]:
            yield Fault(here, f"{shorten(arm)} is named twice: every arm votes once (weighted and greedy fit weights)")
        elif arms and isinstance(arm, str) and arm not in arms:
            message = f"no arm {shorten(arm)}, allowed: {', '.join(arms)}.{nearest(arm, arms)}"
            yield Fault(here, message, UNKNOWN_NAME)
    if not of:
        yield Fault((*place, "of"), "an empty list: name the arms that vote, or write all")
    if over == "arms" and len(of) == 1:
        yield Fault((*place, "of"), "one arm cannot vote: name two or more, or vote over replicates or folds")


def _check_over(
    place: tuple[str, str], fields: Mapping[str, Any], replicates: int | None, folds: int | None
) -> Iterator[Fault]:
    over, by = fields.get("over", "arms"), fields.get("by", "soft")
    if over == "replicates" and replicates == 1:
        yield Fault((*place, "over"), "there is only one replicate: set replicates to 2 or more")
    if over == "folds" and folds is None:
        yield Fault((*place, "over"), "the study has no folds: set data.folds, or vote over arms or replicates")
    if over in ("replicates", "folds") and by in ("weighted", "greedy"):
        label = find_vote(str(by)).label
        remedy = "vote by soft, logits or hard"
        yield Fault(
            (*place, "by"),
            f"a {label} needs validation images that all its models share, but {over} have different ones: {remedy}",
        )
