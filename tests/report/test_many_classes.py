"""Thousands of classes: what a page shows is bounded, and the whole is there as a table."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from bakeoff.report.document import ReportInput
from bakeoff.report.evidence import MOST_CONFUSED, gather_evidence
from bakeoff.report.export.tables import tabulate_all_classes, tabulate_confusion
from bakeoff.report.render.html import write_html
from bakeoff.report.render.json import build_document
from bakeoff.report.render.markdown import write_markdown
from bakeoff.report.roc import MOST_CURVES
from bakeoff.report.tables import MOST_ROWS
from bakeoff.stats.metrics import classification_metrics
from bakeoff.stats.results import TrialResult
from bakeoff.stats.summary import StudyDesign, summarise

NUM_CLASSES, NUM_TRIALS = 300, 2
LABELS = np.repeat(np.arange(NUM_CLASSES), 2)


def predict(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    scores = rng.random((len(LABELS), NUM_CLASSES))
    scores[np.arange(len(LABELS)), LABELS] += rng.random(len(LABELS)) < 0.7
    probabilities = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    return {"probabilities": probabilities, "labels": LABELS, "indices": np.arange(len(LABELS))}


@pytest.fixture(scope="module")
def stored() -> dict[str, dict[str, Any]]:
    return {f"t{number}": predict(number) for number in range(NUM_TRIALS)}


@pytest.fixture(scope="module")
def report(stored: dict[str, dict[str, Any]]) -> ReportInput:
    results = []
    for replicate, (trial_id, found) in enumerate(stored.items()):
        scores = classification_metrics(found["probabilities"], found["labels"])
        metrics = dict.fromkeys(("train", "validation", "test"), scores)
        results.append(
            TrialResult(
                trial_id=trial_id,
                block="b",
                arm="one",
                replicate=replicate,
                state="done",
                metrics=metrics,
                epochs_trained=1,
                best_epoch=1,
                seconds=1.0,
            )
        )
    summary = summarise(results, StudyDesign(blocks=["b"], arms=["one"]))
    names = {"b": [f"class {number}" for number in range(NUM_CLASSES)]}
    evidence = gather_evidence(results, summary, names, lambda trial_id, split: stored[trial_id])
    counts: dict[str, int] = {"num_done": NUM_TRIALS, "num_failed": 0, "num_reused": 0, "num_planned": NUM_TRIALS}
    return ReportInput(name="s", question="?", state="done", summary=summary, evidence=evidence, **counts)


def test_what_is_shown_is_bounded(report: ReportInput) -> None:
    (evidence,) = report.evidence
    assert len(evidence.confusion) == len(evidence.confusion[0]) == MOST_CONFUSED < NUM_CLASSES
    assert evidence.roc is not None
    assert sum(line is not None for line in evidence.roc.classes) == MOST_CURVES
    assert evidence.roc.num_classes == NUM_CLASSES
    page, text = write_html(report), write_markdown(report)
    told = f"the {MOST_ROWS} hardest of {NUM_CLASSES} classes, lowest F1 first; all: --format csv --table classes"
    assert told[1:] in page
    assert told in text
    assert sum(line.startswith("| class ") for line in text.splitlines()) == MOST_ROWS + 1
    assert len(json.dumps(build_document(report)["evidence"])) < 120 * NUM_CLASSES + 40 * MOST_CONFUSED**2


def test_the_classes_shown_are_the_worst_of_all(report: ReportInput) -> None:
    (evidence,) = report.evidence
    assert evidence.confused is not None
    assert evidence.roc is not None
    mistakes: Counter[int] = Counter()
    for true, predicted, number in evidence.cells.tolist():
        mistakes += Counter({true: number, predicted: number}) if true != predicted else Counter()
    least = min(mistakes[number] for number in evidence.confused)
    assert least >= max(mistakes[number] for number in set(range(NUM_CLASSES)) - set(evidence.confused))
    assert set(evidence.confusion_images) == {2 * NUM_TRIALS}
    areas = [row.auc or 0.0 for row in evidence.classes]
    drawn = {number for number, line in enumerate(evidence.roc.classes) if line is not None}
    assert max(areas[number] for number in drawn) <= min(areas[n] for n in range(NUM_CLASSES) if n not in drawn)


def test_the_whole_is_there_as_tables(report: ReportInput, stored: dict[str, dict[str, Any]]) -> None:
    assert len(list(tabulate_all_classes(report).records())) == NUM_CLASSES
    cells = {(row["true_class"], row["predicted_class"]): row["images"] for row in tabulate_confusion(report).records()}
    expected = Counter(
        (f"class {true}", f"class {called}")
        for found in stored.values()
        for true, called in zip(LABELS.tolist(), found["probabilities"].argmax(axis=1).tolist(), strict=True)
    )
    assert cells == expected
