"""`--quick` and `recipe.from` on real but tiny studies: what is run, kept, said, and how it stays apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bakeoff.api import list_status, load, prepare_study, run
from bakeoff.cli import app
from bakeoff.report.render.markdown import write_markdown

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")

TUNE = """
question: Which learning rate?
about: {commands: [bakeoff run tune.yaml], trials: at most 12, known: nothing}
quick: {changes: {search.trials: 2, replicates: 2}, cost: 3 s}
data: {validation: 0.2}
recipe: {network: {name: mlp, units: [4]}, optimizer: sgd, epochs: 1, batch_size: 128}
search: {name: optuna, space: {optimizer.learning_rate: {low: 0.01, high: 0.1}}, trials: 4, group: 2}
replicates: 4
numeric: float32
"""

TUNED = """
question: Which initializer, at the rate that was found?
data: {validation: 0.2}
recipe: {from: {study: tune-quick, winner: true}, epochs: 2}
arms: [{initializer: [he_normal, glorot_uniform]}]
replicates: 2
numeric: float32
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quick")
    (folder / "tune.yaml").write_text(TUNE)
    (folder / "tuned.yaml").write_text(TUNED)
    run(folder / "tune.yaml", quick=True, workspace=folder / "runs", workers=1)
    return folder


def test_the_small_version_is_kept_and_named_apart(folder: Path) -> None:
    result = load("tune-quick", folder / "runs")
    assert (result.report.num_done, result.state) == (4, "done")
    assert "--quick" in result.report.command
    assert result.report.reduced.startswith("A quick version (--quick) of tune; it does not answer the study itself")
    assert ("cost", "3 s") in result.report.about
    text = write_markdown(result.report)
    assert "search.trials: 2" in text
    assert [each.name for each in list_status(folder / "runs")] == ["tune-quick"]


def test_the_next_study_begins_with_the_winner(folder: Path) -> None:
    winner = next(row for row in load("tune-quick", folder / "runs").report.searches[0].candidates if row.is_winner)
    study = prepare_study(folder / "tuned.yaml", workspace=folder / "runs")
    rate = winner.changes["optimizer.learning_rate"]
    result = run(study, workspace=folder / "runs", workers=1)
    assert result.state == "done"
    begun = load("tuned", folder / "runs")
    assert f"learning_rate: {rate}" in begun.report.study_text
    assert begun.summary.arm_labels == ("he_normal", "glorot_uniform")


def cli(*words: str) -> str:
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_plan_list_and_show_tell_what_a_study_says_of_itself(folder: Path) -> None:
    tune = str(folder / "tune.yaml")
    planned = json.loads(cli("plan", tune, "--quick", "--json"))
    assert (planned["study"], planned["quick_of"], planned["trials"]) == ("tune-quick", "tune", 6)
    assert (planned["about"]["known"], planned["about"]["cost"]) == ("nothing", "3 s")
    assert json.loads(cli("plan", tune, "--quick", "--set", "seed=1", "--json"))["about"]["cost"] == ""
    assert json.loads(cli("show", tune, "--json"))["quick"]["changes"] == {"search.trials": 2, "replicates": 2}
    assert TUNE.strip() in cli("show", tune)
    listed = {row["name"]: row for row in json.loads(cli("list", "studies", "--json"))}
    assert listed["evolve-conv"]["about"]["trials"].startswith("at most 983")
