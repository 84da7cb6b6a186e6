"""What members see: images gathered in order, augmented alike where they ask alike, mixed, sent through a body."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bakeoff.catalog.augmentation.records import HorizontalFlip, Normalize
from bakeoff.catalog.mixing import Mixup
from bakeoff.catalog.networks.named import MLP
from bakeoff.catalog.recipe import Recipe
from bakeoff.data.store import Images
from bakeoff.engine.batches import epoch_order
from bakeoff.engine.inputs import Inputs

INDICES = np.array([3, 4, 7, 8, 9, 15, 16, 20, 21, 29])
PLAIN = Recipe(network=MLP())


def _make_images(channels: int = 1) -> Images:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (30, 4, 5, channels), dtype=np.uint8)
    labels = generator.integers(0, 10, 30)
    pixels.flags.writeable = labels.flags.writeable = False
    return Images(pixels=pixels, labels=labels, class_names=tuple("0123456789"), fingerprint=f"inputs {channels}")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batches_hold_the_scaled_images_in_order(channels: int, dtype: torch.dtype) -> None:
    images = _make_images(channels)
    order = epoch_order(INDICES, 0, 1)
    batches = list(Inputs(images, [PLAIN, PLAIN], 0, dtype).train(order, 4, 1))
    assert [len(batch.labels_N) for batch in batches] == [4, 4, 2]
    images_NCHW = torch.cat([batch.inputs for batch in batches])
    assert images_NCHW.dtype == dtype
    assert images_NCHW.shape == (10, channels, 4, 5)
    assert all(batch.inputs.is_contiguous(memory_format=torch.channels_last) for batch in batches)
    assert all(batch.mixed is None for batch in batches)
    expected = torch.from_numpy(np.moveaxis(images.pixels[order], 3, 1).astype(np.float64) / 255)
    step = 2**-24 if dtype == torch.float32 else 2**-8
    assert (images_NCHW.double() - expected).abs().max() <= 2 * step
    assert torch.equal(torch.cat([batch.labels_N for batch in batches]), torch.from_numpy(images.labels[order]))


def test_black_is_0_and_white_is_1() -> None:
    pixels = np.array([0, 255], dtype=np.uint8).reshape(1, 1, 2, 1)
    images = Images(pixels=pixels, labels=np.zeros(1, dtype=np.int64), class_names=("a", "b"), fingerprint="two")
    for dtype in (torch.float32, torch.bfloat16):
        (found,) = Inputs(images, [PLAIN], 0, dtype).evaluate(np.zeros(1, dtype=np.int64), 8)
        assert found.flatten().tolist() == [0.0, 1.0]


def test_members_that_ask_for_the_same_share_and_the_others_have_their_own() -> None:
    images = _make_images()
    flipped = PLAIN.model_copy(update={"augmentation": (HorizontalFlip(probability=1.0),)})
    mixed = PLAIN.model_copy(update={"mix": Mixup(alpha=1.0)})
    inputs = Inputs(images, [flipped, PLAIN, mixed, flipped], 7, torch.float32)
    (batch,) = inputs.train(INDICES, 16, 1)
    assert batch.inputs.shape == (4, 10, 1, 4, 5)
    plain = next(Inputs(images, [PLAIN], 7, torch.float32).train(INDICES, 16, 1)).inputs
    alone = next(Inputs(images, [mixed], 7, torch.float32).train(INDICES, 16, 1))
    assert torch.equal(batch.inputs[0], plain.flip(3))
    assert torch.equal(batch.inputs[3], plain.flip(3))
    assert torch.equal(batch.inputs[1], plain)
    assert torch.equal(batch.inputs[2], alone.inputs)
    assert batch.mixed is not None
    assert alone.mixed is not None
    assert torch.equal(
        batch.mixed.share_N, torch.stack([torch.ones(10), torch.ones(10), alone.mixed.share_N, torch.ones(10)])
    )
    (evaluated,) = inputs.evaluate(INDICES, 16)
    assert torch.equal(evaluated[0], plain)
    assert torch.equal(evaluated[2], plain)


def test_the_test_images_are_normalised_by_the_training_images() -> None:
    training, test = _make_images(), _make_images()
    test = Images(
        pixels=np.full((4, 4, 5, 1), 255, dtype=np.uint8),
        labels=np.zeros(4, np.int64),
        class_names=("a",),
        fingerprint="t",
    )
    recipe = PLAIN.model_copy(update={"augmentation": (Normalize(mean="data", sd="data"),)})
    inputs = Inputs(test, [recipe], 0, torch.float32, training_images=training)
    (found,) = inputs.evaluate(np.arange(4), 4)
    scaled = training.pixels / 255
    assert found.flatten().numpy() == pytest.approx((1 - scaled.mean()) / scaled.std(), rel=1e-5)


def test_images_pass_through_a_body_on_their_way() -> None:
    def body(images_NCHW: torch.Tensor) -> torch.Tensor:
        return images_NCHW.float().mean(dim=(2, 3)).repeat(1, 3)

    images = _make_images()
    inputs = Inputs(images, [PLAIN], 0, torch.float32, body)
    (batch,) = inputs.train(INDICES, 16, 1)
    assert batch.inputs.shape == (10, 3, 1, 1)
    assert batch.inputs[:, 0, 0, 0].numpy() == pytest.approx(
        images.pixels[INDICES].mean(axis=(1, 2, 3)) / 255, rel=1e-5
    )


def test_features_are_handed_on_as_they_are() -> None:
    features = np.random.default_rng(0).normal(size=(30, 1, 1, 6)).astype(np.float32)
    images = Images(pixels=features, labels=np.arange(30), class_names=("a", "b"), fingerprint="x")  # type: ignore[arg-type]
    inputs = Inputs(images, [PLAIN], 0, torch.float32)
    (batch,) = inputs.train(INDICES, 16, 1)
    assert np.array_equal(batch.inputs.squeeze().numpy(), features[INDICES].squeeze())
    assert np.array_equal(next(inputs.evaluate(INDICES, 16)).squeeze().numpy(), features[INDICES].squeeze())
