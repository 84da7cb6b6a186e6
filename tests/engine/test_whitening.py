"""Whitening filters of real images, and evaluation on mirrored images: against NumPy and single passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from bakeoff.catalog.augmentation.records import HorizontalFlip, Normalize
from bakeoff.catalog.networks.layers import Conv, Dense, Layer, Whiten
from bakeoff.catalog.networks.named import Layers
from bakeoff.catalog.recipe import Recipe
from bakeoff.data.store import Images
from bakeoff.engine.evaluate import predict
from bakeoff.engine.fused.build import FusedNetwork, initialize
from bakeoff.engine.inputs import Inputs
from bakeoff.engine.whitening import measure_patches, whiten

WHITENED = Recipe(
    network=Layers(layers=(Whiten(activation="gelu"), Conv(filters=6, kernel=3, activation="relu"))),
    augmentation=(HorizontalFlip(), Normalize(mean=(0.5,), sd=(0.25,))),
    epochs=2,
)


def test_patches_are_those_of_the_images_as_evaluation_sees_them(images: Images) -> None:
    values = (images.pixels.astype(np.float64) / 255 - 0.5) / 0.25
    windows = np.lib.stride_tricks.sliding_window_view(values, (2, 2), axis=(1, 2))  # N, rows, columns, C, 2, 2
    patches = windows.reshape(-1, 2 * 4)
    expected = patches.T @ patches / len(patches)
    np.testing.assert_allclose(measure_patches(images, WHITENED, 2), expected, rtol=1e-4, atol=1e-6)


def test_what_comes_out_is_white_and_other_networks_are_left_alone(images: Images) -> None:
    layers: tuple[Layer, ...] = (Whiten(epsilon=1e-9),)
    state = whiten(initialize(layers, (9, 8, 2), WHITENED.initializer, 0), layers, images, WHITENED)
    inputs = Inputs(images, [WHITENED], 0, torch.float32)
    found = torch.cat(list(inputs.evaluate(np.arange(200), 50)))
    white_MP = torch.nn.functional.conv2d(found, state["0.filters"]).movedim(1, 3).flatten(0, 2)[:, :8].double()
    torch.testing.assert_close(white_MP.T @ white_MP / len(white_MP), torch.eye(8).double(), atol=2e-3, rtol=0)
    others: tuple[Layer, ...] = (Conv(filters=2, kernel=3),)
    plain = initialize(others, (9, 8, 2), WHITENED.initializer, 0)
    assert whiten(plain, others, images, WHITENED) is plain


def test_a_whitened_network_trains_alone_as_in_a_cohort(train: Callable[..., dict[Any, dict[str, Any]]]) -> None:
    other = WHITENED.model_copy(update={"label_smoothing": 0.1, "evaluate": "mirrored"})
    both = train({"a": WHITENED, "b": other}, folder="both")
    for name, recipe in (("a", WHITENED), ("b", other)):
        alone = train({name: recipe}, folder=name)
        for epoch in (1, 2):
            assert alone[name, epoch]["validation"]["loss"] == pytest.approx(
                both[name, epoch]["validation"]["loss"], 1e-3
            )


def test_mirrored_members_have_the_mean_of_both_logits(images: Images) -> None:
    mirrored = WHITENED.model_copy(update={"evaluate": "mirrored"})
    layers = (Whiten(activation="gelu"), Conv(filters=6, kernel=3, activation="relu"), Dense(units=4))
    state = initialize(layers, (9, 8, 2), WHITENED.initializer, 1)
    network = FusedNetwork([layers] * 2, [state] * 2)
    inputs = Inputs(images, [WHITENED, mirrored], 0, torch.float32)
    numbers = np.arange(60)
    plain_NL, mirrored_NL = predict(network, inputs, numbers)
    with torch.no_grad():
        (seen,) = inputs.evaluate(numbers, 60)
        logits, flipped = (network(each, network.cast())[0] for each in (seen, seen.flip(3)))
    np.testing.assert_allclose(plain_NL, torch.softmax(logits, 1).numpy(), rtol=1e-5)
    np.testing.assert_allclose(mirrored_NL, torch.softmax((logits + flipped) / 2, 1).numpy(), rtol=1e-5)
    assert np.abs(plain_NL - mirrored_NL).max() > 1e-3


def test_a_body_whose_features_are_stored_has_no_mirror_image() -> None:
    transfer = {"weights": {"file": "weights.safetensors"}, "freeze": "always"}
    with pytest.raises(ValidationError, match="computed once, without the mirror image"):
        Recipe.model_validate({"network": "cnn", "transfer": transfer, "evaluate": "mirrored"})
