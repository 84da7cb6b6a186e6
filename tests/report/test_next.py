"""What next: the winner, its weights and the commands, once there is something to use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bakeoff.api import Result, Study, run
from bakeoff.report.render.markdown import write_markdown
from bakeoff.report.sections.next import NextSteps, write_next

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, shared_cache: None, in_process: object) -> Result:
    study = Study(
        question="Which?",
        name="two words",
        recipe={"network": {"name": "mlp", "units": [8]}, "epochs": 1, "batch_size": 64},
        arms=[{"a": {"optimizer": "adam"}, "b": {"optimizer": "sgd"}}],
        blocks=[{"small": {"batch_size": 32}, "large": {}}],
        replicates=2,
        numeric="float32",
    )
    return run(study, workspace=tmp_path_factory.mktemp("next") / "work space", workers=1)


def test_the_commands_can_be_copied(result: Result) -> None:
    text = write_markdown(result.report)
    section = text[text.index("What next") :]
    where = f"--block small --workspace '{result.workspace}'"
    assert f"bakeoff predict 'two words' {where} PHOTO..." in section
    assert f"bakeoff export 'two words' {where} --format onnx" in section


def test_weights_are_named_by_block(result: Result) -> None:
    steps: NextSteps = result.report.facts["next"]
    assert set(steps.weights) == {"small", "large"}
    assert all((result.workspace / path).is_file() for path in steps.weights.values())


def test_nothing_is_said_without_weights_or_before_the_end(result: Result) -> None:
    steps: NextSteps = result.report.facts["next"]
    gone = {**result.report.facts, "next": replace(steps, weights={})}
    assert not list(write_next(replace(result.report, facts=gone)))
    assert not list(write_next(replace(result.report, state="unfinished")))
    assert not list(write_next(replace(result.report, facts={})))
    assert not [path for path in steps.weights.values() if Path(path).is_absolute()]
