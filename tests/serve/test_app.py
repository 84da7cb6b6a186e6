"""What the addresses answer: pages, the parts that are renewed, and reports."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from bakeoff.ledger.store import Ledger
from bakeoff.messages import EpochDone
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
    assert "2 of 8 trials done, 2 started, 12 epochs trained" in text
    assert "training" in text
    assert "90.00%" in text
    assert f'href="{STUDY}"' in text
    assert f'href="{STUDY}/report"' in text


def test_a_study_page_shows_the_arms_of_one_block(study: Ledger, ask: Ask) -> None:
    part = ask(f"{STUDY}/live?block=1").document["part"]
    assert "large &amp; [red]" in part
    assert "1 trial after epoch 2" in part
    assert 'aria-valuenow="25"' in part


def test_curves_hold_unfinished_trials_and_grow(study: Ledger, ask: Ask) -> None:
    reply = ask(f"{STUDY}/live?block=0&metric=accuracy")
    assert reply.document["figures"][0]["title"] == "Learning curves: accuracy"
    assert longest_curve(reply) == 4
    for number in (3, 4, 5, 6):
        add_epoch(study, "010", number)
    assert longest_curve(ask(f"{STUDY}/live?block=0&metric=accuracy")) == 6
    assert reply.document["again_seconds"] >= 1.0


@pytest.mark.parametrize(
    "query", ["block=7", "block=-1", "block=x", "block=%D9%A3", "metric=nonsense", "metric=')--", ""]
)
def test_a_choice_that_there_is_not_is_the_first(study: Ledger, ask: Ask, query: str) -> None:
    assert ask(f"{STUDY}/live?{query}").document == {
        **ask(f"{STUDY}/live").document,
        "again_seconds": pytest.approx(1, 1),
    }


@pytest.mark.parametrize("path", ["/", STUDY, f"{STUDY}/live", "/live", f"{STUDY}/report"])
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
    assert "This study is not finished" in reply.text


def test_a_report_follows_the_ledger(study: Ledger, ask: Ask) -> None:
    before = ask(f"{STUDY}/report").text
    assert ask(f"{STUDY}/report").text == before
    study.connection.execute("UPDATE studies SET seconds = 7200")
    assert ask(f"{STUDY}/report").text != before


@pytest.mark.parametrize(
    "path",
    [
        "/study/abababab",
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


def test_assets_are_local(study: Ledger, ask: Ask) -> None:
    for name in ("page.css", "live.css", "live.js", "plotly.js"):
        reply = ask(f"/assets/{name}")
        assert reply.status == 200
        assert ("javascript" if name.endswith("js") else "css") in reply.headers["content-type"]
    references = re.findall(r'(?:src|href)="([^"]*)"', ask("/").text + ask(STUDY).text)
    assert references
    assert all(each.startswith(("/", "#", "data:,")) and not each.startswith("//") for each in references)


def test_a_missing_workspace_is_a_clear_page(ask: Ask, folders: Folders) -> None:
    for path in ("/", STUDY, f"{STUDY}/report"):
        assert "no ledger here. Run a study first" in ask(path).text
    reply = ask("/live")
    assert (reply.status, list(reply.document)) == (503, ["problem", "again_seconds"])
    assert not folders.root.exists()
    Ledger(folders).close()
    assert "No study has been run in this workspace yet." in ask("/").text


def test_a_damaged_ledger_is_a_clear_page(ask: Ask, folders: Folders) -> None:
    folders.root.mkdir()
    folders.ledger.write_bytes(b"not a database, whatever its name says" * 100)
    assert "this is not a readable ledger" in ask("/").text
