"""The live display's table of arms and lines about searches, fitted to the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bakeoff.driver.searches import SearchProgress
from bakeoff.report.standing import ArmStanding
from bakeoff.report.text import count, show_text
from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import METRICS

_MOST_ARM_CHARACTERS, _FEWEST_ARM_CHARACTERS = 40, 9
_ROOMY = 60
"""A terminal of at least this width, in characters, has room for more than the essential columns."""
_Column = tuple[str, int, Callable[[ArmStanding], str]]
"""Header, minimum width of the terminal, and the function that formats a cell."""


def tabulate_standing(
    standings: Sequence[ArmStanding], measure: Measure, *, width: int, most_rows: int
) -> list[RenderableType]:
    """Return the table of arms, best first, and a line that counts those left out.

    Args:
        standings: in order.
        measure: the measure of their scores.
        width: of the terminal, in characters; columns that do not fit are left out.
        most_rows: maximum number of arms; at least one is shown.
    """
    shown = standings[: max(1, most_rows)]
    columns = [column for column in _list_columns(standings, measure) if width >= column[1]]
    table = Table(box=box.SIMPLE_HEAD if width >= _ROOMY else None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("arm", no_wrap=True)
    room = width - 2
    for header, _, format_value in columns:
        widest = max(len(header), *(len(format_value(standing)) for standing in shown))
        table.add_column(header, justify="right", min_width=widest, no_wrap=True)
        room -= widest + 2
    for position, standing in enumerate(shown):
        cells = [Text(format_value(standing)) for _, _, format_value in columns]
        is_ahead = position == 0 and standing.lead is not None
        table.add_row(Text(_shorten(standing.arm, room)), *cells, style="bold" if is_ahead else "")
    title = Text(f"{measure.label} so far, best first", style="dim", overflow="ellipsis", no_wrap=True)
    hidden = len(standings) - len(shown)
    rest = [Text(f"and {count(hidden, 'more arm')}", style="dim")] if hidden > 0 else []
    return [title, table, *rest]


def _list_columns(standings: Sequence[ArmStanding], measure: Measure) -> list[_Column]:
    def format_value(value: float | None) -> str:
        return "" if value is None else measure.value(value)

    def format_epoch(standing: ArmStanding) -> str:
        return "" if standing.epoch is None else f"{standing.epoch} of {standing.num_epochs}"

    has_failed = any(standing.num_failed for standing in standings)
    return [
        ("trials", 0, lambda standing: f"{standing.num_done} of {standing.num_planned}"),
        *([("failed", _ROOMY, lambda standing: str(standing.num_failed or ""))] if has_failed else []),
        ("epoch", _ROOMY, format_epoch),
        ("mean", 0, lambda standing: format_value(standing.mean)),
        ("best", 100, lambda standing: format_value(standing.best)),
        ("lead", 80, lambda standing: "" if standing.lead is None else measure.signed(standing.lead)),
    ]


def describe_search_progress(progress: SearchProgress) -> str:
    """Format the progress of a search in one line; its block's name is made safe to show."""
    parts = [f"{progress.num_candidates:,} of {count(progress.num_most, 'candidate')}"]
    if progress.best is not None:
        parts.append(f"best {_format_objective(progress)} ({progress.best_label})")
    if progress.generation:
        parts.append(f"generation {progress.generation}")
    if progress.num_open:
        parts.append(f"{progress.num_open:,} open")
    return f"search on {show_text(progress.block)}: {', '.join(parts)}"


def _format_objective(progress: SearchProgress) -> str:
    record = METRICS.get(progress.objective)
    value = progress.best or 0.0
    if record is None:
        return f"{progress.objective} {value:,.6g}"
    return f"{record.label} {Measure(record, 'validation').value(value)}"


def _shorten(arm: str, room: int) -> str:
    """Return an arm's name, made safe to show and cut in the middle, so that both ends stay readable."""
    shown, most = show_text(arm), max(_FEWEST_ARM_CHARACTERS, min(room, _MOST_ARM_CHARACTERS))
    if len(shown) <= most:
        return shown
    half = (most - 3) // 2
    return f"{shown[:half]}...{shown[-half:]}"
