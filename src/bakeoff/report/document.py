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
from bakeoff.report.published import ClassScores, PublishedFigure
from bakeoff.report.search import SearchReport
from bakeoff.report.text import name_run
from bakeoff.report.thumbnails import Thumbnails
from bakeoff.report.votes import Voted
from bakeoff.stats.across import AcrossBlocks
from bakeoff.stats.looks import LineLook
from bakeoff.stats.results import Summary
from bakeoff.stats.steps import ChainStep
from bakeoff.study.plan import Plan
from bakeoff.study.published import Curve
from bakeoff.study.sameness import SameArms
from bakeoff.study.schema import Study
from bakeoff.workspace import Folders


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What a section gathers its facts from.

    Attributes:
        connection: to the ledger, for reading; `study_id`: of the study in it.
        record: all that the ledger says of the study; `study`, `plan`: what was asked.
        same: arms that are the same training; `looks`: at the question so far, the present one last.
        voted: its results, votes included, and how predictions are read; `summary`: what they say.
        class_names: block -> names of its classes.
        evidence, ensembles: what the predictions add, and what votes changed.
        costs: of every trial.
        tested: block -> fingerprints of the images its trials were tested on.
        folders: of the workspace; `data_dir`: searched first for images.
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
class TrialFailure:
    """One failed trial and why it failed.

    Attributes:
        replicate, fold: counted from 1; the fold is None where the study has none.
    """

    trial: str
    block: str
    arm: str
    replicate: int
    reason: str
    fold: int | None = None

    @property
    def run(self) -> str:
        """Its replicate and fold in words."""
        return name_run(self.replicate - 1, None if self.fold is None else self.fold - 1)


@dataclass(frozen=True, kw_only=True)
class ReportInput:
    """All that a report says of a study, read from its ledger.

    Attributes:
        name: the study's name; `question`: what it asks.
        state: of the run, such as "done", "failed" or "interrupted".
        summary: what the results say.
        num_done, num_failed: trials; `num_reused`: those of the done that were not trained now but found in the ledger.
        num_planned: trials the study asks for.
        failures: every failed trial.
        final_test_opened: when the test split was opened, ISO times; empty if never.
        num_tested: trials evaluated on it.
        in_final_test: whether the final test has begun and has not evaluated all it was to.
        earlier_looks: of other studies, or of this one before it was changed, at these arms on these test images.
        reduced: says that only a part of the data is used; empty where all of it is.
        notes: what else must be known of the images and of what was computed, a sentence each.
        data: by block, the facts of its images that the ledger holds.
        numeric: numeric mode of all trials, such as "bfloat16".
        hardware, versions: what the results were made on, name -> text.
        command: that repeats the study.
        seconds: wall time of the run.
        report_path: where the written report stands; None when there is none. `html_path`: where the page stands.
        across: all blocks together; None for a single block.
        evidence: what the stored predictions add, per block.
        thumbnails: pictures of the worst mistakes, by block; empty where no images are at hand.
        votes: arms of the summary that are ensembles; no trial was trained for them.
        ensembles: every ensemble beside its members, per block.
        steps: an ablation chain step by step, per block; empty where no arm is built on another.
        searches: what a search tried and found, per block; empty without one.
        curves: how accuracy, loss and the deciding metric went, per block, arm and split.
        costs: parameters, model size and rates, per block and arm.
        published_source, published, published_curves: figures from elsewhere.
        class_scores: what was measured of the classes that figures are published of.
        about: what the study says of itself: (name, text), in the order in which it is told.
        study_text: the study file as run; empty to leave it out.
        recipes_text: every arm's recipe in full, defaults included; empty to leave it out.
        facts: what sections have gathered that has no field here, by the name each gave it.
    """

    name: str
    question: str
    state: str
    summary: Summary
    num_done: int
    num_failed: int
    num_reused: int
    num_planned: int
    failures: tuple[TrialFailure, ...] = ()
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
    published: tuple[PublishedFigure, ...] = ()
    published_curves: tuple[Curve, ...] = ()
    class_scores: ClassScores = field(default_factory=dict)
    about: tuple[tuple[str, str], ...] = ()
    study_text: str = ""
    recipes_text: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def evidence_of(self, block: str) -> BlockEvidence | None:
        """Return what the predictions say in a block."""
        return next((each for each in self.evidence if each.block == block), None)

    def search_of(self, block: str) -> SearchReport | None:
        """Return the search of a block."""
        return next((each for each in self.searches if each.block == block), None)

    @property
    def made_with(self) -> dict[str, str]:
        """Versions, hardware and numeric mode, by name; what a value says of its name again is left out of it."""
        hardware = {
            name: text.removesuffix(f" {name}").removesuffix(f" {name.removesuffix('s')}")
            for name, text in self.hardware.items()
        }
        return {**self.versions, **hardware, **({"numeric mode": self.numeric} if self.numeric else {})}
