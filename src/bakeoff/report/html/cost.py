"""What the scores cost: time, parameters, model size and rates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bakeoff.analysis.results import ArmSummary
from bakeoff.report.costs import ArmCost
from bakeoff.report.document import ReportInput
from bakeoff.report.html.comparison import Figures
from bakeoff.report.html.parts import Paragraph, Part, make_table, name_block
from bakeoff.report.tables import Column, measure_of, order_arms, tabulate_measure
from bakeoff.report.text import duration

_BYTES_PER_MEGABYTE = 1_000_000


def describe_costs(report: ReportInput, figures: Figures) -> Iterator[Part]:
    """Yield what every block's arms cost; nothing where no trial is done."""
    for block in report.summary.blocks:
        arms = [arm for arm in order_arms(report.summary, block) if arm.seconds is not None]
        if not arms:
            continue
        yield from name_block(report, block)
        yield from (figures[kind, block] for kind in ("cost", "size") if (kind, block) in figures)
        mine = {cost.arm: cost for cost in report.costs if cost.block == block}
        found = [mine.get(arm.arm) for arm in arms]
        yield make_table("What an arm costs; times are a trial's share", [*_times(report, arms), *_sizes(found)])
        if any(found):
            yield Paragraph(text=_explain(report), is_quiet=True)


def _times(report: ReportInput, arms: Sequence[ArmSummary]) -> Iterator[Column]:
    seconds = [arm.seconds.mean if arm.seconds else 0.0 for arm in arms]
    totals = [value * arm.replicates for value, arm in zip(seconds, arms, strict=True)]
    epochs = tuple("-" if arm.epochs is None else f"{arm.epochs.mean:.1f}" for arm in arms)
    yield Column(key="arm", header=("arm",), cells=tuple(arm.arm for arm in arms), is_number=False)
    yield tabulate_measure(measure_of(report.summary), arms)
    yield Column(key="epochs", header=("epochs",), cells=epochs)
    yield Column(key="seconds", header=("time per trial",), cells=tuple(map(duration, seconds)))
    yield Column(key="total", header=("all trials",), cells=tuple(map(duration, totals)))


def _sizes(found: Sequence[ArmCost | None]) -> Iterator[Column]:
    """Yield the columns that anything is known for."""
    wanted: tuple[tuple[str, Callable[[ArmCost], float | None], Callable[[float], str]], ...] = (
        ("of it features", lambda cost: cost.feature_seconds, duration),
        ("parameters", lambda cost: cost.num_parameters, lambda value: f"{value:,.0f}"),
        ("model size, MB", lambda cost: cost.model_bytes, lambda value: _round(value / _BYTES_PER_MEGABYTE)),
        ("images a second", lambda cost: cost.images_per_second, lambda value: f"{float(f'{value:.3g}'):,.0f}"),
        ("epochs a second", lambda cost: cost.epochs_per_second, _round),
    )
    for name, read, spell in wanted:
        values = [None if cost is None else read(cost) for cost in found]
        if any(value is not None for value in values):
            cells = tuple("-" if value is None else spell(value) for value in values)
            yield Column(key=name, header=(name,), cells=cells)


def _round(value: float) -> str:
    """Spell a number to three significant digits, without an exponent."""
    return f"{float(f'{value:.3g}'):,}".removesuffix(".0") if value >= 0.001 else f"{value:.2g}"


def _explain(report: ReportInput) -> str:
    votes = " An ensemble of arms has the parameters and size of all its models." if report.votes else ""
    return (
        "Parameters are the trained ones, and the model is the weights kept for one trial; a body that stays frozen is "
        "in neither, but the time that computing its features took once is in the times, in equal shares. Arms "
        "trained together share their time evenly, and so their rates. Images a second are those passed through "
        f"training steps; epochs a second count evaluation as well; neither counts features.{votes}"
    )
