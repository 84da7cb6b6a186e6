r"""Escapes user text for LaTeX: pure ASCII that pdflatex accepts in any encoding, without commands of the user's own.

Accented letters become LaTeX's accents, Greek letters and common signs become mathematics; other characters are written
as code points, such as [U+4E2D].
"""

from __future__ import annotations

import re
import unicodedata
from html.entities import name2codepoint

from bakeoff.report.text import show_text

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\`{}",
    '"': "''",
    # At the start of a row, these would be read as arguments of the row break before it.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}

_ACCENTS = dict(
    zip(
        "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327\u0323\u0331",
        (rf"\{accent}" for accent in "`'^~=u.\"rHvcdb"),
        strict=True,
    )
)
_BELOW = {"\u0327", "\u0323", "\u0331"}

_LETTERS = {"Æ": "AE", "æ": "ae", "Ø": "O", "ø": "o", "ß": "ss", "Ł": "L", "ł": "l", "Œ": "OE", "œ": "oe"}
_LETTERS["\N{LATIN SMALL LETTER DOTLESS I}"] = "i"
_MATHEMATICS = {
    "\N{DEGREE SIGN}": r"^{\circ}",
    "\N{PLUS-MINUS SIGN}": r"\pm",
    "\N{MICRO SIGN}": r"\mu",
    "\N{MIDDLE DOT}": r"\cdot",
    "\N{MULTIPLICATION SIGN}": r"\times",
    "\N{DAGGER}": r"^{\dagger}",
    "\N{SUPERSCRIPT PLUS SIGN}": "^{+}",
    "\N{SUPERSCRIPT MINUS}": "^{-}",
    "\N{SUPERSCRIPT EQUALS SIGN}": "^{=}",
    "\N{RIGHTWARDS ARROW}": r"\rightarrow",
    "\N{MINUS SIGN}": "-",
    "\N{INFINITY}": r"\infty",
    "\N{ALMOST EQUAL TO}": r"\approx",
    "\N{NOT EQUAL TO}": r"\neq",
    "\N{LESS-THAN OR EQUAL TO}": r"\leq",
    "\N{GREATER-THAN OR EQUAL TO}": r"\geq",
}
_PUNCTUATION = {
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{LEFT SINGLE QUOTATION MARK}": "`",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
    "\N{FRACTION SLASH}": "/",
}

# HTML and LaTeX use the same names for these Greek letters; LaTeX lacks HTML's others, such as Alpha.
_GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi"
_GREEK += " omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"

_MATHEMATICS |= {chr(name2codepoint[name]): rf"\{name}" for name in _GREEK.split()}

_WHOLE = {
    **_SPECIAL,
    **_PUNCTUATION,
    **{letter: rf"\{name}{{}}" for letter, name in _LETTERS.items()},
    **{sign: f"${text}$" for sign, text in _MATHEMATICS.items()},
}


def escape_latex(text: str) -> str:
    """Return text on one line as LaTeX that shows it as closely as pdflatex can."""
    clusters = re.findall(r".[\u0300-\u036f]*", unicodedata.normalize("NFC", show_text(text)).strip())
    return _join_without_ligatures([_set_cluster(cluster) for cluster in clusters])


def _join_without_ligatures(parts: list[str]) -> str:
    """Join LaTeX for single characters so that no two become a dash, a quotation mark or a Spanish sign."""
    joined = ""
    for part in parts:
        if joined and part and part[0] in "-'`," and joined[-1] in "-'`,!?":
            joined += "{}"
        joined += part
    return joined


def _set_cluster(cluster: str) -> str:
    """Return LaTeX for a character and the marks that combine with it."""
    character = cluster[0]
    if len(cluster) == 1 and character in _WHOLE:
        return _WHOLE[character]
    if cluster.isascii():
        return cluster
    decomposed = unicodedata.normalize("NFD", cluster)
    base, marks = decomposed[0], decomposed[1:]
    if marks and all(unicodedata.combining(mark) for mark in marks):
        return _add_accents(base, marks)
    return _replace(character)


def _add_accents(base: str, marks: str) -> str:
    """Add LaTeX's accents to a letter, without those that LaTeX lacks."""
    known = [mark for mark in marks if mark in _ACCENTS]
    has_dot = base in "ij" and any(mark not in _BELOW for mark in known)
    is_letter = base.isascii() and base.isalpha()
    text = f"\\{base}" if has_dot else base if is_letter else _set_cluster(base)
    for mark in known if is_letter else ():
        text = f"{_ACCENTS[mark]}{{{text}}}"
    return text


def _replace(character: str) -> str:
    """Return LaTeX for a character without an equivalent."""
    kind = unicodedata.decomposition(character)
    if kind.startswith("<"):  # compatibility characters: superscripts, ligatures, wide or small letters
        text = "".join(_set_cluster(each) for each in unicodedata.normalize("NFKD", character))
        return f"$^{{{text}}}$" if kind.startswith("<super>") and text.isdigit() else text
    if unicodedata.category(character) == "Zs":
        return " "
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return ""
    return f"{{[}}U+{ord(character):04X}{{]}}"
