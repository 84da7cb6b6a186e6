"""User errors: one class hierarchy, one clear line each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_MOST_CHARACTERS = 1_600


class BakeoffError(Exception):
    """A mistake or a missing thing outside bakeoff. The message names the culprit and the remedy."""


class DataError(BakeoffError):
    """Images cannot be found, fetched or decoded."""


class NetworkError(BakeoffError):
    """A network cannot be built: an unknown name or an impossible layer."""


class WorkspaceError(BakeoffError):
    """The workspace or its ledger cannot be read or written."""


class StorageError(WorkspaceError):
    """A disk is full, read-only, or failing: retrying does not help until the user has fixed it."""


@dataclass(frozen=True)
class Problem:
    """One problem in a study: where it is, and what to write instead.

    Attributes:
        place: `file:line` where known, else the source's name (`--set`).
        field: dotted path of the field.
        message: what was given, what is allowed, the closest valid name.
    """

    place: str
    field: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.field, _shorten(self.message)) if part)


def _shorten(message: str) -> str:
    """Return a message shortened in the middle if it is too long: a name can fill a screen."""
    if len(message) <= _MOST_CHARACTERS:
        return message
    return f"{message[: _MOST_CHARACTERS // 2]} [...] {message[-_MOST_CHARACTERS // 4 :]}"


class StudyError(BakeoffError):
    """A study is invalid. Carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def nearest(name: object, choices: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the choice closest to `name`, or whose initials it is; "" if there is none."""
    known = list(choices)
    matches = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    matches = matches or [choice for choice in known if name and initials(choice) == str(name)]
    return f" Did you mean '{matches[0]}'?" if matches else ""


def initials(name: str) -> str:
    """Return the first letters of two words or more: "lr" of "learning_rate"; empty for one word."""
    words = name.split("_")
    return "".join(word[:1] for word in words) if len(words) > 1 else ""
