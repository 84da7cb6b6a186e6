"""Finished trials on corrupted test images: what is stored, said and judged."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.api import Study, load, run
from bakeoff.cli import main
from bakeoff.data.corruptions import Condition, corrupt_images
from bakeoff.data.store import open_test
from bakeoff.deploy import stress
from bakeoff.deploy.predictor import Predictor
from bakeoff.deploy.stress import parse_severities, stress_study
from bakeoff.errors import BakeoffError, DataError, WorkspaceError
from bakeoff.ledger.corrupted import load_corrupted, read_stress
from bakeoff.ledger.read import find_study, open_reading, read_study
from bakeoff.report.document import ReportInput
from bakeoff.report.figures.robustness import draw_robustness
from bakeoff.report.gather import gather_sources
from bakeoff.report.render.json import build_document
from bakeoff.report.render.latex import write_latex
from bakeoff.report.render.markdown import write_markdown
from bakeoff.report.robustness import Robustness, gather_robustness, weigh_conditions
from bakeoff.report.sections.robustness import SECTION
from bakeoff.workspace import Folders

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")

ARMS: dict[str, Any] = {
    "small": {"network": {"name": "cnn", "filters": [2], "units": []}},
    "wide": {"network": {"name": "cnn", "filters": [12], "units": [16]}, "evaluate": "mirrored"},
}
CONDITIONS = {"corruptions": ["gaussian_noise", "contrast"], "severities": [2, 5]}


def _run(workspace: Path, **fields: Any) -> None:
    values: dict[str, Any] = {
        "question": "Which?",
        "name": "robust",
        "data": {"name": "digits", "validation": 0.2},
        "recipe": {"network": {"name": "cnn", "filters": [4], "units": []}, "epochs": 3, "batch_size": 64},
        "arms": [ARMS],
        "replicates": 3,
        "numeric": "float32",
    }
    final_test = fields.pop("final_test", True)
    run(Study(**{**values, **fields}), workspace=workspace, workers=1, final_test=final_test)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("stress") / "runs"
    _run(workspace)
    return workspace


@pytest.fixture(scope="module")
def stressed(trained: Path) -> ReportInput:
    return stress_study("robust", trained, workers=1, **CONDITIONS)


def _facts(report: ReportInput) -> Robustness:
    found = report.facts["robustness"]
    assert isinstance(found, Robustness)
    return found


def _read(workspace: Path) -> Any:
    with open_reading(Folders(workspace)) as connection:
        return read_study(connection, find_study(connection, "robust"))


def test_scores_are_those_of_the_predictor_on_the_same_corrupted_images(trained: Path, stressed: ReportInput) -> None:
    test = open_test("digits")
    folders = Folders(trained)
    for arm in ARMS:
        predictor = Predictor.load("robust", trained, arm=arm)
        for condition in (Condition("contrast", 5), Condition("gaussian_noise", 2)):
            right = predictor._models[0].predict(corrupt_images(test.pixels, *condition)).argmax(axis=1) == test.labels
            stored = load_corrupted(folders.corrupted(predictor.trial_ids[0], *condition), test.fingerprint)
            np.testing.assert_array_equal(stored, right)


def test_uncorrupted_images_are_predicted_as_in_the_final_test(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen bodies, mirrored evaluation, augmentation that normalises: all go the final test's path."""
    workspace = tmp_path / "runs"
    shutil.copytree(trained, workspace)
    transfer = {"weights": {"study": "robust", "arm": "small"}, "freeze": "always"}
    network = ARMS["small"]["network"]
    arms = {
        "frozen": {"network": network, "transfer": transfer},
        "normalized": {"network": network, "augmentation": [{"name": "normalize"}], "evaluate": "mirrored"},
    }
    _run(workspace, name="frozen", arms=[arms], replicates=2)
    monkeypatch.setattr(stress, "corrupt_images", lambda pixels, *_, first: pixels)
    report = stress_study("frozen", workspace, workers=1, corruptions=["fog"], severities=[1])
    folders, fingerprint = Folders(workspace), open_test("digits").fingerprint
    with open_reading(folders) as connection:
        results = read_study(connection, find_study(connection, "frozen")).results
    assert len(results) == 4
    for each in results:
        tested = folders.load_predictions(each.trial_id, "test")
        assert tested is not None
        stored = load_corrupted(folders.corrupted(each.trial_id, "fog", 1), fingerprint)
        np.testing.assert_array_equal(stored, tested["probabilities"].argmax(axis=1) == tested["labels"])
    for arm in _facts(report).blocks[0].arms:
        assert arm.lost == pytest.approx(0, abs=1e-9)


def test_a_failed_trial_counts_as_in_the_study(trained: Path, stressed: ReportInput) -> None:
    folders = Folders(trained)
    with open_reading(folders) as connection:
        sources = gather_sources(connection, find_study(connection, "robust"), folders)
        first = sources.record.results[0]
        results = (replace(first, state="failed", reason="diverged", metrics={}), *sources.record.results[1:])
        found = gather_robustness(replace(sources, record=replace(sources.record, results=results)))
    assert found is not None
    assert found.summary is not None
    arm = next(arm for arm in found.summary.arms if arm.arm == first.arm)
    assert (arm.failed, arm.scores[first.replicate]) == (1, pytest.approx(0.1))
    assert {arm.arm: arm.num_trials for arm in found.blocks[0].arms}[first.arm] == 2


def test_means_are_over_corruptions_severities_and_trials(trained: Path, stressed: ReportInput) -> None:
    (block,) = _facts(stressed).blocks
    fingerprint = open_test("digits").fingerprint
    results = _read(trained).results
    assert (block.corruptions, block.severities) == (("gaussian_noise", "contrast"), (2, 5))
    assert block.num_images == len(open_test("digits").labels)
    for arm in block.arms:
        mine = [each for each in results if each.arm == arm.arm]
        hits = {
            key: [load_corrupted(Folders(trained).corrupted(each.trial_id, *key), fingerprint) for each in mine]
            for key in block.conditions
        }
        for key, of_key in hits.items():
            assert arm.by_condition[key].mean == pytest.approx(np.mean(of_key))
        whole = np.mean([np.mean(each, axis=1) for each in hits.values()], axis=0)
        assert (arm.corrupted.mean, arm.corrupted.sd) == pytest.approx((whole.mean(), whole.std(ddof=1)))
        assert arm.clean.mean == pytest.approx(np.mean([each.metrics["test"]["accuracy"] for each in mine]))
        assert arm.lost == pytest.approx(arm.clean.mean - arm.corrupted.mean)
        assert arm.average_corruption("contrast") == pytest.approx(
            np.mean([hits[Condition("contrast", severity)] for severity in (2, 5)])
        )
        assert arm.average_severity(5) == pytest.approx(
            np.mean([hits[Condition(name, 5)] for name in block.corruptions])
        )
    assert [arm.corrupted.mean for arm in block.arms] == sorted((a.corrupted.mean for a in block.arms), reverse=True)


def test_verdicts_are_paired_by_replicate_and_by_the_studys_method(stressed: ReportInput) -> None:
    summary = _facts(stressed).summary
    assert summary is not None
    (verdict,) = summary.verdicts
    arms = {arm.arm: arm for arm in summary.arms}
    differences = [arms[verdict.a].scores[n] - arms[verdict.b].scores[n] for n in range(3)]
    assert verdict.difference == pytest.approx(np.mean(differences))
    assert (verdict.replicates, verdict.metric, verdict.split) == (3, "accuracy", "test")
    assert (verdict.scope, verdict.num_images) == ("images", _facts(stressed).blocks[0].num_images)
    study = stressed.summary
    assert (summary.method, summary.family, summary.confidence) == (study.method, study.family, study.confidence)


def test_a_margin_of_another_metric_is_not_used(trained: Path) -> None:
    _run(trained, name="loss", decide={"metric": "loss", "margin": 0.5})
    summary = _facts(stress_study("loss", trained, workers=1, **CONDITIONS)).summary
    assert summary is not None
    assert (summary.metric, summary.margin) == ("accuracy", None)


def test_no_verdict_of_the_study_changes(trained: Path, stressed: ReportInput) -> None:
    alone = load("robust", trained).report.summary
    for verdict, other in zip(alone.verdicts, stressed.summary.verdicts, strict=True):
        assert verdict.dump() == other.dump()
    assert len(load("robust", trained).report.final_test_opened) == 1


def test_the_look_is_on_record_once(trained: Path, stressed: ReportInput) -> None:
    identity = _read(trained).study_id
    (look,) = read_stress(Folders(trained), identity)
    assert len(look.trials) == 6
    assert look.fingerprint == open_test("digits").fingerprint
    assert len(look.conditions) == 4
    stress_study("robust", trained, workers=1, **CONDITIONS)
    assert len(read_stress(Folders(trained), identity)) == 1
    assert _facts(stressed).blocks[0].looked_at == (look.looked_at,)


def test_what_is_stored_is_not_computed_again(
    trained: Path, stressed: ReportInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[Condition, int]] = []

    def record(task: stress.StressTask) -> str:
        ran.append((task.condition, len(task.records)))
        return real(task)

    real = stress.run_stress
    monkeypatch.setattr(stress, "run_stress", record)
    trial = _read(trained).results[0].trial_id
    Folders(trained).corrupted(trial, "contrast", 5).unlink()
    again = stress_study("robust", trained, workers=1, **CONDITIONS)
    assert ran == [(Condition("contrast", 5), 1)]
    assert _facts(again).blocks == _facts(stressed).blocks


def test_conditions_that_not_all_trials_have_are_left_out(trained: Path, stressed: ReportInput) -> None:
    path = Folders(trained).corrupted(_read(trained).results[2].trial_id, "contrast", 5)
    kept = path.read_bytes()
    path.write_bytes(kept[:-40])
    try:
        (block,) = _facts(load("robust", trained).report).blocks
        assert Condition("contrast", 5) not in block.conditions
        assert len(block.conditions) == 3
    finally:
        path.write_bytes(kept)


def test_corruptions_weigh_the_same_whatever_their_severities() -> None:
    conditions = [Condition("fog", 1), Condition("fog", 3), Condition("snow", 3)]
    assert weigh_conditions(conditions) == [0.25, 0.25, 0.5]


def test_every_report_has_the_section(trained: Path, stressed: ReportInput) -> None:
    report = load("robust", trained).report
    text = write_markdown(report)
    assert "## Robustness" in text
    assert "gaussian" in text
    assert "robustness" in write_latex(report)
    document = json.loads(json.dumps(build_document(report), allow_nan=False))["robustness"]
    assert [arm["arm"] for arm in document["blocks"][0]["arms"]] == [arm.arm for arm in _facts(report).blocks[0].arms]
    assert len(document["blocks"][0]["arms"][0]["conditions"]) == 4
    assert len(document["verdicts"]) == 1
    rows = list(SECTION.tables["robustness"](report).records())
    assert len(rows) == 8
    assert {row["trials"] for row in rows} == {3}


def test_the_figure_has_a_line_per_arm_from_clean_images_on(stressed: ReportInput) -> None:
    spec = draw_robustness(stressed, "digits")
    assert spec is not None
    assert [trace["name"] for trace in spec.data] == list(ARMS)
    by_arm = {arm.arm: arm for arm in _facts(stressed).blocks[0].arms}
    for trace in spec.data:
        arm = by_arm[trace["name"]]
        assert trace["x"] == [0, 2, 5]
        assert trace["y"] == pytest.approx([arm.clean.mean, arm.average_severity(2), arm.average_severity(5)], rel=1e-4)
    assert draw_robustness(replace(stressed, facts={}), "digits") is None


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["bakeoff", *map(str, arguments)])
        status = main()
        return status, *capsys.readouterr()

    return call


def test_the_command_prints_what_was_asked_for_alone(trained: Path, stressed: ReportInput, command: Any) -> None:
    common = ("stress", "robust", "--workspace", trained, "--workers", 1, "--severities", "5")
    status, output, _ = command(*common, "--corruptions", "contrast", "--json")
    document = json.loads(output)
    assert (status, document["study"]) == (0, "robust")
    (block,) = document["robustness"]["blocks"]
    assert (block["corruptions"], block["severities"]) == (["contrast"], [5])
    status, output, aside = command(*common, "--corruptions", "contrast, gaussian_noise")
    assert (status, "stored already" in aside) == (0, True)
    assert "contrast" in output
    assert "wide" in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--corruptions", "fogg"], "unknown corruption 'fogg'"),
        (["--corruptions", "frost"], "needs photographs"),
        (["--severities", "1,6"], "severity 6"),
        (["--severities", "x"], "--severities x"),
        (["--severities", ""], "no severity"),
        (["--block", "digit"], "Did you mean 'digits'"),
    ],
)
def test_wrong_options_are_one_line(trained: Path, command: Any, options: list[str], message: str) -> None:
    status, output, errors = command("stress", "robust", "--workspace", trained, *options)
    assert (status, output) == (2, "")
    assert message in errors
    assert len(errors.strip().splitlines()) == 1


def test_before_the_final_test_nothing_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(tmp_path, final_test=False, replicates=1)
    monkeypatch.setattr(stress, "open_test", lambda *_: pytest.fail("the test split was opened"))
    with pytest.raises(WorkspaceError, match="final test of study 'robust' has not been held"):
        stress_study("robust", tmp_path, workers=1)
    assert not (tmp_path / "stress").exists()


def test_other_test_images_are_refused(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = replace(open_test("digits"), fingerprint="other")
    monkeypatch.setattr(stress, "open_test", lambda *_: images)
    with pytest.raises(DataError, match="test images changed since the final test"):
        stress_study("robust", trained, workers=1, corruptions=["fog"], severities=[1])


def test_with_folds_there_are_scores_and_no_verdicts(tmp_path: Path) -> None:
    _run(tmp_path, data={"name": "digits", "folds": 2, "validation": 0.2}, replicates=1)
    report = stress_study("robust", tmp_path, workers=1, corruptions=["contrast"], severities=[3])
    found = _facts(report)
    assert found.summary is None
    assert [arm.num_trials for arm in found.blocks[0].arms] == [2, 2]
    assert "no verdicts" in write_markdown(report)


def test_blocks_are_stressed_one_by_one_or_together(tmp_path: Path) -> None:
    blocks = [{"network": [{"name": "cnn", "filters": [2], "units": []}, {"name": "cnn", "filters": [4], "units": []}]}]
    arms = [{"optimizer": ["adam", "sgd"]}]
    _run(tmp_path, blocks=blocks, arms=arms)
    asked = {"workers": 1, "corruptions": ["contrast"], "severities": [3]}
    first, second = load("robust", tmp_path).report.summary.blocks
    alone = _facts(stress_study("robust", tmp_path, block=second, **asked))
    assert [each.block for each in alone.blocks] == [second]
    assert "## Robustness" in write_markdown(load("robust", tmp_path).report)
    both = _facts(stress_study("robust", tmp_path, **asked))
    assert [each.block for each in both.blocks] == [first, second]
    assert both.blocks[1].arms == alone.blocks[0].arms
    assert both.summary is not None
    assert len(both.summary.verdicts) == 2
    assert [look.block for look in read_stress(Folders(tmp_path), _read(tmp_path).study_id)] == [second, first]


def test_processes_find_what_one_finds(trained: Path, stressed: ReportInput, tmp_path: Path) -> None:
    copy = tmp_path / "runs"
    shutil.copytree(trained, copy)
    for path in copy.rglob("corrupted-*.npz"):
        path.unlink()
    again = stress_study("robust", copy, workers=2, **CONDITIONS)
    assert _facts(again).blocks[0].arms == _facts(stressed).blocks[0].arms


def test_a_study_that_was_not_stressed_says_nothing(trained: Path) -> None:
    _run(trained, name="plain", replicates=2, arms=[{"one": {}, "two": {"batch_size": 32}}])
    report = load("plain", trained).report
    assert "robustness" not in build_document(report)
    assert "Robustness" not in write_markdown(report)
    assert list(SECTION.tables["robustness"](report).records()) == []


def test_severities_are_parsed() -> None:
    assert parse_severities("1, 3,5") == (1, 3, 5)
    with pytest.raises(BakeoffError, match="not a list of severities"):
        parse_severities("1;3")
