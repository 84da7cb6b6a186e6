"""The worst mistakes, with pictures if the images are available."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.evidence import BlockEvidence
from bakeoff.report.export.predictions import StoredPredictions, tabulate_predictions
from bakeoff.report.mistakes import Confusion, Mistake
from bakeoff.report.parts import Gallery, InBlock, Paragraph, Part, Picture, PictureGroup, Section
from bakeoff.report.tables import Medium
from bakeoff.report.text import count, show_text
from bakeoff.report.thumbnails import Thumbnails, gather_thumbnails
from bakeoff.stats.measure import Split


def _gather(sources: Sources) -> dict[str, Any]:
    blocks = {block.label: block.data.source for block in sources.plan.blocks}
    fingerprints = _list_fingerprints(sources)
    predictions = StoredPredictions(
        results=sources.voted.results,
        load=sources.voted.load,
        split=sources.summary.split,
        class_names=sources.class_names,
        sources=blocks,
        fingerprints=fingerprints,
        data_dir=sources.data_dir,
    )
    pictures = gather_thumbnails(sources.evidence, blocks, fingerprints, sources.folders, sources.data_dir)
    return {"thumbnails": pictures, "predictions": predictions}


def _list_fingerprints(sources: Sources) -> dict[tuple[str, Split], frozenset[str]]:
    """Return the fingerprints of the images that predictions were made on, by block and split, if known."""
    tested = sources.tested
    found: dict[tuple[str, Split], frozenset[str]] = {(block, "test"): known for block, known in tested.items()}
    for block, facts in sources.record.facts.items():
        training = frozenset({facts.get("fingerprint", "")})
        found[block, "validation"] = training
        if block in tested:
            found[block, "held-out"] = training
    return found


def write_mistakes(report: ReportInput) -> Iterator[Part]:
    """Yield the most frequent confusions of every block's best arm, with the most confident mistakes."""
    is_explained = False
    for evidence in report.evidence:
        if evidence.confusions:
            thumbnails = report.thumbnails.get(evidence.block)
            yield InBlock(block=evidence.block, parts=tuple(_show(evidence, thumbnails, is_explained)))
            is_explained = is_explained or thumbnails is not None


def _show(evidence: BlockEvidence, thumbnails: Thumbnails | None, is_explained: bool) -> Iterator[Part]:
    text = (
        f"The most frequent confusions of {evidence.arm}, the arm with the highest mean, on the {evidence.split} split."
    )
    yield Paragraph(text=text, names=(evidence.arm,))
    yield Gallery(groups=tuple(_group(evidence, each, thumbnails) for each in evidence.confusions))
    if thumbnails is None:
        text = "Without pictures, because the images are not on this machine."
        yield Paragraph(text=text, role="quiet", media=Medium.HTML)
    elif not is_explained:
        yield Paragraph(text=_explain_notes(evidence), role="quiet", media=Medium.HTML)


def _explain_notes(evidence: BlockEvidence) -> str:
    shown = "Shown are the most confident mistakes. Below each:"
    if evidence.num_trials == 1:
        return f"{shown} the probability of the wrong class."
    return (
        f"{shown} the probability of the wrong class, averaged over the trials that chose it, and how many of the "
        "trials that evaluated the image did."
    )


def _group(evidence: BlockEvidence, confusion: Confusion, thumbnails: Thumbnails | None) -> PictureGroup:
    true, predicted = (evidence.classes[number].name for number in (confusion.true, confusion.predicted))
    note = count(confusion.num_images, "image")
    if evidence.num_trials > 1:
        note = f"{count(confusion.times, 'time')} in {count(evidence.num_trials, 'trial')}, {note}"
    mistakes = confusion.mistakes if thumbnails is not None else ()
    pictures = tuple(_draw(evidence, confusion, each, thumbnails) for each in mistakes if thumbnails is not None)
    return PictureGroup(true=true, predicted=predicted, note=note, pictures=pictures)


def _draw(evidence: BlockEvidence, confusion: Confusion, mistake: Mistake, thumbnails: Thumbnails) -> Picture:
    true, predicted = (show_text(evidence.classes[n].name) for n in (confusion.true, confusion.predicted))
    is_alone = evidence.num_trials == 1
    models = "" if is_alone else f" by {mistake.num_wrong} of {count(mistake.num_shown, 'trial')}"
    source = "test" if evidence.split == "test" else "training"
    file = show_text(thumbnails.name(mistake.index))
    named = f" ({file})" if file else ""
    probability = "> 99%" if mistake.probability > 0.995 else f"{mistake.probability:.0%}"
    return Picture(
        pixels_HWC=thumbnails.pixels[thumbnails.indices.index(mistake.index)],
        alt=f"Image {mistake.index} of the {source} images{named}: {true}, predicted as {predicted}{models} with "
        f"probability {mistake.probability:.0%}.",
        notes=(probability,) if is_alone else (probability, f"{mistake.num_wrong} of {mistake.num_shown}"),
        file=file,
    )


SECTION = Section(
    name="mistakes",
    title="Worst mistakes",
    gather=_gather,
    write=write_mistakes,
    tables={"predictions": tabulate_predictions},
)
