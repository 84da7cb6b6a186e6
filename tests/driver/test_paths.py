"""Relative paths are meant from the study file's folder; which images serve as what is said before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bakeoff.api import plan
from bakeoff.driver.context import RunContext
from bakeoff.driver.paths import describe_parts, resolve_paths
from bakeoff.driver.run import run_plan
from bakeoff.errors import StudyError
from bakeoff.study.load import load_study
from bakeoff.study.plan import Plan, expand, study_id
from bakeoff.workspace import Folders

STUDY = """
question: Which?
numeric: float32
data: {folder: pets, validation: 0.25}
recipe:
  network: {name: mlp, units: [4]}
  epochs: 1
  transfer: {weights: {file: w.safetensors}}
arms: [{initializer: [he_normal, glorot_normal]}]
replicates: 2
"""


def write_images(folder: Path, **parts: int) -> Path:
    rng = np.random.default_rng(0)
    for part, number in parts.items():
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            for index in range(number):
                image = Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8))
                image.save(folder / part / name / f"{index}.png")
    return folder


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study file beside its images and weights; the current folder is another."""
    for name in ("project", "elsewhere"):
        (tmp_path / name).mkdir()
    write_images(tmp_path / "project/pets", train=8, test=2)
    (tmp_path / "project/w.safetensors").touch()
    (tmp_path / "project/study.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "project/study.yaml"


def test_paths_lead_from_the_study_files_folder(study: Path) -> None:
    loaded = load_study(Path("../project/study.yaml"))
    plan = resolve_paths(expand(loaded))
    (source,) = {trial.data.source for trial in plan.trials} | {block.data.source for block in plan.blocks}
    assert (source.folder, source.label) == (str(study.parent / "pets"), "pets")
    files = {trial.recipe.transfer.weights.file for trial in plan.trials}
    assert files == {str(study.parent / "w.safetensors")}
    # Whoever shares a recipe trains fused: that is told by the object.
    assert len({id(trial.recipe) for trial in plan.trials}) == 2
    assert plan.notes == expand(loaded).notes


def test_a_missing_folder_has_its_line_beside_the_other_mistakes(study: Path) -> None:
    study.write_text(STUDY.replace("folder: pets", "folder: pet").replace("epochs: 1", "epochz: 1"))
    with pytest.raises(StudyError) as caught:
        plan(study, device="cpu")
    folder, field = caught.value.problems
    assert (folder.place, folder.field) == (f"{study}:4", "data.folder")
    assert folder.message.startswith(f"no folder 'pet' in {study.parent}, {Path.cwd()}")
    assert folder.message.endswith("Did you mean 'pets'?")
    assert field.field == "recipe.epochz"


def test_a_missing_folder_that_no_block_uses_is_no_mistake(study: Path) -> None:
    study.write_text(STUDY.replace("folder: pets", "folder: pet") + "blocks: [{data.folder: [pets, dogs]}]\n")
    load_study(study)
    with pytest.raises(StudyError) as caught:
        plan(study, device="cpu")
    assert [problem.field for problem in caught.value.problems] == ["blocks.0.data.folder.1"]


def test_where_a_study_lies_is_no_part_of_what_it_is(study: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere/study.yaml"
    other.write_text(STUDY)
    assert study_id(load_study(study)) == study_id(load_study(other))


def test_what_only_the_current_folder_has_is_taken_from_there_and_said(study: Path, tmp_path: Path) -> None:
    (study.parent / "pets").rename(tmp_path / "elsewhere/pets")
    plan = resolve_paths(expand(load_study(study)))
    assert {block.data.folder for block in plan.blocks} == {"pets"}
    assert plan.notes[-1] == (
        f"pets is not in the study file's folder: using the one in the current folder, {tmp_path / 'elsewhere/pets'}."
    )


def test_a_run_finds_them(study: Path, script: Any, folders: Folders) -> None:
    plan = expand(load_study(study, ["recipe.transfer=null"]))
    counts = run_plan(plan, RunContext(workspace=folders.root, executor=script.Executor(), observer=script.Watcher()))
    assert counts.final_test_complete


@pytest.mark.parametrize(
    ("parts", "data", "said"),
    [
        ({"train": 8, "test": 2}, {}, []),
        ({"train": 8, "val": 3, "test": 2}, {"validation": "own"}, []),
        (
            {"train": 10, "val": 3},
            {"validation": "own"},
            [
                "pets: it has no test part, so 4 of its training images are set aside as the test split; "
                "its validation part (6) is the validation split, the other 16 train."
            ],
        ),
        (
            {"train": 10, "val": 3},
            {"validation": 0.25},
            [
                "pets: it has no test part, so 4 of its training images are set aside as the test split; "
                "its validation part (6) joins the 16 training images, of which 25% are drawn to validate; "
                "with data.validation: own, only that part validates."
            ],
        ),
        (
            {"train": 10, "val": 3, "test": 2},
            {"folds": 5},
            [
                "pets: the test part (4) is the test split; its validation part (6) joins the 20 training images, of "
                "which each of 5 folds validates once; with data.validation: own, only that part validates."
            ],
        ),
    ],
)
def test_which_images_serve_as_what(
    make_plan: Callable[..., Plan], tmp_path: Path, parts: dict[str, int], data: dict[str, Any], said: list[str]
) -> None:
    folder = write_images(tmp_path / "pets", **parts)
    plan = make_plan(data={"folder": str(folder), **data}, blocks=[{"epochs": [1, 2]}])
    assert list(describe_parts(plan, None)) == said
