"""Every importer reads its tool's format, recognises nothing else, and survives damage."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest

from bakeoff.errors import DataError
from bakeoff.foreign.importers import IMPORTERS, read_foreign
from tests.foreign.samples import CURVES, SAMPLES, SEEDS, Sample, list_written

each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.write.__name__)


@each_sample
def test_each_run_has_its_arm_seed_and_score(sample: Sample, tmp_path: Path) -> None:
    sample.write(tmp_path)
    before = list(list_written(tmp_path))
    table = read_foreign(str(tmp_path))
    assert list(list_written(tmp_path)) == before
    assert table.tool != ""
    assert table.metrics[0] == sample.metric
    # Folds are numbered from 0 in one of the formats, seeds from 1.
    first = min(int(str(row[sample.seed])) for row in table.rows)
    scores = {
        (row[sample.arm], int(str(row[sample.seed])) - first + SEEDS[0]): row[sample.metric] for row in table.rows
    }
    assert scores == pytest.approx({key: curve[-1] for key, curve in CURVES.items()}, rel=1e-7)
    assert len(table.rows) == len(CURVES)
    assert set(table.metrics) <= {name for row in table.rows for name in row}


@each_sample
def test_only_its_own_importer_recognises_it(sample: Sample, tmp_path: Path) -> None:
    sample.write(tmp_path)
    assert [importer.name for importer in IMPORTERS if importer.recognises(str(tmp_path))] == [sample.importer]


@each_sample
def test_damaged_files_are_one_line_or_are_skipped(sample: Sample, tmp_path: Path) -> None:
    sample.write(tmp_path)
    chance = random.Random(0)
    for path in list(list_written(tmp_path))[:4]:
        whole = path.read_bytes()
        for _ in range(4):
            cut = whole[: chance.randrange(len(whole))]
            flipped = bytearray(whole)
            for _ in range(3):
                flipped[chance.randrange(len(whole))] = chance.randrange(256)
            for content in (cut, bytes(flipped)):
                path.write_bytes(content)
                with suppress(DataError):
                    read_foreign(str(tmp_path), sample.importer)
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "sample", [s for s in SAMPLES if "path.1" in s.arm and s.seed == "seed"], ids=lambda s: s.importer
)
def test_a_run_that_was_cut_off_is_skipped_and_named(sample: Sample, tmp_path: Path) -> None:
    sample.write(tmp_path)
    path = next(list_written(tmp_path))
    path.write_bytes(path.read_bytes()[:-5])
    table = read_foreign(str(tmp_path))
    assert (len(table.rows), table.num_skipped) == (3, 1)
    assert any("cut off" in note for note in table.notes)


@each_sample
def test_the_best_epoch_counts_if_asked(sample: Sample, tmp_path: Path) -> None:
    sample.write(tmp_path)
    table = read_foreign(str(tmp_path), epoch=f"min:{sample.metric}")
    # Tools without curves have their one score.
    assert {row[sample.metric] for row in table.rows} in ({0.5}, {curve[-1] for curve in CURVES.values()}) or (
        sample.importer == "ludwig"
    )


def test_an_unknown_source_lists_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_foreign(str(tmp_path / "nothing"))
    (tmp_path / "readme.md").write_text("hello")
    (tmp_path / "study.pkl").write_bytes(b"\x80\x04N.")
    with pytest.raises(DataError, match=r"study\.pkl are never opened.*lightning .*ludwig"):
        read_foreign(str(tmp_path))
    with pytest.raises(DataError, match=r"Did you mean 'keras'"):
        read_foreign(str(tmp_path), "kears")
    with pytest.raises(DataError, match="no finished run of Keras"):
        read_foreign(str(tmp_path), "keras")


@pytest.mark.parametrize("name", ["results.pkl", "results.joblib", "model.pt"])
def test_pickles_are_refused_with_the_remedy(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04N.")
    with pytest.raises(DataError, match="to_csv"):
        read_foreign(str(tmp_path / name))


def test_results_of_two_tools_are_chosen_by_name(tmp_path: Path) -> None:
    by_name = {sample.write.__name__: sample for sample in SAMPLES}
    for name in ("write_keras_logs", "write_lightning"):
        (tmp_path / name).mkdir()
        by_name[name].write(tmp_path / name)
    with pytest.raises(DataError, match="--from keras or --from lightning"):
        read_foreign(str(tmp_path))
    assert len(read_foreign(str(tmp_path), "lightning").rows) == 4
    # What lies among the artifacts of MLflow's runs is not what was meant.
    by_name["write_mlflow_files"].write(tmp_path)
    assert read_foreign(str(tmp_path)).tool == "MLflow"
