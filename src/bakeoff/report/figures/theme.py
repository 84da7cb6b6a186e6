"""The look of figures in light and dark mode; arms differ by more than colour.

Colours follow Okabe and Ito (2008), "Color universal design", without their yellow and with grey instead of black,
which would be invisible in one of the modes. Lightness is adjusted so that every colour has a contrast of at least 3 in
both (WCAG 2.1, graphics), and so that hues that colour-blind people confuse differ in lightness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from bakeoff.report.text import show_text

Mode = Literal["light", "dark"]
MODES: tuple[Mode, ...] = ("light", "dark")

PALETTE = ("#0072B2", "#BB4A00", "#009E73", "#CC79A7", "#C08A00", "#4896E0", "#6A6A6A")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "pentagon", "hexagon", "triangle-down")
DASHES = ("solid", "dash", "dot", "dashdot")
NEUTRAL = "#808080"
"""For reference lines: visible in both modes."""

_GROUNDS: dict[Mode, dict[str, str]] = {
    "light": {"paper": "#ffffff", "text": "#1f2328", "grid": "#d8dee4", "low": "#f7fafc", "high": "#0b4f8a"},
    "dark": {"paper": "#14171c", "text": "#e6e8eb", "grid": "#363c45", "low": "#1b2027", "high": "#9ad1ff"},
}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif"


@dataclass(frozen=True)
class Style:
    """The style of one arm: the first ten all differ in symbol, and in colour or dash."""

    color: str
    symbol: str
    dash: str


def style_of(position: int) -> Style:
    """Return the style of the arm at a position, from 0, in a figure."""
    return Style(
        PALETTE[position % len(PALETTE)],
        SYMBOLS[position % len(SYMBOLS)],
        DASHES[position // len(PALETTE) % len(DASHES)],
    )


def label_text(text: str, most_characters: int = 40) -> str:
    """Return user text as plotly shows it verbatim, without markup, entities or TeX.

    Longer text is cut in the middle, so that both ends of a recipe's name stay readable.
    """
    shown = show_text(text)
    if len(shown) > most_characters:
        half = (most_characters - 3) // 2
        shown = f"{shown[:half]}...{shown[-half:]}"
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return shown.replace("$", "&#36;")


def make_template(mode: Mode) -> dict[str, Any]:
    """Return the plotly template for a mode: `layout.template` of a figure."""
    ground = _GROUNDS[mode]
    axis = {
        "gridcolor": ground["grid"],
        "linecolor": ground["grid"],
        "zeroline": False,
        "automargin": True,
        "title": {"standoff": 10},
    }
    return {
        "layout": {
            "autotypenumbers": "strict",
            "colorway": list(PALETTE),
            "colorscale": {"sequential": [[0, ground["low"]], [1, ground["high"]]]},
            "font": {"color": ground["text"], "family": _FONT, "size": 13},
            "paper_bgcolor": ground["paper"],
            "plot_bgcolor": ground["paper"],
            "hoverlabel": {"align": "left"},
            "hovermode": "closest",
            "legend": {"bgcolor": "rgba(0,0,0,0)"},
            "title": {"x": 0, "xref": "container", "font": {"size": 15}},
            "xaxis": axis,
            "yaxis": axis,
        }
    }


def make_layout(height: int, **parts: Any) -> dict[str, Any]:
    """Return the layout that all figures share, with further parts: as wide as its page, the legend below."""
    return {
        "autosize": True,
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        # Positioned in the container, a legend of any number of lines gets its own space below the axis title.
        "legend": {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
        **parts,
    }
