"""Published weights: fetched by torchvision's and timm's own programs, checked by hash, kept in the cache."""

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

from bakeoff.data.locate import cache_folder
from bakeoff.networks.build import State
from bakeoff.networks.named import AnyNetwork
from bakeoff.networks.outside import TIMM, TORCHVISION
from bakeoff.networks.vision import import_timm, import_torchvision
from bakeoff.training.transfer import WeightsError

TORCHVISION_VERSION = "IMAGENET1K_V1"
"""Which of torchvision's weights `imagenet` means: the only ones that all of these networks have."""

REACH_SECONDS = 5.0
"""For a publisher's server to answer whether it has a file."""


def fetch_published(network: AnyNetwork) -> State:
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


def _find_timm_config(name: str) -> Any:
    timm = import_timm()
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        tags = ", ".join(timm.list_pretrained(f"{name.partition('.')[0]}.*")[:5])
        remedy = f"take one of {tags}" if tags else "give a file, a trial or a study's arm"
        raise WeightsError(f"timm publishes no weights for {name}: {remedy}.")
    return config


def _fetch_timm(name: str) -> State:
    timm, config = import_timm(), _find_timm_config(name)
    timm.models.set_pretrained_check_hash(True)
    with _fetching(f"timm:{name}", str(config.url or config.hf_hub_id)) as folder:
        model = timm.create_model(name, pretrained=True, num_classes=0, cache_dir=str(folder))
    return {key: value.detach() for key, value in model.state_dict().items()}


def find_published(network: AnyNetwork) -> str:
    """Return the address of a network's published weights; empty where the cache has them already.

    Raises:
        WeightsError: nothing is published for it.
        BakeoffError: torchvision or timm is missing.
    """
    folder = cache_folder() / "weights"
    if network.name.startswith(TORCHVISION):
        name = network.name.removeprefix(TORCHVISION)
        address = str(import_torchvision().models.get_model_weights(name)[TORCHVISION_VERSION].url)
        return "" if (folder / PurePosixPath(urlsplit(address).path).name).is_file() else address
    config = _find_timm_config(network.name.removeprefix(TIMM))
    if config.hf_hub_id:  # timm itself prefers it
        hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        kept = folder / f"models--{config.hf_hub_id.replace('/', '--')}"
        return "" if kept.is_dir() else f"{hub}/{config.hf_hub_id}/resolve/main/config.json"
    return "" if (folder / PurePosixPath(urlsplit(config.url).path).name).is_file() else str(config.url)


def reach_published(network: AnyNetwork, address: str) -> None:
    """Look, in a few seconds, whether weights could be fetched; fetch nothing.

    Raises:
        WeightsError: they are not there, or nothing answers.
    """
    request = Request(address, method="HEAD", headers={"User-Agent": "bakeoff"})
    try:
        with urlopen(request, timeout=REACH_SECONDS):
            return
    except HTTPError as error:
        if error.code not in (404, 410):
            return  # it answers: what else it minds, fetching says
        reason = f"HTTP status {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        reason = str(getattr(error, "reason", "")) or str(error) or type(error).__name__
    raise WeightsError(
        f"the published weights of {network.name} cannot be reached at {address} ({reason}). Go online, or fetch them "
        "elsewhere and write weights: {file: PATH}."
    )


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
