r"""User text as LaTeX that pdflatex sets in any input and font encoding: pure ASCII, no command of the user's own.

Letters with accents become LaTeX's accents, Greek and common signs become mathematics, Cyrillic is transliterated;
what is left is written by its number, such as [U+4E2D].
"""

from __future__ import annotations

import re
import unicodedata

from bakeoff.report.latex.signs import SIGNS, spell_letter
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
    # At the start of a row these would be read as belonging to the end of the row before.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}

_ACCENTS = {
    "\u0300": "\\`",
    "\u0301": r"\'",
    "\u0302": r"\^",
    "\u0303": r"\~",
    "\u0304": r"\=",
    "\u0306": r"\u",
    "\u0307": r"\.",
    "\u0308": r"\"",
    "\u030a": r"\r",
    "\u030b": r"\H",
    "\u030c": r"\v",
    "\u0327": r"\c",
    "\u0323": r"\d",
    "\u0331": r"\b",
}
_BELOW = {"\u0327", "\u0323", "\u0331"}

_WHOLE = {**_SPECIAL, **SIGNS}


def escape_latex(text: str) -> str:
    """Return text on one line as LaTeX that shows it as it is, or as near as pdflatex comes."""
    clusters = re.findall(r".[\u0300-\u036f]*", unicodedata.normalize("NFC", show_text(text)).strip())
    return _part_ligatures([_set_cluster(cluster) for cluster in clusters])


def _part_ligatures(parts: list[str]) -> str:
    """Join what was set for each character so that no two become a dash, a quotation mark or a Spanish sign."""
    joined = ""
    for part in parts:
        if joined and part and part[0] in "-'`," and joined[-1] in "-'`,!?":
            joined += "{}"
        joined += part
    return joined


def _set_cluster(cluster: str) -> str:
    """Set a character with whatever combines with it."""
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
    """Put LaTeX's accents on a letter; those it lacks are left away."""
    known = [mark for mark in marks if mark in _ACCENTS]
    has_dot = base in "ij" and any(mark not in _BELOW for mark in known)
    is_letter = base.isascii() and base.isalpha()
    text = f"\\{base}" if has_dot else base if is_letter else _set_cluster(base)
    for mark in known if is_letter else ():
        text = f"{_ACCENTS[mark]}{{{text}}}"
    return text


def _replace(character: str) -> str:
    """Replace a character that has no equivalent of its own."""
    letter = spell_letter(character)
    if letter is not None:
        return letter
    if unicodedata.decomposition(character).startswith("<"):  # only compatible: a ligature, a wide or a small letter
        return "".join(_set_cluster(each) for each in unicodedata.normalize("NFKD", character))
    if unicodedata.category(character) == "Zs":
        return " "
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return ""
    return f"{{[}}U+{ord(character):04X}{{]}}"
