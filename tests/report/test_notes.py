"""What a report says of the images and of shortcuts: reduced data, left out files, own validation."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rich.console import Console

from bakeoff.report.document import ReportInput
from bakeoff.report.notes import describe_absent, describe_notes, describe_reduction, describe_test_images
from bakeoff.report.render.json import build_document
from bakeoff.report.render.markdown import write_markdown
from bakeoff.report.render.terminal import print_verdict
from bakeoff.report.sections.comparison import tabulate_scores
from bakeoff.stats.results import TrialResult
from bakeoff.stats.summary import Rules, StudyDesign, summarise
from bakeoff.study.plan import Plan, expand
from bakeoff.study.schema import Study

ARMS: list[dict[str, Any]] = [{"optimizer.learning_rate": [0.1, 0.2]}]


def plan(**fields: Any) -> Plan:
    values = {"recipe": {"network": "mlp"}, "arms": ARMS, "replicates": 1, **fields}
    return expand(Study(question="Which?", **values))


def test_a_whole_study_has_nothing_to_say() -> None:
    assert describe_reduction(plan(), {}) == ""
    assert describe_notes(plan(), {"digits": {"num_images": 3, "notes": [], "num_own_validation": 0}}) == ()


def test_classes_without_images_are_said_beside_macro_averages(make_report: Callable[..., ReportInput]) -> None:
    values = {"accuracy": 0.9, "loss": 0.3, "macro_f1": 0.8}
    absent = {**values, "classes_absent": 1.0}
    results = [
        TrialResult(
            trial_id=f"{replicate:08x}",
            block="digits",
            arm=arm,
            replicate=replicate,
            state="done",
            metrics={"validation": values, "test": absent},
            epochs_trained=3,
            best_epoch=2,
            seconds=1.0,
        )
        for replicate in range(2)
        for arm in ("a", "b")
    ]
    (note,) = describe_absent(results, {"digits": tuple("abc")})
    assert note == (
        "digits: 1 class has no image in the test split; macro precision, recall and F1 there are averaged over the "
        "other 2."
    )
    assert describe_absent([replace(each, metrics={"test": values}) for each in results], {"digits": ("a",)}) == ()
    for metric in ("accuracy", "macro_f1"):
        summary = summarise(results, StudyDesign(blocks=("digits",), arms=("a", "b")), Rules(metric=metric))
        headers = [" ".join(column.header) for column in tabulate_scores(summary, "digits")]
        assert "test macro F1 % (classes present)" in headers
        assert "test accuracy %" in headers
    whole = tabulate_scores(make_report().summary, "digits")
    assert not any("present" in " ".join(column.header) for column in whole)


def test_a_part_of_the_data_is_said_to_be_one() -> None:
    reduced = plan(data={"name": "mnist", "subset": 0.1, "classes": ["3", "8"]})
    assert describe_reduction(reduced, {"mnist": {"num_images": 1_198}}) == (
        "Reduced study, for a quick look: mnist, 10% of the training images, 1,198 images and only the 2 classes 3, 8."
    )
    assert describe_reduction(reduced, {}) == (
        "Reduced study, for a quick look: mnist, 10% of the training images and only the 2 classes 3, 8."
    )


def test_each_part_is_named_once() -> None:
    blocks = [{"data.subset": [0.25]}, {"epochs": [1, 2]}]
    assert describe_reduction(plan(blocks=blocks), {}).count("25%") == 1


def test_many_classes_are_counted() -> None:
    names = [str(number) for number in range(36)]
    said = describe_reduction(plan(data={"folder": "letters", "classes": names}), {})
    assert said.endswith("only the 36 classes 0, 1, 2, 3, 4, 5, 6, 7 and 28 more.")


def test_what_was_left_out_is_passed_on() -> None:
    facts = {"photos": {"notes": ["1 of 8 files left out: a.jpg (truncated)"], "num_own_validation": 0}}
    notes = describe_notes(plan(data={"folder": "some/photos"}), facts)
    assert notes == ("photos: 1 of 8 files left out: a.jpg (truncated).",)


def test_whose_validation_images_are_used() -> None:
    facts = {"photos": {"num_own_validation": 12}}
    (own,) = describe_notes(plan(data={"folder": "photos", "validation": "own"}), facts)
    assert own == "photos: validated on its own 12 validation images, the same in every replicate."
    for data in ({"folder": "photos"}, {"folder": "photos", "folds": 3}):
        (pooled,) = describe_notes(plan(data=data), facts)
        assert pooled.startswith("photos: its own 12 validation images are among the training images")


def test_test_images_that_changed_between_final_tests_are_said() -> None:
    (note,) = describe_test_images({"digits": {"a"}, "photos": {"a", "b"}})
    assert note.startswith("photos: its test images changed between final tests")


def test_every_report_says_it(make_report: Callable[..., ReportInput]) -> None:
    report = make_report(
        reduced="Reduced study, for a quick look: mnist, 10% of the training images.",
        notes=("photos: 1 of 8 files left out: a.jpg (truncated).",),
        data={"digits": {"num_images": 7}},
    )
    console = Console(file=io.StringIO(), width=200)
    print_verdict(console, report)
    for text in (console.file.getvalue(), write_markdown(report)):  # type: ignore[attr-defined]  # it is a StringIO
        assert "Reduced study, for a quick look: mnist, 10% of the training images." in text
        assert "1 of 8 files left out: a.jpg" in text
    document = build_document(report)
    assert document["reduced"] == report.reduced
    assert document["notes"] == list(report.notes)
    assert document["data"] == {"digits": {"num_images": 7}}
    assert build_document(make_report())["reduced"] is None
