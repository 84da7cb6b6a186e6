"""What the addresses answer: pages, the parts that are renewed, and reports."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from bakeoff.ledger.store import Ledger
from bakeoff.ledger.tags import change_tags
from bakeoff.messages import EpochDone, FinalTestDone, TrialDone
from bakeoff.workspace import Folders

Ask = Callable[..., Any]

STUDY = "/study/" + "ab" * 32


def add_epoch(ledger: Ledger, trial_id: str, number: int) -> None:
    values = {"loss": 0.1, "accuracy": 0.9}
    event = EpochDone(
        trial_id=trial_id, epoch=number, train=values, validation=values, seconds=0.1, images_per_second=1.0
    )
    ledger.record_epoch(event)


def longest_curve(reply: Any) -> int:
    (figure,) = reply.document["figures"]
    return max(max(x for x in trace["x"] if x is not None) for trace in figure["data"])


def test_the_index_lists_studies_with_state_and_best(study: Ledger, ask: Ask) -> None:
    text = ask("/").text
    for fact in ("2 of 8 trials", " 2 started", "12 epochs"):
        assert fact in text
    assert "training" in text
    assert "90.00%" in text
    assert f'href="{STUDY}"' in text
    assert f'href="{STUDY}/report"' in text


def test_a_study_page_shows_the_arms_of_one_block(study: Ledger, ask: Ask) -> None:
    part = ask(f"{STUDY}/live?block=1").document["part"]
    assert "large &amp; [red]" in part
    assert "after epoch 2" in part
    assert 'aria-valuenow="25"' in part


def test_curves_hold_unfinished_trials_and_grow(study: Ledger, ask: Ask) -> None:
    reply = ask(f"{STUDY}/live?block=0&metric=accuracy")
    assert reply.document["figures"][0]["title"].endswith("accuracy")
    assert longest_curve(reply) == 4
    for number in (3, 4, 5, 6):
        add_epoch(study, "010", number)
    assert longest_curve(ask(f"{STUDY}/live?block=0&metric=accuracy")) == 6
    assert reply.document["again_seconds"] >= 1.0


@pytest.mark.parametrize(
    "query", ["block=7", "block=-1", "block=x", "block=%D9%A3", "metric=nonsense", "metric=')--", ""]
)
def test_a_choice_that_there_is_not_is_the_first(study: Ledger, ask: Ask, query: str) -> None:
    found, first = ask(f"{STUDY}/live?{query}").document, ask(f"{STUDY}/live").document
    assert found.keys() == first.keys()
    assert [name for name in first if found[name] != first[name] and name != "again_seconds"] == []  # that takes time


@pytest.mark.parametrize("path", ["/", "/compare", STUDY, f"{STUDY}/live", "/live", f"{STUDY}/report"])
def test_names_stay_text(study: Ledger, ask: Ask, path: str) -> None:
    reply = ask(path)
    text = reply.document["part"] if path.endswith("live") else reply.text
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "\x1b" not in text
    if path.endswith("live") and "study" in path:
        names = {trace.get("name") for trace in reply.document["figures"][0]["data"]}
        assert "adam &lt;script&gt;alert('x')&lt;/script&gt;" in names


def test_the_report_keeps_its_own_policy(study: Ledger, ask: Ask) -> None:
    reply = ask(f"{STUDY}/report")
    assert reply.headers["content-type"].startswith("text/html")
    policy = reply.headers["content-security-policy"]
    assert re.search(r"script-src 'sha256-[^']+'", policy)
    assert "connect-src" not in policy  # so that default-src 'none' holds: a report reaches nothing, not even here
    assert policy.endswith("frame-ancestors 'none'")
    assert "not finished" in reply.text


def test_a_report_follows_the_ledger(study: Ledger, ask: Ask) -> None:
    before = ask(f"{STUDY}/report").text
    assert ask(f"{STUDY}/report").text == before
    study.connection.execute("UPDATE studies SET seconds = 7200")
    assert ask(f"{STUDY}/report").text != before


@pytest.mark.parametrize(
    "path",
    [
        "/study/ababa",
        "/study/x/live",
        "/study/x/report",
        "/assets/x.js",
        "/assets/..%2fserver.py",
        "/%2e%2e/",
        "/etc",
    ],
)
def test_what_there_is_not_is_said(study: Ledger, ask: Ask, path: str) -> None:
    reply = ask(path)
    assert (reply.status, "does not exist" in reply.text) == (404, True)


@pytest.mark.parametrize("given", ["abababab", "ababab", "my%20study"])
def test_a_study_is_found_as_commands_find_it(study: Ledger, ask: Ask, given: str) -> None:
    study.connection.execute("UPDATE studies SET name = 'my study'")
    reply = ask(f"/study/{given}")
    assert (reply.status, f'data-live="{STUDY}/live"' in reply.text) == (200, True)
    assert ask(f"/study/{given}/live?block=1").document["part"] == ask(f"{STUDY}/live?block=1").document["part"]


def test_a_name_of_several_studies_lists_their_ids(study: Ledger, ask: Ask) -> None:
    row = study.connection.execute("SELECT * FROM studies").fetchone()
    study.connection.execute(f"INSERT INTO studies VALUES ({', '.join('?' * len(row))})", ("abababcd" * 8, *row[1:]))
    reply = ask("/study/ababab")
    assert reply.status == 404
    assert "abababab" in reply.text
    assert "abababcd" in reply.text
    assert ask("/study/abababcd").status == 200


def finish(ledger: Ledger) -> None:
    """End both arms' trials in both blocks, with the second arm far behind, and hold the final test."""
    trials = [(f"{block}{arm}{replicate}", arm) for block in (0, 1) for replicate in (0, 1) for arm in (0, 1)]
    for trial_id, arm in trials:
        values = {"accuracy": 0.9 - 0.3 * arm, "loss": 0.2}
        event = TrialDone(
            trial_id=trial_id,
            num_epochs=4,
            best_epoch=4,
            stop="epochs",
            seconds=1.0,
            num_parameters=10,
            metrics={"train": values, "validation": values},
        )
        ledger.record_done(event, {"recipe": {}}, "c", "{}")
    final_test = ledger.open_final_test("ab" * 32, len(trials))
    for trial_id, arm in trials:
        metrics = {"accuracy": 0.85 - 0.3 * arm, "loss": 0.3}
        ledger.record_final_test(final_test, FinalTestDone(trial_id=trial_id, metrics=metrics, fingerprint="f"))


def test_a_finished_study_shows_its_verdict_and_test_scores(study: Ledger, ask: Ask) -> None:
    assert "mean validation accuracy" in ask(f"{STUDY}/live").document["part"]
    assert "Verdict" not in ask(f"{STUDY}/live").document["part"]
    finish(study)
    part = ask(f"{STUDY}/live").document["part"]
    assert "there is no verdict under 3 replicates" in part
    assert "mean test accuracy" in part
    assert "85.00%" in part
    assert "<script>" not in part
    card = ask("/live").document["part"]
    assert "no verdict: fewer than 3 replicates" in card
    assert "on the validation split" not in card


def test_the_table_of_studies(study: Ledger, ask: Ask, folders: Folders) -> None:
    finish(study)
    change_tags(folders, "ab" * 32, ["baseline"], [])
    reply = ask("/compare")
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    for fact in (f'href="{STUDY}"', "no verdict: fewer than 3", "baseline", "digits", "opened", "2 arms x 2, 2 blocks"):
        assert fact in reply.text
    assert "<script>alert" not in reply.text
    assert "<img" not in reply.text
    assert not folders.brief("x").parent.exists()  # the server writes nothing


def test_assets_are_local(study: Ledger, ask: Ask) -> None:
    for name in ("page.css", "live.css", "live.js", "compare.js", "plotly.js"):
        reply = ask(f"/assets/{name}")
        assert reply.status == 200
        assert ("javascript" if name.endswith("js") else "css") in reply.headers["content-type"]
    references = re.findall(r'(?:src|href)="([^"]*)"', ask("/").text + ask(STUDY).text + ask("/compare").text)
    assert references
    assert all(each.startswith(("/", "#", "data:,")) and not each.startswith("//") for each in references)


def test_a_missing_workspace_is_a_clear_page(ask: Ask, folders: Folders) -> None:
    for path in ("/", "/compare", STUDY, f"{STUDY}/report"):
        assert "no ledger" in ask(path).text
    reply = ask("/live")
    assert (reply.status, list(reply.document)) == (503, ["problem", "code", "again_seconds"])
    assert not folders.root.exists()
    Ledger(folders).close()
    assert "No study" in ask("/").text


def test_a_damaged_ledger_is_a_clear_page(ask: Ask, folders: Folders) -> None:
    folders.root.mkdir()
    folders.ledger.write_bytes(b"not a database, whatever its name says" * 100)
    assert "not a readable" in ask("/").text
