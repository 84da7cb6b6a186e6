"""The `Study` record: one question, the same in a file and in Python."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from bakeoff.catalog.choices import Record
from bakeoff.catalog.recipe import Recipe
from bakeoff.errors import MISSING_FIELD, UNKNOWN_NAME, Problem, StudyError, nearest
from bakeoff.stats.metrics import find_metric
from bakeoff.study.about import About, Quick
from bakeoff.study.axes import Fault
from bakeoff.study.chain import check_no_steps, check_steps
from bakeoff.study.combine import Combination, Combined, combine
from bakeoff.study.design import Design, read_design
from bakeoff.study.ensembles import Ensembles, check_ensembles, name_ensemble_arms
from bakeoff.study.explain import Path, explain, find_code, join_path, shorten
from bakeoff.study.groups import Groups, check_groups
from bakeoff.study.labels import check_names
from bakeoff.study.notebook import describe_study, write_rows
from bakeoff.study.published import Published
from bakeoff.study.search import SearchChoice, count_candidates, list_finals
from bakeoff.study.settings import DataSettings, Decide, Expect, NumericMode, Race, Replicates

MAX_TRIALS = 100_000
MAX_PROBLEMS = 50
"""Maximum number of problems listed in one error."""

RECORDED = "recorded"
"""Key in the validation context: the study is from a ledger, so names that are no longer allowed are accepted."""

MAX_DEPTH = 40
"""Maximum nesting of mappings and lists."""

TEMPLATES = "A case whose name begins with _ is a template for others (from: _NAME) and is not used itself."

MAX_SD_OF_SHARE = 0.5
"""No share, which lies between 0 and 1, has a larger standard deviation."""

_COMBINED = ("data", "recipe", "blocks", "arms", "search")
"""Fields that must be validated together."""

_LATER = ("design", "groups", "expect")
"""Fields that are written out only where they say something."""

Locate: TypeAlias = Callable[[Path], str]
"""Returns the place (`file:line`) of a path in a study."""


def make_plain(value: object, depth: int = 0) -> Any:
    """Return a value in the types of a study file: mappings, lists, text, numbers, true, false, null.

    Raises:
        PydanticCustomError: the value contains something of another type, or is nested too deeply.
    """
    if depth > MAX_DEPTH:
        raise PydanticCustomError("too_deep", "nested deeper than {levels} levels", {"levels": MAX_DEPTH})
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, BaseModel):
        return make_plain(value.model_dump(), depth)
    if isinstance(value, Mapping):
        return {str(key): make_plain(part, depth + 1) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [make_plain(part, depth + 1) for part in value]
    message = f"given {shorten(value)}, allowed text, numbers, lists and mappings"
    raise PydanticCustomError("not_plain", "{message}", {"message": message})


if TYPE_CHECKING:
    # The types a caller may pass. A study stores plain values: dictionaries, lists, and a tuple of axes.
    Fields: TypeAlias = Mapping[str, Any]
    Axes: TypeAlias = Sequence[Fields]
    Held = TypeVar("Held")

    class Given(Generic[Held]):
        """A record that a caller may also pass as a mapping of its fields; type checkers accept both."""

        def __get__(self, study: Study, kind: type[Study] | None = None) -> Held: ...

        def __set__(self, study: Study, value: Held | Fields) -> None: ...
else:
    Fields = Annotated[dict[str, Any], BeforeValidator(make_plain)]
    Axes = tuple[Fields, ...]

    class Given:
        """At run time `Given[Decide]` is just `Decide`; pydantic accepts a mapping for it."""

        def __class_getitem__(cls, record: object) -> object:
            return record


def _default(default: object) -> Any:
    """Return a default value, untyped because type checkers do not know that a `Given` accepts it."""
    return default


@dataclass(frozen=True)
class _Memo:
    """A cache of a study's combinations. All are equal, because it is not part of the study's content.

    Attributes:
        given: the arguments of `combine`; if they differ, as in a modified copy, the cache is not used.
    """

    given: Mapping[str, Any] = field(default_factory=dict, compare=False)
    combined: Combined = field(default_factory=Combined, compare=False)

    def read(self, data: Mapping[str, Any]) -> _Memo:
        """Return the same cache for the validated data settings (class names as text), if their fields are the same."""
        if self.given.get("data", {}).keys() != data.keys():
            return self
        return _Memo({**self.given, "data": data}, self.combined)


class Study(Record):
    """One question: settings shared by all arms, axes that vary, and how arms are compared.

    `Study(...)` and reading a file raise the same error, `StudyError`, with every problem found, so every `Study` can
    be planned. Its fields are those of a study file; `recipe`, `blocks` and `arms` are plain mappings and lists
    (records such as `Adam(learning_rate=0.1)` are converted).
    """

    question: str = Field(min_length=1, max_length=2_000, description="The question, in one sentence.")
    name: str = Field(
        default="study",
        max_length=100,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$",
        description="Name in commands and folders; by default the file's name without its suffix.",
    )
    about: Given[About | None] = Field(
        default=_default(None), description="Notes for users: commands, cost, what is known already."
    )
    quick: Given[Quick | None] = Field(default=_default(None), description="A quick version of the study, for --quick.")
    quick_of: str | None = Field(
        default=None,
        max_length=100,
        description="Name of the full study if this is its quick version; set by --quick.",
    )
    data: Given[DataSettings] = Field(
        default=_default(DataSettings()), description="The images; the same for all arms of a block."
    )
    recipe: Fields = Field(
        default={}, description="Settings shared by all arms, unless a block or an arm changes them."
    )
    blocks: Axes = Field(
        default=(),
        description=f"Axes whose combinations are the blocks, in each of which all arms are compared. {TEMPLATES}",
    )
    arms: Axes = Field(
        default=(), description=f"Axes whose combinations are the arms: recipes under comparison. {TEMPLATES}"
    )
    design: Given[Design] = Field(
        default=_default(Design()),
        description="Which combinations of the axes of arms are run: full, fractional or screening; or a mapping with "
        "runs and resolution.",
    )
    search: Given[SearchChoice | None] = Field(
        default=_default(None),
        description="A search that proposes recipes, in place of arms; its winner is then compared with the default.",
    )
    ensembles: Given[Ensembles] = Field(
        default=_default({}),
        description="Votes of trained arms, by label; they need no training and are compared like arms.",
    )
    groups: Given[Groups] = Field(
        default=_default({}),
        description="Groups of arms, by name, that are compared as wholes; no arm is in two.",
    )
    replicates: Given[Replicates] = Field(
        default=_default(5),
        description="Number of repetitions, each with its own seed; or {at_least, at_most} to stop when the "
        "question is settled.",
    )
    seed: int = Field(
        default=0,
        strict=True,
        ge=0,
        lt=2**63,
        description="Base seed, from which the seed of every replicate is derived.",
    )
    numeric: NumericMode = Field(
        default="auto", description="Numeric precision of training; auto: the fastest that agrees with float32."
    )
    decide: Given[Decide] = Field(default=_default(Decide()), description="How arms are compared.")
    published: Given[Published | None] = Field(default=_default(None), description="Published results to compare with.")
    expect: Given[Expect | None] = Field(
        default=_default(None),
        description="Expected spread of scores, from which `bakeoff plan` computes what the study can show; changes "
        "no result.",
    )
    _folder: pathlib.Path | None = PrivateAttr(default=None)
    _memo: _Memo = PrivateAttr(default_factory=_Memo)

    @property
    def folder(self) -> pathlib.Path | None:
        """The study file's folder, to which its paths are relative; None if it was not read from a file."""
        return self._folder

    def with_folder(self, folder: pathlib.Path) -> Study:
        """Return the same study with another `folder`."""
        placed = self.model_copy()
        placed._folder = folder
        return placed

    @property
    def plain_data(self) -> dict[str, Any]:
        """The data settings in the form of a study file, without defaults."""
        plain: dict[str, Any] = make_plain(self.data.model_dump(exclude_unset=True))
        return plain

    @property
    def plain_search(self) -> dict[str, Any] | None:
        """The search in the form of a study file; None if there is none."""
        if self.search is None:
            return None
        return {"name": self.search.name, **self.search.model_dump(mode="json", exclude_unset=True)}

    def combine(self) -> Combined:
        """Return every combination of a block and an arm, from the cache that validation filled if possible."""
        given: dict[str, Any] = {
            "data": self.plain_data,
            "recipe": self.recipe,
            "blocks": list(self.blocks),
            "arms": list(self.arms),
            "search": self.plain_search,
            "design": self.design.model_dump(exclude_defaults=True),
        }
        if self._memo.given != given:
            self._memo = _Memo(given, combine(**given))
        return self._memo.combined

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        found = self.combine().combinations
        arms = dict.fromkeys(label for each in found for label in _list_arms(each))
        return write_rows(describe_study(self, list(arms)))

    @property
    def most_replicates(self) -> int:
        """Maximum number of replicates: the fixed number, or a race's `at_most`."""
        return self.replicates.at_most if isinstance(self.replicates, Race) else self.replicates

    @model_serializer(mode="wrap")
    def _leave_out_later_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out later fields at their defaults, so that studies from before they existed are written as before."""
        fields: dict[str, Any] = handler(self)
        for name in _LATER:
            if getattr(self, name) == type(self).model_fields[name].default:
                fields.pop(name, None)
        return fields

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, value: Any, handler: ModelWrapValidatorHandler[Study], info: ValidationInfo) -> Study:
        if isinstance(value, Study):
            return value
        locate: Locate = (info.context or {}).get("locate", lambda path: "")
        study, faults = None, []
        try:
            study = handler(value)
        except ValidationError as error:
            found = explain(error, cls, value)
            faults = [Fault(path, _redirect(path, message, kind), find_code(kind)) for path, message, kind in found]
        others, memo = _find_faults(value, {fault.path[0] for fault in faults if fault.path})
        faults += [*others, *([] if study is None else _check_expected(study, value))]
        if isinstance(value, Mapping) and not (info.context and info.context.get(RECORDED)):
            faults += check_names(value)
        if faults or study is None:
            raise StudyError(_make_problems(faults, locate))
        study._memo = memo.read(study.plain_data)
        return study


def _redirect(path: Path, message: str, kind: str) -> str:
    """Return a message that says how axes are written, or where a field belongs that was given at the top by mistake.

    Args:
        path: of the field.
        message: what is wrong.
        kind: pydantic's type of the error.
    """
    if path in (("arms",), ("blocks",)) and kind == "tuple_type":
        return f"{message} Write '- ' before the first line and indent the others: they are cases of one axis."
    if len(path) != 1 or path[0] in Study.model_fields:
        return message
    outer, dot, inner = str(path[0]).partition(".")
    if outer in Recipe.model_fields:
        return f"unknown field {shorten(path[0])} here: it belongs to recipe. Did you mean 'recipe.{path[0]}'?"
    if dot and outer in Study.model_fields:
        return f"unknown field {shorten(path[0])}: nest it, as in '{outer}: {{{inner}: ...}}'"
    return message


def _find_faults(value: object, broken: set[str | int]) -> tuple[list[Fault], _Memo]:
    """Find errors in the combinations of blocks and arms; return them, and the combinations.

    Values of the wrong type are skipped: validating the record reports them.
    """
    fields = value if isinstance(value, Mapping) else {}
    parts = {name: fields[name] for name in _COMBINED if fields.get(name) is not None}
    faults = _check_choice(parts, read_design(fields.get("design", {})))
    usable = {name: make_plain(part) for name, part in parts.items() if name == "data" or name not in broken}
    if faults or not usable.keys() & {"arms", "search"}:
        return faults, _Memo()
    data, search = usable.get("data", {}), usable.get("search")
    given = {
        "data": data if isinstance(data, dict) else {},
        "recipe": usable.get("recipe", {}),
        "blocks": usable.get("blocks", []),
        "arms": usable.get("arms", []),
        "search": {"name": search} if isinstance(search, str) else search,
        "design": read_design(fields.get("design", {})).model_dump(exclude_defaults=True),
    }
    combined = combine(**given, partial=usable.keys() != parts.keys())
    faults = [
        *combined.faults,
        *_check_size(fields, combined, broken),
        *_check_folds(fields, combined),
        *_check_search(fields, combined),
        *_check_baseline(fields, combined),
        *_check_votes(fields, combined, broken),
        *_check_groups(fields, combined),
    ]
    return faults, _Memo(given, combined)


def _check_size(fields: Mapping[str, Any], combined: Combined, broken: set[str | int]) -> list[Fault]:
    replicates = fields.get("replicates", Study.model_fields["replicates"].default)
    if isinstance(replicates, Mapping):
        replicates = replicates.get("at_most", 1)
    replicates = replicates if isinstance(replicates, int) else 1
    num_trials = sum((found.data.folds or 1) * _count_repeats(found, replicates) for found in combined.combinations)
    if num_trials > MAX_TRIALS and "replicates" not in broken:
        return [Fault(("replicates",), f"{num_trials:,} trials, allowed {MAX_TRIALS:,}")]
    return []


def _count_repeats(found: Combination, replicates: int) -> int:
    """Return the maximum number of trials of a combination in one fold."""
    if found.search is None:
        return replicates
    candidates = count_candidates(found.search) * found.search.replicates
    return candidates + len(list_finals(found.search)) * replicates


def _check_choice(parts: Mapping[str, Any], design: Design) -> list[Fault]:
    if "search" in parts and not design.is_full:
        return [Fault(("design",), "a search proposes the arms: a design is of crossed axes, leave it out")]
    if "search" in parts and parts.get("arms"):
        return [Fault(("search",), "arms and search are both given: a search proposes the arms, leave one out")]
    if "search" not in parts and "arms" not in parts:
        return [Fault(("arms",), "missing: list the recipes under comparison, or add a search instead", MISSING_FIELD)]
    return []


def _check_search(fields: Mapping[str, Any], combined: Combined) -> list[Fault]:
    searches = [found.search for found in combined.combinations if found.search is not None]
    if not searches:
        return []
    if fields.get("search") is None:
        return [Fault(("blocks",), "a block changes search, but the study has none: add a search instead of arms")]
    faults: list[Fault] = []
    if not isinstance(fields.get("replicates", 1), int):
        faults.append(Fault(("replicates",), "the finals of a search cannot be a race: give a number of replicates"))
    if len({(search.name, list_finals(search)) for search in searches}) > 1:
        faults.append(Fault(("blocks",), "search.name and search.baseline must be the same in all blocks"))
    return faults


def _check_folds(fields: Mapping[str, Any], combined: Combined) -> list[Fault]:
    folds = {found.data.folds for found in combined.combinations}
    faults: list[Fault] = []
    if len(folds) > 1:
        faults.append(Fault(("blocks",), "data.folds differs between blocks; it must be the same in all"))
    if folds - {None} and not isinstance(fields.get("replicates", 1), int):
        faults.append(Fault(("replicates",), "a race cannot use folds: give a number of replicates"))
    return faults


def _check_baseline(fields: Mapping[str, Any], combined: Combined) -> list[Fault]:
    decide = fields.get("decide")
    against = decide.get("against") if isinstance(decide, Mapping) else getattr(decide, "against", None)
    arms = list(dict.fromkeys(label for found in combined.combinations for label in _list_arms(found)))
    arms += name_ensemble_arms(fields.get("ensembles"))
    if not isinstance(against, str) or combined.faults or not combined.combinations or against in arms:
        return []
    message = f"no arm {shorten(against)}, allowed: {', '.join(arms)}.{nearest(against, arms)}"
    return [Fault(("decide", "against"), message, UNKNOWN_NAME)]


def _check_groups(fields: Mapping[str, Any], combined: Combined) -> list[Fault]:
    if combined.faults or not combined.combinations:
        return []
    arms = list(dict.fromkeys(label for found in combined.combinations for label in _list_arms(found)))
    return check_groups(fields.get("groups"), [*arms, *name_ensemble_arms(fields.get("ensembles"))])


def _check_expected(study: Study, value: object) -> list[Fault]:
    """Check what is expected against the deciding metric; `value`: the study as given."""
    expect, record = study.expect, find_metric(study.decide.metric)
    if expect is None:
        return []
    faults: list[Fault] = []
    given = value.get("expect") if isinstance(value, Mapping) else None
    if isinstance(given, Mapping) and isinstance(given.get("sd"), str) and not record.is_share:
        message = f"points are differences of shares, and {record.name} is none: give a number in its own unit"
        faults.append(Fault(("expect", "sd"), message))
    if record.is_share and expect.sd >= MAX_SD_OF_SHARE:
        message = f"given {expect.sd:g}, but {record.name} is a share, from 0 to 1: for {expect.sd:g} points write "
        faults.append(Fault(("expect", "sd"), f"{message}{expect.sd / 100:g}, or '{expect.sd:g} points'"))
    for name in ("accuracy", "disagreement"):
        if getattr(expect, name) is not None and not record.counts_images:
            message = f"says nothing of {record.name}, by which arms are compared: leave it out"
            faults.append(Fault(("expect", name), message))
    return faults


def _list_arms(found: Combination) -> tuple[str, ...]:
    return (found.arm,) if found.search is None else list_finals(found.search)


def _check_votes(fields: Mapping[str, Any], combined: Combined, broken: set[str | int]) -> list[Fault]:
    """Check votes and steps, which are derived from trained arms."""
    if combined.faults or "replicates" in broken or not combined.combinations:
        return []
    replicates = fields.get("replicates", Study.model_fields["replicates"].default)
    arms = list(dict.fromkeys(label for found in combined.combinations for label in _list_arms(found)))
    votes = check_ensembles(
        fields.get("ensembles"),
        arms,
        replicates=replicates if isinstance(replicates, int) else None,
        folds=combined.combinations[0].data.folds,
    )
    if not read_design(fields.get("design", {})).is_full:
        return [*votes, *check_no_steps(fields.get("decide"))]
    return [*votes, *check_steps(fields.get("decide"), make_plain(fields.get("arms") or []))]


def _make_problems(faults: Sequence[Fault], locate: Locate) -> list[Problem]:
    problems = [Problem(locate(path), join_path(path), message, code) for path, message, code in dict.fromkeys(faults)]
    if len(problems) > MAX_PROBLEMS:
        rest = len(problems) - MAX_PROBLEMS
        problems = [*problems[:MAX_PROBLEMS], Problem("", "", f"and {rest} more", "")]
    return problems
