"""What a shell is told when Tab is pressed, asked as shells do: by environment variables."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bakeoff import cli
from bakeoff.ledger.schema import TABLES

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a folder with a study file, and a workspace of two studies."""
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("")
    Path("studies").mkdir()
    Path("studies/other.yaml").write_text("")
    for name in ("runs", "elsewhere"):
        Path(name).mkdir()
        with closing(sqlite3.connect(f"{name}/ledger.sqlite")) as connection, connection:
            connection.executescript(TABLES)
            for study, arms in {"rates": ("slow", "fast"), f"nets_in_{name}": ("lenet",)}.items():
                values = (study * 4, study, "{}", "float32", "", "2026-01-01")
                columns = "id, name, document, numeric, command, created_at"
                connection.execute(f"INSERT INTO studies ({columns}) VALUES (?, ?, ?, ?, ?, ?)", values)
                rows = [(study * 4, i, f"{study} {arm}", "digits", arm, 0) for i, arm in enumerate(arms)]
                columns = "study_id, position, trial_id, block, arm, replicate"
                connection.executemany(f"INSERT INTO placements ({columns}) VALUES (?, ?, ?, ?, ?, ?)", rows)


def complete(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what bash is offered at the end of a line."""
    monkeypatch.setenv("_BAKEOFF_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    monkeypatch.setattr("sys.argv", ["bakeoff"])
    monkeypatch.setattr(cli, "handle_interrupts", lambda: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bakeoff re", ["report"]),
        ("bakeoff run --works", ["--workspace"]),
        ("bakeoff run quick", ["quickstart"]),
        ("bakeoff plan mi", ["mine.yaml"]),
        ("bakeoff run stud", ["studies/"]),
        ("bakeoff run studies/", ["studies/other.yaml"]),
        ("bakeoff init --from speed", ["speedrun-cifar10"]),
        ("bakeoff report ra", ["rates"]),
        ("bakeoff status nets", ["nets_in_runs"]),
        ("bakeoff report --workspace elsewhere nets", ["nets_in_elsewhere"]),
        ("bakeoff report --workspace nowhere ra", []),
        ("bakeoff predict rates --arm ", ["slow", "fast"]),
        ("bakeoff export mine.yaml --arm ", ["slow", "fast", "lenet"]),
        ("bakeoff stress rates --block d", ["digits"]),
        ("bakeoff report rates --format la", ["latex"]),
        ("bakeoff list opt", ["optimizers"]),
        ("bakeoff list optimizers adamax", ["adamax"]),
        ("bakeoff list studies quick", ["quickstart"]),
        ("bakeoff list nothing a", []),
    ],
)
def test_what_is_offered(
    line: str, expected: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complete(line, monkeypatch, capsys) == expected


def test_a_damaged_ledger_completes_to_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("runs/ledger.sqlite").write_bytes(b"no database" * 1000)
    assert complete("bakeoff report ra", monkeypatch, capsys) == []


LOADED = """
import json, sys
from bakeoff import cli
try:
    cli.main()
finally:
    heavy = ("torch", "scipy", "pydantic", "numpy", "yaml", "pandas")
    print(json.dumps([name for name in heavy if name in sys.modules]), file=sys.stderr)
"""


def test_nothing_heavy_is_imported() -> None:
    words = {"COMP_WORDS": "bakeoff report ra", "COMP_CWORD": "2", "_BAKEOFF_COMPLETE": "complete_bash"}
    command = [sys.executable, "-c", LOADED]
    ended = subprocess.run(command, env=os.environ | words, capture_output=True, text=True, check=True)
    assert ended.stdout == "rates\n"
    assert json.loads(ended.stderr.splitlines()[-1]) in ([], ["pydantic"])  # typer imports it by itself
