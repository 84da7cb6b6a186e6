"""A trained model that predicts: exactly the path of the final test, for images of any origin.

Shape legend: N images, H and W pixels, C channels, L classes.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bakeoff.catalog.model_record import ModelRecord
from bakeoff.data.cache import Images
from bakeoff.data.source import DataSource
from bakeoff.engine.assembly import Assembly
from bakeoff.engine.evaluate import predict
from bakeoff.engine.export.whole import join_body
from bakeoff.engine.fused.build import State
from bakeoff.engine.gradcam import GradCam
from bakeoff.engine.weight_files import read_kept_weights
from bakeoff.messages import DataView, FinalTestTask, Member
from bakeoff.workspace import Folders

Pixels = npt.NDArray[np.uint8]


class Model:
    """One trained model.

    Args:
        record: what it is.
        saved: its weights as stored with a trial; without a permanently frozen body's own weights, which are then
            loaded from where the recipe's transfer says.
        folders: the workspace with the weights of earlier trials and files; only needed for such a body.

    Raises:
        NetworkError: the code of the user's own network has changed, or is not there.
        WeightsError: a frozen body's weights are unavailable.
    """

    def __init__(self, record: ModelRecord, saved: State, folders: Folders) -> None:
        self.record, self._folders = record, folders
        nothing = Images(
            pixels=np.zeros((0, *record.shape_HWC), np.uint8),
            labels=np.zeros(0, np.int64),
            class_names=record.class_names,
            fingerprint="",
        )
        self._assembly = Assembly.make(_make_task(record), nothing, folders, record.numeric, keeps_features=False)
        state = self._assembly.take_saved(record.recipe, dict(saved))
        self._network = self._assembly.build_network([record.recipe], [state])

    def predict(self, pixels_NHWC: Pixels) -> npt.NDArray[np.float32]:
        """Return class probabilities (N, L) of decoded images of the model's shape."""
        if pixels_NHWC.shape[1:] != self.record.shape_HWC:
            raise ValueError(f"images of {pixels_NHWC.shape[1:]}, not {self.record.shape_HWC}")
        images = replace(self._assembly.images, pixels=pixels_NHWC, labels=np.zeros(len(pixels_NHWC), np.int64))
        inputs = replace(self._assembly, images=images).make_inputs([self.record.recipe], self.record.seed)
        if not len(pixels_NHWC):
            return np.zeros((0, len(self.record.class_names)), np.float32)
        probabilities_KNL = predict(self._network, inputs, np.arange(len(pixels_NHWC)))
        return np.asarray(probabilities_KNL[0])

    @property
    def has_maps(self) -> bool:
        """Whether `explain` can be called: networks without feature maps have nothing to show. Errors are its own."""
        return self._cam.has_maps

    def explain(self, pixels_NHWC: Pixels, classes_N: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return Grad-CAM's heat map of each decoded image for a class, [N, H, W] from 0 to 1, in float32.

        Raises:
            ExportError: augmentation of another package prepares images with code of its own.
        """
        return self._cam.explain(pixels_NHWC, classes_N)

    @cached_property
    def _cam(self) -> GradCam:
        own = {**self._network.members[0], **self._network.member_buffers[0]}
        saved = self._assembly.name_for_saving(self.record.recipe, {name: each.detach() for name, each in own.items()})
        return GradCam(*join_body(self.record, saved, self._folders))


def load_model(path: Path, record: ModelRecord, folders: Folders) -> Model:
    """Return the model in a weights file.

    Raises:
        StorageError: the file cannot be read.
    """
    return Model(record, read_kept_weights(path), folders)


def _make_task(record: ModelRecord) -> FinalTestTask:
    member = Member(trial_id=record.trial_id, recipe=record.recipe, code=record.code)
    view = DataView(source=DataSource(folder="."), validation=0.1, fingerprint="", seed=record.seed)
    return FinalTestTask(final_test_id="", label="", members=(member,), data=view, numeric=record.numeric)
