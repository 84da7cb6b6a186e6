"""A report that has something to say in every section, with names that would like to be markup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bakeoff.ledger.rows import CandidateRow
from bakeoff.report.costs import ArmCost
from bakeoff.report.curves import ArmCurve
from bakeoff.report.document import ReportInput
from bakeoff.report.ensembles import ClassChange, EnsembleReport
from bakeoff.report.evidence import BlockEvidence, ClassRow
from bakeoff.report.importance import FieldImportance, SearchImportance
from bakeoff.report.mistakes import Confusion, Mistake
from bakeoff.report.roc import RocLine, RocLines
from bakeoff.report.search import GroupReport, KindReport, SearchReport
from bakeoff.report.thumbnails import Thumbnails
from bakeoff.stats.calibration import ReliabilityBin
from bakeoff.stats.results import MeanSd
from bakeoff.stats.sampling_error import SamplingError
from bakeoff.stats.steps import Link, compare_steps

ATTACK = "<script>alert('x')</script>"
ARMS = (f"he {ATTACK}", 'b"</title><img src=x onerror=alert(1)>', "$x$ & \x1b[31m {{ 7 * 7 }}")
CLASSES = (f"cat {ATTACK}", "dog</script>", "<b>bird</b>")


def _evidence(block: str, arm: str) -> BlockEvidence:
    rows = tuple(ClassRow(name=name, occurring=40, precision=0.9, recall=0.8, f1=0.85, auc=None) for name in CLASSES)
    return BlockEvidence(
        block=block,
        split="test",
        arm=arm,
        num_trials=5,
        classes=rows,
        averages={"macro_f1": 0.85, "macro_precision": 0.9, "expected_calibration_error": 0.031},
        accuracy_interval=(0.8, 0.9),
        confusion=((36, 2, 2), (3, 37, 0), (0, 4, 36)),
        reliability=(
            ReliabilityBin(low=0.0, high=0.5, num_images=20, confidence=0.4, accuracy=0.35),
            ReliabilityBin(low=0.5, high=1.0, num_images=100, confidence=0.8, accuracy=0.85),
        ),
        rival=ARMS[1],
        error=SamplingError(
            difference=0.01,
            interval=(0.0, 0.02),
            standard_error=0.005,
            seeds=1e-5,
            images=1e-5,
            rest=5e-6,
            image_share=0.4,
            image_share_interval=(0.1, 0.7),
            num_images=120,
            num_telling=30,
            images_needed=None,
            sentence=f"The difference is +1.00 points {ATTACK}.",
        ),
    )


def _candidate(number: int, parents: tuple[int, ...], won: bool = False) -> CandidateRow:
    return CandidateRow(
        block="digits",
        kind="candidate",
        number=number,
        group=number,
        generation=number,
        parents=parents,
        changes={"optimizer.learning_rate": 0.01},
        notes=(f"made {ATTACK}",),
        trial_ids=("a",),
        state="done",
        reason="",
        scores={"accuracy": 0.8 + 0.05 * number},
        same_as="",
        is_winner=won,
    )


def _search() -> SearchReport:
    rows = (_candidate(0, ()), _candidate(1, (0,), won=True))
    groups = tuple(GroupReport(number=n, num_new=1, best=0.8, mean=0.8, best_so_far=0.8) for n in range(2))
    kind = KindReport(
        kind="candidate",
        num_candidates=2,
        num_repeated=0,
        num_pruned=0,
        num_failed=0,
        num_unfit=0,
        groups=groups,
        winner=rows[1],
        lineage=rows,
        reasons={},
    )
    return SearchReport(
        block="digits", name="evolution", objectives=("accuracy",), has_generations=True, kinds=(kind,), candidates=rows
    )


def _ensemble() -> EnsembleReport:
    return EnsembleReport(
        block="digits",
        label=f"vote {ATTACK}",
        by="soft",
        over="arms",
        members=ARMS[:2],
        split="test",
        metric="accuracy",
        num_votes=5,
        num_models=2,
        score=MeanSd(0.98, 0.001),
        before=ARMS[0],
        before_score=0.97,
        mean_score=0.96,
        weights={},
        fitted=None,
        classes=tuple(
            ClassChange(name=name, precision=(0.9, 0.91), recall=(0.8, 0.82), f1=(0.85, 0.86)) for name in CLASSES
        ),
        sentence=f"The vote {ATTACK} reaches more.",
    )


@pytest.fixture
def full_report(make_report: Callable[..., ReportInput]) -> ReportInput:
    """Every section of the page has something to say."""
    report = make_report(
        arms=ARMS,
        failed=((ARMS[2], 4),),
        question=f"Which {ATTACK} is best?",
        name=f"study {ATTACK}",
        state="failed",
        reduced=f"Reduced {ATTACK}.",
        notes=(f"A note {ATTACK}.",),
        study_text=f"question: {ATTACK}\narms:\n  - x\n",
        data={
            "digits": {"shape_HWC": [8, 8, 1], "num_images": 1438, "class_names": list(CLASSES), "fingerprint": "a1"}
        },
    )
    curves = tuple(
        ArmCurve(
            block="digits",
            arm=arm,
            metric=metric,
            split=split,
            epochs=(1, 2, 3),
            mean=(0.9, 0.6, 0.5),
            num_training=(2, 2, 2),
            trials=((0.8, 0.5, 0.4), (1.0, 0.7, 0.6)),
        )
        for arm in ARMS
        for metric in ("loss", "accuracy")
        for split in ("train", "validation")
    )
    links = (Link(arm=ARMS[0]), Link(arm=ARMS[1], base=ARMS[0], start=ARMS[0], change=f"change {ATTACK}"))
    return replace(
        report,
        curves=curves,
        evidence=(_evidence("digits", ARMS[0]),),
        steps=compare_steps(report.summary, links),
        searches=(_search(),),
        ensembles=(_ensemble(),),
    )


def _importance() -> SearchImportance:
    values = tuple(0.01 * number for number in range(1, 25))
    names = tuple(("mlp", f"cnn {ATTACK}")[number % 2] for number in range(24))
    return SearchImportance(
        kind="candidate",
        num_candidates=24,
        num_good=6,
        numbers=tuple(("candidate", number) for number in range(24)),
        scores=tuple(0.8 + 0.005 * number for number in range(24)),
        fields=(
            FieldImportance(field=f"optimizer.learning_rate {ATTACK}", share=0.9, chance=0.4, values=values),
            FieldImportance(field="network", share=0.1, chance=0.4, values=names),
        ),
    )


@pytest.fixture
def rich_report(full_report: ReportInput) -> ReportInput:
    """Every section of the page shows all it can: curves of classes, pictures, sizes, importance, steps and votes."""
    (evidence,), (search,) = full_report.evidence, full_report.searches
    line = RocLine(rates=(0.0, 0.1, 1.0), heights=(0.0, 0.8, 1.0), auc=0.9)
    mistakes = tuple(Mistake(index=n, probability=0.9 - 0.1 * n, num_wrong=3, num_shown=5) for n in range(4))
    confusions = (Confusion(true=2, predicted=1, times=4, num_images=4, mistakes=mistakes),)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)
    return replace(
        full_report,
        evidence=(
            replace(evidence, roc=RocLines(macro=line, classes=(line, None, line), error=0.01), confusions=confusions),
        ),
        thumbnails={"digits": Thumbnails(key="k", indices=(0, 1, 2, 3), pixels=pixels)},
        searches=(replace(search, importance=_importance()),),
        costs=tuple(
            ArmCost(
                block="digits",
                arm=arm,
                num_parameters=1_000.0 * (n + 1),
                model_bytes=4_000.0 * (n + 1),
                images_per_second=9_000.0,
                epochs_per_second=2.5,
            )
            for n, arm in enumerate(ARMS)
        ),
    )
