"""Ensembles and chains on real but tiny studies: from training to verdicts, final test and reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.api import Result, Study, run
from bakeoff.ledger.read import find_study, open_reading, read_study
from bakeoff.workspace import Folders

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")


def make_study(**fields: Any) -> Study:
    values: dict[str, Any] = {
        "question": "What does a vote add?",
        "name": "votes",
        "data": {"validation": 0.2},
        "recipe": {"network": {"name": "mlp", "units": [8]}, "epochs": 2, "batch_size": 64},
        "arms": [
            {
                "_fast": {"optimizer.learning_rate": 0.01},
                "1.0": {"from": "_fast"},
                "1.1": {"from": "1.0", "network": {"name": "mlp", "units": [16]}},
            }
        ],
        "ensembles": {
            "soft": {"of": ["1.0", "1.1"]},
            "greedy": {"by": "greedy"},
            "seeds": {"of": ["1.1"], "over": "replicates"},
        },
        "replicates": 3,
        "numeric": "float32",
    }
    return Study(**{**values, **fields})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    workspace = tmp_path_factory.mktemp("trained") / "runs"
    return workspace, run(make_study(), workspace=workspace, workers=2)


def test_votes_are_arms_in_the_verdicts_and_in_the_exam(trained: tuple[Path, Result]) -> None:
    workspace, result = trained
    assert (result.state, result.report.num_done, result.report.num_tested) == ("done", 6, 6)
    assert (result.summary.split, result.summary.arm_labels) == ("test", ("1.0", "1.1", "soft", "greedy"))
    assert len(result.summary.verdicts) == 6
    assert {verdict.replicates for verdict in result.summary.verdicts} == {3}
    with open_reading(Folders(workspace)) as connection:
        record = read_study(connection, find_study(connection, "votes"))
    assert {trial.arm for trial in record.results} == {"1.0", "1.1"}  # nothing was trained for a vote


def test_a_vote_has_scores_on_the_training_images_too(trained: tuple[Path, Result]) -> None:
    workspace, result = trained
    with open_reading(Folders(workspace)) as connection:
        record = read_study(connection, find_study(connection, "votes"))
    kept = {trial.trial_id: Folders(workspace).load_predictions(trial.trial_id, "train") for trial in record.results}
    for trial in record.results:  # each member's own are those that the ledger scored
        own = kept[trial.trial_id] or {}
        accuracy = np.mean(own["probabilities"].argmax(axis=1) == own["labels"])
        assert accuracy == pytest.approx(trial.metrics["train"]["accuracy"])
    soft, alone = (next(arm for arm in result.summary.arms if arm.arm == name) for name in ("soft", "1.0"))
    assert soft.train.keys() == alone.train.keys()
    assert result.report.notes == ()


def test_a_vote_is_what_the_stored_predictions_say(trained: tuple[Path, Result]) -> None:
    workspace, result = trained
    with open_reading(Folders(workspace)) as connection:
        record = read_study(connection, find_study(connection, "votes"))
    for replicate in range(3):
        ids = [trial.trial_id for trial in record.results if trial.replicate == replicate]
        found = [Folders(workspace).load_predictions(trial_id, "test") for trial_id in ids]
        total = sum(predictions["probabilities"].astype(float) for predictions in found if predictions)
        accuracy = np.mean(np.argmax(total, axis=1) == (found[0] or {})["labels"])
        vote = next(arm for arm in result.summary.arms if arm.arm == "soft")
        assert vote.scores[replicate] == pytest.approx(accuracy)


def test_greedy_selection_is_no_worse_on_validation_than_its_best_member(trained: tuple[Path, Result]) -> None:
    report = next(ensemble for ensemble in trained[1].report.ensembles if ensemble.label == "greedy")
    assert report.fitted is not None
    assert report.fitted[0] >= report.fitted[1]


def test_the_reports_tell_all_of_it(trained: tuple[Path, Result]) -> None:
    _, result = trained
    document = json.loads(json.dumps(result.document, allow_nan=False))
    assert [ensemble["label"] for ensemble in document["ensembles"]] == ["soft", "greedy", "seeds"]
    assert [step["arm"] for step in document["steps"]] == ["1.0", "1.1", "soft", "soft"]
    assert len(document["ensembles"][0]["classes"]) == 10
    text = Path(result.report.report_path or "").read_text("utf-8")
    assert "## Ensembles: digits" in text
    assert "## Step by step: digits" in text
    assert "precision before" in text
    assert "1 block x 2 arms x 3 replicates: 6 of 6 trials done" in text


def test_the_evidence_reads_a_vote_like_an_arm(trained: tuple[Path, Result]) -> None:
    (evidence,) = trained[1].report.evidence
    assert evidence.num_trials == 3
    assert {evidence.arm, evidence.rival} & {"soft", "greedy"}


def test_another_vote_trains_nothing(trained: tuple[Path, Result]) -> None:
    workspace, _ = trained
    again = run(make_study(name="more", ensembles={"hard": {"by": "hard"}}), workspace=workspace, workers=1)
    assert (again.report.num_reused, again.report.num_done) == (6, 6)
    assert "hard" in again.summary.arm_labels


def test_without_the_exam_votes_are_judged_on_validation(trained: tuple[Path, Result]) -> None:
    workspace = trained[0].parent / "closed"
    result = run(make_study(replicates=2), workspace=workspace, workers=1, final_test=False)
    assert result.summary.split == "validation"
    assert [ensemble.label for ensemble in result.report.ensembles] == ["soft", "greedy"]
    assert any("computed in the final test" in note for note in result.report.notes)
    assert not list(workspace.rglob("test.npz"))
