"""Standard output and standard error that may be closed, full, or unable to encode the text."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

_USUAL_COLUMNS, _USUAL_LINES = 80, 25


class Stream:
    """A text stream that never raises: characters it cannot encode are escaped, text it cannot write is dropped.

    No computation may depend on whether somebody reads the output. After the first failure, which is stored, nothing
    more is written.

    Args:
        stream: the stream to write to; None if the process has none, as in `sys.stdout`.

    Attributes:
        failure: why writing stopped; None if everything was written.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.failure: OSError | None = None if stream is not None else OSError(errno.EBADF, os.strerror(errno.EBADF))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def encoding(self) -> str:
        """The stream's encoding; UTF-8 if it has none."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def was_left(self) -> bool:
        """Whether the reader has closed the pipe, as `head` does: not an error, since it has what it wanted."""
        return isinstance(self.failure, BrokenPipeError)

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self.failure is None and self._stream is not None and self._stream.isatty()

    def write(self, text: str) -> int:
        """Write text; characters missing from the stream's encoding are escaped."""
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
        """Flush the stream."""
        if self.failure is None and self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._fail(error)

    def _fail(self, error: OSError | ValueError) -> None:
        """Stop writing. Python raises ValueError for a closed stream."""
        self.failure = error if isinstance(error, OSError) else OSError(errno.EBADF, os.strerror(errno.EBADF))


def make_console(stream: TextIO | Stream) -> Console:
    """Return rich's console on a stream, as wide as the terminal.

    Some programs set COLUMNS or LINES to 0; these are ignored, because rich would then print nothing.
    """
    from rich.console import Console

    size = shutil.get_terminal_size((_USUAL_COLUMNS, _USUAL_LINES))  # it, too, treats 0 as unset
    return Console(
        file=cast("TextIO", stream),
        width=size.columns if _is_zero("COLUMNS") else None,
        height=size.lines if _is_zero("LINES") else None,
    )


def _is_zero(variable: str) -> bool:
    value = os.environ.get(variable, "")
    return value.isdigit() and int(value) == 0
