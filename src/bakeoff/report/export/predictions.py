"""The table of single predictions: a row for each image, arm and replicate, with the image's file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from bakeoff.data.source import DataSource
from bakeoff.data.store import find_decoded
from bakeoff.report.document import ReportInput
from bakeoff.report.export.frame import Frame, FrameColumn, Kind, Value
from bakeoff.stats.measure import Split
from bakeoff.stats.results import TrialResult

_COLUMNS: dict[str, Kind] = {
    **dict.fromkeys(("block", "arm"), "text"),
    **dict.fromkeys(("replicate", "fold"), "integer"),
    "split": "text",
    "image": "integer",
    "file": "text",
    "group": "integer",
    **dict.fromkeys(("true_class", "predicted_class"), "text"),
    **dict.fromkeys(("true_class_probability", "predicted_class_probability"), "number"),
    "correct": "text",
}


@dataclass(frozen=True, kw_only=True)
class StoredPredictions:
    """Where the predictions of a study's trials and ensembles are, and which images they are of.

    Attributes:
        results: trials and votes.
        load: reads the predictions of one of them on a split; None if they are not stored.
        split: that verdicts rest on.
        class_names, sources: by block.
        fingerprints: (block, split) -> fingerprints of the images, from the ledger.
        data_dir: searched first for images.
    """

    results: Sequence[TrialResult]
    load: Callable[[str, str], Mapping[str, npt.NDArray[Any]] | None]
    split: Split
    class_names: Mapping[str, Sequence[str]]
    sources: Mapping[str, DataSource]
    fingerprints: Mapping[tuple[str, Split], frozenset[str]]
    data_dir: Path | None

    def list_rows(self) -> Iterator[tuple[Value, ...]]:
        """Yield a row per image of each result, in order; predictions are read one result at a time."""
        files: dict[str, Sequence[str] | None] = {}
        for result in self.results:
            predictions = self.load(result.trial_id, self.split) if result.state == "done" else None
            if predictions is not None:
                if result.block not in files:
                    files[result.block] = self._find_files(result.block)
                yield from self._list_images(result, predictions, files[result.block])

    def _find_files(self, block: str) -> Sequence[str] | None:
        """Return the paths of a block's images if they are decoded on this machine, and those that were predicted."""
        known = self.fingerprints.get((block, self.split), frozenset())
        split: Literal["train", "test"] = "test" if self.split == "test" else "train"
        images = None
        if self.sources[block].path is not None and len(known) == 1:
            images = find_decoded(self.sources[block], split, self.data_dir)
        return None if images is None or images.fingerprint not in known else images.files

    def _list_images(
        self, result: TrialResult, predictions: Mapping[str, npt.NDArray[Any]], files: Sequence[str] | None
    ) -> Iterator[tuple[Value, ...]]:
        names = self.class_names[result.block]
        fold = None if result.fold is None else result.fold + 1
        probabilities_NC, groups_N = predictions["probabilities"], predictions.get("groups")
        called_N = probabilities_NC.argmax(axis=1)
        for n, (index, true, called) in enumerate(
            zip(predictions["indices"].tolist(), predictions["labels"].tolist(), called_N.tolist(), strict=True)
        ):
            yield (
                *(result.block, result.arm, result.replicate + 1, fold, self.split, index),
                *(None if files is None else files[index], None if groups_N is None else int(groups_N[n])),
                *(names[true], names[called], float(probabilities_NC[n, true]), float(probabilities_NC[n, called])),
                "yes" if true == called else "no",
            )


def tabulate_predictions(report: ReportInput) -> Frame:
    """Tabulate every prediction on the split that verdicts rest on: a row per image, arm, replicate and fold.

    `image` is its number in its source split, `group` the number of its group there; `file` is its path in its folder
    or manifest. The last two are empty where images stand alone, or their names are not on this machine.
    """
    stored: StoredPredictions | None = report.facts.get("predictions")
    columns = tuple(FrameColumn(name, kind) for name, kind in _COLUMNS.items())
    return Frame(columns, () if stored is None else stored.list_rows())
