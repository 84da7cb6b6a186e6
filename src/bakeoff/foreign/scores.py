"""Which columns are scores, and which of them most likely decides."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SPLITS = (
    {"test", "testing"},
    {"val", "valid", "validation", "eval", "evaluation", "dev", "holdout"},
    set[str](),
    {"train", "training"},
)
_KINDS = (
    {"acc", "accuracy", "top1", "acc1"},
    {"auc", "auroc", "f1", "map", "ap", "iou", "miou", "precision", "recall", "kappa", "mcc", "r2"},
    {"score", "value", "objective", "metric"},
    {"error", "err", "top5", "acc5"},
    {"loss", "nll", "mse", "rmse", "mae", "perplexity", "ece", "brier"},
)
_NO_SCORES = {
    "epoch",
    "epochs",
    "step",
    "steps",
    "iteration",
    "iter",
    "lr",
    "timestamp",
    "runtime",
    "rank",
    "hp_metric",
}
_TIMES = {"time", "seconds", "duration", "memory", "sec"}


def _split_words(name: str) -> list[str]:
    spaced = re.sub(r"([a-z])([A-Z])", r"\1_\2", name)
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]


def is_no_score(name: str) -> bool:
    """Return whether a number logged beside scores is none: an epoch, a step, a learning rate."""
    words = _split_words(name)
    return not words or words[-1] in _NO_SCORES or words[0] in _NO_SCORES or words[-2:] == ["learning", "rate"]


def looks_like_score(name: str) -> bool:
    """Return whether a column of unknown purpose is a score, by its name."""
    words = set(_split_words(name))
    return not is_no_score(name) and any(words & kind for kind in _KINDS)


def sort_metrics(names: Iterable[str]) -> list[str]:
    """Return metrics with the most likely deciding one first: test, validation, train; accuracy before loss."""
    return sorted(names, key=_rank)


def _rank(name: str) -> tuple[bool, int, int]:
    words = set(_split_words(name))
    if words == {"value"}:
        return False, -1, 0  # what the tool itself optimized
    split = next((i for i, known in enumerate(_SPLITS) if words & known), 2)
    kind = next((i for i, known in enumerate(_KINDS) if words & known), 2.5)
    return bool(words & _TIMES), split, int(2 * kind)
