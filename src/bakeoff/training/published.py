"""Published weights: fetched by torchvision's and timm's own programs, checked by hash, kept in the cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from bakeoff.data.locate import cache_folder
from bakeoff.networks.build import State
from bakeoff.networks.outside import TIMM, TORCHVISION, OutsideNetwork
from bakeoff.networks.vision import import_timm, import_torchvision
from bakeoff.training.transfer import WeightsError

TORCHVISION_VERSION = "IMAGENET1K_V1"
"""Which of torchvision's weights `imagenet` means: the only ones that all of these networks have."""


def fetch_published(network: OutsideNetwork) -> State:
    """Return a network's published weights by their publisher's names, fetched once and kept in the cache.

    Args:
        network: one of torchvision's or timm's.

    Raises:
        WeightsError: nothing is published for it, or it cannot be fetched, or what came does not have the right hash.
        BakeoffError: torchvision or timm is missing.
    """
    if network.name.startswith(TORCHVISION):
        return _fetch_torchvision(network.name.removeprefix(TORCHVISION))
    if network.name.startswith(TIMM):
        return _fetch_timm(network.name.removeprefix(TIMM))
    raise WeightsError(f"no weights are published for {network.name}: give a file, a trial or a study's arm.")


def _fetch_torchvision(name: str) -> State:
    weights: Any = import_torchvision().models.get_model_weights(name)[TORCHVISION_VERSION]
    with _fetching(f"torchvision:{name}", str(weights.url)) as folder:
        # What is fetched is data, not programs: torch's own reader is told to build tensors only.
        state: State = weights.get_state_dict(
            model_dir=str(folder), map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    return state


def _fetch_timm(name: str) -> State:
    timm = import_timm()
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        tags = ", ".join(timm.list_pretrained(f"{name.partition('.')[0]}.*")[:5])
        remedy = f"take one of {tags}" if tags else "give a file, a trial or a study's arm"
        raise WeightsError(f"timm publishes no weights for {name}: {remedy}.")
    timm.models.set_pretrained_check_hash(True)
    with _fetching(f"timm:{name}", str(config.url or config.hf_hub_id)) as folder:
        model = timm.create_model(name, pretrained=True, num_classes=0, cache_dir=str(folder))
    return {key: value.detach() for key, value in model.state_dict().items()}


@contextmanager
def _fetching(name: str, address: str) -> Iterator[Path]:
    """Give the folder to fetch into, one process at a time; whatever goes wrong becomes one line."""
    folder = cache_folder() / "weights"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{name.replace(':', '-')}.lock"):
            yield folder
    except Exception as error:  # what a failed download raises depends on torchvision's, timm's and the hub's programs
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200].rstrip(".")
        raise WeightsError(
            f"the published weights of {name} cannot be fetched from {address} to {folder}: {reason}. Go online and "
            "run again, or fetch them elsewhere and write weights: {file: PATH}."
        ) from error
