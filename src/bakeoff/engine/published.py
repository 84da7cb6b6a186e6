"""Published weights: downloaded by torchvision and timm, verified by hash, stored in the cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock

from bakeoff.catalog.networks.named import AnyNetwork
from bakeoff.catalog.networks.outside import TIMM, TORCHVISION
from bakeoff.data.locate import cache_folder
from bakeoff.engine.fused.build import State
from bakeoff.engine.fused.vision import import_timm, import_torchvision
from bakeoff.errors import PublishedWeightsError

TORCHVISION_VERSIONS = ("IMAGENET1K_V1", "IMAGENET1K_SWAG_LINEAR_V1")
"""The torchvision weights used for `imagenet`, the first that a network has; almost all have the first."""

REACH_SECONDS = 5.0
"""Time limit for a publisher's server to respond."""


def fetch_published(network: AnyNetwork) -> State:
    """Return a network's published weights by their publisher's names, downloaded once into the cache.

    Args:
        network: one of torchvision's or timm's.

    Raises:
        WeightsError: there are no published weights, or they cannot be downloaded, or have the wrong hash.
        BakeoffError: torchvision or timm is missing.
    """
    if network.name.startswith(TORCHVISION):
        return _fetch_torchvision(network.name.removeprefix(TORCHVISION))
    if network.name.startswith(TIMM):
        return _fetch_timm(network.name.removeprefix(TIMM))
    raise PublishedWeightsError(f"no weights are published for {network.name}: give a file, a trial or a study's arm.")


def choose_weights(name: str) -> Any:
    """Return torchvision's record of a network's published weights."""
    published = import_torchvision().models.get_model_weights(name).__members__
    return next(published[version] for version in TORCHVISION_VERSIONS if version in published)


def _fetch_torchvision(name: str) -> State:
    weights = choose_weights(name)
    with _fetching(f"torchvision:{name}", str(weights.url)) as folder:
        # Downloads are data, not programs: torch's reader is told to build only tensors.
        state: State = weights.get_state_dict(
            model_dir=str(folder), map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    return state


def _find_timm_config(name: str) -> Any:
    timm = import_timm()
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        tags = ", ".join(timm.list_pretrained(f"{name.partition('.')[0]}.*")[:5])
        remedy = f"choose one of {tags}" if tags else "give a file, a trial or a study's arm"
        raise PublishedWeightsError(f"timm publishes no weights for {name}: {remedy}.")
    return config


def _fetch_timm(name: str) -> State:
    timm, config = import_timm(), _find_timm_config(name)
    timm.models.set_pretrained_check_hash(True)
    with _fetching(f"timm:{name}", str(config.url or config.hf_hub_id)) as folder:
        model = timm.create_model(name, pretrained=True, num_classes=0, cache_dir=str(folder))
    return {key: value.detach() for key, value in model.state_dict().items()}


def find_published(network: AnyNetwork) -> str:
    """Return the address of a network's published weights; empty if the cache already has them.

    Raises:
        WeightsError: there are no published weights.
        BakeoffError: torchvision or timm is missing.
    """
    folder = cache_folder() / "weights"
    if network.name.startswith(TORCHVISION):
        name = network.name.removeprefix(TORCHVISION)
        address = str(choose_weights(name).url)
        return "" if (folder / PurePosixPath(urlsplit(address).path).name).is_file() else address
    config = _find_timm_config(network.name.removeprefix(TIMM))
    if config.hf_hub_id:  # timm's own preference
        hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        kept = folder / f"models--{config.hf_hub_id.replace('/', '--')}"
        return "" if kept.is_dir() else f"{hub}/{config.hf_hub_id}/resolve/main/config.json"
    return "" if (folder / PurePosixPath(urlsplit(config.url).path).name).is_file() else str(config.url)


def reach_published(network: AnyNetwork, address: str) -> None:
    """Check within a few seconds whether weights could be downloaded; download nothing.

    Raises:
        WeightsError: they do not exist, or the server does not respond.
    """
    request = Request(address, method="HEAD", headers={"User-Agent": "bakeoff"})
    try:
        with urlopen(request, timeout=REACH_SECONDS):
            return
    except HTTPError as error:
        if error.code not in (404, 410):
            return  # it responds: any other problem is reported when downloading
        reason = f"HTTP status {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        reason = str(getattr(error, "reason", "")) or str(error) or type(error).__name__
    raise PublishedWeightsError(
        f"the published weights of {network.name} cannot be reached at {address} ({reason}). Go online, or "
        "download them elsewhere and write weights: {file: PATH}."
    )


@contextmanager
def _fetching(name: str, address: str) -> Iterator[Path]:
    """Provide the download folder to one process at a time; any failure becomes a one-line error."""
    folder = cache_folder() / "weights"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{name.replace(':', '-')}.lock"):
            yield folder
    except Exception as error:  # the exception of a failed download depends on torchvision, timm and the hub
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200].rstrip(".")
        raise PublishedWeightsError(
            f"the published weights of {name} cannot be downloaded from {address} to {folder}: {reason}. Go online and "
            "run again, or download them elsewhere and write weights: {file: PATH}."
        ) from error
