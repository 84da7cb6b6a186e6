"""A picture for the model card: the worst mistakes of the arm, a row for each confusion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bakeoff.report.document import ReportInput
from bakeoff.report.evidence import BlockEvidence
from bakeoff.report.mistakes import Confusion
from bakeoff.report.text import count, escape_line
from bakeoff.report.thumbnails import Thumbnails
from bakeoff.report.winner import Winner
from bakeoff.workspace import write_whole

MISTAKES_FILE = "mistakes.png"
_MOST_PER_ROW = 8
_GAP = 4


@dataclass(frozen=True, kw_only=True)
class MistakeSheet:
    """The worst mistakes of an arm on the images that decide.

    Attributes:
        evidence: what was confused; `thumbnails`: pictures of it.
    """

    evidence: BlockEvidence
    thumbnails: Thumbnails

    @classmethod
    def find(cls, report: ReportInput, winner: Winner) -> MistakeSheet | None:
        """Return the mistakes of the winner; None without mistakes or pictures, and if the report is of another arm."""
        evidence, thumbnails = report.evidence_of(winner.block), report.thumbnails.get(winner.block)
        if evidence is None or thumbnails is None or evidence.arm != winner.arm or not evidence.confusions:
            return None
        return cls(evidence=evidence, thumbnails=thumbnails)

    @property
    def captions(self) -> tuple[str, ...]:
        """The rows of the picture in words, as Markdown."""
        return tuple(self._describe(confusion) for confusion in self.evidence.confusions)

    def write(self, path: Path) -> None:
        """Write the picture (PNG).

        Raises:
            StorageError: it cannot be written.
        """
        from PIL import Image  # imported late: only an export draws

        _, height, width, channels = self.thumbnails.pixels.shape
        rows = self.evidence.confusions
        size = (
            len(rows) * (height + _GAP),
            min(_MOST_PER_ROW, max(len(row.mistakes) for row in rows)) * (width + _GAP),
        )
        sheet = np.full((*size, channels), 255, np.uint8)
        for number, confusion in enumerate(rows):
            for place, mistake in enumerate(confusion.mistakes[:_MOST_PER_ROW]):
                top, left = number * (height + _GAP), place * (width + _GAP)
                pixels = self.thumbnails.pixels[self.thumbnails.indices.index(mistake.index)]
                sheet[top : top + height, left : left + width] = pixels
        image = Image.fromarray(sheet[..., 0] if channels == 1 else sheet)
        write_whole(path, lambda temporary: image.save(temporary, format="PNG"))

    def _describe(self, confusion: Confusion) -> str:
        true, predicted = (escape_line(self.evidence.classes[n].name) for n in (confusion.true, confusion.predicted))
        return f"{true} predicted as {predicted}: {count(confusion.num_images, 'image')}"
