"""A study's description of itself: how to run it, cost, prior knowledge, and a quick version."""

from __future__ import annotations

from pydantic import Field, JsonValue

from bakeoff.catalog.choices import Record


class About(Record):
    """Notes for readers of a study; they change no result."""

    commands: tuple[str, ...] = Field(
        default=(), max_length=20, description="Commands that run the study; a shell comment may follow each."
    )
    trials: str = Field(default="", max_length=1_000, description="Number of trials, and how it is computed.")
    cost: str = Field(
        default="", max_length=1_000, description="Measured duration and hardware; empty if not measured."
    )
    known: str = Field(
        default="", max_length=10_000, description="What is known about the answer, and what is still open."
    )
    source: str = Field(default="", max_length=1_000, description="Where the question or the recipe comes from.")

    def rows(self) -> tuple[tuple[str, str], ...]:
        """Return (name, text) of every note given, with one row per command."""
        texts = (
            *(("command", command) for command in self.commands),
            *((name, getattr(self, name)) for name in _TEXTS),
        )
        return tuple((name, text) for name, text in texts if text)


_TEXTS = ("trials", "cost", "known", "source")


class Quick(Record):
    """The quick version of a study, for `--quick`: minutes instead of hours."""

    changes: dict[str, JsonValue] = Field(
        min_length=1,
        max_length=100,
        description="Overrides as PATH: VALUE, like those of --set, applied in this order.",
    )
    cost: str = Field(
        default="", max_length=1_000, description="Measured duration and hardware; empty if not measured."
    )
