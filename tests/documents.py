"""The code blocks of Markdown files, and how the commands in them are run and compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BLOCK = re.compile(r"(?:^<!-- (?P<marker>[^>]*?) -->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_NUMBER = r"[-+]?\d[\d.,]*"


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block: the line of its text, its language, its text, and the comment before it (`file: x.py`)."""

    line: int
    language: str
    text: str
    marker: str


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of a console block, what it should print, and its exit status."""

    text: str
    expected: str
    status: int


def list_blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a Markdown file."""
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        yield Block(line=line, language=found["language"], text=found["text"], marker=found["marker"] or "")


def list_commands(text: str) -> Iterator[Command]:
    """Yield the commands of a console block; a comment `# exit status N` says that N is meant."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        line, _, expected = part.partition("\n")
        command, _, status = line.partition("  # exit status ")
        yield Command(text=command, expected=expected, status=int(status or 0))


def matches(expected: str, found: str) -> bool:
    """Compare what a command printed: any blanks and numbers match each other, `...` matches anything or nothing."""
    pattern = re.escape(" ".join(expected.split()))
    pattern = re.sub(r"[-+]?\d(?:\d|\\\.(?=\d)|,)*", lambda _: _NUMBER, pattern.replace("\\-", "-").replace("\\+", "+"))
    pattern = pattern.replace("\\ ", " ").replace(r"\.\.\.", ".*").replace(" .* ", "(?: .*)? ")
    return re.fullmatch(pattern, " ".join(found.split())) is not None
