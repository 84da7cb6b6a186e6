"""ImageNet's labels, and which class names are among them."""

from __future__ import annotations

import pytest

from bakeoff.catalog.imagenet import LABELS, list_seen
from bakeoff.engine.fused.vision import import_torchvision

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def test_the_labels_are_those_of_the_weights() -> None:
    weights = import_torchvision().models.ResNet18_Weights.IMAGENET1K_V1
    assert tuple(weights.meta["categories"]) == LABELS


@pytest.mark.parametrize(
    ("names", "seen"),
    [
        (("ants", "bees"), ("ants", "bees")),
        (("ant", "Bee"), ("ant", "Bee")),
        (("tabby_cat", "tiger-cat", "Egyptian cats"), ("tiger-cat", "Egyptian cats")),
        (CIFAR10, ("bird", "cat", "dog", "frog", "ship", "truck")),
        (tuple("0123456789aAtT"), ()),
        (("benches", "butterflies", "buses", "horses"), ("benches", "butterflies")),
        (("strawberries", "wolf spiders", "park benches"), ("strawberries", "wolf spiders", "park benches")),
        (("cancer", "healthy", "pant"), ()),
    ],
)
def test_names_are_compared_word_by_word(names: tuple[str, ...], seen: tuple[str, ...]) -> None:
    assert list_seen(names) == seen
