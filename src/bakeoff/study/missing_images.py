"""Finds image folders and manifests that a study file names but that do not exist, before anything is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bakeoff.data.locate import list_places
from bakeoff.data.source import show_text
from bakeoff.errors import IMAGES_NOT_FOUND, nearest
from bakeoff.study.axes import Fault
from bakeoff.study.explain import Path as FieldPath

_KINDS = ("folder", "manifest")


def find_missing_images(fields: Mapping[str, Any], folder: Path, data_dir: Path | None) -> Iterator[tuple[str, Fault]]:
    """Yield (path as given, error) for each folder or manifest that is neither beside the study nor in a data folder.

    Args:
        fields: the study, not validated.
        folder: the study file's folder.
        data_dir: searched before the other data folders.
    """
    for section in ("data", "blocks"):
        for path, kind, given in _list_given(fields.get(section), (section,), (section,)):
            try:
                places = [folder / Path(given).expanduser(), *list_places(Path(given).expanduser(), data_dir)]
                if any(place.exists() for place in places):
                    continue
            except (OSError, ValueError, RuntimeError):
                continue  # opening it reports the error
            searched = ", ".join(dict.fromkeys(show_text(place.parent.absolute()) for place in places))
            hint = nearest(Path(given).name, _list_names([place.parent for place in places]))
            message = f"no {kind} {show_text(given)!r} in {searched}.{hint}"
            yield given, Fault(path, message, IMAGES_NOT_FOUND)


def _list_given(node: object, path: FieldPath, parts: tuple[str, ...]) -> Iterator[tuple[FieldPath, str, str]]:
    """Yield (path, kind, value) for the folders and manifests in a part of a study; `parts` are the path's fields."""
    if isinstance(node, str):
        if len(parts) > 1 and parts[-2] == "data" and parts[-1] in _KINDS and node:
            yield path, parts[-1], node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _list_given(value, (*path, key), (*parts, *str(key).split(".")))
    elif isinstance(node, Sequence):
        for index, value in enumerate(node):
            yield from _list_given(value, (*path, index), parts)


def _list_names(folders: Sequence[Path]) -> list[str]:
    names = []
    for folder in folders:
        try:
            names += [each.name for each in folder.iterdir()]
        except OSError:
            continue
    return names
