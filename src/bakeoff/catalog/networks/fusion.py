"""Determines which networks can share one forward pass. No torch: cohorts are planned without it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bakeoff.catalog.networks.layers import Dropout, Layer, Residual


def fusion_key(layers: Sequence[Layer]) -> str:
    """Return a text that is equal for two networks exactly if their members can be fused.

    Shapes, strides, padding and activations must agree. Dropout rates may differ: each member keeps its own.
    """
    return json.dumps([_shape_of(layer) for layer in layers], sort_keys=True)


def _shape_of(layer: Layer) -> dict[str, object]:
    record = layer.model_dump(mode="json")
    if isinstance(layer, Dropout):
        record["rate"] = None
    if isinstance(layer, Residual):
        record["layers"] = [_shape_of(inner) for inner in layer.layers]
    return record
