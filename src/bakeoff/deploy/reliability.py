"""How often a predicted class was right, and what the images really showed when it was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bakeoff.stats.measure import Split


@dataclass(frozen=True, kw_only=True)
class ClassReliability:
    """One predicted class on images that did not train the model.

    Attributes:
        split: the images: test, or validation before the final test.
        predicted: the class.
        num_predicted: images that it was predicted for; `num_right`: those that show it.
        most_confused: the most frequent true class of the others, which `num_confused` images show; None if all were
            right.
    """

    split: Split
    predicted: int
    num_predicted: int
    num_right: int
    most_confused: int | None
    num_confused: int


def count_reliability(
    probabilities_NC: npt.NDArray[np.floating], labels_N: npt.NDArray[np.integer], split: Split
) -> Sequence[ClassReliability]:
    """Return the reliability of every class.

    Args:
        probabilities_NC: predictions on images that did not train the model.
        labels_N: their true classes.
        split: where the images are from.
    """
    num_classes = probabilities_NC.shape[1]
    predicted_N = probabilities_NC.argmax(axis=1)
    counts_CC = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts_CC, (predicted_N, labels_N), 1)
    found = []
    for number, row_C in enumerate(counts_CC):
        wrong_C = row_C.copy()
        wrong_C[number] = 0
        worst = int(wrong_C.argmax())
        found.append(
            ClassReliability(
                split=split,
                predicted=number,
                num_predicted=int(row_C.sum()),
                num_right=int(row_C[number]),
                most_confused=worst if wrong_C[worst] else None,
                num_confused=int(wrong_C[worst]),
            )
        )
    return found
