"""The record every report is made from."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bakeoff.ledger.costs import CostRow
from bakeoff.ledger.read import StudyRecord
from bakeoff.report.costs import ArmCost
from bakeoff.report.curves import ArmCurve
from bakeoff.report.ensembles import EnsembleReport
from bakeoff.report.evidence import BlockEvidence
from bakeoff.report.published import ClassScores
from bakeoff.report.search import SearchReport
from bakeoff.report.thumbnails import Thumbnails
from bakeoff.report.votes import Voted
from bakeoff.stats.across import AcrossBlocks
from bakeoff.stats.looks import LineLook
from bakeoff.stats.results import Summary, TrialResult
from bakeoff.stats.steps import ChainStep
from bakeoff.study.plan import Plan
from bakeoff.study.published import Curve, Figure
from bakeoff.study.sameness import SameArms
from bakeoff.study.schema import Study
from bakeoff.workspace import Folders


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What a section gathers its facts from.

    Attributes:
        connection: an open, read-only connection to the ledger.
        record: everything the ledger holds about the study.
        same: arms that are the same training.
        looks: all looks at the question so far, this study's last.
        voted: the results, with ensembles, and a reader of predictions.
        summary: the analysis of these results.
        class_names: class names by block.
        evidence, ensembles: what the stored predictions show.
        tested: by block, the fingerprints of the images its trials were tested on.
        data_dir: searched first for images.
    """

    connection: sqlite3.Connection
    study_id: str
    record: StudyRecord
    study: Study
    plan: Plan
    same: tuple[SameArms, ...]
    looks: tuple[LineLook, ...]
    voted: Voted
    summary: Summary
    class_names: Mapping[str, tuple[str, ...]]
    evidence: tuple[BlockEvidence, ...]
    ensembles: tuple[EnsembleReport, ...]
    costs: tuple[CostRow, ...]
    tested: Mapping[str, frozenset[str]]
    folders: Folders
    data_dir: Path | None


@dataclass(frozen=True, kw_only=True)
class ReportInput:
    """Everything a report says about a study, read from its ledger.

    Attributes:
        state: of the run: "done", "failed" or "unfinished".
        num_reused: done trials that this run found in the ledger instead of training them.
        num_planned: trials the study asks for.
        failures: the failed trials.
        final_test_opened: ISO times at which the test split was opened.
        num_tested: trials evaluated on the test split.
        in_final_test: whether the final test has started but not evaluated every trial yet.
        earlier_looks: looks at these arms on these test images, by other studies or before this one was changed.
        reduced: a sentence if the study uses only part of its data, else empty.
        notes: sentences about the images and about what could not be computed.
        data: facts about the images, by block.
        numeric: numeric mode of all trials, such as "bfloat16".
        hardware, versions: what the results were computed with: name -> text.
        command: the command that repeats the study.
        seconds: wall time of the run.
        report_path, html_path: where the reports were written, if they were.
        across: the comparison over all blocks; None for a single block.
        thumbnails: pictures of the worst mistakes, by block.
        votes: labels of the arms that are ensembles.
        steps: the steps of an ablation chain, in every block.
        class_scores: measured scores of the classes that published figures are about.
        about: the study's description of itself: pairs of name and text.
        study_text: the study file as run; empty to leave it out.
        recipes_text: every arm's full recipe; empty to leave it out.
        facts: what sections gathered that has no field here, by name.
    """

    name: str
    question: str
    state: str
    summary: Summary
    num_done: int
    num_failed: int
    num_reused: int
    num_planned: int
    failures: tuple[TrialResult, ...] = ()
    final_test_opened: tuple[str, ...] = ()
    num_tested: int = 0
    in_final_test: bool = False
    earlier_looks: tuple[LineLook, ...] = ()
    reduced: str = ""
    notes: tuple[str, ...] = ()
    data: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    numeric: str = ""
    hardware: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    seconds: float = 0.0
    report_path: str | None = None
    html_path: str | None = None
    across: AcrossBlocks | None = None
    evidence: tuple[BlockEvidence, ...] = ()
    thumbnails: Mapping[str, Thumbnails] = field(default_factory=dict)
    votes: tuple[str, ...] = ()
    ensembles: tuple[EnsembleReport, ...] = ()
    steps: tuple[ChainStep, ...] = ()
    searches: tuple[SearchReport, ...] = ()
    curves: tuple[ArmCurve, ...] = ()
    costs: tuple[ArmCost, ...] = ()
    published_source: str = ""
    published: tuple[Figure, ...] = ()
    published_curves: tuple[Curve, ...] = ()
    class_scores: ClassScores = field(default_factory=dict)
    about: tuple[tuple[str, str], ...] = ()
    study_text: str = ""
    recipes_text: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def evidence_of(self, block: str) -> BlockEvidence | None:
        """Return the evidence from a block's predictions, if there is any."""
        return next((each for each in self.evidence if each.block == block), None)

    def search_of(self, block: str) -> SearchReport | None:
        """Return a block's search, if it has one."""
        return next((each for each in self.searches if each.block == block), None)

    @property
    def made_with(self) -> dict[str, str]:
        """Versions, hardware and numeric mode by name, without repeating the name in the value ("2", not "2 cores")."""
        hardware = {
            name: text.removesuffix(f" {name}").removesuffix(f" {name.removesuffix('s')}")
            for name, text in self.hardware.items()
        }
        return {**self.versions, **hardware, **({"numeric mode": self.numeric} if self.numeric else {})}
