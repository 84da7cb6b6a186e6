"""How a study's arithmetic runs: decided once, before anything trains, kept when it is resumed. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from bakeoff.training.task import Numeric

NUM_WARM_UP_STEPS = 2
NUM_PROBE_STEPS = 12
"""Steps that a probe times of every network shape, fused and alone, in each numeric mode, after those that warm up."""

FEWEST_PROBE_STEPS = 3
ENOUGH_PROBE_SECONDS = 20.0
"""After which no more than the fewest are timed: of a large network twelve steps would take a quarter of an hour."""

EVALUATION_BATCH = 128
DEVICE_EVALUATION_BATCH = 512
"""Images per forward pass in evaluation, on a CPU and on any other device. Constants: they must not depend on the
cohort, or rounding would.
"""


@dataclass(frozen=True, kw_only=True)
class Modes:
    """The numeric mode of every block, and which networks are trained apart.

    Arms are compared within blocks, so all of a block run in one mode.

    Attributes:
        common: of blocks that are not named.
        by_block: of those that differ.
        apart: `name_shape` of network shapes whose members train one by one, because fused they take longer.
        num_lanes: cohorts that can train at once, by the cores of the machine where the study was begun; cohorts are
            cut so that none of them waits long. However many workers there are, the cohorts are the same.
    """

    common: Numeric
    by_block: Mapping[str, Numeric] = field(default_factory=dict)
    apart: frozenset[str] = frozenset()
    num_lanes: int = 1

    def of(self, block: str) -> Numeric:
        """Return a block's numeric mode."""
        return self.by_block.get(block, self.common)

    def are_apart(self, shape: str) -> bool:
        """Tell whether members of this network shape train one by one."""
        return name_shape(shape) in self.apart

    def spell(self) -> str:
        """Return the text that `parse` reads: the mode's name where there is nothing else to say."""
        if not self.by_block and not self.apart and self.num_lanes == 1:
            return self.common
        content = {
            "common": self.common,
            "by_block": dict(self.by_block),
            "apart": sorted(self.apart),
            "num_lanes": self.num_lanes,
        }
        return json.dumps(content, sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> Modes:
        """Read what `spell` wrote."""
        if not text.startswith("{"):
            return cls(common=_read(text))
        content = json.loads(text)
        return cls(
            common=_read(content["common"]),
            by_block={block: _read(mode) for block, mode in content["by_block"].items()},
            apart=frozenset(content["apart"]),
            num_lanes=int(content.get("num_lanes", 1)),
        )

    def describe(self) -> str:
        """Say it for people."""
        parts = [str(self.common), *(f"{mode} in block '{block}'" for block, mode in sorted(self.by_block.items()))]
        if self.apart:
            parts.append(f"{len(self.apart)} network shape{'s' if len(self.apart) > 1 else ''} trained apart")
        return ", ".join(parts)


def name_shape(shape: str) -> str:
    """Return a short name of a network shape, which may be long to spell."""
    return hashlib.sha256(shape.encode()).hexdigest()[:16]


def _read(text: str) -> Numeric:
    return "bfloat16" if text == "bfloat16" else "float32"
