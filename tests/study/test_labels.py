"""Names that look alike, or like less than they are, are refused with their line; templates are told from arms."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from bakeoff.errors import StudyError
from bakeoff.study.axes import list_templates
from bakeoff.study.editor import schema_json
from bakeoff.study.load import load_study
from bakeoff.study.plan import expand
from bakeoff.study.schema import RECORDED, Study

STUDY: dict[str, Any] = {
    "question": "?",
    "recipe": {"network": "mlp"},
    "arms": [{"fast": {"epochs": 1}, "slow": {"epochs": 2}}],
    "replicates": 2,
}


def refuse(**fields: Any) -> tuple[str, str]:
    """Return field and message of the one thing wrong with a study."""
    with pytest.raises(StudyError) as raised:
        Study.model_validate({**STUDY, **fields})
    (problem,) = raised.value.problems
    return problem.field, problem.message


UNSEEN = {
    "fast\u200b": "U+200B (ZERO WIDTH SPACE)",
    "fa\u00adst": "U+00AD (SOFT HYPHEN)",
    "fast\ufe0f": "U+FE0F (VARIATION SELECTOR-16)",
    "fast\u3164": "U+3164 (HANGUL FILLER)",
    "so\u00a0fast": "U+00A0 (NO-BREAK SPACE)",
    "\u202efast": "U+202E (RIGHT-TO-LEFT OVERRIDE)",
    "fast\n": "U+000A (a control character)",
    " fast": "invisible blanks",
    "fast ": "invisible blanks",
    "so  fast": "invisible blanks",
    unicodedata.normalize("NFD", "é"): "has accents as separate characters",
}


@pytest.mark.parametrize("name", UNSEEN)
def test_a_name_that_is_not_what_it_looks_like_is_refused(name: str) -> None:
    field, message = refuse(arms=[{"fast": {"epochs": 1}, name: {"epochs": 2}}])
    assert field == f"arms.0.{name}"
    assert UNSEEN[name] in message
    assert message.isprintable()
    assert refuse(blocks=[{name: {"batch_size": 8}}])[0] == f"blocks.0.{name}"
    votes = {name: {"of": ["fast", "slow"], "by": "soft"}}
    assert refuse(ensembles=votes)[0] == f"ensembles.{name}"


@pytest.mark.parametrize("name", ["rates ", "the  rates"])
def test_a_study_s_name_too(name: str) -> None:
    assert refuse(name=name) == (
        "name",
        f"{name!r} has invisible blanks: remove those at its ends, and all but one inside",
    )


@pytest.mark.parametrize("name", ["é", "学习率", "lr 0.1", "a → b", "😀", "50% / half", "ﬁ"])
def test_other_names_stay(name: str) -> None:
    assert expand(Study.model_validate({**STUDY, "arms": [{name: {"epochs": 1}, "b": {}}]})).arms == (name, "b")


def test_values_that_look_alike_are_no_two_arms() -> None:
    paths = ["a.pt", "a\u200b.pt"]
    field, message = refuse(arms=[{"transfer": [{"weights": {"file": path}} for path in paths]}])
    assert field == "arms.0.transfer.1"
    assert r"\u200b" in message
    assert "looks like" in message


def test_the_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        'question: "?"\nrecipe: {network: mlp}\narms:\n- fast: {epochs: 1}\n  "fast\u200b": {epochs: 2}\n', "utf-8"
    )
    with pytest.raises(StudyError) as raised:
        load_study(path)
    assert [problem.place for problem in raised.value.problems] == [f"{path}:5"]


def test_a_ledger_s_study_is_read_with_the_names_it_has() -> None:
    document = {**STUDY, "arms": [{"fast": {"epochs": 1}, "fast ": {"epochs": 2}}]}
    study = Study.model_validate(document, context={RECORDED: True})
    assert expand(study).arms == ("fast", "fast ")


def test_templates_are_no_arms_and_said_to_be_none() -> None:
    arms = [{"_base": {"epochs": 3}, "fast": {"from": "_base"}, "_unused": {}}, {"batch_size": [8, 16]}]
    study = Study.model_validate({**STUDY, "arms": arms})
    assert list_templates(study.arms) == ["_base", "_unused"]
    assert expand(study).arms == ("fast / 8", "fast / 16")
    properties = json.loads(json.dumps(schema_json()))["properties"]
    assert "begins with _ is a template" in properties["arms"]["description"]
    assert "begins with _ is a template" in properties["blocks"]["description"]
