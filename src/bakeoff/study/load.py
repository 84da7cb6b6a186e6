"""Finds study files, by path or by a shipped study's name, reads them, applies overrides and validates them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from bakeoff.data.source import find_kind, show_text
from bakeoff.errors import STUDY_NOT_FOUND, UNREADABLE, Problem, StudyError, find_nearest
from bakeoff.study.about import About, Quick
from bakeoff.study.axes import Fault
from bakeoff.study.document import MAX_CHARACTERS, read_document
from bakeoff.study.explain import explain, find_code, join_path
from bakeoff.study.override import make_quick, override
from bakeoff.study.schema import Study
from bakeoff.study.winner import FindWinners, find_winner

SUFFIXES = (".yaml", ".yml")
MAX_SHOWN = 200
"""Maximum length of a path in a message, in characters."""


@dataclass(frozen=True, kw_only=True)
class ShownStudy:
    """A study file, of which only `about` and `quick` are validated.

    Attributes:
        name: its name for `bakeoff run`.
        path: its file.
        question: its question.
        about: how to run it, its cost, what is known.
        quick: its quick version; None if it has none.
        text: the whole file.
    """

    name: str
    path: Path
    question: str
    about: About
    quick: Quick | None
    text: str


def list_shipped() -> tuple[ShownStudy, ...]:
    """Return the studies that come with bakeoff, by name."""
    return tuple(_describe_shipped(path) for path in _list_shipped_files())


def _list_shipped_files() -> list[Path]:
    folder = Path(str(resources.files("bakeoff.studies")))
    return sorted(folder.glob("*.yaml"))


def read_shipped(study: str | Path) -> ShownStudy:
    """Return the description of a shipped study or a study file.

    Raises:
        StudyError: there is none, or its text or its description is invalid.
    """
    path = find_study(study)
    shown = path.name if path in _list_shipped_files() else show_text(study)
    return _describe(path, _read_text(path, shown), shown)


def _describe_shipped(path: Path) -> ShownStudy:
    return _describe(path, path.read_text(encoding="utf-8"), path.name)


def _describe(path: Path, text: str, shown: str) -> ShownStudy:
    document = read_document(text, shown)
    said: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, model in (("about", About), ("quick", Quick)):
        given = document.fields.get(name)
        try:
            said[name] = None if given is None else model.model_validate(given)
        except ValidationError as error:
            found = explain(error, model, given)
            problems += [
                Problem(document.locate((name, *at)), join_path((name, *at)), why, find_code(kind))
                for at, why, kind in found
            ]
    if problems:
        raise StudyError(problems)
    return ShownStudy(
        name=str(document.fields.get("name") or _make_name(path.stem)),
        path=path,
        question=str(document.fields.get("question", "")),
        about=said["about"] or About(),
        quick=said["quick"],
        text=text,
    )


FindMissing: TypeAlias = Callable[[Mapping[str, Any], Path], Iterable[tuple[str, Fault]]]
"""(fields, the study file's folder) -> the missing folders and manifests; see `find_missing_images`."""


def load_study(
    study: str | Path,
    overrides: Sequence[str] = (),
    *,
    quick: bool = False,
    find_winners: FindWinners | None = None,
    find_missing: FindMissing | None = None,
) -> Study:
    """Read and validate a study file or a shipped study.

    Args:
        study: path of a file, or the name of a shipped study.
        overrides: PATH=VALUE each, applied in this order before validation.
        quick: load the study's quick version, which has its own name.
        find_winners: looks up the winners of earlier studies that a recipe starts from; None: do not look them up.
        find_missing: finds missing folders and manifests; None: do not check that they exist.

    Raises:
        StudyError: lists every problem of the file and the overrides.
        WorkspaceError: a winner was not found.
    """
    path = find_study(study)
    shown = path.name if path in _list_shipped_files() else show_text(study)
    document = read_document(_read_text(path, shown), shown)
    problems = list(document.problems)
    if quick:
        document = make_quick(document, str(document.fields.get("name") or _make_name(path.stem)))
    for text in overrides:
        try:
            document = override(document, text)
        except StudyError as error:
            problems += error.problems
    fields = {"name": _make_name(path.stem), **document.fields}
    if find_winners is not None:
        fields = find_winner(fields, find_winners)
    used: set[str | None] | None = None  # by a valid study; others may name images that no block uses
    try:
        checked = Study.model_validate(fields, context={"locate": document.locate})
        used = {found.data.source.path for found in checked.combine().combinations}
    except StudyError as error:
        problems += error.problems
    for given, (at, message, code) in (
        () if find_missing is None else find_missing(fields, Path(os.path.abspath(path)).parent)
    ):
        if used is None or given in used:
            problems.append(Problem(document.locate(at), join_path(at), message, code))
    if problems:
        raise StudyError(_sort(problems))
    return checked if path in _list_shipped_files() else checked.with_folder(Path(os.path.abspath(path)).parent)


def _sort(problems: Sequence[Problem]) -> list[Problem]:
    """Return problems sorted by line; those without a line (`--set`) come first."""

    def line(problem: Problem) -> int:
        if not problem.place:
            return MAX_CHARACTERS  # "and 3 more"
        tail = problem.place.rpartition(":")[2]
        return int(tail) if tail.isdecimal() else 0

    return sorted(dict.fromkeys(problems), key=line)


def find_study(study: str | Path) -> Path:
    """Return the file of a study, given its path or the name of a shipped study.

    Raises:
        StudyError: there is neither; suggests the closest name.
    """
    path = Path(study)
    if find_kind(path) == "file":
        return path
    for shipped in _list_shipped_files():
        if str(study) in (shipped.stem, shipped.name):
            return shipped
    raise StudyError([Problem(show_text(study)[:MAX_SHOWN], "", _explain_absence(path), STUDY_NOT_FOUND)])


def is_study_file(study: str | Path) -> bool:
    """Return whether a study is given by the path of a file."""
    return find_kind(Path(study)) == "file"


def _explain_absence(path: Path) -> str:
    shipped = [file.stem for file in _list_shipped_files()]
    found = find_kind(path)
    if found == "folder":
        files = _list_files(path)
        inside = f" It contains {', '.join(files)}." if files else f" For a folder of images: bakeoff init {path}."
        return f"a folder, not a study file.{inside}"
    if found == "other":
        return "not a regular file: give a study file or the name of a shipped study"
    near = {Path(name).stem: str(path.parent / name) for name in _list_files(path.parent)}  # endings are alike
    closest = find_nearest(path.stem[:MAX_SHOWN], [*near, *shipped])
    hint = f" Did you mean '{near.get(closest, closest)}'?" if closest else ""
    return f"no such file, and no shipped study of this name ({', '.join(shipped)}).{hint}"


def _list_files(folder: Path) -> list[str]:
    try:
        return sorted(file.name for file in folder.iterdir() if file.suffix in SUFFIXES)[:20]
    except (OSError, ValueError):
        return []


def _read_text(path: Path, shown: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CHARACTERS + 1)
    except OSError as error:
        raise StudyError([Problem(shown, "", f"cannot be read: {error.strerror}", UNREADABLE)]) from None
    if len(content) > MAX_CHARACTERS:
        raise StudyError(
            [Problem(shown, "", f"too large: a study file has at most {MAX_CHARACTERS:,} bytes", UNREADABLE)]
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise StudyError([Problem(shown, "", "not UTF-8 text: a study file is YAML", UNREADABLE)]) from None


def _make_name(stem: str) -> str:
    """Make a study's name from a file's: characters unsuitable for a folder name become hyphens."""
    name = re.sub(r"[^A-Za-z0-9._ -]", "-", stem)[:100].strip(" ")
    return name if re.match(r"[A-Za-z0-9]", name) else "study"
