"""Sentences about a study's images: reduced data, skipped files, validation images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from bakeoff.report.text import count
from bakeoff.stats.metrics import CLASSES_ABSENT
from bakeoff.stats.results import TrialResult
from bakeoff.study.axes import make_label
from bakeoff.study.plan import Block, Plan
from bakeoff.study.schema import Study
from bakeoff.study.settings import DataSettings

_MOST_NAMED = 8
"""Number of classes or arms that a sentence lists by name."""

Facts = Mapping[str, Mapping[str, Any]]
"""Facts about the images, by block, as the ledger holds them."""


def describe_reduction(plan: Plan, facts: Facts) -> str:
    """Return a sentence that says which part of its data a study uses; empty if it uses all."""
    parts = list(dict.fromkeys(filter(None, (_describe_part(block, facts) for block in plan.blocks))))
    reduced = f"Reduced study, for a quick look: {'; '.join(parts)}." if parts else ""
    return " ".join(filter(None, (_describe_quick(plan.study), reduced)))


def describe_notes(plan: Plan, facts: Facts) -> tuple[str, ...]:
    """Return notes on how images were read, and on validation images."""
    notes: list[str] = []
    for block in plan.blocks:
        found = facts.get(block.label, {})
        notes += [f"{block.data.source.label}: {_end(note)}" for note in found.get("notes", ())]
        notes += _describe_validation(block.data, found)
    return tuple(dict.fromkeys(notes))


def describe_absent(results: Iterable[TrialResult], class_names: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return a sentence for every split where macro averages leave out classes because it has no images of them."""
    most: dict[tuple[str, str], int] = {}
    for result in results:
        for split, metrics in result.metrics.items():
            if metrics.get(CLASSES_ABSENT):
                key = (result.block, split)
                most[key] = max(most.get(key, 0), int(metrics[CLASSES_ABSENT]))
    return tuple(
        f"{block}: {count(absent, 'class has', 'classes have')} no image in the {split} split; macro precision, recall "
        f"and F1 there are averaged over the other {len(class_names[block]) - absent}."
        for (block, split), absent in most.items()
    )


def describe_test_images(tested: Mapping[str, Set[str]]) -> Iterator[str]:
    """Yield a warning for every block whose trials were tested on different images.

    `tested` has the fingerprints of the test images, by block.
    """
    for block, fingerprints in tested.items():
        if len(fingerprints) > 1:
            yield (
                f"{block}: its test images changed between final tests, and its trials were tested on "
                f"{len(fingerprints)} different sets: differences between arms may come from the images. Start again "
                "with another --workspace DIR."
            )


def describe_outdated(num_trials: int) -> Iterator[str]:
    """Yield a sentence if trials are left out because they were trained before folds were nested."""
    if num_trials:
        yield (
            f"{count(num_trials, 'trial')} of an earlier version of bakeoff left out: early stopping and selection saw "
            "the fold that was to judge them. Run the study again to train its folds again."
        )


def _describe_quick(study: Study) -> str:
    """Return a sentence if this is the quick version of another study, with its changes."""
    if study.quick_of is None:
        return ""
    changes = {} if study.quick is None else study.quick.changes
    made = "; ".join(f"{path}: {make_label(value)}" for path, value in changes.items())
    return f"A quick version (--quick) of {study.quick_of}; it does not answer the study itself. Changes: {made}."


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
    if data.validation == "own":
        yield f"{label}: validated on its own {count(number, 'validation image')}, the same in every replicate."
    else:
        yield (
            f"{label}: its own {count(number, 'validation image')} are among the training images, from which each "
            "replicate draws its own validation split (data.validation: own keeps them apart)."
        )


def list_names(names: tuple[str, ...]) -> str:
    """List the first few names, and count the rest."""
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"


def _end(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
