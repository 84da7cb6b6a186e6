from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable

import pytest

from bakeoff.errors import BakeoffError
from bakeoff.ledger.read import open_reading
from bakeoff.report.export.frame import Frame, FrameColumn
from bakeoff.report.export.tables import tabulate_epochs, tabulate_trials
from bakeoff.report.render.csv import guard_text, make_pandas, write_csv
from bakeoff.workspace import Folders

STUDY_ID = "0123456789abcdef"
FORMULA = '=HYPERLINK("http://x")'


def read(lines: Iterable[str]) -> list[list[str]]:
    return list(csv.reader(io.StringIO("".join(lines)), strict=True))


def make_trials(folders: Folders) -> Frame:
    with open_reading(folders) as connection:
        frame = tabulate_trials(connection, STUDY_ID)
        return Frame(frame.columns, list(frame.rows))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1", " =1", "'=1", "''-x", " '+x"])
def test_what_a_spreadsheet_would_compute_is_quoted(text: str) -> None:
    guarded = guard_text(text)
    assert guarded == f"'{text}"


@pytest.mark.parametrize("text", ["", "he_normal", "a=b", "'quoted'", "1e-3", "\u4e2d"])
def test_other_text_is_left_alone(text: str) -> None:
    assert guard_text(text) == text


@pytest.mark.parametrize("text", ["\t=1", "\r=1", "\n=1", "\x00=1"])
def test_nothing_begins_with_a_control_character(text: str) -> None:
    assert guard_text(text).startswith("\\")


def test_a_line_per_row_whatever_names_hold(folders: Folders) -> None:
    lines = list(write_csv(make_trials(folders)))
    head, done, diverged = read(lines)
    assert [line.count("\n") for line in lines] == [1, 1, 1]
    assert len(head) == len(done) == len(diverged)
    arm, reason, seconds = (head.index(name) for name in ("arm", "reason", "training_seconds"))
    assert done[arm] == f"'{FORMULA}"
    assert diverged[arm] == 'a,b\\n"c"; \u4e2d'
    assert diverged[reason] == "'-loss became NaN"
    assert (done[seconds], diverged[seconds]) == ("1.5", "")


def test_numbers_keep_every_digit_and_their_sign() -> None:
    frame = Frame((FrameColumn("x_share", "number"),), [(-0.1 - 0.2,), (1e-300,), (None,)])
    assert "".join(write_csv(frame)) == 'x_share\n-0.30000000000000004\n1e-300\n""\n'


def test_epochs_are_read_while_they_are_written(folders: Folders) -> None:
    with open_reading(folders) as connection:
        rows = write_csv(tabulate_epochs(connection, STUDY_ID))
        assert next(rows).startswith("block,arm,replicate,fold,epoch,train_accuracy_share,")
        assert len(list(rows)) == 6


def test_pandas_reads_the_csv_with_the_right_types(folders: Folders) -> None:
    pandas = pytest.importorskip("pandas")
    text = "".join(write_csv(make_trials(folders)))
    table = pandas.read_csv(io.StringIO(text), parse_dates=["finished_at"])
    kinds = {name: dtype.kind for name, dtype in table.dtypes.items()}
    assert kinds["replicate"] == kinds["fold"] == kinds["epochs"] == kinds["seed"] == "i"
    assert kinds["test_accuracy_share"] == kinds["training_seconds"] == kinds["best_epoch"] == "f"
    assert kinds["finished_at"] == "M"
    assert kinds["arm"] == kinds["state"] == "O"
    assert table["test_accuracy_share"].tolist()[0] == 0.875
    assert table.loc[table.state == "diverged", "test_accuracy_share"].isna().all()


def test_frames_have_the_right_types_and_text_as_it_is(folders: Folders) -> None:
    pytest.importorskip("pandas")
    table = make_pandas(make_trials(folders))
    types = {name: str(dtype) for name, dtype in table.dtypes.items()}
    assert (types["replicate"], types["best_epoch"], types["parameters"]) == ("int64", "Int64", "Int64")
    assert types["arm"].startswith("str")
    assert types["training_seconds"] == types["test_loss_nats"] == "float64"
    assert str(table["finished_at"].dt.tz) == "UTC"
    assert table["arm"].tolist() == [FORMULA, 'a,b\n"c"; \u4e2d']
    assert table.groupby("state")["epochs"].sum().to_dict() == {"diverged": 2, "done": 2}


def test_an_empty_table_has_its_types_too(folders: Folders) -> None:
    pytest.importorskip("pandas")
    with open_reading(folders) as connection:
        table = make_pandas(tabulate_epochs(connection, "another"))
    assert len(table) == 0
    assert str(table["epoch"].dtype) == "int64"


def test_without_pandas_there_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(BakeoffError, match=r"^frames need pandas: .* \(or use to_records"):
        make_pandas(Frame((FrameColumn("x", "text"),), []))
