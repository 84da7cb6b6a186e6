"""The page to try a photo: it is classified by the study's winner, on this machine, and not kept."""

from __future__ import annotations

import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request

from bakeoff.deploy.predictor import Predictor
from bakeoff.deploy.reliability import ClassReliability
from bakeoff.errors import ServerError
from bakeoff.report.text import show_text

MAX_BYTES = 32 << 20
"""Maximum size of a photo."""

NUM_CLASSES = 5
"""Classes shown."""


class TooLargeError(ServerError):
    """A photo above `MAX_BYTES`."""


@dataclass(frozen=True)
class _Loaded:
    study_id: str
    predictor: Predictor


class PhotoTrial:
    """Classifies photos with the winners of a workspace's studies; keeps the models used last. Thread-safe.

    Args:
        root: the workspace.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    def describe(self, study_id: str) -> tuple[str, ...]:
        """Return sentences about the model that will answer.

        Raises:
            BakeoffError: the study has no model yet, or several blocks.
        """
        with self._lock:
            predictor = self._load(study_id)
        return (predictor.describe(), f"It tells apart: {', '.join(map(show_text, predictor.classes_))}.")

    def classify(self, study_id: str, content: bytes) -> dict[str, Any]:
        """Return the most probable classes of a photo, and how often the first was right in the final test.

        Raises:
            BakeoffError: no image, or the study has no model yet.
        """
        with self._lock, tempfile.TemporaryDirectory(prefix="bakeoff-photo-") as folder:
            predictor = self._load(study_id)
            path = Path(folder) / "photo"
            path.write_bytes(content)
            (probabilities_L,) = predictor.predict_proba(path)
        order = (-probabilities_L).argsort(kind="stable")[:NUM_CLASSES]
        first = int(order[0])
        known = predictor.reliability[first] if predictor.reliability else None
        return {
            "classes": [
                {"name": show_text(predictor.classes_[number]), "probability": float(probabilities_L[number])}
                for number in order
            ],
            "known": "" if known is None else _describe(known, predictor),
        }

    def _load(self, study_id: str) -> Predictor:
        if self._loaded is None or self._loaded.study_id != study_id:
            self._loaded = _Loaded(study_id, Predictor.load(study_id, self._root))
        return self._loaded.predictor


async def read_photo(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        TooLargeError: it has more than `MAX_BYTES`.
        BakeoffError: the client left.
    """
    parts, num_bytes = [], 0
    try:
        async for part in request.stream():
            num_bytes += len(part)
            if num_bytes > MAX_BYTES:
                raise TooLargeError(f"The photo has more than {MAX_BYTES >> 20} MiB.")
            parts.append(part)
    except ClientDisconnect:
        raise ServerError("The connection ended before the whole photo had arrived.") from None
    return b"".join(parts)


def _describe(known: ClassReliability, predictor: Predictor) -> str:
    name = show_text(predictor.classes_[known.predicted])
    if not known.num_predicted:
        return f"No {known.split} image was taken for {name}."
    times = f"{known.num_right:,} of {known.num_predicted:,} times"
    right = f"When it said {name} on the {known.split} images, it was right {times}"
    if known.most_confused is None:
        return f"{right}."
    other = show_text(predictor.classes_[known.most_confused])
    return f"{right}; the others were mostly {other} ({known.num_confused:,})."
