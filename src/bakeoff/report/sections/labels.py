"""Labels to check: images that models are sure to be of another class, with pictures and file names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakeoff.data.source import DataSource
from bakeoff.data.store import find_decoded
from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.export.frame import Frame, FrameColumn, Kind, Value
from bakeoff.report.label_issues import SURE, LabelIssue, find_label_issues
from bakeoff.report.parts import Gallery, InBlock, Paragraph, Part, Picture, PictureGroup, Section
from bakeoff.report.sections.mistakes import list_fingerprints
from bakeoff.report.tables import PAGES
from bakeoff.report.text import count, show_text
from bakeoff.report.thumbnails import Thumbnails, take_thumbnails
from bakeoff.stats.measure import Split, percent

MOST_SHOWN = 24
"""Images shown per block and split; the table `label_issues` has all."""

_SPLITS: tuple[Split, ...] = ("test", "held-out", "validation")
_COLUMNS: dict[str, Kind] = {
    **dict.fromkeys(("block", "images"), "text"),
    "image": "integer",
    **dict.fromkeys(("file", "label", "suggested"), "text"),
    **dict.fromkeys(("label_probability", "suggested_probability"), "number"),
    "models": "integer",
}


@dataclass(frozen=True, kw_only=True)
class BlockIssues:
    """The labels to check among one block's images of one split, the most likely first.

    Attributes:
        arm: whose models disagree with them.
        num_images: images that were examined.
        thumbnails: pictures of the first `MOST_SHOWN`; None without.
        files: the path of every image found, if known; else empty.
    """

    block: str
    split: Split
    arm: str
    num_images: int
    issues: tuple[LabelIssue, ...]
    thumbnails: Thumbnails | None
    files: Mapping[int, str]


def _gather(sources: Sources) -> dict[str, Any]:
    fingerprints = list_fingerprints(sources)
    found = []
    for answer in sources.summary.answers:
        for split in _SPLITS if answer.best is not None else ():
            runs = _load(sources, answer.block, str(answer.best), split)
            issues = find_label_issues(split, runs)
            if issues:
                known = fingerprints.get((answer.block, split), frozenset())
                found.append(_describe(sources, answer.block, str(answer.best), split, runs, issues, known))
    return {"label_issues": tuple(found)}


def _load(sources: Sources, block: str, arm: str, split: Split) -> list[Mapping[str, Any]]:
    """Return the predictions of an arm's trials on images that did not train them."""
    results = [each for each in sources.voted.results if (each.block, each.arm, each.state) == (block, arm, "done")]
    loaded = [sources.voted.load(each.trial_id, split) for each in results if split in each.metrics]
    return [each for each in loaded if each is not None]


def _describe(
    sources: Sources,
    block: str,
    arm: str,
    split: Split,
    runs: list[Mapping[str, Any]],
    issues: tuple[LabelIssue, ...],
    known: frozenset[str],
) -> BlockIssues:
    source = next(each.data.source for each in sources.plan.blocks if each.label == block)
    shown = {each.index: each.label for each in issues[:MOST_SHOWN]}
    thumbnails = take_thumbnails(shown, source, split, known, sources.folders, sources.data_dir)
    return BlockIssues(
        block=block,
        split=split,
        arm=arm,
        num_images=len({int(index) for run in runs for index in run["indices"]}),
        issues=issues,
        thumbnails=thumbnails,
        files=_find_files(source, split, known, issues, thumbnails, sources.data_dir),
    )


def _find_files(
    source: DataSource,
    split: Split,
    known: frozenset[str],
    issues: tuple[LabelIssue, ...],
    thumbnails: Thumbnails | None,
    data_dir: Path | None,
) -> dict[int, str]:
    """Return the paths of images: as decoded on this machine, or else those that were kept with the pictures."""
    images = None if source.path is None else find_decoded(source, "test" if split == "test" else "train", data_dir)
    if images is not None and images.files is not None and images.fingerprint in known:
        return {each.index: images.files[each.index] for each in issues}
    return {} if thumbnails is None else {index: thumbnails.name(index) for index in thumbnails.indices}


def write_labels(report: ReportInput) -> Iterator[Part]:
    """Yield the labels to check of every block, those of the test images first."""
    for block in report.summary.blocks:
        parts = [part for each in _list_issues(report) if each.block == block for part in _show(report, each)]
        if parts:
            yield InBlock(block=block, parts=tuple(parts))


def list_thumbnails(report: ReportInput) -> Iterator[Thumbnails]:
    """Yield all pictures of a report: of mistakes and of labels to check."""
    yield from report.thumbnails.values()
    yield from (each.thumbnails for each in _list_issues(report) if each.thumbnails is not None)


def tabulate_issues(report: ReportInput) -> Frame:
    """Tabulate the labels to check, the most likely first; the file is empty where it is not known."""
    columns = tuple(FrameColumn(name, kind) for name, kind in _COLUMNS.items())
    return Frame(columns, (row for each in _list_issues(report) for row in _list_rows(report, each)))


def _list_rows(report: ReportInput, found: BlockIssues) -> Iterator[tuple[Value, ...]]:
    names = _name_classes(report, found.block)
    for issue in found.issues:
        yield (
            *(found.block, found.split, issue.index, found.files.get(issue.index) or None),
            *(names[issue.label], names[issue.suggested]),
            *(issue.label_probability, issue.suggested_probability, issue.num_models),
        )


def _list_issues(report: ReportInput) -> tuple[BlockIssues, ...]:
    found: tuple[BlockIssues, ...] = report.facts.get("label_issues", ())
    return found


def _name_classes(report: ReportInput, block: str) -> list[str]:
    names: list[str] = list(report.data.get(block, {}).get("class_names", ()))
    return names


def _show(report: ReportInput, found: BlockIssues) -> Iterator[Part]:
    kind = {"test": "test images", "held-out": "training images", "validation": "validation images"}[found.split]
    more = f"; shown are the first {MOST_SHOWN}" if len(found.issues) > MOST_SHOWN else ""
    text = (
        f"Of {found.num_images:,} {kind}, {count(len(found.issues), 'label')} "
        f"{'is' if len(found.issues) == 1 else 'are'} worth a look: the models of {found.arm}, which did not train on "
        f"them, are at least {percent(SURE)} sure of another class (confident learning){more}. Such images are hard, "
        "or labelled wrong."
    )
    yield Paragraph(text=text, names=(found.arm,), media=PAGES)
    names = [show_text(name) for name in _name_classes(report, found.block)]
    groups: dict[tuple[int, int], list[LabelIssue]] = {}
    for issue in found.issues:
        groups.setdefault((issue.label, issue.suggested), []).append(issue)
    shown = {issue.index for issue in found.issues[:MOST_SHOWN]}
    yield Gallery(
        groups=tuple(
            PictureGroup(
                true=names[label],
                predicted=names[suggested],
                note=count(len(issues), "image"),
                pictures=tuple(_draw(each, found, names) for each in issues if each.index in shown)
                if found.thumbnails is not None
                else (),
            )
            for (label, suggested), issues in groups.items()
        )
    )


def _draw(issue: LabelIssue, found: BlockIssues, names: list[str]) -> Picture:
    assert found.thumbnails is not None
    file = show_text(found.files.get(issue.index, ""))
    named = f" ({file})" if file else ""
    return Picture(
        pixels_HWC=found.thumbnails.pixels[found.thumbnails.indices.index(issue.index)],
        alt=f"Image {issue.index}{named}: labelled {names[issue.label]}, likely {names[issue.suggested]} with "
        f"probability {issue.suggested_probability:.0%}.",
        notes=(f"{issue.suggested_probability:.0%}", f"label {issue.label_probability:.0%}"),
        file=file,
    )


SECTION = Section(
    name="labels",
    title="Labels to check",
    gather=_gather,
    write=write_labels,
    tables={"label_issues": tabulate_issues},
)
