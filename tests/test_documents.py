"""What README and docs claim: their commands exist, their studies are valid, their Python compiles."""

from __future__ import annotations

import doctest
import fnmatch
import itertools
import json
import re
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import documents
import pytest
import quoted_rates
import typer
import yaml

from bakeoff import cli
from bakeoff.errors import StudyError
from bakeoff.study.schema import Study

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import rigor
import rigor_tables

HERE = Path(__file__).parent
ROOT = HERE.parent
SHELL = (">", "|", "||", "&&", "2>&1")
"""Where a shell ends a command's arguments; also `a | b` for one of two."""

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def list_commands(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, arguments) for every command of bakeoff in a code block, indented or fenced."""
    is_fenced, previous = False, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            is_fenced = not is_fenced
        words, previous = (previous + line.strip()).removeprefix("$ "), ""
        if words.endswith("\\"):
            previous = words[:-1]
        elif (is_fenced or line.startswith("    ")) and words.startswith(("bakeoff ", "scripts/bakeoff ")):
            try:
                arguments = shlex.split(words, comments=True)[1:]
            except ValueError:  # a quoted text continues on the next line
                previous = f"{words} "
                continue
            yield number, list(itertools.takewhile(lambda word: word not in SHELL, arguments))


def parse(arguments: list[str]) -> None:
    """Parse a command line as bakeoff does, and run nothing."""
    command: Any = typer.main.get_command(cli.app)
    with command.make_context("bakeoff", arguments, resilient_parsing=False) as context:
        rest = [*context._protected_args, *context.args] if hasattr(context, "_protected_args") else context.args
        while rest:
            name, command, rest = context.command.resolve_command(context, rest)
            context = command.make_context(name, rest, parent=context)
            if not hasattr(command, "resolve_command"):
                return
            rest = [*getattr(context, "_protected_args", []), *context.args]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist_with_their_options(page: Path) -> None:
    problems = []
    for line, arguments in list_commands(page.read_text("utf-8")):
        try:
            parse(arguments)
        except Exception as error:
            problems.append(f"{page.name}:{line}: {' '.join(arguments)}: {error}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_studies_are_valid_and_python_compiles(page: Path) -> None:
    problems = []
    for block in documents.list_blocks(page.read_text("utf-8")):
        place = f"{page.name}:{block.line}"
        if block.language == "python":
            examples = doctest.DocTestParser().get_examples(block.text)
            compile("".join(each.source for each in examples) if examples else block.text, place, "exec")
        if block.language != "yaml" or block.marker == "fragment":
            continue
        fields = yaml.safe_load(block.text)
        if isinstance(fields, dict) and "question" in fields:
            try:
                Study.model_validate(fields)
            except StudyError as error:
                problems.append(f"{place}: {error}")
    assert not problems, "\n".join(problems)


def test_a_wrong_command_is_found() -> None:
    text = (
        "Text\n\n    bakeoff run quickstart --replicate 3  # none\n\n```console\n$ bakeoff lst networks | head\n```\n"
    )
    found = [arguments for _, arguments in list_commands(text)]
    assert found == [["run", "quickstart", "--replicate", "3"], ["lst", "networks"]]
    for arguments in found:
        with pytest.raises(Exception, match="No such"):
            parse(arguments)


FRAMEWORKS = (
    "bakeoff",
    "Keras",
    "Keras, tuned",
    "DataLoader loop",
    "DataLoader loop, no PIL",
    "DataLoader loop, tuned",
)
"""The rows of the table of throughputs, as `benchmarks/throughput.py` calls them."""


def test_the_throughputs_are_the_medians_that_were_measured() -> None:
    page = (ROOT / "docs" / "speed.md").read_text("utf-8")
    marked = re.search(r"<!-- figures: (\S+) -->\n\n\|[^\n]*\n\|[^\n]*\n((?:\|[^\n]*\n)+)", page)
    assert marked is not None
    measured = json.loads((ROOT / "benchmarks" / "results" / marked[1]).read_text("utf-8"))["networks"]
    rows = marked[2].splitlines()
    for row, framework in zip(rows, FRAMEWORKS, strict=True):
        shown = [float(number.replace(",", "")) for number in re.findall(r"(?<=\| )[*]*([\d,.]+)", row)]
        expected = []
        for network in measured.values():
            rates = {
                name: statistics.median(each["images_per_second"] for each in network[name]["samples"])
                for name in ("bakeoff", framework)
            }
            expected.append(round(rates[framework], -1 if rates[framework] > 1000 else 0))
            expected += [] if framework == "bakeoff" else [round(rates["bakeoff"] / rates[framework], 1)]
        assert shown == [pytest.approx(each, rel=0.002 if each > 100 else 0.03) for each in expected], framework


def test_tables_are_what_their_programs_print() -> None:
    page = (ROOT / "docs" / "speed.md").read_text("utf-8")
    marked = re.findall(r"<!-- printed by (\S+\.py [^\n]*?) -->\n\n((?:\|[^\n]*\n)+)", page)
    assert marked
    for command, table in marked:
        printed = subprocess.run(
            [sys.executable, *command.split()], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert printed.stdout == table, command


# --- Simulated error rates ----------------------------------------------------------------------------------------


def test_every_simulated_table_is_in_the_file_and_on_one_page() -> None:
    results = rigor_tables.read_results()
    assert set(results) == {*rigor.TABLES, "runs to a verdict", "runs to a verdict, real scores"}
    assert set(results) == set(rigor_tables.TABLES)
    for name, rows in results.items():
        assert all("studies" in row for row in rows), name
    marked = [found[1] for page in rigor_tables.list_pages() for found in rigor_tables.MARKED.finditer(read(page))]
    assert sorted(marked) == sorted(results)


@pytest.mark.parametrize("page", rigor_tables.list_pages(), ids=lambda page: page.name)
def test_simulated_tables_are_what_the_program_prints(page: Path) -> None:
    text, results, printed = read(page), rigor_tables.read_results(), rigor_tables.show_tables()
    assert text == rigor_tables.fill_page(text, results), "write them anew: python benchmarks/rigor.py --fill"
    for found in rigor_tables.MARKED.finditer(text):
        assert found[0].partition(" -->\n\n")[2].rstrip() in printed


def read(page: Path) -> str:
    return page.read_text("utf-8")


@pytest.mark.parametrize("quote", quoted_rates.QUOTED, ids=lambda quote: f"{quote[0]}: {quote[1][:50]}")
def test_quoted_rates_are_those_of_the_file(quote: quoted_rates.Quote) -> None:
    page, text, table, columns, where = quote
    figures = []
    for row in rigor_tables.read_results()[table]:
        if all(row[key] in (value if isinstance(value, tuple) else (value,)) for key, value in where.items()):
            shown = [str(cell) for key, cell in row.items() if fnmatch.fnmatchcase(key, columns)]
            figures += [float(found[0]) for cell in shown if (found := re.match(r"[\d.]+", cell))]
    expected = text.format(min(figures), max(figures))
    assert expected in " ".join(read(ROOT / "docs" / f"{page}.md").split()), f"{page}.md should say: {expected}"
