"""The costs of each arm: parameters, model size, and training rates."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from bakeoff.ledger.costs import CostRow
from bakeoff.report.ensembles import EnsembleReport
from bakeoff.report.notes import list_names
from bakeoff.report.text import count, duration

_MOST_HEADER_BYTES = 100_000_000  # the limit of the safetensors format


@dataclass(frozen=True, kw_only=True)
class ArmCost:
    """The costs of one arm in one block, averaged over trials; for an ensemble of arms, the sum over its models.

    Attributes:
        num_parameters: trained parameters; None if not recorded for all models. Does not include a frozen body.
        model_bytes: size of the kept weights; None if they are gone. Does not include a frozen body.
        images_per_second: images trained per second, summed over its cohort; None for ensembles.
        epochs_per_second: epochs per second of a trial's training time, including evaluation; None for ensembles.
        feature_seconds: a trial's part of the time to compute a frozen body's features once; not included in the rates.
    """

    block: str
    arm: str
    num_parameters: float | None
    model_bytes: float | None
    images_per_second: float | None = None
    epochs_per_second: float | None = None
    feature_seconds: float | None = None


def describe_costs(
    rows: Iterable[CostRow], ensembles: Sequence[EnsembleReport], find_weights: Callable[[str], Path]
) -> tuple[ArmCost, ...]:
    """Average the costs of a study's trials by block and arm.

    Args:
        rows: the trials.
        ensembles: those over arms get the sum of their members.
        find_weights: trial id -> path of its kept weights.
    """
    grouped: dict[tuple[str, str], list[CostRow]] = {}
    for row in rows:
        grouped.setdefault((row.block, row.arm), []).append(row)
    costs = {key: _describe_arm(*key, own, find_weights) for key, own in grouped.items()}
    for ensemble in ensembles:
        members = [costs.get((ensemble.block, arm)) for arm in ensemble.members]
        found = [member for member in members if member is not None]
        if ensemble.over == "arms" and len(found) == len(members):
            costs[ensemble.block, ensemble.label] = ArmCost(
                block=ensemble.block,
                arm=ensemble.label,
                num_parameters=_add([member.num_parameters for member in found]),
                model_bytes=_add([member.model_bytes for member in found]),
            )
    return tuple(costs.values())


def _describe_arm(block: str, arm: str, rows: Sequence[CostRow], find_weights: Callable[[str], Path]) -> ArmCost:
    parameters = [row.num_parameters for row in rows if row.num_parameters is not None]
    sizes = (measure_weights(find_weights(row.trial_id)) for row in rows)
    per_image = [row.seconds_per_image for row in rows if row.seconds_per_image is not None]
    seconds = sum(row.seconds for row in rows)
    features = [row.features.seconds for row in rows if row.features.key]
    return ArmCost(
        block=block,
        arm=arm,
        num_parameters=fmean(parameters) if parameters else None,
        model_bytes=next((size for size in sizes if size is not None), None),
        # Rates are averaged through times: only times add up.
        images_per_second=1 / fmean(per_image) if per_image else None,
        epochs_per_second=sum(row.num_epochs for row in rows) / seconds if seconds else None,
        feature_seconds=fmean(features) if features else None,
    )


def describe_features(rows: Iterable[CostRow]) -> Iterator[str]:
    """Yield a sentence for each frozen body: how long computing its features took, and which trials share that time."""
    users: dict[str, list[CostRow]] = {}
    for row in rows:
        if row.features.key:
            users.setdefault(row.features.key, []).append(row)
    for found in users.values():
        part = found[0].features
        arms = list_names(tuple(dict.fromkeys(row.arm for row in found)))
        num_trials = round(part.total / part.seconds) if part.seconds else len(found)
        yield (
            f"A frozen body's features were computed once, in {duration(part.total)}; this time is divided evenly "
            f"among the {count(num_trials, 'trial')} that use them, {duration(part.seconds)} each: {arms}."
        )


def measure_weights(path: Path) -> int | None:
    """Return the total size of the tensors in a safetensors file, from its header; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length <= _MOST_HEADER_BYTES else {}
        spans = [entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"]
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError):
        return None
    return sum(int(end) - int(start) for start, end in spans) or None


def _add(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
