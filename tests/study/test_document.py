from __future__ import annotations

import math
from textwrap import dedent

import pytest

from bakeoff.errors import StudyError
from bakeoff.study.document import Document, read_document, read_value


def _read(text: str) -> Document:
    return read_document(dedent(text), "s.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("-.5", -0.5),
        ("+3", 3),
        ("012", 12),
        ("0x1f", 31),
        ("0o17", 15),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        ("1_000", "1_000"),
        ("yes", "yes"),
        ("off", "off"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("'1'", "1"),
        ("!!str 1", "1"),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("e5", "e5"),
        ("[a, [1, x: 2]]", ["a", [1, {"x": 2}]]),
    ],
)
def test_scalars_are_what_they_look_like(text: str, value: object) -> None:
    found = read_value(text, "s")
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    assert math.isnan(read_value(".nan", "s"))


def test_keys_are_text() -> None:
    assert list(_read("on: 1\nno: 2\n1e-3: 3\n~: 4\n2.10: 5\n").fields) == ["on", "no", "1e-3", "~", "2.10"]


def test_places_are_those_of_keys_and_items() -> None:
    document = _read(
        """\
        question: a

        recipe:
          optimizer: {name: sgd,
                      momentum: 0.9}
        arms:
          - initializer:
            - he_normal
            - he_uniform
        """
    )
    assert document.locate(("recipe",)) == "s.yaml:3"
    assert document.locate(("recipe", "optimizer", "momentum")) == "s.yaml:5"
    assert document.locate(("arms", 0, "initializer")) == "s.yaml:7"
    assert document.locate(("arms", 0, "initializer", 1)) == "s.yaml:9"
    assert document.locate(("arms", 0, "initializer", 1, "where")) == "s.yaml:9"
    assert document.locate(("decide", "metric")) == "s.yaml"


def test_a_key_given_twice_is_a_problem_and_the_rest_is_read() -> None:
    document = _read("seed: 1\nrecipe:\n  epochs: 1\n  epochs: 2\nseed: 3\nname: x\n")
    assert [(problem.place, problem.field) for problem in document.problems] == [
        ("s.yaml:4", "recipe.epochs"),
        ("s.yaml:5", "seed"),
    ]
    assert ["line 3" in document.problems[0].message, "line 1" in document.problems[1].message] == [True, True]
    assert document.fields == {"seed": 1, "recipe": {"epochs": 1}, "name": "x"}


@pytest.mark.parametrize(
    ("text", "field", "culprit"),
    [
        ("a: !!python/object/apply:os.system ['true']", "a", "python/object/apply:os.system"),
        ("a: !!binary aGk=", "a", "'tag:yaml.org,2002:binary'"),
        ("a: !!set {x}", "a", "'tag:yaml.org,2002:set'"),
        ("a: !own 3", "a", "'!own'"),
        ("a: !!int x", "a", "'x'"),
        ("a: " + "9" * 5000, "a", "'9999"),
        ("? [a, b]\n: 3", "", "key"),
    ],
)
def test_what_is_refused(text: str, field: str, culprit: str) -> None:
    (problem,) = _read(text).problems
    assert (problem.place, problem.field) == ("s.yaml:1", field)
    assert culprit in problem.message


def test_aliases_are_read() -> None:
    assert _read("a: &x {b: 1}\nc: *x\n").fields == {"a": {"b": 1}, "c": {"b": 1}}


def test_aliases_do_not_explode() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(StudyError, match=r"^s.yaml: .*50,000.*aliases"):
        _read("\n".join(levels))


def test_an_alias_inside_itself_ends() -> None:
    with pytest.raises(StudyError, match=r"(?m)^s.yaml:1: .*30 levels$"):
        _read("a: &a [*a]")


def test_an_unknown_alias() -> None:
    with pytest.raises(StudyError, match=r"^s.yaml:2: .*alias 'x'"):
        _read("a: 1\nb: *x\n")
