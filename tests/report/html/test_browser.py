"""The page in a real browser: every figure drawn, nothing on the console, nothing wider than the window."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bakeoff.report.document import ReportInput
from bakeoff.report.html.write import write_html

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


def browse(page: Path, width: int, mode: str) -> tuple[str, list[str]]:
    """Return the document after its scripts have run, and what the browser's console said."""
    arguments = [
        "--headless",
        "--no-sandbox",  # the sandbox needs rights that a container has not
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={page.parent / f'profile-{width}-{mode}'}",
        f"--window-size={width},1200",
        f"--blink-settings=preferredColorScheme={0 if mode == 'dark' else 1}",
        "--enable-logging=stderr",
        "--virtual-time-budget=20000",
        "--dump-dom",
        page.as_uri(),
    ]
    done = subprocess.run([str(CHROMIUM), *arguments], capture_output=True, text=True, timeout=180, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize(("width", "mode", "ground"), [(500, "dark", "20, 23, 28"), (1600, "light", "255, 255, 255")])
def test_every_figure_is_drawn(full_report: ReportInput, tmp_path: Path, width: int, mode: str, ground: str) -> None:
    page = tmp_path / "report.html"
    page.write_text(write_html(full_report), encoding="utf-8")
    document, console = browse(page, width, mode)
    assert console == []
    assert 'data-drawn="yes"' in document
    assert len(re.findall(r'class="drawing[^"]*"', document)) == 7
    grounds = re.findall(r'<svg class="main-svg"[^>]*style="background: rgb\(([^)]*)\)', document)
    assert grounds == [ground] * 7
    assert "alert('x')" in document
    assert "<script>alert" not in document


def test_paper_is_white_and_narrow(full_report: ReportInput, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", write_html(full_report))
    printing = "<script>window.dispatchEvent(new Event('beforeprint'))</script>"
    page.write_text(text.replace("</body>", f"{printing}</body>"), encoding="utf-8")
    document, console = browse(page, 1600, "dark")
    assert console == []
    grounds = re.findall(r'<svg class="main-svg"[^>]* width="(\d+)"[^>]*style="background: rgb\(([^)]*)\)', document)
    assert grounds == [("680", "255, 255, 255")] * 7
    assert "<details>" not in document  # all unfolded
