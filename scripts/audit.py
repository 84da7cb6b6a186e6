"""Compares constraints.txt with the published vulnerabilities of Python packages (osv.dev), in one request.

Prints what is known, a line each, and never fails: a vulnerability that was published today is nobody's mistake of
today, and whether it matters here is for a person to judge. Where the service cannot be reached one line says so.
Standard library only.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SERVICE = "https://api.osv.dev/v1/querybatch"
TIMEOUT_SECONDS = 5.0
MAX_BYTES = 10_000_000
CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints.txt"

Pin = tuple[str, str]
"""A package's name and version."""


def read_pins(text: str) -> list[Pin]:
    """Return the packages that lines such as `numpy==2.1.0` name; a local label (`+cpu`) is left out."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([A-Za-z0-9.!]+)", text, flags=re.MULTILINE)
    return [(name, version) for name, version in found]


def ask(pins: Sequence[Pin], service: str = SERVICE) -> Mapping[str, Any]:
    """Return the service's answer.

    Raises:
        OSError, ValueError: it cannot be reached, or answers something else.
    """
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in pins]
    body = json.dumps({"queries": queries}).encode()
    request = urllib.request.Request(service, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        answer: Mapping[str, Any] = json.loads(response.read(MAX_BYTES))
    return answer


def format_value(pins: Sequence[Pin], answer: Mapping[str, Any]) -> list[str]:
    """Return a line for each package with known vulnerabilities, then one that counts them."""
    lines = []
    for (name, version), found in zip(pins, answer["results"], strict=True):
        known = sorted(str(each["id"]) for each in found.get("vulns", ()))
        if known:
            lines.append(f"audit: {name} {version}: {', '.join(known)} (https://osv.dev/)")
    return [*lines, f"audit: {len(pins)} packages, {len(lines)} with known vulnerabilities"]


def main() -> int:
    """Ask and print."""
    pins = read_pins(CONSTRAINTS.read_text(encoding="utf-8"))
    try:
        lines = format_value(pins, ask(pins))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        lines = [f"audit: skipped, for no vulnerability service can be reached ({reason})"]
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
