"""Serves the application until interrupted."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bakeoff.errors import ServerError
from bakeoff.serve.app import make_app
from bakeoff.serve.connections import make_server
from bakeoff.serve.guard import is_loopback


def serve(workspace: Path, host: str, port: int, say: Callable[[str], object]) -> None:
    """Serve a workspace's studies and reports, read-only, until interrupted.

    Args:
        workspace: folder; it need not exist yet.
        host: address or name to listen at. Anything but loopback lets other machines read.
        port: 0 selects a free one.
        say: called with the address, and with a warning if other machines may read.

    Raises:
        BakeoffError: cannot listen there.
        KeyboardInterrupt: the user has ended it.
    """
    with closing(listen(host, port)) as listener:
        if not is_loopback(host):
            say(
                f"warning: anyone who can reach {host} can read these studies; 127.0.0.1 restricts them to this machine"
            )
        address = f"{workspace} at {_format_address(host, listener.getsockname()[1])} (Ctrl-C to stop)"
        make_server(make_app(workspace, host), say, address).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at a host and port.

    Raises:
        BakeoffError: cannot listen there; says whether the port is in use.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise ServerError(
                f"port {port} at {host} is in use. Choose another with --port, or 0 for any free one."
            ) from error
        reason = getattr(error, "strerror", None) or error
        raise ServerError(f"{host}:{port}: cannot listen there ({reason}).") from error


def _format_address(host: str, port: int) -> str:
    """Return the address for a browser on this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}/"
    if address.is_unspecified:
        return f"http://{'[::1]' if address.version == 6 else '127.0.0.1'}:{port}/"
    return f"http://[{host}]:{port}/" if address.version == 6 else f"http://{host}:{port}/"
