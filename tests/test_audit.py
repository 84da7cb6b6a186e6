"""The audit lists known vulnerabilities, and says in one line when it cannot."""

from __future__ import annotations

import importlib.util
import io
import json
import urllib.request
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "scripts" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pins_are_read(audit: ModuleType) -> None:
    text = "# a comment\nnumpy==2.1.0\ntorch==2.9.0+cpu\nx>=3\n"
    assert audit.read_pins(text) == [("numpy", "2.1.0"), ("torch", "2.9.0")]
    assert len(audit.read_pins((ROOT / "constraints.txt").read_text())) > 30


def test_what_is_known_is_listed(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "constraints.txt").write_text("good==1\nbad==2\n")
    monkeypatch.setattr(audit, "CONSTRAINTS", tmp_path / "constraints.txt")
    asked = []

    def answer(request: urllib.request.Request, timeout: float) -> io.BytesIO:
        assert isinstance(request.data, bytes)
        asked.append((request.full_url, timeout, json.loads(request.data)["queries"][1]))
        return io.BytesIO(b'{"results": [{}, {"vulns": [{"id": "PYSEC-2"}, {"id": "GHSA-1"}]}]}')

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    assert audit.main() == 0
    assert capsys.readouterr().out.splitlines() == [
        "audit: bad 2: GHSA-1, PYSEC-2 (https://osv.dev/)",
        "audit: 2 packages, 1 with known vulnerabilities",
    ]
    assert asked == [(audit.SERVICE, 5.0, {"package": {"name": "bad", "ecosystem": "PyPI"}, "version": "2"})]


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"results": []}', b'{"results": [1, 2]}'])
def test_another_answer_is_no_failure(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda request, timeout: io.BytesIO(content))
    assert audit.main() == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("audit: skipped, for no vulnerability service can be reached (")


def test_no_network_is_no_failure(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(request: object, timeout: float) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    assert audit.main() == 0
    assert capsys.readouterr().out == (
        "audit: skipped, for no vulnerability service can be reached (no route to host)\n"
    )
