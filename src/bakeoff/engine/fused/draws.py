"""The random source of dropout: one generator, one per replicate, or the kept draws of members computed in turn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ReplicateDraws:
    """Random generators for members of several replicates: each replicate has its own.

    Attributes:
        generators: one per replicate.
        replicate_of_K: the replicate of each member.
    """

    generators: tuple[torch.Generator, ...]
    replicate_of_K: tuple[int, ...]


Randomness = torch.Generator | ReplicateDraws
"""The random source of dropout: one for all members of one replicate, or one for each replicate."""


class SharedDraws:
    """The draws of members that are computed one after another: the first draws, the others get the same numbers.

    Args:
        generator: draws in the layers' order, as for members computed together.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._drawn: dict[str, Tensor] = {}
        self._masks: dict[tuple[str, float], Tensor] = {}

    def mask(self, path: str, shape: tuple[int, ...], rate: float, dtype: torch.dtype) -> Tensor | None:
        """Return the factors of a dropout layer for one member, None if it drops nothing.

        The numbers are drawn even at rate zero: later masks do not depend on the members' rates.
        """
        if path not in self._drawn:
            self._drawn[path] = torch.rand(shape, generator=self._generator, device=self._generator.device)
        if rate == 0.0:
            return None
        if (path, rate) not in self._masks:
            self._masks[path, rate] = (self._drawn[path] >= rate).to(dtype).div_(1 - rate)
        return self._masks[path, rate]
