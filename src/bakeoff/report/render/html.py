"""Writes the report page: one HTML file that makes no requests and opens offline."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bakeoff.errors import MissingPackageError
from bakeoff.report.document import ReportInput
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import MODES, make_template
from bakeoff.report.parts import MOST_BLOCKS_IN_FULL, Details, Figure, InBlock, Part, Section, compose
from bakeoff.report.sections import SECTIONS
from bakeoff.report.tables import Medium
from bakeoff.report.text import show_text

if TYPE_CHECKING:
    from jinja2 import Environment


STATES = {
    "failed": "Some trials failed: the answer says how many, and what they count as.",
    "unfinished": "This study is not finished: this is what is known so far.",
    "interrupted": "This study was interrupted: this is what is known so far.",
}

_SIDE = 96
"""Maximum size of a picture's longer side on the page, in pixels."""


def write_html(report: ReportInput, sections: Sequence[Section] = SECTIONS) -> str:
    """Write the report as one self-contained HTML page.

    User text stays text; scripts run only if their hash is in the page's policy, which also forbids any request.

    Raises:
        BakeoffError: plotly, whose script draws the figures, is not installed.
    """
    from markupsafe import Markup

    written = compose(sections, report, Medium.HTML)
    figures = list(_list_figures(part for section in written for part in section.parts))
    scripts = [read_plotly(), _read("page.js")] if figures else []
    drawings = {
        "templates": {mode: make_template(mode) for mode in MODES},
        "figures": [{"data": spec.data, "layout": spec.layout} for spec in figures],
    }
    # jinja escapes every str; these three are the page's own code, and the data contains no "<".
    return (
        make_environment(_read)
        .get_template("page.html")
        .render(
            report=report,
            title=report.question or report.name,
            sections=written,
            has_blocks=len(report.summary.blocks) > 1,
            folds_blocks=len(report.summary.blocks) > MOST_BLOCKS_IN_FULL,
            numbers={id(spec): number for number, spec in enumerate(figures)},
            ident=id,
            picture=_show_picture,
            newline=Markup("\n"),
            states=STATES,
            policy=_write_policy(scripts),
            style=Markup(_read("page.css")),
            scripts=[Markup(script) for script in scripts],
            drawings=Markup(_dump(drawings)),
        )
    )


def _list_figures(parts: Iterable[Part]) -> Iterator[FigureSpec]:
    """Yield the figures of a page, in order."""
    for part in parts:
        if isinstance(part, Figure) and part.spec is not None:
            yield part.spec
        elif isinstance(part, Details | InBlock):
            yield from _list_figures(part.parts)


def _show_picture(pixels_HWC: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """Return a picture's data URL and its size on the page."""
    height, width, _ = pixels_HWC.shape
    # Integer scaling keeps the pixels of small images square and equal.
    scale = max(1, _SIDE // max(height, width))
    source = f"data:image/png;base64,{b64encode(encode_png(pixels_HWC)).decode()}"
    return {"source": source, "width": width * scale, "height": height * scale}


def encode_png(pixels_HWC: npt.NDArray[np.uint8]) -> bytes:
    """Return uint8 pixels [H, W, 1 or 3] as a PNG file."""
    from PIL import Image  # imported only when needed

    file = BytesIO()
    Image.fromarray(pixels_HWC[:, :, 0] if pixels_HWC.shape[2] == 1 else pixels_HWC).save(file, "PNG", optimize=True)
    return file.getvalue()


def make_environment(read: Callable[[str], str]) -> Environment:
    """Return a jinja environment for HTML that makes all values safe to show; `read` returns a template's text."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def show(value: object) -> object:
        return show_text(value) if type(value) is str else value

    return Environment(
        loader=FunctionLoader(read),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=show,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _dump(value: dict[str, Any]) -> str:
    r"""Return JSON in which <, > and & are \u escapes, so that it cannot end its HTML element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _write_policy(scripts: list[str]) -> str:
    """Return the page's Content Security Policy: only these scripts run, and nothing is fetched."""
    hashes = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes or chr(39) + 'none' + chr(39)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _read(name: str) -> str:
    return (files("bakeoff.report.render") / "templates" / name).read_text("utf-8")


@cache
def read_plotly() -> str:
    """Return plotly's script from its Python package."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise MissingPackageError("report.html needs plotly for its figures. Install it: pip install plotly")
    path = Path(spec.origin).parent / "package_data" / "plotly.min.js"
    # HTML normalizes line ends, and the policy hashes the normalized script.
    return path.read_text("utf-8").replace("\r\n", "\n").replace("\r", "\n").strip()
