"""Limits on connections: those that are too slow, too many or broken are closed without being logged."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

MOST_CONNECTIONS = 100
HEADER_SECONDS = 5.0
"""Time limit for a whole request to arrive, from the connection or its first byte."""

STALL_SECONDS = 20.0
"""Time limit for a reader to accept more of a pending response."""

ACCEPTED_AT_ONCE = 64
"""Connections accepted before those over the limit are closed: few, so that descriptors do not run out."""

END_SECONDS = 2

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class BoundedConnection(H11Protocol):
    """uvicorn's connection, with a limit on their number and time limits for requests and slow readers.

    A new connection over the limit replaces the oldest one without a request in progress, so idle connections cannot
    lock anyone out.
    """

    _request_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None
    began = 0.0

    @property
    def is_answering(self) -> bool:
        """Whether a request has arrived and is still unanswered."""
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request
        return cycle is not None and not cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Accept the connection; if there are too many, close this or another one."""
        super().connection_made(transport)
        self.began = self.loop.time()
        self._await_request()
        if len(self.connections) > MOST_CONNECTIONS:
            self._make_room()

    def _make_room(self) -> None:
        others = (each for each in self.connections if isinstance(each, BoundedConnection) and each is not self)
        oldest = min((each for each in others if not each.is_answering), key=lambda each: each.began, default=None)
        if oldest is None:
            self.transport.write(_BUSY)
            self.transport.close()
        else:
            self.connections.discard(oldest)
            oldest.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Receive part of a request."""
        super().data_received(data)
        if self.is_answering:
            self._request_timer = _cancel(self._request_timer)
        elif self._request_timer is None and not self.transport.is_closing():
            self._await_request()

    def _await_request(self) -> None:
        self._request_timer = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        """Start the timer for a slow reader."""
        super().pause_writing()
        self._stall_timer = self._stall_timer or self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the timer: the reader has caught up."""
        super().resume_writing()
        self._stall_timer = _cancel(self._stall_timer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._request_timer, self._stall_timer = _cancel(self._request_timer), _cancel(self._stall_timer)
        super().connection_lost(exc)


def _cancel(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Cancel a timer and return its replacement, None."""
    if timer is not None:
        timer.cancel()
    return None


class QuietServer(Server):
    """uvicorn's server, which warns once, not for every connection, that the system is out of descriptors."""

    def __init__(self, config: Config, say: Callable[[str], object], address: str | None) -> None:
        super().__init__(config)
        self._say, self._address, self._has_said = say, address, False

    async def startup(self, sockets: Any = None) -> None:
        """Start listening, then say where: from then on a signal ends the server cleanly."""
        asyncio.get_running_loop().set_exception_handler(self.handle_error)
        await super().startup(sockets)
        if self._address is not None:
            self._say(self._address)

    def handle_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle otherwise unhandled errors, such as those of accepting connections."""
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in _OUT_OF_DESCRIPTORS:
            loop.default_exception_handler(context)
        elif not self._has_said:
            self._has_said = True
            with suppress(OSError):
                self._say(f"warning: connections are waiting because the system is out of resources ({error.strerror})")


def make_server(app: ASGIApp, say: Callable[[str], object], address: str | None = None) -> QuietServer:
    """Return a server that logs nothing but errors inside the application.

    Args:
        app: the application.
        say: called with a one-line warning when the system is out of resources.
        address: a line to say once the server listens and can be interrupted; None says nothing.
    """
    config = Config(
        app,
        log_level="error",  # malformed requests from others are not logged
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        http=BoundedConnection,
        loop="asyncio",
        backlog=ACCEPTED_AT_ONCE,
        timeout_graceful_shutdown=END_SECONDS,
    )
    return QuietServer(config, say, address)
