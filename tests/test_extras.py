"""The command that installs an extra works where it is shown."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

from bakeoff import extras
from bakeoff.extras import how_to_install


class Installed:
    """bakeoff, as an installer records it."""

    requires = (
        "numpy>=2",
        "onnx>=1.17; extra == 'onnx'",
        'onnx-script>=0.6 ; extra == "onnx"',
        "ray>=2; extra == 'ray'",
    )

    def __init__(self, origin: str | None) -> None:
        self.origin = origin

    def read_text(self, name: str) -> str | None:
        return self.origin if name == "direct_url.json" else None


@pytest.mark.parametrize(
    ("origin", "has_pip", "command"),
    [
        (None, True, 'pip install "bakeoff[onnx]"'),
        ("{}", True, "'/my env/python' -m pip install onnx onnx-script"),
        ("{}", False, "uv pip install --python '/my env/python' onnx onnx-script"),
    ],
)
def test_a_checkout_names_packages_and_its_interpreter(
    origin: str | None, has_pip: bool, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "distribution", lambda name: Installed(origin))
    monkeypatch.setattr(extras, "find_spec", lambda name: object() if has_pip else None)
    monkeypatch.setattr(sys, "executable", "/my env/python")
    assert how_to_install("onnx") == command


def test_without_a_record_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", fail)
    assert how_to_install("ray") == 'pip install "bakeoff[ray]"'
