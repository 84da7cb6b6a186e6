"""Checks that every registered entry must pass, as plain functions: for packages that add entries, and for ours.

    from bakeoff.testing import check_optimizer
    check_optimizer(MY_SGD)

Each takes an entry, and settings if the defaults are not enough; it returns nothing, or raises `AssertionError` with
the violated rule. They need no test framework and take at most a few seconds. `find_checks("my-package")` returns those
of all entries of an installed package.
"""

from bakeoff.testing.packages import find_checks
from bakeoff.testing.records import (
    check_averaging,
    check_dataset,
    check_importer,
    check_initializer,
    check_metric,
    check_observer,
    check_schedule,
    check_search,
)
from bakeoff.testing.sections import check_section
from bakeoff.testing.tensors import check_augmentation, check_loss, check_mix, check_network, check_optimizer

__all__ = [
    "check_augmentation",
    "check_averaging",
    "check_dataset",
    "check_importer",
    "check_initializer",
    "check_loss",
    "check_metric",
    "check_mix",
    "check_network",
    "check_observer",
    "check_optimizer",
    "check_schedule",
    "check_search",
    "check_section",
    "find_checks",
]
