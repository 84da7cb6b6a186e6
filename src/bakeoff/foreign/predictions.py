"""Predictions of runs that others trained: a file per run (npz, CSV, Parquet), a table of all, or arrays.

Nothing is unpickled. Shape suffixes: N images, C classes.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import ColumnError, DataError, PredictionsError, nearest
from bakeoff.foreign.csv_table import read_rows
from bakeoff.foreign.mapping import NAMES, Asked, Role, Runs, check_runs, natural_key, sort_naturally
from bakeoff.foreign.reading import find_files
from bakeoff.foreign.table import Value
from bakeoff.stats.metrics import METRICS, MetricError, classification_metrics, find_metric
from bakeoff.stats.results import TrialResult

Arrays = Mapping[str, NDArray[Any]]
"""Predictions of one run: probabilities [N, C], labels [N], indices [N]; groups [N] if images come in groups."""

MAX_UNPACKED = 2**30
"""Bytes of a run's predictions: 50,000 images of 1,000 classes take a fifth."""

SUFFIXES = (".npz", ".csv", ".tsv", ".parquet", ".pq")

_IMAGE = ("image", "image_id", "id", "index", "indices", "ids", "images", "file", "filename", "path")
_LABEL = ("label", "labels", "target", "targets", "true", "y_true", "true_class", "true_label", "y")
_CALLED = ("prediction", "predictions", "predicted", "pred", "preds", "y_pred", "class", "classes", "predicted_class")
_PROBABILITIES = ("probabilities", "probs", "proba", "y_prob", "scores")
_GROUP = ("group", "groups")
_PROBABILITY = re.compile(r"(?:p|prob|proba|probability)[_ .:](.+)")

_UNNAMED = "Images have no ids: those at the same place in two files count as the same."


@dataclass(frozen=True, kw_only=True)
class RawRun:
    """One run's predictions as they were found.

    Attributes:
        place: what to call it in messages.
        block, arm, replicate: texts.
        images: an id per image; None if they have none.
        labels: of every image, a number or a name.
        called: the predicted class, likewise; None if there are probabilities.
        probabilities_NC: None if there are only classes.
        names: of the classes, in the order of the columns of probabilities; None if they are numbered.
        groups: of every image, or None.
    """

    place: str
    block: str
    arm: str
    replicate: str
    images: Sequence[Value] | None
    labels: Sequence[Value]
    called: Sequence[Value] | None = None
    probabilities_NC: NDArray[Any] | None = None
    names: Sequence[str] | None = None
    groups: Sequence[Value] | None = None


@dataclass(frozen=True)
class _Head:
    """What is kept of every run while its predictions are on disk."""

    place: str
    block: str
    arm: str
    replicate: str
    has_probabilities: bool


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """Runs with their predictions.

    Attributes:
        runs: the runs as results; their scores are computed by our own metrics.
        load: reads the predictions of one run, by its trial id, on the split "test".
        class_names: by block.
        has_probabilities: False if only classes are known, so that nothing is said of calibration and the like.
        num_images: by block.
    """

    runs: Runs
    load: Callable[[str, str], Arrays | None]
    class_names: Mapping[str, tuple[str, ...]]
    has_probabilities: bool
    num_images: Mapping[str, int]


def holds_predictions(source: str) -> bool:
    """Return whether a source is a folder of predictions, or a table of them by the names of its columns."""
    path = Path(source)
    if path.is_dir():
        files = _list_files(path)
        return bool(files) and _is_prediction_file(files[0])
    return path.is_file() and path.suffix.lower() in SUFFIXES and _is_prediction_file(path)


def read_predictions(source: str, asked: Asked) -> Predicted:
    """Read the predictions of all runs.

    Raises:
        DataError: one line that names the culprit and the remedy.
    """
    path = Path(source)
    if path.is_dir():
        files = _list_files(path)
        places = _name_runs(path, files)
        read = [partial(_read_file, file, place) for file, place in zip(files, places, strict=True)]
    else:
        if path.suffix == ".npz":
            raise PredictionsError(f"{source} is one run: give the folder with a file for each, ARM/REPLICATE.npz.")
        read = [partial(_give, raw) for raw in _split_table(source, asked)]
    return judge_predictions(source, read, asked)


def judge_predictions(source: str, read: Sequence[Callable[[], RawRun]], asked: Asked) -> Predicted:
    """Score runs whose predictions are read one at a time, and again when they are needed.

    Raises:
        DataError: predictions of an image with two labels, or of other images than the first run's of its block.
    """
    metric = find_metric(asked.metric or "accuracy")
    images: dict[str, _Images] = {}
    heads: list[_Head] = []
    for one in read:
        raw = one()
        known = images.get(raw.block)
        images[raw.block] = _Images.of(raw) if known is None else known.extend(raw)
        if raw.probabilities_NC is None and metric.needs_probabilities:
            raise PredictionsError(
                f"{raw.place}: {metric.label} needs probabilities of all classes, and there are classes only."
            )
        heads.append(_Head(raw.place, raw.block, raw.arm, raw.replicate, raw.probabilities_NC is not None))
    _check_repeated(source, heads)
    readers = {f"run {number}": partial(_align, images, one) for number, one in enumerate(read, start=1)}
    runs = Runs(
        name=re.split(r"[\\/]", source.rstrip("\\/"))[-1].rsplit(".", 1)[0],
        source=source,
        tool="predictions",
        record=metric,
        results=_score(heads, readers, metric.name),
        blocks=tuple(dict.fromkeys(head.block for head in heads)),
        arms=tuple(dict.fromkeys(head.arm for head in heads)),
        num_folds=None,
        has_ids=True,
        roles=_name_roles(source),
        notes=(_UNNAMED,) if any(each.is_unnamed for each in images.values()) else (),
    )
    check_runs(runs)
    return Predicted(
        runs=runs,
        load=lambda trial_id, split: readers[trial_id]() if split == "test" and trial_id in readers else None,
        class_names={block: each.names for block, each in images.items()},
        has_probabilities=all(head.has_probabilities for head in heads),
        num_images={block: len(each.labels_N) for block, each in images.items()},
    )


def _score(heads: Sequence[_Head], readers: Mapping[str, Callable[[], Arrays]], metric: str) -> tuple[TrialResult, ...]:
    """Score every run by the metric asked for and those of every study, as far as its predictions allow."""
    numbers = {text: number for number, text in enumerate(sort_naturally({head.replicate for head in heads}))}
    found = []
    for (trial_id, read), head in zip(readers.items(), heads, strict=True):
        arrays = read()
        try:
            scores = classification_metrics(arrays["probabilities"], arrays["labels"], [metric])
        except MetricError as error:
            raise PredictionsError(f"{head.place}: {error}") from error
        kept = {
            name: score
            for name, score in scores.items()
            if head.has_probabilities or (record := METRICS.get(name)) is None or not record.needs_probabilities
        }
        found.append(_make_result(trial_id, head, numbers[head.replicate], kept))
    return tuple(found)


def _give(raw: RawRun) -> RawRun:
    return raw


def _align(images: Mapping[str, _Images], read: Callable[[], RawRun]) -> Arrays:
    raw = read()
    return images[raw.block].align(raw)


def _name_roles(source: str) -> dict[Role, str]:
    if Path(source).is_dir():
        return {"arm": "folder", "replicate": "file"}
    return {"arm": "arm", "replicate": "replicate"}


def _make_result(trial_id: str, head: _Head, replicate: int, metrics: Mapping[str, float]) -> TrialResult:
    return TrialResult(
        trial_id=trial_id,
        block=head.block,
        arm=head.arm,
        replicate=replicate,
        state="done",
        metrics={"test": metrics},
        epochs_trained=0,
        best_epoch=None,
        seconds=0.0,
    )


@dataclass(frozen=True, kw_only=True)
class _Images:
    """The images of a block, in the order of its first run, with their labels, and the classes known so far."""

    place: str
    ids: tuple[Value, ...]
    labels_N: tuple[str, ...]
    names: tuple[str, ...]
    are_names_fixed: bool
    is_unnamed: bool
    groups_N: tuple[Value, ...] | None

    @classmethod
    def of(cls, raw: RawRun) -> _Images:
        _check_sizes(raw)
        ids = tuple(range(len(raw.labels))) if raw.images is None else tuple(raw.images)
        if len(set(ids)) < len(ids):
            repeated = next(each for each, number in Counter(ids).items() if number > 1)
            raise PredictionsError(f"{raw.place} has two predictions of image {repeated}: give one per image.")
        return cls(
            place=raw.place,
            ids=ids,
            labels_N=tuple(map(_write, raw.labels)),
            names=_name_classes(raw),
            are_names_fixed=raw.probabilities_NC is not None,
            is_unnamed=raw.images is None,
            groups_N=None if raw.groups is None else tuple(raw.groups),
        )

    def extend(self, raw: RawRun) -> _Images:
        """Return the images with the classes of another run; refuse one of other images or labels."""
        own = _Images.of(raw)
        if set(own.ids) != set(self.ids):
            known, given = set(self.ids), set(own.ids)
            missing = next((each for each in self.ids if each not in given), None)
            lacks, has = (raw.place, self.place) if missing is not None else (self.place, raw.place)
            image = missing if missing is not None else next(each for each in own.ids if each not in known)
            raise ColumnError(
                f"{lacks} has no prediction of image {image}, and {has} has: all runs of a block must be of the same "
                "images. Leave out images that not all have, or give the sets names: --map block=COLUMN."
            )
        labels = dict(zip(own.ids, own.labels_N, strict=True))
        for image, label in zip(self.ids, self.labels_N, strict=True):
            if labels[image] != label:
                raise PredictionsError(
                    f"image {image} is labelled {label} in {self.place} and {labels[image]} in {raw.place}: an image "
                    "has one label."
                )
        if self.are_names_fixed or own.are_names_fixed:
            if own.are_names_fixed and self.are_names_fixed and own.names != self.names:
                raise PredictionsError(
                    f"{raw.place} has {len(own.names)} classes that are not those of {self.place} ({len(self.names)}): "
                    "give all runs the same classes, in one order."
                )
            return replace(self, names=self.names if self.are_names_fixed else own.names, are_names_fixed=True)
        return replace(self, names=tuple(sort_naturally({*self.names, *own.names})))

    def align(self, raw: RawRun) -> Arrays:
        """Return a run's predictions in the order of the images; of a class alone, it has all the probability."""
        places = {name: number for number, name in enumerate(self.names)}
        order = None
        if raw.images is not None and tuple(raw.images) != self.ids:
            position = {image: number for number, image in enumerate(raw.images)}
            order = [position[image] for image in self.ids]
        if raw.probabilities_NC is not None:
            probabilities_NC = np.asarray(raw.probabilities_NC)
        else:
            assert raw.called is not None, "one of the two is given"
            probabilities_NC = np.zeros((len(raw.called), len(self.names)), dtype=np.float32)
            unknown = next((each for each in raw.called if _write(each) not in places), None)
            if unknown is not None:
                raise PredictionsError(f"{raw.place}: {unknown} is no class.{nearest(unknown, self.names)}")
            probabilities_NC[np.arange(len(raw.called)), [places[_write(each)] for each in raw.called]] = 1.0
        unknown_label = next((label for label in self.labels_N if label not in places), None)
        if unknown_label is not None:
            raise PredictionsError(
                f"{self.place}: the label {unknown_label} is none of the {len(self.names)} classes. Labels are the "
                "names of the classes, or their numbers from 0."
            )
        found: dict[str, NDArray[Any]] = {
            "probabilities": probabilities_NC if order is None else probabilities_NC[order],
            "labels": np.array([places[label] for label in self.labels_N], dtype=np.int64),
            "indices": np.arange(len(self.ids)),
        }
        if self.groups_N is not None:
            found["groups"] = np.unique(np.array(list(map(_write, self.groups_N))), return_inverse=True)[1]
        return found


def _write(value: object) -> str:
    """Return a label or class as text: 3, 3.0 and "3" are the same."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _check_sizes(raw: RawRun) -> None:
    n = len(raw.labels)
    sizes = {
        "ids of images": raw.images,
        "predicted classes": raw.called,
        "rows of probabilities": raw.probabilities_NC,
        "groups": raw.groups,
    }
    for what, values in sizes.items():
        if values is not None and len(values) != n:
            raise PredictionsError(f"{raw.place} has {len(values):,} {what} for {n:,} labels: give one for each.")
    if not n:
        raise PredictionsError(f"{raw.place} has no predictions.")
    if raw.probabilities_NC is not None and not np.isfinite(raw.probabilities_NC).all():
        raise PredictionsError(
            f"{raw.place} has probabilities that are NaN or infinite: the run diverged. Leave it out."
        )
    if raw.probabilities_NC is not None and (raw.probabilities_NC.min() < 0 or raw.probabilities_NC.max() > 1 + 1e-3):
        low, high = float(raw.probabilities_NC.min()), float(raw.probabilities_NC.max())
        raise PredictionsError(
            f"{raw.place} has numbers from {low:g} to {high:g} in place of probabilities (0..1). Apply softmax first."
        )


def _name_classes(raw: RawRun) -> tuple[str, ...]:
    if raw.names is not None:
        return tuple(raw.names)
    if raw.probabilities_NC is not None:
        return tuple(map(str, range(raw.probabilities_NC.shape[1])))
    return tuple(sort_naturally({*map(_write, raw.labels), *map(_write, raw.called or ())}))


def _check_repeated(source: str, heads: Sequence[_Head]) -> None:
    seen: dict[tuple[str, str, str], _Head] = {}
    for head in heads:
        first = seen.setdefault((head.block, head.arm, head.replicate), head)
        if first is not head:
            raise PredictionsError(
                f"{source}: {first.place} and {head.place} are both arm {head.arm}, replicate {head.replicate}."
            )


# --- Files --------------------------------------------------------------------------------------------------------


def _list_files(folder: Path) -> list[Path]:
    found = [found.path for found in find_files(str(folder), lambda path: path.suffix.lower() in SUFFIXES)]
    return sorted(found, key=lambda path: natural_key(str(path.relative_to(folder))))


def _name_runs(folder: Path, files: Sequence[Path]) -> list[tuple[str, str, str]]:
    """Return block, arm and replicate of files: BLOCK/ARM/REPLICATE, ARM/REPLICATE, or ARM-REPLICATE with a number."""
    found = []
    for file in files:
        parts = file.relative_to(folder).with_suffix("").parts
        if len(parts) > 1:
            found.append(("/".join(parts[:-2]), parts[-2], parts[-1]))
            continue
        match = re.fullmatch(r"(.+?)[-_. ]*(?:seed|run|rep|replicate|trial|s|r)?[-_=. ]*(\d+)", parts[0])
        if match is None:
            raise PredictionsError(
                f"{file}: its name tells no arm and replicate. Name files ARM/REPLICATE{file.suffix}, such as "
                f"adam/seed1{file.suffix}, or ARM-seed1{file.suffix}."
            )
        found.append(("", match[1], match[2]))
    return found


def _read_file(file: Path, place: tuple[str, str, str]) -> RawRun:
    block, arm, replicate = place
    raw = (
        _read_npz(file) if file.suffix.lower() == ".npz" else _read_columns(str(file), str(file), read_rows(str(file)))
    )
    return replace(raw, block=block, arm=arm, replicate=replicate)


def _read_npz(file: Path) -> RawRun:
    try:
        with zipfile.ZipFile(file) as packed:
            if sum(info.file_size for info in packed.infolist()) > MAX_UNPACKED:
                raise PredictionsError(f"{file} unpacks to more than {MAX_UNPACKED // 2**20:,} MiB, the maximum.")
        with np.load(file, allow_pickle=False) as arrays:
            found = {name.lower(): arrays[name] for name in arrays.files}
    except DataError:
        raise
    except Exception as error:  # NumPy and zipfile raise many exceptions for damaged files
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PredictionsError(
            f"{file} cannot be read ({reason}). It needs arrays of numbers and texts, not objects."
        ) from error

    def pick(names: Sequence[str]) -> NDArray[Any] | None:
        return next((found[name] for name in names if name in found), None)

    labels, called = pick(_LABEL), pick(_CALLED)
    probabilities = pick(_PROBABILITIES)
    if called is not None and called.ndim == 2 and probabilities is None:
        probabilities, called = called, None
    if labels is None or (called is None and probabilities is None):
        raise PredictionsError(
            f"{file} has no {'labels' if labels is None else 'probabilities or predictions'}. It needs the arrays "
            f"labels, and probabilities or predictions; it has {', '.join(found) or 'none'}."
        )
    if probabilities is not None and probabilities.ndim != 2:
        raise PredictionsError(f"{file}: probabilities have the shape {probabilities.shape}, not images x classes.")
    images, groups, names = pick(_IMAGE), pick(_GROUP), pick(("class_names", "names"))
    return RawRun(
        place=str(file),
        block="",
        arm="",
        replicate="",
        images=None if images is None else images.tolist(),
        labels=labels.tolist(),
        called=None if probabilities is not None or called is None else called.tolist(),
        probabilities_NC=probabilities,
        names=None if names is None or probabilities is None else [str(name) for name in names.tolist()],
        groups=None if groups is None else groups.tolist(),
    )


def _is_prediction_file(path: Path) -> bool:
    """Return whether the names of a file's columns or arrays are those of predictions; of a damaged npz they may be."""
    if path.suffix.lower() == ".npz":
        try:
            with zipfile.ZipFile(path) as archive:
                arrays = {name.removesuffix(".npy").lower() for name in archive.namelist()}
        except (OSError, zipfile.BadZipFile):
            return True
        return bool(arrays & {*_LABEL, *_CALLED, *_PROBABILITIES})
    try:
        (_, first), *_ = read_rows(str(path))
    except DataError:
        return False
    columns = {name.strip().lower() for name in first}
    has_classes = bool(columns & set(_CALLED)) or sum(_PROBABILITY.fullmatch(name) is not None for name in columns) > 1
    return bool(columns & set(_LABEL)) and has_classes


def _read_columns(place: str, source: str, rows: Sequence[tuple[str, Mapping[str, Value]]]) -> RawRun:
    columns = list(dict.fromkeys(name for _, row in rows for name in row))
    known = {name.strip().lower(): name for name in columns}

    def pick(names: Sequence[str]) -> str | None:
        return next((known[name] for name in names if name in known), None)

    label, called, image, group = pick(_LABEL), pick(_CALLED), pick(_IMAGE), pick(_GROUP)
    shares = {match[1]: name for name in columns if (match := _PROBABILITY.fullmatch(name.strip())) is not None}
    if label is None or (called is None and len(shares) < 2):
        raise PredictionsError(
            f"{source} needs the columns label, and prediction or p_CLASS for every class; it has {', '.join(columns)}."
        )
    for wanted in filter(None, (label, called if len(shares) < 2 else None, image)):
        empty = next((line for line, row in rows if row.get(wanted) is None), None)
        if empty is not None:
            raise PredictionsError(f"{source}: {empty} has no {wanted}.")
    probabilities = None
    if len(shares) > 1:
        values = [[row.get(name) for name in shares.values()] for _, row in rows]
        for (line, _), each in zip(rows, values, strict=True):
            if not all(isinstance(value, int | float) for value in each):
                raise PredictionsError(f"{source}: {line} has a probability that is no number.")
        probabilities = np.array(values, dtype=np.float64)
    groups = None if group is None else [row.get(group) for _, row in rows]
    return RawRun(
        place=place,
        block="",
        arm="",
        replicate="",
        images=None if image is None else [row[image] for _, row in rows],
        labels=[row[label] for _, row in rows],
        called=None if probabilities is not None or called is None else [row[called] for _, row in rows],
        probabilities_NC=probabilities,
        names=list(shares) if probabilities is not None else None,
        groups=None if groups is None or all(each is None for each in groups) else groups,
    )


def _split_table(source: str, asked: Asked) -> Iterator[RawRun]:
    """Yield the runs of one table of all predictions, told apart by columns as tables of scores are."""
    rows = read_rows(source)
    for name, values in asked.where.items():
        rows = [(place, row) for place, row in rows if _write(row.get(name)) in values]
        if not rows:
            raise ColumnError(f"--where {name}={values[0]}: no row of {source} has it.")
    columns = list(dict.fromkeys(name for _, row in rows for name in row))
    lower = {name.strip().lower(): name for name in columns}
    wanted: tuple[Role, ...] = ("block", "arm", "replicate")
    roles: dict[Role, str | None] = {
        role: asked.columns.get(role) or next((lower[name] for name in NAMES[role] if name in lower), None)
        for role in wanted
    }
    for role in wanted[1:]:
        if roles[role] is None:
            raise ColumnError(f"{source}: which column is the {role}? Say --map {role}=COLUMN.")
    for column in filter(None, roles.values()):
        if column not in columns:
            raise ColumnError(f"--map: {source} has no column {column}.{nearest(column, columns)}")
    split: dict[tuple[str, str, str], list[tuple[str, Mapping[str, Value]]]] = {}
    for place, row in rows:
        block, arm, replicate = (_read_role(row, roles[role]) for role in wanted)
        split.setdefault((block, arm, replicate), []).append((place, row))
    for (block, arm, replicate), own in split.items():
        raw = _read_columns(f"arm {arm}, replicate {replicate}", source, own)
        yield replace(raw, block=block, arm=arm, replicate=replicate)


def _read_role(row: Mapping[str, Value], column: str | None) -> str:
    return "" if column is None else _write(row.get(column))
