"""Images of one patient never teach a network about others of the same patient."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bakeoff.api import run
from bakeoff.cli.data import app
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_test, open_training
from bakeoff.driver.cohorts import group_trials, limits_of
from bakeoff.driver.devices import Device
from bakeoff.driver.facts import ImageFacts, open_datasets
from bakeoff.driver.paths import describe_parts
from bakeoff.driver.prospects import find_prospects
from bakeoff.driver.trial_spread import measure_trials
from bakeoff.engine.batches import held_out, split_view
from bakeoff.errors import DataError
from bakeoff.messages import DataView
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.results import TrialResult
from bakeoff.study.plan import expand
from bakeoff.study.schema import Study
from bakeoff.workspace import Folders

pytestmark = pytest.mark.usefixtures("in_process")

NUM_PATIENTS, NUM_SHOTS = 50, 8


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 50 patients of 8 nearly equal images and a random label each: nothing can be learnt of other patients."""
    root, generator = tmp_path_factory.mktemp("patients"), np.random.default_rng(6)
    labels = generator.permutation(np.repeat(["ill", "well"], NUM_PATIENTS // 2))
    rows = [("path", "label", "group")]
    for patient, label in enumerate(labels):
        noise = generator.integers(0, 256, (16, 16))
        for shot in range(NUM_SHOTS):
            pixels = np.clip(noise + generator.integers(-5, 6, (16, 16)), 0, 255).astype(np.uint8)
            path = root / "photos" / label / f"patient{patient:02}" / f"p{patient:02}_{shot}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
            rows.append((str(path.relative_to(root)), label, f"p{patient}"))
    with (root / "grouped.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return root


SOURCES = {
    "column": {"manifest": "grouped.csv"},
    "regex": {"folder": "photos", "group": r"p\d\d(?=_)"},
    "parent": {"folder": "photos", "group": "parent"},
    "none": {"folder": "photos", "duplicates": "allow"},  # an audit finds some of them
}


def ask_nothing(root: Path, data: dict[str, Any]) -> Study:
    given = {key: str(root / value) if key in ("folder", "manifest") else value for key, value in data.items()}
    return Study(
        question="Does the learning rate matter?",
        data=given,
        recipe={"network": {"name": "mlp", "units": [32]}, "epochs": 10, "batch_size": 16},
        arms=[{"optimizer.learning_rate": [0.001, 0.003]}],
        numeric="float32",
        replicates=2,
    )


def ask(root: Path, tmp_path: Path, data: dict[str, Any]) -> Any:
    return run(ask_nothing(root, data), workspace=tmp_path / "workspace", workers=1)


def average(result: Any, split: str) -> float:
    return float(np.mean([arm.on(split)["accuracy"].mean for arm in result.summary.arms]))


@pytest.mark.parametrize("declared", SOURCES)
def test_a_random_label_per_patient_cannot_be_learnt_with_groups(patients, tmp_path, declared) -> None:
    result = ask(patients, tmp_path, {**SOURCES[declared], "test": 0.4})
    assert average(result, "train") > 0.95
    if declared == "none":
        assert average(result, "test") > 0.9
        assert all(verdict.spread.num_grouped is None for verdict in result.summary.verdicts)
        return
    # 20 patients: 50% with a standard deviation of 11 points.
    assert 0.2 < average(result, "test") < 0.8
    assert {(verdict.spread.num_images, verdict.num_images) for verdict in result.summary.verdicts} == {(20, 160)}
    predictions = next(iter(Folders(tmp_path / "workspace").root.rglob("*test*.npz")))
    assert len(np.unique(np.load(predictions)["groups"])) == 20


def test_folds_of_patients_are_at_chance(patients, tmp_path) -> None:
    for declared in ("regex", "none"):
        result = ask(patients, tmp_path / declared, {**SOURCES[declared], "folds": 2})
        found = average(result, "held-out")
        assert found > 0.9 if declared == "none" else 0.25 < found < 0.75


@pytest.mark.parametrize("declared", ["column", "regex", "parent"])
def test_every_split_of_a_source_keeps_patients_on_one_side(patients, declared) -> None:
    data = {k: str(patients / v) if k in ("folder", "manifest") else v for k, v in SOURCES[declared].items()}
    source = DataSource(**data)
    images, test = open_training(source), open_test(source)

    def name(files: Any) -> set[str]:
        return {Path(file).name[:3] for file in files}

    files = np.array(images.files)
    assert not name(images.files) & name(test.files)
    assert len(test.labels) == 80
    for folds, fold in ((None, None), (3, 1), (2, 0)):
        view = DataView(source=source, validation=0.2, fingerprint=images.fingerprint, seed=5, folds=folds, fold=fold)
        train, validation = split_view(images, view)
        parts = [train, validation, *([] if folds is None else [held_out(images, view)])]
        assert sum(len(name(files[part])) for part in parts) == 40
        assert sum(map(len, parts)) == 320


def test_predictions_and_mistakes_name_files(patients, tmp_path) -> None:
    result = ask(patients, tmp_path, {**SOURCES["regex"], "test": 0.4})
    rows = result.to_records("predictions")
    assert len(rows) == 2 * 2 * 160
    assert {row["split"] for row in rows} == {"test"}
    files = {row["image"]: Path(str(row["file"])) for row in rows}
    assert all(patients.joinpath("photos", file).is_file() for file in files.values())
    # Class folder and true class, patient and group, probabilities and outcome agree.
    assert all(files[row["image"]].parts[0] == row["true_class"] for row in rows)
    assert len({(row["group"], files[row["image"]].name[:3]) for row in rows}) == 20
    assert all((row["correct"] == "yes") == (row["true_class"] == row["predicted_class"]) for row in rows)
    assert all(row["predicted_class_probability"] >= row["true_class_probability"] for row in rows)
    for arm in result.summary.arms:
        mine = [row for row in rows if row["arm"] == arm.arm]
        assert np.mean([row["correct"] == "yes" for row in mine]) == pytest.approx(arm.test["accuracy"].mean)
    plan = expand(ask_nothing(patients, SOURCES["regex"] | {"test": 0.4}))
    (prospect,) = find_prospects(plan, workspace=tmp_path / "workspace").blocks
    assert (prospect.source.kind, prospect.source.images_from) == ("trials", "predictions")
    assert (prospect.aim.num_images, prospect.aim.num_grouped) == (20, 160)
    page = (tmp_path / "workspace" / str(result.report.html_path)).read_text()
    assert 'title="ill/patient' in page or 'title="well/patient' in page
    assert any("240 training images in 30 groups" in note for note in result.report.notes)


def make_plan(root: Path, declared: str, **fields: Any) -> Any:
    data = {k: str(root / v) if k in ("folder", "manifest") else v for k, v in SOURCES[declared].items()}
    recipe = {"network": {"name": "mlp", "units": [4]}, "epochs": 1}
    arms = [{"optimizer.learning_rate": [0.001, 0.003]}]
    return expand(Study(question="?", data={**data, **fields}, recipe=recipe, arms=arms, replicates=3))


@pytest.mark.parametrize("declared", ["column", "parent"])
def test_a_plan_counts_groups(patients, declared) -> None:
    plan = make_plan(patients, declared, test=0.4)
    (note,) = describe_parts(plan, None)
    assert "240 training images in 30 groups" in note
    (prospect,) = find_prospects(plan, workspace=None).blocks
    assert (prospect.aim.num_images, prospect.aim.num_grouped) == (20, 160)
    (alone,) = find_prospects(make_plan(patients, "none", test=0.4), workspace=None).blocks
    # What the test images alone can show: 20 groups are as few images.
    assert prospect.limit == pytest.approx(8 * alone.limit)
    assert prospect.dump()["test_images"] == alone.dump()["test_images"] == 160
    (facts,) = open_datasets(plan.blocks, None).values()
    assert (facts.num_images, facts.num_groups) == (240, 30)
    assert ImageFacts.of_record(facts.record()) == facts


def test_replicates_with_groups_are_not_fused(patients) -> None:
    limits = limits_of(Device("cuda", (0,), "Big", 2**37))
    for declared, number in (("regex", 3), ("none", 1)):
        plan = make_plan(patients, declared)
        assert len(group_trials(plan.trials, open_datasets(plan.blocks, None), limits)) == number


def test_too_few_groups_for_folds_are_refused_before_training(patients) -> None:
    plan = make_plan(patients, "parent", folds=30)
    with pytest.raises(DataError, match=r"too few groups of images of 'ill' \(20\), 'well' \(20\): 30 folds need 30"):
        open_datasets(plan.blocks, None)


def test_groups_on_both_sides_of_own_validation_are_refused_if_it_is_used(patients, tmp_path) -> None:
    rows = (patients / "grouped.csv").read_text().splitlines()[1:]
    splits = ["val" if "_0.png" in row and "p0" in row else "train" for row in rows]
    lines = [f"{patients}/{row},{split}" for row, split in zip(rows, splits, strict=True)]
    manifest = tmp_path / "own.csv"
    manifest.write_text("\n".join(["path,label,group,split", *lines]))
    recipe = {"network": "mlp"}
    fields: dict[str, Any] = {"question": "?", "recipe": recipe, "arms": [{"epochs": [1, 2]}], "replicates": 1}
    drawn, own = (
        expand(Study(data={"manifest": str(manifest), "validation": validation}, **fields)).blocks
        for validation in (0.2, "own")
    )
    open_datasets(drawn, None)
    with pytest.raises(DataError, match=r"groups of images are both in its training and in its validation part: .*_0"):
        open_datasets(own, None)


def test_data_show_counts_groups(patients) -> None:
    for name, more in (("grouped.csv", []), ("photos", ["--group", "parent"])):
        shown = CliRunner().invoke(app, ["show", str(patients / name), *more, "--json"])
        facts = json.loads(shown.output)
        assert (facts["num_train"], facts["num_groups"]) == (320, 40)
        assert any("320 training images in 40 groups" in note for note in facts["notes"])


def test_a_pilot_s_validation_splits_are_compared_by_groups() -> None:
    rng, stored = np.random.default_rng(0), dict[str, Any]()
    results = []
    for replicate, num_groups in enumerate((20, 24, 22)):  # splits of whole groups differ in size
        groups = np.repeat(rng.permutation(60)[:num_groups], 5)
        for arm in "ab":
            right = (rng.random(num_groups) < 0.8).repeat(5)
            name = f"{arm}{replicate}"
            stored[name] = {
                "probabilities": np.where(right[:, None], [1.0, 0.0], [0.0, 1.0]),
                "labels": np.zeros(len(groups), np.int64),
                "indices": groups * 5 + np.tile(np.arange(5), num_groups),
                "groups": groups,
            }
            results.append(
                TrialResult(
                    trial_id=name,
                    block="photos",
                    arm=arm,
                    replicate=replicate,
                    state="done",
                    metrics={"validation": {"accuracy": float(right.mean())}},
                    epochs_trained=1,
                    best_epoch=1,
                    seconds=1.0,
                )
            )

    def measure(by_group: bool) -> Any:
        def load(trial_id: str, split: str) -> Any:
            found = stored[trial_id]
            return found if by_group else {k: v[:100] for k, v in found.items() if k != "groups"}

        return measure_trials(
            results,
            find_metric("accuracy"),
            "validation",
            baseline=None,
            num_images=40 if by_group else 200,
            load=load,
            kind="pilot",
            study="s",
        )

    grouped, alone = measure(True), measure(False)
    assert grouped.images_from == alone.images_from == "predictions"
    assert grouped.spread.num_images == 40
    # Answers are the same within a group: 40 groups of 5 are no more than 40 images.
    assert max(end.images for end in grouped.ends) > 3 * max(end.images for end in alone.ends)
