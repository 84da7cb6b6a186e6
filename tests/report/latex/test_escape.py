from __future__ import annotations

import pytest

from bakeoff.report.render.latex_escape import escape_latex


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("he_normal 50% & $x$ #1", r"he\_normal 50\% \& \$x\$ \#1"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("a~b^c <d> |e|", r"a\textasciitilde{}b\textasciicircum{}c \textless{}d\textgreater{} \textbar{}e\textbar{}"),
        ("[2ex] *", "{[}2ex{]} {*}"),  # at the start of a row they would belong to the row before
        ("a--b ''q'' ?` !`", r"a-{}-b '{}'q'{}' ?\`{} !\`{}"),  # no dashes and marks that nobody wrote
        ("Gr\u00f6\u00dfe \u0141\u00f3d\u017a na\u00efve", r"Gr\"{o}\ss{}e \L{}\'{o}d\'{z} na\"{\i}ve"),
        ("e\u0301 \u1ec7", r"\'{e} \^{\d{e}}"),
        ("\u03b1\u03a9 \u03ad \u03db", r"$\alpha$$\Omega$ $\epsilon$ {[}U+03DB{]}"),
        ("\u4e2d \U0001f431 \ud55c", "{[}U+4E2D{]} {[}U+1F431{]} {[}U+D55C{]}"),
        ("\ufb01 m\u00b2 \u00b1 \u00bd", r"fi m$^{2}$ $\pm$ 1/2"),
        ("a\nb\x1b[31m\u202e\u200d", r"a\textbackslash{}nb\textbackslash{}x1b{[}31m\textbackslash{}u202e"),
        ("", ""),
    ],
)
def test_text_stays_text(text: str, expected: str) -> None:
    assert escape_latex(text) == expected


def test_every_character_becomes_ascii_on_one_line() -> None:
    texts = (f"x{chr(code)}y" for code in range(0x30000))
    wrong = [text for text in texts if not (shown := escape_latex(text)).isascii() or not shown.isprintable()]
    assert wrong == []
