"""Planted wrong labels are found, in the order of cleanlab, with the names of their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cleanlab.filter import find_label_issues as oracle
from PIL import Image

from bakeoff.api import Result, Study, run
from bakeoff.cli import main
from bakeoff.report.label_issues import _rank, find_label_issues
from bakeoff.report.render.markdown import write_markdown


def _predict(seed: int, flipped: list[int], number: int = 60) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    true = np.arange(number) % 3
    probabilities = generator.dirichlet(np.ones(3), number) * 0.3
    probabilities[np.arange(number), true] += 0.7
    probabilities[flipped] = 0.01
    probabilities[flipped, true[flipped]] = 0.98
    labels = true.copy()
    labels[flipped] = (labels[flipped] + 1) % 3
    return {"probabilities": probabilities, "labels": labels, "indices": np.arange(number)}


def test_they_are_those_of_cleanlab() -> None:
    run = _predict(1, [4, 17, 33])
    found = find_label_issues("test", [run])
    expected = oracle(
        run["labels"],
        run["probabilities"],
        filter_by="confident_learning",
        return_indices_ranked_by="self_confidence",
    )
    assert [each.index for each in found] == expected.tolist()
    assert {each.index for each in found} == {4, 17, 33}
    assert all((each.label - each.suggested) % 3 == 1 for each in found)
    assert {each.num_models for each in found} == {1}


@pytest.mark.parametrize("seed", range(8))
def test_what_counts_as_of_another_class_is_what_cleanlab_says(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(200) % 4)
    probabilities = generator.dirichlet(np.full(4, 0.5), 200)
    probabilities[np.arange(200), labels] += generator.uniform(0, 2, 200)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    chosen = {"filter_by": "confident_learning", "return_indices_ranked_by": "self_confidence"}
    assert _rank(labels, probabilities) == oracle(labels, probabilities, **chosen).tolist()


def test_models_that_predicted_an_image_are_averaged() -> None:
    first, second = _predict(1, [4]), _predict(2, [4])
    half = {name: values[30:] for name, values in second.items()}
    found = find_label_issues("validation", [first, half])
    assert [(each.index, each.num_models) for each in found] == [(4, 1)]
    (both,) = find_label_issues("validation", [first, second])
    mean = (first["probabilities"][4] + second["probabilities"][4]) / 2
    assert both.suggested_probability == pytest.approx(mean.max())


def test_a_class_without_images_and_too_few_images() -> None:
    run = _predict(3, [5])
    kept = run["labels"] != 2
    part = {name: values[kept] for name, values in run.items()}
    assert all(each.label != 2 for each in find_label_issues("test", [part]))
    assert find_label_issues("test", [{name: values[:9] for name, values in run.items()}]) == ()
    assert find_label_issues("test", []) == ()


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, shared_cache: None, in_process: object) -> Result:
    root = tmp_path_factory.mktemp("labels")
    generator = np.random.default_rng(0)
    for part, number in (("train", 60), ("test", 30)):
        for count in range(number):
            label = count % 2
            shown = 1 - label if part == "test" and count in (3, 8) else label
            folder = root / "photos" / part / "ab"[label]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 60, (6, 6), dtype=np.uint8) + (150 if shown else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{count}.png")
    study = Study(
        question="Which?",
        data={"folder": str(root / "photos")},
        recipe={"network": {"name": "mlp", "units": [8]}, "epochs": 20, "batch_size": 8},
        arms=[
            {
                "adam": {"optimizer": {"name": "adam", "learning_rate": 0.02}},
                "slow": {"optimizer": {"name": "adam", "learning_rate": 0.001}},
            }
        ],
        replicates=3,
        numeric="float32",
    )
    return run(study, workspace=root / "runs", workers=1)


def test_a_report_names_them(result: Result) -> None:
    text = write_markdown(result.report)
    section = text[text.index("Labels to check") :]
    assert "b/3.png" in section
    assert "a/8.png" in section


def test_the_table_has_a_row_for_each(result: Result) -> None:
    rows = [line.strip().split(",") for line in result.iterate_csv("label_issues")]
    header = rows[0]
    tested = [dict(zip(header, row, strict=True)) for row in rows[1:] if row[1] == "test"]
    assert {Path(row["file"]).name for row in tested} == {"3.png", "8.png"}
    assert all(row["label"] != row["suggested"] and row["models"] == "3" for row in tested)


def test_the_command_line_lists_them(
    result: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["bakeoff", "data", "check", "--workspace", str(result.workspace), "--study", result.report.name]
    monkeypatch.setattr("sys.argv", [*command, "--csv", str(tmp_path / "labels.csv")])
    assert main() == 1
    printed = capsys.readouterr().out
    assert "b/3.png" in printed
    assert (tmp_path / "labels.csv").read_text("utf-8").splitlines()[1:] == [
        line.strip() for line in list(result.iterate_csv("label_issues"))[1:]
    ]
    monkeypatch.setattr("sys.argv", [*command, "--json"])
    assert main() == 1
    assert len(json.loads(capsys.readouterr().out)["labels"]) == len(list(result.iterate_csv("label_issues"))) - 1
    monkeypatch.setattr("sys.argv", ["bakeoff", "data", "check"])
    assert main() == 2
