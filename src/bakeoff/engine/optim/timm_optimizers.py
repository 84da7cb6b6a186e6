"""The optimizers of timm as attributes of this module, imported when first asked for."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Return timm's optimizer of this name.

    Raises:
        AttributeError: timm has none of this name.
        BakeoffError: timm is not installed.
    """
    if name.startswith("__"):
        raise AttributeError(name)
    from bakeoff.engine.fused.vision import import_timm

    import_timm()
    from timm import optim

    return getattr(optim, name)
