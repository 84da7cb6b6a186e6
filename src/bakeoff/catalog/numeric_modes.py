"""A study's numeric modes: chosen once before training, kept when the study is resumed. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Numeric = Literal["float32", "bfloat16"]

NUM_WARM_UP_STEPS = 2
NUM_PROBE_STEPS = 12
"""Timed steps per network shape (fused and alone, in each numeric mode) of a probe, after the warm-up steps."""

FEWEST_PROBE_STEPS = 3
ENOUGH_PROBE_SECONDS = 20.0
"""Time limit after which only the minimum is timed: twelve steps of a large network could take 15 minutes."""

EVALUATION_BATCH = 128
DEVICE_EVALUATION_BATCH = 512
"""Images per forward pass in evaluation, on a CPU and on any other device. Constants, so that rounding does not depend
on the cohort.
"""


@dataclass(frozen=True, kw_only=True)
class Modes:
    """The numeric mode of every block, and the networks that are not fused, or in part only.

    Arms are compared within blocks, so each block has one mode.

    Attributes:
        common: the mode of blocks not listed in `by_block`.
        by_block: the modes of other blocks.
        apart: `name_shape` of network shapes whose members train separately, because fusing them is slower.
        in_turn: `name_shape` of network shapes whose convolutional layers are computed member by member.
        num_lanes: cohorts that can train at once, by the cores of the machine where the study was started; cohorts are
            split so that no core waits long. The cohorts do not depend on the number of workers.
        max_threads: threads that a cohort of a large network may use where cores would be idle, by the cores and
            workers with which the study was started; results depend on the number of threads, to rounding.
    """

    common: Numeric
    by_block: Mapping[str, Numeric] = field(default_factory=dict)
    apart: frozenset[str] = frozenset()
    in_turn: frozenset[str] = frozenset()
    num_lanes: int = 1
    max_threads: int = 1

    def of(self, block: str) -> Numeric:
        """Return a block's numeric mode."""
        return self.by_block.get(block, self.common)

    def are_apart(self, shape: str) -> bool:
        """Return whether members of this network shape train separately."""
        return name_shape(shape) in self.apart

    def takes_turns(self, shape: str) -> bool:
        """Return whether fused members of this network shape compute their convolutional layers one by one."""
        return name_shape(shape) in self.in_turn

    def without_layouts(self) -> Modes:
        """Return these modes for a GPU, on which whatever fits is fused: what a CPU trains faster does not matter."""
        return replace(self, apart=frozenset(), in_turn=frozenset(), num_lanes=1, max_threads=1)

    def dump(self) -> str:
        """Return the text that `parse` reads: just the mode's name if that is all."""
        if not self.by_block and not self.apart | self.in_turn and self.num_lanes == self.max_threads == 1:
            return self.common
        content = {
            "common": self.common,
            "by_block": dict(self.by_block),
            "apart": sorted(self.apart),
            "num_lanes": self.num_lanes,
            **({"in_turn": sorted(self.in_turn)} if self.in_turn else {}),
            **({"max_threads": self.max_threads} if self.max_threads > 1 else {}),
        }
        return json.dumps(content, sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> Modes:
        """Read what `dump` wrote."""
        if not text.startswith("{"):
            return cls(common=_read(text))
        content = json.loads(text)
        return cls(
            common=_read(content["common"]),
            by_block={block: _read(mode) for block, mode in content["by_block"].items()},
            apart=frozenset(content["apart"]),
            in_turn=frozenset(content.get("in_turn", ())),
            num_lanes=int(content.get("num_lanes", 1)),
            max_threads=int(content.get("max_threads", 1)),
        )

    def describe(self) -> str:
        """Return a readable description."""
        parts = [str(self.common), *(f"{mode} in block '{block}'" for block, mode in sorted(self.by_block.items()))]
        for shapes, how in ((self.apart, "trained apart"), (self.in_turn, "with convolutions member by member")):
            if shapes:
                parts.append(f"{len(shapes)} network shape{'s' if len(shapes) > 1 else ''} {how}")
        if self.max_threads > 1:
            parts.append(f"large networks on up to {self.max_threads} threads")
        return ", ".join(parts)


def name_shape(shape: str) -> str:
    """Return a short name for a network shape, whose full description may be long."""
    return hashlib.sha256(shape.encode()).hexdigest()[:16]


def _read(text: str) -> Numeric:
    return "bfloat16" if text == "bfloat16" else "float32"
