"""Progress of a run in a notebook: one line, updated in place."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module
from types import TracebackType

from bakeoff.report.progress import RunProgress
from bakeoff.report.render.notebook import escape_html, write_lines

_EVERY_SECONDS = 1.0

INTERRUPTED = "interrupted: all finished epochs are kept; call run again with the same arguments to resume"

Show = Callable[[str, str], object]
"""Shows HTML in place of what it showed before, and the same as plain text where that is not rendered."""


class NotebookProgress(RunProgress):
    """Progress of a run in a notebook: a bar and a line, updated once a second, with messages below.

    Args:
        show: takes the HTML and the plain text.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, show: Show, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(quiet=True, clock=clock)
        self.is_quiet = False
        self._show = show
        self._messages: list[str] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self.message(INTERRUPTED)
        super().__exit__(kind, error, trace)

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
        described = self.describe()
        # A progress element is drawn by the browser: the same in Jupyter, VS Code and Colab, without a script.
        bar = f'<progress value="{self.done_share:.3f}" style="width: 20em"></progress> '
        html = f"<div>{bar}{escape_html(described)}</div>{write_lines(self._messages)}"
        self._show(html, "\n".join([described, *self._messages]))


def make_progress() -> RunProgress:
    """Return the default progress display: one line in a notebook, and nothing elsewhere."""
    show = _find_cell()
    return RunProgress(quiet=True) if show is None else NotebookProgress(show)


def _find_cell() -> Show | None:
    """Return a function that shows progress in the running notebook cell; None outside notebooks."""
    # In a notebook, IPython is loaded and its shell has a kernel; a terminal's shell has none.
    find_shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    if not hasattr(find_shell(), "kernel"):
        return None
    handle = import_module("IPython.display").display({"text/plain": ""}, raw=True, display_id=True)
    return lambda html, text: handle.update({"text/html": html, "text/plain": text}, raw=True)
