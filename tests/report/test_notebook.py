from __future__ import annotations

import re
import sys
from collections.abc import Callable
from html import unescape
from types import ModuleType, SimpleNamespace

import pytest

from bakeoff.report.document import ReportInput
from bakeoff.report.notebook import INTERRUPTED, NotebookProgress, make_progress
from bakeoff.report.render.notebook import write_cell

ATTACK = "<script>alert('x')</script>"


def read_cells(html: str) -> list[list[str]]:
    """Return the body of the tables in some HTML, row by row."""
    return [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(<td>.*?)</tr>", html)]


def test_a_cell_holds_the_scores_and_the_answer(make_report: Callable[..., ReportInput]) -> None:
    report = make_report(html_path="runs/quickstart/report.html")
    html = write_cell(report)
    rows = read_cells(html)
    assert {row[0] for row in rows} == {arm.arm for arm in report.summary.arms}
    assert report.summary.answers[0].sentence in unescape(html)
    assert report.question in html
    assert "runs/quickstart/report.html" in html


def test_many_blocks_make_one_table(make_report: Callable[..., ReportInput]) -> None:
    blocks = ("a", "b", "c", "d")
    html = write_cell(make_report(blocks=blocks))
    assert [row[0] for row in read_cells(html)][: len(blocks)] == list(blocks)
    assert html.count("<table>") == 1


def test_text_of_the_user_stays_text(make_report: Callable[..., ReportInput]) -> None:
    report = make_report(arms=(ATTACK, "b"), blocks=(f"a block {ATTACK}",), question=ATTACK, reduced=ATTACK)
    assert "<script" not in write_cell(report)


class Cell:
    """What a notebook shows, and how often it was renewed."""

    def __init__(self) -> None:
        self.html, self.text, self.times, self.now = "", "", 0, 100.0

    def show(self, html: str, text: str) -> None:
        self.html, self.text, self.times = html, text, self.times + 1

    def clock(self) -> float:
        return self.now


def test_progress_is_one_line_renewed_once_a_second() -> None:
    cell = Cell()
    progress = NotebookProgress(cell.show, cell.clock)
    progress.start(num_trials=2, num_model_images=1_000)
    for epoch in range(1, 101):
        cell.now += 0.1
        progress.epoch_done("digits", epoch=epoch, num_epochs=100, num_members=2, num_model_images=10)
    assert 8 <= cell.times <= 12
    assert "0 of 2 trials" in cell.html
    assert cell.html.count("<div>") == 1
    progress.trial_done()
    progress.trial_done()
    assert "2 of 2 trials" in cell.html  # the end is shown at once
    assert " left" not in cell.html


def test_messages_stay_below_the_line() -> None:
    cell = Cell()
    progress = NotebookProgress(cell.show, cell.clock)
    progress.message(f"a warning {ATTACK}")
    progress.start(num_trials=1, num_model_images=10)
    assert "a warning &lt;script" in cell.html


@pytest.mark.parametrize("is_notebook", [True, False])
def test_progress_is_shown_in_notebooks_alone(is_notebook: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    shell = SimpleNamespace(kernel=None) if is_notebook else SimpleNamespace()
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    vars(ipython).update(get_ipython=lambda: shell, display=display)

    def update(bundle: dict[str, str], *, raw: bool) -> None:
        assert raw
        shown.append(bundle)

    vars(display).update(display=lambda bundle, raw, display_id: SimpleNamespace(update=update))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    make_progress().start(num_trials=3, num_model_images=10)
    assert len(shown) == is_notebook
    assert all("0 of 3 trials" in text for bundle in shown for text in bundle.values())


def test_an_interrupt_says_how_to_resume() -> None:
    cell = Cell()

    def interrupt() -> None:
        with NotebookProgress(cell.show, cell.clock) as progress:
            progress.start(num_trials=1, num_model_images=10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert INTERRUPTED in cell.html
    assert INTERRUPTED in cell.text
