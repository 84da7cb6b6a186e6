"""What the name of a column of scores says: which metric it is, whether more is better, and of which images it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from bakeoff.errors import ScoresError
from bakeoff.stats.measure import Split
from bakeoff.stats.metrics import MetricRecord, share_of_classes

_SHARES = {
    *("acc", "accuracy", "acc1", "acc5", "top1", "top5", "precision", "recall", "sensitivity", "specificity"),
    *("f1", "fscore", "f1score", "auc", "auroc", "auprc", "ap", "map", "iou", "miou", "dice", "jaccard", "share"),
}
_LOWER = {
    *("loss", "error", "err", "mse", "rmse", "mae", "mape", "nll", "perplexity", "ppl", "ece", "brier", "wer", "cer"),
    *("fid", "regret", "entropy", "deviance", "seconds", "latency", "duration", "runtime", "time"),
}
_OTHERS = {
    "score",
    "value",
    "metric",
    "r2",
    "mcc",
    "kappa",
    "bleu",
    "rouge",
    "psnr",
    "ssim",
    "reward",
    "return",
    "fitness",
}
_SPLITS: dict[str, Split] = {
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "eval", "evaluation", "holdout", "heldout"), "test"),
}
_COSTS = {"seconds", "latency", "duration", "runtime", "time"}
_SAME = {"accuracy": "acc", "acc1": "acc", "top1": "acc", "validation": "val", "valid": "val", "error": "err"}

Unit = Literal["share", "percent", "plain"]


def split_words(name: str) -> tuple[str, ...]:
    """Return the words of a column's name in lower case: "valAcc/top-1" -> val, acc, top1."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    joined = re.sub(r"(?i)\b(top|f|acc|r)[-_@ ]?(\d)\b", r"\1\2", spaced)
    return tuple(word for word in re.split(r"[^a-z0-9]+", joined.lower()) if word)


def simplify(name: str) -> frozenset[str]:
    """Return a name's words such that spellings of one metric are equal: "Val accuracy" and "val_acc"."""
    return frozenset(_SAME.get(word, word) for word in split_words(name))


def is_score(name: str) -> bool:
    """Return whether a column's name is that of a score."""
    words = set(split_words(name))
    return bool(words & (_SHARES | _LOWER | _OTHERS)) and not words & _COSTS


def find_split(name: str) -> Split | None:
    """Return the images that a score is of, by its column's name; None if it does not say."""
    return next((_SPLITS[word] for word in split_words(name) if word in _SPLITS), None)


def rank_scores(names: Sequence[str]) -> tuple[str, ...]:
    """Return columns of scores, the most likely deciding one first: of test images, and accuracy before others."""

    def rank(name: str) -> tuple[int, int]:
        words = set(split_words(name))
        by_split = {"test": 0, None: 1, "validation": 2, "train": 3}
        kinds = ({"acc", "accuracy", "acc1", "top1"}, {"f1", "f1score", "fscore"}, {"auc", "auroc"}, _SHARES, _OTHERS)
        return by_split[find_split(name)], next((place for place, kind in enumerate(kinds) if words & kind), len(kinds))

    return tuple(sorted(names, key=rank))


def is_lower_better(name: str) -> bool:
    """Return whether less is better, by a column's name."""
    return bool(set(split_words(name)) & _LOWER)


def find_unit(name: str, values: Sequence[float]) -> Unit:
    """Return how scores of a column are written: shares (0..1), percentages, or numbers of another kind.

    Raises:
        DataError: some are shares and some percentages.
    """
    words = set(split_words(name))
    is_rate = bool(words & _SHARES) or (bool(words & {"err", "error"}) and not words & {"squared", "absolute", "mean"})
    low, high = min(values), max(values)
    if not is_rate or low < 0 or high > 100:
        return "plain"
    if high <= 1:
        return "share"
    small = [value for value in values if 0 < value <= 1]
    if small and words & _SHARES:
        raise ScoresError(
            f"{name} has shares and percentages: {small[0]:g} and {high:g}. Write all of them from 0 to 1, or all "
            "from 0 to 100."
        )
    return "plain" if small else "percent"


def make_record(name: str, unit: Unit, *, lower_is_better: bool) -> MetricRecord:
    """Return the metric that a column holds."""
    return MetricRecord(
        name=name,
        label=name,
        summary="a column of another tool's results",
        higher_is_better=not lower_is_better,
        is_share=unit != "plain",
        source="",
        compute=_refuse,
        chance=share_of_classes,
        is_column=True,
    )


def _refuse(predictions: object) -> float:
    raise ScoresError("a column of scores cannot be computed from predictions")
