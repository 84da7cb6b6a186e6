"""Grad-CAM: where in an image a network finds its evidence for a class (Selvaraju et al. 2017, section 3).

Shape legend: N images, H and W pixels, C channels, h and w positions of feature maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bakeoff.catalog.model_record import ModelRecord
from bakeoff.engine.export import standalone
from bakeoff.engine.export.lower import Plan, lower
from bakeoff.engine.fused.build import State

_BATCH = 32


class GradCam:
    """Explains the predictions of one model by its last layer of feature maps.

    The maps of that layer are weighted with the mean gradient of a class's logit, and summed; what speaks against the
    class is left out. Predictions that are averaged with the mirror image have the mean of both maps.

    Args:
        record: the whole model; a frozen body is part of it.
        state: its weights.

    Attributes:
        has_maps: whether there is such a layer: dense layers on pixels and transformers' tokens have none.

    Raises:
        ExportError: augmentation of another package prepares its images with code of its own.
        NetworkError: an outside network cannot be built.
    """

    def __init__(self, record: ModelRecord, state: State) -> None:
        self._plan, self._size_HW = lower(record), record.shape_HWC[:2]
        self._network = _TappedNetwork(self._plan)
        self._network.load_state_dict(standalone.name_weights(state, self._plan))
        self._network.eval().requires_grad_(False)
        self._network.find_maps(torch.zeros(1, *record.shape_HWC, dtype=torch.uint8))
        self.has_maps = self._network.target is not None

    def explain(self, pixels_NHWC: npt.NDArray[np.uint8], classes_N: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return a heat map per image, [N, H, W], from 0 to 1, its largest value; all 0 if nothing speaks for a class.

        Args:
            pixels_NHWC: decoded images of the model's shape.
            classes_N: the class that each is explained for.
        """
        parts = [np.zeros((0, *self._size_HW), np.float32)]
        for start in range(0, len(pixels_NHWC), _BATCH):
            chosen = slice(start, start + _BATCH)
            maps_Nhw = self.compute_maps(torch.from_numpy(pixels_NHWC[chosen]), torch.from_numpy(classes_N[chosen]))
            maps_NHW = _place(maps_Nhw, self._plan["steps"], self._size_HW)
            largest_N = maps_NHW.amax((1, 2), keepdim=True)
            parts.append((maps_NHW / largest_N.where(largest_N > 0, 1)).numpy())
        return np.concatenate(parts)

    def compute_maps(self, images_NHWC: Tensor, classes_N: Tensor) -> Tensor:
        """Return the maps [N, h, w] at the size of the layer, not scaled to 1."""
        x = self._network.prepare(images_NHWC)
        maps_Nhw = self._weigh(x, classes_N)
        return (maps_Nhw + self._weigh(x.flip(-1), classes_N).flip(-1)) / 2 if self._plan["mirrored"] else maps_Nhw

    @torch.enable_grad()
    def _weigh(self, x_NCHW: Tensor, classes_N: Tensor) -> Tensor:
        logits_NL = self._network.compute_logits(x_NCHW)
        score = logits_NL.gather(1, classes_N[:, None]).sum()
        (gradients,) = torch.autograd.grad(score, self._network.maps)
        maps_NChw, gradients_NChw = (self._network.orient(each.detach()) for each in (self._network.maps, gradients))
        return (gradients_NChw.mean((2, 3), keepdim=True) * maps_NChw).sum(1).relu()


class _TappedNetwork(standalone.Network):
    """A network that gives access to the output of one layer.

    Attributes:
        target: the number of that output, in the order of computation; None if there are no feature maps.
        maps: the output, to which gradients can be computed.
    """

    maps: Tensor

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.target: int | None = None
        self._shapes: list[torch.Size] = []
        self._num_features = 0
        if self.body is not None:
            for module in self.body.modules():
                module.register_forward_hook(lambda module, inputs, output: self._tap(output))

    def find_maps(self, image_1HWC: Tensor) -> None:
        """Choose the last output that has several positions, if it consists of maps and not of tokens."""
        with torch.no_grad():
            self.compute_logits(self.prepare(image_1HWC))
        spread = [number for number, shape in enumerate(self._shapes) if self._count_positions(shape) > 1]
        self.target = spread[-1] if spread and len(self._shapes[spread[-1]]) == 4 else None

    def compute_logits(self, x: Tensor) -> Tensor:
        """Return logits [N, classes] of prepared images [N, C, H, W]."""
        self._shapes = []
        if self.body is not None:
            x = self.body(x).flatten(1)
            self._num_features = x.shape[1]
        for number, layer in enumerate(self.plan["layers"]):
            x = self._tap(standalone.run_layer(self.head, str(number), layer, x))
        return x

    def orient(self, maps: Tensor) -> Tensor:
        """Return maps with their channels first."""
        return maps.permute(0, 3, 1, 2) if self._is_channels_last(maps.shape) else maps

    def _tap(self, output: Any) -> Any:
        if not isinstance(output, Tensor):  # of a part of another's network
            return output
        self._shapes.append(output.shape)
        if len(self._shapes) - 1 != self.target:
            return output
        self.maps = output.detach().requires_grad_()
        return self.maps.clone()  # which a later layer may change in place

    def _count_positions(self, shape: torch.Size) -> int:
        if len(shape) == 4:
            return shape[1] * shape[2] if self._is_channels_last(shape) else shape[2] * shape[3]
        return shape[1] if len(shape) == 3 else 0

    def _is_channels_last(self, shape: torch.Size) -> bool:
        """Return whether maps are [N, h, w, C], as in Swin: their channels become the features."""
        return shape[3] == self._num_features != shape[1]


def _place(maps_Nhw: Tensor, steps: Sequence[Plan], size_HW: tuple[int, int]) -> Tensor:
    """Return maps of a network's input as maps [N, H, W] of the images it was prepared from; 0 where these were cut."""
    sizes = [size_HW]
    for step in steps:
        sizes.append(_trace(step, sizes[-1]))
    maps = _resize(maps_Nhw[:, None], sizes[-1])
    for step, (height, width) in zip(reversed(steps), reversed(sizes[:-1]), strict=True):
        if step["type"] == "crop":
            top, left = step["top"], step["left"]
            maps = F.pad(maps, (left, width - left - step["width"], top, height - top - step["height"]))
        elif step["type"] == "pad":
            maps = maps[:, :, step["amount"] :, step["amount"] :][:, :, :height, :width]
        else:
            maps = _resize(maps, (height, width))
    return maps[:, 0]


def _trace(step: Plan, size_HW: tuple[int, int]) -> tuple[int, int]:
    if step["type"] == "crop":
        return step["height"], step["width"]
    if step["type"] == "pad":
        return size_HW[0] + 2 * step["amount"], size_HW[1] + 2 * step["amount"]
    height, width = step.get("size", size_HW)
    return height, width


def _resize(maps_N1hw: Tensor, size_HW: tuple[int, int]) -> Tensor:
    if tuple(maps_N1hw.shape[2:]) == size_HW:
        return maps_N1hw
    return F.interpolate(maps_N1hw, size_HW, mode="bilinear", align_corners=False)
