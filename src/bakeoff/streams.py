"""Standard output and standard error as they are met: closed, full, or unable to encode what is to be written."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

_USUAL_COLUMNS, _USUAL_LINES = 80, 25


class Stream:
    """A text stream that never raises: what it cannot encode is escaped, what it cannot write is dropped.

    Whoever prints goes on as if all were well: nothing that is computed depends on whether somebody reads along. The
    first failure is remembered, and nothing is tried after it.

    Args:
        stream: the stream to write to; None where the system gave none, as Python has it.

    Attributes:
        failure: why nothing is written any more; None as long as all was.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.failure: OSError | None = None if stream is not None else OSError(errno.EBADF, os.strerror(errno.EBADF))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def encoding(self) -> str:
        """Of the stream; UTF-8 where it does not say."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def was_left(self) -> bool:
        """Whether the reader has gone, as `head` does: no error, for they have what they wanted."""
        return isinstance(self.failure, BrokenPipeError)

    def isatty(self) -> bool:
        """Tell whether a terminal reads it."""
        return self.failure is None and self._stream is not None and self._stream.isatty()

    def write(self, text: str) -> int:
        """Write text, escaped where the stream's encoding lacks a character."""
        if self.failure is None and self._stream is not None:
            shown = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
            try:
                self._stream.write(shown)
            except (OSError, ValueError) as error:
                self._fail(error)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Have everything written."""
        if self.failure is None and self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._fail(error)

    def _fail(self, error: OSError | ValueError) -> None:
        """Write no more. A ValueError is Python's word for a closed stream."""
        self.failure = error if isinstance(error, OSError) else OSError(errno.EBADF, os.strerror(errno.EBADF))


def make_console(stream: TextIO | Stream) -> Console:
    """Return rich's console on a stream, as wide as the terminal.

    COLUMNS or LINES of 0, as some programs leave them, say nothing; rich would take them at their word and print
    nothing.
    """
    from rich.console import Console

    size = shutil.get_terminal_size((_USUAL_COLUMNS, _USUAL_LINES))  # it, too, takes 0 for unset
    return Console(
        file=cast("TextIO", stream),
        width=size.columns if _is_zero("COLUMNS") else None,
        height=size.lines if _is_zero("LINES") else None,
    )


def _is_zero(variable: str) -> bool:
    value = os.environ.get(variable, "")
    return value.isdigit() and int(value) == 0
