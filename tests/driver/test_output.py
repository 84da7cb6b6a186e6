"""What is printed and cannot be: the run goes on, what it has found is kept, and the exit status tells."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import pytest

from bakeoff import api, cli
from bakeoff.errors import StorageError

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")

STUDY = """\
question: Which learning rate?
recipe: {network: {name: mlp, units: [8]}, epochs: 1, batch_size: 256}
arms: [{optimizer.learning_rate: [0.01, 0.1]}]
replicates: 1
numeric: float32
"""
FULL = "error: standard output cannot be written (No space left on device): not everything was printed. [BK409]\n"

Command = Callable[..., tuple[int, str]]


def leave(stream: TextIO) -> None:
    with suppress(OSError):
        stream.close()


def open_left() -> TextIO:
    """Return a pipe whose reader has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w", buffering=1)


def open_full() -> TextIO:
    return open("/dev/full", "w", buffering=1)


@pytest.fixture(scope="module")
def trained(in_process: Any, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study, and a workspace in which it was run."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "rates.yaml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(cache))
        api.run(folder / "rates.yaml", workspace=folder / "runs")
    return folder


@pytest.fixture
def command(in_process: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Command]:
    """Run the command line in this process; return its exit status and what it wrote to standard error."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: object, stdout: TextIO | None, stderr: TextIO | None = None) -> tuple[int, str]:
        written = io.StringIO()
        monkeypatch.setattr(sys, "argv", ["bakeoff", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(sys, "stderr", stderr or written)
        try:
            status = cli.main()
        finally:
            for stream in (stdout, stderr):
                if stream is not None:
                    leave(stream)
        return status, written.getvalue()

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_run_whose_reader_goes_away_trains_on(command: Command, trained: Path, tmp_path: Path) -> None:
    """`run ... 2>&1 | head -1` ended after the first line, with status 0."""
    arguments = ("run", trained / "rates.yaml", "--workspace", tmp_path)
    assert command(*arguments, stdout=open_left(), stderr=open_left()) == (0, "")
    (status,) = api.list_status(tmp_path)
    assert (status.num_done, status.num_final_tests) == (2, 1)
    assert list(tmp_path.glob("reports/*/report.html"))


def test_a_run_into_a_full_disk_trains_on_and_says_so(command: Command, trained: Path, tmp_path: Path) -> None:
    arguments = ("run", trained / "rates.yaml", "--workspace", tmp_path)
    status, errors = command(*arguments, stdout=open_full())
    assert status == 1
    assert errors.endswith(FULL)
    assert command(*arguments, stdout=open_full(), stderr=open_full())[0] == 1
    assert api.list_status(tmp_path)[0].num_done == 2


def test_a_run_that_a_broken_pipe_ends_is_not_done(
    command: Command, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """typer makes SystemExit of a BrokenPipeError from anywhere, and that was taken for a reader that had enough."""

    def break_off(*_: object, **__: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(api, "run", break_off)
    with pytest.raises(SystemExit) as ended:
        command("run", trained / "rates.yaml", "--workspace", tmp_path, stdout=io.StringIO())
    assert ended.value.code == 1


LOOKING = [
    ("report", "rates"),
    ("report", "rates", "--format", "csv"),
    ("report", "rates", "--json"),
    ("status", "--json"),
    ("plan", "rates.yaml"),
    ("gc",),
]


@pytest.mark.parametrize("arguments", LOOKING, ids=" ".join)
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (open_full, (1, FULL)),
        (lambda: None, (1, FULL.replace("No space left on device", "Bad file descriptor"))),
        (open_left, (0, "")),
    ],
    ids=["full", "closed", "left"],
)
def test_looking_into_a_stream_that_takes_nothing(
    command: Command, trained: Path, arguments: tuple[str, ...], make: Any, expected: tuple[int, str]
) -> None:
    where = () if arguments[0] == "plan" else ("--workspace", trained / "runs")
    name = (str(trained / arguments[1]),) if arguments[0] == "plan" else arguments[1:]
    status, errors = command(arguments[0], *name, *where, stdout=make())
    said = [line for line in errors.splitlines(keepends=True) if not line.startswith("timing a few")]
    assert (status, "".join(said)) == expected


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("form", ["terminal", "md", "latex", "csv", "json"])
def test_a_report_in_what_the_locale_can_encode(
    command: Command, trained: Path, tmp_path: Path, encoding: str, form: str
) -> None:
    stream = (tmp_path / "out").open("w", encoding=encoding)
    assert command("report", "rates", "--format", form, "--workspace", trained / "runs", stdout=stream) == (0, "")
    assert "0.01" in (tmp_path / "out").read_text(encoding)


def test_a_disk_too_full_for_the_report_does_not_hide_the_verdict(
    command: Command, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, write: object) -> None:
        raise StorageError(f"{path}: no space.")

    monkeypatch.setattr(api, "write_whole", refuse)
    stream = (tmp_path / "out").open("w", encoding="utf-8")
    status, errors = command("run", trained / "rates.yaml", "--workspace", trained / "runs", stdout=stream)
    assert status == 1
    assert errors.splitlines()[-1].endswith("verdict.md: no space. [BK405]")
    shown = (tmp_path / "out").read_text("utf-8")
    assert "2 of 2 trials" in " ".join(shown.split())
    assert "Report: " not in shown


@pytest.mark.parametrize(
    ("name", "reason"), [("", "--workspace is empty"), ("  ", "--workspace is empty"), ("w\udcff", "is not UTF-8")]
)
def test_what_cannot_be_a_workspace_is_refused_before_anything(
    command: Command, trained: Path, name: str, reason: str
) -> None:
    for first in (("run", trained / "rates.yaml"), ("gc",)):
        status, errors = command(*first, "--workspace", name, stdout=io.StringIO())
        assert status == 2
        assert reason in errors
        assert errors.count("\n") == 1
    for look in (api.list_status, lambda workspace: api.load("rates", workspace)):
        with pytest.raises(api.WorkspaceError, match=reason):
            look(name)
    with pytest.raises(api.WorkspaceError, match=reason):
        api.run(trained / "rates.yaml", workspace=name)
