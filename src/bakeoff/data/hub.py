"""Copies image datasets of the Hugging Face hub, from their Parquet files.

The hub stores most image datasets as Parquet, and offers a Parquet copy of the other public ones on the branch
`refs/convert/parquet`. Reading only these, with pyarrow, runs no dataset's code and unpickles nothing.
Source: https://huggingface.co/docs/dataset-viewer/parquet.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakeoff.data.imported import ImportWriter
from bakeoff.data.listing import PARTS, format_paths
from bakeoff.data.source import HUB, show_text
from bakeoff.errors import DamagedDatasetError, DownloadError, HubDatasetError, MissingDataPackageError
from bakeoff.extras import how_to_install

CONVERTED = "refs/convert/parquet"
"""The branch with the hub's own Parquet copy of a dataset."""

_BATCH_ROWS = 64
_NAME = re.compile(r"(?P<repo>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[^@:]+))?(?:@(?P<revision>[\w./-]+))?", re.ASCII)
_FILE = re.compile(r"(?:(?P<folder>.+)/)?(?P<split>[A-Za-z_]+)(?:-\d+-of-\d+|/(?:part\.)?\d+)?\.parquet")


@dataclass(frozen=True)
class HubName:
    """A dataset on the hub: repository, configuration if several, and revision (branch, tag or commit) if pinned."""

    repo: str
    config: str | None
    revision: str | None

    @classmethod
    def parse(cls, name: str) -> HubName:
        """Return the parts of `hf:OWNER/NAME[:CONFIG][@REVISION]`.

        Raises:
            DataError: it does not have this form.
        """
        match = _NAME.fullmatch(name.removeprefix(HUB))
        if match is None:
            raise HubDatasetError(
                f"'{show_text(name)}' names no dataset of the hub: write {HUB}OWNER/NAME, then :CONFIG if it has "
                "several configurations and @REVISION to pin a version."
            )
        return cls(match["repo"], match["config"], match["revision"])


def import_from_hub(name: str, folder: Path) -> None:
    """Copy a dataset's images and labels into a folder.

    Raises:
        DataError: a package is missing, the dataset is not reachable, has no Parquet files, several configurations and
            none is named, or no column of images or labels.
        OSError: the folder cannot be written.
    """
    wanted = HubName.parse(name)
    try:
        hub = importlib.import_module("huggingface_hub")
        importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingDataPackageError(
            f"{name} needs huggingface_hub and pyarrow to be read: {how_to_install('hub')}"
        ) from error
    revision, files = _list_files(hub, wanted)
    chosen = _choose_files(files, wanted)
    origin = {"from": name, "revision": revision}
    with ImportWriter(folder, origin) as writer:
        for part, path in chosen:
            local = _call_hub(wanted, hub.hf_hub_download, wanted.repo, path, repo_type="dataset", revision=revision)
            for content, label in _read_images(Path(local), name):
                writer.add(content, label, part)


def _list_files(hub: Any, wanted: HubName) -> tuple[str, list[str]]:
    """Return the commit, and its Parquet files: the dataset's own, or else the hub's copy."""
    api = hub.HfApi()
    for branch in (wanted.revision,) if wanted.revision else (None, CONVERTED):
        info = _call_hub(wanted, api.dataset_info, wanted.repo, revision=branch)
        files = [each.rfilename for each in info.siblings or () if each.rfilename.endswith(".parquet")]
        if files:
            return str(info.sha), files
    where = f"{HUB}{wanted.repo}{f'@{wanted.revision}' if wanted.revision else ''}"
    raise HubDatasetError(f"{where} has no Parquet files. Download it yourself, and name its folder as data.folder.")


def _call_hub(wanted: HubName, call: Any, *args: Any, **options: Any) -> Any:
    try:
        return call(*args, **options)
    except Exception as error:  # the client's exceptions have no common base class: HTTP, OS and its own
        reason = show_text(" ".join(str(error).split())[:200])
        raise DownloadError(f"{HUB}{wanted.repo} cannot be fetched from the hub: {reason}") from error


def _choose_files(files: Sequence[str], wanted: HubName) -> list[tuple[str, str]]:
    """Return (part, file) for the splits train, validation and test of one configuration."""
    found: dict[str, list[tuple[str, str]]] = {}
    others = set[str]()
    for path in sorted(files):
        match = _FILE.fullmatch(path)
        part = None if match is None else PARTS.get(match["split"].lower())
        if match is None or part is None:
            others.add(path)
            continue
        folder = match["folder"] or ""
        found.setdefault("default" if folder in ("", "data") else folder.split("/")[-1], []).append((part, path))
    if wanted.config is not None and wanted.config not in found:
        raise HubDatasetError(
            f"{HUB}{wanted.repo} has no configuration '{show_text(wanted.config)}'. "
            f"It has: {format_paths(list(found))}."
        )
    if not found:
        raise HubDatasetError(
            f"{HUB}{wanted.repo}: none of its Parquet files is a train, validation or test split: "
            f"{format_paths(sorted(others))}."
        )
    if wanted.config is None and len(found) > 1 and "default" not in found:
        raise HubDatasetError(
            f"{HUB}{wanted.repo} has several configurations: {format_paths(list(found))}. Name one: "
            f"{HUB}{wanted.repo}:{next(iter(found))}."
        )
    return found[wanted.config or ("default" if "default" in found else next(iter(found)))]


def _read_images(path: Path, name: str) -> Iterator[tuple[bytes, str]]:
    """Yield the image files and labels of a Parquet file.

    Raises:
        DataError: damaged, or without a column of images or of labels.
    """
    arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as file:
            images, labels, class_names = _find_columns(file.schema_arrow, name)
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=[images, labels]):
                for image, label in zip(batch.column(images), batch.column(labels), strict=True):
                    content, value = image.as_py(), label.as_py()
                    content = content.get("bytes") if isinstance(content, dict) else content
                    if content is None or value is None or (class_names and value < 0):  # -1: a hidden label
                        continue
                    yield content, class_names[value] if class_names else str(value)
    except (OSError, ValueError, IndexError, arrow.ArrowException) as error:
        raise DamagedDatasetError(
            f"{name}: {path.name} cannot be read: {show_text(' '.join(str(error).split())[:200])}"
        ) from error


def _find_columns(schema: Any, name: str) -> tuple[str, str, Sequence[str]]:
    """Return the columns of images and labels, and the class names of integer labels (empty: labels are texts)."""
    features = _read_features(schema)
    images = [column for column, feature in features.items() if feature.get("_type") == "Image"]
    classes = [column for column, feature in features.items() if feature.get("_type") == "ClassLabel"]
    texts = [column for column in schema.names if column.lower() in ("label", "labels", "class", "target")]
    labels = classes if len(classes) == 1 else [column for column in classes if column.lower() == "label"] or texts
    if len(images) != 1 or not labels:
        raise HubDatasetError(
            f"{name} is no image classification: it needs one column of images and one of labels; its columns: "
            f"{format_paths(schema.names)}."
        )
    return images[0], labels[0], features.get(labels[0], {}).get("names") or ()


def _read_features(schema: Any) -> Mapping[str, Mapping[str, Any]]:
    """Return the hub's description of each column, which it stores in the Parquet schema."""
    try:
        described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features: dict[str, Mapping[str, Any]] = described["info"]["features"]
    except (ValueError, KeyError, TypeError):
        features = {}
    # Without a description: a struct of bytes and path is how the hub stores an image.
    for column in schema:
        kind = str(column.type)
        if column.name not in features and kind.startswith("struct<bytes: binary"):
            features[column.name] = {"_type": "Image"}
    return features
