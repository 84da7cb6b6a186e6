"""What it takes to repeat and to judge the study: command, protocol, hardware and versions, data, study file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from bakeoff.ledger.tables import read_recipes
from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.parts import Bullets, Code, Details, Heading, Part, Section, Table
from bakeoff.report.recipes import write_recipes
from bakeoff.report.sections.basis import describe_final_test
from bakeoff.report.sections.understood import find_understood
from bakeoff.report.tables import numbers, texts
from bakeoff.stats.results import Summary
from bakeoff.study.settings import Decide


def _gather(sources: Sources) -> dict[str, Any]:
    recipes = dict(read_recipes(sources.connection, sources.study_id))
    return {"study_text": _format_study(sources), "recipes_text": write_recipes(sources.plan, recipes)}


def _format_study(sources: Sources) -> str:
    """Return the study file with the defaults of its decision rules, and without empty fields."""
    study, document = sources.study, sources.record.document
    shown = {**document, "decide": {name: getattr(study.decide, name) for name in Decide.model_fields}}
    if study.data.folds is not None:
        shown["data"] = {**document["data"], "validation": study.data.validation}
    shown = {name: value for name, value in shown.items() if value not in (None, {}, [])}
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100)


def write_appendix(report: ReportInput) -> Iterator[Part]:
    """Yield the command, the protocol, hardware and versions, the data, and the study file."""
    if report.about:
        yield Heading(text="The study's own description")
        yield Bullets(lines=tuple(f"{name}: {text}" for name, text in report.about))
    if report.command:
        yield Code(label="Command that repeats the study", text=report.command)
    yield Heading(text="Error bars, seeds, splits and selection")
    yield Bullets(lines=tuple(_describe_protocol(report)))
    if facts := report.made_with:
        yield Heading(text="Hardware and versions")
        columns = [texts("what", facts), texts("value", facts.values())]
        yield Table(caption="What the results were computed with", columns=columns)
    yield from _list_data(report)
    for summary, label, text in (
        ("The study as run", "The study file, with defaults", report.study_text),
        ("Every recipe in full", "Every field of every arm, with defaults", report.recipes_text),
    ):
        if text.strip():
            yield Details(summary=summary, parts=(Code(label=label, text=text),))


def _say_paired(summary: Summary, unit: str) -> str:
    if any(verdict.unpaired is not None for verdict in summary.verdicts):
        return f"paired {unit} by {unit} where these match, else unpaired"
    return f"paired {unit} by {unit}"


def _describe_protocol(report: ReportInput) -> Iterator[str]:
    summary = report.summary
    unit = "fold" if summary.num_folds is not None else "replicate"
    yield (
        f"Error bars: ± is the sample standard deviation over {unit}s. Intervals are for the mean difference between "
        f"two arms, {_say_paired(summary, unit)}, or for an arm's own mean (Student's t) if it is not compared. "
        "They are not adjusted for the number of pairs; the p values behind the verdicts are."
    )
    if find_understood(report) is not None:  # seeds, splits and selection are another tool's
        return
    yield (
        "Seeds and splits: a replicate's seed determines its split, order, augmentation and initial weights. It is "
        "derived from the study's seed and the replicate's number, and is the same for all arms."
    )
    yield (
        "Selection: early stopping, search and choice of recipes use the validation split only; verdicts rest on "
        f"{summary.measure.label}. {describe_final_test(report)}"
    )


def _list_data(report: ReportInput) -> Iterator[Part]:
    if not report.data:
        return
    facts = list(report.data.values())
    images = ("" if (number := each.get("num_images")) is None else f"{int(number):,}" for each in facts)
    yield Heading(text="Data")
    yield Table(
        caption="Training images, including validation",
        columns=[
            texts("block", report.data),
            numbers("images", images),
            texts("height x width x channels", (" x ".join(map(str, each.get("shape_HWC", ()))) for each in facts)),
            numbers("classes", (str(len(each.get("class_names", ()))) for each in facts)),
            texts("fingerprint", (str(each.get("fingerprint", "")) for each in facts)),
        ],
    )


SECTION = Section(name="appendix", title="Appendix", gather=_gather, write=write_appendix)
