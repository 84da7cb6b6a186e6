"""From runs with curves to a table: which epoch counts, what is skipped, which metric is first."""

from __future__ import annotations

import math

import pytest

from bakeoff.errors import DataError
from bakeoff.foreign.epochs import Epoch
from bakeoff.foreign.reading import DamagedError, parse_text
from bakeoff.foreign.runs import Run, collect_curves, make_table
from bakeoff.foreign.scores import is_no_score, looks_like_score, sort_metrics
from bakeoff.foreign.table import ForeignTable

CURVES = {
    "val_acc": {0.0: 0.5, 1.0: 0.9, 2.0: 0.9, 3.0: math.nan},
    "train_loss": {0.5: 3.0, 1.5: 2.0, 2.5: 1.0},
    "test_acc": {9.0: 0.8},
}


def test_the_last_epoch_is_each_metrics_own() -> None:
    scores = Epoch.parse("last").read(CURVES)
    assert scores is not None
    assert math.isnan(scores["val_acc"])
    assert (scores["train_loss"], scores["test_acc"]) == (1.0, 0.8)


def test_the_best_epoch_is_the_first_of_equals_and_others_are_read_there() -> None:
    assert Epoch.parse("max:val_acc").read(CURVES) == {"val_acc": 0.9, "train_loss": 3.0, "test_acc": 0.8}
    assert Epoch.parse("min:val_acc").read(CURVES) == {"val_acc": 0.5, "test_acc": 0.8}
    assert Epoch.parse("max:val_acc").read({"val_acc": {0.0: math.nan}}) is None


@pytest.mark.parametrize("text", ["first", "max", "max:", "best:acc", ""])
def test_an_unknown_epoch_is_one_line(text: str) -> None:
    with pytest.raises(DataError, match="Allowed: last, max:METRIC"):
        Epoch.parse(text)


def test_a_metric_that_no_run_has_is_named_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"'val_ac'.*Did you mean 'val_acc'"):
        make_table("Keras", "here", [Run(label="a", curves=CURVES)], "max:val_ac")


def test_runs_without_scores_or_end_are_counted_and_named() -> None:
    runs = [
        Run(label="a", facts={"seed": 1}, curves={"acc": {0.0: 0.5}}),
        Run(label="b", curves={"lr": {0.0: 0.1}}),
        Run(label="c", curves={"acc": {0.0: 0.9}}, unread="is running"),
    ]
    table = make_table("MLflow", "here", runs, "last")
    assert [dict(row) for row in table.rows] == [{"seed": 1, "acc": 0.5}]
    assert (table.metrics, table.num_skipped) == (("acc",), 2)
    assert "skipped: b has no scores" in table.notes
    with pytest.raises(DataError, match=r"no finished run of MLflow.*c is running"):
        make_table("MLflow", "here", runs[1:], "last")


def test_diverged_runs_stay_and_runs_of_different_lengths_are_noted() -> None:
    short = Run(label="short", curves={"loss": {0.0: 1.0}})
    diverged = Run(label="diverged", curves={"loss": {0.0: 1.0, 1.0: math.inf}})
    table: ForeignTable = make_table("Keras", "here", [short, diverged], "last")
    assert [row["loss"] for row in table.rows] == [1.0, math.inf]
    assert any("from 1 to 2" in note for note in table.notes)
    assert any(note.startswith("diverged diverged") for note in table.notes)


def test_settings_named_like_scores_and_names_of_runs_keep_apart() -> None:
    runs = [
        Run(label=name, facts={"name": name, "loss": "focal"}, curves={"loss": {0.0: 1.0}})
        for name in ("a-seed1", "a-seed2", "b-seed1")
    ]
    assert dict(make_table("W&B", "here", runs, "last").rows[1]) == {
        "name": "a-seed2",
        "setting.loss": "focal",
        "name.1": "a",
        "name.2": 2,
        "seed": 2,
        "loss": 1.0,
    }


def test_what_was_trained_again_from_an_earlier_epoch_is_void() -> None:
    rows = [{"epoch": epoch, "acc": acc} for epoch, acc in [(0, 0.1), (1, 0.9), (2, 0.8), (1, 0.3)]]
    assert collect_curves(rows, "epoch") == {"acc": {0.0: 0.1, 1.0: 0.3}}
    with pytest.raises(DamagedError, match="row 2"):
        collect_curves([{"epoch": "", "acc": 1}], "epoch")


def test_the_deciding_metric_is_first() -> None:
    names = ["loss", "accuracy", "fit_time", "val_loss", "val_accuracy", "test/acc", "testLoss", "train_acc", "value"]
    assert sort_metrics(names) == [
        "value", "test/acc", "testLoss", "val_accuracy", "val_loss", "accuracy", "loss", "train_acc", "fit_time",
    ]  # fmt: skip
    assert all(map(is_no_score, ("epoch", "step", "lr", "lr-Adam", "learning_rate", "trainer/global_step", "")))
    assert looks_like_score("valTop1")
    assert not looks_like_score("batch_size")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-2", -2),
        ("007", "007"),
        ("1e-3", 0.001),
        ("0.5", 0.5),
        ("True", True),
        ("None", None),
        ("", None),
        ("inf", math.inf),
        ("1_000", "1_000"),
        ("v2", "v2"),
        ("9" * 40, "9" * 40),
    ],
)
def test_cells_say_numbers_truth_values_or_text(text: str, value: object) -> None:
    assert parse_text(text) == value
    assert type(parse_text(text)) is type(value)
