"""What next: which arm to use, where its weights are, and the commands that predict with it and export it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakeoff.errors import BakeoffError
from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.parts import Bullets, Code, Paragraph, Part, Section
from bakeoff.report.tables import PAGES, Medium
from bakeoff.report.winner import Winner, choose_winner
from bakeoff.stats.measure import join_names

DEFAULT_WORKSPACE = "runs"


@dataclass(frozen=True, kw_only=True)
class NextSteps:
    """What a study's models can be used for.

    Attributes:
        workspace: its folder, as given.
        winners: by block; blocks without a finished trial are left out.
        weights: the file of each winner's best model, relative to the workspace, by block.
    """

    workspace: str
    winners: Mapping[str, Winner]
    weights: Mapping[str, Path]


def _gather(sources: Sources) -> dict[str, Any]:
    winners = {}
    for block in sources.summary.blocks:
        try:
            winners[block] = choose_winner(sources, block)
        except BakeoffError:  # nothing is trained yet
            continue
    root = sources.folders.root
    weights = {block: sources.folders.weights(winner.trial_ids[0]) for block, winner in winners.items()}
    kept = {block: path.relative_to(root) for block, path in weights.items() if path.is_file()}
    return {"next": NextSteps(workspace=str(root), winners=winners, weights=kept)}


def write_next(report: ReportInput) -> Iterator[Part]:
    """Yield what can be done with a finished study's winner; nothing for an unfinished one or without weights."""
    steps: NextSteps | None = report.facts.get("next")
    if steps is None or not steps.weights or report.state == "unfinished":
        return
    winners = {block: winner for block, winner in steps.winners.items() if block in steps.weights}
    lines = tuple(_describe(block, winner, len(report.summary.blocks) > 1) for block, winner in winners.items())
    names = tuple(winner.arm for winner in winners.values())
    yield Bullets(lines=lines, names=names, media=PAGES)
    first = next(iter(winners))
    predict, export = (_format_command(word, report, steps, first) for word in ("predict", "export"))
    yield Code(label="Classify photos with it, or folders of them", text=f"{predict} PHOTO...", media=PAGES)
    yield Code(
        label="Take it elsewhere, compared with its own predictions", text=f"{export} --format onnx", media=PAGES
    )
    yield Bullets(lines=tuple(f"Weights: {path} in the workspace" for path in steps.weights.values()), media=PAGES)
    tied = winners[first].tied
    beside = f", though no verdict tells it apart from {join_names(list(tied))}" if tied else ""
    best = f"Classify photos with {names[0]}, best on validation{beside}: {predict} PHOTO..."
    yield Paragraph(text=best, names=names[:1], media=Medium.TERMINAL)


def _describe(block: str, winner: Winner, has_blocks: bool) -> str:
    return f"{f'On {block}: ' if has_blocks else ''}{winner.describe()}"


def _format_command(word: str, report: ReportInput, steps: NextSteps, block: str) -> str:
    parts = ["bakeoff", word, report.name]
    parts += ["--block", block] if len(report.summary.blocks) > 1 else []
    parts += ["--workspace", steps.workspace] if steps.workspace != DEFAULT_WORKSPACE else []
    return shlex.join(parts)


SECTION = Section(name="next", title="What next", gather=_gather, write=write_next)
