from __future__ import annotations

import pytest

from bakeoff.catalog.networks.fusion import fusion_key
from bakeoff.catalog.networks.layers import AnyLayer, BatchNorm, Conv, Dense, Dropout, GlobalPool, Pool, Residual

LAYERS: tuple[AnyLayer, ...] = (Conv(filters=4, kernel=3), Pool(), Dropout(rate=0.2), Dense(units=10))


def _replace(number: int, layer: AnyLayer) -> tuple[AnyLayer, ...]:
    return (*LAYERS[:number], layer, *LAYERS[number + 1 :])


def test_dropout_rates_may_differ() -> None:
    assert fusion_key(LAYERS) == fusion_key(_replace(2, Dropout(rate=0.7)))
    one, other = (_replace(2, Residual(layers=(Dropout(rate=rate), BatchNorm()))) for rate in (0.2, 0.7))
    assert fusion_key(one) == fusion_key(other) != fusion_key(LAYERS)


@pytest.mark.parametrize(
    "other",
    [
        _replace(0, Conv(filters=5, kernel=3)),
        _replace(0, Conv(filters=4, kernel=5)),
        _replace(0, Conv(filters=4, kernel=3, stride=2)),
        _replace(0, Conv(filters=4, kernel=3, padding="same")),
        _replace(0, Conv(filters=4, kernel=3, activation="relu")),
        _replace(1, Pool(kind="average")),
        _replace(1, Pool(size=3)),
        _replace(1, Pool(padding="same")),
        _replace(1, GlobalPool()),
        _replace(0, Conv(filters=4, kernel=3, bias=False)),
        _replace(3, Dense(units=11)),
        _replace(3, Dense(units=10, activation="tanh")),
        _replace(2, Dense(units=3)),
        LAYERS[:2] + LAYERS[3:],
        LAYERS[1:],
        (*LAYERS, Dense(units=10)),
    ],
)
def test_any_other_difference_keeps_networks_apart(other: tuple[AnyLayer, ...]) -> None:
    assert fusion_key(other) != fusion_key(LAYERS)


def test_what_a_residual_layer_holds_counts() -> None:
    inner = (BatchNorm(), Dropout(rate=0.2))
    members: list[tuple[AnyLayer, ...]] = [
        (Residual(layers=inner),),
        (Residual(layers=inner, activation="tanh"),),
        (Residual(layers=(BatchNorm(momentum=0.2), inner[1])),),
        (Residual(layers=(BatchNorm(epsilon=0.2), inner[1])),),
        (Residual(layers=inner[::-1]),),
        inner,
    ]
    assert len({fusion_key(layers) for layers in members}) == len(members)
