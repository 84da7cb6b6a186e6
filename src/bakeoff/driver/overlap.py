"""Detects transfers from trials that have seen this study's locked images, and keeps what later studies need to know.

A trial has seen the images it trained on and those it was selected on, and so have all trials that its weights started
from. If such an image, or a duplicate of it, or another image of its group, is in the test split or the held-out fold
of the trial to be trained, its score would be too high; in the validation split, its selection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bakeoff.data.audit.near import match
from bakeoff.data.audited import sign_opened
from bakeoff.data.known import KnownImages, load_known, save_labels
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_test, open_training
from bakeoff.engine.batches import held_out, split_view
from bakeoff.ledger.values import read_mapping
from bakeoff.messages import DataView
from bakeoff.study.plan import PlannedTrial
from bakeoff.workspace import Folders, write_whole

Indices = npt.NDArray[np.int64]
Pairs = npt.NDArray[np.int64]
"""[m, 2]: image of the earlier trial's training split, image of this study's split."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Locked images that the weights a trial starts from have seen.

    Attributes:
        trial_id: the trial that saw them, which the weights are from or started from.
        part: `test split`, `held-out fold` or `validation split`.
        num_seen: how many of its `num_images` images.
    """

    trial_id: str
    part: str
    num_seen: int
    num_images: int

    def describe(self) -> str:
        """Say it as a clause."""
        return f"{self.num_seen:,} of the {self.num_images:,} images of this study's {self.part}"


Overlaps: TypeAlias = Mapping[tuple[str, str], Overlap]
"""(block, arm) -> what the weights it starts from have seen."""


def dump_overlaps(overlaps: Overlaps, unknown: Mapping[tuple[str, str], str], block: str) -> dict[str, Any]:
    """Return a block's overlaps as plain values for the ledger's facts; what is empty is left out.

    Args:
        overlaps: what weights have seen.
        unknown: (block, arm) -> a trial that its weights come from, of which it is not known what it has seen.
        block: the block's label.

    Returns:
        `overlaps` and `unknown_overlaps`.
    """
    found = [{"arm": arm, **asdict(each)} for (where, arm), each in overlaps.items() if where == block]
    lost = [{"arm": arm, "trial_id": trial_id} for (where, arm), trial_id in unknown.items() if where == block]
    return {name: values for name, values in (("overlaps", found), ("unknown_overlaps", lost)) if values}


def keep_labels(sources: Iterable[DataSource], folders: Folders, data_dir: Path | None) -> None:
    """Keep labels and groups of training images in the workspace, for later studies that start from these trials.

    Together with the signatures, which the audit keeps, they say which images a trial has seen.

    Raises:
        StorageError: the workspace cannot be written.
    """
    for source in sources:
        images = open_training(source, data_dir)
        path = folders.labels(images.fingerprint)
        if not path.exists():
            write_whole(path, lambda temporary, images=images: save_labels(temporary, images))  # type: ignore[misc]


class OverlapFinder:
    """Finds what the weights of earlier trials have seen; compares each pair of splits once.

    Args:
        connection: the workspace's ledger.
        folders: the workspace.
        data_dir: searched first for images.

    Attributes:
        unknown: earlier trials of which it is not known what they have seen: of an earlier version or another
            workspace, or their files are gone.
    """

    def __init__(self, connection: sqlite3.Connection, folders: Folders, data_dir: Path | None) -> None:
        self._connection, self._folders, self._data_dir = connection, folders, data_dir
        self._known: dict[str, KnownImages | None] = {}
        self._own: dict[tuple[DataSource, str], KnownImages] = {}
        self._pairs: dict[tuple[str, str], Pairs] = {}
        self.unknown: dict[str, None] = {}

    def find(self, planned: PlannedTrial, trial_id: str, *, is_refit: bool = False) -> Overlap | None:
        """Return the overlap of a trial with the weights it is to start from; None if there is none.

        Locked images count first: a test image that was seen is worse than a validation image.

        Args:
            planned: the trial.
            trial_id: the earlier trial that the weights are of.
            is_refit: whether that was trained anew for them, on training and validation images together.
        """
        found = [
            overlap
            for number, (ancestor, content) in enumerate(self._list_ancestors(trial_id))
            for overlap in self._compare(planned, ancestor, content, is_refit=is_refit and number == 0)
        ]
        order = ("test split", "held-out fold", "validation split")
        return min(found, key=lambda each: (order.index(each.part), -each.num_seen), default=None)

    def find_unknown(self, trial_id: str) -> str | None:
        """Return one of the trials that weights come from of which `find` did not know what it has seen."""
        return next((each for each, _ in self._list_ancestors(trial_id) if each in self.unknown), None)

    def _list_ancestors(self, trial_id: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield a trial and those that its weights started from, with their contents."""
        met = set[str]()
        while trial_id not in met:
            met.add(trial_id)
            row = self._connection.execute("SELECT content FROM trials WHERE id = ?", (trial_id,)).fetchone()
            content = read_mapping(row[0]) if row else {}
            yield trial_id, content
            weights = (content.get("recipe", {}).get("transfer") or {}).get("weights")
            if not isinstance(weights, Mapping) or "trial" not in weights:
                return
            trial_id = weights["trial"]

    def _compare(
        self, planned: PlannedTrial, trial_id: str, content: Mapping[str, Any], *, is_refit: bool
    ) -> Iterator[Overlap]:
        seen = self._open_seen(content.get("data", {}).get("fingerprint", ""), planned.data.source)
        if seen is None:
            self.unknown[trial_id] = None
            return
        trained, selected = _split_seen(seen, content)
        every = np.arange(len(seen.images.labels)) if is_refit else np.concatenate([trained, selected])
        trained = every if is_refit else trained
        own = self._open(planned.data.source, "train")
        view = DataView(
            source=planned.data.source,
            validation=planned.data.validation,
            fingerprint=own.images.fingerprint,
            seed=planned.seed,
            folds=planned.data.folds,
            fold=planned.fold,
        )
        locked = held_out(own.images, view)
        test = self._open(planned.data.source, "test")
        parts = [("test split", every, test, np.arange(len(test.images.labels)))]
        parts += [] if locked is None else [("held-out fold", every, own, locked)]
        parts += [("validation split", trained, own, split_view(own.images, view)[1])]
        for part, indices, images, wanted in parts:
            num_seen = self._count(seen, indices, images, wanted)
            if num_seen:
                yield Overlap(trial_id=trial_id, part=part, num_seen=num_seen, num_images=len(wanted))

    def _count(self, seen: KnownImages, indices: Indices, images: KnownImages, wanted: Indices) -> int:
        """Return how many wanted images were seen themselves, as a duplicate, or as another image of their group."""
        key = (seen.images.fingerprint, images.images.fingerprint)
        if key not in self._pairs:
            self._pairs[key] = match(seen.signatures, images.signatures)
        pairs = self._pairs[key]
        is_met = np.zeros(len(images.images.labels), dtype=bool)
        is_met[pairs[np.isin(pairs[:, 0], indices), 1]] = True
        groups = images.images.groups
        if groups is not None:
            is_met = np.isin(groups, groups[is_met])
        return int(is_met[wanted].sum())

    def _open_seen(self, fingerprint: str, source: DataSource) -> KnownImages | None:
        """Return the training images with this fingerprint; None if the workspace does not know them."""
        own = self._open(source, "train")
        if own.images.fingerprint == fingerprint:
            return own
        if fingerprint not in self._known:
            places = self._folders.signatures(fingerprint), self._folders.labels(fingerprint)
            # What is no fingerprint is from a damaged ledger, and could lead anywhere.
            self._known[fingerprint] = load_known(*places, fingerprint) if fingerprint.isalnum() else None
        return self._known[fingerprint]

    def _open(self, source: DataSource, split: str) -> KnownImages:
        """Return one split of this study's images; the test split is only compared."""
        if (source, split) not in self._own:
            opened = open_training(source, self._data_dir) if split == "train" else open_test(source, self._data_dir)
            self._own[source, split] = KnownImages.of(opened, sign_opened(source, opened, self._data_dir))
        return self._own[source, split]


def _split_seen(seen: KnownImages, content: Mapping[str, Any]) -> tuple[Indices, Indices]:
    """Return the images that an earlier trial trained on, and those it was selected on."""
    data, fold = content["data"], content.get("fold")
    validation = data.get("validation", 0.1)
    view = DataView(
        source=DataSource(folder="."),
        validation="own" if isinstance(validation, str) else float(validation),
        fingerprint=seen.images.fingerprint,
        seed=int(content["seed"]),
        folds=data.get("folds"),
        fold=fold,
    )
    if data.get("folds") is not None and "validation" not in data:
        everything = np.arange(len(seen.images.labels))  # folds of an early version were selected on the held-out fold
        return everything, everything[:0]
    return split_view(seen.images, view)
