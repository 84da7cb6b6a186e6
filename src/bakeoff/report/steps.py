"""An ablation chain as a table: every version, what it changed, how it scores, what the change added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bakeoff.analysis.measure import Measure, Split, join_names, percent
from bakeoff.analysis.metrics import find_metric
from bakeoff.analysis.results import Summary, Verdict
from bakeoff.analysis.steps import Step
from bakeoff.report.tables import Column, measure_of, tabulate_measure
from bakeoff.report.text import count, p_value, show_text


def tabulate_steps(summary: Summary, steps: Sequence[Step], block: str) -> list[Column]:
    """Tabulate the chain in one block, a row per step: version, change, metrics, what it adds, what all since the start
    add.
    """
    mine = [step for step in steps if step.block == block]
    arms = {arm.arm: arm for arm in summary.arms_of(block)}
    rows = [arms[step.link.arm] for step in mine]
    measures = [m for m in _list_measures(summary) if any(arm.score(m) is not None for arm in rows)]
    measure = measure_of(summary)
    unit = "points" if measure.record.is_share else measure.record.label
    adds = [step.adds for step in mine]
    since = [step.since_start for step in mine]
    return [
        _text("version", [step.link.arm for step in mine]),
        _text("change", [step.link.change or "(start)" for step in mine]),
        *(tabulate_measure(each, rows) for each in measures),
        _text("from", [step.link.base or "-" for step in mine]),
        _number("adds", ("adds", unit), [_spell_difference(verdict, measure) for verdict in adds]),
        _number(
            "interval",
            (percent(summary.confidence), "interval"),
            ["-" if v is None or v.interval is None else measure.interval(v.interval) for v in adds],
        ),
        _number("p", ("p", "adjusted"), ["-" if v is None else p_value(v.p_adjusted) for v in adds]),
        _text("verdict", ["-" if v is None else v.verdict for v in adds]),
        _number("since start", ("since", "start"), [_spell_difference(verdict, measure) for verdict in since]),
        _text("since start verdict", ["-" if v is None else v.verdict for v in since], ("verdict", "since start")),
    ]


def describe_steps(summary: Summary, steps: Sequence[Step], block: str) -> list[str]:
    """Say which steps of a block are shown to help, to harm, or to matter too little, and how they are judged.

    Empty where the chain has no step.
    """
    judged = [step for step in steps if step.block == block and step.adds is not None]
    if not judged:
        return []
    measure = measure_of(summary)
    parts = []
    outcomes = {"better": "help", "worse": "harm", "equivalent": "change too little to matter"}
    for word, verb in outcomes.items():
        found = [step for step in judged if step.adds is not None and step.adds.verdict == word]
        if found:
            named = join_names(
                [f"{step.link.arm} on {step.link.base} ({_spell_size(step.adds, measure)})" for step in found]
            )
            parts.append(f"{len(found)} {_conjugate(verb, len(found))}: {named}")
    unsettled = sum(step.adds is not None and step.adds.verdict == "inconclusive" for step in judged)
    if unsettled:
        parts.append(f"{unsettled} {'is' if unsettled == 1 else 'are'} not settled")
    where = f"On {block}, of" if len(summary.blocks) > 1 else "Of"
    first = f"{where} {count(len(judged), 'step')} from arm to arm {'; '.join(parts)}."
    pairs = {(v.a, v.b) for step in judged for v in (step.adds, step.since_start) if v is not None}
    family = (
        f"Steps and comparisons with a start are a family of their own, {count(len(pairs), 'pair')}: their p values "
        "are adjusted for these, not for all pairs of arms."
    )
    return [first, family]


def dump_step(step: Step) -> dict[str, Any]:
    """Return one step as it stands in the JSON document; verdicts say what `arm` is relative to the other."""
    adds, since_start = (None if verdict is None else verdict.dump() for verdict in (step.adds, step.since_start))
    return {"block": step.block, **vars(step.link), "adds": adds, "since_start": since_start}


def _list_measures(summary: Summary) -> list[Measure]:
    names = dict.fromkeys((summary.metric, "accuracy", "macro_f1"))
    splits: tuple[Split, ...] = (summary.split, "train")
    return [Measure(find_metric(name), split) for name in names for split in splits]


def _spell_difference(verdict: Verdict | None, measure: Measure) -> str:
    return "-" if verdict is None or verdict.difference is None else measure.signed(verdict.difference)


def _spell_size(verdict: Verdict | None, measure: Measure) -> str:
    return f"{_spell_difference(verdict, measure)}{measure.unit_of_difference}"


def _conjugate(verb: str, number: int) -> str:
    first, _, rest = verb.partition(" ")
    return f"{first}{'s' if number == 1 else ''} {rest}".strip()


def _text(key: str, cells: Sequence[str], header: tuple[str, ...] = ()) -> Column:
    return Column(key=key, header=header or (key,), cells=tuple(map(show_text, cells)), is_number=False)


def _number(key: str, header: tuple[str, ...], cells: Sequence[str]) -> Column:
    return Column(key=key, header=header, cells=tuple(cells))
