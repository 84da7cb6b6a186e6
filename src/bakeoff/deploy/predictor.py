"""Predicts with trained models, in the way of scikit-learn's classifiers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bakeoff.catalog.model_record import ModelRecord, Origin
from bakeoff.deploy.heat_maps import lay_over
from bakeoff.deploy.photos import Pixels, Unreadable, convert_images, decode_photos, list_photos
from bakeoff.deploy.records import find_record
from bakeoff.deploy.reliability import ClassReliability, count_reliability
from bakeoff.deploy.votes import Vote, find_vote
from bakeoff.errors import (
    ClassesError,
    HeatMapError,
    ModelFileError,
    WorkspaceOptionError,
    nearest,
)
from bakeoff.ledger.given import find_given_study
from bakeoff.ledger.read import open_reading
from bakeoff.report.document import Sources
from bakeoff.report.gather import gather_sources
from bakeoff.report.text import show_text
from bakeoff.report.winner import Prefer, Winner, choose_winner
from bakeoff.stats.measure import Split
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.temperature import scale
from bakeoff.workspace import Folders, check_workspace

if TYPE_CHECKING:
    from bakeoff.engine.model import Model

EXPORTED_WEIGHTS = "model.safetensors"
"""The weights in an exported folder."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What is predicted of one image.

    Attributes:
        path: the file.
        classes: the most probable classes, most probable first.
        probabilities: theirs.
        heat_map: the image as the models see it, uint8 [H, W, 3], and over it what speaks for the first class; None if
            not asked for, or if no model has feature maps.
    """

    path: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    heat_map: Pixels | None = field(default=None, compare=False, repr=False)


class Predictor:
    """One or several trained models that classify images of any size.

    Images are decoded, resized and normalised exactly as in training and in the final test.

    Attributes:
        classes_: class names, in the order of the columns of `predict_proba`.
        shape_HWC: height, width and channels that images are converted to. `fit`: how, if their aspect ratio differs.
        winner: the arm, and why it was chosen; None for a model from a file.
        origin: the study of an exported model; None for others.
        trial_ids: the trials whose models predict.
        temperature: what the logarithms of probabilities are divided by; 1: nothing changes.
        reliability: by class: how often it was right where it was predicted, by the first of the models.
    """

    def __init__(
        self,
        models: Sequence[Model],
        winner: Winner | None,
        vote: Vote,
        temperature: float = 1.0,
        reliability: Sequence[ClassReliability] = (),
        origin: Origin | None = None,
    ) -> None:
        self.origin = origin
        self._models, self.winner, self._vote, self.temperature = tuple(models), winner, vote, temperature
        self.reliability = tuple(reliability)
        record = models[0].record
        self.classes_, self.shape_HWC = np.asarray(record.class_names, dtype=object), record.shape_HWC
        self.fit = record.fit
        self.trial_ids = tuple(model.record.trial_id for model in models)

    @classmethod
    def load(
        cls,
        study: str | Path,
        workspace: str | Path = "runs",
        *,
        arm: str | None = None,
        block: str | None = None,
        ensemble: str | None = None,
        prefer: Prefer = "score",
        calibrate: bool = False,
        data_dir: str | Path | None = None,
    ) -> Predictor:
        """Return the predictor of a study's winner, or of a model in a file.

        Args:
            study: its name or id; or an exported folder, or a weights file that describes itself. These need no
                workspace and no other argument.
            workspace: the folder of its ledger.
            arm: the arm to use; None: the best on validation.
            block: the block; needed if there are several.
            ensemble: an ensemble of the study, or `replicates`: all models of the arm; None: the best of them.
            prefer: `score`, or `cheaper`: of the arms that tie with the best, the one trained fastest.
            calibrate: whether to divide the logarithms of the probabilities by a temperature that is fitted on the
                validation images (Guo et al. 2017), so that probabilities fit frequencies better; classes stay.
            data_dir: searched for training images, where a model of an earlier version needs them.

        Raises:
            WorkspaceError: no such workspace, study, arm, block or ensemble; nothing trained; weights missing.
            BakeoffError: weights are damaged or do not fit this version.
        """
        folders = Folders(check_workspace(workspace))
        file = find_model_file(study)
        if file is not None:
            if arm or block or ensemble or calibrate or prefer != "score":
                raise WorkspaceOptionError(
                    f"{file} is a single model: leave out arm, block, ensemble, prefer and calibrate."
                )
            return cls._load_file(file, folders)
        with open_reading(folders) as connection:
            identity = find_given_study(connection, str(study))
            sources = gather_sources(connection, identity, folders, None if data_dir is None else Path(data_dir))
            winner = choose_winner(sources, block, arm, prefer)
            vote = find_vote(winner, ensemble, sources)
            records = [find_record(trial_id, winner.block, sources) for trial_id in vote.trial_ids]
            temperature = vote.fit_temperature(sources) if calibrate else 1.0
            reliability = _measure(vote.trial_ids[0], sources)
        return cls([_load(record, folders) for record in records], winner, vote, temperature, reliability)

    @classmethod
    def _load_file(cls, file: Path, folders: Folders) -> Predictor:
        from bakeoff.engine.model_file import read_model_record, read_origin

        record, origin = read_model_record(file), read_origin(file)
        if record is None:
            raise ModelFileError(f"{file} does not describe itself: it is not a model of bakeoff, or an early one.")
        vote, temperature = Vote(trial_ids=(record.trial_id,)), 1.0 if origin is None else origin.temperature
        return cls([_load(record, folders, file)], None, vote, temperature, origin=origin)

    @property
    def arm(self) -> str | None:
        """The arm that predicts; None for a weights file that does not say it."""
        if self.winner is not None:
            return self.winner.arm
        return None if self.origin is None else self.origin.arm

    def describe(self) -> str:
        """Say which models predict, and what is known of them, in one line."""
        if self.winner is None:
            return f"Predicting with {_describe_file(self.origin, self.trial_ids[0])}."
        metric = find_metric(self.winner.metric)
        score = self.winner.test if self.winner.test is not None else self.winner.validation
        where = "test" if self.winner.test is not None else "validation"
        value = f"{score.mean:.1%}" if metric.is_share else f"{score.mean:.4g}"
        models = "its best model" if len(self._models) == 1 else f"{len(self._models)} models that vote"
        return f"{self.winner.describe()} Predicting with {models}; mean {where} {metric.label} of the arm {value}."

    def predict_proba(self, images: Any) -> npt.NDArray[np.float64]:
        """Return the probability of every class, float64 [n, classes], rows summing to 1.

        Args:
            images: paths, PIL images, arrays [H, W, C], tensors [C, H, W], or a batch; see `convert_images`.

        Raises:
            DataError: an image cannot be used; names it.
        """
        return self._predict(convert_images(images, self.shape_HWC, self.fit))

    def predict(self, images: Any) -> npt.NDArray[np.object_]:
        """Return the most probable class of every image, by name; arguments and errors as in `predict_proba`."""
        found: npt.NDArray[np.object_] = self.classes_[self.predict_proba(images).argmax(axis=1)]
        return found

    @property
    def can_explain(self) -> bool:
        """Whether a model has feature maps, which `explain` needs."""
        return any(model.has_maps for model in self._models)

    def explain(self, images: Any, classes: Sequence[str] | None = None) -> npt.NDArray[np.float32]:
        """Return where in each image the models find their evidence for a class, by Grad-CAM, float32 [n, H, W].

        Heat maps are from 0 to 1, their largest value, and have the size of `shape_HWC`. Several models have the mean
        of their maps.

        Args:
            images: as in `predict_proba`.
            classes: the class to explain each image for, by name; None: the predicted one.

        Raises:
            DataError: an image cannot be used, or there is no such class, or not one for each image.
            ExportError: augmentation of another package prepares images with code of its own.
            WorkspaceError: no model has feature maps.
        """
        pixels_NHWC = convert_images(images, self.shape_HWC, self.fit)
        if not self.can_explain:
            raise HeatMapError(f"{self.describe_unexplained()}.")
        if classes is None:
            return self._explain(pixels_NHWC, self._predict(pixels_NHWC).argmax(axis=1))
        if len(classes) != len(pixels_NHWC):
            raise ClassesError(f"{len(classes)} classes for {len(pixels_NHWC)} images: give one for each.")
        names = [str(name) for name in self.classes_]
        unknown = next((str(name) for name in classes if str(name) not in names), None)
        if unknown is not None:
            raise ClassesError(f"There is no class '{show_text(unknown)}'.{nearest(unknown, names)}")
        return self._explain(pixels_NHWC, np.array([names.index(str(name)) for name in classes], np.int64))

    def describe_unexplained(self) -> str:
        """Say why there are no heat maps."""
        name = self._models[0].record.recipe.network.name
        return f"{name} has no feature maps, which heat maps (Grad-CAM) are made of"

    def predict_files(
        self, places: Sequence[str | Path], top: int = 3, *, explain: bool = False
    ) -> Iterator[Prediction | Unreadable]:
        """Yield the most probable classes of every image file, in order; what cannot be read is yielded as such.

        Args:
            places: image files, folders, or tables with a column `path`.
            top: classes per image.
            explain: whether to draw heat maps; see `explain`.

        Raises:
            DataError: a place does not exist, or names no image.
        """
        for files, pixels_NHWC in decode_photos(list_photos(places), self.shape_HWC, self.fit):
            probabilities_NL = self._predict(pixels_NHWC)
            drawn_NHWC = None
            if explain and self.can_explain:
                drawn_NHWC = lay_over(pixels_NHWC, self._explain(pixels_NHWC, probabilities_NL.argmax(axis=1)))
            numbers = itertools.count()
            for file in files:
                if isinstance(file, Unreadable):
                    yield file
                    continue
                number = next(numbers)
                best = np.argsort(-probabilities_NL[number], kind="stable")[:top]
                yield Prediction(
                    path=file,
                    classes=tuple(str(self.classes_[each]) for each in best),
                    probabilities=tuple(float(probabilities_NL[number, each]) for each in best),
                    heat_map=None if drawn_NHWC is None else drawn_NHWC[number],
                )

    def _explain(self, pixels_NHWC: Pixels, classes_N: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        able = (model for model in self._models if model.has_maps)
        found: npt.NDArray[np.float32] = np.mean([model.explain(pixels_NHWC, classes_N) for model in able], axis=0)
        return found

    def _predict(self, pixels_NHWC: Pixels) -> npt.NDArray[np.float64]:
        probabilities_MNL = np.stack([model.predict(pixels_NHWC) for model in self._models])
        voted_NL = self._vote.cast(probabilities_MNL)
        return voted_NL if self.temperature == 1.0 else scale(voted_NL, self.temperature)


def _measure(trial_id: str, sources: Sources) -> Sequence[ClassReliability]:
    """Return the reliability of a trial's classes on the test images, or before the final test on validation."""
    splits: tuple[Split, ...] = ("test", "held-out", "validation")
    for split in splits:
        predictions = sources.voted.load(trial_id, split)
        if predictions is not None:
            return count_reliability(predictions["probabilities"], predictions["labels"], split)
    return ()


def find_model_file(place: str | Path) -> Path | None:
    """Return the weights file that a path names, or that lies in the exported folder it names; None for neither."""
    path = Path(place)
    candidates = (path,) if path.suffix == ".safetensors" else (path / EXPORTED_WEIGHTS,)
    return next((each for each in candidates if each.is_file()), None)


def _describe_file(origin: Origin | None, trial_id: str) -> str:
    if origin is None:
        return f"the model of trial {trial_id}"
    metric = find_metric(origin.metric)
    score = "not measured"
    if origin.score is not None:
        score = f"{origin.score:.1%}" if metric.is_share else f"{origin.score:.4g}"
    return f"{origin.arm} of study {origin.study}; its {origin.split} {metric.label}: {score}"


def _load(record: ModelRecord, folders: Folders, file: Path | None = None) -> Model:
    from bakeoff.engine.model import load_model

    return load_model(file or folders.weights(record.trial_id), record, folders)
