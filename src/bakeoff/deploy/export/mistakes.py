"""A picture for the model card: the worst mistakes of the arm, a row for each confusion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bakeoff.data.source import DataSource
from bakeoff.data.store import find_decoded
from bakeoff.deploy.heat_maps import lay_over
from bakeoff.deploy.photos import Pixels
from bakeoff.report.document import ReportInput
from bakeoff.report.evidence import BlockEvidence
from bakeoff.report.mistakes import Confusion
from bakeoff.report.text import count, escape_line
from bakeoff.report.thumbnails import Thumbnails, shrink
from bakeoff.report.winner import Winner
from bakeoff.workspace import write_whole

if TYPE_CHECKING:
    from bakeoff.engine.model import Model

MISTAKES_FILE = "mistakes.png"
_MOST_PER_ROW = 8
_GAP = 4


@dataclass(frozen=True, kw_only=True)
class MistakeSheet:
    """The worst mistakes of an arm on the images that decide.

    Attributes:
        evidence: what was confused; `thumbnails`: pictures of it.
        explained: those pictures under heat maps, uint8 [h, w, 3], by image and wrong class; empty without.
        note: what to know of the heat maps, or why there are none.
    """

    evidence: BlockEvidence
    thumbnails: Thumbnails
    explained: Mapping[tuple[int, int], Pixels] = field(default_factory=dict, compare=False, repr=False)
    note: str = ""

    @classmethod
    def find(cls, report: ReportInput, winner: Winner) -> MistakeSheet | None:
        """Return the mistakes of the winner; None without mistakes or pictures, and if the report is of another arm."""
        evidence, thumbnails = report.evidence_of(winner.block), report.thumbnails.get(winner.block)
        if evidence is None or thumbnails is None or evidence.arm != winner.arm or not evidence.confusions:
            return None
        return cls(evidence=evidence, thumbnails=thumbnails)

    def explain(self, model: Model, source: DataSource, data_dir: Path | None) -> MistakeSheet:
        """Return the sheet with heat maps of what speaks for the wrong class, by the exported model.

        Args:
            model: that model.
            source: where the images are from.
            data_dir: searched first for them.
        """
        if not model.has_maps:
            name = model.record.recipe.network.name
            return replace(self, note=f"There are no heat maps: {name} has no feature maps, which Grad-CAM needs.")
        pixels_NHWC = self._find_pixels(model.record.shape_HWC, source, data_dir)
        if pixels_NHWC is None:
            return replace(self, note="There are no heat maps: these images are not decoded on this machine.")
        shown = [
            (mistake.index, confusion.predicted)
            for confusion in self.evidence.confusions
            for mistake in confusion.mistakes
        ]
        places = [self.thumbnails.indices.index(index) for index, _ in shown]
        maps_MHW = model.explain(pixels_NHWC[places], np.array([predicted for _, predicted in shown], np.int64))
        small_Mhw = np.stack([self._resize(heat) for heat in maps_MHW])
        drawn = lay_over(self.thumbnails.pixels[places], small_Mhw)
        note = (
            "Below each picture: where this model finds its evidence for the wrong class (Grad-CAM); the brighter, the "
            "more."
        )
        return replace(self, explained=dict(zip(shown, drawn, strict=True)), note=note)

    def _find_pixels(self, shape_HWC: tuple[int, ...], source: DataSource, data_dir: Path | None) -> Pixels | None:
        """Return the pictures' images in full size; None if they cannot be found, or are others now."""
        kept = self.thumbnails.pixels
        if kept.shape[1:] == shape_HWC:
            return kept
        images = find_decoded(source, "test" if self.evidence.split == "test" else "train", data_dir)
        if images is None or images.shape_HWC != shape_HWC or self.thumbnails.indices[-1] >= len(images.labels):
            return None
        pixels = np.ascontiguousarray(images.pixels[list(self.thumbnails.indices)])
        return pixels if np.array_equal(shrink(pixels), kept) else None

    def _resize(self, heat_HW: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        from PIL import Image

        height, width = self.thumbnails.pixels.shape[1:3]
        return np.asarray(Image.fromarray(heat_HW).resize((width, height), Image.Resampling.BILINEAR)).clip(0, 1)

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

        rows = [row for confusion in self.evidence.confusions for row in self._list_rows(confusion)]
        height, width = self.thumbnails.pixels.shape[1:3]
        size = len(rows) * (height + _GAP), max(map(len, rows)) * (width + _GAP)
        sheet = np.full((*size, 3), 255, np.uint8)
        for number, row in enumerate(rows):
            for place, picture in enumerate(row):
                top, left = number * (height + _GAP), place * (width + _GAP)
                sheet[top : top + height, left : left + width] = picture
        image = Image.fromarray(sheet)
        write_whole(path, lambda temporary: image.save(temporary, format="PNG"))

    def _list_rows(self, confusion: Confusion) -> list[list[Pixels]]:
        """Return a confusion's pictures, and if there are heat maps, those with them below."""
        shown = [mistake.index for mistake in confusion.mistakes[:_MOST_PER_ROW]]
        rows = [[self.thumbnails.pixels[self.thumbnails.indices.index(index)] for index in shown]]
        return [*rows, [self.explained[index, confusion.predicted] for index in shown]] if self.explained else rows

    def _describe(self, confusion: Confusion) -> str:
        true, predicted = (escape_line(self.evidence.classes[n].name) for n in (confusion.true, confusion.predicted))
        return f"{true} predicted as {predicted}: {count(confusion.num_images, 'image')}"
