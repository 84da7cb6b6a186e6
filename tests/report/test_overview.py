"""The table of the studies of a workspace: rows, what is kept of them, tags, filters."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from bakeoff import cli
from bakeoff.api import diff_arms, diff_studies, list_studies, tag_study
from bakeoff.errors import BakeoffError, WorkspaceError
from bakeoff.ledger.store import Ledger, Placement
from bakeoff.messages import FinalTestDone, TrialDone
from bakeoff.report import overview
from bakeoff.report.overview import Overviews, select
from bakeoff.report.overview_table import describe_best, make_frame
from bakeoff.study.schema import Study
from bakeoff.workspace import Folders

SCORES = {"adam": (0.90, 0.91, 0.92, 0.90), "sgd": (0.80, 0.79, 0.81, 0.80)}

Write = Callable[..., str]


@pytest.fixture
def write(ledger: Ledger) -> Write:
    """Return a function that records a study with these scores, evaluated on the test split unless told otherwise."""

    def record(
        name: str,
        scores: Mapping[str, Sequence[float]] = SCORES,
        *,
        num_done: int = 100,
        tested: bool = True,
        **fields: Any,
    ) -> str:
        changes = {"recipe": {"network": "mlp"}, "arms": [{"optimizer": list(scores)}], "replicates": 4, **fields}
        study = Study(name=name, question=f"Which for {name}?", **changes)
        study_id = (name.encode().hex() + "0123456789abcdef" * 4)[:64]
        block = fields.get("data", {}).get("name", "digits")
        placed = [Placement(f"{name}{arm}{n}", block, arm, n) for arm in scores for n in range(4)]
        ledger.register_study(
            study_id,
            name=name,
            document=study.model_dump(mode="json"),
            placements=placed,
            numeric="float32",
            command="",
            facts={block: {"shape_HWC": [8, 8, 1], "num_images": 9, "class_names": ["0", "1"], "fingerprint": "f"}},
        )
        done = placed[:num_done]
        for place in done:
            values = {"accuracy": scores[place.arm][place.replicate], "loss": 0.5}
            event = TrialDone(
                trial_id=place.trial_id,
                num_epochs=4,
                best_epoch=4,
                stop="epochs",
                seconds=2.0,
                num_parameters=10,
                metrics={"train": values, "validation": values},
            )
            ledger.record_done(event, {"recipe": {"name": f"{name} {place.arm}"}}, "c", json.dumps({"processor": "x"}))
        if tested:
            ledger.record_look(study_id, done)
            final_test = ledger.open_final_test(study_id, len(done))
            for place in done:
                metrics = {"accuracy": scores[place.arm][place.replicate] - 0.01, "loss": 0.6}
                event_of_test = FinalTestDone(trial_id=place.trial_id, metrics=metrics, fingerprint="f")
                ledger.record_final_test(final_test, event_of_test)
        return study_id

    return record


def test_a_row_has_state_best_verdict_and_cost(write: Write, folders: Folders) -> None:
    write("first")
    write("open", num_done=3, tested=False, data={"name": "fashion-mnist"})
    unfinished, done = list_studies(folders.root)
    assert (done.name, done.state, done.datasets, done.replicates, done.split) == (
        "first", "done", ("digits",), "4", "test",
    )  # fmt: skip
    (best,) = done.best
    assert (best.arm, best.ties, done.verdict) == ("adam", (), "adam better than sgd")
    assert best.score == pytest.approx(0.8975)
    assert best.interval == pytest.approx((0.8823, 0.9127), abs=1e-4)  # by scipy.stats.t.interval
    assert [(each.arm, each.relation) for each in done.standings] == [("adam", "best"), ("sgd", "worse")]
    assert (done.seconds, done.num_final_tests, done.looks) == (16.0, 1, 1)
    assert (unfinished.state, unfinished.datasets, unfinished.num_done) == ("unfinished", ("fashion-mnist",), 3)
    assert unfinished.verdict == "not finished: 3 of 8 trials"
    assert (unfinished.best[0].arm, unfinished.best[0].interval, unfinished.split) == ("adam", None, "validation")
    assert describe_best(done) == "adam 89.8% (88.2 to 91.3)"
    assert next(make_frame([done]).records())["score_low"] == best.interval[0]


def test_rows_are_kept_until_the_study_changes(
    write: Write, ledger: Ledger, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[str] = []
    judge = overview.judge_study
    monkeypatch.setattr(
        overview, "judge_study", lambda c, study_id, f: judged.append(study_id) or judge(c, study_id, f)
    )
    first, other = write("first"), write("other")
    rows = list_studies(folders.root)
    assert judged == [other, first]
    assert list_studies(folders.root) == rows
    assert Overviews(folders, writes=False).read() == rows
    third = write("third")  # a later look at the same images does not change what an earlier one saw
    list_studies(folders.root)
    assert judged == [other, first, third]
    ledger.connection.execute("UPDATE trials SET finished_at = '2031-01-01T00:00:00+00:00' WHERE id = 'firstadam0'")
    list_studies(folders.root)
    assert judged == [other, first, third, first]
    folders.brief(first).write_text('{"stamp": 3}')
    assert list_studies(folders.root)[0].verdict == rows[0].verdict
    assert judged[-1] == first
    monkeypatch.setattr(overview, "_hash_code", lambda: "another version")
    list_studies(folders.root)
    assert len(judged) == 8


def test_what_takes_long_is_computed_later(write: Write, folders: Folders) -> None:
    write("first")
    reader = Overviews(folders, writes=False)
    assert reader.read(seconds=-1)[0].state == "unread"
    assert reader.read()[0].verdict == "adam better than sgd"
    assert reader.read(seconds=-1)[0].verdict == "adam better than sgd"
    assert not folders.brief("x").parent.exists()


def test_a_study_that_cannot_be_read_is_a_row(write: Write, ledger: Ledger, folders: Folders) -> None:
    study_id = write("first")
    write("other")
    document = json.dumps({"question": "?", "name": "first", "recipe": {"network": "gone"}})
    ledger.connection.execute("UPDATE studies SET document = ? WHERE id = ?", (document, study_id))
    good, bad = select(list_studies(folders.root), sort="-name")
    assert good.state == "done"
    assert bad.state == "unreadable"
    assert "gone" in bad.verdict
    assert "\n" not in bad.verdict


@pytest.mark.parametrize("version", [1, 2, 4])
def test_older_ledgers_are_read_as_they_are(write: Write, ledger: Ledger, folders: Folders, version: int) -> None:
    write("first")
    ledger.connection.executescript(
        "DROP TABLE look_trials; DROP TABLE looks; "
        + ("DROP TABLE features; ALTER TABLE exam_results DROP COLUMN held_out;" if version < 4 else "")
        + ("ALTER TABLE studies DROP COLUMN asking; ALTER TABLE placements DROP COLUMN stage;" if version < 3 else "")
        + f"UPDATE meta SET value = '{version}' WHERE key = 'schema_version'"
    )
    (row,) = list_studies(folders.root)
    assert (row.state, row.verdict) == ("done", "adam better than sgd")


def test_filters_and_orders(write: Write, folders: Folders) -> None:
    write("first")
    write("second", {"adam": (0.5, 0.6, 0.5, 0.6), "rmsprop": (0.4, 0.5, 0.4, 0.5)}, tested=False)
    write("third", num_done=0, tested=False, data={"name": "fashion-mnist"})
    tag_study("first", add=["baseline"], workspace=folders.root)

    def names(*filters: str, sort: str = "name") -> list[str]:
        return [row.name for row in list_studies(folders.root, filters, sort)]

    assert names("state=done") == ["first", "second"]
    assert names("dataset=Fashion-MNIST") == names("fashion") == ["third"]
    assert names("tag=baseline") == names("BASE") == ["first"]
    assert names("arm=rmsprop", "second") == ["second"]
    assert names("arm=rmsprop", "third") == []
    assert names(sort="-score") == ["first", "second", "third"]
    assert names(sort="score") == ["second", "first", "third"]
    assert names(sort="-name") == ["third", "second", "first"]
    with pytest.raises(BakeoffError, match=r"--sort scor: .*Did you mean 'score'"):
        names(sort="scor")
    assert [row.name for row in list_studies(folders.root, name="second")] == ["second"]


def test_tags(write: Write, folders: Folders) -> None:
    study_id = write("first")
    assert tag_study("first", add=["b", "a"], workspace=folders.root) == ("a", "b")
    assert tag_study(study_id[:8], add=["2024-run"], remove=["b", "none"], workspace=folders.root) == ("2024-run", "a")
    assert list_studies(folders.root)[0].tags == ("2024-run", "a")
    assert tag_study("first", remove=["a", "2024-run"], workspace=folders.root) == ()
    for wrong in ("", "a b", "-x", "x" * 41, "<b>"):
        with pytest.raises(WorkspaceError, match="a tag has at most 40"):
            tag_study("first", add=[wrong], workspace=folders.root)
    for damaged in ("[]", "{", '{"a": 3}', '{"a": ["<b>"]}', "\xff"):
        folders.tags.write_text(damaged, encoding="latin-1")
        with pytest.raises(WorkspaceError, match=r"tags\.json: not readable as tags; correct it, or delete it"):
            list_studies(folders.root)


@pytest.fixture
def bakeoff(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return a function that runs a command on the workspace and returns what it prints."""

    def run(*arguments: str, status: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["bakeoff", *arguments, "--workspace", str(folders.root)])
        assert cli.main() == status
        printed = capsys.readouterr()
        return printed.err if status else printed.out

    return run


def test_the_commands_print_every_format(write: Write, bakeoff: Callable[..., str]) -> None:
    write("first", recipe={"network": "mlp", "epochs": 7})
    write("other", tested=False)
    assert bakeoff("tag", "first", "+new", "old", "-old") == "new\n"
    assert [row["tags"] for row in json.loads(bakeoff("compare", "--json"))] == [[], ["new"]]
    rows = list(csv.DictReader(io.StringIO(bakeoff("compare", "--format", "csv", "--sort", "name"))))
    assert [(row["name"], row["verdict"]) for row in rows] == [
        ("first", "adam better than sgd"),
        ("other", "adam better than sgd (validation only)"),
    ]
    lines = bakeoff("compare", "--format", "md", "--filter", "state=done").splitlines()
    assert [line.count("|") for line in lines] == [14] * 4
    assert "adam better" in bakeoff("compare", "first")
    assert bakeoff("compare", "--filter", "state=failed") == "no study matches\n"
    settings = json.loads(bakeoff("compare", "first", "other", "--json"))
    assert settings["compared"] == ["first", "other"]
    assert {"setting": "recipe.epochs", "values": ["7", "10"]} in settings["differences"]
    assert "optimizer.name,adam,sgd\n" in bakeoff("compare", "first", "--arms", "adam", "sgd", "--format", "csv")
    assert "| recipe.epochs | 7 | 10 |" in bakeoff("compare", "first", "other", "--format", "md")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["compare", "nothing"], "study 'nothing' is not in this workspace"),
        (["compare", "--arms", "adam", "sgd"], "--arms goes with exactly one study"),
        (["compare", "first", "--arms", "adam", "lion"], "no arm 'lion'"),
        (["compare", "first", "other", "--filter", "x"], "--filter goes with the table"),
        (["compare", "--filter", "state=finished"], "state=finished: no such state. Allowed: done"),
        (["compare", "--sort", "size"], "--sort size: unknown order"),
        (["tag", "first", "--add"], "no such option: --add"),
        (["tag", "first", "+a b"], "a tag has at most 40"),
        (["tag", "nothing", "+a"], "study 'nothing' is not in this workspace"),
    ],
)
def test_mistakes_are_one_line(write: Write, bakeoff: Callable[..., str], arguments: list[str], named: str) -> None:
    write("first")
    write("other")
    told = bakeoff(*arguments, status=2)
    assert named in told
    assert told.count("\n") == 1


def test_settings_of_recorded_studies(write: Write, folders: Folders) -> None:
    write("first")
    write("second", recipe={"network": "mlp", "epochs": 7})
    labels, differences = diff_studies(["first", "second"], folders.root)
    assert labels == ("first", "second")
    assert {each.setting: each.values for each in differences} == {
        "question": ("Which for first?", "Which for second?"),
        "recipe.epochs": ("10", "7"),
    }
    assert "optimizer.name" in [each.setting for each in diff_arms("first", ("adam", "sgd"), folders.root)]
    with pytest.raises(WorkspaceError, match="the same study twice"):
        diff_studies(["first", "first"], folders.root)
