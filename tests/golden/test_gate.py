"""What a gate prints, its exit statuses, the short formats, and the schema of the JSON document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bakeoff.report.result_schema import result_schema

RATES = """\
question: Is the new learning rate as good?
recipe: {network: {name: mlp, units: [8]}, epochs: 2, batch_size: 128}
arms: [{old: {optimizer.learning_rate: 0.01}, new: {optimizer.learning_rate: 0.0101},
        slow: {optimizer.learning_rate: 0.0001}}]
replicates: 6
numeric: float32
decide: {margin: 5 points}
"""
BLOCKS = RATES.replace("arms:", "blocks: [{batch_size: [32, 64, 128, 256]}]\narms:").replace(
    "replicates: 6", "replicates: 3"
)
FAILING = RATES.replace("replicates: 6", "replicates: 3").replace("0.0001}", "10.0}")
RUN = ("--workers", "1", "--device", "cpu")
HERE = ("--workspace", "rates")

Command = Callable[..., str]
Compare = Callable[[str, str], None]


@pytest.fixture(scope="module", autouse=True)
def workspace(made_up: Any, command: Command, forget_machine: Callable[[Path], None]) -> Iterator[None]:
    """A workspace each: `rates` and `blocks` are finished, trials of `failing` have failed; no pages are written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bakeoff.api.write_html", lambda report: "")
        patch.setattr("bakeoff.api.write_markdown", lambda report: "")
        _run_all(command, forget_machine)
        yield


def _run_all(command: Command, forget_machine: Callable[[Path], None]) -> None:
    for name, text in {"rates": RATES, "blocks": BLOCKS, "failing": FAILING}.items():
        Path(f"{name}.yaml").write_text(text)
        gate = ("--require", "old better slow") if name == "rates" else ()
        command("run", f"{name}.yaml", *RUN, "--workspace", name, *gate, status=int(name == "failing"))
        forget_machine(Path(name, "ledger.sqlite"))


GATES = {
    "new not-worse old": 0,
    "old better slow": 0,
    "slow better-or-equivalent old": 3,  # worse
    "new better old": 3,  # inconclusive
}


def test_a_gate(command: Command, golden: Compare) -> None:
    texts = []
    for requirement, status in GATES.items():
        text = command("report", "rates", *HERE, "--format", "line", "--require", requirement, status=status)
        texts += [f"$ bakeoff report rates --format line --require '{requirement}'", text, f"exit status {status}\n"]
    golden("gate", "\n".join(texts))


def test_a_gate_on_a_run(command: Command) -> None:
    command("run", "rates.yaml", *RUN, *HERE, "--require", "old better slow", "--require", "new better old", status=3)


STATUSES = {"rates": 0, "blocks": 3, "failing": 3}
"""Of a report that requires old better slow: among 12 pairs in 4 blocks, 3 replicates do not show it in all."""


def test_short_formats(command: Command, golden: Compare) -> None:
    texts = []
    for name, status in STATUSES.items():
        options = (name, "--workspace", name, "--format")
        line = command("report", *options, "line")
        assert line.count("\n") == 1
        text = command("report", *options, "pr", "--require", "old better slow", status=status)
        summary = text[text.index("###") :]
        assert len(summary.splitlines()) <= 25
        texts += [f"$ bakeoff report {name} --format line", line, f"$ bakeoff report {name} --format pr", summary]
    golden("short-formats", "\n".join(texts))


@pytest.mark.parametrize("name", STATUSES)
def test_documents_follow_the_schema(name: str, command: Command) -> None:
    options = ("--workspace", name, "--json", "--require", "old better slow")
    text = command("report", name, *options, status=STATUSES[name])
    document = json.loads(text[text.index("{") :])
    assert document["schema"] == "bakeoff.result/1"
    assert len(document["requirements"]) == (4 if name == "blocks" else 1)
    assert all(each["met"] for each in document["requirements"]) == (STATUSES[name] == 0)
    jsonschema.Draft202012Validator(result_schema()).validate(document)


def test_an_unfinished_study_meets_nothing(command: Command, made_up: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_up, "num_trials", 5)
    options = ("--workspace", "unfinished")
    command("run", "rates.yaml", *RUN, *options, status=130)
    text = command("report", "rates", *options, "--format", "line", "--require", "old better slow", status=3)
    assert "5 of 18 trials" in text
    document = json.loads(command("report", "rates", *options, "--json"))
    jsonschema.Draft202012Validator(result_schema()).validate(document)


@pytest.mark.parametrize(
    "arguments",
    [
        ["old better quick"],
        ["old bettter slow"],
        ["old better slow", "--pilot", "2"],
        ["old equivalent slow", "--set", "decide.margin=null"],
    ],
)
def test_a_requirement_is_refused_before_training(arguments: list[str], command: Command) -> None:
    text = command("run", "rates.yaml", "--workspace", "refused", "--require", *arguments, status=2)
    assert text.count("\n") == 1
    assert not Path("refused").exists()


def test_csv_has_no_place_for_a_requirement(command: Command) -> None:
    command("report", "rates", *HERE, "--format", "csv", "--require", "old better slow", status=2)


def test_arms_of_the_same_training(command: Command) -> None:
    """As in a pull request that changes nothing: equivalent by construction."""
    same = ("--set", "arms=[{old: {epochs: 2}, new: {epochs: 2}}]", "--workspace", "same")
    command("run", "rates.yaml", *RUN, *same, "--require", "new better-or-equivalent old")
    command("report", "rates", "--workspace", "same", "--require", "new better old", status=3)
