"""One explanation of an error code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a kind of mistake means.

    Attributes:
        code: such as `BK201`. A code is never given a second meaning, and never renamed.
        title: what is wrong, in a few words.
        meaning: when it occurs, and why that is an error.
        remedy: what to do.
        example: a message with this code, as bakeoff prints it, without the code.
    """

    code: str
    title: str
    meaning: str
    remedy: str
    example: str

    @property
    def anchor(self) -> str:
        """The place in the documentation."""
        return f"docs/errors.md#{self.code.lower()}"
