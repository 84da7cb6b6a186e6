"""The licence of the published weights that a network started from."""

from __future__ import annotations

from bakeoff.catalog.networks.outside import TIMM, TORCHVISION
from bakeoff.catalog.recipe import Recipe
from bakeoff.engine.fused.vision import import_timm


def find_licence(recipe: Recipe) -> str:
    """Return the licence of a recipe's pretrained weights as their publisher names it.

    Returns:
        A name as on the Hugging Face hub, in lower case; `other` if the publisher names none, empty for weights that
        are not published.
    """
    if recipe.transfer is None or recipe.transfer.weights != "imagenet":
        return ""
    name = recipe.network.name
    if name.startswith(TORCHVISION):
        return "bsd-3-clause"  # torchvision's own; its weights are published with it
    if not name.startswith(TIMM):
        return ""
    config = import_timm().get_pretrained_cfg(name.removeprefix(TIMM))
    return str(getattr(config, "license", None) or "other").lower()
