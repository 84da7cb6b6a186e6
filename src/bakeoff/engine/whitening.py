"""The filters of a whitening layer, computed from the training images as preprocessed for evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from bakeoff.catalog.networks.layers import Layer, Whiten
from bakeoff.catalog.networks.whitening import whitening_filters
from bakeoff.catalog.recipe import Recipe
from bakeoff.data.store import Images
from bakeoff.engine.fused.build import State
from bakeoff.engine.inputs import Inputs

NUM_IMAGES = 5_000
"""Images whose patches are used: millions of patches determine a covariance of a few dozen numbers."""

_BATCH = 500

_COVARIANCES: dict[tuple[str, str, int], npt.NDArray[np.float64]] = {}


def whiten(state: State, layers: Sequence[Layer], images: Images, recipe: Recipe) -> State:
    """Set a whitening first layer's filters from these training images; other networks' states are returned unchanged.

    The images are evenly spaced over all training images (regardless of labels), normalized and resized as in the
    recipe, without random augmentation, so arms of a study with equal settings whiten identically.
    """
    layer = layers[0]
    if not isinstance(layer, Whiten) or images.pixels.dtype != np.uint8:
        return state
    filters = whitening_filters(measure_patches(images, recipe, layer.kernel), layer.epsilon)
    shaped = torch.from_numpy(filters).view_as(state["0.filters"]).to(state["0.filters"].device)
    return {**state, "0.filters": shaped}


def measure_patches(images: Images, recipe: Recipe, kernel: int) -> npt.NDArray[np.float64]:
    """Return the uncentred covariance of all kernel x kernel patches, (channels x kernel^2) squared; computed once.

    Uncentred, as published: normalized images have a mean near zero.
    """
    key = (images.fingerprint, str(recipe.model_dump(mode="json", include={"augmentation"})), kernel)
    if key not in _COVARIANCES:
        _COVARIANCES[key] = _measure(images, recipe, kernel)
    return _COVARIANCES[key]


def _measure(images: Images, recipe: Recipe, kernel: int) -> npt.NDArray[np.float64]:
    total = len(images.pixels)
    chosen = np.linspace(0, total - 1, min(total, NUM_IMAGES)).astype(np.int64)
    inputs = Inputs(images, [recipe], 0, torch.float32)
    products: npt.NDArray[np.float64] | None = None
    num_patches = 0
    for images_NCHW in inputs.evaluate(chosen, _BATCH):
        patches_NPL = torch.nn.functional.unfold(images_NCHW.contiguous(), kernel)
        patches_MP = patches_NPL.transpose(1, 2).flatten(0, 1).double()
        product = (patches_MP.T @ patches_MP).cpu().numpy()
        products = product if products is None else products + product
        num_patches += len(patches_MP)
    assert products is not None, "a dataset has images"
    return products / num_patches
