"""Starting and ending the server, as on the command line."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from bakeoff.errors import BakeoffError
from bakeoff.serve.server import _format_address, listen


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bakeoff", "serve", "--port", "0", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read_address(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    return next(word for word in server.stdout.readline().split() if word.startswith("http"))


def test_it_ends_quietly_when_interrupted(tmp_path: Path) -> None:
    with start("--workspace", tmp_path / "none") as server:
        address = read_address(server)
        with urllib.request.urlopen(address, timeout=30) as reply:
            assert "no ledger" in reply.read().decode()
        server.send_signal(signal.SIGINT)
        output, errors = server.communicate(timeout=30)
    assert (server.returncode, output, errors) == (0, "", "")
    assert not (tmp_path / "none").exists()


def test_other_machines_are_a_warning_and_all_that_is_said_until_it_is_terminated(tmp_path: Path) -> None:
    with start("--workspace", tmp_path, "--host", "0.0.0.0") as server:
        assert read_address(server).startswith("http://127.0.0.1:")
        server.send_signal(signal.SIGTERM)
        output, errors = server.communicate(timeout=30)
    assert (server.returncode, output) == (0, "")
    assert errors.startswith("warning: ")
    assert errors.index("0.0.0.0") < errors.index("127.0.0.1")
    assert errors.count("\n") == 1


def test_a_port_in_use_is_one_line() -> None:
    with closing(listen("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(BakeoffError) as caught:
            listen("127.0.0.1", number)
    assert str(caught.value).startswith(f"port {number} at 127.0.0.1 ")
    assert "--port" in str(caught.value)


def test_where_nothing_can_listen_is_said() -> None:
    with pytest.raises(BakeoffError, match=r"^203\.0\.113\.1:0: "):
        listen("203.0.113.1", 0)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/"),
        ("::1", "http://[::1]:80/"),
        ("::", "http://[::1]:80/"),
        ("0.0.0.0", "http://127.0.0.1:80/"),
        ("localhost", "http://localhost:80/"),
    ],
)
def test_the_address_is_one_to_click(host: str, address: str) -> None:
    assert _format_address(host, 80) == address
