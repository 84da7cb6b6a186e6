"""Writes a first study file for images of one's own, with a comment on every choice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec

from bakeoff.data.source import show_text
from bakeoff.data.survey import MOST_AUDITED, Survey

SMALLEST_PHOTO = 64
"""Side from which on networks that know ImageNet are compared."""

FEW, MANY = 2_000, 20_000
"""Training images: with under FEW, more epochs are affordable; from MANY on, training from scratch suffices."""

_SIDE_ON_IMAGENET = 128
"""Largest side for a network of ImageNet: half of the 224 pixels that it was trained on, at a third of the time."""

_UNEVEN = 3
"""Classes whose sizes differ by more than this factor are judged class by class."""


def write_starter(survey: Survey, kind: str, path: str, label: str) -> str:
    """Return the text of a study file.

    Args:
        survey: of the images.
        kind: the field of `data` that names them, folder or manifest.
        path: its value, relative to the study file.
        label: their name for people.
    """
    is_pretrained = survey.sizes.suggested_image_size >= SMALLEST_PHOTO and survey.num_train < MANY
    is_pretrained = is_pretrained and find_spec("torchvision") is not None
    side = _choose_side(survey, is_pretrained)
    parts = [
        f"question: {json.dumps(_ask(label, is_pretrained), ensure_ascii=False)}",
        "",
        *_describe(survey),
        *_write_data(survey, kind, path, side, is_pretrained),
        *_write_recipe(survey, is_pretrained),
        *_write_arms(is_pretrained, side or min(survey.sizes.smallest_HW)),
        *_write_decide(survey),
    ]
    return "\n".join(parts) + "\n"


def _ask(label: str, is_pretrained: bool) -> str:
    if is_pretrained:
        return f"Does a network that knows ImageNet classify {label} better than one trained from scratch?"
    return f"Which small network classifies {label} best?"


def _describe(survey: Survey) -> Iterator[str]:
    counts = survey.class_counts
    shown = [f"{show_text(name)} {count:,}" for name, count in list(counts.items())[:8]]
    more = f", and {len(counts) - len(shown)} more" if len(counts) > len(shown) else ""
    yield f"# {survey.num_train:,} training images in {len(counts)} classes: {', '.join(shown)}{more}."
    sizes = survey.sizes
    (low, wide), (high, far) = sizes.smallest_HW, sizes.largest_HW
    size = f"{wide}x{low}" if sizes.num_sizes == 1 else f"{wide}x{low} to {far}x{high}"
    yield f"# {'Grey' if survey.num_channels == 1 else 'Colour'}, {size} pixels (width x height)."
    if sizes.num_unreadable:
        yield f"# {sizes.num_unreadable:,} cannot be read and are skipped: bakeoff data verify names them."
    if survey.findings is None:
        yield f"# More than {MOST_AUDITED:,} images: bakeoff data check finds duplicates and contradictory labels."
    elif survey.findings:
        found = ", ".join(f"{kind} {number:,}" for kind, number in survey.findings.items())
        yield f"# The audit found: {found}. bakeoff data check names the images."
    for note in survey.notes:
        yield f"# {show_text(note)}"


def _choose_side(survey: Survey, is_pretrained: bool) -> int | None:
    """Return the side that images are brought to; None if all have one size that needs no change."""
    suggested = survey.sizes.suggested_image_size
    if is_pretrained:
        return min(suggested, _SIDE_ON_IMAGENET)
    if survey.sizes.num_sizes == 1 and max(survey.sizes.largest_HW) <= SMALLEST_PHOTO:
        return None
    return min(suggested, SMALLEST_PHOTO)


def _write_data(survey: Survey, kind: str, path: str, side: int | None, is_pretrained: bool) -> Iterator[str]:
    yield "data:"
    yield f"  {kind}: {json.dumps(path, ensure_ascii=False)}"
    if side is not None:
        larger = " # 224 is what they were trained on: better, and slower" if is_pretrained else ""
        yield f"  image_size: {side}{larger}"
    if is_pretrained and survey.num_channels == 1:
        yield "  colour: rgb # the networks expect three channels"
    if not survey.has_test:
        yield f"  test: 0.2 # there is no test split: {survey.num_test:,} images are set aside, the same in every study"
    if survey.num_own_validation:
        yield "  validation: own"
    else:
        share = 0.2 if survey.num_train < FEW else 0.1
        yield f"  validation: {share} # of the training images, others in each replicate"
    if survey.group_rule:
        yield (
            f"  # group: {json.dumps(survey.group_rule)} # do names tell patients, objects or videos apart? Then this "
            f"keeps each of {survey.num_groups:,} on one side"
        )


def _write_recipe(survey: Survey, is_pretrained: bool) -> Iterator[str]:
    num_train = survey.num_train
    batch_size = 16 if num_train < 200 else 32 if num_train < FEW else 64
    yield "recipe: # what all arms share"
    if is_pretrained:
        yield '  network: {name: "torchvision:resnet18"} # bakeoff list networks: others, also of timm'
        yield "  augmentation: [{name: normalize, mean: imagenet, sd: imagenet}]"
    yield "  optimizer: {name: adam, learning_rate: 0.001}"
    yield f"  batch_size: {batch_size}"
    yield f"  epochs: {30 if num_train < FEW else 20 if num_train < MANY else 10} # at most"
    yield "  early_stopping: {monitor: loss, patience: 4}"


def _write_arms(is_pretrained: bool, side: int) -> Iterator[str]:
    yield "arms: # what is compared"
    if is_pretrained:
        yield "  - frozen: {transfer: {weights: imagenet, freeze: always}} # only the last layer learns: fast"
        yield "    fine-tuned: {transfer: {weights: imagenet, freeze: 2, body_rate: 0.1}} # then all layers do"
        yield "    scratch: {} # knows no other images"
        return
    filters = [32 * 2**stage for stage in range(4) if side // 2 ** (stage + 1) >= 2] or [32]
    small = [16 * 2**stage for stage in range(len(filters))][:2]
    yield "  - dense: {network: {name: mlp, units: [128]}} # what do convolutions bring?"
    yield f"    small: {{network: {{name: cnn, filters: {small}, units: [64]}}}}"
    yield f"    large: {{network: {{name: cnn, filters: {filters}, units: [256]}}}}"
    if side >= 16:
        yield "    shifted: # the same on images shifted at random"
        yield "      from: large"
        yield f"      augmentation: [{{name: random_crop, size: {side}, padding: {side // 8}}}]"


def _write_decide(survey: Survey) -> Iterator[str]:
    counts = [count for count in survey.class_counts.values() if count]
    metric = "accuracy"
    replicates = 10 if survey.num_train < FEW // 10 else 5 if survey.num_train < MANY else 3
    yield f"replicates: {replicates} # repetitions, each with its own seed; after --pilot 2, run says how many it takes"
    if max(counts) > _UNEVEN * min(counts):
        metric = "macro_recall"
    why = " # the mean over classes: their sizes differ" if metric != "accuracy" else ""
    yield "decide:"
    yield f"  metric: {metric}{why}"
    points = 1 if survey.num_test >= 1_000 else 2
    yield f"  margin: {points} points # the largest difference that does not matter: yours to say"
