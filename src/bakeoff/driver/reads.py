"""Lists the files that a study reads or copies, in advance and without opening them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from bakeoff.catalog.networks.outside import TIMM, TORCHVISION, is_outside
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.transfer import FileWeights
from bakeoff.data.files import locate_path
from bakeoff.data.locate import download_folder, find_home, find_split
from bakeoff.data.registry import find_dataset
from bakeoff.data.source import DataSource
from bakeoff.driver.transfer import locate_weights
from bakeoff.errors import BakeoffError
from bakeoff.study.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Read:
    """A file or folder that a study reads.

    Attributes:
        what: images, weights or code, and how they are used.
        path: path of the file, or of the folder that is read completely.
        is_there: whether it was found.
        is_copied: whether the workspace stores a copy.
    """

    what: str
    path: str
    is_there: bool = True
    is_copied: bool = False

    @property
    def text(self) -> str:
        """A one-line description."""
        return f"{self.what}: {self.path}{'' if self.is_there else ' (not found)'}"


def list_reads(plan: Plan, data_dir: Path | None) -> tuple[Read, ...]:
    """Return what a plan's trials read, without duplicates, in the order of the plan.

    A search lists only what its default recipe reads; data from installed packages is not listed.
    """
    recipes = {(trial.block, trial.arm): trial.recipe for trial in plan.trials}
    found = [read for block in plan.blocks for read in _list_images(block.data.source, data_dir)]
    found += [read for recipe in recipes.values() for read in _list_for_recipe(recipe, data_dir)]
    return tuple(dict.fromkeys(found))


def _list_images(source: DataSource, data_dir: Path | None) -> Iterator[Read]:
    if source.registered is None:
        what = "images below" if source.kind == "folder" else "images and labels listed in"
        try:
            yield Read(what=what, path=str(locate_path(source, data_dir)))
        except BakeoffError:
            yield Read(what=what, path=str(source.path), is_there=False)
        return
    record = find_dataset(source.registered)
    home = find_home(record, data_dir)
    if home is None:
        yield Read(what=f"images of {record.name}, to be downloaded", path=str(download_folder(data_dir)))
        return
    for split in ("train", "test"):
        located = find_split(record, split, home)
        for path in () if located is None else located.sources:
            yield Read(what=f"images of {record.name}", path=str(path))


def _list_for_recipe(recipe: Recipe, data_dir: Path | None) -> Iterator[Read]:
    weights = None if recipe.transfer is None else recipe.transfer.weights
    if isinstance(weights, FileWeights):
        path = locate_weights(weights.file, data_dir)
        what = "weights, copied into the workspace"
        yield Read(what=what, path=str(path or weights.file), is_there=path is not None, is_copied=True)
    name = recipe.network.name
    if is_outside(name) and not name.startswith((TORCHVISION, TIMM)):
        package = name.partition(":")[0].partition(".")[0]
        spec = PathFinder.find_spec(package, [*sys.path, str(Path.cwd())])
        places = [] if spec is None else list(spec.submodule_search_locations or [spec.origin or package])
        for place in places or [package]:
            yield Read(what="code that is run", path=str(place), is_there=bool(places))
