"""What the audit found in the images: duplicates, contradictory labels, rare classes, empty images."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from bakeoff.data.audit.findings import MEANINGS
from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.export.frame import Frame, FrameColumn
from bakeoff.report.parts import Bullets, Gallery, InBlock, Paragraph, Part, Picture, PictureGroup, Section, Table
from bakeoff.report.tables import Medium, numbers, texts
from bakeoff.report.text import show_text
from bakeoff.stats.results import TrialResult

_MOST_ROWS = 20
_MOST_DEVIATIONS = 4.0
"""Standard deviations by which a test score may exceed the validation score before the report says so."""


@dataclass(frozen=True, kw_only=True)
class BlockAudit:
    """The audit of one block's images, as the workspace holds it.

    Attributes:
        stored: findings, counts and notes.
        pixels: pictures of pairs of duplicates, uint8 [2 x pairs, H, W, 3]; None without pictures.
        warning: a sentence on test scores that are too high to be believed; else empty.
    """

    stored: Mapping[str, Any]
    pixels: npt.NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)
    warning: str = ""


def _gather(sources: Sources) -> dict[str, Any]:
    return {"audits": {block.label: _read(sources, block.label) for block in sources.plan.blocks}}


def _read(sources: Sources, block: str) -> BlockAudit:
    facts = sources.record.facts.get(block, {})
    fingerprint = str(facts.get("fingerprint", ""))
    warning = _find_implausible(sources, block, int(facts.get("num_images", 0)))
    if not (fingerprint.isascii() and fingerprint.isalnum()):  # from a damaged ledger it could lead anywhere
        return BlockAudit(stored={}, warning=warning)
    try:
        stored = json.loads(sources.folders.audit(fingerprint).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return BlockAudit(stored={}, warning=warning)
    if not isinstance(stored, dict) or not isinstance(stored.get("findings"), list):
        return BlockAudit(stored={}, warning=warning)
    pixels = _read_pictures(sources, fingerprint)
    if pixels is not None and len(pixels) != 2 * len(stored.get("pictures", ())):
        pixels = None
    return BlockAudit(stored=stored, pixels=pixels, warning=warning)


def _read_pictures(sources: Sources, fingerprint: str) -> npt.NDArray[np.uint8] | None:
    try:
        path = sources.folders.audit_pictures(fingerprint)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            pixels: npt.NDArray[np.uint8] = arrays["pixels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return pixels if pixels.dtype == np.uint8 and pixels.ndim == 4 and pixels.shape[3] in (1, 3) else None


def _find_implausible(sources: Sources, block: str, num_images: int) -> str:
    """Return a warning if an arm's accuracy on the test split is far above that on its validation split."""
    data = next(each.data for each in sources.plan.blocks if each.label == block)
    if data.folds is not None:
        return ""
    trials: dict[str, list[TrialResult]] = {}
    for result in sources.record.results:
        if result.block == block and result.state == "done" and "test" in result.metrics:
            trials.setdefault(result.arm, []).append(result)
    worst: tuple[float, str] | None = None
    for arm, results in trials.items():
        validation, test = (
            [float(result.metrics[split]["accuracy"]) for result in results if "accuracy" in result.metrics[split]]
            for split in ("validation", "test")
        )
        numbers_of = [_count_predicted(sources, results[0].trial_id, split) for split in ("validation", "test")]
        if len(validation) != len(results) or len(test) != len(results) or None in numbers_of:
            continue
        before, after = float(np.mean(validation)), float(np.mean(test))
        deviations = exceed(before, after, *(number or 1 for number in numbers_of))
        if deviations > _MOST_DEVIATIONS and (worst is None or deviations > worst[0]):
            sentence = (
                f"{show_text(arm)} is right on {100 * after:.1f}% of the test images, but on {100 * before:.1f}% of "
                f"its validation images: {deviations:.0f} standard errors more, which chance does not explain. "
                f"Test images may have been trained on, or are easier."
            )
            worst = (deviations, sentence)
    return "" if worst is None else worst[1]


def exceed(validation: float, test: float, num_validation: int, num_test: int) -> float:
    """Return by how many standard errors a test accuracy exceeds a validation accuracy.

    The standard error is that of the difference of two independent proportions, by the pooled one, as if the replicates
    had shared their images: for several replicates it is too large rather than too small.
    """
    pooled = (validation * num_validation + test * num_test) / (num_validation + num_test)
    error = sqrt(max(pooled * (1 - pooled), 0.25 / (num_validation + num_test)) * (1 / num_validation + 1 / num_test))
    return (test - validation) / error


def _count_predicted(sources: Sources, trial_id: str, split: str) -> int | None:
    predictions = sources.folders.load_predictions(trial_id, split)
    return None if predictions is None else len(predictions["labels"])


def _audits(report: ReportInput) -> Mapping[str, BlockAudit]:
    found: Mapping[str, BlockAudit] = report.facts.get("audits", {})
    return found


def tell_audits(report: ReportInput) -> Iterator[str]:
    """Yield what must be known beside the answer: images left out, duplicates across splits, implausible scores."""
    several = len(report.summary.blocks) > 1
    sentences = [str(facts["audit"]) for facts in report.data.values() if facts.get("audit")]
    for block, audit in _audits(report).items():
        if audit.warning:
            sentences.append(f"{f'{block}: ' if several else ''}{audit.warning}")
    yield from dict.fromkeys(sentences)


def write_data(report: ReportInput) -> Iterator[Part]:
    """Yield what the audit found in every block's images; nothing about images without findings."""
    seen: set[str] = set()
    for block, audit in _audits(report).items():
        key = json.dumps(audit.stored, sort_keys=True)
        if audit.stored.get("findings") and key not in seen:
            seen.add(key)
            yield InBlock(block=block, parts=tuple(_show(audit)))


def _show(audit: BlockAudit) -> Iterator[Part]:
    stored = audit.stored
    counts: Mapping[str, int] = stored["counts"]
    across = counts.get("across splits", 0)
    text = f"The audit of {int(stored['num_images']):,} images of {show_text(stored['source'])}"
    yield Paragraph(text=f"{text}; policy on duplicates: {stored['policy']}.")
    lines = [f"{number:,} {kind}: {MEANINGS[kind]}" for kind, number in counts.items() if kind in MEANINGS]  # type: ignore[index]
    if across:
        lines.append(f"{across:,} of the sets and pairs of duplicates are in several splits of the source")
    yield Bullets(lines=tuple(lines))
    yield _tabulate(stored["findings"])
    if audit.pixels is not None and len(audit.pixels):
        yield Gallery(groups=tuple(_draw(audit)), media=Medium.HTML)


def _tabulate(findings: list[Mapping[str, Any]]) -> Table:
    shown = findings[:_MOST_ROWS]
    more = f", the first {_MOST_ROWS} of {len(findings):,}" if len(findings) > _MOST_ROWS else ""
    return Table(
        caption=f"Findings{more}",
        columns=[
            texts("kind", (str(each["kind"]) for each in shown)),
            texts("images", (show_text(", ".join(each["images"][:3]) or "-") for each in shown)),
            numbers("number", (f"{each['num_images']:,}" for each in shown), "images in it"),
            texts("splits", (", ".join(each["parts"]) for each in shown)),
            texts("classes", (show_text(", ".join(each["classes"][:3])) for each in shown)),
            texts("detail", (show_text(each["detail"]) for each in shown)),
        ],
    )


def _draw(audit: BlockAudit) -> Iterator[PictureGroup]:
    assert audit.pixels is not None
    for number, (one, other, change) in enumerate(audit.stored["pictures"]):
        names = (show_text(one), show_text(other))
        pictures = tuple(Picture(pixels_HWC=audit.pixels[2 * number + side], alt=f"{names[side]}.") for side in (0, 1))
        yield PictureGroup(true=names[0], predicted=names[1], note=show_text(change), pictures=pictures, joined="and")


def _dump(report: ReportInput) -> dict[str, Any]:
    """Nothing without findings, so that other studies' documents stay as they are."""
    found = {block: dict(audit.stored) for block, audit in _audits(report).items() if audit.stored.get("findings")}
    warnings = {block: audit.warning for block, audit in _audits(report).items() if audit.warning}
    return {**({"audits": found} if found else {}), **({"implausible": warnings} if warnings else {})}


def _list_findings(report: ReportInput) -> Frame:
    columns = (
        *(FrameColumn(name, "text") for name in ("block", "kind", "detail", "splits", "classes")),
        FrameColumn("num_images", "integer"),
        FrameColumn("images", "text"),
    )
    rows = (
        (
            *(block, each["kind"], each["detail"], " ".join(each["parts"]), "; ".join(each["classes"])),
            *(each["num_images"], "; ".join(each["images"])),
        )
        for block, audit in _audits(report).items()
        for each in audit.stored.get("findings", ())
    )
    return Frame(columns=columns, rows=rows)


SECTION = Section(
    name="data",
    title="The images",
    gather=_gather,
    write=write_data,
    dump=_dump,
    tables={"findings": _list_findings},
)
