"""The plan of a study: its blocks, its arms, and every trial."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from bakeoff.catalog.networks.outside import names_class
from bakeoff.catalog.recipe import Recipe
from bakeoff.errors import WINNER, Problem, StudyError
from bakeoff.stats.metrics import FUNCTION_METRIC, METRICS, is_on_demand
from bakeoff.stats.pairs import MIN_REPLICATES
from bakeoff.study.about import About
from bakeoff.study.combine import Combined
from bakeoff.study.design import describe_design
from bakeoff.study.ensembles import list_ensemble_arms
from bakeoff.study.factors import name_axes
from bakeoff.study.schema import Study
from bakeoff.study.search import AnySearch, count_candidates, list_finals
from bakeoff.study.settings import DataSettings
from bakeoff.study.winner import read_from

TRIAL_ID_CHARACTERS = 24
"""Hexadecimal characters of a trial's id: 96 bits, so that a billion trials collide with probability 1e-11."""

LONG_NAME = 30
"""Characters of a name made of settings beyond which tables cut it."""

FIRST_FIELDS = ("network", "initializer", "optimizer", "batch_size", "epochs", "early_stopping")
"""Recipe fields that are always part of an identity, even at their defaults."""


Stage: TypeAlias = Literal["search", "final"]
"""A trial's purpose: to find a recipe, or to be compared in the report."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A setting in which all arms are compared: its label, its images, and its search if there is one."""

    label: str
    data: DataSettings
    search: AnySearch | None = None


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """One arm in one block, to be trained once.

    Attributes:
        block: the block's label.
        arm: the arm's label.
        replicate: 0 to the number of replicates - 1.
        seed: determines split, order, augmentation and initial weights; shared by all arms and blocks of a replicate.
        recipe: every choice of the training run, defaults included.
        data: the images and the validation split.
        fold: the held-out fold; None if the study has no folds.
        stage: its purpose. Finals never share a seed with a search.
        until: the epoch to pause after; None: train to the end. Not part of the trial's identity.
        metrics: the metrics that the study needs and trials do not always compute: those on demand, and those of
            installed packages.
    """

    block: str
    arm: str
    replicate: int
    seed: int
    recipe: Recipe
    data: DataSettings
    fold: int | None = None
    stage: Stage = "final"
    until: int | None = None
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study's blocks, arms and trials.

    Attributes:
        study: the planned study.
        blocks: in the order of the study.
        arms: labels, in the order of the study.
        trials: block by block, replicate by replicate, fold by fold, arm by arm. With a search, only those of the
            default arm: the others are planned when the search has found their recipes.
        notes: warnings, one sentence each.
    """

    study: Study
    blocks: tuple[Block, ...]
    arms: tuple[str, ...]
    trials: tuple[PlannedTrial, ...]
    notes: tuple[str, ...] = ()

    @property
    def most_candidate_trials(self) -> int:
        """Maximum number of trials of a search's candidates; 0 without a search."""
        searches = [(block.search, block.data.folds or 1) for block in self.blocks if block.search is not None]
        return sum(count_candidates(search) * search.replicates * folds for search, folds in searches)

    @property
    def most_trials(self) -> int:
        """Maximum number of trials in total."""
        if not self.most_candidate_trials:
            return len(self.trials)
        return self.most_candidate_trials + len(self.arms) * len(self.trials)


def expand(study: Study) -> Plan:
    """Plan a study: every combination of block, replicate and arm is a trial."""
    combined = _combine(study)
    blocks = {
        found.block: Block(label=found.block, data=found.data, search=found.search) for found in combined.combinations
    }
    arms = tuple(dict.fromkeys(combination.arm for combination in combined.combinations))
    if study.search is not None:
        arms = list_finals(study.search)
    by_block = {label: [found for found in combined.combinations if found.block == label] for label in blocks}
    trials = tuple(
        PlannedTrial(
            block=label,
            arm=combination.arm,
            replicate=replicate,
            seed=derive_seed(study.seed, replicate),
            recipe=combination.recipe,
            data=combination.data,
            fold=fold,
            metrics=_list_needed_metrics(study, combination.search),
        )
        for label, block in blocks.items()
        for replicate in range(study.most_replicates)
        for fold in (range(block.data.folds) if block.data.folds else (None,))
        for combination in by_block[label]
    )
    fraction = () if study.design.is_full else describe_design(study.arms, study.design, name_axes(study.arms))
    notes = (*fraction, *combined.notes, *warn(study))
    return Plan(study=study, blocks=tuple(blocks.values()), arms=arms, trials=trials, notes=notes)


def get_about(study: Study, *, is_changed: bool = False) -> About:
    """Return a study's description, with the cost of the quick version if it is one.

    Args:
        study: the study.
        is_changed: whether overrides changed it: then its cost is not known.
    """
    about = study.about or About()
    cost = about.cost if study.quick_of is None else study.quick.cost if study.quick is not None else ""
    return about.model_copy(update={"cost": "" if is_changed else cost})


def warn(study: Study) -> tuple[str, ...]:
    """Return warnings to show before a study runs, one sentence each."""
    found = (warn_of(study) for warn_of in (_warn_of_one_arm, _warn_of_few_replicates, _warn_of_long_names))
    notes = (study.decide.warning, *found)
    return (*filter(None, notes), *name_code(study))


def _warn_of_one_arm(study: Study) -> str:
    """Return a warning that a study has nothing to compare; empty if it has two arms or more."""
    arms = {found.arm for found in study.combine().combinations} | set(list_ensemble_arms(study.ensembles))
    if study.search is not None or len(arms) != 1:
        return ""
    return f"there is one arm, {next(iter(arms))}, and nothing to compare it with: add another to arms."


def _warn_of_long_names(study: Study) -> str:
    """Return a warning that arms are named by their settings, at a length that tables cut; empty if none is."""
    parts = [part for found in study.combine().combinations for part in found.arm.split(" / ")]
    long = next((part for part in parts if "=" in part and len(part) > LONG_NAME), None)
    if study.search is not None or long is None:
        return ""
    return f"{long} is a long name for an arm: give the case one of your own, such as 'small: {{network: ...}}'."


def _warn_of_few_replicates(study: Study) -> str:
    """Return a warning that no pair will get a verdict; empty if pairs will, or if a fraction is screened instead."""
    few = isinstance(study.replicates, int) and study.replicates < MIN_REPLICATES and study.data.folds is None
    if not few or study.quick_of is not None or study.search is not None or study.design.kind != "full":
        return ""
    given = "one replicate" if study.replicates == 1 else f"{study.replicates} replicates"
    return f"with {given} no pair of arms gets a verdict: set replicates to {MIN_REPLICATES} or more."


def name_code(study: Study) -> tuple[str, ...]:
    """Return a sentence for each network `module:Class` and metric `module:function` whose code a study runs."""
    parts = (study.recipe, study.blocks, study.arms, study.plain_search)
    names = dict.fromkeys(text for part in parts for text in _list_texts(part) if names_class(text))
    found = [f"runs the code of the module {name.partition(':')[0]} (network {name})." for name in names]
    function = FUNCTION_METRIC.fullmatch(study.decide.metric)
    if function is not None:
        found.append(f"runs the code of the module {function[1].partition(':')[0]} (metric {function[1]}).")
    return tuple(found)


def _list_texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ():
        yield from _list_texts(part)


def _combine(study: Study) -> Combined:
    winner, _ = read_from(study.recipe)
    if winner is not None and winner.found is None:
        message = f"the winner of study '{winner.study}' is looked up in a workspace: name it with --workspace"
        raise StudyError([Problem("", "recipe.from", message, WINNER)])
    return study.combine()


def _list_needed_metrics(study: Study, search: AnySearch | None) -> tuple[str, ...]:
    metric = study.decide.metric
    judged = (metric, *(() if search is None else search.list_objectives(metric)))
    return tuple(name for name in dict.fromkeys(judged) if METRICS.find_origin(name) or is_on_demand(name))


def derive_seed(seed: int, replicate: int, stage: Stage = "final") -> int:
    """Return a replicate's seed, from 0 to 2**48 - 1: from SHA-256 of the study's seed and the replicate.

    Args:
        seed: the study's seed, >= 0.
        replicate: 0 and up.
        stage: a search has different seeds, so that its winner is compared on seeds it was not selected on.
    """
    what = "replicate" if stage == "final" else "search replicate"
    return _derive(f"{what} {replicate} of seed {seed}")


def derive_search_seed(seed: int) -> int:
    """Return the seed of a search's own random choices, from 0 to 2**48 - 1.

    Args:
        seed: the study's seed, >= 0.
    """
    return _derive(f"search of seed {seed}")


def _derive(text: str) -> int:
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:6], "big")


def trial_content(
    planned: PlannedTrial,
    *,
    fingerprint: str,
    numeric: str,
    engine_version: str,
    own_validation: str = "",
    code: str | None = None,
) -> dict[str, Any]:
    """Return everything that determines a trial's result, as plain values.

    Labels, the replicate's number and the dataset's name are left out, because they do not affect it.

    Args:
        planned: the trial.
        fingerprint: hash of the decoded images, labels and class names.
        numeric: the numeric mode (`float32` or `bfloat16`, not `auto`).
        engine_version: changes whenever the engine's results change.
        own_validation: the source's own validation images, if the trial uses them.
        code: hash of the code of a network `module:Class`, if the trial has one.
    """
    split: dict[str, object] = {"validation": planned.data.validation}
    if planned.fold is not None:
        split = {"folds": planned.data.folds, **split}
    elif own_validation:
        split = {"validation": f"own {own_validation}"}
    return {
        "recipe": recipe_content(planned.recipe),
        "data": {"fingerprint": fingerprint, **split},
        "seed": planned.seed,
        "fold": planned.fold,
        "numeric": numeric,
        "engine": engine_version,
        **({} if code is None else {"code": code}),
    }


def recipe_content(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe in the form used in identities: without fields at their defaults.

    So identities do not change when recipes get new fields. The original fields are always included, as they were when
    there were no others. A weights file is identified by its hash, not by its path.
    """
    content = recipe.model_dump(mode="json")
    unset = recipe.model_dump(mode="json", exclude_defaults=True).keys()
    kept = {name: value for name, value in content.items() if name in FIRST_FIELDS or name in unset}
    weights = (kept.get("transfer") or {}).get("weights")
    if isinstance(weights, dict) and "file" in weights:
        ema = {} if weights["ema"] is None else {"ema": weights["ema"]}
        named = {"file": weights["file"], "sha256": None, **ema}
        if weights["sha256"]:  # what is no average is what was taken before there was a choice
            named = {"sha256": weights["sha256"], **({"ema": True} if weights["ema"] else {})}
        kept["transfer"] = {**kept["transfer"], "weights": named}
    return kept


def trial_id(content: Mapping[str, Any]) -> str:
    """Return the id of a trial: the first digits of SHA-256 over its content as canonical JSON."""
    return _hash(content)[:TRIAL_ID_CHARACTERS]


def study_id(study: Study) -> str:
    """Return a study's identity: SHA-256 (64 hexadecimal characters) over everything but `name` and `published`.

    Different ways to write the same study have the same identity: it is computed from the planned recipes.
    """
    combined = _combine(study)
    content = study.model_dump(mode="json", include={"question", "replicates", "seed", "numeric", "decide"})
    content["combinations"] = [
        [found.block, found.arm, found.data.model_dump(mode="json"), recipe_content(found.recipe)]
        for found in combined.combinations
    ]
    if study.search is not None:
        content["searches"] = [
            None if found.search is None else found.search.model_dump(mode="json") for found in combined.combinations
        ]
    if not study.design.is_full:
        content["design"] = study.design.model_dump(mode="json", exclude_defaults=True)
    if study.groups:
        content["groups"] = {name: list(arms) for name, arms in study.groups.items()}
    if study.quick_of is not None:
        content["quick_of"] = study.quick_of
    if study.ensembles:
        content["ensembles"] = {label: vote.model_dump(mode="json") for label, vote in study.ensembles.items()}
    return _hash(content)


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
