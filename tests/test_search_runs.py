"""A search from the study to the verdict, on a real but tiny study: what it trains, tells, keeps and reports."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bakeoff.api import Result, Study, list_status, load, plan, run
from bakeoff.driver.searches import SearchProgress
from bakeoff.ledger.read import open_reading, read_study
from bakeoff.report.progress import RunProgress
from bakeoff.report.render.markdown import write_markdown
from bakeoff.workspace import Folders

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")

SPACE = {"optimizer.learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "network.units.0": [4, 8]}


def make_study(**fields: Any) -> Study:
    values: dict[str, Any] = {
        "question": "Which learning rate?",
        "name": "tuned",
        "data": {"validation": 0.2},
        "recipe": {"network": {"name": "mlp", "units": [8]}, "epochs": 4, "batch_size": 128},
        "search": {
            "name": "optuna",
            "space": SPACE,
            "trials": 6,
            "group": 3,
            "baseline": "random",
            "halving": {"first": 1, "factor": 3},
        },
        "replicates": 3,
        "numeric": "float32",
    }
    return Study(**{**values, **fields})


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    workspace = tmp_path_factory.mktemp("searched") / "runs"
    return workspace, run(make_study(), workspace=workspace, workers=2)


def rows(workspace: Path, query: str) -> list[tuple[Any, ...]]:
    import sqlite3

    with closing(sqlite3.connect(Folders(workspace).ledger)) as connection:
        return connection.execute(query).fetchall()


def test_it_comes_to_a_verdict_between_default_winner_and_baseline(searched: tuple[Path, Result]) -> None:
    _, result = searched
    assert result.state == "done"
    assert result.summary.arm_labels == ("default", "winner", "random")
    assert [verdict.replicates for verdict in result.summary.verdicts] == [3, 3, 3]
    assert result.summary.split == "test"
    assert (result.report.num_done, result.report.num_planned, result.report.num_reused) == (9, 9, 0)


def test_only_the_finals_are_examined(searched: tuple[Path, Result]) -> None:
    workspace, result = searched
    tested = {row[0] for row in rows(workspace, "SELECT trial_id FROM exam_results")}
    placed = dict(rows(workspace, "SELECT trial_id, stage FROM placements"))
    assert len(tested) == result.report.num_tested == 9
    assert {placed[trial_id] for trial_id in tested} == {"final"}
    assert list(placed.values()).count("search") == 12


def test_candidates_are_pruned_with_their_epochs_kept(searched: tuple[Path, Result]) -> None:
    workspace, _ = searched
    pruned = rows(workspace, "SELECT id, num_epochs, reason FROM trials WHERE state = 'pruned'")
    assert len(pruned) == 8
    assert {row[1:] for row in pruned} == {(1, "not among the best 1 of 3 after epoch 1")}
    for trial_id, *_ in pruned:
        assert len(rows(workspace, f"SELECT * FROM epochs WHERE trial_id = '{trial_id}'")) == 1
    assert rows(workspace, "SELECT DISTINCT times_trained FROM epochs") == [(1,)]
    assert list((workspace / "cohorts").iterdir()) == []


def test_the_ledger_knows_every_candidate(searched: tuple[Path, Result]) -> None:
    workspace, result = searched
    identity = rows(workspace, "SELECT id FROM studies")[0][0]
    with open_reading(Folders(workspace)) as connection:
        record = read_study(connection, identity)
    assert [(row.kind, row.number) for row in record.candidates] == [
        (kind, number) for kind in ("candidate", "random") for number in range(6)
    ]
    assert [row.kind for row in record.candidates if row.is_winner] == ["candidate", "random"]
    assert not record.asking
    best = max((row for row in record.candidates if row.state == "done"), key=lambda row: row.scores["accuracy"])
    assert best.is_winner
    for row in record.candidates:
        assert set(row.changes) == set(SPACE)
        assert len(row.trial_ids) == 1
    (search,) = result.report.searches
    assert search.candidates == record.candidates


def test_again_nothing_is_trained(searched: tuple[Path, Result]) -> None:
    workspace, result = searched
    before = rows(workspace, "SELECT * FROM trials")
    again = run(make_study(), workspace=workspace, workers=1)
    assert (again.state, again.report.num_reused) == ("done", 9)
    assert rows(workspace, "SELECT * FROM trials") == before
    assert again.summary == result.summary
    assert again.report.searches == result.report.searches
    assert load("tuned", workspace).report.searches == result.report.searches


def test_the_document_holds_the_search(searched: tuple[Path, Result]) -> None:
    (search,) = json.loads(json.dumps(searched[1].document, allow_nan=False))["searches"]
    assert {"block", "name", "objectives", "kinds", "candidates"} <= search.keys()
    own, baseline = search["kinds"]
    assert (own["kind"], baseline["kind"]) == ("candidate", "random")
    assert [group["num_new"] for group in own["groups"]] == [3, 3]
    assert own["num_pruned"] == 4
    assert len(search["candidates"]) == 12


def test_the_reports_tell_the_search(searched: tuple[Path, Result]) -> None:
    text = write_markdown(searched[1].report)
    assert "## Search: digits" in text
    assert "Search (optuna): 6 candidates, 4 pruned in 2 groups. Best: candidate" in text
    assert "Random baseline: 6 candidates" in text
    assert "the verdict compares winners on new replicates" in text
    assert "| 0 | 3 |" in text


def test_its_status_and_plan_count_candidates_apart(searched: tuple[Path, Result]) -> None:
    (status,) = list_status(searched[0])
    assert (status.num_planned, status.num_done, status.num_candidates, status.is_searching) == (9, 9, 12, False)
    planned = plan(make_study())
    assert (planned.plan.most_trials, planned.num_cohorts) == (21, 0)
    assert planned.notes[0].startswith("a search: at most 12 trials of candidates, then 9 of the finals")


def test_without_its_exam_it_rests_on_the_finals_validation(tmp_path: Path) -> None:
    search = {"name": "optuna", "space": {"optimizer.learning_rate": [0.01, 0.02]}, "trials": 2, "sampler": "grid"}
    result = run(make_study(search=search, replicates=3), workspace=tmp_path, workers=1, final_test=False)
    assert (result.state, result.summary.split) == ("done", "validation")
    assert rows(tmp_path, "SELECT COUNT(*) FROM exams") == [(0,)]


def test_a_search_where_every_candidate_is_unfit_ends_with_the_default(tmp_path: Path) -> None:
    search = {"name": "optuna", "space": {"network.units.3": [4, 8]}, "trials": 2, "sampler": "grid"}
    result = run(make_study(search=search, replicates=2), workspace=tmp_path, workers=1)
    assert result.state == "done"
    assert result.summary.answers[0].missing == ("winner",)
    (report,) = result.report.searches
    assert report.kinds[0].num_unfit == 2
    assert "2 not valid for these images" in write_markdown(result.report)


def test_an_observer_sees_how_far_a_search_is_also_when_all_of_it_is_in_the_ledger(
    searched: tuple[Path, Result], tmp_path: Path
) -> None:
    class Watcher(RunProgress):
        def search_seen(self, searches: Sequence[SearchProgress]) -> None:
            seen.append(searches[0])

    seen: list[SearchProgress] = []
    shutil.copytree(searched[0], tmp_path / "runs")
    run(make_study(), workspace=tmp_path / "runs", workers=1, observer=Watcher(quiet=True))
    last = seen[-1]
    (report,) = searched[1].report.searches
    best = max(row.scores["accuracy"] for row in report.candidates if row.state == "done")
    assert (last.num_candidates, last.num_most, last.num_open, last.objective) == (12, 12, 0, "accuracy")
    assert last.best == pytest.approx(best)
    assert [each.num_candidates for each in seen] == sorted(each.num_candidates for each in seen)
