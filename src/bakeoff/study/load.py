"""Study files: found by path or as a shipped study's name, read, overridden, checked."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from bakeoff.data.source import show_text
from bakeoff.errors import Problem, StudyError, nearest
from bakeoff.study.about import About, Quick
from bakeoff.study.document import MAX_CHARACTERS, read_document
from bakeoff.study.explain import explain, join_path
from bakeoff.study.override import cut, override
from bakeoff.study.schema import Study
from bakeoff.study.winner import FindWinners, find_winner

SUFFIXES = (".yaml", ".yml")
MAX_SHOWN = 200
"""Characters of a path that a message repeats."""


@dataclass(frozen=True, kw_only=True)
class ShownStudy:
    """A study file as it stands, unchecked but for what it says of itself: mostly one that comes with bakeoff.

    Attributes:
        name: what `bakeoff run` calls it.
        path: its file.
        question: what it asks.
        about: how to run it, what it costs, what is known.
        quick: its small version; None where it has none.
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
    """Return what a shipped study, or a study file, says of itself.

    Raises:
        StudyError: there is none, or its text or what it says of itself is wrong.
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
            problems += [Problem(document.locate((name, *at)), join_path((name, *at)), why) for at, why, _ in found]
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


def load_study(
    study: str | Path, overrides: Sequence[str] = (), *, quick: bool = False, find_winners: FindWinners | None = None
) -> Study:
    """Read a study file, or a shipped study, and check it.

    Args:
        study: path of a file, or the name of a shipped study.
        overrides: PATH=VALUE each, made in this order before anything is checked.
        quick: take the small version that the study declares, under a name of its own.
        find_winners: looks up the winners of earlier studies that a recipe begins with; None leaves them open.

    Raises:
        StudyError: with every problem that the file and the overrides have.
        WorkspaceError: a winner cannot be found.
    """
    path = find_study(study)
    shown = path.name if path in _list_shipped_files() else show_text(study)
    document = read_document(_read_text(path, shown), shown)
    problems = list(document.problems)
    if quick:
        document = cut(document, str(document.fields.get("name") or _make_name(path.stem)))
    for text in overrides:
        try:
            document = override(document, text)
        except StudyError as error:
            problems += error.problems
    fields = {"name": _make_name(path.stem), **document.fields}
    if find_winners is not None:
        fields = find_winner(fields, find_winners)
    try:
        checked = Study.model_validate(fields, context={"locate": document.locate})
    except StudyError as error:
        problems += error.problems
    if problems:
        raise StudyError(_sort(problems))
    return checked if path in _list_shipped_files() else checked.lie_in(Path(os.path.abspath(path)).parent)


def _sort(problems: Sequence[Problem]) -> list[Problem]:
    """Return problems by line, those without a line (`--set`) first."""

    def line(problem: Problem) -> int:
        if not problem.place:
            return MAX_CHARACTERS  # "and 3 more"
        tail = problem.place.rpartition(":")[2]
        return int(tail) if tail.isdecimal() else 0

    return sorted(dict.fromkeys(problems), key=line)


def find_study(study: str | Path) -> Path:
    """Return the file of a study: a file of this path, or the shipped study of this name.

    Raises:
        StudyError: there is neither; names the nearest of both.
    """
    path = Path(study)
    if _look(path) == "file":
        return path
    for shipped in _list_shipped_files():
        if str(study) in (shipped.stem, shipped.name):
            return shipped
    raise StudyError([Problem(show_text(study)[:MAX_SHOWN], "", _explain_absence(path))])


def _look(path: Path) -> Literal["file", "folder", "other", "nothing"]:
    """Return what a path leads to; nothing, where it cannot be a path: too long, or with a null character."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return "nothing"
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def _explain_absence(path: Path) -> str:
    shipped = [file.stem for file in _list_shipped_files()]
    found = _look(path)
    if found == "folder":
        files = _list_files(path)
        inside = f" It holds {', '.join(files)}." if files else ""
        return f"a folder, not a study file.{inside}"
    if found == "other":
        return "not a regular file: give a study file or the name of a shipped study"
    near = [*shipped, *(str(path.parent / name) for name in _list_files(path.parent))]
    hint = nearest(str(path)[:MAX_SHOWN], near)
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
        raise StudyError([Problem(shown, "", f"cannot be read: {error.strerror}")]) from None
    if len(content) > MAX_CHARACTERS:
        raise StudyError([Problem(shown, "", f"larger than a study file may be ({MAX_CHARACTERS:,} bytes)")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise StudyError([Problem(shown, "", "not a text file (UTF-8): a study file is YAML")]) from None


def _make_name(stem: str) -> str:
    """Return a file's name as a study's: what a folder name should not hold becomes a hyphen."""
    name = re.sub(r"[^A-Za-z0-9._ -]", "-", stem)[:100].strip(" ")
    return name if re.match(r"[A-Za-z0-9]", name) else "study"
