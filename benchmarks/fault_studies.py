"""The studies of the fault campaign: they end in seconds, and cover every strategy."""

from __future__ import annotations

_RECIPE = """\
data: {validation: 0.2}
recipe: {network: {name: mlp, units: [16], dropout: 0.2}, epochs: EPOCHS, batch_size: 64}
numeric: float32
"""

_GRID = """\
question: Which learning rate?
arms:
  - optimizer: [{name: adam, learning_rate: 0.001}, {name: sgd, learning_rate: 0.1, momentum: 0.9}]
  - all: {epochs: EPOCHS}
    patient: {early_stopping: {patience: 2}}
replicates: 3
"""

_SEARCH = """\
question: Which learning rate, and how many units?
search:
  name: optuna
  trials: 8
  group: 4
  space: {optimizer.learning_rate: {low: 0.001, high: 0.1, log: true}, network.units.0: [8, 16]}
  halving: {first: 4, factor: 2}
  baseline: random
replicates: 2
"""

_FOLDS = """\
question: Which optimizer, over folds?
data: {folds: 3}
arms:
  - optimizer: [{name: adam, learning_rate: 0.003}, {name: rmsprop, learning_rate: 0.001}]
replicates: 1
"""

_ENSEMBLES = """\
question: Do they vote better than the best of them?
arms:
  - slow: {optimizer.learning_rate: 0.001}
    fast: {optimizer.learning_rate: 0.01}
    averaged: {optimizer.learning_rate: 0.01, averaging: {name: ema}}
ensembles:
  soft: {of: [slow, fast, averaged], by: soft, over: arms}
  greedy: {of: [slow, fast, averaged], by: greedy, over: arms}
replicates: 2
"""

STUDIES = {"grid": _GRID, "search": _SEARCH, "folds": _FOLDS, "ensembles": _ENSEMBLES}


def write_study(name: str, num_epochs: int) -> str:
    """Return one study file's text."""
    text = STUDIES[name]
    recipe = _RECIPE if "data:" not in text else _RECIPE.partition("\n")[2]
    return (text + recipe).replace("EPOCHS", str(num_epochs))
