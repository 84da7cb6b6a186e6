"""What is wrong with a study, as facts: where, and the names and numbers that its message gives."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from bakeoff.errors import Problem, StudyError

Facts = tuple[str, ...]

_PART = r"[^\s'(),:;]|(?<=\d),(?=\d)"
_NAME = re.compile(rf"(?<!\w)'((?:[^'\\]|\\.)*)'|(?<![\w.])((?:{_PART})*\d(?:{_PART})*)")


def _list_facts(problem: Problem) -> Facts:
    names = (quoted or number.rstrip(".") for quoted, number in _NAME.findall(problem.message))
    return (": ".join(part for part in (problem.place, problem.field) if part), *names)


@pytest.fixture
def refuse() -> Callable[..., list[Facts]]:
    """Return a function that calls another, which is to refuse a study; it returns the facts of every problem.

    A problem's facts are `place: field`, then what its message quotes and every number in it, in their order: the
    culprit first, the remedy last. The wording is not among them.
    """

    def call(function: Callable[..., object], *arguments: Any, **fields: Any) -> list[Facts]:
        with pytest.raises(StudyError) as refused:
            function(*arguments, **fields)
        assert str(refused.value).splitlines()
        return [_list_facts(problem) for problem in refused.value.problems]

    return call
