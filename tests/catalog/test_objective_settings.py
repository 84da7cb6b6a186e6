from __future__ import annotations

import re

import pytest
from pydantic import TypeAdapter, ValidationError

from bakeoff.catalog.objective_settings import ClassWeights, ObjectiveSettings, check_class_weights
from bakeoff.errors import DataError

WEIGHTS: TypeAdapter[object] = TypeAdapter(ClassWeights)


def test_balanced_or_by_name() -> None:
    assert WEIGHTS.validate_python("balanced") == "balanced"
    assert WEIGHTS.validate_python({"cat": 2, "dog": 0.5}) == {"cat": 2.0, "dog": 0.5}
    assert WEIGHTS.validate_python({3: 2.0}) == {"3": 2.0}, "a digit is a class's name"


@pytest.mark.parametrize(
    "given", ["balancd", 3, [1.0, 2.0], {}, {"cat": -1.0}, {"cat": float("inf")}, {"cat": "2"}, {True: 1.0}, {1.5: 1.0}]
)
def test_wrong_weights_are_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        WEIGHTS.validate_python(given)


def test_a_wrong_word_is_answered_with_the_right_one() -> None:
    with pytest.raises(ValidationError, match=r"'balancd'.*'balanced'"):
        WEIGHTS.validate_python("balancd")


def test_an_unknown_class_is_named_with_the_nearest() -> None:
    check_class_weights(None, ["cat"])
    check_class_weights("balanced", ["cat"])
    check_class_weights({"cat": 1.0}, ["cat", "dog"])
    with pytest.raises(DataError) as caught:
        check_class_weights({"cat": 1.0, "dogg": 2.0}, ["cat", "dog"])
    assert re.match(r"class_weights: .*'dogg'.*'cat', 'dog'.*'dog'\?$", str(caught.value))


def test_many_and_strange_classes_stay_one_line() -> None:
    names = [f"class\n{number}" for number in range(100)]
    with pytest.raises(DataError) as caught:
        check_class_weights({"\x1b[2J": 1.0}, names)
    message = str(caught.value)
    assert message.isprintable()
    assert "and 80 more" in message
    assert "'class\\n19'" in message


def test_plain_is_the_usual_loss() -> None:
    assert ObjectiveSettings().plain
    assert not ObjectiveSettings(label_smoothing=0.1).plain
    assert not ObjectiveSettings(class_weights="balanced").plain
