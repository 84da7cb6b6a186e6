"""What must be known of a study's images, in sentences: reduced data, left out files, validation images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bakeoff.report.text import count
from bakeoff.study.plan import Block, Plan
from bakeoff.study.settings import DataSettings

_MOST_NAMED = 8
"""Classes or arms that a sentence names; of more it gives the number."""

Facts = Mapping[str, Mapping[str, Any]]
"""Facts of the images, by block, as the ledger holds them; empty where it holds none."""


def describe_reduction(plan: Plan, facts: Facts) -> str:
    """Say that a study uses a part of its data only, and which part; empty where it uses all."""
    parts = list(dict.fromkeys(filter(None, (_describe_part(block, facts) for block in plan.blocks))))
    if not parts:
        return ""
    return f"Reduced study, for a quick look: {'; '.join(parts)}."


def describe_notes(plan: Plan, facts: Facts) -> tuple[str, ...]:
    """Return what else must be known: how images were read, and whose validation images."""
    notes: list[str] = []
    for block in plan.blocks:
        found = facts.get(block.label, {})
        notes += [f"{block.data.source.label}: {_end(note)}" for note in found.get("notes", ())]
        notes += _describe_validation(block.data, found)
    return tuple(dict.fromkeys(notes))


def _describe_part(block: Block, facts: Facts) -> str:
    source = block.data.source
    parts = []
    if source.subset is not None:
        found = facts.get(block.label)
        number = "" if found is None else f", {count(int(found['num_images']), 'image')}"
        parts.append(f"{100 * source.subset:g}% of the training images{number}")
    if source.classes is not None:
        parts.append(f"only the {count(len(source.classes), 'class', 'classes')} {list_names(source.classes)}")
    return f"{source.label}, {' and '.join(parts)}" if parts else ""


def _describe_validation(data: DataSettings, found: Mapping[str, Any]) -> Iterator[str]:
    number = int(found.get("num_own_validation", 0))
    if not number:
        return
    label = data.source.label
    if data.folds is None and data.validation == "own":
        yield f"{label}: validated on its own {count(number, 'validation image')}, the same in every replicate."
    else:
        yield (
            f"{label}: its own {count(number, 'validation image')} are among the training images, from which each "
            "replicate draws its own validation split (data.validation: own keeps them apart)."
        )


def list_names(names: tuple[str, ...]) -> str:
    """Name the first few and count the rest."""
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"


def _end(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
