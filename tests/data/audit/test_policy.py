"""Findings are typed, and policies leave out or unite what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.data.audit.audits import Audit, select_classes
from bakeoff.data.audit.findings import count_findings, list_findings
from bakeoff.data.audit.near import Duplicates
from bakeoff.data.audit.policy import decide
from bakeoff.errors import DataError


def make(parts: str, classes: str, exact: dict[int, int] | None = None, near: Any = (), **fields: Any) -> Audit:
    """Return an audit of images by the first letters of their parts and their classes."""
    numbers = np.arange(len(parts))
    for number, first in (exact or {}).items():
        numbers[number] = first
    pairs = np.array(near, dtype=np.int64).reshape(-1, 2)
    names = {"t": "train", "v": "validation", "e": "test"}
    return Audit(
        where="pets",
        names=tuple(f"{n}.png" for n in range(len(parts))),
        classes=tuple(classes),
        parts=tuple(names[part] for part in parts),  # type: ignore[arg-type,misc]
        identities=tuple((n, 1) for n in range(len(parts))),
        duplicates=Duplicates(exact=numbers, near=pairs, changes=np.zeros(len(pairs), dtype=np.int64)),
        sizes=np.full((len(parts), 3), 32, dtype=np.uint16),
        is_constant=np.zeros(len(parts), dtype=np.bool_),
        stored=Path("none"),
        **fields,
    )


def test_copies_of_test_and_validation_images_are_left_out() -> None:
    audit = make("tttttttvve", "abababaabb", exact={7: 0}, near=[(1, 9), (8, 9)])
    decision = decide(audit, "group")
    np.testing.assert_array_equal(np.flatnonzero(decision.left_out), [0, 1, 8])
    assert decision.clusters == ()
    assert "2 training images left out as duplicates of test or validation images" in decision.headline


def test_chains_of_near_duplicates_stay_together_but_are_not_left_out_whole() -> None:
    audit = make("tttttt", "aaabbb", near=[(0, 1), (1, 2), (3, 4)])
    # Were 2 apart from 0 and 1, a split could separate it from 1, its verified duplicate.
    assert decide(audit, "group").clusters == ((0, 1, 2), (3, 4))
    dropped = decide(make("tttttttt", "aaabbbab", near=[(0, 1), (1, 2), (3, 4)]), "drop")
    np.testing.assert_array_equal(np.flatnonzero(dropped.left_out), [1, 4])


def test_chains_end_at_left_out_images_and_at_the_sources_own_test_split() -> None:
    audit = make("tttttteeee", "ababababab", near=[(0, 1), (1, 2), (1, 6), (2, 3), (6, 7), (8, 9)])
    decision = decide(audit, "group")
    np.testing.assert_array_equal(np.flatnonzero(decision.left_out), [1])
    assert decision.clusters == ((2, 3), (6, 7), (8, 9))


def test_a_chain_to_a_test_image_leaks_nothing() -> None:
    # 0 is verified with the test image 8, whose other duplicate 9 is a test image too.
    audit = make("ttttttttee", "ababababab", near=[(0, 8), (1, 9), (8, 9)])
    np.testing.assert_array_equal(np.flatnonzero(decide(audit, "group").left_out), [0, 1])


def test_refusals_name_the_culprit() -> None:
    with pytest.raises(DataError, match="2 of 4 training images are copies of images in its test split"):
        decide(make("ttttee", "ababab", exact={4: 0, 5: 1}), "group")
    with pytest.raises(DataError, match=r"0.png \('a'\) and 3.png \('b'\) are the same image in two classes"):
        decide(make("tttt", "abab", exact={3: 0}), "drop")
    with pytest.raises(DataError, match="class 'a' has 1 of its 3 training images"):
        decide(make("tttttttttee", "abababbbbaa", exact={9: 0, 10: 2}), "group")


def test_a_contradiction_between_classes_not_chosen_is_no_matter() -> None:
    audit = make("ttttttt", "abcabcd", exact={6: 2})
    assert not decide(audit, "group", ("a", "b")).left_out.any()
    assert list_findings(select_classes(audit, ("c", "d")))[0].kind == "two labels"


def test_findings_are_counted_by_kind() -> None:
    audit = make("t" * 30 + "e" * 10, "ab" * 15 + "a" * 10, exact={2: 0, 30: 4}, near=[(1, 31), (3, 5)])
    counts = count_findings(list_findings(audit))
    assert counts == {
        "equal": 2,
        "near": 1,
        "near, two labels": 1,
        "missing class": 1,
        "across splits": 2,
    }
    first = list_findings(audit)[0]
    assert first.is_across
    assert first.parts == ("test", "train")
