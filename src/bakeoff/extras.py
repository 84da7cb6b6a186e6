"""The command that installs what an optional part needs, for messages."""

from __future__ import annotations

import re
import shlex
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec

from bakeoff.system import IS_WINDOWS


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra into this environment.

    An index knows the extra by bakeoff's name only if bakeoff came from it. Installed from a folder or a checkout, the
    extra's packages are named one by one, with the interpreter, since that of a checkout is not the user's own.

    Args:
        extra: its name in pyproject.toml.
    """
    try:
        bakeoff = distribution("bakeoff")
    except PackageNotFoundError:
        return f'pip install "bakeoff[{extra}]"'
    packages = list_packages(bakeoff, extra)
    if bakeoff.read_text("direct_url.json") is None or not packages:
        return f'pip install "bakeoff[{extra}]"'
    python = sys.executable if IS_WINDOWS else shlex.quote(sys.executable)
    installer = f"{python} -m pip install" if find_spec("pip") else f"uv pip install --python {python}"
    return " ".join([installer, *packages])


def list_packages(bakeoff: Distribution, extra: str) -> list[str]:
    """Return the names of the packages of an extra."""
    marker = re.compile(rf"""extra == ["']{re.escape(extra)}["']""")
    return [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in bakeoff.requires or () if marker.search(text)]
