"""Combines every block with every arm into recipes, and checks that they are valid and fit their images."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from bakeoff.catalog.choices import Record
from bakeoff.catalog.fields import INCOMPATIBLE
from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.optimizers import DEFAULT_OPTIMIZER
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.schedules import Constant
from bakeoff.errors import DOES_NOT_FIT, INVALID_AXES, MISSING_FIELD, WINNER, BakeoffError
from bakeoff.study.axes import Entry, Fault, read_axes
from bakeoff.study.design import Design, choose_arms, count_arms, read_design
from bakeoff.study.explain import EXTRA_FIELD, MISSING, MISSING_VALUE, Path, explain, find_code
from bakeoff.study.fit import PARTS, check_fit, describe_registered
from bakeoff.study.merge import ALTERNATIVES, Draft, Source
from bakeoff.study.search import DEFAULT, AnySearch, SearchChoice
from bakeoff.study.settings import DEFAULT_DATASET, DataSettings
from bakeoff.study.winner import FROM, FROM_PATH, FromWinner, read_from

MAX_COMBINATIONS = 20_000
"""Maximum number of blocks times arms in a study."""

MISSING_NETWORK = Fault(("recipe", "network"), MISSING, MISSING_FIELD)
NOTHING = Entry(label="", changes=(), place=(), named=True)

DEFAULT_ARM: dict[str, Any] = {DEFAULT: {}}
"""The only axis of arms in a study with a search: the block's recipe, unchanged."""


class _SearchWrapper(Record):
    """A wrapper to validate a block's search, so that paths in errors begin with `search`."""

    search: SearchChoice = Field()


@dataclass(frozen=True)
class Combination:
    """One arm in one block."""

    block: str
    arm: str
    data: DataSettings
    recipe: Recipe
    search: AnySearch | None = None


@dataclass
class Combined:
    """All combinations of a study's blocks and arms.

    Attributes:
        combinations: block by block, arm by arm.
        faults: distinct errors; if there are any, combinations are incomplete.
        notes: warnings, such as arms with equal recipes.
    """

    combinations: list[Combination] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def combine(
    data: Mapping[str, Any],
    recipe: Mapping[str, Any],
    blocks: Sequence[Mapping[str, Any]],
    arms: Sequence[Mapping[str, Any]],
    partial: bool = False,
    search: Mapping[str, Any] | None = None,
    design: Mapping[str, Any] | None = None,
) -> Combined:
    """Combine every block with every arm, or with the study's own recipe if it has a search instead of arms.

    Args:
        data: the study's data settings, plain.
        recipe: the study's recipe, plain; blocks and arms may supply what it lacks.
        blocks: axes, plain.
        arms: axes, plain.
        partial: whether some of these were left out because they are invalid: then missing values are not errors.
        search: the study's search, plain; None if it has arms.
        design: which combinations of arms are run, plain; None or empty for all.
    """
    from_winner, from_faults = read_from(recipe)
    base = _start(data, recipe, search)
    arms = arms if search is None else [DEFAULT_ARM]
    block_axes, block_faults = read_axes("blocks", blocks)
    arm_axes, arm_faults = read_axes("arms", arms)
    misread = None if partial else _find_single_cases(arm_axes)
    if misread:
        return Combined(faults=[misread])  # whatever else is wrong may follow from it
    axis_faults = [*block_faults, *arm_faults]
    result = Combined(faults=[*from_faults, *_check_recipe_alone(base), *axis_faults])
    if not arms:
        message = "arms is empty: name at least one, for example '- initializer: [he_normal]'"
        result.faults.append(Fault(("arms",), message, INVALID_AXES))
    chosen = read_design(design or {})
    if axis_faults or not arms:
        chosen = Design()
    try:
        size = math.prod(len(axis) or 1 for axis in block_axes) * count_arms(arm_axes, chosen)
    except ValueError as error:
        result.faults.append(Fault(("design",), str(error)))
        return result
    if size > MAX_COMBINATIONS:
        message = f"{size:,} combinations of blocks and arms, allowed {MAX_COMBINATIONS:,}"
        result.faults.append(Fault(("arms",), message, INVALID_AXES))
        return result
    # An invalid axis is replaced by one entry without changes, so that the others are checked too.
    filled = [[axis or [NOTHING] for axis in axes] for axes in (block_axes, arm_axes)]
    choices = [list(itertools.product(*filled[0])), choose_arms(filled[1], chosen)]
    incomplete = partial or bool(axis_faults) or bool(from_faults)
    starts = _Starts(base, from_winner, lambda winner: _start(data, recipe, search, winner))
    if starts.is_open:
        return result
    _combine_all(starts, choices[0], choices[1], result, incomplete)
    if incomplete:
        result.faults = [fault for fault in result.faults if fault != MISSING_NETWORK]
    result.faults = list(dict.fromkeys(result.faults))
    return result


@dataclass(frozen=True)
class _Starts:
    """Makes each block's initial draft: the study's recipe, or an earlier study's winner changed by that recipe.

    Attributes:
        base: the draft without a winner.
        winner: the winner to start from; None if there is none.
        make: makes the draft from a winner's recipe.
    """

    base: Draft
    winner: FromWinner | None
    make: Callable[[Mapping[str, Any]], Draft]

    @property
    def is_open(self) -> bool:
        """Whether the winner has not been looked up yet."""
        return self.winner is not None and self.winner.found is None

    def make_draft(self, choice: Sequence[Entry], faults: list[Fault]) -> Draft:
        """Return a new draft for a block's combinations."""
        if self.winner is None or self.winner.found is None:
            return self.base.copy()
        block = _join(choice) or str(self.base.tree["data"].get("name", DEFAULT_DATASET))
        try:
            return self.make(self.winner.choose(block))
        except KeyError:
            known = ", ".join(self.winner.found)
            remedy = f"name one of them: {FROM}: {{study: {self.winner.study}, winner: true, block: ...}}"
            message = f"study '{self.winner.study}' has no block {block!r}, it has {known}: {remedy}"
            faults.append(Fault(FROM_PATH, message, WINNER))
            return self.base.copy()


def _start(
    data: Mapping[str, Any],
    recipe: Mapping[str, Any],
    search: Mapping[str, Any] | None,
    winner: Mapping[str, Any] | None = None,
) -> Draft:
    """Return the draft that all combinations start from, with the names of default choices written out."""
    defaults = {
        "initializer": {"name": InitializerChoice().name},
        "optimizer": {"name": DEFAULT_OPTIMIZER},
        "schedule": {"name": Constant().name},
    }
    draft = Draft({"recipe": defaults, "data": {}, "search": {}})
    for key, value in (winner or {}).items():
        draft.write(("recipe", key), value, Source(FROM_PATH, FROM_PATH))
    own = {key: value for key, value in recipe.items() if key != FROM}
    for section, fields in (("data", data), ("recipe", own), ("search", search or {})):
        for key, value in fields.items():
            place = (section, key)
            draft.write((section, *key.split(".")), value, Source(place, place))
    return draft


def _check_recipe_alone(base: Draft) -> list[Fault]:
    """Check the study's own recipe for wrong values that blocks and arms override; they may supply missing ones."""
    faults = [Fault(source.key, message, INVALID_AXES) for source, message in base.faults]
    for model, section in ((Recipe, "recipe"), (DataSettings, "data")):
        faults += _validate(model, base, section, ignored=(MISSING_VALUE, INCOMPATIBLE))[1]
    return faults


def _validate(
    model: type[BaseModel], draft: Draft, section: str, ignored: Collection[str] = ()
) -> tuple[Any, list[Fault]]:
    """Validate one section of a draft; the paths of faults are those in the study."""
    given = draft.tree[section]
    try:
        return model.model_validate(given), []
    except ValidationError as error:
        return None, [
            Fault(_place(draft, (section, *path), kind == EXTRA_FIELD), message, find_code(kind))
            for path, message, kind in explain(error, model, given)
            if kind not in ignored
        ]


def _read_search(draft: Draft) -> tuple[AnySearch | None, list[Fault]]:
    """Validate the study's search with a block's changes."""
    given = {"search": draft.tree["search"]}
    if not given["search"]:
        return None, []
    try:
        return _SearchWrapper.model_validate(given).search, []
    except ValidationError as error:
        found = explain(error, _SearchWrapper, given)
        return None, [
            Fault(_place(draft, path, kind == EXTRA_FIELD), message, find_code(kind)) for path, message, kind in found
        ]


def _place(draft: Draft, path: Path, unknown: bool) -> Path:
    found = draft.find_source(path)
    if found is None:
        return path
    source, depth = found
    return source.key if unknown and depth == len(path) else (*source.value, *path[depth:])


def _combine_all(
    starts: _Starts,
    block_choices: Sequence[tuple[Entry, ...]],
    arm_choices: Sequence[tuple[Entry, ...]],
    result: Combined,
    incomplete: bool,
) -> None:
    """Fill `result`. In an incomplete study the fit is not checked: what it depends on may be missing."""
    result.faults += [*_find_repeated_labels("block", block_choices), *_find_repeated_labels("arm", arm_choices)]
    lacking: list[tuple[Entry, ...]] = []
    fits: set[tuple[object, str]] = set()
    conflicts: set[str] = set()
    recipes: list[list[str]] = [[] for _ in arm_choices]
    for block_choice in block_choices:
        block_draft = starts.make_draft(block_choice, result.faults)
        for entry in block_choice:
            entry.apply(block_draft)
        data, faults = _validate(DataSettings, block_draft, "data")
        search, search_faults = _read_search(block_draft)
        result.faults += [*faults, *search_faults]
        block = _join(block_choice) or (data.source.label if data else "")
        for number, arm_choice in enumerate(arm_choices):
            draft = block_draft.copy()
            for entry in arm_choice:
                entry.apply(draft)
            recipe, faults = _validate(Recipe, draft, "recipe")
            if MISSING_NETWORK in faults:
                lacking.append(arm_choice)
            where = f"(block {block!r}, arm {_join(arm_choice)!r})"
            result.faults += [*_name_combination(faults, where, conflicts)]
            result.faults += [Fault(source.key, message, INVALID_AXES) for source, message in draft.faults]
            if data is None or recipe is None:
                continue
            recipe = recipe.normalize_for_weights()
            combination = Combination(block, _join(arm_choice), data, recipe, search)
            if not incomplete:
                result.faults += _check_fit(combination, draft, fits)
            result.combinations.append(combination)
            recipes[number].append(recipe.model_dump_json())
    if lacking and len(lacking) < len(block_choices) * len(arm_choices):
        result.faults = [fault for fault in result.faults if fault != MISSING_NETWORK]
        result.faults += [_blame_arm(arm, arm_choices) for arm in lacking if not incomplete]
    if not result.faults:
        _compare_arms(arm_choices, recipes, result)


def _find_single_cases(axes: Sequence[Sequence[Entry]]) -> Fault | None:
    """Return the fault of arms that were meant as alternatives, but make one together: axes of one named case each."""
    if len(axes) < 2 or any(len(axis) != 1 or not axis[0].named for axis in axes):
        return None
    names = [axis[0].label for axis in axes]
    message = f"together one arm, {' / '.join(names)}, since every '- ' is an axis: {ALTERNATIVES}"
    return Fault(("arms",), message, INVALID_AXES)


def _blame_arm(arm: Sequence[Entry], arms: Sequence[Sequence[Entry]]) -> Fault:
    """Return the fault of an arm without a network, at its case on the axis where other cases name one."""

    def names_network(entry: Entry) -> bool:
        return any(change.path[:2] == ("recipe", "network") for change in entry.changes)

    axis = next((n for n in range(len(arm)) if any(names_network(other[n]) for other in arms)), 0)
    message = f"no network: neither {arm[axis].label!r} nor the study's recipe names one"
    return Fault(arm[axis].place, message, MISSING_FIELD)


def _name_combination(faults: Sequence[Fault], where: str, conflicts: set[str]) -> Iterator[Fault]:
    """Add block and arm to errors about incompatible choices, once each, since no single line has the error."""
    for fault in faults:
        if fault.path != ("recipe",):
            yield fault
        elif fault.message not in conflicts:
            conflicts.add(fault.message)
            yield fault._replace(message=f"{fault.message.rstrip('.')} {where}")


def _join(choice: Sequence[Entry]) -> str:
    return " / ".join(entry.label for entry in choice if entry is not NOTHING)


def _check_fit(combination: Combination, draft: Draft, fits: set[tuple[object, str]]) -> list[Fault]:
    """Check what in a recipe depends on its images, if these are known; `fits` caches what has been checked.

    Nothing is known about a folder or manifest before it is opened; the run checks it then.
    """
    source, recipe = combination.data.source, combination.recipe
    key = (source, f"{recipe.optimizer.name} {recipe.model_dump_json(include=set(PARTS))}")
    if key in fits:
        return []
    fits.add(key)
    try:
        facts = describe_registered(source)
    except BakeoffError as error:
        return [Fault(_place(draft, ("data", "classes"), unknown=False), str(error).rstrip("."), error.code)]
    if facts is None:
        return []
    where = f"(block {combination.block!r}, arm {combination.arm!r})"
    faults = []
    for part, message in check_fit(recipe, facts.shape_HWC, facts.class_names):
        place = _place_part(draft, part)
        if (place, message) not in fits:  # report once, for the first block and arm
            fits.add((place, message))
            faults.append(Fault(place, f"{message.rstrip('.')} {where}", DOES_NOT_FIT))
    return faults


def _place_part(draft: Draft, field: str) -> Path:
    """Return the path of the last change to a part of the recipe: one field, or the mapping around several."""
    sources = [source for path, source in draft.sources.items() if path[:2] == ("recipe", field) and len(path) > 2]
    if not sources:
        return _place(draft, ("recipe", field), unknown=False)
    keys = [source.key for source in sources if source.axis == sources[-1].axis]
    same = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*keys, strict=False))
    return tuple(column[0] for column in same)


def _find_repeated_labels(kind: str, choices: Sequence[tuple[Entry, ...]]) -> list[Fault]:
    seen: dict[str, tuple[Entry, ...]] = {}
    faults: list[Fault] = []
    for choice in choices:
        label = _join(choice)
        if label in seen:
            entry = next(later for later, first in zip(choice, seen[label], strict=True) if later != first)
            message = f"a second {kind} labelled {label!r}: every {kind} needs its own"
            faults.append(Fault(entry.place, message, INVALID_AXES))
        seen.setdefault(label, choice)
    return faults


def _compare_arms(choices: Sequence[tuple[Entry, ...]], recipes: Sequence[Sequence[str]], result: Combined) -> None:
    """Find arms with the same recipe in every block: an error in a list of values, a note for named cases."""
    first: dict[tuple[str, ...], tuple[Entry, ...]] = {}
    for choice, found in zip(choices, recipes, strict=True):
        other = first.setdefault(tuple(found), choice)
        if other is choice:
            continue
        differing = [later for later, earlier in zip(choice, other, strict=True) if later is not earlier]
        message = f"arms {_join(other)!r} and {_join(choice)!r} are the same recipe"
        if any(entry.named for entry in differing):
            result.notes.append(f"{message}.")
        else:
            result.faults.append(Fault(differing[0].place, f"{message}: leave one out", INVALID_AXES))
