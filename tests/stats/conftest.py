"""Made-up results of a study, as the statistics receive them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from bakeoff.stats.summary import TrialResult


@pytest.fixture(scope="session")
def make_results() -> Callable[..., list[TrialResult]]:
    """Return a function that makes results from scores by arm and replicate, the same in every block."""

    def make(
        scores: Mapping[str, Sequence[float | None]],
        blocks: Sequence[str] = ("digits",),
        splits: Sequence[str] = ("test",),
        crashed: str = "",
    ) -> list[TrialResult]:
        """Make results: accuracy is the score, loss what it lacks to 1; None is a failed trial.

        Args:
            splits: those with scores.
            crashed: names of one letter of the arms whose failed trials crashed.
        """
        return [
            TrialResult(
                trial_id=f"{block} {arm}-{replicate}",
                block=block,
                arm=arm,
                replicate=replicate,
                state="failed" if score is None else "done",
                metrics={}
                if score is None
                else {split: {"accuracy": float(score), "loss": 1 - float(score)} for split in splits},
                epochs_trained=1,
                best_epoch=1,
                seconds=1.0,
                crashed=score is None and arm in crashed,
            )
            for block in blocks
            for arm, values in scores.items()
            for replicate, score in enumerate(values)
        ]

    return make
