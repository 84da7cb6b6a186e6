"""A small study with made-up but lifelike scores, as every report receives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from bakeoff.report.document import ReportInput
from bakeoff.stats.summary import Rules, StudyDesign, TrialResult, summarise
from bakeoff.study.published import Figure

INITIALIZERS = (
    "orthogonal",
    "random_normal",
    "random_uniform",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
)


def _make_results(
    blocks: Sequence[str], arms: Sequence[str], num_replicates: int, failed: Sequence[tuple[str, int]], test: bool
) -> list[TrialResult]:
    rng, results = np.random.default_rng(0), []
    for block in blocks:
        for replicate in range(num_replicates):
            shared = rng.normal(0, 0.002)
            for position, arm in enumerate(arms):
                score = 0.979 - 0.004 * position + shared + rng.normal(0, 0.001)
                values = {"accuracy": score, "loss": 1.05 - score, "macro_f1": score - 0.001}
                splits = ("train", "validation", "test") if test else ("train", "validation")
                lost = (arm, replicate) in failed
                results.append(
                    TrialResult(
                        trial_id=f"{replicate:04x}{position:04x}",
                        block=block,
                        arm=arm,
                        replicate=replicate,
                        state="failed" if lost else "done",
                        reason="loss became NaN in epoch 3" if lost else "",
                        metrics={} if lost else dict.fromkeys(splits, values),
                        epochs_trained=10 + position,
                        best_epoch=8,
                        seconds=2.1,
                    )
                )
    return results


@pytest.fixture
def make_report() -> Callable[..., ReportInput]:
    """Return a function that makes a ReportInput; every field of it can be given by name."""

    def make(
        blocks: Sequence[str] = ("digits",),
        arms: Sequence[str] = INITIALIZERS[:3],
        num_replicates: int = 5,
        failed: Sequence[tuple[str, int]] = (),
        test: bool = True,
        margin: float | None = None,
        metric: str = "accuracy",
        **fields: Any,
    ) -> ReportInput:
        results = _make_results(blocks, arms, num_replicates, failed, test)
        summary = summarise(results, StudyDesign(blocks=blocks, arms=arms), Rules(metric=metric, margin=margin))
        failures = tuple(result for result in results if result.state == "failed")
        given: dict[str, Any] = {
            "name": "quickstart",
            "question": "Which weight initializer serves LeNet best?",
            "state": "done",
            "summary": summary,
            "num_done": len(results) - len(failures),
            "num_failed": len(failures),
            "num_reused": 0,
            "num_planned": len(results),
            "failures": failures,
            "final_test_opened": ("2025-01-31T12:00:59+00:00",) if test else (),
            "num_tested": len(results) if test else 0,
            "numeric": "bfloat16",
            "hardware": {"processor": "a CPU, 2 cores"},
            "versions": {"bakeoff": "0.1.0"},
            "command": "bakeoff run quickstart",
            "seconds": 48.2,
            "report_path": "runs/quickstart/verdict.md",
            "published_source": "A paper",
            "published": (Figure(arm=arms[0], metric="accuracy", value=0.97),),
            "study_text": "question: Which?\n",
        }
        return ReportInput(**{**given, **fields})

    return make
