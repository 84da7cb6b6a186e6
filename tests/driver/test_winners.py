"""A study that begins with an earlier search's winner: found in the ledger, block by block, or refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bakeoff.driver.winners import read_winners
from bakeoff.errors import StudyError, WorkspaceError
from bakeoff.ledger.rows import CandidateRow
from bakeoff.ledger.store import Ledger
from bakeoff.study.plan import expand, study_id
from bakeoff.study.schema import Study
from bakeoff.study.winner import EVERY_BLOCK, find_winner
from bakeoff.workspace import Folders

SPACE = {"optimizer.learning_rate": {"low": 0.001, "high": 0.1}}


def make_tune(**fields: Any) -> Study:
    given: dict[str, Any] = {
        "question": "Which rate?",
        "name": "tune",
        "recipe": {"optimizer": "sgd", "epochs": 3},
        "blocks": [{"small": {"network": {"name": "mlp", "units": [8]}}, "large": {"network": {"name": "mlp"}}}],
        "search": {"name": "optuna", "space": SPACE},
    }
    return Study(**(given | fields))


def make_candidate(block: str, number: int, rate: float, is_winner: bool) -> CandidateRow:
    return CandidateRow(
        block=block,
        kind="candidate",
        number=number,
        group=0,
        generation=0,
        parents=(),
        changes={"optimizer.learning_rate": rate},
        notes=(),
        trial_ids=(),
        state="done",
        reason="",
        scores={"accuracy": rate},
        same_as="",
        is_winner=is_winner,
    )


def record(root: Path, study: Study, winners: dict[str, float], *, asking: bool = False) -> None:
    """Write a study and what its search has found, as a run would."""
    identity = study_id(study)
    document = study.model_dump(mode="json", exclude_unset=True)
    ledger = Ledger(Folders(root))
    ledger.register_study(
        identity, name=study.name, document=document, placements=(), numeric="float32", command="", asking=asking
    )
    ledger.place(identity, (), [make_candidate(block, 0, 0.001, False) for block in winners])
    ledger.place(identity, (), [make_candidate(block, 1, rate, True) for block, rate in winners.items()])
    ledger.close()


def test_every_block_begins_with_its_own_winner(tmp_path: Path) -> None:
    record(tmp_path, make_tune(), {"small": 0.02, "large": 0.05})
    found = read_winners(tmp_path, "tune", None)
    assert {block: recipe["optimizer"]["learning_rate"] for block, recipe in found.items()} == {
        "small": 0.02,
        "large": 0.05,
    }
    assert found["small"]["network"]["units"] == [8]
    assert read_winners(tmp_path, "tune", "large") == {EVERY_BLOCK: found["large"]}


def test_the_next_study_changes_the_winners_recipe_and_keeps_it_in_its_record(tmp_path: Path) -> None:
    record(tmp_path, make_tune(), {"small": 0.02, "large": 0.05})
    next_study = Study(
        question="Which initializer?",
        recipe={"from": {"study": "tune", "winner": True}, "epochs": 9},
        blocks=[{"small": {}, "large": {"optimizer.momentum": 0.9}}],
        arms=[{"initializer": ["he_normal", "glorot_uniform"]}],
    )
    with pytest.raises(StudyError, match=r"recipe\.from: the winner of study 'tune' is looked up in a workspace"):
        expand(next_study)
    fields = find_winner(next_study.model_dump(exclude_unset=True), lambda *asked: read_winners(tmp_path, *asked))
    found = Study.model_validate(fields)
    recipes = {(trial.block, trial.arm): trial.recipe for trial in expand(found).trials}
    small, large = recipes["small", "he_normal"], recipes["large", "glorot_uniform"]
    assert (small.optimizer.learning_rate, large.optimizer.learning_rate) == (0.02, 0.05)  # type: ignore[union-attr]
    assert (small.epochs, small.initializer.name, large.optimizer.momentum) == (9, "he_normal", 0.9)  # type: ignore[union-attr]
    again = Study.model_validate(found.model_dump(mode="json"))  # as the ledger keeps it: nothing is looked up anew
    assert study_id(again) == study_id(found)


def test_one_winner_stands_for_every_block(tmp_path: Path) -> None:
    record(tmp_path, make_tune(blocks=[], recipe={"network": "mlp", "optimizer": "sgd"}), {"digits": 0.03})
    assert list(read_winners(tmp_path, "tune", None)) == [EVERY_BLOCK]


@pytest.mark.parametrize(
    ("tune", "winners", "asking", "asked", "message"),
    [
        ({}, {"small": 0.1}, True, ("tune", None), "the search of study 'tune' has not ended: run it first"),
        ({}, {}, False, ("tune", None), "the search of study 'tune' has no winner"),
        (
            {},
            {"small": 0.1, "large": 0.1},
            False,
            ("tune", "smal"),
            "no winner in block 'smal', .* Did you mean 'small'",
        ),
        ({}, {"small": 0.1}, False, ("tone", None), "tone"),
        ({"search": None, "arms": [{"epochs": [1, 2]}]}, {}, False, ("tune", None), "has no search, so no winner"),
    ],
)
def test_what_cannot_be_begun_with_says_why(
    tmp_path: Path, tune: Any, winners: dict[str, float], asking: bool, asked: tuple[str, str | None], message: str
) -> None:
    record(tmp_path, make_tune(**tune), winners, asking=asking)
    with pytest.raises(WorkspaceError, match=f"recipe.from: .*{message}"):
        read_winners(tmp_path, *asked)


def test_a_block_without_a_winner_is_named() -> None:
    found = {"lenet": {"network": "mlp"}, "modnet1": {"network": "mlp"}}
    recipe = {"from": {"study": "tune", "winner": True, "found": found}}
    with pytest.raises(StudyError, match=r"recipe\.from: study 'tune' has no block 'digits', it has lenet, modnet1"):
        Study(question="Which?", recipe=recipe, arms=[{"epochs": [1, 2]}])


def test_a_misspelled_beginning_is_answered() -> None:
    with pytest.raises(StudyError, match=r"recipe\.from\.winer: unknown field 'winer'.*Did you mean 'winner'"):
        Study(question="Which?", recipe={"from": {"study": "a", "winer": True}}, arms=[{"epochs": [1, 2]}])
