"""What every registered entry must keep, as plain functions: for the authors of packages that add one, and for ours.

    from bakeoff.testing import check_optimizer
    check_optimizer(MY_SGD)

Each takes an entry, and settings where those by default do not say enough; it returns nothing, or raises
`AssertionError` with what is not kept. They need no test framework and take seconds at most.
"""

from bakeoff.testing.records import check_dataset, check_metric, check_observer, check_schedule, check_search
from bakeoff.testing.tensors import check_augmentation, check_loss, check_network, check_optimizer

__all__ = [
    "check_augmentation",
    "check_dataset",
    "check_loss",
    "check_metric",
    "check_network",
    "check_observer",
    "check_optimizer",
    "check_schedule",
    "check_search",
]
