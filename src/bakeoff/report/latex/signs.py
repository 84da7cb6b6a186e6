"""Letters and signs beyond ASCII that LaTeX has in every font encoding, and how others are spelled in Latin letters."""

from __future__ import annotations

import re
import unicodedata

SIGNS = {
    "\N{NO-BREAK SPACE}": "~",
    "\N{INVERTED EXCLAMATION MARK}": "!`",
    "\N{POUND SIGN}": r"\pounds{}",
    "\N{SECTION SIGN}": r"\S{}",
    "\N{COPYRIGHT SIGN}": r"\copyright{}",
    "\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}": r"$\ll$",
    "\N{SOFT HYPHEN}": "",
    "\N{DEGREE SIGN}": r"$^{\circ}$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{SUPERSCRIPT TWO}": "$^{2}$",
    "\N{SUPERSCRIPT THREE}": "$^{3}$",
    "\N{MICRO SIGN}": r"$\mu$",
    "\N{PILCROW SIGN}": r"\P{}",
    "\N{MIDDLE DOT}": r"$\cdot$",
    "\N{SUPERSCRIPT ONE}": "$^{1}$",
    "\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}": r"$\gg$",
    "\N{INVERTED QUESTION MARK}": "?`",
    "\N{LATIN CAPITAL LETTER AE}": r"\AE{}",
    "\N{LATIN CAPITAL LETTER ETH}": "D",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{LATIN CAPITAL LETTER O WITH STROKE}": r"\O{}",
    "\N{LATIN CAPITAL LETTER THORN}": "Th",
    "\N{LATIN SMALL LETTER SHARP S}": r"\ss{}",
    "\N{LATIN SMALL LETTER AE}": r"\ae{}",
    "\N{LATIN SMALL LETTER ETH}": "d",
    "\N{DIVISION SIGN}": r"$\div$",
    "\N{LATIN SMALL LETTER O WITH STROKE}": r"\o{}",
    "\N{LATIN SMALL LETTER THORN}": "th",
    "\N{LATIN CAPITAL LETTER D WITH STROKE}": "D",
    "\N{LATIN SMALL LETTER D WITH STROKE}": "d",
    "\N{LATIN SMALL LETTER DOTLESS I}": r"\i{}",
    "\N{LATIN CAPITAL LETTER L WITH STROKE}": r"\L{}",
    "\N{LATIN SMALL LETTER L WITH STROKE}": r"\l{}",
    "\N{LATIN CAPITAL LIGATURE OE}": r"\OE{}",
    "\N{LATIN SMALL LIGATURE OE}": r"\oe{}",
    "\N{HYPHEN}": "-",
    "\N{NON-BREAKING HYPHEN}": "-",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{LEFT SINGLE QUOTATION MARK}": "`",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
    "\N{DOUBLE LOW-9 QUOTATION MARK}": "''",
    "\N{DAGGER}": r"$^{\dagger}$",
    "\N{SUPERSCRIPT PLUS SIGN}": "$^{+}$",
    "\N{SUPERSCRIPT MINUS}": "$^{-}$",
    "\N{SUPERSCRIPT EQUALS SIGN}": "$^{=}$",
    "\N{BULLET}": r"$\bullet$",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
    "\N{PRIME}": "'",
    "\N{FRACTION SLASH}": "/",
    "\N{EURO SIGN}": "EUR",
    "\N{LEFTWARDS ARROW}": r"$\leftarrow$",
    "\N{RIGHTWARDS ARROW}": r"$\rightarrow$",
    "\N{LEFT RIGHT ARROW}": r"$\leftrightarrow$",
    "\N{PARTIAL DIFFERENTIAL}": r"$\partial$",
    "\N{N-ARY SUMMATION}": r"$\Sigma$",
    "\N{MINUS SIGN}": "$-$",
    "\N{SQUARE ROOT}": r"$\surd$",
    "\N{INFINITY}": r"$\infty$",
    "\N{ALMOST EQUAL TO}": r"$\approx$",
    "\N{NOT EQUAL TO}": r"$\neq$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
}
"""Character -> LaTeX."""

_GREEK_AS_LATIN = {
    "ALPHA": "A",
    "BETA": "B",
    "EPSILON": "E",
    "ZETA": "Z",
    "ETA": "H",
    "IOTA": "I",
    "KAPPA": "K",
    "MU": "M",
    "NU": "N",
    "OMICRON": "O",
    "RHO": "P",
    "TAU": "T",
    "CHI": "X",
}
"""Capitals that LaTeX does not have because Latin ones look the same."""

_GREEK = {
    *("ALPHA", "BETA", "GAMMA", "DELTA", "EPSILON", "ZETA", "ETA", "THETA", "IOTA", "KAPPA", "LAMBDA", "MU", "NU"),
    *("XI", "PI", "RHO", "SIGMA", "TAU", "UPSILON", "PHI", "CHI", "PSI", "OMEGA"),
}

_CYRILLIC = {
    "A": "a",
    "BE": "b",
    "VE": "v",
    "GHE": "g",
    "DE": "d",
    "IE": "e",
    "ZHE": "zh",
    "ZE": "z",
    "I": "i",
    "KA": "k",
    "EL": "l",
    "EM": "m",
    "EN": "n",
    "O": "o",
    "PE": "p",
    "ER": "r",
    "ES": "s",
    "TE": "t",
    "U": "u",
    "EF": "f",
    "HA": "kh",
    "TSE": "ts",
    "CHE": "ch",
    "SHA": "sh",
    "SHCHA": "shch",
    "YERU": "y",
    "E": "e",
    "YU": "yu",
    "YA": "ya",
    "SHORT I": "i",
    "HARD SIGN": "'",
    "SOFT SIGN": "'",
}


def spell_letter(character: str) -> str | None:
    """Return a Greek letter as mathematics, a Cyrillic one in Latin letters, None for any other character."""
    match = re.fullmatch(r"(GREEK|CYRILLIC) (SMALL|CAPITAL) LETTER (.+)", unicodedata.name(character, ""))
    if match is None:
        return None
    script, case, name = match.groups()
    if script == "CYRILLIC":
        latin = _CYRILLIC.get(name)
        return latin.capitalize() if latin is not None and case == "CAPITAL" else latin
    return _set_greek(name.removeprefix("FINAL ").replace("LAMDA", "LAMBDA"), case)


def _set_greek(name: str, case: str) -> str | None:
    if case == "CAPITAL" and name in _GREEK_AS_LATIN:
        return _GREEK_AS_LATIN[name]
    if name == "OMICRON":
        return "o"
    if name not in _GREEK:  # one with accents, which are taken off elsewhere, or one long out of use
        return None
    return f"$\\{name.capitalize() if case == 'CAPITAL' else name.lower()}$"
