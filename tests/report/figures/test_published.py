"""Published figures of one class, notes, and curves of a search, beside what was measured."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import precision_recall_fscore_support

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.search import draw_search
from bakeoff.report.published import measure_classes
from bakeoff.report.render.json import build_document
from bakeoff.report.render.latex import write_latex
from bakeoff.report.render.markdown import write_markdown
from bakeoff.report.sections.comparison import tabulate_all_scores
from bakeoff.stats.results import TrialResult
from bakeoff.study.published import Curve, Figure

MakeReport = Callable[..., ReportInput]
NAMES = ("cat", "dog", "frog")


def make_result(trial_id: str, replicate: int) -> TrialResult:
    return TrialResult(
        trial_id=trial_id,
        block="digits",
        arm="a",
        replicate=replicate,
        state="done",
        metrics={},
        epochs_trained=1,
        best_epoch=1,
        seconds=1.0,
    )


def test_classes_are_measured_as_by_scikit_learn(make_report: MakeReport) -> None:
    report = make_report(arms=("a", "b"), num_replicates=2)
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=60)
    files = {
        result: {"probabilities": rng.dirichlet(np.ones(3), 60), "labels": labels, "indices": np.arange(60)}
        for result in ("first", "second")
    }
    results = [make_result(trial_id, replicate) for replicate, trial_id in enumerate(files)]
    figure = Figure(arm="a", metric="recall", value=0.5, class_name="dog", note="one run")
    scores = measure_classes((figure,), results, {"digits": NAMES}, lambda trial, split: files.get(trial))
    _, recall, _, _ = precision_recall_fscore_support(labels, files["first"]["probabilities"].argmax(axis=1))
    _, other, _, _ = precision_recall_fscore_support(labels, files["second"]["probabilities"].argmax(axis=1))
    measured = scores["digits", "a", "test", "dog", "recall"]
    assert measured.mean == pytest.approx(np.mean([recall[1], other[1]]))
    assert measured.sd == pytest.approx(np.std([recall[1], other[1]], ddof=1))
    told = replace(report, published=(figure,), class_scores=scores)
    (row,) = build_document(told)["published"]["figures"]
    assert (row["class"], row["note"], row["measured"]["mean"]) == ("dog", "one run", measured.mean)
    assert "| test recall of dog |" in write_markdown(told)
    assert "| note |" in write_markdown(told)
    assert "| note |" not in write_markdown(replace(told, published=(figure.model_copy(update={"note": ""}),)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metric": "f1"}, "class_name.*macro_f1"),
        (
            {"metric": "accuracy", "class_name": "cat"},
            "accuracy.*class_name",
        ),
    ],
)
def test_a_class_goes_with_a_class_metric(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Figure(arm="a", value=0.5, **fields)


def test_a_curve_rises_by_generation() -> None:
    with pytest.raises(ValidationError, match="generations"):
        Curve(of="best", points=((1, 0.5), (0, 0.4)))


CURVES = (
    Curve(of="best", points=((0, 0.42), (2, 0.6)), note="chosen on test"),
    Curve(of="mean", points=((0, 0.21),), block="elsewhere"),
    Curve(of="mean", points=((0, 2.1),), metric="loss"),
)


@pytest.fixture
def searched(full_report: ReportInput) -> ReportInput:
    (search,) = full_report.searches
    return replace(full_report, searches=(replace(search, has_generations=True),), published_curves=CURVES)


def test_a_published_curve_stands_beside_the_measured_one(searched: ReportInput) -> None:
    (search,) = searched.searches
    row = r"\| best of a generation \(test accuracy, chosen on test\) \| (\d) \| (\S+) \|"
    assert re.findall(row, write_markdown(searched)) == [("0", "42.00%"), ("2", "60.00%")]
    spec = draw_search(searched, search.block)
    assert spec is not None
    drawn = [trace for trace in spec.data if str(trace["name"]).startswith("published")]
    assert [(trace["x"], trace["y"]) for trace in drawn] == [([0, 2], [0.42, 0.6])]
    assert "chosen on test" in spec.alt
    assert "published-curves" in write_latex(searched)
    assert build_document(searched)["published"]["curves"][0]["points"] == [[0, 0.42], [2, 0.6]]


def test_generations_are_counted_in_whole_numbers(searched: ReportInput) -> None:
    (search,) = searched.searches
    spec = draw_search(searched, search.block)
    assert spec is not None
    assert spec.layout["xaxis"]["dtick"] == 1
    (kind, *_) = search.kinds
    many = tuple(replace(kind.groups[0], number=number, middle=(0.4, 0.6)) for number in range(90))
    longer = replace(searched, searches=(replace(search, kinds=(replace(kind, groups=many),)),))
    spec = draw_search(longer, search.block)
    assert spec is not None
    assert spec.layout["xaxis"]["dtick"] == 5
    (band,) = [trace for trace in spec.data if "middle half" in str(trace["name"])]
    assert (len(band["x"]), set(band["y"])) == (180, {0.4, 0.6})


def test_every_metric_stands_in_the_whole_table(make_report: MakeReport) -> None:
    report = make_report(num_replicates=3)
    keys = [column.key for column in tabulate_all_scores(report.summary, "digits", ("train", "test"))]
    metrics = ("accuracy", "loss", "macro_f1")  # those that the made-up trials have
    assert keys == ["arm", *(f"{split} {metric}" for split in ("train", "test") for metric in metrics)]
