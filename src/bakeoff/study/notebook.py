"""Shows names and texts as a small table in a notebook cell, without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from bakeoff.data.source import show_text

if TYPE_CHECKING:
    from bakeoff.study.schema import Study


def describe_study(study: Study, arms: Sequence[str]) -> list[tuple[str, str]]:
    """Return a study's question, blocks, arms and replicates as rows."""
    blocks = dict.fromkeys(found.block for found in study.combine().combinations)
    replicates = study.replicates
    is_fixed = isinstance(replicates, int)
    return [
        ("question", study.question),
        ("blocks", ", ".join(blocks)),
        ("arms", ", ".join(arms)),
        ("replicates", str(replicates) if is_fixed else f"a race of up to {study.most_replicates}"),
    ]


def write_rows(rows: Iterable[tuple[str, str]]) -> str:
    """Return rows as HTML; user text stays text, and rows without text are left out."""
    cells = "".join(
        f"<tr><th style='text-align: left; vertical-align: top'>{escape(name)}</th>"
        f"<td style='text-align: left'>{escape(show_text(text))}</td></tr>"
        for name, text in rows
        if text
    )
    return f"<table>{cells}</table>"
