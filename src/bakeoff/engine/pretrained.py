"""Reads from timm how the images were prepared on which its networks were trained.

Run as a program by processes that do not import torch: prints one JSON object, by network, of the configuration or of
the problem.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from bakeoff.catalog.networks.outside import TIMM
from bakeoff.catalog.networks.pretrained import PretrainedConfig
from bakeoff.engine.fused.vision import import_timm
from bakeoff.errors import BakeoffError, UnknownNetworkError, nearest


def read_config(network: str) -> PretrainedConfig:
    """Return the configuration of a timm network's own weights.

    Args:
        network: its name in a recipe, `timm:NAME`.

    Raises:
        NetworkError: timm has no such network.
        BakeoffError: timm or torchvision is missing.
    """
    timm, name = import_timm(), network.removeprefix(TIMM)
    config = timm.get_pretrained_cfg(name)
    if config is None:
        raise UnknownNetworkError(
            f"timm has no configuration {name}.{nearest(name.partition('.')[0], timm.list_models())}"
        )
    return PretrainedConfig(
        mean=tuple(map(float, config.mean)),
        sd=tuple(map(float, config.std)),
        size=(int(config.input_size[1]), int(config.input_size[2])),
        interpolation=str(config.interpolation),
        crop_ratio=float(config.crop_pct),
    )


def main(networks: list[str]) -> None:
    """Print the configurations of networks as JSON."""
    found: dict[str, object] = {}
    for network in networks:
        try:
            found[network] = asdict(read_config(network))
        except BakeoffError as error:
            found[network] = str(error)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
