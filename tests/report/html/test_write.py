from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from bakeoff.report.document import ReportInput
from bakeoff.report.render import html
from bakeoff.report.render.html import write_html

MakeReport = Callable[..., ReportInput]
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """A parsed page: its elements in order, its visible text, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts[-1] += data
        elif self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def policy(self) -> str:
        (policy,) = (a["content"] for a in self.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
        return str(policy)


@pytest.fixture
def page(full_report: ReportInput) -> Page:
    return Page(write_html(full_report))


def test_all_sections_stand_in_the_order_a_reader_asks(page: Page) -> None:
    anchors = [section["id"] for section in page.all("section")]
    assert anchors == [
        "answer",
        "basis",
        "comparison",
        "steps",
        "curves",
        "classes",
        "calibration",
        "search",
        "ensembles",
        "published",
        "cost",
        "failures",
        "appendix",
    ]
    assert [link["href"] for link in page.all("a")] == ["#answer", *(f"#{anchor}" for anchor in anchors)]
    assert page.open == []


def test_sections_with_nothing_to_say_are_absent(make_report: MakeReport) -> None:
    page = Page(write_html(make_report(published=(), published_source="")))
    anchors = [section["id"] for section in page.all("section")]
    assert anchors == ["answer", "basis", "comparison", "cost", "appendix"]


def test_nothing_is_fetched_and_only_our_scripts_run(page: Page) -> None:
    assert page.policy.startswith("default-src 'none'; ")
    for _, attributes in page.elements:
        assert str(attributes.get("src", "data:")).startswith("data:")
        assert str(attributes.get("href", "#")).startswith(("#", "data:"))
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    data, *run = page.scripts
    assert len(run) == 2
    for script in run:
        assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in page.policy
    assert "script-src 'unsafe" not in page.policy
    drawn = json.loads(data)
    assert drawn["templates"].keys() == {"light", "dark"}
    assert len(drawn["figures"]) == sum("data-figure" in div for div in page.all("div")) > 6


def test_user_text_stays_text(page: Page) -> None:
    assert len(page.scripts) == 3
    assert page.all("img") == []
    for text in ("Which <script>alert('x')</script> is best?", "dog</script>", "<b>bird</b>", "{{ 7 * 7 }}", "$x$ & "):
        assert text in page.text
    assert "\x1b" not in page.text
    assert "\\x1b[31m" in page.text
    assert not re.search(r"[<>&]", page.scripts[0])


def test_every_figure_says_what_it_shows_and_every_table_too(page: Page) -> None:
    drawings = [div for div in page.all("div") if div.get("class") == "drawing"]
    assert len(drawings) > 6
    assert all(div["role"] == "img" and len(str(div["aria-label"])) > 40 for div in drawings)
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(th["scope"] in ("col", "row") for th in page.all("th"))


def test_headings_and_ids_are_in_order(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("state", "notice"), [("done", ""), ("failed", "Some trials failed"), ("unfinished", "This study is not finished")]
)
def test_a_study_that_is_not_done_says_so(make_report: MakeReport, state: str, notice: str) -> None:
    text = Page(write_html(make_report(state=state))).text
    assert notice in text
    assert bool(notice) == ("so far" in text or "Some trials failed" in text)


def test_a_report_without_any_result_is_written(make_report: MakeReport) -> None:
    failed = [(arm, replicate) for arm in ("a", "b") for replicate in range(2)]
    page = Page(write_html(make_report(arms=("a", "b"), num_replicates=2, failed=failed, state="failed")))
    assert "failures" in [section["id"] for section in page.all("section")]
    assert page.scripts == []
    assert "script-src 'none'" in page.policy


def test_many_blocks_get_an_overview(make_report: MakeReport) -> None:
    text = Page(write_html(make_report(blocks=("digits", "mnist", "svhn", "emnist")))).text
    assert "All blocks: mean test accuracy, %" in text


def test_the_file_stays_small_with_a_thousand_trials(make_report: MakeReport) -> None:
    report = make_report(arms=tuple(f"arm {number}" for number in range(20)), num_replicates=50)
    assert len(write_html(report)) < 6e6


def _luminance(color: str) -> float:
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("front", "ground"),
    [
        ("text", "paper"),
        ("text", "card"),
        ("text", "notice"),
        ("quiet", "paper"),
        ("quiet", "card"),
        ("link", "paper"),
        ("better", "better-ground"),
        ("worse", "worse-ground"),
        ("open", "plain-ground"),
    ],
)
def test_text_contrasts_with_its_ground(mode: int, front: str, ground: str) -> None:
    roots = re.findall(r":root \{(.*?)\}", html._read("page.css"), re.DOTALL)
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", roots[mode]))
    low, high = sorted(_luminance(colors[name]) for name in (front, ground))
    assert (high + 0.05) / (low + 0.05) >= 4.5  # WCAG 2.2, level AA
