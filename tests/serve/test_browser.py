"""The live pages in a real browser, while a real run goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
    pytest.mark.usefixtures("shared_cache"),
]

ATTACK = "<script>document.title='taken'</script>"
STUDY = f"""\
question: "Adam or SGD? {ATTACK}"
name: live
data: {{validation: 0.2}}
recipe: {{network: {{name: mlp, units: [64]}}, epochs: 2000, batch_size: 16}}
blocks: [{{"one {ATTACK}": {{batch_size: 16}}, two: {{batch_size: 32}}}}]
arms: [{{"adam {ATTACK}": {{optimizer: adam}}, sgd: {{optimizer: sgd}}}}]
replicates: 2
numeric: float32
"""
ARGUMENTS = [
    "--no-sandbox",  # the sandbox needs rights that a container has not
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
LONGEST = "Math.max(0, ...(document.querySelector('.drawing')?.data ?? []).map((trace) => Math.max(0, ...trace.x)))"


@contextmanager
def command(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run the command line beside the test; end it with the test."""
    line = [sys.executable, "-m", "bakeoff", *map(str, arguments)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def serve(workspace: Path) -> Iterator[str]:
    with command("serve", "--workspace", workspace, "--port", 0) as server:
        assert server.stdout is not None
        yield next(word for word in server.stdout.readline().split() if word.startswith("http"))


@contextmanager
def browse(origin: str, **context: Any) -> Iterator[Page]:
    """Yield a page; afterwards nothing may have left the origin, nor stand on the console."""
    sync_api = pytest.importorskip("playwright.sync_api")
    asked: list[str] = []
    said: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(**context)
        page.set_default_timeout(60_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        yield page
        browser.close()
    assert asked
    assert [url for url in asked if not url.startswith((origin, "data:", "blob:"))] == []
    assert said == []


def test_a_curve_grows_without_reloading(tmp_path: Path) -> None:
    workspace = tmp_path / "runs"
    study = tmp_path / "live.yaml"
    study.write_text(STUDY, encoding="utf-8")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with serve(workspace) as origin, browse(origin) as page:
        page.goto(origin)
        assert "no ledger" in page.inner_text("main")
        with command("run", study, "--workspace", workspace, "--workers", 1):
            page.get_by_role("link", name="Progress and curves").click(timeout=120_000)  # the page looks again itself
            page.evaluate("window.stayed = true")
            before = wait_for_epoch(page, 3)
            wait_for_epoch(page, before + 5)
            assert page.evaluate("window.stayed") is True
            assert page.locator("svg.main-svg .scatterlayer .trace").count() >= 4
            assert "training" in page.inner_text(".state")
            page.select_option("#metric", "accuracy")
            page.locator("figcaption", has_text="accuracy").wait_for()
            check_text(page)
            page.get_by_role("link", name="Report").click()
            page.locator(".notice", has_text="not finished").wait_for()
            check_text(page)


def wait_for_epoch(page: Page, number: int) -> int:
    """Wait until a curve on the page reaches an epoch; return how far it goes. The page itself may evaluate no text."""
    for _ in range(600):
        reached = int(page.evaluate(LONGEST))
        if reached >= number:
            return reached
        page.wait_for_timeout(100)
    raise AssertionError(f"no curve reached epoch {number}")


def check_text(page: Page) -> None:
    """Names that would like to be markup are text, and did nothing."""
    assert ATTACK in page.inner_text("h1")
    assert "taken" not in page.title().removeprefix(f"Adam or SGD? {ATTACK}")
    assert page.locator("script", has_text="taken").filter(has_not_text="templates").count() == 0


@pytest.mark.usefixtures("study")
def test_pages_fit_every_window(folders: Any) -> None:
    with serve(folders.root) as origin:
        for width, mode, ground in ((380, "dark", "20, 23, 28"), (1600, "light", "255, 255, 255")):
            with browse(origin, viewport={"width": width, "height": 900}, color_scheme=mode) as page:
                check_pages(page, origin, width, ground)


def check_pages(page: Page, origin: str, width: int, ground: str) -> None:
    for path in ("", f"study/{'ab' * 32}"):
        page.goto(f"{origin}{path}")
        if path:
            page.wait_for_selector("svg.main-svg")
            grounds = page.eval_on_selector("svg.main-svg", "(svg) => getComputedStyle(svg).backgroundColor")
            assert grounds == f"rgb({ground})"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("h1").count() == 1
    place = page.locator(".drawing").first
    assert place.get_attribute("role") == "img"
    assert "Line chart" in (place.get_attribute("aria-label") or "")


@pytest.mark.usefixtures("study")
def test_a_server_that_is_gone_is_said(folders: Any) -> None:
    with command("serve", "--workspace", folders.root, "--port", 0) as server:
        assert server.stdout is not None
        origin = next(word for word in server.stdout.readline().split() if word.startswith("http"))
        sync_api = pytest.importorskip("playwright.sync_api")
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            page = browser.new_page()
            page.goto(origin)
            server.send_signal(signal.SIGINT)
            server.wait(30)
            page.wait_for_selector("#connection:not(:empty)", timeout=60_000)
            assert "not respond" in page.inner_text("#connection")
            assert "2 of 8 trials done" in page.inner_text("main")
            browser.close()
