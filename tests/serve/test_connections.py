"""Connections that hold on to the server, and those that must get through all the same."""

from __future__ import annotations

import asyncio
import errno
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Event, Semaphore, Thread

import pytest
from starlette.types import Receive, Scope, Send

from bakeoff.serve import connections
from bakeoff.serve.connections import QuietServer, make_server
from bakeoff.serve.server import listen

LARGE = b"x" * 20_000_000
Connect = Callable[[bytes], socket.socket]


@pytest.fixture
def go_on() -> Event:
    return Event()


@pytest.fixture
def arrived() -> Semaphore:
    """Released for every request to /slow."""
    return Semaphore(0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, go_on: Event, arrived: Semaphore) -> QuietServer:
    """A server of five connections: /slow answers when told, /large with more than a socket holds."""
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 5)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            arrived.release()
            await asyncio.to_thread(go_on.wait, 30)
        body = LARGE if scope["path"] == "/large" else b"here"
        length = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": body})

    return make_server(app, print)


@pytest.fixture
def port(server: QuietServer, go_on: Event) -> Iterator[int]:
    """Where it listens."""
    with listen("127.0.0.1", 0) as listener:
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()[1]
        go_on.set()
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def connect(port: int) -> Iterator[Connect]:
    with ExitStack() as opened:

        def make(sent: bytes) -> socket.socket:
            made = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            made.sendall(sent)
            return made

        yield make


def is_ended(connection: socket.socket) -> bool:
    """Read to the end; False when it stays open for half a minute."""
    try:
        while connection.recv(1 << 20):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


def trickle(connection: socket.socket, num_bytes: int) -> None:
    """Send byte by byte."""
    for _ in range(num_bytes):
        connection.sendall(b"x")


def read(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as reply:
        return bytes(reply.read())


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost"])
def test_half_a_request_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, connect: Connect, sent: bytes) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.2)
    assert is_ended(connect(sent))


def test_a_body_that_trickles_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, connect: Connect) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.2)
    trickling = connect(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
    with pytest.raises(ConnectionError):
        trickle(trickling, 1_000_000)


def test_half_open_connections_keep_nobody_out(connect: Connect, port: int) -> None:
    held = [connect(b"GET / HTTP") for _ in range(12)]
    assert read(port) == b"here"
    assert is_ended(held[0])


def test_over_the_limit_of_requests_in_progress_one_is_refused(
    connect: Connect, port: int, arrived: Semaphore, go_on: Event
) -> None:
    held = [connect(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") for _ in range(5)]
    assert all(arrived.acquire(timeout=30) for _ in held)
    assert connect(b"").recv(100).startswith(b"HTTP/1.1 503")
    go_on.set()
    assert all(is_ended(each) for each in held)
    assert read(port) == b"here"


def test_who_does_not_read_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, connect: Connect, server: QuietServer
) -> None:
    monkeypatch.setattr(connections, "STALL_SECONDS", 0.2)
    idle = connect(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    assert idle.recv(1)
    for _ in range(3_000):
        if not server.server_state.connections:
            return
        Event().wait(0.01)
    pytest.fail("it is waited for")


def test_nonsense_is_no_line_in_the_log(connect: Connect, port: int, capfd: pytest.CaptureFixture[str]) -> None:
    for sent in (b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n"):
        assert connect(sent).recv(12).startswith(b"HTTP/1.1 ")
    assert read(port) == b"here"
    assert capfd.readouterr() == ("", "")


def test_no_descriptors_left_is_said_once() -> None:
    said: list[str] = []
    server = make_server(lambda scope, receive, send: None, said.append)
    loop = asyncio.new_event_loop()
    for _ in range(1_000):
        server.handle_error(loop, {"message": "accept", "exception": OSError(errno.EMFILE, "Too many open files")})
    loop.close()
    assert said == ["warning: connections are waiting because the system is out of resources (Too many open files)"]
