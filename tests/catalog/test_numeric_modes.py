"""How a study's arithmetic runs: what is written down is read back."""

from __future__ import annotations

import pytest

from bakeoff.catalog.numeric_modes import Modes, name_shape

MIXED = Modes(
    common="bfloat16",
    by_block={'a "block"; {odd}': "float32"},
    apart=frozenset({name_shape("large"), name_shape("b")}),
    in_turn=frozenset({name_shape("wide")}),
)


@pytest.mark.parametrize(
    "modes",
    [
        Modes(common="float32"),
        Modes(common="bfloat16"),
        MIXED,
        Modes(common="float32", num_lanes=8),
        Modes(common="float32", in_turn=frozenset({"a"})),
        Modes(common="float32", num_lanes=8, max_threads=4),
    ],
)
def test_what_is_spelled_is_read_back(modes: Modes) -> None:
    assert Modes.parse(modes.dump()) == modes


def test_one_mode_for_all_is_its_name() -> None:
    assert Modes(common="bfloat16").dump() == Modes(common="bfloat16").describe() == "bfloat16"


def test_studies_begun_before_there_were_lanes_have_one() -> None:
    modes = Modes.parse('{"common": "bfloat16", "by_block": {}, "apart": ["a"]}')
    assert modes == Modes(common="bfloat16", apart=frozenset({"a"}), num_lanes=1)


def test_studies_started_before_there_were_threads_keep_one_and_are_written_as_they_were() -> None:
    written = '{"apart": [], "by_block": {}, "common": "float32", "num_lanes": 8}'
    assert Modes.parse(written).max_threads == 1
    assert Modes.parse(written).dump() == written


def test_blocks_have_their_own() -> None:
    assert MIXED.of('a "block"; {odd}') == "float32"
    assert MIXED.of("another") == "bfloat16"
    assert MIXED.are_apart("large")
    assert not MIXED.are_apart("small")
    assert MIXED.takes_turns("wide")
    assert not MIXED.takes_turns("large")


def test_people_are_told_what_differs() -> None:
    text = MIXED.describe()
    expected = "bfloat16, float32 in block 'a \"block\"; {odd}', 2 network shapes trained apart, "
    assert text == expected + "1 network shape with convolutions member by member"
