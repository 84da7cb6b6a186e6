"""A study with everything a figure can show, and names that try to be markup."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bakeoff.ledger.curves import EpochRow
from bakeoff.ledger.rows import CandidateRow
from bakeoff.report.curves import describe_curves
from bakeoff.report.document import ReportInput
from bakeoff.report.evidence import BlockEvidence, ClassRow
from bakeoff.report.search import GroupReport, KindReport, SearchReport
from bakeoff.stats.calibration import calibrate, pool_bins

NASTY = "<script>alert(1)</script> $x$ %{y} &lt;b&gt;"
ARMS = (NASTY, "glorot", "he")
CLASSES = ("<script>a</script>", "1", "1")


def make_candidate(number: int, group: int, accuracy: float, state: str = "done", won: bool = False) -> CandidateRow:
    return CandidateRow(
        block="digits",
        kind="candidate",
        number=number,
        group=group,
        generation=group,
        parents=(),
        changes={"network": NASTY},
        notes=(),
        trial_ids=(),
        state=state,
        reason="",
        scores={"accuracy": accuracy},
        same_as="",
        is_winner=won,
    )


def make_search(has_generations: bool) -> SearchReport:
    rows = (
        make_candidate(0, 0, 0.5),
        make_candidate(1, 0, 0.8),
        make_candidate(2, 1, 0.2, "pruned"),
        make_candidate(3, 1, 0.7),
        make_candidate(4, 1, 0.9, won=True),
    )
    kind = KindReport(
        kind="candidate",
        num_candidates=5,
        num_repeated=0,
        num_pruned=1,
        num_failed=0,
        num_unfit=0,
        groups=(
            GroupReport(number=0, num_new=2, best=0.8, mean=0.65, best_so_far=0.8),
            GroupReport(number=1, num_new=3, best=0.9, mean=0.8, best_so_far=0.9),
        ),
        winner=rows[-1],
        lineage=rows[-1:],
        reasons={},
    )
    return SearchReport(
        block="digits",
        name="evolution",
        objectives=("accuracy",),
        has_generations=has_generations,
        kinds=(kind,),
        candidates=rows,
    )


def make_evidence() -> BlockEvidence:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1, 1], size=200)
    labels = rng.integers(0, 3, 200)
    return BlockEvidence(
        block="digits",
        split="test",
        arm=NASTY,
        num_trials=5,
        classes=tuple(ClassRow(name=name, occurring=9, precision=1, recall=1, f1=1, auc=1) for name in CLASSES),
        averages={"expected_calibration_error": 0.03},
        accuracy_interval=(0.9, 1.0),
        confusion=((8, 2, 0), (0, 10, 0), (4, 1, 5)),
        reliability=pool_bins([calibrate(probabilities, labels)]),
    )


def make_rows() -> list[EpochRow]:
    return [
        EpochRow(position, "digits", arm, epoch, {"loss": 2.0 / epoch}, {"loss": 3.0 / epoch, "macro_f1": 0.5})
        for position, arm in enumerate(ARMS * 2)
        for epoch in (1, 2, 3)
    ]


@pytest.fixture
def full_report(make_report: Callable[..., ReportInput]) -> ReportInput:
    """Return a report with everything there is to draw in one block."""
    return make_report(
        arms=ARMS,
        evidence=(make_evidence(),),
        curves=describe_curves(make_rows(), ("accuracy", "loss", "macro_f1")),
        searches=(make_search(True),),
    )
