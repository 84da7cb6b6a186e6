"""Who may ask, and what every answer says to the browser."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from starlette.datastructures import Headers

from bakeoff.serve.guard import Guard, is_loopback

Ask = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("study")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9000", "127.0.0.1", "127.0.0.1:8000", "[::1]:8000", "127.8.8.8"]
)
def test_loopback_names_are_answered(ask: Ask, host: str) -> None:
    assert ask("/", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example",  # a name that was made to point here
        "attacker.example:8000",
        "localhost.attacker.example",
        "127.0.0.1.nip.io",
        "127.0.0.1@attacker.example",
        "attacker.example/@127.0.0.1",
        "0.0.0.0:8000",
        "192.168.0.7:8000",
        "localhost:port",
        "[::1",
        "",
    ],
)
def test_other_names_are_refused(ask: Ask, host: str) -> None:
    for path in ("/", "/live", "/assets/live.js", "/nowhere"):
        reply = ask(path, headers={"Host": host})
        assert reply.status in (400, 421)
        assert "Which" not in reply.text
        assert len(reply.text.splitlines()) <= 1


def test_a_host_must_be_named_once(port: int) -> None:
    for hosts in (b"", b"Host: localhost\r\nHost: attacker.example\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n" + hosts + b"\r\n")
            assert connection.recv(100).split()[1] in (b"400", b"421")


@pytest.mark.parametrize(
    "origin", ["http://attacker.example", "http://localhost:3000", "null", "https://127.0.0.1:8000"]
)
def test_foreign_origins_are_refused(ask: Ask, origin: str) -> None:
    reply = ask("/live", headers={"Host": "127.0.0.1:8000", "Origin": origin})
    assert (reply.status, "access-control-allow-origin" in reply.headers) == (403, False)


def test_the_own_origin_is_answered(ask: Ask) -> None:
    headers = {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
    assert ask("/live", headers=headers).status == 200


@pytest.mark.parametrize(
    ("site", "mode", "destination", "status"),
    [
        ("cross-site", "no-cors", "script", 403),
        ("cross-site", "no-cors", "image", 403),
        ("same-site", "cors", "empty", 403),  # another port of this machine
        ("cross-site", "navigate", "iframe", 403),
        ("cross-site", "navigate", "object", 403),
        ("cross-site", "navigate", "document", 200),  # a link in a mail: the other side sees nothing of the page
        ("same-origin", "cors", "empty", 200),
        ("none", "navigate", "document", 200),
    ],
)
def test_only_own_pages_and_links_read(ask: Ask, site: str, mode: str, destination: str, status: int) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
    assert ask("/", headers=headers).status == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_but_reading(ask: Ask, method: str) -> None:
    for path in ("/", "/live"):
        reply = ask(path, method)
        assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
        assert ask(path, "HEAD").status == 200


@pytest.mark.parametrize("path", ["/", "/live", "/assets/live.js", "/nowhere", f"/study/{'ab' * 32}/report"])
def test_every_answer_is_fenced_in(ask: Ask, path: str) -> None:
    headers = ask(path).headers
    policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    assert "http" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


def test_a_server_for_others_answers_to_its_names_and_addresses_only() -> None:
    guard = Guard(lambda *_: None, "0.0.0.0")  # type: ignore[arg-type,return-value]
    own = socket.gethostname()
    for host in (f"{own}:8000", "192.168.0.7:8000", "localhost", "[fe80::1]:8000"):
        assert guard._refuse("GET", "/", Headers({"host": host})) is None
    for host in ("attacker.example", f"{own}.attacker.example"):
        refusal = guard._refuse("GET", "/", Headers({"host": host}))
        assert refusal is not None
        assert refusal.status_code == 421


def test_loopback_is_told_without_asking_anyone() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.1.2.3", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org", "")))
