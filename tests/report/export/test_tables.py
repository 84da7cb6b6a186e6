from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bakeoff.errors import BakeoffError
from bakeoff.report.document import ReportInput
from bakeoff.report.export.frame import Value, name_metric
from bakeoff.report.export.methods import Tables, list_tables
from bakeoff.report.export.tables import LEDGER_TABLES
from bakeoff.stats.steps import Link, compare_steps
from bakeoff.workspace import Folders

MakeReport = Callable[..., ReportInput]
FORMULA = '=HYPERLINK("http://x")'


@dataclass(frozen=True)
class Tabled(Tables):
    report: ReportInput
    study_id: str = "0123456789abcdef"
    workspace: Path = Path("nowhere")


@pytest.fixture
def tabled(make_report: MakeReport, folders: Folders) -> Tabled:
    return Tabled(make_report(), workspace=folders.root)


def pick(rows: Iterable[dict[str, Value]], *names: str) -> list[tuple[Value, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_a_row_per_trial_that_has_ended_without_a_searchs_candidates(tabled: Tabled) -> None:
    rows = tabled.to_records("trials")
    assert pick(rows, "trial_id", "state", "epochs", "best_epoch", "training_seconds", "parameters") == [
        ("t0", "done", 2, 2, 1.5, 1234),
        ("t1", "diverged", 2, None, None, None),
    ]
    assert pick(rows, "replicate", "fold") == [(1, 1), (1, 1)]  # as people count
    assert rows[0]["arm"] == FORMULA
    assert rows[0]["seed"] == 2**47


def test_units_stand_in_the_names_and_what_was_not_measured_is_empty(tabled: Tabled) -> None:
    first, diverged = tabled.to_records("trials")
    metrics = [
        f"{split}_{metric}" for split in ("train", "validation", "test") for metric in ("accuracy_share", "loss_nats")
    ]
    assert [name for name in first if name.startswith(("train_", "validation_", "test_"))] == metrics
    assert (first["test_accuracy_share"], first["test_loss_nats"]) == (0.875, 0.5)
    assert {diverged[name] for name in metrics} == {None}
    assert name_metric("test", "unheard_of", "sd") == "test_unheard_of_sd"


def test_a_row_per_epoch_of_what_still_trains_too(tabled: Tabled) -> None:
    rows = tabled.to_records("epochs")
    names = ("trial_id", "epoch", "train_accuracy_share", "validation_macro_f1_share", "images_per_second")
    assert pick(rows, *names) == [(f"t{n}", epoch, epoch / 4, 0.4, 100.0) for n in range(3) for epoch in (1, 2)]


def test_a_row_per_arm_says_where_it_stands(make_report: MakeReport) -> None:
    report = replace(make_report(num_replicates=2, votes=("random_uniform",)))
    rows = Tabled(report).to_records("arms")
    (answer,) = report.summary.answers
    standing = {row["arm"]: row["standing"] for row in rows}
    assert standing[answer.best] == "best"
    assert {arm for arm, word in standing.items() if word == "not_worse"} == set(answer.not_worse)
    assert {arm for arm, word in standing.items() if word == "worse"} == set(answer.worse)
    assert [row["kind"] for row in rows] == ["arm", "arm", "ensemble"]
    score = report.summary.arms[0].test["accuracy"]
    assert pick(rows, "test_accuracy_share_mean", "test_accuracy_share_sd")[0] == (score.mean, score.sd)
    assert pick(rows, "trials_done", "training_seconds_mean", "epochs_mean")[0] == (2, 2.1, 10.0)


def test_a_row_per_pair_in_each_family(make_report: MakeReport) -> None:
    report = make_report(margin=0.002)
    links = (Link(arm="orthogonal"), Link(arm="random_normal", base="orthogonal", start="orthogonal"))
    rows = Tabled(replace(report, steps=compare_steps(report.summary, links))).to_records("verdicts")
    assert [row["family"] for row in rows] == ["study"] * 3 + ["steps"]
    verdict = report.summary.verdicts[0]
    names = ("arm", "verdict", "other_arm", "difference_share", "margin_share", "p_adjusted", "confidence")
    expected = (verdict.a, verdict.verdict, verdict.b, verdict.difference, 0.002, verdict.p_adjusted, 0.95)
    assert pick(rows, *names)[0] == expected
    assert pick(rows, "interval_low_share", "interval_high_share")[0] == verdict.interval
    assert pick(rows, "arm", "other_arm", "verdict")[3] == ("random_normal", "orthogonal", "worse")


def test_differences_have_the_metrics_unit(make_report: MakeReport) -> None:
    rows = Tabled(make_report(metric="loss")).to_records("verdicts")
    assert {"difference_nats", "interval_low_nats", "margin_nats"} <= rows[0].keys()


@pytest.mark.parametrize("table", [*LEDGER_TABLES, *list_tables()])
def test_a_study_without_results_has_heads_and_no_trial(make_report: MakeReport, folders: Folders, table: str) -> None:
    empty = Tabled(make_report(num_replicates=0), study_id="another", workspace=folders.root)
    head, *rows = empty.to_csv(table).splitlines()  # type: ignore[arg-type]
    assert head.startswith("block,")
    assert len(rows) == {"arms": 3}.get(table, 0)


def test_an_unknown_table_is_one_clear_line(tabled: Tabled) -> None:
    with pytest.raises(
        BakeoffError,
        match=r"^there is no table 'trails'\. Tables: trials, epochs, findings, arms, verdicts, effects, classes, "
        r"confusion, predictions, label_issues, robustness\.",
    ):
        tabled.to_csv("trails")  # type: ignore[arg-type]
