from __future__ import annotations

import math

import pytest

from bakeoff.catalog.recipe import EarlyStopping
from bakeoff.engine.stopping import Stopper


def _watch(rule: EarlyStopping | None, values: list[float]) -> tuple[list[int], list[int], int | None]:
    """Return after every epoch: the best epoch so far, and the epochs waited; and the epoch that stopped it."""
    stopper = Stopper(rule)
    best_epochs, waits = [], []
    for epoch, value in enumerate(values, start=1):
        kept = stopper.observe(epoch, {"loss": value, "accuracy": value, "macro_f1": value})
        assert kept == (stopper.best_epoch == epoch)
        best_epochs.append(stopper.best_epoch)
        waits.append(stopper.waited)
        if stopper.exhausted:
            return best_epochs, waits, epoch
    return best_epochs, waits, None


# Worked by hand from keras.callbacks.EarlyStopping: an epoch improves when it is better than the best by more than
# min_delta; else the wait grows; training stops when the wait reaches the patience.
TABLE = [
    # rule, values, best epoch after each, waited after each, stopped at
    (EarlyStopping(patience=2), [0.9, 0.8, 0.7], [1, 2, 3], [0, 0, 0], None),
    (EarlyStopping(patience=2), [0.9, 1.0, 0.8, 0.8, 0.9], [1, 1, 3, 3, 3], [0, 1, 0, 1, 2], 5),
    (EarlyStopping(patience=1), [0.9, 0.9], [1, 1], [0, 1], 2),
    (EarlyStopping(patience=3), [0.5, 0.6, 0.7, 0.4, 0.5], [1, 1, 1, 4, 4], [0, 1, 2, 0, 1], None),
    (EarlyStopping(monitor="accuracy", patience=2), [0.1, 0.3, 0.2, 0.3], [1, 2, 2, 2], [0, 0, 1, 2], 4),
    (EarlyStopping(monitor="macro_f1", patience=2), [0.0, 0.1, 0.05], [1, 2, 2], [0, 0, 1], None),
    # Small steps that add up to more than min_delta improve on the best, not on the epoch before.
    (EarlyStopping(patience=2, min_delta=0.25), [1.0, 0.875, 0.5, 0.25], [1, 1, 3, 3], [0, 1, 0, 1], None),
    (EarlyStopping(patience=2, min_delta=0.25), [1.0, 0.75, 0.75], [1, 1, 1], [0, 1, 2], 3),
    (EarlyStopping(monitor="accuracy", patience=2, min_delta=0.25), [0.25, 0.5, 0.625], [1, 1, 3], [0, 1, 0], None),
    (None, [0.9, 1.0, 1.1], [1, 2, 3], [0, 0, 0], None),
]


@pytest.mark.parametrize(("rule", "values", "best_epochs", "waits", "stopped"), TABLE)
def test_follows_keras(
    rule: EarlyStopping | None, values: list[float], best_epochs: list[int], waits: list[int], stopped: int | None
) -> None:
    assert _watch(rule, values) == (best_epochs, waits, stopped)


def test_the_first_epoch_is_always_an_improvement() -> None:
    assert _watch(EarlyStopping(patience=1, min_delta=100.0), [87.3])[0] == [1]
    assert _watch(EarlyStopping(monitor="accuracy", patience=1, min_delta=0.9), [0.0])[0] == [1]


def test_the_best_value_is_remembered() -> None:
    stopper = Stopper(EarlyStopping(patience=5))
    assert math.isnan(stopper.best)
    for epoch, loss in enumerate([0.5, 0.25, 0.75], start=1):
        stopper.observe(epoch, {"loss": loss})
    assert stopper.best == 0.25
