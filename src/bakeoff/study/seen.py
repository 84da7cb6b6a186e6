"""Says where published weights may have seen a study's classes, or even its test images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bakeoff.catalog.imagenet import list_seen
from bakeoff.study.plan import Plan

_MOST_NAMED = 5


def describe_seen(plan: Plan, class_names: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return a sentence for every block with classes of ImageNet whose arms start from published weights.

    Args:
        plan: the study's plan.
        class_names: class names by the block's label; blocks without are skipped.
    """
    return tuple(_describe_all(plan, class_names))


def _describe_all(plan: Plan, class_names: Mapping[str, Sequence[str]]) -> Iterator[str]:
    transfers = {(trial.block, trial.recipe.transfer) for trial in plan.trials}
    blocks = {block for block, transfer in transfers if transfer is not None and transfer.weights == "imagenet"}
    for block in plan.blocks:
        names = class_names.get(block.label, ())
        seen = list_seen(names) if block.label in blocks else ()
        if seen:
            named = ", ".join(seen[:_MOST_NAMED]) + (", ..." if len(seen) > _MOST_NAMED else "")
            yield (
                f"{block.label}: the published weights have seen the labels of {len(seen)} of its {len(names)} classes "
                f"({named}) in ImageNet; images of ImageNet itself may be among your test images."
            )
