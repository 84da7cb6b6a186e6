from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from bakeoff.catalog.choices import (
    UNKNOWN_NAME,
    Count,
    Extent,
    Rate,
    check_name,
    collect_names,
    expand_name,
    refuse_name,
)
from bakeoff.catalog.networks.layers import Pool
from bakeoff.errors import NetworkError, UnknownNetworkError
from bakeoff.registry import Registry

ALLOWED = ("apple", "pear")


@dataclass(frozen=True)
class Entry:
    name: str


def test_an_unknown_name_is_answered_with_the_allowed_and_the_nearest() -> None:
    error = refuse_name("fruit", "aple", ALLOWED)
    assert error.type == UNKNOWN_NAME
    assert "'aple'" in error.message()
    assert "apple, pear" in error.message()
    assert error.message().endswith("'apple'?")
    assert error.context is not None
    assert error.context["given"] == "aple"
    assert error.context["allowed"] == ["apple", "pear"]


@pytest.mark.parametrize(
    ("given", "start"),
    [
        (None, "fruit has no name."),
        (5, "fruit must be given by name, not by 5."),
        (["apple"], "fruit must be given by name, not by ['apple']."),
        ("", "unknown fruit ''."),
        ("line\nbreak", "unknown fruit 'line\\nbreak'."),
    ],
)
def test_a_malformed_name_is_told_in_one_line(given: object, start: str) -> None:
    message = refuse_name("fruit", given, ALLOWED).message()
    assert message.startswith(start)
    assert "\n" not in message


def test_an_endless_name_is_shortened() -> None:
    assert len(refuse_name("fruit", "x" * 100_000, ALLOWED).message()) < 200


def test_braces_in_a_name_stay_text() -> None:
    assert "'{allowed} {0}'" in refuse_name("fruit", "{allowed} {0}", ALLOWED).message()


def test_check_name_returns_an_allowed_name_and_refuses_others() -> None:
    assert check_name("pear", kind="fruit", allowed=ALLOWED) == "pear"
    for wrong in ("plum", None, ["pear"], {"pear": 1}):
        with pytest.raises(PydanticCustomError) as caught:
            check_name(wrong, kind="fruit", allowed=ALLOWED)
        assert caught.value.type == UNKNOWN_NAME


def test_spell_out_accepts_a_bare_name_a_mapping_and_a_record() -> None:
    assert expand_name("pear", kind="fruit", allowed=ALLOWED) == {"name": "pear"}
    assert expand_name({"name": "pear", "size": 2}, kind="fruit", allowed=ALLOWED) == {"name": "pear", "size": 2}
    record = Pool()
    assert expand_name(record, kind="fruit", allowed=ALLOWED) is record


@pytest.mark.parametrize("value", [{"name": "plum"}, {"size": 2}, {}, None, 3, ["pear"]])
def test_spell_out_refuses_what_has_no_valid_name(value: object) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        expand_name(value, kind="fruit", allowed=ALLOWED)
    assert caught.value.type == UNKNOWN_NAME


def test_a_name_registered_twice_raises() -> None:
    assert collect_names([Entry("a"), Entry("b")]) == ("a", "b")
    with pytest.raises(ValueError, match="once: a"):
        collect_names([Entry("a"), Entry("b"), Entry("a")])


def test_a_registry_finds_or_lists_the_names() -> None:
    entries = [Entry("apple"), Entry("pear")]
    assert Registry("fruit", entries).find("pear") is entries[1]
    with pytest.raises(NetworkError, match=r"(?m)^unknown fruit 'peer'.* apple, pear\..*'pear'\?$"):
        Registry("fruit", entries).find("peer", UnknownNetworkError)


@pytest.mark.parametrize(
    ("kind", "accepted", "refused"),
    [
        (Count, (1, 65_536), (0, -1, 65_537, 2.0, True, "3", None)),
        (Extent, (1, 1_024), (0, 1_025, 1.5, False, "3")),
        (Rate, (0, 0.0, 0.5, 0.999), (-0.1, 1, 1.0, float("nan"), float("inf"), True, "0.5")),
    ],
)
def test_numbers_have_bounds_and_no_lookalikes(
    kind: Any, accepted: tuple[object, ...], refused: tuple[object, ...]
) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    for value in accepted:
        assert adapter.validate_python(value) == value
    for value in refused:
        with pytest.raises(ValidationError):
            adapter.validate_python(value)
