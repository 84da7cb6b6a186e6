"""Ludwig: `training_statistics.json`, `test_statistics.json` and `description.json`. A folder of results is a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bakeoff.foreign.epochs import Curve
from bakeoff.foreign.reading import Found, find_files, flatten, holds_file, parse_score, read_json
from bakeoff.foreign.runs import Run, find_beside, make_table, read_files
from bakeoff.foreign.table import ForeignTable, Importer, Value

_TRAINING = "training_statistics.json"
_TEST = "test_statistics.json"
_DESCRIPTION = "description.json"
_SPLITS = {"training": "train", "validation": "validation", "test": "test"}
_COMBINED = "combined"


def _is_result(path: Path) -> bool:
    if path.name == _TRAINING:
        return True
    return path.name == _TEST and not path.with_name(_TRAINING).is_file() and path.with_name(_DESCRIPTION).is_file()


def _read_run(found: Found) -> Iterator[Run]:
    curves: dict[str, Curve] = {}
    if found.path.name == _TRAINING:
        for split, features in _as_mapping(read_json(found.path)).items():
            if split in _SPLITS:
                curves.update(_read_curves(_SPLITS[split], _as_mapping(features)))
    if test := find_beside(found.path, _TEST):
        # The test of the finished model, not that of each epoch.
        curves = {name: curve for name, curve in curves.items() if not name.startswith("test_")}
        curves.update(_read_curves("test", _as_mapping(read_json(test))))
    description = find_beside(found.path, _DESCRIPTION)
    facts = _read_facts(_as_mapping(read_json(description))) if description else {}
    label = "/".join(found.parts[:-1]) or found.path.name
    yield Run(label=label, facts=facts, curves=curves, parts=found.parts[:-1])


def _as_mapping(content: Any) -> Mapping[str, Any]:
    return content if isinstance(content, dict) else {}


def _read_curves(split: str, features: Mapping[str, Any]) -> Iterator[tuple[str, dict[float, float]]]:
    """Yield the curves of one split; with one output feature, its name is left out."""
    num_outputs = len([feature for feature in features if feature != _COMBINED])
    for feature, metrics in features.items():
        words = [split] if num_outputs == 1 and feature != _COMBINED else [split, feature]
        for metric, values in _as_mapping(metrics).items():
            curve = _read_curve(values)
            if curve:
                yield "_".join((*words, metric)), curve


def _read_curve(values: Any) -> dict[float, float]:
    """Return a list of scores by checkpoint, each a number or [epoch, step, number], or a single score, as a curve."""
    points = values if isinstance(values, list) else [values]
    scores = [parse_score(point[-1] if isinstance(point, list) and point else point) for point in points]
    return {float(i): score for i, score in enumerate(scores) if score is not None}


def _read_facts(description: Mapping[str, Any]) -> dict[str, Value]:
    config = _as_mapping(description.get("config", description.get("model_definition")))
    seed = parse_score(description.get("random_seed"))
    return {**({} if seed is None else {"seed": int(seed)}), **flatten(config)}


def read(source: str, epoch: str) -> ForeignTable:
    """Return the runs of Ludwig."""
    return make_table("Ludwig", source, read_files(find_files(source, _is_result), _read_run), epoch)


IMPORTER = Importer(
    "ludwig",
    "folders of results with training_statistics.json",
    lambda source: holds_file(source, _is_result),
    read,
)
