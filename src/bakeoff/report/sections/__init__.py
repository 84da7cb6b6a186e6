"""The sections of a report, one file each. To add one, write its file and list it here."""

from __future__ import annotations

from bakeoff.registry import Registry
from bakeoff.report.parts import Section
from bakeoff.report.sections import (
    answer,
    appendix,
    basis,
    blocks,
    calibration,
    classes,
    comparison,
    cost,
    curves,
    data,
    ensembles,
    factors,
    failures,
    groups,
    labels,
    mistakes,
    next,
    power,
    published,
    robustness,
    roc,
    search,
    steps,
    understood,
)

_IN_ORDER = (
    *(
        answer,
        understood,
        basis,
        data,
        blocks,
        comparison,
        factors,
        groups,
        steps,
        power,
        curves,
        classes,
        mistakes,
        labels,
        roc,
    ),
    *(calibration, robustness, search, ensembles, published, cost, failures, next, appendix),
)
"""In the order of a reader's questions; sections of installed packages follow."""

SECTIONS: Registry[Section] = Registry("section", [module.SECTION for module in _IN_ORDER], "bakeoff.sections")
