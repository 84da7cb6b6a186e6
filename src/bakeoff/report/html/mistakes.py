"""The section on the worst mistakes: pictures of them, where they are at hand."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import numpy.typing as npt

from bakeoff.report.document import ReportInput
from bakeoff.report.evidence import BlockEvidence
from bakeoff.report.html.gallery import Gallery, Picture, PictureGroup
from bakeoff.report.html.parts import Bullets, Paragraph, Part, name_block
from bakeoff.report.mistakes import Confusion, Mistake
from bakeoff.report.text import count, show_text
from bakeoff.report.thumbnails import Thumbnails

_SIDE = 96
"""Pixels of the page that the longer side of a picture takes at most."""


def show_mistakes(report: ReportInput) -> Iterator[Part]:
    """Show the most frequent confusions of every block's best arm, with the images it was surest of."""
    is_explained = False
    for evidence in report.evidence:
        if not evidence.confusions:
            continue
        yield from name_block(report, evidence.block)
        yield Paragraph(text=_explain(evidence), names=(evidence.arm,))
        thumbnails = report.thumbnails.get(evidence.block)
        if thumbnails is None:
            yield Bullets(lines=tuple(_name(evidence, confusion) for confusion in evidence.confusions))
            yield Paragraph(text="Their pictures are missing: these images are not on this machine.", is_quiet=True)
            continue
        yield Gallery(groups=tuple(_group(evidence, each, thumbnails) for each in evidence.confusions))
        if not is_explained:
            yield Paragraph(text=_explain_notes(evidence), is_quiet=True)
            is_explained = True


def _explain(evidence: BlockEvidence) -> str:
    return (
        f"What the best arm, {evidence.arm}, most often takes for something else on the {evidence.split} split, and in "
        "each case the images it was surest of."
    )


def _explain_notes(evidence: BlockEvidence) -> str:
    if evidence.num_trials == 1:
        return "Under each picture: the probability that the model gave to the wrong class."
    return (
        "Under each picture: the probability given to the wrong class, a mean over the trials that chose it, and how "
        "many of the trials that were shown the image did."
    )


def _group(evidence: BlockEvidence, confusion: Confusion, thumbnails: Thumbnails) -> PictureGroup:
    pictures = tuple(_draw(evidence, confusion, mistake, thumbnails) for mistake in confusion.mistakes)
    true, predicted = (evidence.classes[number].name for number in (confusion.true, confusion.predicted))
    return PictureGroup(true=true, predicted=predicted, note=_count_times(evidence, confusion), pictures=pictures)


def _name(evidence: BlockEvidence, confusion: Confusion) -> str:
    true, predicted = (evidence.classes[number].name for number in (confusion.true, confusion.predicted))
    return f"{true} taken for {predicted}: {_count_times(evidence, confusion)}"


def _count_times(evidence: BlockEvidence, confusion: Confusion) -> str:
    if evidence.num_trials == 1:
        return count(confusion.num_images, "image")
    times = count(confusion.times, "time")
    return f"{times} in {count(evidence.num_trials, 'trial')}, {count(confusion.num_images, 'image')}"


def _draw(evidence: BlockEvidence, confusion: Confusion, mistake: Mistake, thumbnails: Thumbnails) -> Picture:
    pixels_HWC = thumbnails.pixels[thumbnails.indices.index(mistake.index)]
    height, width, _ = pixels_HWC.shape
    # Whole multiples keep every pixel of a small image a square of one size.
    scale = max(1, _SIDE // max(height, width))
    true, predicted = (show_text(evidence.classes[n].name) for n in (confusion.true, confusion.predicted))
    models = "" if evidence.num_trials == 1 else f" by {mistake.num_wrong} of {count(mistake.num_shown, 'trial')}"
    source = "test" if evidence.split == "test" else "training"
    return Picture(
        source=f"data:image/png;base64,{b64encode(encode_png(pixels_HWC)).decode()}",
        alt=f"Image {mistake.index} of the {source} images: {true}, taken for {predicted}{models} with probability "
        f"{mistake.probability:.0%}.",
        width=width * scale,
        height=height * scale,
        notes=(
            _spell_probability(mistake.probability),
            *([] if evidence.num_trials == 1 else [f"{mistake.num_wrong} of {mistake.num_shown}"]),
        ),
    )


def _spell_probability(probability: float) -> str:
    return "> 99%" if probability > 0.995 else f"{probability:.0%}"


def encode_png(pixels_HWC: npt.NDArray[np.uint8]) -> bytes:
    """Return uint8 pixels [H, W, 1 or 3] as a PNG file."""
    from PIL import Image  # only where pictures are shown

    file = BytesIO()
    Image.fromarray(pixels_HWC[:, :, 0] if pixels_HWC.shape[2] == 1 else pixels_HWC).save(file, "PNG", optimize=True)
    return file.getvalue()
