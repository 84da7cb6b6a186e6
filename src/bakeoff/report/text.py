"""Formats text, counts and times, and makes user text (names of arms, classes and files) safe to show."""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
_DIRECTION = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def show_text(text: str) -> str:
    r"""Return text on one line; control characters appear as escapes such as \x1b or \n.

    So do characters that reverse the reading direction or cannot be encoded.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape", "surrogatepass").decode("ascii")
        if unicodedata.category(character) in _INVISIBLE or character in _DIRECTION
        else character
        for character in text
    )


def escape_markdown(text: str) -> str:
    """Escape text inside a line of Markdown (GitHub's flavour, tables included)."""
    text = show_text(text).strip()
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|~#!$@])", r"\\\1", text)
    # An underscore inside a word is not markup.
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)
    return text.replace("://", "\\://").replace("www.", "www\\.")


def escape_line(text: str) -> str:
    """Escape text at the start of a line of Markdown, where it could begin a list, rule or heading."""
    text = re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", escape_markdown(text))
    return re.sub(r"^(?=[-+=])", r"\\", text)


def fence(text: str) -> str:
    """Return text as a fenced code block that the text itself cannot close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    marks = "`" * max(3, longest + 1)
    body = "\n".join(show_text(line) for line in text.strip("\n").split("\n"))
    return f"{marks}\n{body}\n{marks}"


def duration(seconds: float) -> str:
    """Format a time, such as "20 ms", "0.4 s", "48 s", "12 min", "3.2 h" or "9 days"."""
    if 0 < seconds < 0.05:
        return f"{1000 * seconds:.2g} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    if seconds < 119.5 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 71.95 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"


def duration_range(least: float, most: float) -> str:
    """Format a range of times, with the unit once if both share it: "8 to 19 days", "50 s to 4 min"."""
    (low, unit), high = duration(least).split(" "), duration(most)
    return f"{low if high.endswith(f' {unit}') else f'{low} {unit}'} to {high}"


def count(number: int, noun: str, plural: str = "") -> str:
    """Format a number of things, such as "1 trial" or "1,200 trials"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def name_run(replicate: int | None, fold: int | None = None) -> str:
    """Name a run, counting from 1: "replicate 3" or "replicate 1, fold 5". Both arguments count from 0."""
    numbers = {"replicate": replicate, "fold": fold}
    return ", ".join(f"{what} {number + 1}" for what, number in numbers.items() if number is not None)


def times(number: int) -> str:
    """Format how often something happened: "once", "twice", "3 times"."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def p_value(p: float | None) -> str:
    """Format a p value, such as "0.012" or "<0.001"; None is a dash."""
    if p is None:
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"
