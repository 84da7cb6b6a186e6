"""What a notebook shows: a result as HTML, and the progress of a run as one line that changes in place."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from html import escape
from importlib import import_module

from bakeoff.report.document import ReportInput
from bakeoff.report.progress import RunProgress
from bakeoff.report.tables import Column, list_marks, tabulate_overview, tabulate_scores
from bakeoff.report.terminal import MOST_BLOCKS_IN_FULL
from bakeoff.report.text import show_text

_EVERY_SECONDS = 1.0

Show = Callable[[str], object]
"""Shows HTML in place of what it showed before."""


def write_cell(report: ReportInput) -> str:
    """Return a result as HTML for a notebook's cell: question, scores, answers, and where the whole report is."""
    summary = report.summary
    parts = [f"<p><b>{_escape(report.question or report.name)}</b></p>"]
    if len(summary.blocks) > MOST_BLOCKS_IN_FULL:
        parts += [_write_table(tabulate_overview(summary)), _write_lines(["; ".join(list_marks(summary))])]
        sentences = [summary.overall]
    else:
        for block in summary.blocks:
            parts += [_write_lines([block]), _write_table(tabulate_scores(summary, block))]
        sentences = [*(answer.sentence for answer in summary.answers), summary.overall]
    path = f"Report: {report.html_path or report.report_path}" if report.report_path else ""
    return "".join([*parts, _write_lines([*sentences, report.reduced, path])])


def _write_lines(lines: Sequence[str]) -> str:
    return "".join(f"<p>{_escape(line)}</p>" for line in lines if line)


def _write_table(columns: Sequence[Column]) -> str:
    heads = [f"<th>{'<br>'.join(map(_escape, column.header))}</th>" for column in columns]
    rows = [
        "".join(f"<td>{_escape(cell)}</td>" for cell in row)
        for row in zip(*(column.cells for column in columns), strict=True)
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{''.join(heads)}</tr></thead><tbody>{body}</tbody></table>"


def _escape(text: str) -> str:
    return escape(show_text(text))


class NotebookProgress(RunProgress):
    """Progress of a run in a notebook: a bar and a line, renewed once a second, and below it what is to be known.

    Args:
        show: takes the HTML.
        clock: seconds, never going back.
    """

    def __init__(self, show: Show, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(quiet=True, clock=clock)
        self._show = show
        self._messages: list[str] = []

    def message(self, text: str) -> None:
        """Add a line below the bar, such as a warning."""
        self._messages.append(text)
        self._draw()

    def _print_line(self, text: str) -> None:
        self._draw()

    def _print_standing(self) -> None:
        if self.has_ended or self._clock() - self._last_line >= _EVERY_SECONDS:
            self._draw()

    def _draw(self) -> None:
        self._last_line = self._clock()
        bar = f'<progress value="{self.done_share:.3f}"></progress> '
        self._show(f"<div>{bar}{_escape(self.describe())}</div>{_write_lines(self._messages)}")


def make_progress() -> RunProgress:
    """Return what shows a run that nobody else watches: one line in a notebook, nothing anywhere else."""
    show = _find_cell()
    return RunProgress(quiet=True) if show is None else NotebookProgress(show)


def _find_cell() -> Show | None:
    """Return what shows HTML in the running cell of a notebook; None outside of notebooks."""
    # What runs in a notebook has IPython loaded, and a shell with a kernel; a terminal's shell has none.
    find_shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    if not hasattr(find_shell(), "kernel"):
        return None
    display = import_module("IPython.display")
    handle = display.display(display.HTML(""), display_id=True)
    return lambda html: handle.update(display.HTML(html))
