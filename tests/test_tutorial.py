"""The tutorial's files and commands, run as written in an empty folder with an empty home."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import documents

import bakeoff

HERE = Path(__file__).parent
SOURCE = Path(bakeoff.__file__).parent.parent


def run(command: str, folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command)
    start = {"python": [sys.executable], "bakeoff": [sys.executable, "-P", "-m", "bakeoff"]}[program]
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    environment = {**kept, "HOME": str(home), "PYTHONPATH": str(SOURCE), "PYTHONUTF8": "1"}
    return subprocess.run(
        [*start, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=300,
    )


def test_the_tutorial(tmp_path: Path) -> None:
    folder, home = tmp_path / "here", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    num_commands = 0
    for block in documents.list_blocks((HERE.parent / "docs" / "tutorial.md").read_text("utf-8")):
        if block.marker.startswith("file: "):
            (folder / block.marker.removeprefix("file: ")).write_text(block.text, encoding="utf-8")
        for command in documents.list_commands(block.text) if block.language == "console" else ():
            done = run(command.text, folder, home)
            assert done.returncode == command.status, f"$ {command.text}\n{done.stdout}"
            assert documents.matches(command.expected, done.stdout), f"$ {command.text}\n{done.stdout}"
            num_commands += 1
    assert num_commands == 11


def test_what_matches() -> None:
    assert documents.matches("a 1.5 s\n...\nb +3.0 (2)", "a  27 s\nmore\nb -1,000 (7)")
    assert documents.matches("", "\n")
    assert documents.matches("a\n...\nb", "a\nb")
    assert not documents.matches("a better than b", "a worse than b")
    assert not documents.matches("a", "a b")
