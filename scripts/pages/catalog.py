"""Pages of what a study can name: every registered entry with its summary, settings and source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pages import schema
from pages.registries import list_kind
from pages.study_file import list_settings

_FACTS = {
    "image_shape_HWC": "height, width, channels",
    "num_train": "training images",
    "num_test": "test images",
}
"""Attributes of entries that are worth showing, and what they are called."""


def write(kind: str) -> str:
    """Return a section for every entry of a kind; published networks without settings are one line each."""
    entries = list_kind(kind)
    outside = [entry for entry in entries if ":" in entry.name]
    sections = [section for entry in entries if entry not in outside for section in _write_entry(entry)]
    return "\n\n".join([*sections, *_list_outside(outside)])


def _write_entry(entry: Any) -> Iterator[str]:
    yield f"## {entry.name} {{ #{entry.name} }}"
    yield f"{_capitalise(entry.summary)}."
    facts = [
        f"{label}: {_format(getattr(entry, name))}" for name, label in _FACTS.items() if getattr(entry, name, None)
    ]
    if target := getattr(entry, "target", None):
        facts.append(f"`--log {entry.name}:{target}`")
    if facts:
        yield "; ".join(facts) + "\n{ .setting }"
    if source := getattr(entry, "source", ""):
        yield f"Source: {source}.\n{{ .source }}"
    if settings := getattr(entry, "settings", None):
        yield from list_settings(schema.load()["$defs"][settings.__name__], level=4, anchor=entry.name)


def _list_outside(entries: list[Any]) -> Iterator[str]:
    if entries:
        yield "## Published networks"
        yield "\n".join(f"- `{entry.name}`: {entry.summary}" for entry in entries)


def _capitalise(text: str) -> str:
    first = text.partition(" ")[0].rstrip(",")
    return text[:1].upper() + text[1:] if first.isalpha() else text  # a file's name stays as it is


def _format(value: object) -> str:
    if isinstance(value, tuple):
        return " x ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
