"""Where a study stands, in words."""

from __future__ import annotations

import pytest

from bakeoff.ledger.live import ArmProgress, StudyProgress
from bakeoff.serve.watch import Pace
from bakeoff.serve.wording import describe_state


@pytest.mark.parametrize(
    ("num_tested", "word"),
    [(0, "trained, test split not opened"), (4, "trained, test split opened in part"), (6, "done")],
)
def test_a_final_test_that_was_cut_short_is_not_called_closed(num_tested: int, word: str) -> None:
    arm = ArmProgress(
        block="b",
        arm="a",
        num_planned=6,
        num_done=6,
        num_failed=0,
        num_started=0,
        first_epoch=0,
        last_epoch=0,
        score=0.5,
    )
    progress = StudyProgress(
        study_id="s",
        name="s",
        question="Which?",
        metric="accuracy",
        created_at="2026-01-01T00:00:00+00:00",
        blocks=("b",),
        arms=(arm,),
        num_epochs=12,
        num_candidates=0,
        num_judged=0,
        asking=False,
        num_tested=num_tested,
        last_ended_at=None,
    )
    assert describe_state(progress, Pace(False, None)).word == word
