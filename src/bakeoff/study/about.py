"""What a study says of itself: how to run it, what it costs, what is known already, and its own small version."""

from __future__ import annotations

from pydantic import Field, JsonValue

from bakeoff.networks.choices import Record


class About(Record):
    """For whoever thinks of running a study. Nothing of it changes a result."""

    commands: tuple[str, ...] = Field(
        default=(), max_length=20, description="Commands that run it, each perhaps with a shell comment."
    )
    trials: str = Field(default="", max_length=1_000, description="How many trials, and what makes them so many.")
    cost: str = Field(default="", max_length=1_000, description="Measured time, and on what; empty if not measured.")
    known: str = Field(
        default="", max_length=10_000, description="What is known of the answer, and what was left open."
    )
    source: str = Field(default="", max_length=1_000, description="Where the question or the recipe comes from.")

    def rows(self) -> tuple[tuple[str, str], ...]:
        """Return (name, text) of what is said, in the order in which a reader asks; a row for each command."""
        texts = (
            *(("command", command) for command in self.commands),
            *((name, getattr(self, name)) for name in _TEXTS),
        )
        return tuple((name, text) for name, text in texts if text)


_TEXTS = ("trials", "cost", "known", "source")


class Quick(Record):
    """A study's own small version, for `--quick`: minutes in place of hours."""

    changes: dict[str, JsonValue] = Field(
        min_length=1, max_length=100, description="PATH: VALUE, as --set takes them, made in this order."
    )
    cost: str = Field(default="", max_length=1_000, description="Measured time, and on what; empty if not measured.")
