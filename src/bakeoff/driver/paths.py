"""Paths in a study file, which are relative to its folder. Checked before training, without opening files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.transfer import FileWeights
from bakeoff.data.files import list_source, list_whole
from bakeoff.data.grouping import describe_groups
from bakeoff.data.source import show_text
from bakeoff.driver.facts import list_sources
from bakeoff.study.plan import Block, Plan
from bakeoff.study.settings import DataSettings


def resolve_paths(plan: Plan) -> Plan:
    """Make relative paths of images and weights absolute if they exist relative to the study file's folder.

    Other paths are unchanged, and are searched for in the current folder and the data folders; if the current folder
    has it, a note says so. The ids of a study and its trials do not depend on paths.
    """
    folder = plan.study.folder
    if folder is None:
        return plan
    finder = _Finder(folder)
    blocks = tuple(replace(block, data=finder.place_data(block.data)) for block in plan.blocks)
    trials = tuple(
        replace(trial, data=finder.place_data(trial.data), recipe=finder.place_weights(trial.recipe))
        for trial in plan.trials
    )
    return replace(plan, blocks=blocks, trials=trials, notes=(*plan.notes, *finder.notes))


class _Finder:
    """Looks up each path once.

    Args:
        folder: the study file's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[str, str] = {}
        self._data: dict[DataSettings, DataSettings] = {}
        self._recipes: dict[str, Recipe] = {}
        self.notes: list[str] = []

    def place_data(self, data: DataSettings) -> DataSettings:
        """Return data settings with their path made absolute, if it exists."""
        if data not in self._data:
            given = {field: path for field in ("folder", "manifest") if (path := getattr(data, field)) is not None}
            found = {field: self._find(path) for field, path in given.items()}
            self._data[data] = data if found == given else DataSettings(**{**data.model_dump(), **found})
        return self._data[data]

    def place_weights(self, recipe: Recipe) -> Recipe:
        """Return a recipe with the path of its weights file made absolute, if it exists."""
        weights = None if recipe.transfer is None else recipe.transfer.weights
        if not isinstance(weights, FileWeights):
            return recipe
        key = recipe.model_dump_json()
        if key not in self._recipes:
            self._recipes[key] = recipe.start_from(weights.model_copy(update={"file": self._find(weights.file)}))
        return self._recipes[key]

    def _find(self, given: str) -> str:
        if given not in self._found:
            self._found[given] = self._resolve(given)
        return self._found[given]

    def _resolve(self, given: str) -> str:
        try:
            path = Path(given).expanduser()
            if path.is_absolute():
                return given
            beside = (self._folder / path).absolute()
            if beside.exists():
                return str(beside)
            if path.exists():
                self.notes.append(
                    f"{show_text(given)} is not in the study file's folder: using the one in the current folder, "
                    f"{show_text(path.absolute())}."
                )
        except (OSError, ValueError, RuntimeError):
            pass  # opening it reports the error
        return given


def describe_parts(plan: Plan, data_dir: Path | None) -> Iterator[str]:
    """Say how images are used, if folders or manifests have their own splits and the usage may be unexpected.

    Raises:
        DataError: images do not exist or do not form a classification task.
    """
    seen = set()
    for block in plan.blocks:
        key = (block.data.source, block.data.split)
        if block.data.source.path is not None and key not in seen:
            seen.add(key)
            yield from _describe_block(block, data_dir)


def _describe_block(block: Block, data_dir: Path | None) -> Iterator[str]:
    (source,) = list_sources([block])
    listing = list_source(source, data_dir)
    is_declared = any(file.group for file in list_whole(source, data_dir).files)
    for note in describe_groups(listing, source.group, is_declared=is_declared):
        yield f"{source.label}: {note}, which no split separates."
    counts = Counter(file.part for file in listing.files)
    if not counts["validation"]:
        return
    is_own = block.data.folds is None and block.data.validation == "own"
    if listing.has_test and is_own:
        return
    used = (
        f"its validation part ({counts['validation']:,}) is the validation split, the other {counts['train']:,} train"
        if is_own
        else f"its validation part ({counts['validation']:,}) joins the {counts['train']:,} training images, of which "
        f"{_describe_split(block.data)}; with data.validation: own, only that part validates"
    )
    test = f"the test part ({counts['test']:,}) is the test split"
    if not listing.has_test:
        test = f"it has no test part, so {counts['test']:,} of its training images are set aside as the test split"
    yield f"{source.label}: {test}; {used}."


def _describe_split(data: DataSettings) -> str:
    if data.folds is not None:
        return f"each of {data.folds} folds validates once"
    return f"{float(data.validation):.0%} are drawn to validate"
