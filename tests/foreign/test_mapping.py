from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bakeoff.errors import DataError
from bakeoff.foreign.csv_table import make_table, parse_value
from bakeoff.foreign.mapping import Asked, Runs, map_table
from bakeoff.foreign.metric_names import find_split, find_unit, is_lower_better, rank_scores
from bakeoff.foreign.table import ForeignTable, Value


def table(text: str) -> ForeignTable:
    header, *lines = [line.split() for line in text.strip().splitlines()]
    rows: Sequence[tuple[str, dict[str, Value]]] = [
        (f"line {number}", dict(zip(header, (parse_value(cell.strip("-")) for cell in cells), strict=True)))
        for number, cells in enumerate(lines, start=2)
    ]
    return make_table("CSV", "scores.csv", rows)


def read(text: str, **asked: Any) -> Runs:
    return map_table(table(text), Asked(**asked))


PLAIN = """
model seed acc
a 1 0.90
a 2 0.91
b 1 0.80
b 2 0.81
"""


def test_usual_names_are_understood() -> None:
    runs = read(PLAIN)
    assert runs.arms == ("a", "b")
    assert runs.blocks == ("",)
    assert (runs.roles["arm"], runs.roles["replicate"], runs.record.name) == ("model", "seed", "acc")
    assert [result.replicate for result in runs.results] == [0, 1, 0, 1]
    assert runs.has_ids
    assert runs.record.is_share
    assert runs.num_folds is None


def test_blocks_and_folds_are_understood() -> None:
    lines = [f"{d} {m} {s} {f} 0.9{f}" for d in "xy" for m in "ab" for s in (10, 9) for f in range(3)]
    runs = read("dataset method run fold test_f1\n" + "\n".join(lines))
    assert runs.blocks == ("x", "y")
    assert runs.num_folds == 3
    assert {(result.replicate, result.fold) for result in runs.results} == {(r, f) for r in range(2) for f in range(3)}
    assert all(set(result.metrics) == {"held-out"} for result in runs.results)


def test_folds_alone_are_enough() -> None:
    runs = read("model fold acc\n" + "\n".join(f"{m} {f} 0.{f}5" for m in "ab" for f in (1, 2, 3)))
    assert runs.num_folds == 3
    assert {result.replicate for result in runs.results} == {0}


def test_a_split_of_images_is_no_fold() -> None:
    lines = "\n".join(f"{m} {s} {split} 0.9{s}" for m in "ab" for s in (1, 2) for split in ("val", "test"))
    with pytest.raises(DataError, match="split: choose by --where split=test"):
        read(f"model seed split acc\n{lines}")
    runs = read(f"model seed split acc\n{lines}", where={"split": ("test",)})
    assert len(runs.results) == 4
    assert any("split = test" in note for note in runs.notes)


def test_the_only_text_that_repeats_tells_arms() -> None:
    assert read(PLAIN.replace("model", "optimizer")).roles["arm"] == "optimizer"
    with pytest.raises(DataError, match=r"--map arm=x\+y"):
        read("x y seed acc\na c 1 0.9\na d 1 0.8\nb c 1 0.9\nb d 1 0.7")
    runs = read("x y seed acc\na c 1 0.9\na d 1 0.8\na c 2 0.9\na d 2 0.7", columns={"arm": "x+y"})
    assert runs.arms == ("a, c", "a, d")


def test_numbered_names_tell_arms_and_replicates() -> None:
    runs = read("name acc\nlenet-seed1 0.9\nlenet-seed2 0.91\nvgg16-seed1 0.8\nvgg16-seed3 0.81")
    assert runs.arms == ("lenet", "vgg16")
    assert [result.replicate for result in runs.results] == [0, 1, 0, 2]


def test_paths_tell_arms_and_replicates() -> None:
    runs = read("path.1 path.2 val_loss\nadam seed10 1.5\nadam seed9 1.6\nsgd seed10 2.5\nsgd seed9 2.6")
    assert (runs.roles["arm"], runs.roles["replicate"]) == ("path.1", "path.2")
    assert [result.replicate for result in runs.results] == [1, 0, 1, 0]
    assert not runs.record.higher_is_better
    assert all(set(result.metrics) == {"validation"} for result in runs.results)


def test_parameters_in_folders_of_names_are_understood() -> None:
    runs = read("params.model params/seed metrics.acc\na 1 0.9\na 2 0.8\nb 1 0.9\nb 2 0.7")
    assert (runs.roles["arm"], runs.roles["replicate"]) == ("params.model", "params/seed")


def test_runs_without_ids_are_numbered_and_do_not_pair() -> None:
    runs = read("model acc\na 0.9\na 0.91\nb 0.8\nb 0.82")
    assert not runs.has_ids
    assert [result.replicate for result in runs.results] == [0, 1, 0, 1]


def test_percentages_are_recognised_and_said() -> None:
    runs = read("model seed acc\na 1 90.0\na 2 91.5\nb 1 80.0\nb 2 81.0")
    assert [result.metrics["test"]["acc"] for result in runs.results] == [0.9, 0.915, 0.8, 0.81]
    assert any("percentages" in note for note in runs.notes)
    with pytest.raises(DataError, match="shares and percentages"):
        read("model seed acc\na 1 90.0\na 2 0.915\nb 1 80.0\nb 2 81.0")


def test_unfinished_runs_are_left_out_and_counted() -> None:
    runs = read("model seed state acc\na 1 done 0.9\na 2 done 0.9\nb 1 done 0.8\nb 2 done 0.8\nb 3 crashed -")
    assert len(runs.results) == 4
    assert any("1 crashed" in note for note in runs.notes)


def test_curves_give_one_epoch() -> None:
    lines = "\n".join(f"{m} {s} {e} 0.{e if e < 3 else 1}{s}" for m in "ab" for s in (1, 2) for e in (1, 2, 3))
    text = f"model seed epoch acc\n{lines}"
    assert [result.metrics["test"]["acc"] for result in read(text).results] == [0.11, 0.12, 0.11, 0.12]
    best = read(text, epoch="max:acc").results
    assert [result.metrics["test"]["acc"] for result in best] == [0.21, 0.22, 0.21, 0.22]
    with pytest.raises(DataError, match="--epoch best"):
        read(text, epoch="best")


def test_the_epochs_at_which_runs_ended_are_no_curve() -> None:
    runs = read("model epoch acc\na 9 0.9\na 12 0.91\nb 10 0.8\nb 12 0.82")
    assert len(runs.results) == 4


def test_columns_that_vary_and_were_not_used_are_named() -> None:
    runs = read("model seed lr note acc\na 1 1 x 0.9\na 2 2 y 0.8\nb 1 1 z 0.9\nb 2 2 u 0.7")
    assert any(note.startswith("2 columns") and "lr" in note and "note" in note for note in runs.notes)


@pytest.mark.parametrize(
    ("text", "asked", "words"),
    [
        (PLAIN, {"columns": {"arm": "modle"}}, "Did you mean 'model'"),
        (PLAIN, {"metric": "accc"}, "Did you mean 'acc'"),
        (PLAIN, {"where": {"model": ("c",)}}, "no row has it"),
        (PLAIN, {"where": {"model": ("a",)}}, "one arm"),
        (PLAIN + "a 1 0.7", {}, "line 2 and line 6 are both arm a, replicate 1"),
        (PLAIN.replace("0.81", "n/a"), {}, "line 5: acc is 'n/a'"),
        (PLAIN.replace("0.81", "nan"), {}, "line 5: acc is 'nan'"),
        (PLAIN.replace("0.81", "-"), {}, "line 5: acc is empty"),
        ("model seed acc\na 1 0.9\nb 1 0.8", {"columns": {"arm": "model"}}, "fewer than 2 replicates"),
        ("model seed\na 1\nb 1", {}, "no column of scores"),
        ("model fold acc\na 1 0.1\na 2 0.2\nb 3 0.3\nb 4 0.4", {}, "folds of the same replicate in common"),
    ],
)
def test_mistakes_are_named_with_a_remedy(text: str, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=r"\S") as caught:
        read(text, **asked)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(DataError, match="no runs"):
        map_table(ForeignTable(tool="MLflow", source="x", rows=(), metrics=()), Asked())


def test_what_names_of_scores_say() -> None:
    assert rank_scores(["train_acc", "val/loss", "testAccuracy", "val_acc"])[0] == "testAccuracy"
    assert [find_split(name) for name in ("Val accuracy", "test-top1", "acc", "trainLoss")] == [
        "validation",
        "test",
        None,
        "train",
    ]
    assert [is_lower_better(name) for name in ("val_loss", "top-1 err", "acc", "RMSE")] == [True, True, False, True]
    assert find_unit("loss", [0.1, 0.2]) == "plain"
    assert find_unit("top1", [71.0, 72.5]) == "percent"


def test_cells_become_numbers_but_ids_stay() -> None:
    assert [parse_value(text) for text in ("3", "0.5", "1e-3", "007", "1_000", "", " x ", "'=a")] == [
        3,
        0.5,
        0.001,
        7.0,
        "1_000",
        None,
        "x",
        "=a",
    ]
