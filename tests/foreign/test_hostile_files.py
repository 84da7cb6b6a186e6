"""Files made to break what reads them: each is one line of explanation, soon and in little memory."""

from __future__ import annotations

import os
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from bakeoff.errors import DataError
from bakeoff.foreign.csv_table import read_rows
from bakeoff.foreign.importers import read_foreign
from bakeoff.foreign.predictions import holds_predictions
from bakeoff.foreign.reading import MAX_BYTES, DamagedError, read_yaml
from bakeoff.judging import judge

_METRICS = "CREATE TABLE metrics(run_uuid, key, value, timestamp, step, is_nan);"
_ENDLESS = """CREATE VIEW metrics AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)
    SELECT 'r0' run_uuid, 'acc' key, 1.0 value, 0 timestamp, x step, 0 is_nan FROM c;"""


def _write_database(path: Path, metrics: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE runs(run_uuid, name, status, experiment_id, lifecycle_stage, start_time);"
            "CREATE TABLE experiments(experiment_id, name, lifecycle_stage);"
            "CREATE TABLE params(run_uuid, key, value); CREATE TABLE tags(run_uuid, key, value);"
            f"{metrics} INSERT INTO experiments VALUES (1, 'e', 'active');"
            "INSERT INTO runs VALUES ('r0', 'a', 'FINISHED', 1, 'active', 0);"
        )
        connection.commit()


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (_ENDLESS, "cannot be read"),
        (f"{_METRICS} INSERT INTO metrics VALUES ('r0', 'acc', NULL, 0, 0, 0);", "a metric that is no number"),
        (f"{_METRICS} INSERT INTO metrics VALUES ('r0', 'acc', 'x', 0, 0, 0);", "a metric that is no number"),
        (f"{_METRICS} INSERT INTO metrics VALUES ('r0', 'acc', 1, 0, 'x', 0);", "a metric that is no number"),
    ],
    ids=["endless view", "null", "text", "step"],
)
def test_databases_that_are_not_what_they_look_like(metrics: str, words: str, tmp_path: Path) -> None:
    _write_database(tmp_path / "mlflow.db", metrics)
    with pytest.raises(DataError, match=words):
        read_foreign(str(tmp_path / "mlflow.db"))


def test_keys_of_a_database_may_be_of_any_type(tmp_path: Path) -> None:
    _write_database(tmp_path / "mlflow.db", f"{_METRICS} INSERT INTO metrics VALUES ('r0', x'00', 0.5, 0, 0, 0);")
    assert len(read_foreign(str(tmp_path / "mlflow.db")).rows) == 1


def _nest(write: Callable[[str], str]) -> str:
    lines = ["a0: &a0 {k: x}"]
    lines += [f"a{i}: &a{i} {write(', '.join([f'*a{i - 1}'] * 9))}" for i in range(1, 12)]
    return "\n".join(lines)


@pytest.mark.parametrize("write", ["[{}]".format, "{{<<: [{}]}}".format], ids=["lists", "merged"])
def test_yaml_of_a_few_lines_that_stands_for_billions_of_values(write: Callable[[str], str], tmp_path: Path) -> None:
    path = tmp_path / "hparams.yaml"
    path.write_text(_nest(write))
    with pytest.raises(DamagedError, match="more than 1,000,000 values"):
        read_yaml(path)


def test_yaml_with_usual_aliases_or_one_that_holds_itself(tmp_path: Path) -> None:
    path = tmp_path / "hparams.yaml"
    path.write_text("base: &base {lr: 1}\nown: {<<: *base, wd: 2}\nself: &self [*self]\n")
    content = read_yaml(path)
    assert content["own"] == {"lr": 1, "wd": 2}
    path.write_text("")
    assert read_yaml(path) == {}


def test_an_archive_that_unpacks_to_much_more_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("fit_time.npy", "w") as member:
            np.lib.format.write_array(member, np.zeros(3))
        with archive.open("test_score.npy", "w") as member:
            for _ in range(MAX_BYTES // 2**20 + 1):
                member.write(bytes(2**20))
    with pytest.raises(DataError, match="unpacks to more than 256 MiB"):
        read_foreign(str(tmp_path / "x.npz"))


def test_an_archive_whose_list_of_members_is_damaged_is_not_known(tmp_path: Path) -> None:
    end = b"PK\x05\x06" + bytes(4) + b"\x05\x00\x05\x00" + (100).to_bytes(4, "little") + (50).to_bytes(4, "little")
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04" + b"junk" * 100 + end + bytes(2))
    assert zipfile.is_zipfile(tmp_path / "x.npz")
    with pytest.raises(DataError, match="scikit-learn"):
        read_foreign(str(tmp_path), "sklearn")


def test_numbers_with_more_digits_than_a_float_holds_are_names(tmp_path: Path) -> None:
    digits, path = "9" * 4_000, tmp_path / "runs.csv"
    path.write_text("arm,seed,accuracy\n" + "".join(f"{arm},{seed},{digits}\n" for arm in "ab" for seed in range(3)))
    with pytest.raises(DataError):
        judge(str(path), metric="accuracy")
    lines = "".join(f'{{"arm": "{arm}", "seed": {seed}, "accuracy": {digits}}}\n' for arm in "ab" for seed in range(3))
    (tmp_path / "runs.jsonl").write_text(lines)
    with pytest.raises(DataError):
        judge(str(tmp_path / "runs.jsonl"), metric="accuracy")


def test_brackets_without_end_are_no_json(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_text('{"arm": ' + "[" * 100_000 + "]" * 100_000 + "}\n")
    with pytest.raises(DataError, match="line 1 is not JSON"):
        read_rows(str(tmp_path / "runs.jsonl"))


@pytest.mark.parametrize("score", ["1.2.3%", ".%", "..%"])
def test_percentages_that_are_no_numbers_are_named(score: str) -> None:
    rows = [{"arm": arm, "seed": seed, "accuracy": f"{80 + seed}%"} for arm in "ab" for seed in range(3)]
    with pytest.raises(DataError, match="not a number"):
        judge([*rows, {"arm": "a", "seed": 3, "accuracy": score}], metric="accuracy")


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder with 1,250 in each other, and remove these: pytest's own cleaning recurses."""
    monkeypatch.chdir(tmp_path)
    for _ in range(1_250):
        os.mkdir("d")
        os.chdir("d")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for _ in range(1_250):
        os.chdir("d")
    for _ in range(1_250):
        os.chdir("..")
        os.rmdir("d")


def test_folders_in_folders_without_end_are_walked(deep: Path) -> None:
    assert not holds_predictions(str(deep))
