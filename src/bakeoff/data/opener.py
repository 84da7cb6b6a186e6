"""How a worker gets its images: from disk, or from the process that started it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bakeoff.data import store
from bakeoff.data.cache import Images
from bakeoff.data.source import DataSource


class Opener(Protocol):
    """Opens the two splits of a source, each only on request."""

    def training(self, source: DataSource) -> Images:
        """Open the training split."""
        ...

    def test(self, source: DataSource) -> Images:
        """Open the test split. For the final test only."""
        ...


@dataclass(frozen=True)
class DiskOpener:
    """Opens images as `data.store` does.

    Attributes:
        data_dir: searched first for images.
    """

    data_dir: Path | None

    def training(self, source: DataSource) -> Images:
        """Open the training split."""
        return store.open_training(source, self.data_dir)

    def test(self, source: DataSource) -> Images:
        """Open the test split. For the final test only."""
        return store.open_test(source, self.data_dir)
