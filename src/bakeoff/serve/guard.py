"""Checks on every request and headers on every response: only this machine's own browser tabs are served.

A page of another site can make a browser send requests here. It must learn nothing from them: not through its own
domain resolving to this machine (DNS rebinding: checked by the Host header), not by cross-origin reads (checked by
Origin and Sec-Fetch-Site), and not by framing.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""For pages without their own policy. The figures' script sets styles; nothing else is inline."""

HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
"""For every response that does not set them itself."""


PHOTO_TYPE = "application/octet-stream"
"""The content type of a photo to classify; a form of another site cannot send it."""

_PHOTO_PATH = re.compile(r"/study/[^/]+/classify")


def is_loopback(host: str) -> bool:
    """Return whether a host, without port, is this machine itself, without a DNS lookup."""
    if host.lower() == "localhost":
        return True
    address = _parse_address(host)
    return address is not None and address.is_loopback


class Guard:
    """Accepts GET and HEAD for known hosts, from pages of this server or without a page.

    On a loopback address it also accepts photos to classify, by POST from its own page; nothing else is writable.

    Args:
        app: the protected application.
        host: where the server listens. A loopback address accepts loopback names only; others also accept any literal
            address (which cannot be rebound) and this machine's name.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._is_local = is_loopback(host)
        self._names = set() if self._is_local else {host.lower(), socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or reject it with one line."""
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refuse(scope["method"], scope["path"], Headers(scope=scope))
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refuse(self, method: str, path: str, headers: Headers) -> PlainTextResponse | None:
        if method == "POST" and _PHOTO_PATH.fullmatch(path) and self._is_local:
            if "origin" not in headers or headers.get("content-type") != PHOTO_TYPE:
                return PlainTextResponse("Photos are accepted from this server's own page only.\n", 403)
        elif method not in ("GET", "HEAD"):
            return PlainTextResponse("This server is read-only.\n", 405, {"Allow": "GET, HEAD"})
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._knows(hosts[0]):
            return PlainTextResponse("This server does not accept this host name.\n", 421)
        if any(origin != f"http://{hosts[0]}" for origin in headers.getlist("origin")):
            return PlainTextResponse("Pages of other origins may not read this server.\n", 403)
        if not _is_own(headers):
            return PlainTextResponse("Pages of other sites may not read this server.\n", 403)
        return None

    def _knows(self, host: str) -> bool:
        try:
            parts = urlsplit(f"//{host}")
            name, _ = parts.hostname or "", parts.port
        except ValueError:
            return False
        if parts.netloc != host or "@" in host:
            return False
        if is_loopback(name) or name in self._names:
            return True
        return not self._is_local and _parse_address(name) is not None


def _is_own(headers: Headers) -> bool:
    """Return whether a request comes from this server's pages or from the user (address bar, bookmark or link)."""
    site = headers.get("sec-fetch-site", "none")
    if site in ("same-origin", "none"):
        return True
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"


def _parse_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
