"""Writes explanations for a terminal, and all of them as docs/errors.md."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from bakeoff.explanations import CHAPTERS
from bakeoff.explanations.record import Explanation

_WIDTH = 100
_INTRODUCTION = """\
<!-- Written by `bakeoff explain --markdown`; the texts are in src/bakeoff/explanations. -->

# Errors

Every error ends with a code, as in `error: rate.yaml: no such file [BK101]`. `bakeoff explain BK101` prints the entry
of this page. In Python, a `bakeoff.BakeoffError` has it as `error.code`, and a `StudyError` for each of its `problems`;
`dump()` returns both for JSON. A code is never renamed or used for something else."""


def write_entry(entry: Explanation) -> str:
    """Return an explanation as plain text for a terminal."""
    paragraphs = (_strip_links(text) for text in (entry.meaning, entry.remedy))
    body = "\n\n".join(_fill(text) for text in paragraphs)
    example = textwrap.indent(_fill(f"error: {entry.example} [{entry.code}]"), "    ")
    return f"{entry.code}: {entry.title}\n\n{body}\n\n{example}\n\n{entry.anchor}"


def write_page() -> str:
    """Return all explanations as a page in Markdown."""
    return "\n".join(_list_lines())


def _list_lines() -> Iterator[str]:
    marker, heading, text = _INTRODUCTION.split("\n\n", 2)
    yield from (marker, "", heading, "", _fill(text), "")
    for title, entries in CHAPTERS.items():
        yield from (f"## {title}", "")
        for entry in entries:
            yield from (f'<a id="{entry.code.lower()}"></a>', "", f"### {entry.code}: {entry.title}", "")
            yield from (_fill(entry.meaning), "", _fill(entry.remedy), "")
            yield from ("```text", _fill(f"error: {entry.example} [{entry.code}]"), "```", "")


def _fill(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _strip_links(text: str) -> str:
    """Return text with Markdown links replaced by the file they lead to."""
    return re.sub(r"\[[^]]*\]\(([\w.]+)\)", r"docs/\1", text)
