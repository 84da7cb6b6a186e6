"""The page in a real browser: all drawn, nothing fetched, nothing on the console, nothing wider than the window."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest

from bakeoff.report.document import ReportInput
from bakeoff.report.parts import MOST_BLOCKS_IN_FULL
from bakeoff.report.render.html import write_html
from bakeoff.stats.across import summarise_blocks

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

ARGUMENTS = (
    "--no-sandbox",  # the sandbox needs rights that a container has not
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
GROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 28)"}
SECTIONS = [
    *("answer", "basis", "comparison", "steps", "curves", "classes", "mistakes", "roc", "calibration", "search"),
    *("ensembles", "published", "cost", "failures", "appendix"),
]
DRAWN = "html[data-drawn=yes]"

# Text and the ground behind it, as the browser computes them.
READ_COLOURS = """() => {
  const parse = (text) => text.match(/[0-9.]+/g).map(Number);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.99) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim().slice(0, 40);
    if (!text || !element.checkVisibility() || element.closest("script, svg")) continue;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    found.push([text, parse(style.color).slice(0, 3), behind(element), large]);
  }
  return found;
}"""


@dataclass
class Shown:
    """A page in a browser, and what it did."""

    page: Any
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def dismiss(self, dialog: Any) -> None:
        """Close a dialog, which nothing on a page should open, and remember it."""
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def unfold(self) -> None:
        """Open everything that is folded and wait until all of it is drawn."""
        self.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        self.page.wait_for_selector(".drawing:not(:has(svg.main-svg))", state="detached")
        self.page.wait_for_selector(DRAWN, state="attached")

    def count(self, selector: str) -> int:
        return int(self.page.locator(selector).count())


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield found
        found.close()


@pytest.fixture(scope="module")
def show(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Shown]]:
    """Return what writes a report, opens it in a browser and waits until its figures are drawn."""
    contexts = []

    def make(report: ReportInput, width: int = 1600, mode: str = "light") -> Shown:
        path = tmp_path_factory.mktemp("page") / "report.html"
        path.write_text(write_html(report), encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=mode)
        contexts.append(context)
        shown = Shown(context.new_page())
        shown.page.on("console", lambda message: shown.console.append(message.text))
        shown.page.on("pageerror", lambda error: shown.console.append(str(error)))
        shown.page.on("request", lambda request: shown.requests.append(request.url))
        shown.page.on("dialog", shown.dismiss)
        shown.page.goto(path.as_uri())
        shown.page.wait_for_selector(DRAWN, state="attached", timeout=60_000)
        return shown

    yield make
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def kept() -> dict[tuple[int, str], Shown]:
    """Pages that tests only look at, by window and mode: drawing one takes seconds."""
    return {}


@pytest.fixture
def look(
    rich_report: ReportInput, show: Callable[..., Shown], kept: dict[tuple[int, str], Shown]
) -> Callable[..., Shown]:
    """Return the page of the rich report, all of it unfolded, to be looked at and left as it is."""

    def find(width: int = 1600, mode: str = "light") -> Shown:
        if (width, mode) not in kept:
            kept[width, mode] = show(rich_report, width, mode)
            kept[width, mode].unfold()
        return kept[width, mode]

    return find


def measure_figures(shown: Shown) -> list[dict[str, Any]]:
    """Return of every figure: its section, its ground, its width, and how many marks and words stand in it."""
    found: list[dict[str, Any]] = shown.page.evaluate(
        """() => Array.from(document.querySelectorAll(".drawing")).map((place) => ({
          section: place.closest("section").id,
          ground: place.querySelector("svg.main-svg")?.style.background ?? "",
          width: place.querySelector("svg.main-svg")?.width.baseVal.value ?? 0,
          marks: place.querySelectorAll(
            ".plot path.point, .plot path.js-line, .plot .bars path, .hm image, .scatterlayer path, .shapelayer path",
          ).length,
          words: place.querySelectorAll("text").length,
          box: place.getBoundingClientRect().height,
        }))"""
    )
    return found


def contrast(a: list[float], b: list[float]) -> float:
    """WCAG 2.1's ratio of two colours, 1 to 21; channels 0..255."""

    def luminance(colour: list[float]) -> float:
        shares = [channel / 255 for channel in colour]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("width", "mode"), [(380, "dark"), (1600, "light")])
def test_every_section_is_drawn_and_nothing_is_fetched(look: Callable[..., Shown], width: int, mode: str) -> None:
    shown = look(width, mode)
    sections = shown.page.evaluate("Array.from(document.querySelectorAll('main > section')).map((each) => each.id)")
    assert sections == SECTIONS
    figures = measure_figures(shown)
    assert {each["section"] for each in figures} == {
        "answer", "comparison", "steps", "curves", "classes", "roc", "calibration", "search", "ensembles", "cost"
    }  # fmt: skip
    assert [each for each in figures if not (each["marks"] and each["words"] and each["box"] > 50)] == []
    assert {each["ground"] for each in figures} == {GROUNDS[mode]}
    assert shown.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert max(each["width"] for each in figures) <= width
    assert shown.console == []
    assert [url for url in shown.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len([url for url in shown.requests if url.startswith("file:")]) == 1


def test_names_that_are_markup_stay_text(look: Callable[..., Shown]) -> None:
    shown = look()
    assert shown.dialogs == []
    assert shown.count("script") == 3
    assert shown.count("img[src=x]") == shown.count("main b b") == 0
    for section in ("answer", "classes", "search", "ensembles", "appendix"):
        text = shown.page.locator(f"#{section}").text_content()
        assert "<script>alert('x')</script>" in text, section
    words = shown.page.evaluate(
        "Array.from(document.querySelectorAll('.drawing text')).map((each) => each.textContent)"
    )
    assert any("<script>alert" in each for each in words)
    assert not any("&lt;" in each for each in words)


def test_pictures_are_shown(look: Callable[..., Shown]) -> None:
    shown = look()
    loaded = "Array.from(document.images).map((each) => each.complete && each.naturalWidth > 0 && each.alt.length > 10)"
    assert shown.page.evaluate(loaded) == [True] * 4


def test_paper_is_white_narrow_and_unfolded(rich_report: ReportInput, show: Callable[..., Shown]) -> None:
    shown = show(rich_report, 1600, "dark")
    num_folded = shown.count("details:not([open])")
    assert num_folded > 2
    shown.page.emulate_media(media="print")
    shown.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    figures = measure_figures(shown)
    assert {(each["width"], each["ground"]) for each in figures} == {(680, GROUNDS["light"])}
    assert shown.count("details:not([open])") == 0
    assert not shown.page.locator("nav").is_visible()
    shown.page.emulate_media(media="screen")
    shown.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    shown.page.wait_for_selector(DRAWN, state="attached")
    assert shown.count("details:not([open])") == num_folded
    assert shown.page.pdf()[:4] == b"%PDF"
    assert shown.console == []


def test_a_change_of_ground_and_of_width_draws_anew(full_report: ReportInput, show: Callable[..., Shown]) -> None:
    shown = show(full_report, 1600, "light")
    shown.page.emulate_media(color_scheme="dark")
    shown.page.wait_for_timeout(50)
    shown.unfold()
    assert {each["ground"] for each in measure_figures(shown)} == {GROUNDS["dark"]}
    shown.page.set_viewport_size({"width": 380, "height": 800})
    shown.page.wait_for_function(
        "() => Array.from(document.querySelectorAll('svg.main-svg')).every((each) => each.width.baseVal.value <= 380)"
    )
    shown.page.wait_for_function("() => document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert shown.console == []


def test_many_blocks_are_folded_and_drawn_when_they_are_opened(
    make_report: Callable[..., ReportInput], show: Callable[..., Shown]
) -> None:
    blocks = tuple(f"block {number}" for number in range(MOST_BLOCKS_IN_FULL + 3))
    report = make_report(blocks=blocks)
    shown = show(replace(report, across=summarise_blocks(report.summary)), 380)
    assert shown.page.locator("#comparison summary h3").all_text_contents() == list(blocks)
    assert shown.count("#comparison details[open] summary h3") == 1
    folded = shown.page.locator("#comparison details", has=shown.page.locator("summary h3", has_text="block 4"))
    assert folded.locator("svg.main-svg").count() == 0
    folded.locator("summary h3").click()
    folded.locator("svg.main-svg").first.wait_for(state="attached")
    assert shown.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert shown.count("#blocks .drawing[aria-label*='rank'] svg.main-svg") > 0
    assert shown.console == []


@pytest.mark.parametrize(("width", "mode"), [(380, "dark"), (1600, "light")])
def test_all_text_stands_out_from_its_ground(look: Callable[..., Shown], width: int, mode: str) -> None:
    shown = look(width, mode)
    texts = shown.page.evaluate(READ_COLOURS)
    assert len(texts) > 200
    faint = {
        (text, round(contrast(colour, ground), 2))
        for text, colour, ground, is_large in texts
        if contrast(colour, ground) < (3 if is_large else 4.5)
    }
    assert faint == set()


def test_a_screen_reader_finds_its_way(look: Callable[..., Shown]) -> None:
    shown = look()
    levels = shown.page.evaluate("Array.from(document.querySelectorAll('h1,h2,h3,h4')).map((each) => +each.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert shown.page.evaluate("document.documentElement.lang") == "en"
    for selector in ("main", "header", "nav[aria-label]", "footer"):
        assert shown.count(selector) == 1
    assert shown.count("main section:not([aria-labelledby])") == 0
    assert shown.count(".drawing") == shown.count(".drawing[role=img][aria-label]:not([aria-label=''])")
    assert shown.count("img:not([alt]), img[alt='']") == 0
    assert shown.count("table") == shown.count("table:has(caption)")
    assert shown.count("thead th:not([scope=col]), tbody th:not([scope=row])") == 0
    anchors = shown.page.evaluate("Array.from(document.querySelectorAll('a[href^=\"#\"]')).map((each) => each.hash)")
    assert all(re.fullmatch(r"#[a-z]+", anchor) and shown.count(anchor) == 1 for anchor in anchors)


def test_the_keyboard_reaches_everything_and_shows_where_it_is(
    rich_report: ReportInput, show: Callable[..., Shown]
) -> None:
    shown = show(rich_report)
    shown.page.keyboard.press("Tab")
    skip = shown.page.locator(".skip")
    assert skip.evaluate("(each) => each === document.activeElement")
    assert (skip.bounding_box() or {})["x"] >= 0
    kinds = set()
    for _ in range(60):
        shown.page.keyboard.press("Tab")
        kind, outline, width = shown.page.evaluate(
            """() => { const at = document.activeElement, style = getComputedStyle(at);
              return [at.tagName, style.outlineStyle, parseFloat(style.outlineWidth)]; }"""
        )
        if kind == "BODY":
            break
        kinds.add(kind)
        assert outline != "none", kind
        assert width >= 2, kind
    assert {"A", "DIV", "SUMMARY"} <= kinds
    shown.page.locator("details:not([open]) summary").first.focus()
    shown.page.keyboard.press("Enter")
    assert shown.page.evaluate("document.activeElement.parentElement.open")
