"""The numbers in the pages on statistics are those the code gives."""

from __future__ import annotations

import doctest
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
IN_ORDER = ("statistics", "few-replicates", "statistics-of-designs", "statistics-of-power")
"""A page may use the names of the pages before it."""


def test_examples_give_the_numbers_that_the_pages_print() -> None:
    names: dict[str, object] = {}
    output: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    for page in IN_ORDER:
        path = DOCS / f"{page}.md"
        # A code fence must not pass for expected output.
        plain = "\n".join("" if line.startswith("```") else line for line in path.read_text("utf-8").splitlines())
        test = doctest.DocTestParser().get_doctest(plain, names, path.name, str(path), 0)
        assert test.examples, page
        runner.run(test, out=output.append, clear_globs=False)
        names = test.globs
    assert runner.summarize(verbose=False).failed == 0, "".join(output)
