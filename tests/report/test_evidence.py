"""What stored predictions add: class by class, sampling error, the folds' vote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from bakeoff.report.document import ReportInput
from bakeoff.report.evidence import BlockEvidence, gather_contributions, gather_evidence, keep_leaders
from bakeoff.report.render.json import build_document
from bakeoff.report.render.markdown import write_markdown
from bakeoff.stats.looks import LineLook
from bakeoff.stats.results import Summary, TrialResult
from bakeoff.stats.summary import Rules, StudyDesign, summarise
from bakeoff.stats.wilson import wilson_interval

NAMES = ("cat", "<b>dog</b>", "a|b")
LABELS = np.arange(60) % 3


def predict(share_right: float, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    called = np.where(rng.random(60) < share_right, LABELS, (LABELS + 1) % 3)
    probabilities = np.full((60, 3), 0.1, np.float32)
    probabilities[np.arange(60), called] = 0.8
    return {"probabilities": probabilities, "labels": LABELS, "indices": np.arange(60)}


def make(folds: int | None = None) -> tuple[list[TrialResult], dict[str, Any], Summary]:
    results: list[TrialResult] = []
    stored: dict[str, Any] = {}
    held_out: dict[str, Any] = {}
    for arm, share in (("good", 0.9), ("fair", 0.6)):
        for run in range(4):
            trial_id = f"{arm}{run}"
            stored[trial_id] = predict(share, run)
            right = float((stored[trial_id]["probabilities"].argmax(axis=1) == LABELS).mean())
            metrics: Mapping[str, Mapping[str, float]] = {"test": {"accuracy": right}}
            if folds is not None:
                locked = np.arange(60) % folds == run % folds
                held_out[trial_id] = {name: values[locked] for name, values in stored[trial_id].items()}
                mine = held_out[trial_id]["probabilities"].argmax(axis=1) == held_out[trial_id]["labels"]
                metrics = {**metrics, "held-out": {"accuracy": float(mine.mean())}}
            results.append(
                TrialResult(
                    trial_id=trial_id,
                    block="b",
                    arm=arm,
                    replicate=run if folds is None else run // folds,
                    fold=None if folds is None else run % folds,
                    state="done",
                    metrics=metrics,
                    epochs_trained=1,
                    best_epoch=1,
                    seconds=1.0,
                )
            )
    by_image = gather_contributions(results, "accuracy", lambda trial_id, split: stored.get(trial_id)).by_trial
    stored["held-out"] = held_out
    return (
        results,
        stored,
        summarise(results, StudyDesign(blocks=["b"], arms=["good", "fair"], num_folds=folds), by_image=by_image),
    )


def gather(folds: int | None = None) -> tuple[BlockEvidence, dict[str, Any], Summary]:
    results, stored, summary = make(folds)

    def load(trial_id: str, split: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = (stored["held-out"] if split == "held-out" else stored).get(trial_id)
        return found

    (evidence,) = gather_evidence(results, summary, {"b": NAMES}, load)
    return evidence, stored, summary


def test_class_figures_are_means_over_trials_of_what_scikit_learn_says() -> None:
    evidence, stored, _ = gather()
    called = [stored[f"good{run}"]["probabilities"].argmax(axis=1) for run in range(4)]
    expected = np.mean([precision_recall_fscore_support(LABELS, each)[:3] for each in called], axis=0)
    found = [[row.precision, row.recall, row.f1] for row in evidence.classes]
    assert np.allclose(np.transpose(found), expected)
    macro = np.mean([f1_score(LABELS, each, average="macro") for each in called])
    assert evidence.averages["macro_f1"] == pytest.approx(macro)
    assert np.asarray(evidence.confusion).sum() == 4 * 60


def test_the_rival_is_named_and_the_difference_is_the_summary_s() -> None:
    evidence, _, summary = gather()
    assert (evidence.arm, evidence.rival) == ("good", "fair")
    assert evidence.error is not None
    assert evidence.error.difference == pytest.approx(summary.verdicts[0].difference)
    assert evidence.error.interval == summary.verdicts[0].interval
    assert "new images" in evidence.error.sentence


def test_folds_vote_and_nothing_is_said_of_seeds() -> None:
    evidence, stored, _ = gather(folds=2)
    votes = [
        np.mean([stored[f"good{2 * replicate + fold}"]["probabilities"] for fold in (0, 1)], axis=0)
        for replicate in (0, 1)
    ]
    assert evidence.vote is not None
    assert evidence.vote.mean == pytest.approx(np.mean([(vote.argmax(axis=1) == LABELS).mean() for vote in votes]))
    assert evidence.error is None


def test_with_folds_every_image_counts_once_a_replicate_by_the_model_that_held_it_out() -> None:
    evidence, stored, summary = gather(folds=2)
    assert (summary.split, evidence.split, evidence.num_trials) == ("held-out", "held-out", 4)
    called = []
    for replicate in (0, 1):
        whole = np.empty(60, np.int64)
        for fold in (0, 1):
            part = stored["held-out"][f"good{2 * replicate + fold}"]
            whole[part["indices"]] = part["probabilities"].argmax(axis=1)
        called.append(whole)
    confusion = sum(confusion_matrix(LABELS, each) for each in called)
    np.testing.assert_array_equal(evidence.confusion, confusion)
    macro = np.mean([f1_score(LABELS, each, average="macro") for each in called])
    assert evidence.averages["macro_f1"] == pytest.approx(macro)
    right = np.mean([each == LABELS for each in called])
    assert evidence.accuracy_interval == pytest.approx(wilson_interval(float(right) * 60, 60))


def test_without_predictions_there_is_no_evidence() -> None:
    results, _, summary = make()
    assert gather_evidence(results, summary, {"b": NAMES}, lambda trial_id, split: None) == ()


def test_reports_hold_it_and_names_stay_text() -> None:
    evidence, _, summary = gather()
    moment = "2026-01-02T03:04:05+00:00"
    look = LineLook(number=1, study_id="o", study="o", looked_at=moment, trials=frozenset(), replicates=frozenset())
    report = ReportInput(
        name="s",
        question="Which?",
        state="done",
        summary=summary,
        num_done=8,
        num_failed=0,
        num_reused=0,
        num_planned=8,
        evidence=(evidence,),
        earlier_looks=(look,),
        final_test_opened=("2026-02-02T03:04:05+00:00",),
        num_tested=8,
    )
    text = write_markdown(report)
    assert "Class by class: b" in text
    assert "<b>" not in text
    document = build_document(report)
    assert document["evidence"][0]["rival"] == "fair"
    assert document["final_test"]["changed_after"] == [moment]


def test_contributions_are_those_of_the_test_split_s_common_images() -> None:
    results, stored, _ = make()
    stored["good1"]["indices"] = np.arange(60) + 1
    del stored["fair2"]
    found = gather_contributions(results, "accuracy", lambda trial_id, split: stored.get(trial_id)).by_trial
    assert found.keys() == {"good0", "good2", "good3", "fair0", "fair1", "fair3"}
    assert found["fair0"].mean() == pytest.approx(results[4].metrics["test"]["accuracy"])


def test_each_trial_s_predictions_are_read_once() -> None:
    results, stored, summary = make()
    read: list[tuple[str, str]] = []

    def load(trial_id: str, split: str) -> Any:
        read.append((trial_id, split))
        return stored.get(trial_id)

    kept = keep_leaders(results, "accuracy", load)
    gather_contributions(results, "accuracy", kept)
    gather_evidence(results, summary, {"b": NAMES}, kept)
    assert read == [(result.trial_id, "test") for result in results]


def test_with_a_baseline_the_rival_is_the_baseline() -> None:
    results, stored, _ = make()
    results += [replace(r, arm="poor", trial_id=f"poor{r.replicate}") for r in results if r.arm == "fair"]
    stored |= {f"poor{run}": predict(0.5, run) for run in range(4)}
    summary = summarise(results, StudyDesign(blocks=["b"], arms=["good", "fair", "poor"]), Rules(baseline="poor"))
    (evidence,) = gather_evidence(results, summary, {"b": NAMES}, lambda trial_id, split: stored.get(trial_id))
    assert (evidence.arm, evidence.rival) == ("good", "poor")
