"""What ends the page: published figures, failures, and all it takes to repeat the study and to judge it."""

from __future__ import annotations

from collections.abc import Iterator

from bakeoff.report.basis import describe_exam
from bakeoff.report.document import ReportInput
from bakeoff.report.html.parts import Bullets, Cell, Code, Details, Heading, Paragraph, Part, Table, make_table
from bakeoff.report.published import tabulate_curves, tabulate_published
from bakeoff.report.tables import measure_of, runs_of, tabulate_failures
from bakeoff.report.text import count

_MOST_FAILURES_OPEN = 20


def list_published(report: ReportInput) -> Iterator[Part]:
    """Yield the published figures beside what was measured; nothing where none were given."""
    figures, curves = tabulate_published(report), tabulate_curves(report)
    if not report.published and not curves:
        return
    if report.published_source:
        yield Paragraph(text=f"Source: {report.published_source}")
    if report.published:
        yield make_table(f"Measured: mean ± standard deviation over {runs_of(report.summary)}", figures)
    if curves:
        yield make_table("By generation; measured: the same generation, on the validation split", curves)


def list_failures(report: ReportInput) -> Iterator[Part]:
    """Yield every failed trial and its reason; folded where there are many."""
    if not report.failures:
        return
    number = count(len(report.failures), "trial")
    yield Paragraph(text=f"{number} of {report.num_planned:,} failed.")
    table = make_table("Failed trials", tabulate_failures(report.failures))
    yield Details(summary=f"All {number}", parts=(table,)) if len(report.failures) > _MOST_FAILURES_OPEN else table


def write_appendix(report: ReportInput) -> Iterator[Part]:
    """Yield the command, the protocol, what it ran on, and the study as run."""
    if report.about:
        yield Heading(text="What the study file says of itself")
        yield Bullets(lines=tuple(f"{name}: {text}" for name, text in report.about))
    if report.command:
        yield Code(label="The command that repeats the study", lines=(report.command,))
    yield Heading(text="Error bars, seeds, splits and selection")
    yield Bullets(lines=tuple(_describe_protocol(report)))
    if facts := report.made_with:
        yield Heading(text="Hardware and versions")
        yield Table(
            caption="What the results were made on",
            headers=("what", "value"),
            is_number=(False, False),
            rows=tuple((Cell(text=name), Cell(text=str(text))) for name, text in facts.items()),
        )
    yield from _list_data(report)
    if report.study_text.strip():
        yield _fold_text("The study as run", "The study file, checked", report.study_text)
    if report.recipes_text.strip():
        yield _fold_text("Every recipe in full", "Every field of every arm, defaults included", report.recipes_text)


def _fold_text(summary: str, label: str, text: str) -> Details:
    code = Code(label=label, lines=tuple(text.strip("\n").split("\n")))
    return Details(summary=summary, parts=(code,))


def _describe_protocol(report: ReportInput) -> Iterator[str]:
    summary = report.summary
    unit = "fold" if summary.num_folds is not None else "replicate"
    yield (
        f"Error bars: ± is the sample standard deviation over {unit}s. Intervals are of the mean difference of two "
        f"arms, paired {unit} by {unit}; of an arm's own mean (Student's t) only where it is compared with nothing. "
        "They are not adjusted for the number of pairs; the p values that verdicts rest on are (Holm)."
    )
    yield (
        "Seeds and splits: a replicate's seed draws its split, order, augmentation and initial weights. It is derived "
        "from the study's seed and the replicate's number, and is the same for all arms."
    )
    yield (
        "Selection: early stopping, search and choice of recipes see the validation split only; verdicts rest on "
        f"{measure_of(summary).label}. {describe_exam(report)}"
    )


def _list_data(report: ReportInput) -> Iterator[Part]:
    rows = []
    for block, facts in report.data.items():
        shape = " x ".join(str(size) for size in facts.get("shape_HWC", ()))
        number = facts.get("num_images")
        images = "" if number is None else f"{int(number):,}"
        classes = str(len(facts.get("class_names", ())))
        rows.append(tuple(Cell(text=t) for t in (block, images, shape, classes, str(facts.get("fingerprint", "")))))
    if rows:
        yield Heading(text="Data")
        yield Table(
            caption="The training images, validation included",
            headers=("block", "images", "height x width x channels", "classes", "fingerprint"),
            is_number=(False, True, False, True, False),
            rows=tuple(rows),
        )
