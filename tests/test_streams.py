"""Streams that are closed, full or of a narrow encoding: nothing is raised, and what can be written is."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO, cast

import pytest

from bakeoff.streams import Stream, make_console


@pytest.fixture
def left() -> Iterator[TextIO]:
    """A pipe whose reader has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w", buffering=1)
    yield stream
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_a_reader_that_has_gone_is_told_from_a_failure(left: TextIO) -> None:
    stream = Stream(left)
    assert stream.write("a line\n") == 7
    stream.flush()
    assert stream.was_left
    assert isinstance(stream.failure, BrokenPipeError)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full is Linux's")
def test_a_full_disk_is_remembered_and_not_tried_again() -> None:
    full = open("/dev/full", "w", buffering=1)  # noqa: SIM115
    stream = Stream(full)
    stream.write("a line\n")
    stream.write("another\n")
    stream.flush()
    assert stream.failure is not None
    assert stream.failure.errno == errno.ENOSPC
    assert not stream.was_left
    with pytest.raises(OSError, match="No space"):
        full.close()


def test_no_stream_and_a_closed_one() -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (Stream(None), Stream(closed)):
        stream.write("a line\n")
        stream.flush()
        assert stream.failure is not None
        assert stream.failure.errno == errno.EBADF
        assert not stream.isatty()


@pytest.mark.parametrize(("encoding", "expected"), [("ascii", rb"\xb1 \u2192"), ("latin-1", b"\xb1 \\u2192")])
def test_what_cannot_be_encoded_is_escaped(encoding: str, expected: bytes) -> None:
    content = io.BytesIO()
    stream = Stream(io.TextIOWrapper(content, encoding=encoding, errors="strict"))
    print("± →", file=cast("TextIO", stream), end="")
    stream.flush()
    assert content.getvalue() == expected
    assert stream.failure is None


@pytest.mark.parametrize(("given", "width"), [("0", 80), ("00", 80), ("", 80), ("50", 50)])
def test_columns_of_zero_say_nothing(given: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", given)
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((0, 0)))
    written = io.StringIO()
    console = make_console(written)
    console.print("said")
    assert (console.width, written.getvalue().rstrip("\n")) == (width, "said")


def test_a_console_on_a_reader_that_has_gone_ends_nothing(left: TextIO) -> None:
    """rich itself ends the program there, with status 1."""
    console = make_console(Stream(left))
    console.print("a line")
    console.print("another")
    assert sys.stdout is not None
