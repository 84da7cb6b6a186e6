"""The numbers in docs/statistics.md are those the code gives."""

from __future__ import annotations

import doctest
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "statistics.md"


def test_examples_give_the_numbers_that_the_document_prints() -> None:
    text = DOCUMENT.read_text("utf-8")
    # A code fence must not pass for expected output.
    plain = "\n".join("" if line.startswith("```") else line for line in text.splitlines())
    test = doctest.DocTestParser().get_doctest(plain, {}, DOCUMENT.name, str(DOCUMENT), 0)
    assert len(test.examples) > 20
    output: list[str] = []
    results = doctest.DocTestRunner(verbose=False).run(test, out=output.append)
    assert results.failed == 0, "".join(output)
