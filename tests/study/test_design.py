"""Fractions of crossed axes: which arms there are, that they stay the same trials, and what is said before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bakeoff.errors import StudyError
from bakeoff.stats.designs import MAX_FACTORS
from bakeoff.study.axes import Entry
from bakeoff.study.design import Design, choose_arms, count_arms
from bakeoff.study.factors import list_factors
from bakeoff.study.load import load_study
from bakeoff.study.plan import expand, recipe_content, study_id
from bakeoff.study.schema import Study

AXES: list[dict[str, Any]] = [
    {"optimizer": ["adam", "sgd"]},
    {"batch_size": [32, 64]},
    {"epochs": [3, 5]},
    {"initializer": ["he_normal", "glorot_normal"]},
    {"plain": {}, "falling": {"schedule": "cosine"}},
]


def make_study(num_axes: int = 5, **fields: Any) -> Study:
    values: dict[str, Any] = {
        "question": "Which?",
        "recipe": {"network": {"name": "mlp"}},
        "arms": AXES[:num_axes],
        "replicates": 3,
    }
    return Study(**{**values, **fields})


@pytest.mark.parametrize(
    ("design", "num_arms"),
    [
        ("full", 32),
        ("fractional", 8),
        ("screening", 8),
        ({"kind": "fractional", "resolution": 5}, 16),
        ({"kind": "screening", "runs": 12}, 12),
    ],
)
def test_a_design_says_how_many_arms_there_are(design: object, num_arms: int) -> None:
    assert len(expand(make_study(design=design)).arms) == num_arms


def test_arms_of_a_fraction_are_those_of_the_full_design_in_its_order() -> None:
    full, part = expand(make_study()), expand(make_study(design="screening"))
    assert list(part.arms) == [arm for arm in full.arms if arm in part.arms]
    assert part.arms[0] == full.arms[0]
    known = {(t.arm, t.replicate): (t.seed, recipe_content(t.recipe)) for t in full.trials}
    assert {(t.arm, t.replicate): (t.seed, recipe_content(t.recipe)) for t in part.trials}.items() <= known.items()


def test_cells_of_a_fraction_are_its_arms_and_balanced() -> None:
    study = make_study(design={"kind": "screening", "runs": 12})
    design = list_factors(study.arms, study.design)
    assert design is not None
    assert tuple(design.cells) == expand(study).arms
    assert design.kind == "screening"
    assert design.num_cells == 32
    assert all(sum(cell[place] for cell in design.cells.values()) == 6 for place in range(5))
    assert [sorted(other) for other in design.others] == [sorted(design.cells)] * 6
    assert not design.has_interactions
    for arm, cell in design.cells.items():
        assert arm == " / ".join(factor.levels[level] for factor, level in zip(design.factors, cell, strict=True))


def test_a_fraction_of_resolution_five_has_interactions() -> None:
    study = make_study(design={"kind": "fractional", "runs": 16})
    design = list_factors(study.arms, study.design)
    assert design is not None
    assert design.resolution == 5
    assert design.has_interactions


def test_the_plan_names_size_and_aliases() -> None:
    notes = expand(make_study(design="screening")).notes
    assert notes[0] == "8 of 32 combinations of arms are run: 2^(5-2) fraction of resolution III."
    assert "is aliased with optimizer x batch_size" in notes[1] or "x" in notes[1]
    three = expand(make_study(3, design="fractional")).notes
    assert three[1] == (
        "optimizer is aliased with batch_size x epochs; batch_size is aliased with optimizer x epochs; "
        "epochs is aliased with optimizer x batch_size."
    )
    burman = expand(make_study(design={"kind": "screening", "runs": 12})).notes
    assert burman[1] == "Every choice is aliased in part with interactions of two others."
    assert expand(make_study()).notes == ()


def test_many_axes_are_not_multiplied_out() -> None:
    entries = [[Entry(f"{n}.{level}", (), (), named=True) for level in (0, 1)] for n in range(MAX_FACTORS)]
    assert count_arms(entries, Design(kind="screening")) == 64
    with pytest.raises(ValueError, match="64 axes of arms, allowed 63"):
        choose_arms([*entries, entries[0]], Design(kind="screening"))


SEARCH = {"name": "random", "budget": 3, "space": {"batch_size": [32, 64]}}
THREE = [{"optimizer": ["adam", "sgd", "adamw"]}, AXES[1]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"design": "screening", "arms": AXES[:1]}, "crosses two axes of arms or more: write design: full"),
        (
            {"design": "fractional", "arms": THREE},
            r"needs two levels on every axis of arms, and one has 3 \(adam, sgd, adamw\): keep two of them",
        ),
        ({"design": {"kind": "fractional", "runs": 12}}, "no fraction of 5 factors in 12 runs"),
        ({"design": {"kind": "screening", "runs": 5}}, "5 factors cannot be screened in 5 runs, allowed: 8, 12"),
        ({"design": {"kind": "full", "runs": 8}}, "leave runs and resolution out"),
        ({"design": {"kind": "screening", "resolution": 4}}, "no resolution to choose"),
        ({"design": "screning"}, "design: given 'screning', allowed 'full', 'fractional' or 'screening'"),
        ({"design": "screening", "arms": (), "search": SEARCH}, "a search proposes the arms"),
        ({"design": "screening", "decide": {"steps": True}}, "steps need all arms"),
    ],
)
def test_a_design_that_cannot_be_is_one_clear_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        make_study(**fields)
    assert len([problem for problem in caught.value.problems if problem.field != "search"]) == 1


def test_a_study_without_a_design_is_written_and_known_as_before() -> None:
    study = make_study()
    assert "design" not in study.model_dump(mode="json")
    assert study_id(study) == study_id(make_study(design="full"))
    assert study_id(study) != study_id(make_study(design="screening"))


def test_a_design_is_read_back_from_what_was_written() -> None:
    study = make_study(design={"kind": "screening", "runs": 12})
    assert Study.model_validate(study.model_dump(mode="json")) == study


def test_a_design_stands_in_a_file_and_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        "question: Which?\nrecipe: {network: {name: mlp}}\ndesign: screening\n"
        "arms:\n- optimizer: [adam, sgd]\n- batch_size: [32, 64]\n- epochs: [3, 5]\n"
    )
    assert len(expand(load_study(path)).arms) == 4
    assert len(expand(load_study(path, ["design=full"])).arms) == 8
