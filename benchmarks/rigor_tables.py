"""How docs/ shows the tables of results/rigor.json and results/runs_to_verdict.json: one entry per table.

python benchmarks/rigor.py --show     prints them all
python benchmarks/rigor.py --fill     writes them into the pages, below `<!-- table: NAME -->`
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"
MARKED = re.compile(r"<!-- table: ([^\n]+) -->\n+(?:(?:Studies per row|Computed)[^\n]*\n\n)?(?:\|[^\n]*\n)*\n*")
"""A marker, and below it how many studies a table has, and the table."""


@dataclass(frozen=True)
class Table:
    """A table as a page shows it.

    Attributes:
        title: what `--show` prints above it.
        columns: key -> heading, of the columns that are shown, in order; empty for all of them by their keys, the
            number of studies only if it differs by row.
        across: heading of a column for each of its values, such as "{arms} arms"; columns are then those left of it.
        cell: what such a column shows of a row.
        short: whether the upper ends of rates, in brackets, are left out.
    """

    title: str
    columns: Mapping[str, str] = field(default_factory=dict)
    across: str = ""
    cell: str = "{paired} / {moderated}"
    short: bool = False

    def show(self, rows: Sequence[Row]) -> str:
        """Return how many studies there are, and the table in Markdown."""
        differ = len({row["studies"] for row in rows}) > 1
        columns = dict(self.columns) or {key: key for key in rows[0] if differ or key != "studies"}
        lines = [{heading: str(row[key]) for key, heading in columns.items()} for row in rows]
        if self.across:
            merged: dict[tuple[str, ...], dict[str, str]] = {}
            for line, row in zip(lines, rows, strict=True):
                cells = merged.setdefault(tuple(line.values()), line)
                cells[self.across.format_map(row)] = self.cell.format_map(row)
            lines = list(merged.values())
        if self.short:
            lines = [{key: re.sub(r" \(to [^)]*\)", "", cell) for key, cell in line.items()} for line in lines]
        table = [list(lines[0]), ["---"] * len(lines[0]), *([line[key] for key in lines[0]] for line in lines)]
        return f"{tell_studies(rows)}\n\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in table)


def tell_studies(rows: Sequence[Row]) -> str:
    """Return how many studies a row has."""
    numbers = sorted({row["studies"] for row in rows})
    if numbers == [0]:
        return "Computed, not simulated."
    return f"Studies per row: {' to '.join(f'{each:,}' for each in dict.fromkeys((numbers[0], numbers[-1])))}."


BORROWED = "borrowed variance, "
LEAD = {"lead, sd of one score": "lead, sd", "replicates": "replicates"}
BEFORE = {"false winner, before": "t test", "false winner": "seeds and images"}
FALSE = {"covers, before": "t test covers", "covers": "seeds and images cover"}
FOUND = {"found, before": "found, t test", "found": "found, seeds and images"}
TABLES: dict[str, Table] = {
    "8 equal arms": Table("Eight equal arms"),
    "equivalence": Table("Equivalence"),
    BORROWED + "power": Table(
        "Borrowed variance: a lead found",
        LEAD,
        across="{arms} arms",
        cell="{paired} / {moderated, no step} / {moderated}",
    ),
    BORROWED + "equal arms": Table(
        "Borrowed variance: false winners",
        {"scores": "equal arms", "replicates": "replicates"},
        across="{arms} arms",
        short=True,
    ),
    BORROWED + "power beside wild arms": Table(
        "Borrowed variance: a lead beside wild arms", LEAD | {"arms": "arms"}, across="{others}"
    ),
    BORROWED + "other families": Table(
        "Borrowed variance: other families", {"family": "family", "arms": "arms"}, across="{scores}"
    ),
    BORROWED + "some equal arms": Table("Borrowed variance: some arms equal, the others far away"),
    BORROWED + "intervals": Table(
        "Borrowed variance: intervals that miss",
        {
            "replicates": "replicates",
            "arms": "arms",
            "1 x sd": "both like the rest",
            **{f"{factor} x sd": f"one {factor} x sd" for factor in (2, 3, 5)},
        },
    ),
    BORROWED + "false equivalent": Table("Borrowed variance: false equivalent"),
    BORROWED + "new images": Table(
        "Borrowed variance: new images", {"models": "models"}, across="{images} images, lead {lead, logits}", short=True
    ),
    BORROWED + "races": Table("Races of borrowed variances: false findings"),
    BORROWED + "runs of races": Table("Races of borrowed variances: runs"),
    "runs to a verdict": Table(
        "Time to a verdict: simulated",
        {"arms": "arms", "lead, sd": "lead, sd"},
        across="{way}",
        cell="{runs, median} ({answered})",
    ),
    "runs to a verdict, real scores": Table("Time to a verdict: real scores"),
    "a common test set": Table("Folds on a common test set, and held out"),
    "failed replicates": Table("Failed replicates"),
    "folds as assumed": Table("Folds: as assumed"),
    "real folds": Table("Folds: real learners"),
    "new images, equal arms": Table(
        "New images: equal arms",
        {"population": "population", "replicates": "replicates", "images": "images", "telling": "telling"}
        | {"false winner, before": "false winner, t test", "false winner": "false winner, seeds and images"}
        | FALSE,
    ),
    "new images, families of equal arms": Table(
        "New images: families",
        {"population": "population", "arms": "arms", "replicates": "replicates"}
        | {key: f"false winner, {heading}" for key, heading in BEFORE.items()},
    ),
    "groups, equal arms": Table("Images in groups: equal arms"),
    "groups, other verdicts": Table("Images in groups: other verdicts"),
    "groups, one accuracy": Table("Images in groups: one accuracy"),
    "equivalence without spread": Table("Equivalence without spread: simulated"),
    "equivalence, margin by margin": Table("Equivalence without spread: exact"),
    "rare collapses": Table("Rare collapses"),
    "replicates needed": Table("Replicates needed"),
    "power, normal effects": Table("Power before training: normal effects"),
    "power, answers right or wrong": Table("Power before training: answers"),
    "power, known from few trials": Table("Power before training: known from few trials"),
    "power, replicates chosen by a pilot": Table("Power before training: replicates chosen by a pilot"),
    "effects": Table("Effects: two arms"),
    "effects in families": Table("Effects: families"),
    "new images, power": Table(
        "New images: power",
        {"population": "population", "true difference": "true difference, points"}
        | {"replicates": "replicates", "images": "images"}
        | FOUND
        | FALSE,
    ),
    "real images": Table(
        "New images: real learners",
        {"images of": "images of", "arms": "arms", "difference, points": "difference, points"}
        | {"replicates": "replicates", "images": "images"}
        | FALSE,
    ),
    "one accuracy": Table("One accuracy"),
    "Looking again": Table("Looking again: seeds"),
    "Looking again, new images": Table("Looking again: new images"),
    "Many blocks": Table("Blocks: families"),
    "Blocks that share data sets": Table("Blocks: shared datasets"),
    "screening": Table("Screening: 12 and 16 runs"),
    "screening by more runs": Table("Screening: 24 and 32 runs"),
    "full factorials": Table("Full factorials"),
    "choices on new images": Table("Choices on new images"),
    "unpaired, equal arms": Table("Runs of others: equal arms"),
    "unpaired, power": Table("Runs of others: power"),
    "unpaired, images": Table("Runs of others: new images"),
    "racing against a fixed number": Table(
        "Races: against a fixed number",
        {key: key for key in ("true difference, sd", "found, 34 replicates", "found, racing", "replicates, racing")}
        | {"90% of races within": "90% of races within", "runs, of 34": "runs, of fixed"}
        | {"intervals cover, plain": "plain intervals cover"}
        | {"intervals cover, race's looks": "repeated intervals cover"},
    ),
    "racing 8 equal arms": Table("Races: eight equal arms"),
    "raced on validation, reported on test": Table(
        "Races: raced on validation, reported on test",
        {key: key for key in ("arms", "correlation", "test sd", "true difference, validation")}
        | {"test": "on test", "found by the race": "found by the race"}
        | {"found on test, plain": "found on test, plain t", "found on test, equal looks": "found on test, equal looks"}
        | {"intervals cover, plain": "plain intervals cover"}
        | {"intervals cover, equal looks": "intervals cover, equal looks"},
    ),
    "racing, not normal": Table("Races: scores that are not normal"),
    "racing to equivalence": Table("Races: equivalence"),
}


def read_results() -> dict[str, Sequence[Row]]:
    """Return the rows of every table."""
    rigor, runs = (json.loads((HERE / "results" / f"{name}.json").read_text()) for name in ("rigor", "runs_to_verdict"))
    simulated = {"runs to a verdict": runs["simulated"], "runs to a verdict, real scores": runs["real"]}
    return {name: rows for name, rows in (rigor | simulated).items() if name != "versions"}


def show_tables() -> str:
    """Return all tables in Markdown, with their titles."""
    results = read_results()
    return "\n".join(f"## {table.title}\n\n{table.show(results[name])}" for name, table in TABLES.items())


def fill_page(text: str, results: Mapping[str, Sequence[Row]]) -> str:
    """Return a page with the tables of its markers as the results have them."""

    def show(found: re.Match[str]) -> str:
        return f"<!-- table: {found[1]} -->\n\n{TABLES[found[1]].show(results[found[1]])}\n"

    return MARKED.sub(show, text).rstrip("\n") + "\n"


def list_pages() -> list[Path]:
    """Return the pages that show tables."""
    return [page for page in sorted(DOCS.glob("*.md")) if "<!-- table: " in page.read_text("utf-8")]


def fill_pages() -> None:
    """Write the tables into all pages that show some."""
    results = read_results()
    for page in list_pages():
        page.write_text(fill_page(page.read_text("utf-8"), results), "utf-8")
