"""The worst mistakes on the page: real pictures, each with words, names as text."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from bakeoff.report.document import ReportInput
from bakeoff.report.evidence import BlockEvidence, ClassRow
from bakeoff.report.mistakes import Confusion, Mistake
from bakeoff.report.parts import Gallery, InBlock, Part, compose
from bakeoff.report.render.html import encode_png, write_html
from bakeoff.report.render.json import build_document
from bakeoff.report.sections.mistakes import SECTION
from bakeoff.report.tables import Medium
from bakeoff.report.thumbnails import Thumbnails

ATTACK = '"><script>alert(1)</script>'
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 8, 4, 3), dtype=np.uint8)
MakeReport = Callable[..., ReportInput]


def show(report: ReportInput) -> list[Part]:
    """Return what a page shows."""
    written = compose([SECTION], report, Medium.HTML)
    return [inner for each in written for part in each.parts if isinstance(part, InBlock) for inner in part.parts]


@pytest.fixture
def report(make_report: MakeReport) -> ReportInput:
    evidence = BlockEvidence(
        block="digits",
        split="test",
        arm="orthogonal",
        num_trials=5,
        classes=tuple(
            ClassRow(name=name, occurring=9, precision=1, recall=1, f1=1, auc=1) for name in ("one", f"two {ATTACK}")
        ),
        averages={},
        accuracy_interval=(0.9, 1.0),
        confusion=((9, 3), (0, 9)),
        confusions=(
            Confusion(
                true=0,
                predicted=1,
                times=3,
                num_images=2,
                mistakes=(
                    Mistake(index=17, probability=0.999, num_wrong=2, num_shown=5),
                    Mistake(index=3, probability=0.871, num_wrong=1, num_shown=5),
                ),
            ),
        ),
    )
    thumbnails = {"digits": Thumbnails(key="k", indices=(3, 17), pixels=PIXELS)}
    return make_report(evidence=(evidence,), thumbnails=thumbnails)


def test_each_mistake_has_its_own_picture_in_words_too(report: ReportInput) -> None:
    _, gallery, _ = show(report)
    assert isinstance(gallery, Gallery)
    (group,) = gallery.groups
    assert group.note == "3 times in 5 trials, 2 images"
    first, second = group.pictures
    assert np.array_equal(first.pixels_HWC, PIXELS[1])  # 17 stands second among the kept
    assert first.notes == ("> 99%", "2 of 5")
    assert second.notes == ("87%", "1 of 5")
    assert second.alt.startswith("Image 3 of the test images: one, predicted as two")
    assert "by 1 of 5 trials with probability 87%" in second.alt


def test_without_pictures_the_confusions_are_told_in_words(report: ReportInput) -> None:
    _, told, _ = show(replace(report, thumbnails={}))
    assert isinstance(told, Gallery)
    assert told.lines == (f"one predicted as two {ATTACK}: 3 times in 5 trials, 2 images",)
    assert "<img" not in write_html(replace(report, thumbnails={}))


def test_without_mistakes_there_is_no_section(report: ReportInput, make_report: MakeReport) -> None:
    assert show(make_report()) == []
    perfect = replace(report, evidence=tuple(replace(each, confusions=()) for each in report.evidence))
    assert show(perfect) == []


def test_names_stay_text_on_the_page_and_pictures_out_of_the_json(report: ReportInput) -> None:
    page = write_html(report)
    first, second = re.findall(r'<img src="data:image/png;base64,([^"]*)" .*? width="48" height="96">', page)  # 4 x 8
    assert np.array_equal(np.asarray(Image.open(BytesIO(b64decode(first)))), PIXELS[1])
    assert second != first
    assert "<script>alert" not in page
    (evidence,) = build_document(report)["evidence"]
    assert evidence["confusions"][0]["mistakes"][0]["index"] == 17
    assert "thumbnails" not in build_document(report)


def test_grey_pictures_are_grey() -> None:
    grey = PIXELS[0, :, :, :1]
    image = Image.open(BytesIO(encode_png(grey)))
    assert image.mode == "L"
    assert np.array_equal(np.asarray(image), grey[:, :, 0])
