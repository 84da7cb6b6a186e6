"""Resolves transfers before trials get their ids: to a trial of this workspace, or a file's content.

A study's arm becomes the trial of the same replicate and fold; a file is copied into the workspace under its SHA-256,
so that trials can be repeated after the file has moved. No torch: workers read the weights.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.transfer import FileWeights, StudyWeights, TrialWeights
from bakeoff.data.locate import search_folders
from bakeoff.data.source import show_text
from bakeoff.driver.facts import Datasets
from bakeoff.driver.overlap import Overlap, OverlapFinder
from bakeoff.driver.pretrained import resolve_trial
from bakeoff.engine.checkpoint_layout import holds_average
from bakeoff.engine.weights_header import TrainedBy, is_weights_file, read_training
from bakeoff.errors import SeenImagesError, TransferError, UnknownPartError, WeightsFileError, WorkspaceError, nearest
from bakeoff.ledger.read import find_study
from bakeoff.study.plan import PlannedTrial
from bakeoff.study.settings import DataSettings
from bakeoff.workspace import Folders, write_whole

Row = tuple[str, str, str, int, int | None, str | None]
"""Trial id, block, arm, replicate, fold, state (None: not finished) of one placement."""


class Resolver:
    """Resolves transfers; looks up each file and study once.

    Args:
        own_name: name of the current study, which cannot start from its own weights.
        connection: the workspace's ledger.
        folders: the workspace's layout.
        data_dir: searched for weights files after the current folder.
        datasets: facts about the images, which are opened to detect weights that have seen locked ones.

    Attributes:
        notes: choices made for the user, one sentence each.
        overlaps: (block, arm) -> locked images that its weights have seen, where the study allows it.
        unknown: (block, arm) -> a trial that its weights come from, of which it is not known what it has seen.
    """

    def __init__(
        self,
        own_name: str,
        connection: sqlite3.Connection,
        folders: Folders,
        data_dir: Path | None,
        datasets: Datasets | None = None,
    ) -> None:
        self._own_name, self._connection, self._folders, self._data_dir = own_name, connection, folders, data_dir
        self._datasets = datasets or {}
        self._overlaps = OverlapFinder(connection, folders, data_dir)
        self._checked: dict[tuple[TrainedBy, DataSettings, int, int | None], Overlap | None] = {}
        self._files: dict[FileWeights, FileWeights] = {}
        self._trained: dict[FileWeights, TrainedBy | None] = {}
        self._studies: dict[str, list[Row]] = {}
        self._recipes: dict[tuple[str, FileWeights | TrialWeights], Recipe] = {}
        self.notes: list[str] = []
        self.overlaps: dict[tuple[str, str], Overlap] = {}
        self.unknown: dict[tuple[str, str], str] = {}

    def resolve(self, planned: PlannedTrial) -> PlannedTrial:
        """Return a trial with its transfer and `normalize: pretrained` resolved; unchanged if it has neither.

        Raises:
            NetworkError: nothing is known about what the network was trained with.
            WorkspaceError: a file does not exist or has a different hash; a study, arm, block or trial is not in the
                ledger, is not finished, or lacks the replicate; its weights have seen locked images of the study.
        """
        planned = resolve_trial(planned)
        transfer = planned.recipe.transfer
        weights = None if transfer is None else transfer.weights
        if transfer is None or weights is None or weights == "imagenet":
            return planned
        definite: FileWeights | TrialWeights
        if isinstance(weights, FileWeights):
            definite = self._find_file(weights)
        elif isinstance(weights, StudyWeights):
            definite = TrialWeights(trial=self._find_arm(weights, planned))
        else:
            definite = TrialWeights(trial=self._find_trial(weights.trial))
        trained = TrainedBy(definite.trial) if isinstance(definite, TrialWeights) else self._read_training(definite)
        if trained is not None and planned.data.source in self._datasets:
            self._check_overlap(trained, planned)
        key = (planned.recipe.model_dump_json(), definite)
        if key not in self._recipes:
            self._recipes[key] = planned.recipe.start_from(definite)
        return replace(planned, recipe=self._recipes[key])

    def _find_file(self, weights: FileWeights) -> FileWeights:
        if weights not in self._files:
            found = _keep_file(weights, self._folders, self._data_dir)
            self._files[weights] = found
            if found.ema and not weights.ema:
                name = show_text(weights.file)
                self.notes.append(f"{name}: using the moving average of the weights; ema: false uses the weights.")
        return self._files[weights]

    def _read_training(self, weights: FileWeights) -> TrainedBy | None:
        """Return the trial that a file's weights are of, which may be known here; None if it is of none."""
        if weights not in self._trained:
            kept = self._folders.find_copied_weights(weights.sha256 or "")
            self._trained[weights] = None if kept is None else read_training(kept)
        return self._trained[weights]

    def _find_trial(self, wanted: str) -> str:
        """Return the full id of the only finished trial with this id prefix."""
        rows = self._connection.execute(
            "SELECT id, state, reason FROM trials WHERE substr(id, 1, ?) = ?", (len(wanted), wanted)
        ).fetchall()
        if not rows:
            raise TransferError(f"transfer: no trial {wanted} in the ledger of {self._folders.root}.")
        if len(rows) > 1:
            raise TransferError(f"transfer: {len(rows)} trials begin with {wanted}: give more of its id.")
        trial_id, state, reason = rows[0]
        return self._require_weights(trial_id, f"trial {trial_id}", state, reason)

    def _find_arm(self, weights: StudyWeights, planned: PlannedTrial) -> str:
        """Return the trial of the named arm with the replicate and fold of `planned`."""
        rows = self._read_study(weights.study)
        block = self._choose_block(weights, rows)
        where = f"study '{weights.study}', block '{block}'"
        arms = list(dict.fromkeys(row[2] for row in rows if row[1] == block))
        if weights.arm not in arms:
            raise _refuse(f"no arm '{show_text(weights.arm)}' in {where}", weights.arm, arms)
        own = [row for row in rows if row[1:3] == (block, weights.arm)]
        found = [row for row in own if row[3] == planned.replicate and row[4] in (planned.fold, None)]
        if not found:
            fold = "" if planned.fold is None else f", fold {planned.fold + 1}"
            has = ", ".join(dict.fromkeys(f"{row[3] + 1}" for row in own))
            raise TransferError(
                f"transfer: arm '{weights.arm}' of {where} has no replicate {planned.replicate + 1}{fold}; "
                f"it has replicates {has}. Run it with as many replicates{' and folds' if fold else ''}."
            )
        trial_id, state = found[0][0], found[0][5]
        return self._require_weights(trial_id, f"arm '{weights.arm}' of {where}", state)

    def _read_study(self, name: str) -> list[Row]:
        if name == self._own_name:
            raise TransferError(f"transfer: study '{name}' would start from its own weights: rename this study.")
        if name not in self._studies:
            try:
                study_id = find_study(self._connection, name)
            except WorkspaceError as error:
                raise TransferError(f"transfer: {error}") from None
            self._studies[name] = self._connection.execute(
                "SELECT p.trial_id, block, arm, replicate, fold, state FROM placements p "
                "LEFT JOIN trials t ON t.id = p.trial_id WHERE study_id = ? ORDER BY position",
                (study_id,),
            ).fetchall()
        return self._studies[name]

    def _choose_block(self, weights: StudyWeights, rows: Sequence[Row]) -> str:
        blocks = list(dict.fromkeys(row[1] for row in rows))
        if weights.block is None and len(blocks) == 1:
            return blocks[0]
        if weights.block is None:
            raise _refuse(f"study '{weights.study}' has several blocks: name one", "", blocks)
        if weights.block not in blocks:
            raise _refuse(f"no block '{show_text(weights.block)}' in study '{weights.study}'", weights.block, blocks)
        return weights.block

    def _check_overlap(self, trained: TrainedBy, planned: PlannedTrial) -> None:
        """Reject weights that have seen a trial's locked images, or record that the study allows it."""
        key = (trained, planned.data, planned.seed, planned.fold)
        if key not in self._checked:
            num_unknown = len(self._overlaps.unknown)
            self._checked[key] = self._overlaps.find(planned, trained.trial_id, is_refit=trained.is_refit)
            self.notes += [
                f"It is not known which images trial {lost} was trained on: this workspace has no signatures of "
                "them. If this study's test images are among them, its scores are too high."
                for lost in list(self._overlaps.unknown)[num_unknown:]
            ]
        unknown = self._overlaps.find_unknown(trained.trial_id)
        if unknown is not None:
            self.unknown.setdefault((planned.block, planned.arm), unknown)
        overlap = self._checked[key]
        if overlap is None:
            return
        if not planned.data.allow_overlap:
            raise SeenImagesError(
                f"transfer: arm '{show_text(planned.arm)}' would start from trial {overlap.trial_id}, which has seen "
                f"{overlap.describe()}, so its score would be too high. Use weights from other images, or set "
                "data.allow_overlap: true, which the report then says."
            )
        self.overlaps.setdefault((planned.block, planned.arm), overlap)

    def _require_weights(self, trial_id: str, what: str, state: str | None, reason: str = "") -> str:
        if state != "done":
            how = f"ended as {state}{f' ({reason})' if reason else ''}" if state else "is not finished"
            raise TransferError(f"transfer: {what} {how}, so it has no weights to start from. Run its study first.")
        path = self._folders.weights(trial_id)
        if not path.is_file():
            raise TransferError(f"transfer: the weights of {what} are missing: {path}.")
        return trial_id


def _refuse(problem: str, given: str, names: Sequence[str]) -> WorkspaceError:
    listed = ", ".join(show_text(name) for name in names) or "none"
    return UnknownPartError(f"transfer: {problem}. It has: {listed}.{nearest(given, names)}")


def _keep_file(weights: FileWeights, folders: Folders, data_dir: Path | None) -> FileWeights:
    """Copy a weights file into the workspace under its hash; return the record with the hash."""
    path = locate_weights(weights.file, data_dir)
    if path is None:
        if weights.sha256 is not None and folders.find_copied_weights(weights.sha256) is not None:
            return _choose_average(weights, weights.sha256, folders)
        raise WeightsFileError(
            f"transfer: no weights file {show_text(weights.file)}. Searched: the current folder"
            f"{''.join(f', {folder}' for folder in search_folders(data_dir))}."
        )
    try:
        if not is_weights_file(path):
            raise WeightsFileError(
                f"transfer: {show_text(str(path))} is not a weights file (safetensors or torch.save); nothing of it "
                "was copied."
            )
        digest = _hash_file(path)
        if weights.sha256 is not None and digest != weights.sha256:
            raise WeightsFileError(
                f"transfer: {show_text(str(path))} has the SHA-256 {digest}, not {weights.sha256} as in the study."
            )
        if folders.find_copied_weights(digest) is None:
            kept = folders.copied_weights(digest, path.suffix)
            # The copy must not be more readable than the file.
            write_whole(kept, lambda temporary: shutil.copyfile(path, temporary), mode=path.stat().st_mode & 0o666)
    except OSError as error:
        raise WeightsFileError(
            f"transfer: {show_text(str(path))} cannot be copied into {folders.root}: {error}."
        ) from None
    return _choose_average(weights, digest, folders)


def _choose_average(weights: FileWeights, digest: str, folders: Folders) -> FileWeights:
    """Return the record of a copied file, including whether the moving average of its weights is used."""
    kept = folders.find_copied_weights(digest)
    average = weights.ema is not False and kept is not None and holds_average(kept)
    if weights.ema and not average:
        raise WeightsFileError(
            f"transfer: {show_text(weights.file)} has no moving average of its weights: leave out ema."
        )
    return FileWeights(file=weights.file, sha256=digest, ema=average or weights.ema)


def locate_weights(file: str, data_dir: Path | None) -> Path | None:
    """Return the path of a weights file: absolute, or in the current or a data folder; None if not found.

    Raises:
        WorkspaceError: the path cannot be searched for.
    """
    given = Path(file).expanduser()
    candidates = [given] if given.is_absolute() else [given, *(folder / given for folder in search_folders(data_dir))]
    try:
        return next((path for path in candidates if path.is_file()), None)
    except (OSError, ValueError) as error:
        raise WeightsFileError(f"transfer: {show_text(file)} cannot be read: {error}.") from None


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
