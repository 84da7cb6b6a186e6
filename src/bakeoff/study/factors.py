"""Which axes of a study's arms are factors, and which arm has which of their levels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bakeoff.stats.factorial import Factor, FactorialDesign
from bakeoff.study.axes import Entry, read_axes
from bakeoff.study.design import Design, describe_aliases, find_varied

MAX_NAME = 40
"""Characters of a factor's name that is made of its levels."""

Axes = Sequence[Mapping[str, Any]]


def list_factors(axes: Axes, design: Design | None = None) -> FactorialDesign | None:
    """Return the factorial design that a study's arms are; None if fewer than two axes have two levels or more.

    Args:
        axes: the study's `arms`, plain and free of faults.
        design: the study's; None for a full one.
    """
    entries, _ = read_axes("arms", axes)
    varied = find_varied(entries)
    if len(varied) < 2:
        return None
    names = name_factors([entries[place] for place in varied])
    factors = tuple(
        Factor(name=name, levels=tuple(entry.label for entry in entries[place]))
        for name, place in zip(names, varied, strict=True)
    )
    fraction = None if design is None or design.is_full else design.make(len(varied))
    if fraction is None or fraction.is_full or design is None:
        return FactorialDesign(factors=factors, cells=dict(_list_cells(entries, varied)))
    rows = [tuple(map(int, row)) for row in fraction.levels_NK]
    order = sorted(range(len(rows)), key=rows.__getitem__)
    arms = {_label(entries, varied, rows[run]): run for run in order}
    aliases = describe_aliases(fraction, names)
    return FactorialDesign(
        factors=factors,
        cells={arm: rows[run] for arm, run in arms.items()},
        kind=design.kind,
        resolution=fraction.resolution,
        aliases=(aliases,) if aliases else (),
        others=tuple(
            {arm: int(column[run]) for arm, run in arms.items()} for column in np.asarray(fraction.others_NJ).T
        ),
        title=fraction.title,
    )


def _list_cells(entries: Sequence[Sequence[Entry]], varied: Sequence[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    for cell in itertools.product(*(range(len(entries[place])) for place in varied)):
        yield _label(entries, varied, cell), cell


def _label(entries: Sequence[Sequence[Entry]], varied: Sequence[int], cell: Sequence[int]) -> str:
    levels = dict(zip(varied, cell, strict=True))
    return " / ".join(axis[levels.get(place, 0)].label for place, axis in enumerate(entries))


def name_axes(axes: Axes) -> list[str]:
    """Return the names of the axes with two levels or more; see `name_factors`."""
    entries, _ = read_axes("arms", axes)
    return name_factors([entries[place] for place in find_varied(entries)])


def name_factors(axes: Sequence[Sequence[Entry]]) -> list[str]:
    """Return a name for every axis: the one field it changes, else its levels ("plain or residual"), else "axis 2".

    Names that would be alike get their axis's number.
    """
    names = [_name_factor(axis) or f"axis {number}" for number, axis in enumerate(axes, start=1)]
    return [name if names.count(name) == 1 else f"{name} (axis {number})" for number, name in enumerate(names, start=1)]


def _name_factor(axis: Sequence[Entry]) -> str:
    fields = {change.path[1:] for entry in axis for change in entry.changes}
    if len(fields) == 1:
        return ".".join(map(str, fields.pop()))
    levels = " or ".join(filter(None, [", ".join(entry.label for entry in axis[:-1]), axis[-1].label]))
    return levels if len(levels) <= MAX_NAME else ""
