"""Replaces `normalize: pretrained` by numbers before trials get their ids, and compares recipes with what bodies know.

A trial's id contains the numbers: another version of timm with other numbers gives another trial. No torch here: what
is known of torchvision stands in the catalog, and timm is asked in a process of its own, once per version.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bakeoff.catalog.augmentation.records import normalizes_as, trace_augmentation
from bakeoff.catalog.augmentation.steps import Normalize
from bakeoff.catalog.networks.outside import find_outside, is_published
from bakeoff.catalog.networks.pretrained import PretrainedConfig
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.shape import Shape
from bakeoff.data.locate import cache_folder
from bakeoff.data.source import show_text
from bakeoff.driver.cached_json import read_cached, write_cached
from bakeoff.driver.facts import Datasets
from bakeoff.errors import BakeoffError, MissingPackageError, NetworkFitError, UnknownNetworkError
from bakeoff.extras import how_to_install
from bakeoff.study.plan import Plan, PlannedTrial
from bakeoff.study.sameness import list_first
from bakeoff.study.seen import describe_seen

MOST_NAMED = 4

UNLIKE = 2.0
"""Images this many times larger or smaller than those that a body was trained on are worth a note."""


def find_config(network: str) -> PretrainedConfig:
    """Return how the images of a network's published weights were prepared.

    Args:
        network: its name, `torchvision:NAME` or `timm:NAME`.

    Raises:
        NetworkError: there is no such network.
        BakeoffError: timm is missing, or cannot be asked.
    """
    known = find_outside(network).pretrained or _ask_timm([network])[network]
    if isinstance(known, str):
        raise UnknownNetworkError(known)
    return known


_ANSWERS: dict[tuple[str, str], PretrainedConfig | str] = {}
"""What timm has answered this process, by network and timm's version; texts are problems."""


def _ask_timm(networks: Iterable[str]) -> dict[str, PretrainedConfig | str]:
    """Return configurations from the cache, or from timm in one process of its own."""
    try:
        timm_version = version("timm")
    except PackageNotFoundError:
        raise MissingPackageError(f"timm is not installed: {how_to_install('timm')}") from None
    paths = {name: cache_folder() / "pretrained" / f"{name.replace(':', '-')}-{timm_version}.json" for name in networks}
    found = {name: _ANSWERS.get((name, timm_version)) or read_cached(path, _make) for name, path in paths.items()}
    unknown = [name for name, answer in found.items() if answer is None]
    for name, answer in (_start_timm(unknown) if unknown else {}).items():
        found[name] = answer
        if not isinstance(answer, str):
            write_cached(paths[name], asdict(answer))
    answers = {name: answer for name, answer in found.items() if answer is not None}
    _ANSWERS.update({(name, timm_version): answer for name, answer in answers.items()})
    return answers


def _start_timm(networks: Sequence[str]) -> dict[str, PretrainedConfig | str]:
    # -P: nothing of the current folder
    command = [sys.executable, "-P", "-X", "utf8", "-m", "bakeoff.engine.pretrained", *networks]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    lines = (done.stdout if done.returncode == 0 else done.stderr).splitlines() or ["no answer"]
    if done.returncode != 0:
        return dict.fromkeys(networks, f"timm cannot be asked what its networks were trained with: {lines[-1]}")
    return {
        name: answer if isinstance(answer, str) else _make(answer) for name, answer in json.loads(lines[-1]).items()
    }


def _make(fields: Mapping[str, Any]) -> PretrainedConfig:
    height, width = fields["size"]
    return PretrainedConfig(
        mean=tuple(map(float, fields["mean"])),
        sd=tuple(map(float, fields["sd"])),
        size=(int(height), int(width)),
        interpolation=str(fields["interpolation"]),
        crop_ratio=float(fields["crop_ratio"]),
    )


def resolve_normalization(recipe: Recipe) -> Recipe:
    """Return a recipe in which `normalize: pretrained` has the numbers of its network; unchanged without that step.

    Raises:
        BakeoffError: they cannot be found, see `find_config`.
    """
    if not normalizes_as(recipe.augmentation, "pretrained"):
        return recipe
    mean, sd = find_config(recipe.network.name).name_statistics()
    steps = tuple(
        step.model_copy(update={"mean": mean, "sd": sd})
        if isinstance(step, Normalize) and step.mean == "pretrained"
        else step
        for step in recipe.augmentation
    )
    return recipe.model_copy(update={"augmentation": steps})


def resolve_trial(trial: PlannedTrial) -> PlannedTrial:
    """Return a trial whose recipe has its network's numbers, see `resolve_normalization`.

    Raises:
        NetworkError: they cannot be found; names block and arm.
    """
    try:
        recipe = resolve_normalization(trial.recipe)
    except BakeoffError as error:
        raise NetworkFitError(f"block '{show_text(trial.block)}', arm '{show_text(trial.arm)}': {error}") from None
    return trial if recipe is trial.recipe else replace(trial, recipe=recipe)


def keep_names(plan: Plan, asked: Plan) -> Plan:
    """Return a resolved plan with the augmentation as asked for: with `normalize: pretrained`, not with numbers.

    For a search, whose candidates may have other networks, and so other numbers, than the default that they change.
    """
    trials = zip(plan.trials, asked.trials, strict=True)
    return replace(plan, trials=tuple(_keep_augmentation(trial, planned) for trial, planned in trials))


def _keep_augmentation(trial: PlannedTrial, planned: PlannedTrial) -> PlannedTrial:
    recipe = trial.recipe.model_copy(update={"augmentation": planned.recipe.augmentation})
    return replace(trial, recipe=recipe)


def describe_preparation(plan: Plan, datasets: Datasets) -> tuple[str, ...]:
    """Return sentences on how arms prepare images for published weights, and where it is not what these know.

    Args:
        plan: as in the study: `normalize: pretrained` not replaced yet.
        datasets: facts about the images; trials with unknown images are skipped.
    """
    trials = [trial for trial in list_first(plan.trials) if _is_prepared(trial.recipe)]
    unknown = {name for trial in trials if find_outside(name := trial.recipe.network.name).pretrained is None}
    with suppress(BakeoffError):  # the check of the networks says what is wrong
        _ask_timm(sorted(unknown))
    named = {
        block.label: datasets[block.data.source].class_names for block in plan.blocks if block.data.source in datasets
    }
    arms: dict[str, list[str]] = {}
    for arm, sentence in _describe_all(trials, datasets):
        arms.setdefault(sentence, []).append(show_text(arm))
    said = (f"{_name_arms(names)}{sentence}" for sentence, names in arms.items())
    return (*said, *describe_seen(plan, named))


def _name_arms(names: Sequence[str]) -> str:
    """Return the arms of a sentence as its beginning; empty if it is not about arms."""
    distinct = [*dict.fromkeys(filter(None, names))]
    more = f" and {len(distinct) - MOST_NAMED} more" if len(distinct) > MOST_NAMED else ""
    return f"{', '.join(distinct[:MOST_NAMED])}{more}: " if distinct else ""


def _is_prepared(recipe: Recipe) -> bool:
    """Return whether a recipe prepares images for weights of a known preparation."""
    published = recipe.transfer is not None and recipe.transfer.weights == "imagenet"
    return is_published(recipe.network.name) and (published or normalizes_as(recipe.augmentation, "pretrained"))


def _describe_all(trials: Iterable[PlannedTrial], datasets: Datasets) -> Iterator[tuple[str, str]]:
    """Yield arms, each with a sentence about it; no arm for a sentence about a network."""
    for trial in trials:
        recipe = trial.recipe
        try:
            config = find_config(recipe.network.name)
        except BakeoffError:
            continue
        network, known = recipe.network.name, _format(config.mean, config.sd)
        if normalizes_as(recipe.augmentation, "pretrained"):
            yield "", f"{network}: normalize: pretrained is {known}, as it was trained."
        elif not _agrees(recipe, config):
            yield (
                trial.arm,
                f"the published weights of {network} know images normalised with {known}, not with "
                f"{_name_steps(recipe)}: write {{name: normalize, mean: pretrained}}.",
            )
        facts = datasets.get(trial.data.source)
        if facts is not None and recipe.transfer is not None and recipe.transfer.weights is not None:
            for sentence in _compare_sizes(recipe, config, facts.shape_HWC):
                yield trial.arm, sentence


def _compare_sizes(recipe: Recipe, config: PretrainedConfig, shape_HWC: Shape) -> Iterator[str]:
    """Yield a sentence if the images are much smaller or larger than those the weights know."""
    height, width, _ = trace_augmentation(recipe.augmentation, shape_HWC)
    ratio = (height * width / (config.size[0] * config.size[1])) ** 0.5
    if not 1 / UNLIKE < ratio < UNLIKE:
        yield (
            f"{recipe.network.name} was trained on {config.describe()}, yours reach it at {height}x{width}: its "
            "features may be poor at that size; change data.image_size, or add the augmentation resize."
        )


def _agrees(recipe: Recipe, config: PretrainedConfig) -> bool:
    """Return whether the last step that normalises does it as the weights know it."""
    steps = [step for step in recipe.augmentation if isinstance(step, Normalize)]
    named = config.name_statistics()
    return bool(steps) and (steps[-1].mean, steps[-1].sd) in (named, (config.mean, config.sd))


def _name_steps(recipe: Recipe) -> str:
    """Return how a recipe normalises, in a few words."""
    steps = [step for step in recipe.augmentation if isinstance(step, Normalize)]
    if not steps:
        return "none"
    last = steps[-1]
    if isinstance(last.mean, str) or isinstance(last.sd, str):
        return f"the mean and sd of {'ImageNet' if last.mean == 'imagenet' else 'your images'}"
    return _format(last.mean, last.sd)


def _format(mean: Sequence[float], sd: Sequence[float]) -> str:
    return f"mean {_join(mean)} and sd {_join(sd)}"


def _join(values: Sequence[float]) -> str:
    """Return numbers as text, one if they are all the same."""
    return ", ".join(f"{value:g}" for value in (values[:1] if len(set(values)) == 1 else values))
