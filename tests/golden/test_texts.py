"""The wording of what people read most, each as a text in `texts/`. Other tests assert facts, not sentences.

`scripts/test tests/golden --update-golden` writes the texts anew; the difference is reviewed as part of the change.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
RATES = """\
question: Which learning rate?
recipe: {network: {name: mlp, units: [8]}, epochs: 2, batch_size: 128}
arms: [{optimizer.learning_rate: [0.001, 0.01, 0.1]}]
replicates: 4
numeric: float32
decide: {margin: 0.01}
published:
  source: A paper
  figures: [{arm: "0.01", metric: accuracy, value: 0.97}]
"""
FAILING = """\
question: Which network?
recipe: {epochs: 2}
blocks: [{small batches: {batch_size: 32}, large batches: {batch_size: 256}}]
arms:
  - narrow: {network: {name: mlp, units: [8]}, optimizer.learning_rate: 0.01}
    wide: {network: {name: mlp, units: [32]}, optimizer.learning_rate: 0.02}
    diverging: {network: {name: mlp, units: [16]}, optimizer.learning_rate: 10.0}
replicates: 3
numeric: float32
"""
RUN = ("--workers", "1", "--device", "cpu")

Command = Callable[..., str]
Compare = Callable[[str, str], None]


@pytest.fixture(scope="module")
def workspace(made_up: Any, command: Command, forget_machine: Callable[[Path], None]) -> str:
    """A workspace in the current folder, with two finished studies: `rates`, and `networks`, where an arm diverges."""
    Path("rates.yaml").write_text(RATES)
    Path("networks.yaml").write_text(FAILING)
    command("run", "rates.yaml", *RUN)
    command("run", "networks.yaml", *RUN, status=1)
    forget_machine(Path("runs/ledger.sqlite"))
    return "runs"


@pytest.mark.parametrize(
    "arguments",
    ["--help", "run --help", "list studies", "list datasets", "list metrics", "data show digits", "show quickstart"],
)
def test_what_needs_no_workspace(arguments: str, command: Command, golden: Compare) -> None:
    golden(arguments.replace("--", "").replace(" ", "-"), command(*arguments.split()))


def test_plan(command: Command, golden: Compare, tmp_path: Path) -> None:
    # A workspace of its own: with trials of an earlier study, such as the README's first command leaves in the
    # checkout, `plan` says more.
    elsewhere = ("--workspace", str(tmp_path / "runs"))
    text = command("plan", "quickstart", "--no-probe", "--workers", "2", "--device", "cpu", *elsewhere)
    golden("plan-quickstart", re.sub(r"about [\d.]+ to [\d.]+ \w+", "about N to M s", text))


def test_mistakes_in_a_study_file(command: Command, golden: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    text = command("plan", "ten_mistakes.yaml", status=2)
    assert text.count("error: ") == 10
    golden("ten-mistakes", text)


CHANGES = (
    "recipe.epochs=0",
    "recipe.epochs",
    "recipe.epochs=[1",
    "recipe.epoch=3",
    "recipe.optimizer.name=adamm",
    "recipe.network={name: cnn, padding: valid, kernel: 9}",
    "data={name: mnist, folder: photos}",
    "data.classes=[3, x]",
    "arms=[]",
    "arms=[{epochs: [1, 1]}]",
    "arms=[{a: {from: b}, b: {from: a}}]",
    "arms=[{data.name: [digits, mnist]}]",
    "blocks=[{arms: [1]}]",
    "search=optuna",
    "decide={margin: 5}",
    "decide={against: nobody}",
    "ensembles={vote: {of: [nobody]}}",
    "replicates=100000",
)


def test_changes_of_a_study_that_cannot_be(command: Command, golden: Compare) -> None:
    lines = []
    for change in CHANGES:
        text = command("plan", "quickstart", "--no-probe", "--set", change, status=2)
        lines += [f"$ bakeoff plan quickstart --set {change!r}", text]
    golden("wrong-changes", "\n".join(lines))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("status", "status"),
        ("doctor", "doctor"),
        ("gc", "gc --dry-run"),
        ("report", "report rates"),
        ("verdict", "report rates --format md"),
        ("compare", "compare"),
        ("compare-studies", "compare rates networks"),
        ("compare-arms", "compare networks --arms narrow wide"),
    ],
)
def test_a_finished_study(name: str, arguments: str, workspace: str, command: Command, golden: Compare) -> None:
    golden(name, command(*arguments.split(), "--workspace", workspace))


def test_a_study_with_failed_trials(workspace: str, command: Command, golden: Compare) -> None:
    golden("report-of-failures", command("report", "networks", "--workspace", workspace))
    golden("status-of-failures", command("status", "networks", "--workspace", workspace))


def test_an_interrupted_run_and_the_next(
    made_up: Any,
    workspace: str,
    command: Command,
    golden: Compare,
    forget_machine: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def run(*options: str, status: int = 0) -> str:
        text = command("run", "rates.yaml", "--workspace", str(tmp_path), *RUN, *options, status=status)
        return text.partition("Which learning rate?")[0]

    monkeypatch.setattr(made_up, "num_trials", 4)
    first = run(status=130)
    monkeypatch.undo()
    forget_machine(tmp_path / "ledger.sqlite")
    golden("report-unfinished", command("report", "rates", "--workspace", str(tmp_path)))
    status = command("status", "--workspace", str(tmp_path))
    doctor = command("doctor", "--workspace", str(tmp_path))
    parts = {"interrupted": first, "status": status, "doctor": doctor, "resumed": run(), "again": run()}
    golden("interrupted-run", "\n".join(f"# {name}\n{text}" for name, text in parts.items()))


def test_commands_refused(workspace: str, command: Command, golden: Compare, tmp_path: Path) -> None:
    """Each is refused in one line."""
    (tmp_path / "file").write_text("")
    for name in ("damaged", "newer"):
        shutil.copytree(workspace, tmp_path / name)
    (tmp_path / "damaged" / "ledger.sqlite").write_bytes(b"no database" * 1_000)
    with closing(sqlite3.connect(tmp_path / "newer" / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    refused = {
        "run quickstrat": "",
        "run folder/missing.yaml": "",
        "run rates.yaml --set recipe.epoch=3": "",
        "run rates.yaml --quick": "",
        "run rates.yaml --device cuda:x": "",
        "run rates.yaml --observer nobody": "",
        "run rates.yaml --log mlflo:runs": "",
        "status rate": workspace,
        "status": "nowhere",
        "doctor": "damaged",
        "report rates": "newer",
        "report rates --table arms": workspace,
        "report rates --format csv --table arm": workspace,
        "run rates.yaml": "file/runs",
        "data show mnst": "",
    }
    lines = []
    for arguments, place in refused.items():
        options = ["--workspace", place if place == workspace else str(tmp_path / place)] if place else []
        text = command(*arguments.split(), *options, status=2).replace(str(tmp_path), "DIR")
        lines += [f"$ bakeoff {arguments}", text]
    golden("refused", "\n".join(lines))


def test_every_text_is_compared() -> None:
    """A text that no test names any more would guard nothing."""
    source = "".join(path.read_text("utf-8") for path in HERE.glob("test_*.py")).replace("--", "").replace(" ", "-")
    assert [path.name for path in (HERE / "texts").iterdir() if f'"{path.stem}"' not in source] == []
