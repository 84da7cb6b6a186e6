"""The cost of the scores: time, parameters, model size and rates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from bakeoff.report.costs import ArmCost, describe_costs
from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.figures.cost import draw_cost, draw_size
from bakeoff.report.parts import Figure, Paragraph, Part, Section, Table, by_block
from bakeoff.report.tables import Column, format_all, numbers, order_arms, tabulate_measure, texts
from bakeoff.report.text import duration
from bakeoff.stats.results import ArmSummary

_BYTES_PER_MEGABYTE = 1_000_000


def _gather(sources: Sources) -> dict[str, Any]:
    return {"costs": describe_costs(sources.costs, sources.ensembles, sources.folders.weights)}


def write_cost(report: ReportInput, block: str) -> Iterator[Part]:
    """Yield the costs of a block's arms; nothing if no trial is done."""
    arms = [arm for arm in order_arms(report.summary, block) if arm.seconds is not None]
    if not arms:
        return
    mine = {cost.arm: cost for cost in report.costs if cost.block == block}
    found = [mine.get(arm.arm) for arm in arms]
    yield from (Figure(draw=draw) for draw in (draw_cost, draw_size))
    columns = [*_tabulate_times(report, arms), *_tabulate_sizes(found)]
    yield Table(caption="What an arm costs; arms trained together share their time evenly", columns=columns)
    if any(found):
        yield Paragraph(text=_explain(report), role="quiet")


def _tabulate_times(report: ReportInput, arms: Sequence[ArmSummary]) -> Iterator[Column]:
    seconds = [arm.seconds.mean if arm.seconds else 0.0 for arm in arms]
    totals = (value * arm.replicates for value, arm in zip(seconds, arms, strict=True))
    yield texts("arm", (arm.arm for arm in arms))
    yield tabulate_measure(report.summary.measure, arms)
    yield numbers("epochs", format_all((arm.epochs and arm.epochs.mean for arm in arms), "{:.1f}".format))
    yield numbers("time per trial", map(duration, seconds))
    yield numbers("all trials", map(duration, totals))


def _tabulate_sizes(found: Sequence[ArmCost | None]) -> Iterator[Column]:
    """Yield the columns that have values."""
    wanted: tuple[tuple[str, Callable[[ArmCost], float | None], Callable[[float], str]], ...] = (
        ("of which features", lambda cost: cost.feature_seconds, duration),
        ("parameters", lambda cost: cost.num_parameters, lambda value: f"{value:,.0f}"),
        ("model size, MB", lambda cost: cost.model_bytes, lambda value: _round(value / _BYTES_PER_MEGABYTE)),
        ("images per second", lambda cost: cost.images_per_second, lambda value: f"{float(f'{value:.3g}'):,.0f}"),
        ("epochs per second", lambda cost: cost.epochs_per_second, _round),
    )
    for name, read, format_value in wanted:
        values = [None if cost is None else read(cost) for cost in found]
        if any(value is not None for value in values):
            yield numbers(name, format_all(values, format_value))


def _round(value: float) -> str:
    """Format a number to three significant digits, without an exponent."""
    return f"{float(f'{value:.3g}'):,}".removesuffix(".0") if value >= 0.001 else f"{value:.2g}"


def _explain(report: ReportInput) -> str:
    votes = " An ensemble of arms has the parameters and size of all its models." if report.votes else ""
    return (
        "Parameters are those that are trained, and the model size is that of the weights kept for one trial; neither "
        "includes a frozen body. The time to compute a frozen body's features once is divided evenly among the trials "
        "that use them. Arms trained together share their time evenly, and so have equal rates. Images per second are "
        f"those in training steps; epochs per second include evaluation; neither includes features.{votes}"
    )


SECTION = Section(
    name="cost",
    title="Cost",
    gather=_gather,
    write=by_block(write_cost),
    dump=lambda report: {"costs": [asdict(cost) for cost in report.costs]},
)
