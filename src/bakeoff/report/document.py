"""The record every report is made from, and the JSON document of `--json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bakeoff.analysis.across import AcrossBlocks
from bakeoff.analysis.looks import LineLook
from bakeoff.analysis.results import ArmSummary, BlockAnswer, MeanSd, Summary
from bakeoff.analysis.steps import Step
from bakeoff.report.costs import ArmCost
from bakeoff.report.curves import ArmCurve
from bakeoff.report.ensembles import EnsembleReport
from bakeoff.report.evidence import BlockEvidence, dump_evidence
from bakeoff.report.published import ClassScores, PublishedFigure, compare_published
from bakeoff.report.search import SearchReport, dump_search
from bakeoff.report.steps import dump_step
from bakeoff.report.text import name_run
from bakeoff.report.thumbnails import Thumbnails
from bakeoff.study.published import Curve


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
        exam_opened: when the test split was opened, ISO times; empty if never.
        exam_trials: trials examined on it.
        in_exam: whether the final test has begun and has not evaluated all it was to.
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
    exam_opened: tuple[str, ...] = ()
    exam_trials: int = 0
    in_exam: bool = False
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
    steps: tuple[Step, ...] = ()
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

    @property
    def made_with(self) -> dict[str, str]:
        """Versions, hardware and numeric mode, by name; what a value says of its name again is left out of it."""
        hardware = {
            name: text.removesuffix(f" {name}").removesuffix(f" {name.removesuffix('s')}")
            for name, text in self.hardware.items()
        }
        return {**self.versions, **hardware, **({"numeric mode": self.numeric} if self.numeric else {})}


def build_document(report: ReportInput) -> dict[str, Any]:
    """Build the document that `--json` prints.

    Holds only what strict JSON knows: an unknown or undefined value is null, never NaN. Shares are 0..1, times are
    seconds, replicates count from 1, verdicts say what `a` is relative to `b`. Keys are only ever added, not renamed.
    """
    summary = report.summary
    return {
        "study": report.name,
        "question": report.question,
        "about": [{"name": name, "text": text} for name, text in report.about],
        "state": report.state,
        "trials": {
            "planned": report.num_planned,
            "done": report.num_done,
            "failed": report.num_failed,
            "reused": report.num_reused,
        },
        "decide": {
            "metric": summary.metric,
            "split": summary.split,
            "margin": summary.margin,
            "confidence": summary.confidence,
            "family": summary.family,
            "scope": summary.scope,
            "method": summary.method,
        },
        "answers": [_answer(answer) for answer in summary.answers],
        "overall": summary.overall or None,
        "arms": [_arm(arm) for arm in summary.arms],
        "verdicts": [verdict.dump() for verdict in summary.verdicts],
        "exam": {
            "opened": len(report.exam_opened),
            "opened_at": list(report.exam_opened),
            "changed_after": [look.looked_at for look in report.earlier_looks],
            "looks": [
                {"study": look.study, "looked_at": look.looked_at, "replicates": len(look.replicates)}
                for look in summary.looks
            ],
            "trials": report.exam_trials,
        },
        "reduced": report.reduced or None,
        "notes": list(report.notes),
        "data": {block: dict(facts) for block, facts in report.data.items()},
        "failures": [dict(vars(failure)) for failure in report.failures],
        "across_blocks": None if report.across is None else asdict(report.across),
        "evidence": [dump_evidence(evidence) for evidence in report.evidence],
        "ensembles": [asdict(ensemble) for ensemble in report.ensembles],
        "steps": [dump_step(step) for step in report.steps],
        "searches": [dump_search(search) for search in report.searches],
        "costs": [dict(vars(cost)) for cost in report.costs],
        "published": _published(report),
        "numeric": report.numeric,
        "hardware": dict(report.hardware),
        "versions": dict(report.versions),
        "command": report.command,
        "seconds": report.seconds,
        "report": report.report_path,
        "report_html": report.html_path,
    }


def _answer(answer: BlockAnswer) -> dict[str, Any]:
    return {
        "block": answer.block,
        "best": answer.best,
        "score": _mean_sd(answer.score),
        "not_worse": list(answer.not_worse),
        "equivalent": list(answer.equivalent),
        "worse": list(answer.worse),
        "missing": list(answer.missing),
        "sentence": answer.sentence,
    }


def _arm(arm: ArmSummary) -> dict[str, Any]:
    return {
        "block": arm.block,
        "arm": arm.arm,
        "replicates": arm.replicates,
        "failed": arm.failed,
        "train": {name: _mean_sd(value) for name, value in arm.train.items()},
        "validation": {name: _mean_sd(value) for name, value in arm.validation.items()},
        "test": {name: _mean_sd(value) for name, value in arm.test.items()},
        "held-out": {name: _mean_sd(value) for name, value in arm.held_out.items()},
        "scores": [{"replicate": replicate + 1, "value": value} for replicate, value in arm.scores.items()],
        "epochs": _mean_sd(arm.epochs),
        "seconds": _mean_sd(arm.seconds),
    }


def _mean_sd(value: MeanSd | None) -> dict[str, float | None] | None:
    return None if value is None else {"mean": value.mean, "sd": value.sd}


def _published(report: ReportInput) -> dict[str, Any] | None:
    if not report.published and not report.published_curves:
        return None
    curves = [curve.model_dump(mode="json") for curve in report.published_curves]
    return {"source": report.published_source, "figures": compare_published(report), "curves": curves}
